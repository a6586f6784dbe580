// From input codes to the units of a chip, and the bit-line sums of conductances that they drive.
#pragma once

#include "cpu/chip.h"
#include "cpu/pack.h"

namespace reram::cpu::RERAM_ISA {
namespace {

constexpr int kWeights = 64;          // that units of a cycle are sorted by
constexpr int kKinds = kReaches + 1;  // of units: by how far byte tables reach, if they serve
constexpr int kMostLines = 4096;

// Where the units of each cycle, kind and weight begin.
struct ChipTile {
  int starts[kCycles][kKinds * kWeights + 1];
  int step[kCycles];  // weights are rounded up to multiples of 2^step
};

// What the slices of a unit that depend on no sum add to the results and to the counts.
inline void add_constants(const Job& job, const Scratch& s, int i, int64_t m, int set) {
  s.constant[m] += job.chip->sets[set].constant << job.shape.dac_shift[i];
  for (int j = 0; j < job.shape.slices && s.counts; ++j)
    for (int q = 0; q < job.pass_count; ++q) {
      const DigitTable& t = job.digits[q][set * job.shape.slices + j];
      if (!t.size) s.counts[(i * kSlices + j) * kCountLanes] += t.made * job.p.outputs;
    }
}

// One cycle of a task's positions in a tile, and the order in which they are worked on.
struct Sorted {
  int driven[kTaskPositions], keys[kTaskPositions];
  uint8_t order[kTaskPositions];

  // After `keys`. Writes where the positions of each key begin, from `first` on.
  void sort(int count, int first, int* starts) {
    std::memset(starts, 0, (kKinds * kWeights + 1) * sizeof *starts);
    for (int m = 0; m < count; ++m) ++starts[keys[m] + 1];
    int next[kKinds * kWeights];
    for (int k = 0, sum = 0; k < kKinds * kWeights; ++k) {
      next[k] = sum;
      starts[k] = first + sum;
      sum += starts[k + 1];
    }
    starts[kKinds * kWeights] = first + count;
    for (int m = 0; m < count; ++m) order[next[keys[m]]++] = uint8_t(m);
  }
};

template <class Vec>
void sort_cycle(const Job& job, const Task& task, const Scratch& s, int i, int bits, Sorted& to,
                ChipTile& tile) {
  const Shape& shape = job.shape;
  const int count = int(task.m1 - task.m0), bit = shape.dac_shift[i];
  int& step = tile.step[i];
  step = 2;  // lists are padded to multiples of four
  while (up(shape.height * ((1 << bits) - 1), 1 << step) >= kWeights) ++step;
  for (int m = 0; m < count; ++m) {
    const uint16_t* active = s.active + m * kCycles + bit;
    int weight = 0;
    for (int d = 0; d < bits; ++d) weight += active[d] << d;
    const uint64_t* planes = s.inputs + (m * kCycles + bit) * shape.words;
    to.driven[m] = bits == 1 ? weight : driven_in<Vec>(shape, planes, 0, bits);
    const int set = job.set(job.tables.bucket_of[to.driven[m]], i);
    const int kind = s.histogram ? kReaches : job.chip->sets[set].reach;
    to.keys[m] = kind * kWeights + int(up(weight, 1 << step));
    if (!s.histogram) add_constants(job, s, i, m, set);
    if (s.driven) ++s.driven[to.driven[m] * kCycles + i];
  }
  to.sort(count, i * count, tile.starts[i]);
}

// The units of one tile for all positions of a task, those of a cycle sorted by what can serve them
// and by the word-lines that they drive: loops then end where the processor expects it.
template <class Vec>
ChipTile make_chip_units(const Job& job, const Task& task, const Scratch& s, int64_t t) {
  const Shape& shape = job.shape;
  const int count = int(task.m1 - task.m0), words = shape.words;
  const uint16_t* line_of = job.input.gather.lines + t * job.input.gather.stride;
  ChipTile tile;
  ChipUnit* unit = s.chip_units;
  uint16_t* lines = s.lines;
  Sorted sorted;
  for (int i = 0; i < shape.cycles; ++i) {
    const int bit = shape.dac_shift[i], bits = bits_of(job, i);
    sort_cycle<Vec>(job, task, s, i, bits, sorted, tile);
    for (int k = 0; k < count; ++k, ++unit) {
      const int m = sorted.order[k], driven = sorted.driven[m];
      const int set = job.set(job.tables.bucket_of[driven], i);
      const uint8_t live = s.histogram ? 255 : job.chip->sets[set].live;
      *unit = {m, driven, uint16_t(set), {}, live, lines};
      if (!live) continue;
      for (int d = 0; d < bits; ++d) {
        const uint64_t* plane = s.inputs + (m * kCycles + bit + d) * words;
        const int listed = Vec::lines(plane, words, line_of, lines);
        unit->counts[d] = uint16_t(pad_lines(shape.height, lines, listed));
        lines += unit->counts[d];
      }
    }
  }
  return tile;
}

// Conductances of one block in one tile.
struct Conductances {
  const int16_t* sheets[2];  // of 32 columns, [R + 1, 32]
  // In size, of those above 0 and of those below: the largest, and the largest sum of a column, or
  // 32767 if that is less.
  int32_t most[2], sums[2];

