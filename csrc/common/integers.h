// Whole numbers, for every backend.
#pragma once

#include <cstdint>

// Never a function of its own: one that is compiled for several instruction sets could be merged by
// the linker, and run where it must not. In inner loops it also keeps vectors out of memory.
#define RERAM_ALWAYS __attribute__((always_inline))

namespace reram {

// a / b, rounded up.
RERAM_ALWAYS inline int64_t up(int64_t a, int64_t b) { return (a + b - 1) / b; }

RERAM_ALWAYS inline bool within(int64_t v, int64_t low, int64_t high) {
  return low <= v && v <= high;
}

}  // namespace reram
