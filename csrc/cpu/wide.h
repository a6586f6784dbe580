// Levels further apart than a byte holds: sums of eight bits are counted in as many planes as they
// need and looked up one by one.
#pragma once

#include "cpu/sweep.h"

namespace reram::cpu::RERAM_ISA {
namespace {

constexpr int kWidePlanes = 8;  // 255 word-lines

using WidePlanes = uint64_t[kWidePlanes][kSlices];

// Counts `n` word-lines (a multiple of four) into the planes below `top`.
inline void count_wide(const uint64_t* cells, const uint16_t* lines, int n, int top,
                       WidePlanes planes) {
  for (int k = 0; k < n; k += 4) {
    const uint64_t *a = cells + lines[k], *b = cells + lines[k + 1], *c = cells + lines[k + 2],
                   *d = cells + lines[k + 3];
    uint64_t carry[kSlices];
    uint64_t *ones = planes[0], *twos = planes[1];
    for (int j = 0; j < kSlices; ++j) {
      const uint64_t x = ones[j] ^ a[j], twos_a = (ones[j] & a[j]) | (x & b[j]), y = x ^ b[j];
      const uint64_t z = y ^ c[j], twos_b = (y & c[j]) | (z & d[j]), w = twos[j] ^ twos_a;
      carry[j] = (twos[j] & twos_a) | (w & twos_b);
      ones[j] = z ^ d[j];
      twos[j] = w ^ twos_b;
    }
    for (int q = 2; q < top; ++q)
      for (int j = 0; j < kSlices; ++j) {
        const uint64_t next = planes[q][j] & carry[j];
        planes[q][j] ^= carry[j];
        carry[j] = next;
      }
  }
}

// Counts a unit's word-lines on the cells of one sign into the planes below `top`.
inline void count_unit(const Unit& unit, const uint64_t* cells, int top, WidePlanes planes) {
  std::memset(planes, 0, sizeof(WidePlanes));
  count_wide(cells, unit.lines, unit.counts[0], top, planes);
}

// The sums of one unit.
template <class Vec>
void wide_sums(const Sweep& w, const Unit& unit, int32_t (*sums)[kColumns]) {
  std::memset(sums, 0, sizeof(int32_t) * kSlices * kColumns);
  int top = 2;
  while (unit.reach >> top) ++top;
  for (int side = 0; side < (w.minus ? 2 : 1); ++side) {
    alignas(64) WidePlanes planes;
    count_unit(unit, side ? w.minus : w.plus, top, planes);
    alignas(64) uint8_t bytes[kSlices][kColumns];
    Vec::bytes_of_planes(planes, bytes);
    for (int j = 0; j < kSlices; ++j)
      for (int n = 0; n < kColumns; ++n) sums[j][n] += side ? -bytes[j][n] : bytes[j][n];
  }
}

template <class Vec>
void convert_wide(const Job& job, const Pass& pass, int columns, const Sweep& w) {
  alignas(64) int32_t sums[kSlices][kColumns];
  for (int u = 0; u < w.count; ++u) {
    const Unit& unit = w.units[u];
    wide_sums<Vec>(w, unit, sums);
    uint32_t* into = w.sums + int64_t(unit.position) * kColumns;
    for (int j = 0; j < job.shape.slices; ++j) {
      const int64_t table = job.table(unit.set, j);
      if (table < 0) continue;
      const int32_t* levels = job.tables.levels + table;
      const uint8_t* comparisons = job.tables.comparisons + table;
      const int shift = unit.shift + job.shape.cell_shift[j];
      int64_t made = 0;
      for (int k = 0; k < kColumns; ++k) {
        const int n = Vec::column(k);
        if (n >= columns) continue;
        into[k] += uint32_t(pass.sign) * uint32_t(levels[sums[j][n]]) << shift;
        made += comparisons[sums[j][n]];
      }
      if (w.counts) w.counts[j * kCountLanes] += made;
    }
  }
}

}  // namespace
}  // namespace reram::cpu::RERAM_ISA
