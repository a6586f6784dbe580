// Chips without cells: what the conversions that err change in results that are there already.
#pragma once

#include "cpu/draws.h"
#include "cpu/pack.h"

namespace reram::cpu::RERAM_ISA {
namespace {

// The waits of events from their words.
template <int Count>
RERAM_ALWAYS inline void draw_waits(const int64_t* waits, const uint64_t (*x)[Count],
                                    int64_t* found) {
  uint32_t beyond = 0;
  for (int k = 0; k < Count; ++k) {
    const uint32_t word = uint32_t(x[0][k]), at = word >> 20, here = at < kWaits - 1 ? at : 0;
    const int64_t f = word & 0xfffff, wait = waits[here];
    found[k] = wait + ((waits[here + 1] - wait) * f >> 20);
    beyond |= at == kWaits - 1;
  }
  for (int k = 0; k < Count && beyond; ++k)
    found[k] = wait_of(
        waits, {{uint32_t(x[0][k]), uint32_t(x[1][k]), uint32_t(x[2][k]), uint32_t(x[3][k])}});
}

// Events one after the other, so many at once, for vectors to hold them.
template <class Vec, int Count>
struct Events {
  explicit Events(const OddsTile& of) : tile(of), per_output(1.0 / double(of.outputs)) {
    for (int i = 0; i < kCycles; ++i)
      starts[i + 1] = i < tile.cycles ? starts[i] + tile.hazards[i] : INT64_MAX;
  }

  // The next ones; how many of them lie in the tile: less than all if the last is among them.
  RERAM_ALWAYS int draw(const reram_odds& odds, int64_t total) {
    alignas(64) uint64_t words[4][Count];
    alignas(64) int64_t where[Count];
    alignas(64) int64_t cycles[Count] = {};
    for (int k = 0; k < Count; ++k) {
      words[0][k] = tile.position[0];
      words[1][k] = tile.position[1];
      words[2][k] = tile.number;
      words[3][k] = first + uint32_t(k);
    }
    Vec::philox(words, odds.key);
    draw_waits<Count>(odds.waits, words, where);
    first += Count;
    int count = 0;
    for (int k = 0; k < Count; ++k) {
      where[k] = x += where[k];
      count += x < total;
    }
    for (int i = 1; i < kCycles; ++i)
      for (int k = 0; k < Count; ++k) cycles[k] += where[k] >= starts[i];
    for (int k = 0; k < count; ++k) {
      const int cycle = int(cycles[k]);
      at[k] = event_at(tile, per_output, cycle, where[k] - starts[cycle], uint32_t(words[3][k]));
    }
    return count;
  }

