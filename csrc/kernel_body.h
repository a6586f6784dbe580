// The body of every kernel. An instruction set supplies `Vec` (see kernel_portable.cpp for what it
// must have) and includes this file; all names here have internal linkage for the reason in
// kernel.h.
//
// Work is proportional to the driven word-lines. The cells of a word-line are kept as 8 words, one
// for each slice, with a bit for each of 64 bit-lines, so that one vector addition in carry-save
// form counts a word-line into 512 bit-line sums at once.
#pragma once

#include <cstring>

#include "kernel.h"

// Vectors that pass through memory between the steps of a unit cost more than the steps.
#define RERAM_ALWAYS __attribute__((always_inline))

namespace reram {
namespace {

// What the inner loops work on: one pass of one block over a tile's units of one path.
struct Sweep {
  const uint64_t *plus, *minus;  // [R + 1, 8] cells; minus may be null
  const Unit* units;
  int count;
  const ByteTables* const* tables;  // [sets][8]
  uint64_t columns;                 // bits of the bit-lines that exist
  uint32_t* sums;                   // [C, 64]
  int64_t* counts;                  // [8], or null
  int64_t* bins;                    // [sets, 256, 8]
};

inline int lowest_bit(uint64_t v) { return __builtin_ctzll(v); }

// Transposes 8 x 8 bits: bit i of byte r becomes bit r of byte i.
inline uint64_t transpose8(uint64_t v) {
  uint64_t t = (v ^ (v >> 7)) & 0x00aa00aa00aa00aau;
  v ^= t ^ (t << 7);
  t = (v ^ (v >> 14)) & 0x0000cccc0000ccccu;
  v ^= t ^ (t << 14);
  t = (v ^ (v >> 28)) & 0x00000000f0f0f0f0u;
  return v ^ t ^ (t << 28);
}

// Sums of one slice from its planes (words of 64 bit-lines, `stride` apart), eight at a time.
inline void slice_sums(const uint64_t* planes, int stride, int8_t* out) {
  for (int b = 0; b < 8; ++b) {
    uint64_t bits = 0;
    for (int p = 0; p < 8; ++p) bits |= (planes[p * stride] >> (8 * b) & 0xff) << (8 * p);
    bits = transpose8(bits);
    std::memcpy(out + 8 * b, &bits, 8);
  }
}

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

inline Path path_of(const Job& job, int active, int set) {
  if (job.bytes[0] && !job.bytes[0][set * kSlices]) return kGeneral;
  if (active <= job.most4) return kFour;
  if (active <= job.most6) return kSix;
  return active <= job.most ? kEight : kGeneral;
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
      int driven = active[i];
      if (p.dac_bits > 1) {  // a word-line is driven if any bit of its pulse is set
        driven = 0;
        for (int w = 0; w < shape.words; ++w) {
          uint64_t any = 0;
          for (int d = 0; d < p.dac_bits && i * p.dac_bits + d < kCycles; ++d)
            any |= planes[(i * p.dac_bits + d) * shape.words + w];
          driven += Vec::popcount(any);
        }
      }
      if (driven == 0) {
        ++tile.empty[i];
        if (job.empty_acc) constant += job.empty_acc[i] << (i * p.dac_bits);
        continue;
      }
      const int set = job.set(job.bucket_of[driven], i);
      const Path path = path_of(job, driven, set);
      Unit& unit = s.units[path * count * shape.cycles + tile.counts[path]++];
      unit = {int32_t(m), uint16_t(i), uint16_t(set), 0, lines};
      if (path == kGeneral) continue;
      if (job.vector_acc) constant += job.vector_acc[set] << i;
      int n = Vec::lines(planes + i * shape.words, shape.words, line_of, lines);
      while (n % 4) lines[n++] = uint16_t(shape.height);
      unit.count = n;
      lines += n;
    }
    s.constant[m] += constant;
  }
  return tile;
}

