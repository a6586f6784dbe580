// Chips without cells: what the conversions that err change in results that are there already.
#pragma once

#include "common/odds.h"
#include "cpu/pack.h"

namespace reram::cpu::RERAM_ISA {
namespace {

// A tile of a task's position.
struct OddsPlace {
  const uint64_t* planes;  // of its inputs
  const uint16_t* lines;   // words before the word-line of each of their bits
  const uint64_t* cells;   // of the tile's first block
  int set[kCycles];        // of the tables
};

// The sum of a bit-line's cells of one sign.
inline int32_t count_cells(const Job& job, const OddsPlace& place, const OddsEvent& at, int sign) {
  const Shape& shape = job.shape;
  const uint64_t* sheet = place.cells + at.output / kColumns * shape.block_words() +
                          sign * shape.cell_bits * shape.sheet_words() + at.slice;
  const int bits = bits_of(job, at.cycle), column = int(at.output % kColumns);
  int32_t sum = 0;
  for (int c = 0; c < job.p.cell_bits[at.slice]; ++c, sheet += shape.sheet_words())
    for (int d = 0; d < bits; ++d) {
      const uint64_t* plane = place.planes + (shape.dac_shift[at.cycle] + d) * shape.words;
      int32_t count = 0;
      for (int w = 0; w < shape.words; ++w)
        for (uint64_t left = plane[w]; left; left &= left - 1)
          count += int32_t(sheet[place.lines[64 * w + lowest_bit(left)]] >> column & 1);
      sum += count << (c + d);
    }
  return sum;
}

inline int32_t sum_of(const Job& job, const OddsPlace& place, const OddsEvent& at) {
  const Pass& pass = job.passes[at.pass];
  const int32_t sum = count_cells(job, place, at, pass.plus);
  return pass.minus < 0 ? sum : sum - count_cells(job, place, at, pass.minus);
}

// What each cycle drives, and how likely its conversions err.
template <class Vec>
void look_up(const Job& job, const uint16_t* active, OddsPlace& place, OddsTile& tile) {
  const Shape& shape = job.shape;
  for (int i = 0; i < shape.cycles; ++i) {
    const int bit = shape.dac_shift[i], bits = bits_of(job, i);
    const int driven = bits == 1 ? active[bit] : driven_in<Vec>(shape, place.planes, bit, bits);
    place.set[i] = job.set(job.tables.bucket_of[driven], i);
    tile.rows[i] = job.odds->given.row_of[driven];
    tile.hazards[i] = job.odds->hazards[i * (shape.height + 1) + driven];
  }
}

// Calls `change(position, place, event, sum, read)` for each conversion of a task that reads a sum
// as another one.
template <class Vec, class Change>
void each_error(const Job& job, const Task& task, const Scratch& s, const Change& change) {
  const Shape& shape = job.shape;
  const reram_odds& odds = job.odds->given;
  locate(job, task, s);
  std::memset(s.constant, 0, size_t(task.m1 - task.m0) * sizeof *s.constant);
  OddsPlace place = {};
  OddsTile tile = {shape.cycles, job.pass_count, shape.slices, job.p.outputs, {}, 0, {}, {}};
  for (int64_t t = 0; t < shape.tiles; ++t) {
    pack_planes<Vec>(job, task, s, t);
    place.lines = job.input.gather.lines + t * job.input.gather.stride;
    place.cells =
        job.cells + task.group * shape.group_words() + t * shape.blocks * shape.block_words();
    tile.number = uint32_t(task.group * shape.tiles + t);
    for (int64_t m = task.m0; m < task.m1; ++m) {
      const int64_t first = (m - task.m0) * kCycles;
      place.planes = s.inputs + first * shape.words;
      look_up<Vec>(job, s.active + first, place, tile);
      set_position(tile, odds, m, shape.positions);
      each_event(odds, tile, [&](const OddsEvent& at) {
        const int32_t sum = sum_of(job, place, at);
        const int32_t read = read_as(odds, tile, at, sum, shape.lowest, shape.highest);
        if (read != sum) change(m, place.set[at.cycle], at, sum, read);
      });
    }
  }
}

template <class Vec>
void correct(const Job& job, const Task& task, const Scratch& s, int32_t* acc) {
  const Shape& shape = job.shape;
  each_error<Vec>(job, task, s, [&](int64_t m, int set, const OddsEvent& at, int sum, int read) {
    const int64_t table = job.table(set, at.slice);
    if (table < 0) return;
    const int32_t* levels = job.tables.levels + table;
    const uint8_t* comparisons = job.tables.comparisons + table;
    const uint32_t more = uint32_t(levels[read]) - uint32_t(levels[sum]);
    int32_t& to = acc[(m * job.p.groups + task.group) * job.p.outputs + at.output];
    const int significance = shape.dac_shift[at.cycle] + shape.cell_shift[at.slice];
    to = int32_t(uint32_t(to) + (uint32_t(job.passes[at.pass].sign) * more << significance));
    if (s.counts)
      s.counts[(at.cycle * kSlices + at.slice) * kCountLanes] +=
          comparisons[read] - comparisons[sum];
  });
}

template <class Vec>
void correct_histogram(const Job& job, const Task& task, const Scratch& s) {
  const Shape& shape = job.shape;
  each_error<Vec>(job, task, s, [&](int64_t, int set, const OddsEvent& at, int sum, int read) {
    int64_t* bins =
        s.histogram + (int64_t(set) * shape.slices + at.slice) * shape.values() - shape.lowest;
    --bins[sum];
    ++bins[read];
  });
}

}  // namespace
}  // namespace reram::cpu::RERAM_ISA
