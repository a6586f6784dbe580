// What a problem may be: the one check before anything reads it, whatever the backend.
#pragma once

#include "api/reram_crossbar.h"
#include "common/integers.h"

namespace reram {

// Beyond these a problem is a mistake, not a layer. They keep products of any two sizes within 64
// bits, and a layer's cells within what a machine can address.
constexpr int64_t kMostPositions = int64_t(1) << 31;
constexpr int64_t kMostDepth = 1 << 22, kMostOutputs = 1 << 22, kMostGroups = 1 << 20;
constexpr int64_t kMostRows = 4096;  // word-lines of an array: sums stay below 2^20
constexpr int64_t kMostBits = 4;     // of a cell and of a DAC
constexpr int64_t kMostCodeBits = 8;
constexpr int64_t kMostTables = 1 << 16;
constexpr int64_t kMostBuckets = 255;                   // a bucket's number is a byte
constexpr int64_t kMostUnit = 2;                        // levels count in halves
constexpr int64_t kMostHazard = int64_t(32) << 32;      // of a conversion that errs for certain
constexpr int64_t kMostConversions = int64_t(1) << 24;  // of a tile with odds: hazards fit 64 bits

// Whether three sizes and their product are from `low` to `high`, at most 2^31.
inline bool product_within(const int64_t (&sizes)[3], int64_t low, int64_t high) {
  for (int64_t size : sizes)
    if (!within(size, low, high)) return false;
  const int64_t two = sizes[0] * sizes[1];
  return two <= high && within(two * sizes[2], low, high);
}

// Whether there are so many widths, each in range, and all but the last within the bits of a code.
inline bool widths_within(const int32_t (&widths)[kMostCodeBits], int64_t count) {
  if (!within(count, 1, kMostCodeBits)) return false;
  int64_t bits = 0;
  for (int64_t k = 0; k < count; bits += widths[k++])
    if (!within(widths[k], 1, kMostBits) || bits >= kMostCodeBits) return false;
  return true;
}

// Whether sizes and geometry are in range; strides may be anything. `isa` and `threads` are the
// CPU's own, and checked there.
inline bool valid(const reram_problem& p) {
  return product_within(p.positions, 0, kMostPositions) && within(p.groups, 1, kMostGroups) &&
         product_within(p.depth, 1, kMostDepth) && within(p.outputs, 1, kMostOutputs) &&
         within(p.rows, 1, kMostRows) && widths_within(p.cell_bits, p.slices) &&
         widths_within(p.dac_bits, p.cycles) && within(p.weight_bits, 1, kMostCodeBits) &&
         within(p.input_bits, 1, kMostCodeBits) && within(p.encoding, RERAM_OFFSET, RERAM_DUAL) &&
         within(p.tables, 1, kMostTables) && within(p.buckets, 1, kMostBuckets) &&
         within(p.unit, 1, kMostUnit) && within(p.speculation, 0, 1);
}

// Whether a chip for a problem in range has all its parts. What its ADCs add may be missing. The
// CPU's library checks what `sigma_of` holds, too.
inline bool valid_chip(const reram_problem& p, const reram_chip* chip) {
  if (!chip || !chip->conductances || !within(chip->columns_per_adc, 1, kMostOutputs)) return false;
  if (!within(chip->passes, 1, 2) || !within(chip->first, 0, INT64_MAX - kMostPositions))
    return false;
  const int64_t positions = p.positions[0] * p.positions[1] * p.positions[2];
  if (positions % chip->passes) return false;
  if (!chip->normal) return true;
  if (!chip->sigmas || !chip->sigma_of || !within(chip->sigma_shift, 0, 31)) return false;
  return within(chip->sigma_rows, 1, 256) && within(chip->sigma_columns, 1, kMostTables * 256);
}

// Whether odds for a problem in range have all their parts. What these hold the CPU's library
// checks.
inline bool valid_odds(const reram_problem& p, const reram_odds* odds) {
  if (!odds || !odds->kind_of || !odds->hazards || !odds->row_of || !odds->shares || !odds->waits)
    return false;
  if (p.speculation || !within(odds->passes, 1, 2) ||
      !within(odds->first, 0, INT64_MAX - kMostPositions))
    return false;
  if (p.positions[0] * p.positions[1] * p.positions[2] % odds->passes) return false;
  const int64_t signs = p.encoding == RERAM_DUAL ? 2 : 1;
  return within(odds->kinds, 1, 256) && within(odds->driven_rows, 1, 256) &&
         within(odds->deltas, 2, 1 << 16) && odds->deltas % 2 == 0 &&
         within(odds->sum_shift, 0, 30) &&
         p.outputs * p.cycles * p.slices * signs <= kMostConversions;
}

}  // namespace reram