// The sums of one unit, of any number of rows and bits: [8, 64]. Counters are bit-sliced, wide
// enough for 4,096 word-lines of 15 * 15.
template <class Vec>
void general_sums(const Job& job, const Scratch& s, int64_t t, const Pass& pass, const Unit& unit,
                  const uint64_t* block, int32_t (*sums)[kColumns]) {
  const Shape& shape = job.shape;
  const uint16_t* line_of = job.gather.lines + t * job.gather.stride;
  constexpr int kPlanes = 21;
  std::memset(sums, 0, sizeof(int32_t) * kSlices * kColumns);
  for (int side = 0; side < (pass.minus < 0 ? 1 : 2); ++side) {
    const int sign = side ? pass.minus : pass.plus;
    uint64_t planes[kPlanes][kSlices] = {};
    int top = 0;
    for (int d = 0; d < job.p.dac_bits; ++d) {
      const int bit = unit.cycle * job.p.dac_bits + d;
      if (bit >= kCycles) break;  // above the eight bits that a code can have
      const uint64_t* in = s.inputs + (int64_t(unit.position) * kCycles + bit) * shape.words;
      for (int k = 0; k < shape.words; ++k) {
        for (uint64_t left = in[k]; left; left &= left - 1) {
          const int64_t line = line_of[64 * k + lowest_bit(left)];
          for (int c = 0; c < job.p.cell_bits; ++c) {
            const uint64_t* cells =
                block + (sign * job.p.cell_bits + c) * shape.sheet_words() + line * kSlices;
            uint64_t carry[kSlices];
            std::memcpy(carry, cells, sizeof carry);
            uint64_t any = 1;
            for (int q = c + d; any && q < kPlanes; ++q) {
              any = 0;
              for (int j = 0; j < kSlices; ++j) {
                const uint64_t next = planes[q][j] & carry[j];
                planes[q][j] ^= carry[j];
                any |= carry[j] = next;
              }
              top = q >= top ? q + 1 : top;
            }
          }
        }
      }
    }
    for (int j = 0; j < shape.slices; ++j)
      for (int q = 0; q < top; ++q)
        for (int n = 0; n < kColumns; ++n) {
          const int32_t bit = int32_t(planes[q][j] >> n & 1) << q;
          sums[j][n] += side ? -bit : bit;
        }
  }
}

inline int block_columns(const reram_problem& p, int64_t block) {
  const int64_t left = p.outputs - block * kColumns;
  return left < kColumns ? int(left) : kColumns;
}

template <class Vec>
void convert_general(const Job& job, const Scratch& s, int64_t t, const Pass& pass,
                     const uint64_t* block, int columns, const Unit& unit,
                     uint32_t* sums_of_block) {
  int32_t sums[kSlices][kColumns];
  general_sums<Vec>(job, s, t, pass, unit, block, sums);
  uint32_t* into = sums_of_block + int64_t(unit.position) * kColumns;
  for (int j = 0; j < job.shape.slices; ++j) {
    const int64_t table = job.table(unit.set, j);
    const int shift = unit.cycle * job.p.dac_bits + j * job.p.cell_bits;
    for (int k = 0; k < kColumns; ++k) {
      const int n = Vec::column(k);
      if (n >= columns) continue;
      const uint32_t level = uint32_t(pass.sign) * uint32_t(job.levels[table + sums[j][n]]);
      into[k] += level << shift;
      if (s.counts) s.counts[j] += job.comparisons[table + sums[j][n]];
    }
  }
}

inline const uint64_t* block_of(const Job& job, const Task& task, int64_t t, int64_t b) {
  return job.cells + task.group * job.shape.group_words() +
         (t * job.shape.blocks + b) * job.shape.block_words();
}

// Calls `vector(path, sweep)` for the units of each vector path, then `general(unit)` for others.
template <class Vector, class General>
inline void each_path(const Job& job, const Task& task, const Scratch& s, const Tile& tile,
                      const Pass& pass, const uint64_t* block, int columns, uint32_t* sums,
                      const Vector& vector, const General& general) {
  const int64_t room = (task.m1 - task.m0) * job.shape.cycles;
  const int64_t sign_words = job.p.cell_bits * job.shape.sheet_words();
  for (int path = kFour; path < kPaths; ++path) {
    if (!tile.counts[path]) continue;
    vector(path, Sweep{block + pass.plus * sign_words,
                       pass.minus < 0 ? nullptr : block + pass.minus * sign_words,
                       s.units + path * room, tile.counts[path], job.bytes[&pass - job.passes],
                       columns == kColumns ? ~uint64_t(0) : (uint64_t(1) << columns) - 1, sums,
                       s.counts, s.bins});
  }
  for (int k = 0; k < tile.counts[kGeneral]; ++k) general(s.units[k]);
}

template <class Vec, bool Signed, bool Count>
void convert_path(int path, const Sweep& w) {
  if (path == kFour)
    Vec::template convert<4, Signed, Count>(w);
  else if (path == kSix)
    Vec::template convert<6, Signed, Count>(w);
  else
    Vec::template convert<8, Signed, Count>(w);
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
  for (int k = 0; k < kColumns; ++k) {
    if (Vec::column(k) >= columns) continue;
    float* y = f.y + (first + Vec::column(k)) * f.strides[1];
    for (int64_t m = 0; m < count; ++m) std::memcpy(y + s.places[m], sums + m * kColumns + k, 4);
  }
}

