// What a problem may be: the one check before anything reads it, whatever the backend.
#pragma once

#include "api/reram_crossbar.h"
#include "common/integers.h"

namespace reram {

// Whether three sizes and their product are from `low` to `high`.
inline bool product_within(const int64_t (&sizes)[3], int64_t low, int64_t high) {
  for (int64_t size : sizes)
    if (!within(size, low, high)) return false;
  const int64_t two = sizes[0] * sizes[1];  // high is at most 2^31
  return two <= high && within(two * sizes[2], low, high);
}

// Whether sizes and geometry are in range; strides may be anything. `isa` and `threads` are the
// CPU's own, and checked there.
inline bool valid(const reram_problem& p) {
  constexpr int64_t kMost = int64_t(1) << 31;  // keeps products of two sizes within 64 bits
  return product_within(p.positions, 0, kMost) && within(p.groups, 1, 1 << 20) &&
         product_within(p.depth, 1, 1 << 22) && within(p.outputs, 1, 1 << 22) &&
         within(p.rows, 1, 4096) && within(p.cell_bits, 1, 4) && within(p.dac_bits, 1, 4) &&
         within(p.weight_bits, 1, 8) && within(p.input_bits, 1, 8) &&
         within(p.encoding, RERAM_OFFSET, RERAM_DUAL) && within(p.tables, 1, 1 << 16) &&
         within(p.buckets, 1, 255);
}

}  // namespace reram
