// Chips without cells: what the conversions that err change in results that are there already. A
// thread has a tile of a position and group.
#pragma once

#include "common/odds.h"
#include "cuda/chip.h"

namespace reram::cuda {

struct OddsJob {
  Job job;
  reram_odds odds;
};

// A tile of a position and group, and what its cycles drive.
struct OddsPlace {
  int64_t group, position;
  const uint8_t* codes;   // of the position
  const uint64_t* cells;  // of the tile's first block
  int first, height;      // word-lines
  int32_t set[kCycles];   // of the tables
};

RERAM_DEVICE int code_at(const Job& job, const OddsPlace& place, int r) {
  const int code = read_only(place.codes + depth_offset(job.p, uint32_t(place.first + r)));
  return code & ((1 << job.p.input_bits) - 1);
}

RERAM_DEVICE OddsPlace odds_place(const Job& job, int64_t index, OddsTile& tile) {
  const Sizes& size = job.size;
  const int64_t position = index % size.positions, number = index / size.positions;
  OddsPlace place = {};
  place.group = number / size.tiles;
  place.position = position;
  place.codes = job.in.u + position_offset(job.p, position) + place.group * job.p.u_stride_group;
  place.cells = job.in.cells + number * size.blocks * size.sheets * (size.height + 1) * kSliceLanes;
  place.first = int(number % size.tiles * job.p.rows);
  const int left = size.depth - place.first;
  place.height = left < job.p.rows ? left : job.p.rows;
  tile.cycles = size.cycles;
  tile.passes = size.passes;
  tile.slices = size.slices;
  tile.outputs = job.p.outputs;
  tile.number = uint32_t(number);
  return place;
}

// What each cycle drives, and how likely its conversions err.
RERAM_DEVICE void look_up(const OddsJob& o, OddsPlace& place, OddsTile& tile) {
  const Job& job = o.job;
  int driven[kCycles] = {};
  for (int r = 0; r < place.height; ++r) {
    const int code = code_at(job, place, r);
    for (int i = 0; i < tile.cycles; ++i) driven[i] += (code & phase_mask(job, i)) != 0;
  }
  for (int i = 0; i < tile.cycles; ++i) {
    int bucket = 0;
    while (bucket + 1 < job.p.buckets && read_only(job.in.edges + bucket + 1) <= driven[i])
      ++bucket;
    place.set[i] = bucket * job.size.phases + i;
    tile.rows[i] = read_only(o.odds.row_of + driven[i]);
    const int64_t hazard = read_only(o.odds.hazards + i * o.odds.driven_rows + tile.rows[i]);
    tile.hazards[i] = hazard * conversions_of(tile);
    tile.places[i] = places_in(hazard);
  }
}

// The sum of a bit-line's cells, those of the negative sign subtracted with differential pairs.
RERAM_DEVICE int32_t sum_of(const Job& job, const OddsPlace& place, const OddsEvent& at) {
  const Sizes& size = job.size;
  const int64_t sheet = int64_t(size.height + 1) * kSliceLanes;
  const int column = int(at.output % kBlock), mask = phase_mask(job, at.cycle);
  const uint64_t* plus = place.cells + at.output / kBlock * size.sheets * sheet +
                         at.pass * size.cell_bits * sheet + at.slice;
  int32_t sum = 0;
  for (int r = 0; r < place.height; ++r) {
    const int32_t pulse = (code_at(job, place, r) & mask) >> size.dac_shift[at.cycle];
    if (!pulse) continue;
    const uint64_t* line = plus + int64_t(r) * kSliceLanes;
    for (int c = 0; c < job.p.cell_bits[at.slice]; ++c, line += sheet) {
      int32_t cell = int32_t(read_only(line) >> column & 1);
      if (size.lowest < 0) cell -= int32_t(read_only(line + size.cell_bits * sheet) >> column & 1);
      sum += (pulse * cell) * (1 << c);
    }
  }
  return sum;
}

// A conversion that is read as another sum.
RERAM_DEVICE void change(const Job& job, const OddsPlace& place, const OddsEvent& at, int32_t sum,
                         int32_t read) {
  const Sizes& size = job.size;
  const int32_t set = place.set[at.cycle];
  if (job.out.histogram) {
    int64_t* bins = job.out.histogram + (int64_t(set) * size.slices + at.slice) * size.values;
    add(bins + sum - size.lowest, int64_t(-1));
    add(bins + read - size.lowest, int64_t(1));
    return;
  }
  const int32_t table = read_only(job.in.index + set * size.slices + at.slice);
  if (table < 0) return;
  const int64_t zero = int64_t(table) * size.values - size.lowest;
  const uint32_t more = uint32_t(read_only(job.in.levels + zero + read)) -
                        uint32_t(read_only(job.in.levels + zero + sum));
  const uint32_t sign = at.pass ? ~0u : 1u;
  const int64_t to = (place.position * job.p.groups + place.group) * job.p.outputs + at.output;
  add(reinterpret_cast<uint32_t*>(job.out.acc) + to,
      sign * more << (size.dac_shift[at.cycle] + size.cell_shift[at.slice]));
  if (job.out.made)
    add(job.out.made + at.cycle * size.slices + at.slice,
        int64_t(read_only(job.in.comparisons + zero + read)) -
            int64_t(read_only(job.in.comparisons + zero + sum)));
}

// Each conversion of a tile that errs, in order.
RERAM_DEVICE void correct(const OddsJob& o, int64_t index) {
  const Sizes& size = o.job.size;
  const int32_t highest = size.lowest + size.values - 1;
  OddsTile tile = {};
  OddsPlace place = odds_place(o.job, index, tile);
  look_up(o, place, tile);
  set_position(tile, o.odds, place.position, size.positions);
  const double per_output = 1.0 / double(tile.outputs);
  int64_t x = 0, start = 0, last = -1;
  int cycle = 0;
  for (uint32_t event = 0;; ++event) {
    const RandomWords words = random_words(tile.position[0], tile.position[1], tile.number, event,
                                           o.odds.key[0], o.odds.key[1]);
    x += wait_of(o.odds.waits, words);
    while (x - start >= tile.hazards[cycle]) {
      start += tile.hazards[cycle];
      if (++cycle == tile.cycles) return;
    }
    const OddsEvent at = event_at(tile, per_output, cycle, x - start, words.v[3]);
    if (at.number == last) continue;
    const int32_t sum = sum_of(o.job, place, at);
    const OddsShares shares = shares_of(o.odds, tile, at, sum, size.lowest, highest);
    if (!errs(o.odds, shares, at)) continue;
    last = at.number;
    const int32_t read = read_as(o.odds, shares, at, sum, size.lowest, highest);
    if (read != sum) change(o.job, place, at, sum, read);
  }
}

}  // namespace reram::cuda