template <class Vec>
void convert(const Job& job, const Task& task, const Scratch& s, int32_t* acc) {
  const reram_problem& p = job.p;
  const Shape& shape = job.shape;
  const int64_t count = task.m1 - task.m0, block_sums = count * kColumns;
  std::memset(s.sums, 0, size_t((task.b1 - task.b0) * block_sums) * sizeof(uint32_t));
  std::memset(s.constant, 0, size_t(count) * sizeof(uint32_t));
  locate(job, task, s);
  for (int64_t t = 0; t < shape.tiles; ++t) {
    const Tile tile = pack_tile<Vec>(job, task, s, t);
    for (int64_t b = task.b0; b < task.b1; ++b) {
      const int columns = block_columns(p, b);
      const uint64_t* block = block_of(job, task, t, b);
      uint32_t* sums = s.sums + (b - task.b0) * block_sums;
      for (int q = 0; q < job.pass_count; ++q) {
        const Pass& pass = job.passes[q];
        each_path(
            job, task, s, tile, pass, block, columns, sums,
            [&](int path, const Sweep& w) {
              if (w.minus)
                w.counts ? convert_path<Vec, true, true>(path, w)
                         : convert_path<Vec, true, false>(path, w);
              else
                w.counts ? convert_path<Vec, false, true>(path, w)
                         : convert_path<Vec, false, false>(path, w);
            },
            [&](const Unit& unit) {
              convert_general<Vec>(job, s, t, pass, block, columns, unit, sums);
            });
      }
      for (int i = 0; i < shape.cycles && s.counts; ++i) {
        const int64_t empty = tile.empty[i] * columns * job.pass_count;
        for (int j = 0; j < shape.slices; ++j) {
          const int64_t table = job.table(job.set(0, i), j);
          s.counts[table < 0 ? kSlices + j : j] +=
              table < 0 ? empty : empty * job.comparisons[table];
        }
      }
    }
  }
  for (int64_t b = task.b0; b < task.b1; ++b) {
    uint32_t* sums = s.sums + (b - task.b0) * block_sums;
    for (int64_t m = 0; m < count; ++m)
      for (int k = 0; k < kColumns; ++k) sums[m * kColumns + k] += s.constant[m];
    job.finish ? finish_block<Vec>(job, task, s, b, sums)
               : store_block<Vec>(job, task, b, sums, acc);
  }
}

// Adding and subtracting 1.5 * 2^23 rounds to the nearest whole number, halves to even, as torch
// does; codes end far below it.
template <class Vec>
bool quantize(const float* x, int64_t count, const Quantizer& q, uint8_t* codes) {
  constexpr float kRound = 12582912, kFar = 1024, kLargest = 3.40282347e38f;
  int bad = 0;
  for (int64_t k = 0; k < count; ++k) {
    bad |= !(x[k] <= kLargest) | !(x[k] >= -kLargest);
    float v = x[k] / q.scale;
    v = v > -kFar ? v : -kFar;
    v = v < kFar ? v : kFar;
    v = (v + kRound) - kRound + q.zero;
    v = v > 0 ? v : 0;
    v = v < q.most ? v : q.most;
    codes[k] = uint8_t(int(v));
  }
  return !bad;
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
    const Tile tile = pack_tile<Vec>(job, task, s, t);
    for (int64_t b = task.b0; b < task.b1; ++b) {
      const int columns = block_columns(job.p, b);
      const uint64_t* block = block_of(job, task, t, b);
      auto bins = [&](int set, int j) {
        return s.histogram + (set * shape.slices + j) * values - shape.lowest;
      };
      for (int i = 0; i < shape.cycles; ++i)
        for (int j = 0; j < shape.slices; ++j)
          *bins(job.set(0, i), j) += tile.empty[i] * columns * job.pass_count;
      for (int q = 0; q < job.pass_count; ++q) {
        const Pass& pass = job.passes[q];
        each_path(
            job, task, s, tile, pass, block, columns, nullptr,
            [&](int path, const Sweep& w) {
              w.minus ? histogram_path<Vec, true>(path, w) : histogram_path<Vec, false>(path, w);
            },
            [&](const Unit& unit) {
              int32_t sums[kSlices][kColumns];
              general_sums<Vec>(job, s, t, pass, unit, block, sums);
              for (int j = 0; j < shape.slices; ++j)
                for (int n = 0; n < columns; ++n) ++bins(unit.set, j)[sums[j][n]];
            });
      }
    }
  }
}

}  // namespace
}  // namespace reram
