// The body of the kernels of chips. An instruction set supplies `Vec`: see chip_portable.cpp.
//
// A tile's conductances are read block by block: its 64 columns stay in the first cache while all
// positions of a task add up the word-lines that they drive. Where nothing but conductances is not
// ideal most sums fit 16 bits, and what an ADC converts fits a byte, by which vectors look it up.
// Others are read in 32 or 64 bits, and looked up one by one where bytes do not hold them.
#pragma once

#include "cpu/chip_devices.h"
#include "cpu/chip_units.h"
#include "cpu/recovery.h"

namespace reram::cpu::RERAM_ISA {
namespace {

// One block of one tile.
struct ChipWork {
  const Task& task;
  int64_t tile;
  const ChipBlock& block;
  Conductances conductances;
  Adcs* adcs;
};

// Units of one cycle whose sums are looked up as bytes.
struct ChipSweep {
  const ChipWork& work;
  const ChipUnit* units;
  int count;
  int bits, shift;  // of the cycle
  const Chip& chip;
  int16_t* levels;  // [C, 64]
  int64_t* counts;  // [J, lanes], or null
};

inline ChipSweep sweep_of(const Job& job, const Scratch& s, const ChipWork& w, int i) {
  int64_t* counts = s.counts ? s.counts + i * kSlices * kCountLanes : nullptr;
  return {w, nullptr, 0, bits_of(job, i), job.shape.dac_shift[i], *job.chip, s.chip_levels, counts};
}

// The bit-line sums of a unit, which fit 16 bits.
template <class Vec>
RERAM_ALWAYS inline void word_sums(const ChipSweep& w, const ChipUnit& unit,
                                   typename Vec::Words* sums) {
  constexpr int kVectors = int(kColumns * sizeof(int16_t) / sizeof(*sums));
  const uint16_t* lines = unit.lines;
  for (int v = 0; v < kVectors; ++v) sums[v] = typename Vec::Words{};
  if (w.bits == 1) {
    add_lines<Vec>(w.work.conductances, lines, 0, unit.counts[0], sums);
    return;
  }
  for (int d = 0; d < w.bits; ++d) lines += unit.counts[d];
  for (int d = w.bits - 1; d >= 0; --d) {
    for (int v = 0; v < kVectors; ++v) sums[v] += sums[v];
    lines -= unit.counts[d];
    add_lines<Vec>(w.work.conductances, lines, 0, unit.counts[d], sums);
  }
}

// The bit-line sums of a unit, by bit and in all.
struct ChipSums {
  alignas(64) Columns all, of_bits[kMaxBits];
};

template <class Vec>
void unit_sums(const Job& job, const ChipWork& w, const ChipUnit& unit, int i, ChipSums& to) {
  const bool apart = job.shape.is_recovered(job.p, i);
  const int bits = bits_of(job, i);
  const uint16_t* lines = unit.lines;
  for (int d = 0; d < bits; ++d) lines += unit.counts[d];
  std::memset(to.all, 0, sizeof to.all);
  for (int d = bits - 1; d >= 0; --d) {
    lines -= unit.counts[d];
    for (int c = 0; c < kColumns; ++c) to.all[c] *= 2;
    if (!apart) {
      column_sums<Vec>(w.conductances, lines, unit.counts[d], to.all);
      continue;
    }
    std::memset(to.of_bits[d], 0, sizeof to.of_bits[d]);
    column_sums<Vec>(w.conductances, lines, unit.counts[d], to.of_bits[d]);
    for (int c = 0; c < kColumns; ++c) to.all[c] += to.of_bits[d][c];
  }
}

template <class Vec>
void read_unit(const Job& job, const ChipWork& w, const ChipUnit& unit, int phase, int driven,
               const Columns sums, Columns v) {
  const int pulse = phase < job.shape.cycles ? (1 << job.p.dac_bits[phase]) - 1 : 1;
  const bool narrow = w.conductances.largest(job.shape.height) * pulse < job.chip->narrow;
  const Reading at = {w.task.group, w.tile, w.task.m0 + unit.position, phase, driven, narrow};
  read_out<Vec>(job, w.block, *w.adcs, at, sums, v);
}

inline int32_t inside(const Shape& shape, int32_t v) {
  return v < shape.lowest ? shape.lowest : v > shape.highest ? shape.highest : v;
}

// Adds the levels of one run of a unit to the results of its position.
inline Converted look_up_run(const Job& job, const DigitTable& t, const ChipRun& run, int shift,
                             uint32_t base, bool recovers, const int32_t* v, uint32_t* into) {
  const int32_t* levels = job.tables.levels + t.table;
  const uint8_t* comparisons = job.tables.comparisons + t.table;
  Converted found = {};
  for (int k = 0; k < run.count; ++k) {
    const int32_t own = v[run.first + k], w = inside(job.shape, own);
    found.made += comparisons[w];
    if (recovers && (w != own || levels[w] == RERAM_ESCAPE))
      found.escaped |= uint64_t(1) << (run.first + k);
    else
      into[run.output + k] += (uint32_t(levels[w]) * t.sign - base) << shift;
  }
  return found;
}

// The sums of a unit's single bits as ADCs read them, each worked out once.
template <class Vec>
struct BitReadings {
  const int32_t* of(const Job& job, const Scratch& s, const ChipWork& w, const ChipUnit& unit,
                    int d, int phase, const ChipSums& sums) {
    if (!(known >> d & 1)) {
      const int active = s.active[unit.position * kCycles + phase - job.shape.cycles];
      read_unit<Vec>(job, w, unit, phase, active, sums.of_bits[d], v[d]);
    }
    known |= 1u << d;
    return v[d];
  }
  alignas(64) Columns v[kMaxBits];
  unsigned known = 0;
};

// Recovers `columns` of one run of a unit in cycle i.
template <class Vec>
void recover_run(const Job& job, const Scratch& s, const ChipWork& w, const ChipUnit& unit, int i,
                 const ChipRun& run, uint64_t columns, uint32_t sign, const ChipSums& sums,
                 BitReadings<Vec>& readings, uint32_t* into) {
  s.escaped[unit.position * kCycles + i] = 1;
  job.each_bit(i, [&](int d, int phase) {
    const int bit = phase - job.shape.cycles, j = run.slice;
    const int bucket = job.tables.bucket_of[s.active[unit.position * kCycles + bit]];
    const int set = job.set(bucket, phase), shift = bit + job.shape.cell_shift[j];
    const int64_t table = job.table(set, j);
    if (table < 0) return;
    const int32_t* v = readings.of(job, s, w, unit, d, phase, sums);
    int64_t made = 0, count = 0;
    for (uint64_t left = columns; left; left &= left - 1, ++count) {
      const int c = lowest_bit(left);
      const int64_t at = table + inside(job.shape, v[c]);
      into[run.output + c - run.first] += uint32_t(job.tables.levels[at]) * sign << shift;
      made += job.tables.comparisons[at];
    }
    if (!s.counts) return;
    s.recovered[(bit * kSlices + j) * 2] += made;
    if (job.tables.starts[job.tables.index[set * job.shape.slices + j]])
      s.recovered[(bit * kSlices + j) * 2 + 1] += count;
  });
}

// Comparisons of columns that are not yet counted, of as many units.
struct ChipPending {
  alignas(64) uint8_t made[kColumns] = {};
  int units = 0;
};

// Whether byte tables that reach so far hold all that was read.
inline bool fits_bytes(const Columns v, bool both, int32_t reach) {
  int32_t beyond = 0;
  for (int c = 0; c < kColumns; ++c) beyond |= (v[c] > reach) | (both & (v[c] < -reach));
  return !beyond;
}

// Where the results of a position lie.
inline uint32_t* results_of(const Job& job, const Scratch& s, int64_t m) {
  return s.sums + m * job.shape.blocks * kColumns;
}

// Adds the levels of a unit in cycle i sum by sum.
template <class Vec>
void look_up_unit(const Job& job, const Scratch& s, const ChipWork& w, const ChipUnit& unit, int i,
                  const ChipSums& sums, const Columns v) {
  const Shape& shape = job.shape;
  const bool recovers = shape.is_recovered(job.p, i);
  BitReadings<Vec> readings;
  uint32_t* into = results_of(job, s, unit.position);
  for (int r = 0; r < w.block.count; ++r) {
    const ChipRun& run = w.block.runs[r];
    const int j = run.slice;
    const DigitTable& t = job.digits[run.pass][unit.set * shape.slices + j];
    if (!t.size) continue;
    const uint32_t base = job.chip->bases[run.pass][unit.set * kSlices + j];
    const Converted own =
        look_up_run(job, t, run, shape.dac_shift[i] + shape.cell_shift[j], base, recovers, v, into);
    if (s.counts) s.counts[(i * kSlices + j) * kCountLanes] += own.made;
    if (own.escaped)
      recover_run<Vec>(job, s, w, unit, i, run, own.escaped, t.sign, sums, readings, into);
  }
}

// The units [first, end) of cycle i and one kind, read one by one. Returns whether any levels are
// among those of the block.
template <class Vec>
bool convert_units(const Job& job, const Scratch& s, const ChipWork& w, int first, int end, int i,
                   int kind) {
  if (first == end) return false;
  const bool both = job.shape.lowest < 0;
  const ChipSweep sweep = sweep_of(job, s, w, i);
  ChipSums sums;
  ChipPending pending;
  alignas(64) Columns v;
  alignas(64) int16_t words[kColumns];
  bool any = false;
  for (int k = first; k < end; ++k) {
    const ChipUnit& unit = s.chip_units[k];
    if (!(unit.live & w.block.slices)) continue;
    unit_sums<Vec>(job, w, unit, i, sums);
    read_unit<Vec>(job, w, unit, i, unit.driven, sums.all, v);
    if (kind == kReaches || !fits_bytes(v, both, kReach[kind])) {
      look_up_unit<Vec>(job, s, w, unit, i, sums, v);
      continue;
    }
    for (int c = 0; c < kColumns; ++c) words[c] = int16_t(v[c]);
    Vec::add_words(sweep, both, unit, words, pending);
    any = true;
  }
  if (any && sweep.counts) Vec::flush(w.block, pending, sweep.counts);
  return any;
}

// Units of cycle i and one kind as bytes, as far as their sums surely fit. Returns the first that
// is left.
template <class Vec>
int sweep_units(const Job& job, const Scratch& s, const ChipTile& tile, const ChipWork& w, int i,
                int kind) {
  const bool both = job.shape.lowest < 0;
  ChipSweep sweep = sweep_of(job, s, w, i);
  const int pulse = (1 << sweep.bits) - 1;
  const int* starts = tile.starts[i] + kind * kWeights;
  int done = starts[0];
  for (int n = 4; n <= 8 && done < starts[kWeights]; ++n) {
    const int32_t v = (1 << (n - both)) - 1, sum = v * 256 + 127;
    if (v > kReach[kind]) break;
    const int32_t above = w.conductances.heaviest(0, pulse, sum);
    const int32_t below = w.conductances.heaviest(1, pulse, both ? sum : 32639);
    const int32_t heaviest = (above < below ? above : below) >> tile.step[i];
    const int end = starts[heaviest < kWeights - 1 ? heaviest + 1 : kWeights];
    sweep.units = s.chip_units + done;
    sweep.count = end - done;
    if (end > done) Vec::sweep(n, both, sweep);
    done = end;
  }
  return done;
}

// Adds the levels of all cycles of a block to the results.
inline void settle_levels(const Job& job, const Task& task, const Scratch& s,
                          const ChipBlock& block) {
  for (int64_t m = 0; m < task.m1 - task.m0; ++m)
    for (int r = 0; r < block.count; ++r) {
      const ChipRun& run = block.runs[r];
      const int16_t* levels = s.chip_levels + m * kColumns + run.first;
      uint32_t* into = results_of(job, s, m) + run.output;
      const int shift = job.shape.cell_shift[run.slice], columns = run.count;
#pragma GCC ivdep
      for (int k = 0; k < columns; ++k) into[k] += uint32_t(int32_t(levels[k])) << shift;
    }
}

// One block of a tile.
template <class Vec>
void convert_chip_block(const Job& job, const Scratch& s, const ChipTile& tile, const ChipWork& w) {
  const int64_t count = w.task.m1 - w.task.m0;
  std::memset(s.chip_levels, 0, size_t(count) * kColumns * sizeof *s.chip_levels);
  bool any = false;
  for (int i = 0; i < job.shape.cycles; ++i)
    for (int kind = 0; kind < kKinds; ++kind) {
      const int first = tile.starts[i][kind * kWeights],
                end = tile.starts[i][(kind + 1) * kWeights];
      int done = first;
      if (Vec::kHasBytes && job.chip->plain && kind < kReaches)
        done = sweep_units<Vec>(job, s, tile, w, i, kind);
      any |= done > first;
      any |= convert_units<Vec>(job, s, w, done, end, i, kind);
    }
  if (any) settle_levels(job, w.task, s, w.block);
}

// Calls `work(tile, units, block of one tile)` for all of them, and `done()` after each tile.
template <class Vec, class Work, class Done>
void each_chip_block(const Job& job, const Task& task, const Scratch& s, const Work& work,
                     const Done& done) {
  const Shape& shape = job.shape;
  const int64_t size = shape.height * kColumns;
  Adcs adcs;
  for (int64_t t = 0; t < shape.tiles; ++t) {
    pack_planes<Vec>(job, task, s, t);
    const ChipTile tile = make_chip_units<Vec>(job, task, s, t);
    const int16_t* from =
        job.chip->given.conductances + (task.group * shape.tiles + t) * job.chip->count * size;
    for (int64_t b = 0; b < job.chip->count; ++b, from += size) {
      const ChipBlock& block = job.chip->blocks[b];
      if (!job.chip->plain) find_adcs(job, block, task.group, t, adcs);
      work(tile,
           ChipWork{task, t, block, load_conductances<Vec>(job, from, s.conductances), &adcs});
    }
    done();
  }
}

template <class Vec>
void convert_chip(const Job& job, const Task& task, const Scratch& s, int32_t* acc) {
  const int64_t count = task.m1 - task.m0, width = job.shape.blocks * kColumns;
  if (job.shape.recoveries) std::memset(s.escaped, 0, size_t(count * kCycles));
  std::memset(s.sums, 0, size_t(count * width) * sizeof(uint32_t));
  std::memset(s.constant, 0, size_t(count) * sizeof(uint32_t));
  locate(job, task, s);
  each_chip_block<Vec>(
      job, task, s,
      [&](const ChipTile& tile, const ChipWork& w) { convert_chip_block<Vec>(job, s, tile, w); },
      [&] {
        if (job.shape.recoveries && s.counts) drive_again(job, task, s, Tile{});
      });
  for (int64_t m = 0; m < count; ++m) {
    const uint32_t* sums = results_of(job, s, m);
    int32_t* out = acc + ((task.m0 + m) * job.p.groups + task.group) * job.p.outputs;
    for (int64_t n = 0; n < job.p.outputs; ++n) out[n] = int32_t(sums[n] + s.constant[m]);
  }
}

// Adds what ADCs read of one block to the histogram, and of its single bits, as if all were
// recovered, where any word-line is driven.
template <class Vec>
void count_chip_unit(const Job& job, const Scratch& s, const ChipWork& w, const ChipUnit& unit,
                     int i) {
  const Shape& shape = job.shape;
  ChipSums sums;
  alignas(64) Columns v;
  auto count = [&](int set, int phase, int driven, const Columns of) {
    read_unit<Vec>(job, w, unit, phase, driven, of, v);
    for (int r = 0; r < w.block.count; ++r) {
      const ChipRun& run = w.block.runs[r];
      int64_t* bins =
          s.histogram + (set * shape.slices + run.slice) * shape.values() - shape.lowest;
      for (int c = run.first; c < run.first + run.count; ++c) ++bins[inside(shape, v[c])];
    }
  };
  unit_sums<Vec>(job, w, unit, i, sums);
  count(unit.set, i, unit.driven, sums.all);
  if (!unit.driven) return;
  job.each_bit(i, [&](int d, int phase) {
    const int active = s.active[unit.position * kCycles + phase - shape.cycles];
    count(job.set(job.tables.bucket_of[active], phase), phase, active, sums.of_bits[d]);
  });
}

template <class Vec>
void histogram_chip(const Job& job, const Task& task, const Scratch& s) {
  locate(job, task, s);
  each_chip_block<Vec>(
      job, task, s,
      [&](const ChipTile& tile, const ChipWork& w) {
        for (int i = 0; i < job.shape.cycles; ++i)
          for (int k = tile.starts[i][0]; k < tile.starts[i][kKinds * kWeights]; ++k)
            count_chip_unit<Vec>(job, s, w, s.chip_units[k], i);
      },
      [] {});
}

}  // namespace
}  // namespace reram::cpu::RERAM_ISA
