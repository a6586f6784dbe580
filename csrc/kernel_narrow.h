// Few bit-lines and many positions: depthwise layers, and the first layers of small networks.
//
// A block of 64 bit-lines would be mostly empty, so positions and bit-lines exchange their roles:
// the bits of a word are 64 positions, a word-line has a word for each cycle, and the cells of one
// slice of a bit-line say which word-lines are counted. The same sums come out of the same loops.
#pragma once

#include "kernel_body.h"

namespace reram {
namespace {

// Significances of two cycles side by side.
constexpr uint16_t kCycleWeights[kSlices / 2] = {0x0201, 0x0804, 0x2010, 0x8040};

// The word-lines that each bit-line of a tile joins, as units by slice: [J, N]. Returns the most.
inline int narrow_units(const Job& job, const uint64_t* block, const Pass& pass, const Scratch& s) {
  const Shape& shape = job.shape;
  const int outputs = int(job.p.outputs);
  int most = 0;
  for (int j = 0; j < shape.slices; ++j) {
    const uint64_t* cells = block + pass.plus * shape.sheet_words() + j;
    for (int n = 0; n < outputs; ++n) {
      Unit& unit = s.units[j * outputs + n];
      uint16_t* lines = s.lines + (j * outputs + n) * (shape.height + 4);
      int count = 0;
      for (int64_t r = 0; r < shape.height; ++r) {
        lines[count] = uint16_t(r);
        count += int(cells[r * kSlices] >> n & 1);
      }
      most = count > most ? count : most;
      while (count % 4) lines[count++] = uint16_t(shape.height);
      unit = {n, count, uint16_t(j), 0, uint8_t(j), {uint16_t(count)}, lines};
    }
  }
  return most;
}

// Bits of 64 positions' inputs to one tile, [R + 1, 8]; adds the inputs up for the offset, unless
// `constant` is null.
template <class Vec>
void narrow_inputs(const Job& job, const Scratch& s, int64_t t, int first_position, int positions,
                   uint32_t* constant) {
  const reram_problem& p = job.p;
  const int64_t first = t * p.rows, depth = job.shape.depth;
  const int64_t height = depth - first < p.rows ? depth - first : p.rows;
  const uint8_t mask = uint8_t((1u << p.input_bits) - 1);
  const uint8_t* const* from = s.codes + first_position;
  int run[kColumns + 1] = {}, runs = 0;  // of positions side by side in memory
  for (int m = 1; m <= positions; ++m)
    if (m == positions || from[m] != from[m - 1] + 1) run[++runs] = m;
  std::memset(s.inputs, 0, size_t(job.shape.sheet_words()) * sizeof(uint64_t));
  for (int64_t r = 0; r < height; ++r) {
    const int64_t offset = job.gather.offsets[first + r];
    uint8_t codes[kColumns] = {};
    for (int k = 0; k < runs; ++k)
      copy_codes(codes + run[k], from[run[k]] + offset, run[k + 1] - run[k]);
    for (uint8_t& code : codes) code &= mask;
    Vec::transpose(codes, s.inputs + r * kSlices);
    if (p.encoding == RERAM_OFFSET)
      for (int m = 0; m < positions; ++m) constant[m] -= uint32_t(codes[m]) << (p.weight_bits - 1);
  }
}

// Results of up to 64 positions: `sums` by bit-line and position.
template <class Vec>
void finish_strip(const Job& job, const Task& task, const Scratch& s, int first, uint32_t* sums,
                  const uint32_t* constant, int32_t* acc) {
  const int outputs = int(job.p.outputs), left = int(task.m1 - task.m0) - first;
  for (int n = 0; n < outputs; ++n, sums += kColumns) {
    const int64_t channel = task.group * outputs + n;
    int32_t sorted[kColumns];
    for (int k = 0; k < kColumns; ++k)
      sorted[Vec::column(k)] = int32_t(sums[k] + constant[Vec::column(k)]);
    const int count = left < kColumns ? left : kColumns;
    if (const Finish* f = job.finish) {
      const uint32_t correction = uint32_t(f->correction[channel]);
      const float scale = f->scale[channel], bias = f->bias ? f->bias[channel] : 0;
      float* y = f->y + channel * f->strides[1];
      for (int m = 0; m < count; ++m)
        y[s.places[first + m]] = float(int32_t(uint32_t(sorted[m]) - correction)) * scale + bias;
    } else {
      int32_t* out = acc + (task.m0 + first) * job.p.groups * outputs + channel;
      for (int m = 0; m < count; ++m) out[m * job.p.groups * outputs] = sorted[m];
    }
  }
}

template <class Vec>
void convert_narrow(const Job& job, const Task& task, const Scratch& s, int32_t* acc) {
  const reram_problem& p = job.p;
  const Shape& shape = job.shape;
  const int outputs = int(p.outputs), count = int(task.m1 - task.m0);
  const int64_t strip_sums = int64_t(outputs) * kColumns;
  locate(job, task, s);
  uint32_t base = 0;  // of the byte tables, for each tile
  for (int i = 0; i < shape.cycles; ++i) base += job.vector_acc[i] << i;
  uint32_t constant[kNarrowPositions] = {};
  for (int m = 0; m < count; ++m) constant[m] = base * uint32_t(shape.tiles);
  std::memset(s.sums, 0, size_t((count + kColumns - 1) / kColumns * strip_sums) * sizeof(uint32_t));
  for (int64_t t = 0; t < shape.tiles; ++t) {
    for (int q = 0; q < job.pass_count; ++q) {
      const int most = narrow_units(job, block_of(job, task, t, 0), job.passes[q], s);
      const int path = most <= job.most4 ? kFour : most <= job.most6 ? kSix : kEight;
      for (int m = 0; m < count; m += kColumns) {
        const int positions = count - m < kColumns ? count - m : kColumns;
        narrow_inputs<Vec>(job, s, t, m, positions, q ? nullptr : constant + m);
        for (int j = 0; j < shape.slices; ++j) {
          int64_t by_cycle[kSlices] = {};
          const Sweep w = {s.inputs,
                           nullptr,
                           0,
                           1,
                           1,
                           s.units + j * outputs,
                           outputs,
                           kCycleWeights,
                           job.narrow[q],
                           positions == kColumns ? ~uint64_t(0) : (uint64_t(1) << positions) - 1,
                           job.addends,
                           s.sums + m / kColumns * strip_sums,
                           s.counts ? by_cycle : nullptr,
                           nullptr};
          w.counts ? convert_path<Vec, false, true>(path, w)
                   : convert_path<Vec, false, false>(path, w);
          for (int i = 0; i < shape.cycles && s.counts; ++i) s.counts[j] += by_cycle[i];
        }
      }
    }
  }
  for (int m = 0; m < count; m += kColumns)
    finish_strip<Vec>(job, task, s, m, s.sums + m / kColumns * strip_sums, constant + m, acc);
}

}  // namespace
}  // namespace reram
