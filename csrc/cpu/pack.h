// From input codes to units: what a cycle of a position drives in one tile.
#pragma once

#include "cpu/sweep.h"

namespace reram::cpu::RERAM_ISA {
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

// Pads a list of word-lines to a multiple of four with the empty one; writes four beyond its end.
inline int pad_lines(int64_t height, uint16_t* lines, int count) {
  const uint64_t four = uint64_t(height * kSlices) * 0x0001000100010001;
  std::memcpy(lines + count, &four, sizeof four);
  return (count + 3) & ~3;
}

// A short copy; a call of memcpy would take longer. The last bytes may be written twice.
inline void copy_codes(uint8_t* to, const uint8_t* from, int64_t length) {
  if (length >= 16) {
    for (int64_t k = 0; k + 16 < length; k += 16) std::memcpy(to + k, from + k, 16);
    std::memcpy(to + length - 16, from + length - 16, 16);
  } else if (length >= 8) {
    std::memcpy(to, from, 8);
    std::memcpy(to + length - 8, from + length - 8, 8);
  } else if (length >= 4) {
    std::memcpy(to, from, 4);
    std::memcpy(to + length - 4, from + length - 4, 4);
  } else {
    for (int64_t k = 0; k < length; ++k) to[k] = from[k];
  }
}

// Codes of one position in one tile, in the order of their addresses.
inline void gather_codes(const Job& job, int64_t t, const uint8_t* position, uint8_t* row) {
  const Gather& g = job.input.gather;
  for (int64_t k = g.first[t]; k < g.first[t + 1]; ++k)
    copy_codes(row + g.segments[k].at, position + g.segments[k].offset, g.segments[k].length);
}

// The units of one tile.
struct Tile {
  int ends[kCycles + 1][kPaths];  // units of each path before each cycle
  bool nibbles;                   // whether units may be of their paths
  int live[kCycles][kPaths];      // the lowest pair of slices that any of them looks up
  int64_t empty[kCycles];         // positions without a driven word-line, by cycle
};

// Where the inputs and the outputs of a task's positions lie.
inline void locate(const Job& job, const Task& task, const Scratch& s) {
  const int64_t *size = job.p.positions, *u = job.p.u_stride_position;
  const int64_t none[4] = {}, *y = job.finish ? job.finish->strides : none;
  const uint8_t* first = job.input.u + task.group * job.p.u_stride_group;
  const int64_t code_step = u[2], place_step = y[3], count = task.m1 - task.m0;
  int64_t column = task.m0 % size[2], row = task.m0 / size[2];
  for (int64_t m = 0, n; m < count; m += n, column = 0, ++row) {
    const int64_t image = row / size[1], y_row = row % size[1];
    const uint8_t* code = first + image * u[0] + y_row * u[1] + column * code_step;
    const int64_t place = image * y[0] + y_row * y[2] + column * place_step;
    const uint8_t** codes = s.codes + m;
    int64_t* places = s.places + m;
    n = size[2] - column < count - m ? size[2] - column : count - m;
    for (int64_t k = 0; k < n; ++k) codes[k] = code + k * code_step;
    for (int64_t k = 0; k < n; ++k) places[k] = place + k * place_step;
  }
}

// Positions side by side: [start[k], start[k + 1]) for each of `count` runs.
struct Runs {
  // The positions [first, first + positions) of rows of `width`; those of a row lie side by side if
  // `together`.
  Runs(int64_t first, int positions, int64_t width, bool together) {
    int64_t column = first % width;
    for (int m = 0; m < positions; column = 0) {
      start[count++] = m;
      const int64_t left = together ? width - column : 1;
      m = left < positions - m ? m + int(left) : positions;
    }
    start[count] = positions;
  }
  int count = 0;
  int start[kColumns + 1];
};

// One code of each position, 64 bytes in all; zero beyond the last.
inline void load_codes(const uint8_t* const* from, int64_t offset, const Runs& runs,
                       uint8_t* codes) {
  std::memset(codes, 0, kColumns);
  for (int k = 0; k < runs.count; ++k) {
    const int start = runs.start[k];
    copy_codes(codes + start, from[start] + offset, runs.start[k + 1] - start);
  }
}

// What the encoding's offset adds to a result for an input of one.
inline uint32_t offset_of_one(const reram_problem& p) {
  return uint32_t(p.unit) << (p.weight_bits - 1);
}

// Bit planes of all positions' inputs to one tile, and how many word-lines each drives; adds the
// encoding's offset to the constants.
template <class Vec>
void pack_planes(const Job& job, const Task& task, const Scratch& s, int64_t t) {
  const reram_problem& p = job.p;
  const int words = job.shape.words, bits = p.input_bits;
  const int64_t first = t * p.rows, left = job.shape.depth - first;
  const int64_t height = left < p.rows ? left : p.rows;
  std::memset(s.row + height, 0, size_t(64 * words - height));
  for (int64_t m = 0; m < task.m1 - task.m0; ++m) {
    gather_codes(job, t, s.codes[m], s.row);
    uint64_t* planes = s.inputs + m * kCycles * words;
    int active[kCycles] = {};
    for (int w = 0; w < words; ++w) {
      uint64_t word[kCycles];
      Vec::transpose(s.row + 64 * w, word);
      for (int i = bits; i < kCycles; ++i) word[i] = 0;
      for (int i = 0; i < kCycles; ++i) {
        planes[i * words + w] = word[i];
        active[i] += Vec::popcount(word[i]);
      }
    }
    uint32_t offset = 0;
    for (int i = 0; i < kCycles; ++i) {
      s.active[m * kCycles + i] = uint16_t(active[i]);
      offset += uint32_t(active[i]) << i;
    }
    if (p.encoding == RERAM_OFFSET) s.constant[m] -= offset * offset_of_one(p);
  }
}

// Bits that a cycle applies.
inline int bits_of(const Job& job, int cycle) {
  const int left = kCycles - job.shape.dac_shift[cycle];
  return job.p.dac_bits[cycle] < left ? job.p.dac_bits[cycle] : left;
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

// The units of a tile for all positions of a task; adds to the constants what the tile gives to all
// outputs of a position alike. Those of a cycle lie side by side, since they are much alike: their
// loops then end where the processor expects it.
template <class Vec>
Tile make_units(const Job& job, const Task& task, const Scratch& s, int64_t t, bool nibbles) {
  const int64_t count = task.m1 - task.m0, height = job.shape.height;
  const int words = job.shape.words, cycles = job.shape.cycles;
  const uint16_t* line_of = job.input.gather.lines + t * job.input.gather.stride;
  const uint16_t* const all_active = s.active;
  const uint64_t* const inputs = s.inputs;
  uint32_t* const constant = s.constant;
  uint16_t* lines = s.lines;
  int64_t* const counts =
      task.b0 == 0 ? s.driven : nullptr;  // bit-lines may be divided among tasks
  Unit* next[kPaths];
  for (int path = 0; path < kPaths; ++path) next[path] = s.units + path * count * cycles;
  Tile tile = {};
  tile.nibbles = nibbles;
  for (int i = 0; i < cycles; ++i) {
    const Choice* choices = job.choices + i * (height + 1);
    for (int& live : tile.live[i]) live = kSlices / 2;
    for (int64_t m = 0; counts && m < count; ++m)
      ++counts[all_active[m * kCycles + i] * kCycles + i];
    int64_t empty = 0;
    for (int64_t m = 0; m < count; ++m) {
      const int active = all_active[m * kCycles + i];
      const Choice choice = choices[active];
      const int path = nibbles ? choice.nibbles : choice.path;
      empty += active == 0;
      constant[m] += choice.constant;
      if (path == kPaths) continue;
      if (choice.live < tile.live[i][path]) tile.live[i][path] = choice.live;
      const int listed = Vec::lines(inputs + (m * kCycles + i) * words, words, line_of, lines);
      const uint16_t padded = uint16_t(pad_lines(height, lines, listed));
      *next[path]++ = {int32_t(m), active, choice.set, uint16_t(i), {padded}, 0, lines};
      lines += padded;
    }
    tile.empty[i] = empty;
    for (int path = 0; path < kPaths; ++path)
      tile.ends[i + 1][path] = int(next[path] - s.units - path * count * cycles);
  }
  return tile;
}

// The same where sums take more than a byte: all units go the same way.
template <class Vec>
Tile make_digit_units(const Job& job, const Task& task, const Scratch& s, int64_t t) {
  const Shape& shape = job.shape;
  const int64_t count = task.m1 - task.m0;
  const int words = shape.words;
  const uint16_t* line_of = job.input.gather.lines + t * job.input.gather.stride;
  Tile tile = {};
  uint16_t* lines = s.lines;
  Unit* unit = s.units + kWide * count * shape.cycles;
  int64_t* const counts = task.b0 == 0 ? s.driven : nullptr;
  for (int i = 0; i < shape.cycles; ++i) {
    const int bit = shape.dac_shift[i], bits = bits_of(job, i);
    const uint32_t empty = job.tables.empty_acc ? job.tables.empty_acc[i] << bit : 0;
    for (int64_t m = 0; m < count; ++m) {
      const uint64_t* planes = s.inputs + (m * kCycles + bit) * words;
      const int driven = driven_in<Vec>(shape, planes, 0, bits);
      if (counts) ++counts[driven * kCycles + i];
      if (!driven) {
        ++tile.empty[i];
        s.constant[m] += empty;
        continue;
      }
      const int set = job.set(job.tables.bucket_of[driven], i);
      *unit = {int32_t(m), driven, uint16_t(set), uint16_t(bit), {}, 0, lines};
      for (int d = 0; d < bits; ++d) {
        const int listed = Vec::lines(planes + d * words, words, line_of, lines);
        unit->counts[d] = uint16_t(pad_lines(shape.height, lines, listed));
        lines += unit->counts[d];
      }
      ++unit;
    }
    tile.ends[i + 1][kWide] = int(unit - s.units) - kWide * int(count) * shape.cycles;
  }
  return tile;
}

template <class Vec>
Tile pack_tile(const Job& job, const Task& task, const Scratch& s, int64_t t, bool nibbles) {
  pack_planes<Vec>(job, task, s, t);
  return job.has_digits() ? make_digit_units<Vec>(job, task, s, t)
                          : make_units<Vec>(job, task, s, t, nibbles);
}

}  // namespace
}  // namespace reram::cpu::RERAM_ISA