  const OddsTile& tile;
  const double per_output;
  int64_t starts[kCycles + 1] = {}, x = 0;
  uint32_t first = 0;
  OddsEvent at[Count];
};

// A tile of a task's position.
struct OddsPlace {
  const uint64_t* planes;   // of its inputs
  const uint16_t* lines;    // words before the word-line of each of their bits
  const uint64_t* cells;    // of the tile's first block
  const uint64_t* columns;  // the same by bit-line, or null
  int set[kCycles];         // of the tables
};

// The cells of all bit-lines of a tile, along the planes of its inputs.
template <class Vec>
void arrange_columns(const Job& job, const OddsPlace& place, uint64_t* to) {
  const Shape& shape = job.shape;
  for (int64_t sheet = 0; sheet < shape.blocks * shape.sheets; ++sheet)
    for (int j = 0; j < shape.slices; ++j, to += kColumns * shape.words)
      for (int w = 0; w < shape.words; ++w) {
        const uint64_t* from = place.cells + sheet * shape.sheet_words() + j;
        uint64_t rows[kColumns];
        for (int k = 0; k < kColumns; ++k) rows[k] = from[place.lines[64 * w + k]];
        for (int q = 0; q < kColumns / 8; ++q) {
          alignas(64) uint8_t bytes[kColumns];
          uint64_t found[8];
          for (int k = 0; k < kColumns; ++k) bytes[k] = uint8_t(rows[k] >> (8 * q));
          Vec::transpose(bytes, found);
          for (int n = 0; n < 8; ++n) to[(8 * q + n) * shape.words + w] = found[n];
        }
      }
}

// Word-lines of a plane whose cells in one bit of a bit-line are set.
template <class Vec>
RERAM_ALWAYS inline int32_t count_lines(const Job& job, const OddsPlace& place, const OddsEvent& at,
                                        int64_t sheet, const uint64_t* plane) {
  const Shape& shape = job.shape;
  const int column = int(at.output % kColumns);
  int32_t count = 0;
  if (place.columns) {
    const uint64_t* cells =
        place.columns + ((sheet * shape.slices + at.slice) * kColumns + column) * shape.words;
    for (int w = 0; w < shape.words; ++w) count += Vec::popcount(plane[w] & cells[w]);
    return count;
  }
  const uint64_t* cells = place.cells + sheet * shape.sheet_words() + at.slice;
  for (int w = 0; w < shape.words; ++w)
    for (uint64_t left = plane[w]; left; left &= left - 1)
      count += int32_t(cells[place.lines[64 * w + lowest_bit(left)]] >> column & 1);
  return count;
}

// The sum of a bit-line's cells of one sign.
template <class Vec>
RERAM_ALWAYS inline int32_t count_cells(const Job& job, const OddsPlace& place, const OddsEvent& at,
                                        int sign) {
  const Shape& shape = job.shape;
  const int64_t first = at.output / kColumns * shape.sheets + sign * shape.cell_bits;
  const uint64_t* planes = place.planes + shape.dac_shift[at.cycle] * shape.words;
  const int bits = bits_of(job, at.cycle);
  int32_t sum = 0;
  for (int c = 0; c < job.p.cell_bits[at.slice]; ++c)
    for (int d = 0; d < bits; ++d)
      sum += count_lines<Vec>(job, place, at, first + c, planes + d * shape.words) << (c + d);
  return sum;
}

// The same of cells and inputs of one bit, by bit-line.
template <class Vec>
RERAM_ALWAYS inline int32_t count_bits(const Job& job, const OddsPlace& place, const OddsEvent& at,
                                       int sign) {
  const Shape& shape = job.shape;
  const int64_t line = ((at.output / kColumns * shape.sheets + sign) * shape.slices + at.slice);
  const uint64_t* cells = place.columns + (line * kColumns + at.output % kColumns) * shape.words;
  const uint64_t* plane = place.planes + at.cycle * shape.words;
  int32_t sum = 0;
  for (int w = 0; w < shape.words; ++w) sum += Vec::popcount(plane[w] & cells[w]);
  return sum;
}

template <class Vec>
RERAM_ALWAYS inline int32_t sum_of(const Job& job, const OddsPlace& place, const OddsEvent& at) {
  const Pass& pass = job.passes[at.pass];
  if (place.columns && job.shape.is_one_bit()) {
    const int32_t sum = count_bits<Vec>(job, place, at, pass.plus);
    return pass.minus < 0 ? sum : sum - count_bits<Vec>(job, place, at, pass.minus);
  }
  const int32_t sum = count_cells<Vec>(job, place, at, pass.plus);
  return pass.minus < 0 ? sum : sum - count_cells<Vec>(job, place, at, pass.minus);
}

constexpr int64_t kFewEvents = 24;  // of a block and tile, before arranging its cells pays

constexpr int64_t kFewWaits = int64_t(3) << 32;  // hazards of a tile that has few events

// What each cycle drives, and how likely its conversions err; the hazards of all.
template <class Vec>
int64_t look_up(const Job& job, const uint16_t* active, OddsPlace& place, OddsTile& tile) {
  const Shape& shape = job.shape;
  int64_t total = 0;
  for (int i = 0; i < shape.cycles; ++i) {
    const int bit = shape.dac_shift[i], bits = bits_of(job, i);
    const int64_t driven = bits == 1 ? active[bit] : driven_in<Vec>(shape, place.planes, bit, bits);
    const OddsCycle& cycle = job.odds->cycles[i * (shape.height + 1) + driven];
    place.set[i] = cycle.set;
    tile.rows[i] = cycle.row;
    tile.places[i] = cycle.places;
    tile.hazards[i] = cycle.hazard;
    total += tile.hazards[i];
  }
  return total;
}

// Calls `change(set, event, sum, read)` for each conversion of a tile that reads a sum as another
// one; `arrange(events)` before so many are read.
template <class Vec, int Count, class Arrange, class Change>
RERAM_ALWAYS inline void each_error(const Job& job, const OddsTile& tile, OddsPlace& place,
                                    int64_t total, const Arrange& arrange, const Change& change) {
  const reram_odds& odds = job.odds->given;
  const int32_t lowest = job.shape.lowest, highest = job.shape.highest;
  Events<Vec, Count> events(tile);
  int64_t last = -1;
  for (int count = Count; count == Count;) {
    count = events.draw(odds, total);
    arrange(count);
    int32_t sums[Count];
    OddsShares shares[Count];
    int found[Count], errors = 0;  // no branch yet: nobody can foresee which err
    for (int k = 0; k < count; ++k) {
      sums[k] = sum_of<Vec>(job, place, events.at[k]);
      shares[k] = shares_of(odds, tile, events.at[k], sums[k], lowest, highest);
      found[errors] = k;
      errors += errs(odds, shares[k], events.at[k]);
    }
    for (int e = 0; e < errors; ++e) {
      const int k = found[e];
      const OddsEvent& at = events.at[k];
      if (at.number == last) continue;
      last = at.number;
      const int32_t read = read_as(odds, shares[k], at, sums[k], lowest, highest);
      change(place.set[at.cycle], at, sums[k], read);
    }
  }
}

// Calls `change(set, event, sum, read)` for those of a task, once `change.move(position)` told
// where.
template <class Vec, class Change>
void each_error(const Job& job, const Task& task, const Scratch& s, Change change) {
  const Shape& shape = job.shape;
  locate(job, task, s);
  std::memset(s.constant, 0, size_t(task.m1 - task.m0) * sizeof *s.constant);
  OddsPlace place = {};
  OddsTile tile = {shape.cycles, job.pass_count, shape.slices, job.p.outputs, {}, 0, {}, {}, {}};
  for (int64_t t = 0; t < shape.tiles; ++t) {
    pack_planes<Vec>(job, task, s, t);
    place.lines = job.input.gather.lines + t * job.input.gather.stride;
    place.cells =
        job.cells + task.group * shape.group_words() + t * shape.blocks * shape.block_words();
    place.columns = nullptr;
    tile.number = uint32_t(task.group * shape.tiles + t);
    int64_t events = 0;
    const auto arrange = [&](int more) {
      if (place.columns || (events += more) <= shape.blocks * kFewEvents) return;
      arrange_columns<Vec>(job, place, s.columns);
      place.columns = s.columns;
    };
    for (int64_t m = task.m0; m < task.m1; ++m) {
      const int64_t first = (m - task.m0) * kCycles;
      place.planes = s.inputs + first * shape.words;
      const int64_t total = look_up<Vec>(job, s.active + first, place, tile);
      if (!total) continue;
      set_position(tile, job.odds->given, m, shape.positions);
      change.move(m);
      total < kFewWaits ? each_error<Vec, 8>(job, tile, place, total, arrange, change)
                        : each_error<Vec, 16>(job, tile, place, total, arrange, change);
    }
  }
}

// Changes results. Copies of what it looks up: through pointers to pointers it would take longer.
struct ChangeResults {
  ChangeResults(const Job& job, const Task& task, const Scratch& s, int32_t* acc)
      : index(job.tables.index),
        levels(job.tables.levels - job.shape.lowest),
        comparisons(job.tables.comparisons - job.shape.lowest),
        counts(s.counts),
        results(acc + task.group * job.p.outputs),
        values(job.shape.values()),
        step(job.p.groups * job.p.outputs),
        slices(job.shape.slices) {
    for (int q = 0; q < job.pass_count; ++q) signs[q] = job.passes[q].sign;
    for (int i = 0; i < job.shape.cycles; ++i)
      for (int j = 0; j < slices; ++j)
        shifts[i][j] = uint8_t(job.shape.dac_shift[i] + job.shape.cell_shift[j]);
  }

