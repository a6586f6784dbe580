// The body of every kernel. An instruction set supplies `Vec` (see portable.cpp for what it
// must have), names itself by RERAM_ISA, and includes this file. All names here lie in a namespace
// of the instruction set, which profilers and tests see, and have internal linkage for the reason
// in job.h.
//
// Work is proportional to the driven word-lines. The cells of a word-line are kept as 8 words, one
// for each slice, with a bit for each of 64 bit-lines, so that one vector addition in carry-save
// form counts a word-line into 512 bit-line sums at once.
#pragma once

#include "cpu/digits.h"
#include "cpu/pack.h"
#include "cpu/quantize.h"
#include "cpu/recovery.h"
#include "cpu/wide.h"

namespace reram::cpu::RERAM_ISA {
namespace {

// For instruction sets that do not add word-lines up in nibbles: see avx2_nibbles.h.
struct NoNibbles {
  static constexpr bool kHasNibbles = false;
  static void expand(const uint64_t*, int64_t, uint64_t*) {}
  template <bool Count>
  static void convert_nibbles(int, const Sweep&) {}
};

// For instruction sets that keep bit-lines in their order.
struct InOrder {
  // Which bit-line of a block the k-th accumulator belongs to.
  static int column(int k) { return k; }

  // Accumulators in the order of their bit-lines: at `room`, or as they are.
  static const uint32_t* in_order(const uint32_t* sums, uint32_t*) { return sums; }

  // Comparisons that were not yet added to the counts: none are kept.
  static void settle(const Scratch&) {}

  // Cells in the order in which `convert` wants them: at `to`, or as they are.
  static const uint64_t* arrange(const uint64_t* from, int64_t, uint64_t*) { return from; }

  // Exchanges positions and accumulators of a square; its rows lie a block apart.
  static void turn(const uint32_t* sums, int positions, uint32_t (*turned)[kSquare]) {
    for (int c = 0; c < kSquare; ++c)
      for (int p = 0; p < positions; ++p) turned[c][p] = sums[p * kColumns + c];
  }

