// What the kernels of the instruction sets work on.
#pragma once

#include <cstring>

#include "cpu/job.h"

#ifndef RERAM_ISA
#error "name the instruction set, and so the namespace of all that is compiled for it"
#endif

namespace reram::cpu::RERAM_ISA {
namespace {

// What the inner loops work on: one pass of one block over a tile's units of one path.
struct Sweep {
  const uint64_t *plus, *minus;  // [R + 1, 8] cells; minus may be null
  int64_t sheet_words;           // from the cells of one sign to those of the other
  const Unit* units;
  int count;
  const uint16_t* weights;          // of two slices side by side [4]
  const ByteTables* const* tables;  // [sets][8]
  uint64_t columns;                 // bits of the bit-lines that exist, the lowest
  int addends;                      // so many conversions' comparisons add up to a byte at most
  uint32_t* sums;                   // [C, 64]
  int64_t* bins;                    // [sets, 256, 8]
  // Of one cycle by slice (narrow: of one slice by cycle), or null.
  int64_t* counts = nullptr;  // [8, lanes]
  uint8_t* made = nullptr;    // [8, 64] of a narrow layer's full strips and of nibbles, or null
  int* pending = nullptr;
  int live = 0;  // of the tables of the units, the lowest pair of slices that is looked up
  // Of the sum 0 in the tables of a band, and 255 where they convert: [512] by cycle and position,
  // in the order of Vec.
  const uint8_t *places = nullptr, *inside = nullptr;

  // Counts comparisons of a cycle (narrow: of a slice), if any are counted.
  RERAM_ALWAYS void count_into(const Scratch& s, int outer, bool by_column) {
    if (!s.counts) return;
    counts = s.counts + outer * kSlices * kCountLanes;
    if (!by_column) return;
    made = s.made + outer * kSlices * kColumns;
    pending = s.pending + outer;
  }
};

inline uint64_t first_bits(int count) {
  return count < kColumns ? (uint64_t(1) << count) - 1 : ~uint64_t(0);
}

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
inline void slice_sums(const uint64_t* planes, int stride, uint8_t* out) {
  for (int b = 0; b < 8; ++b) {
    uint64_t bits = 0;
    for (int p = 0; p < 8; ++p) bits |= (planes[p * stride] >> (8 * b) & 0xff) << (8 * p);
    bits = transpose8(bits);
    std::memcpy(out + 8 * b, &bits, 8);
  }
}

// Adds the sums of a unit to the bins, N bits of each. The slices take turns, so that no two
// consecutive increments are of the same bin.
template <int N, bool Signed>
inline void count_bytes(const Sweep& w, const Unit& unit, const uint8_t (*sums)[kColumns]) {
  int64_t* bins = w.bins + int64_t(unit.set) * 256 * kSlices;
  for (int n = 0; n < kColumns && w.columns >> n; ++n)
    for (int j = 0; j < kSlices; ++j) {
      const int v = sums[j][n], value = Signed && v >> (N - 1) ? v + 256 - (1 << N) : v;
      ++bins[value * kSlices + j];
    }
}

}  // namespace
}  // namespace reram::cpu::RERAM_ISA