  // Word-lines whose sums fit 16 bits, whichever they are.
  RERAM_ALWAYS int lines() const {
    const int32_t largest = most[0] > most[1] ? most[0] : most[1];
    const int32_t fit = largest ? 32767 / largest : kMostLines;
    return fit >= 4 ? (fit < kMostLines ? fit & ~3 : kMostLines) : fit > 0 ? fit : 1;
  }

  // A sum of so many word-lines at most, in size.
  RERAM_ALWAYS int64_t largest(int64_t height) const {
    return height * (most[0] > most[1] ? most[0] : most[1]);
  }

  // The heaviest units, of digits up to `pulse`, whose sums are at most so large in size.
  RERAM_ALWAYS int32_t heaviest(int side, int32_t pulse, int32_t sum) const {
    return pulse * sums[side] <= sum ? INT32_MAX : sum / (most[side] ? most[side] : 1);
  }
};

template <class Vec>
Conductances load_conductances(const Job& job, const int16_t* from, int16_t* to) {
  const int64_t height = job.shape.height, sheet = (height + 1) * kColumns / 2;
  Conductances found = {{to, to + sheet}, {}, {}};
  Vec::load(from, height, to, found.most, found.sums);
  for (int h = 1; h <= 2; ++h)
    std::memset(to + h * sheet - kColumns / 2, 0, kColumns / 2 * sizeof *to);
  return found;
}

// Adds the word-lines [k, end) to 16-bit sums.
template <class Vec>
RERAM_ALWAYS inline void add_lines(const Conductances& g, const uint16_t* lines, int k, int end,
                                   typename Vec::Words* sums) {
  using Words = typename Vec::Words;
  constexpr int kVectors = int(kColumns * sizeof(int16_t) / sizeof(Words));
  auto add = [&](int line) RERAM_ALWAYS {
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) {
      const int16_t* sheet = g.sheets[2 * v / kVectors] + v % (kVectors / 2) * (sizeof(Words) / 2);
      Words own;
      std::memcpy(&own, sheet + size_t(lines[line]) * 4, sizeof own);
      sums[v] += own;
    }
  };
  for (; k + 4 <= end; k += 4) {
    add(k);
    add(k + 1);
    add(k + 2);
    add(k + 3);
  }
  for (; k < end; ++k) add(k);
}

// Adds word-lines to bit-line sums of any size.
template <class Vec>
void column_sums(const Conductances& g, const uint16_t* lines, int n, int32_t* sums) {
  const int most = g.lines();
  for (int k = 0; k < n;) {
    const int end = n - k < most ? n : k + most;
    alignas(64) typename Vec::Words words[kColumns * 2 / sizeof(typename Vec::Words)] = {};
    add_lines<Vec>(g, lines, k, end, words);
    alignas(64) int16_t each[kColumns];
    std::memcpy(each, words, sizeof each);
    for (int c = 0; c < kColumns; ++c) sums[c] += each[c];
    k = end;
  }
}

}  // namespace
}  // namespace reram::cpu::RERAM_ISA
