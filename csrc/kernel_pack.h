// From input codes to units: what a cycle of a position drives in one tile.
#pragma once

#include "kernel_sweep.h"

namespace reram {
namespace {

// Word-lines that the bits of `words` drive, bit k driving `from[k]`: writes 64 beyond the last at
// most.
inline int driven_lines(const uint64_t* words, int count, const uint16_t* from, uint16_t* lines) {
  int n = 0;
  for (int k = 0; k < count; ++k)
    for (uint64_t left = words[k]; left; left &= left - 1)
      lines[n++] = from[64 * k + lowest_bit(left)];
  return n;
}

// A short copy; a call of memcpy would take longer.
inline void copy_codes(uint8_t* to, const uint8_t* from, int64_t length) {
  int64_t k = 0;
  for (; k + 16 <= length; k += 16) std::memcpy(to + k, from + k, 16);
  if (k + 8 <= length) {
    std::memcpy(to + k, from + k, 8);
    k += 8;
  }
  if (k + 4 <= length) {
    std::memcpy(to + k, from + k, 4);
    k += 4;
  }
  for (; k < length; ++k) to[k] = from[k];
}

// Codes of one position in one tile, in the order of their addresses.
inline void gather_codes(const Job& job, int64_t t, const uint8_t* position, uint8_t* row) {
  const Gather& g = job.gather;
  for (int64_t k = g.first[t]; k < g.first[t + 1]; ++k)
    copy_codes(row + g.segments[k].at, position + g.segments[k].offset, g.segments[k].length);
}

// The units of one tile.
struct Tile {
  int counts[kPaths];
  int64_t empty[kCycles];  // positions without a driven word-line, by cycle
};

inline Path path_of(const Job& job, int reach, int set) {
  if (reach > job.most || (job.bytes[0] && !job.bytes[0][set * kSlices])) return kWide;
  return reach <= job.most4 ? kFour : reach <= job.most6 ? kSix : kEight;
}

// Where the inputs and the outputs of a task's positions lie.
inline void locate(const Job& job, const Task& task, const Scratch& s) {
  const int64_t *size = job.p.positions, *u = job.p.u_stride_position;
  const int64_t none[4] = {}, *y = job.finish ? job.finish->strides : none;
  const uint8_t* first = job.u + task.group * job.p.u_stride_group;
  int64_t column = task.m0 % size[2], row = task.m0 / size[2] % size[1];
  int64_t image = task.m0 / size[2] / size[1];
  for (int64_t m = 0; m < task.m1 - task.m0; ++m) {
    s.codes[m] = first + image * u[0] + row * u[1] + column * u[2];
    s.places[m] = image * y[0] + row * y[2] + column * y[3];
    if (++column < size[2]) continue;
    column = 0;
    if (++row < size[1]) continue;
    row = 0;
    ++image;
  }
}

// Word-lines driven in a cycle of several bits: those with any bit of their pulse set.
template <class Vec>
int driven_in(const Shape& shape, const uint64_t* planes, int first_bit, int bits) {
  int driven = 0;
  for (int w = 0; w < shape.words; ++w) {
    uint64_t any = 0;
    for (int d = 0; d < bits; ++d) any |= planes[(first_bit + d) * shape.words + w];
    driven += Vec::popcount(any);
  }
  return driven;
}

// Bit planes of a tile's inputs for all positions of a task, and its units; adds to the constants
// what the tile gives to all outputs of a position alike.
template <class Vec>
Tile pack_tile(const Job& job, const Task& task, const Scratch& s, int64_t t) {
  const reram_problem& p = job.p;
  const Shape& shape = job.shape;
  const int64_t count = task.m1 - task.m0, first = t * p.rows;
  const int64_t height = shape.depth - first < p.rows ? shape.depth - first : p.rows;
  const uint16_t* line_of = job.gather.lines + t * job.gather.stride;
  std::memset(s.row + height, 0, size_t(64 * shape.words - height));
  const uint32_t input_mask = (1u << p.input_bits) - 1;
  Tile tile = {};
  uint16_t* lines = s.lines;
  for (int64_t m = 0; m < count; ++m) {
    gather_codes(job, t, s.codes[m], s.row);
    uint64_t* planes = s.inputs + m * kCycles * shape.words;
    int active[kCycles] = {};
    for (int w = 0; w < shape.words; ++w) {
      uint64_t word[kCycles];
      Vec::transpose(s.row + 64 * w, word);
      for (int i = 0; i < kCycles; ++i) {
        if (!(input_mask >> i & 1)) word[i] = 0;
        planes[i * shape.words + w] = word[i];
        active[i] += Vec::popcount(word[i]);
      }
    }
    uint32_t constant = 0;
    if (p.encoding == RERAM_OFFSET)
      for (int i = 0; i < kCycles; ++i) constant -= uint32_t(active[i]) << (i + p.weight_bits - 1);
    for (int i = 0; i < shape.cycles; ++i) {
      const int first_bit = i * p.dac_bits, shift = first_bit;
      const int bits = kCycles - first_bit < p.dac_bits ? kCycles - first_bit : p.dac_bits;
      const int driven =
          bits == 1 ? active[first_bit] : driven_in<Vec>(shape, planes, first_bit, bits);
      if (driven == 0) {
        ++tile.empty[i];
        if (job.empty_acc) constant += job.empty_acc[i] << shift;
        continue;
      }
      const int set = job.set(job.bucket_of[driven], i);
      int reach = 0;
      for (int d = 0; d < bits; ++d) reach += active[first_bit + d] << d;
      reach *= (1 << p.cell_bits) - 1;
      const Path path = path_of(job, reach, set);
      Unit& unit = s.units[path * count * shape.cycles + tile.counts[path]++];
      unit = {int32_t(m), reach, uint16_t(set), uint8_t(i), uint8_t(shift), {}, lines};
      if (path != kWide && job.vector_acc) constant += job.vector_acc[set] << shift;
      for (int d = 0; d < bits; ++d) {
        int n = Vec::lines(planes + (first_bit + d) * shape.words, shape.words, line_of, lines);
        while (n % 4) lines[n++] = uint16_t(shape.height);
        unit.counts[d] = uint16_t(n);
        lines += n;
      }
    }
    s.constant[m] += constant;
  }
  return tile;
}

}  // namespace
}  // namespace reram