  void move(int64_t position) { to = results + position * step; }

  RERAM_ALWAYS void operator()(int set, const OddsEvent& at, int32_t sum, int32_t read) const {
    const int32_t table = index[set * slices + at.slice];
    if (table < 0) return;
    const int64_t before = table * values + sum, after = table * values + read;
    const uint32_t more = uint32_t(levels[after]) - uint32_t(levels[before]);
    int32_t& result = to[at.output];
    result =
        int32_t(uint32_t(result) + (uint32_t(signs[at.pass]) * more << shifts[at.cycle][at.slice]));
    if (counts)
      counts[(at.cycle * kSlices + at.slice) * kCountLanes] +=
          comparisons[after] - comparisons[before];
  }

  const int32_t *index, *levels;
  const uint8_t* comparisons;
  int64_t* counts;
  int32_t *results, *to = nullptr;
  int64_t values, step;
  int slices, signs[kMaxPasses] = {};
  uint8_t shifts[kCycles][kSlices] = {};
};

template <class Vec>
void correct(const Job& job, const Task& task, const Scratch& s, int32_t* acc) {
  each_error<Vec>(job, task, s, ChangeResults(job, task, s, acc));
}

// Changes a histogram.
struct ChangeBins {
  void move(int64_t) {}
  RERAM_ALWAYS void operator()(int set, const OddsEvent& at, int32_t sum, int32_t read) const {
    int64_t* bins = histogram + (int64_t(set) * slices + at.slice) * values;
    --bins[sum];
    ++bins[read];
  }
  int64_t* histogram;  // of the sum 0
  int64_t values;
  int slices;
};

template <class Vec>
void correct_histogram(const Job& job, const Task& task, const Scratch& s) {
  const Shape& shape = job.shape;
  each_error<Vec>(job, task, s,
                  ChangeBins{s.histogram - shape.lowest, shape.values(), shape.slices});
}

}  // namespace
}  // namespace reram::cpu::RERAM_ISA