  // One code of each position, as 64 bytes.
  static void load_codes(const uint8_t* const* from, int64_t offset, const Runs& runs,
                         uint8_t* codes) {
    RERAM_ISA::load_codes(from, offset, runs, codes);
  }
};

// What the histogram of a one-bit unit of N planes is, value by value: few of them take less time
// than all sums.
template <class Vec, int N>
void tally(const Sweep& w) {
  alignas(64) WidePlanes planes;
  std::memset(planes, 0, N * sizeof *planes);
  count_wide(w.plus, w.units->lines, w.units->counts[0], N, planes);
  constexpr int kHalf = 1 << (N / 2);
  for (int i = 0; i < kCycles; ++i) {
    uint64_t low[kHalf], high[kHalf];
    for (int v = 0; v < kHalf; ++v) {
      low[v] = high[v] = w.columns;
      for (int q = 0; q < N / 2; ++q) {
        const uint64_t flip = v >> q & 1 ? 0 : ~uint64_t(0);
        low[v] &= planes[q][i] ^ flip;
        high[v] &= planes[q + N / 2][i] ^ flip;
      }
    }
    for (int h = 0; h < kHalf; ++h)
      for (int l = 0; l < kHalf; ++l)
        w.bins[(h * kHalf + l) * kCycles + i] += Vec::popcount(low[l] & high[h]);
  }
}

inline int block_columns(const reram_problem& p, int64_t block) {
  const int64_t left = p.outputs - block * kColumns;
  return left < kColumns ? int(left) : kColumns;
}

inline const uint64_t* block_of(const Job& job, const Task& task, int64_t t, int64_t b) {
  return job.cells + task.group * job.shape.group_words() +
         (t * job.shape.blocks + b) * job.shape.block_words();
}

// Calls `work(path, sweep)` for the units of each path in each cycle. `block`: what the vector
// paths read.
template <class Work>
inline void each_path(const Job& job, const Task& task, const Scratch& s, const Tile& tile,
                      const Pass& pass, const uint64_t* programmed, const uint64_t* block,
                      int columns, uint32_t* sums, const Work& work) {
  const int64_t room = (task.m1 - task.m0) * job.shape.cycles;
  const int64_t sign_words = job.shape.sheet_words();
  for (int path = kWide; path < kPaths; ++path) {
    const uint64_t* cells = path == kWide      ? programmed + pass.plus * sign_words
                            : path >= kNibbles ? s.nibbles
                                               : block + pass.plus * sign_words;
    for (int i = 0; i < job.shape.cycles; ++i) {
      const int first = tile.ends[i][path], count = tile.ends[i + 1][path] - first;
      if (!count) continue;
      Sweep w = {cells,
                 pass.minus < 0 ? nullptr : cells + (pass.minus - pass.plus) * sign_words,
                 job.shape.sheet_words(),
                 s.units + path * room + first,
                 count,
                 job.vector.weights,
                 job.vector.tables[&pass - job.passes],
                 first_bits(columns),
                 job.vector.addends,
                 sums,
                 s.bins};
      w.count_into(s, i, path >= kNibbles);
      w.live = tile.live[i][path];
      work(path, w);
    }
  }
}

template <class Vec, bool Signed, bool Count>
void convert_path(int path, const Sweep& w) {
  if (path == kFour)
    Vec::template convert<4, 4, Signed, false, Count>(w);
  else if (path == kSix)
    Vec::template convert<6, 6, Signed, false, Count>(w);
  else if (path == kSeven)
    Vec::template convert<7, 7, Signed, false, Count>(w);
  else
    Vec::template convert<8, 8, Signed, false, Count>(w);
}

template <class Vec>
void store_block(const Job& job, const Task& task, int64_t b, const uint32_t* sums, int32_t* acc) {
  const int columns = block_columns(job.p, b);
  for (int64_t m = task.m0; m < task.m1; ++m, sums += kColumns) {
    int32_t* out = acc + (m * job.p.groups + task.group) * job.p.outputs + b * kColumns;
    for (int k = 0; k < kColumns; ++k)
      if (Vec::column(k) < columns) out[Vec::column(k)] = int32_t(sums[k]);
  }
}

// Outputs of the positions of a task, in place of their sums.
template <class Vec>
void finish_block(const Job& job, const Task& task, const Scratch& s, int64_t b, uint32_t* sums) {
  const Finish& f = *job.finish;
  const int columns = block_columns(job.p, b);
  const int64_t first = task.group * job.p.outputs + b * kColumns, count = task.m1 - task.m0;
  float scale[kColumns] = {}, bias[kColumns] = {};
  uint32_t correction[kColumns] = {};
  for (int k = 0; k < kColumns; ++k) {
    const int n = Vec::column(k);
    if (n >= columns) continue;
    scale[k] = f.scale[first + n];
    if (f.bias) bias[k] = f.bias[first + n];
    correction[k] = uint32_t(f.correction[first + n]);
  }
  for (int64_t m = 0; m < count; ++m)
    for (int k = 0; k < kColumns; ++k) {
      uint32_t& sum = sums[m * kColumns + k];
      const float y = float(int32_t(sum - correction[k])) * scale[k] + bias[k];
      std::memcpy(&sum, &y, sizeof y);
    }
  for (int64_t m = 0; m < count; m += kSquare) {
    const int positions = count - m < kSquare ? int(count - m) : kSquare;
    const int64_t* places = s.places + m;
    const bool together = places[positions - 1] - places[0] == positions - 1;
    for (int k = 0; k < kColumns; k += kSquare) {
      alignas(64) uint32_t turned[kSquare][kSquare];
      Vec::turn(sums + m * kColumns + k, positions, turned);
      for (int c = 0; c < kSquare; ++c) {
        const int n = Vec::column(k + c);
        if (n >= columns) continue;
        float* y = f.y + (first + n) * f.strides[1];
        if (together)
          std::memcpy(y + places[0], turned[c], size_t(positions) * 4);
        else
          for (int p = 0; p < positions; ++p) std::memcpy(y + places[p], &turned[c][p], 4);
      }
    }
  }
}

// Comparisons of the bit-lines of a block in cycles without a driven word-line.
inline void count_empty(const Job& job, const Scratch& s, const Tile& tile, int columns) {
  for (int i = 0; i < job.shape.cycles && s.counts; ++i) {
    const int64_t empty = tile.empty[i] * columns * job.pass_count;
    for (int j = 0; j < job.shape.slices; ++j) {
      const int64_t table = job.table(job.set(0, i), j);
      if (table < 0) continue;
      s.counts[(i * kSlices + j) * kCountLanes] += empty * job.tables.comparisons[table];
      if (job.tables.levels[table] == RERAM_ESCAPE) count_nothing(job, s, i, j, empty);
    }
  }
}

// One block of a tile: adds to the accumulators of its bit-lines.
template <class Vec>
void convert_block(const Job& job, const Task& task, const Scratch& s, const Tile& tile,
                   const uint64_t* programmed, int columns, uint32_t* sums) {
  if (job.has_digits()) {
    each_digit_pass<Vec>(job, s, programmed, [&](auto byte, const Pass& pass) {
      convert_digit_units<Vec, decltype(byte)>(job, task, s, tile, pass, columns, sums);
    });
    return;
  }
  const uint64_t* block = Vec::arrange(programmed, job.shape.block_words(), s.cells);
  for (int q = 0; q < job.pass_count; ++q) {
    const Pass& pass = job.passes[q];
    if (tile.nibbles)
      Vec::expand(programmed + pass.plus * job.shape.sheet_words(), job.shape.height + 1,
                  s.nibbles);
    each_path(job, task, s, tile, pass, programmed, block, columns, sums,
              [&](int path, const Sweep& w) {
                if (path == kWide)
                  convert_wide<Vec>(job, pass, columns, w);
                else if (path >= kNibbles)
                  w.counts ? Vec::template convert_nibbles<true>(path - kNibbles, w)
                           : Vec::template convert_nibbles<false>(path - kNibbles, w);
                else if (w.minus)
                  w.counts ? convert_path<Vec, true, true>(path, w)
                           : convert_path<Vec, true, false>(path, w);
                else
                  w.counts ? convert_path<Vec, false, true>(path, w)
                           : convert_path<Vec, false, false>(path, w);
              });
  }
}

// The results of a task from its accumulators, in the order of Order::column.
template <class Order>
void finish_task(const Job& job, const Task& task, const Scratch& s, int32_t* acc) {
  const int64_t count = task.m1 - task.m0;
  for (int64_t b = task.b0; b < task.b1; ++b) {
    uint32_t* sums = s.sums + (b - task.b0) * count * kColumns;
    for (int64_t m = 0; m < count; ++m)
      for (int k = 0; k < kColumns; ++k) sums[m * kColumns + k] += s.constant[m];
    job.finish ? finish_block<Order>(job, task, s, b, sums)
               : store_block<Order>(job, task, b, sums, acc);
  }
}

template <class Vec>
void convert(const Job& job, const Task& task, const Scratch& s, int32_t* acc) {
  const int64_t count = task.m1 - task.m0, block_sums = count * kColumns;
  if (job.shape.recoveries) std::memset(s.escaped, 0, size_t(count * kCycles));
  std::memset(s.sums, 0, size_t((task.b1 - task.b0) * block_sums) * sizeof(uint32_t));
  std::memset(s.constant, 0, size_t(count) * sizeof(uint32_t));
  locate(job, task, s);
  // Fewer units would take less time than expanding the cells for them.
  constexpr int64_t kLeastUnits = 48;
  const bool nibbles =
      Vec::kHasNibbles && job.has_nibbles() && count * job.shape.cycles >= kLeastUnits;
  for (int64_t t = 0; t < job.shape.tiles; ++t) {
    const Tile tile = pack_tile<Vec>(job, task, s, t, nibbles);
    for (int64_t b = task.b0; b < task.b1; ++b) {
      const int columns = block_columns(job.p, b);
      uint32_t* sums = s.sums + (b - task.b0) * block_sums;
      convert_block<Vec>(job, task, s, tile, block_of(job, task, t, b), columns, sums);
      count_empty(job, s, tile, columns);
    }
    if (job.shape.recoveries && s.counts) drive_again(job, task, s, tile);
  }
  if (nibbles && s.counts) Vec::settle(s);
  job.has_digits() ? finish_task<Natural<Vec>>(job, task, s, acc)
                   : finish_task<Vec>(job, task, s, acc);
}

template <class Vec, bool Signed>
void histogram_path(int path, const Sweep& w) {
  if (path == kFour)
    Vec::template histogram<4, Signed>(w);
  else if (path == kSix)
    Vec::template histogram<6, Signed>(w);
  else
    Vec::template histogram<8, Signed>(w);
}

template <class Vec>
void histogram(const Job& job, const Task& task, const Scratch& s) {
  const Shape& shape = job.shape;
  const int64_t values = shape.values();
  locate(job, task, s);
  for (int64_t t = 0; t < shape.tiles; ++t) {
    const Tile tile = pack_tile<Vec>(job, task, s, t, false);
    for (int64_t b = task.b0; b < task.b1; ++b) {
      const int columns = block_columns(job.p, b);
      const uint64_t* block = block_of(job, task, t, b);
      auto bins = [&](int set, int j) {
        return s.histogram + (set * shape.slices + j) * values - shape.lowest;
      };
      for (int i = 0; i < shape.cycles; ++i)
        for (int j = 0; j < shape.slices; ++j)
          *bins(job.set(0, i), j) += tile.empty[i] * columns * job.pass_count;
      if (job.has_digits()) {
        each_digit_pass<Vec>(job, s, block, [&](auto byte, const Pass&) {
          count_digit_units<Vec, decltype(byte)>(job, task, s, tile, columns);
        });
        continue;
      }
      for (int q = 0; q < job.pass_count; ++q) {
        const Pass& pass = job.passes[q];
        each_path(job, task, s, tile, pass, block, block, columns, nullptr,
                  [&](int path, const Sweep& w) {
                    if (path != kWide) {
                      w.minus ? histogram_path<Vec, true>(path, w)
                              : histogram_path<Vec, false>(path, w);
                      return;
                    }
                    int32_t sums[kSlices][kColumns];
                    for (int k = 0; k < w.count; ++k) {
                      wide_sums<Vec>(w, w.units[k], sums);
                      for (int j = 0; j < shape.slices; ++j)
                        for (int n = 0; n < columns; ++n) ++bins(w.units[k].set, j)[sums[j][n]];
                    }
                  });
      }
    }
  }
}

}  // namespace
}  // namespace reram::cpu::RERAM_ISA
