// The body of every kernel. An instruction set supplies `Vec` (see kernel_portable.cpp for what it
// must have) and includes this file; all names here have internal linkage for the reason in
// kernel.h.
#pragma once

#include <cstring>

#include "kernel.h"

namespace reram {
namespace {

// Bit planes of a task's inputs, and the path that each of its tiles takes.
template <class Vec>
int64_t pack_inputs(const Job& job, const Task& task, const Scratch& s) {
  const reram_problem& p = job.p;
  const Shape& shape = job.shape;
  const int64_t count = task.m1 - task.m0;
  const uint32_t input_mask = (1u << p.input_bits) - 1;
  int64_t empty_tiles = 0;
  for (int64_t t = 0; t < shape.tiles; ++t) s.vectors[t] = s.generals[t] = 0;
  for (int64_t m = 0; m < count; ++m) {
    const uint8_t* row = p.u_stride_depth == 1 ? job.u + (task.m0 + m) * p.u_stride_position +
                                                     task.group * p.u_stride_group
                                               : s.row;
    if (row == s.row) {
      const uint8_t* from =
          job.u + (task.m0 + m) * p.u_stride_position + task.group * p.u_stride_group;
      for (int64_t k = 0; k < p.depth; ++k) s.row[k] = from[k * p.u_stride_depth];
    }
    uint32_t constant = 0, input_sum = 0;
    for (int64_t t = 0; t < shape.tiles; ++t) {
      const int64_t first = t * p.rows;
      const int64_t height = p.depth - first < p.rows ? p.depth - first : p.rows;
      uint64_t* planes = s.planes + (t * count + m) * kCycles * shape.words;
      int active[kCycles] = {};
      for (int w = 0; w < shape.words; ++w) {
        const int64_t left = height - 64 * w;
        uint64_t word[kCycles] = {};
        if (left >= 64) {
          Vec::transpose(row + first + 64 * w, word);
        } else if (left > 0) {
          uint8_t tail[64] = {};
          std::memcpy(tail, row + first + 64 * w, size_t(left));
          Vec::transpose(tail, word);
        }
        for (int i = 0; i < kCycles; ++i) {
          if (!(input_mask >> i & 1)) word[i] = 0;
          planes[i * shape.words + w] = word[i];
          active[i] += Vec::popcount(word[i]);
        }
      }
      int most = 0;
      for (int i = 0; i < kCycles; ++i) {
        most = active[i] > most ? active[i] : most;
        input_sum += uint32_t(active[i]) << i;
      }
      if (most == 0) {
        ++empty_tiles;
        constant += job.empty_tile_acc;
      } else if (job.vector_path && most <= kMaxActive) {
        s.lists[t * count + s.vectors[t]++] = int32_t(m);
        constant += job.vector_tile_acc;
      } else {
        s.lists[t * count + count - ++s.generals[t]] = int32_t(m);
      }
    }
    if (p.encoding == RERAM_OFFSET) constant -= input_sum << (p.weight_bits - 1);
    s.constant[m] = constant;
  }
  return empty_tiles;
}

// The sum on bit-line `column` of a block in cycle i, of any number of rows and bits.
template <class Vec>
int32_t general_sum(const Job& job, const Pass& pass, const uint64_t* block, const uint64_t* x,
                    int column, int i) {
  const int words = job.shape.words;
  int32_t sum = 0;
  for (int d = 0; d < job.p.dac_bits; ++d) {
    const int bit = i * job.p.dac_bits + d;
    if (bit >= kCycles) break;  // above the eight bits that a code can have
    for (int c = 0; c < job.p.cell_bits; ++c) {
      int32_t count = 0;
      for (int w = 0; w < words; ++w) {
        const uint64_t in = x[bit * words + w];
        count += Vec::popcount(in & block[((pass.plus + c) * words + w) * kColumns + column]);
        if (pass.minus >= 0)
          count -= Vec::popcount(in & block[((pass.minus + c) * words + w) * kColumns + column]);
      }
      sum += count << (d + c);
    }
  }
  return sum;
}

template <class Vec>
void convert_general(const Job& job, const Scratch& s, const uint64_t* block, const uint64_t* x,
                     int columns, uint32_t* sums) {
  for (int q = 0; q < job.pass_count; ++q) {
    const Pass& pass = job.passes[q];
    const int64_t table = pass.table * job.shape.values() - job.shape.lowest;
    for (int column = 0; column < columns; ++column) {
      for (int i = 0; i < job.shape.cycles; ++i) {
        const int32_t sum = general_sum<Vec>(job, pass, block, x, column, i);
        const uint32_t level = uint32_t(pass.sign) * uint32_t(job.levels[table + sum]);
        sums[2 * column] += level << (i * job.p.dac_bits + pass.significance);
        if (s.counts) s.counts[pass.slice] += job.comparisons[table + sum];
      }
    }
  }
}

// What the inner loop of the vector path works on: one pass of one block over a tile's positions.
struct Sweep {
  const uint64_t *plus, *minus;  // [W, 8] cells
  const uint64_t* x;             // [C, 8, W]
  const int32_t* list;
  int count;
  const ByteTables* tables;
  int significance;
  const uint8_t* cycle_weights;  // [8] 2^i, 0 from the number of cycles on
  const uint8_t* counted;        // [64] 0xff for each (bit-line, cycle) that exists
  uint32_t* sums;                // [C, 16]
};

template <class Vec, bool Count>
int64_t sweep(const Sweep& w, int words) {
  if (words == 1)
    return w.minus ? Vec::template convert<1, true, Count>(w)
                   : Vec::template convert<1, false, Count>(w);
  return w.minus ? Vec::template convert<2, true, Count>(w)
                 : Vec::template convert<2, false, Count>(w);
}

inline int block_columns(const reram_problem& p, int64_t block) {
  const int64_t left = p.outputs - block * kColumns;
  return left < kColumns ? int(left) : kColumns;
}

template <class Vec>
void convert(const Job& job, const Task& task, const Scratch& s, int32_t* acc) {
  const reram_problem& p = job.p;
  const Shape& shape = job.shape;
  const int64_t count = task.m1 - task.m0;
  const int64_t empty_tiles = pack_inputs<Vec>(job, task, s);
  uint8_t cycle_weights[kCycles] = {};
  for (int i = 0; i < shape.cycles && i < kCycles; ++i) cycle_weights[i] = uint8_t(1u << i);

  for (int64_t b = task.b0; b < task.b1; ++b) {
    const int columns = block_columns(p, b);
    uint8_t counted[kBlockSums] = {};
    for (int c = 0; c < columns; ++c)
      for (int i = 0; i < shape.cycles && i < kCycles; ++i) counted[c * kCycles + i] = 0xff;
    std::memset(s.sums, 0, size_t(count) * 16 * sizeof(uint32_t));

    for (int64_t t = 0; t < shape.tiles; ++t) {
      const uint64_t* block = job.cells + task.group * shape.group_words() +
                              (t * shape.blocks + b) * shape.block_words();
      const uint64_t* x = s.planes + t * count * kCycles * shape.words;
      const int32_t* list = s.lists + t * count;
      for (int q = 0; q < job.pass_count && s.vectors[t]; ++q) {
        const Pass& pass = job.passes[q];
        const int plane_words = shape.words * kColumns;
        const uint64_t* minus = pass.minus < 0 ? nullptr : block + pass.minus * plane_words;
        const Sweep w{block + pass.plus * plane_words,
                      minus,
                      x,
                      list,
                      s.vectors[t],
                      &job.bytes[q],
                      pass.significance,
                      cycle_weights,
                      counted,
                      s.sums};
        if (s.counts)
          s.counts[pass.slice] += sweep<Vec, true>(w, shape.words);
        else
          sweep<Vec, false>(w, shape.words);
      }
      for (int64_t n = count - s.generals[t]; n < count; ++n)
        convert_general<Vec>(job, s, block, x + list[n] * kCycles * shape.words, columns,
                             s.sums + list[n] * 16);
    }

    for (int64_t m = 0; m < count; ++m) {
      int32_t* out = acc + ((task.m0 + m) * p.groups + task.group) * p.outputs + b * kColumns;
      const uint32_t* sum = s.sums + m * 16;
      for (int c = 0; c < columns; ++c)
        out[c] = int32_t(sum[2 * c] + sum[2 * c + 1] + s.constant[m]);
    }
    if (s.counts)
      for (int q = 0; q < job.pass_count; ++q)
        s.counts[job.passes[q].slice] +=
            empty_tiles * columns * shape.cycles * job.zero_comparisons(job.passes[q]);
  }
}

template <class Vec>
void histogram(const Job& job, const Task& task, const Scratch& s) {
  const Shape& shape = job.shape;
  const int64_t count = task.m1 - task.m0;
  const int64_t values = shape.values();
  const int64_t empty_tiles = pack_inputs<Vec>(job, task, s);
  for (int64_t b = task.b0; b < task.b1; ++b) {
    const int columns = block_columns(job.p, b);
    for (int q = 0; q < job.pass_count; ++q) {
      const Pass& pass = job.passes[q];
      int64_t* bins = s.histogram + pass.slice * values - shape.lowest;  // of cycle 0
      const int64_t stride = shape.slices * values;                      // to the next cycle
      for (int i = 0; i < shape.cycles; ++i) bins[i * stride] += empty_tiles * columns;
      for (int64_t t = 0; t < shape.tiles; ++t) {
        const uint64_t* block = job.cells + task.group * shape.group_words() +
                                (t * shape.blocks + b) * shape.block_words();
        const uint64_t* x = s.planes + t * count * kCycles * shape.words;
        const int32_t* list = s.lists + t * count;
        const int plane_words = shape.words * kColumns;
        const uint64_t* minus = pass.minus < 0 ? nullptr : block + pass.minus * plane_words;
        for (int n = 0; n < s.vectors[t]; ++n) {
          int8_t sums[kBlockSums];
          Vec::sums(block + pass.plus * plane_words, minus, x + list[n] * kCycles * shape.words,
                    shape.words, sums);
          for (int c = 0; c < columns; ++c)
            for (int i = 0; i < shape.cycles; ++i) ++bins[i * stride + sums[c * kCycles + i]];
        }
        for (int64_t n = count - s.generals[t]; n < count; ++n)
          for (int c = 0; c < columns; ++c)
            for (int i = 0; i < shape.cycles; ++i)
              ++bins[i * stride +
                     general_sum<Vec>(job, pass, block, x + list[n] * kCycles * shape.words, c, i)];
      }
    }
  }
}

}  // namespace
}  // namespace reram
