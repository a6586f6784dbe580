// A table as the kernels see it, and what each instruction set supplies.
//
// Plain pointers only, as in cpu/job.h: kernels include no C++ library header.
#pragma once

#include <cstdint>

namespace reram::search {

constexpr int kLevel = -1, kEscape = -2;  // an end that is no run
constexpr int kMostSteps = 16;            // of runs: sums have 16 bits
constexpr int kRows = 4;                  // solved at once
constexpr int kPad = 8;  // columns and rows that may be touched beyond the last; a block at most

// One histogram, by the n groups of values that no threshold may part. Arrays [n + 1] are sums over
// all groups before one; positions count from an origin amid the histogram, so that the squares of
// those that matter are small and their differences exact enough.
struct Table {
  int n;
  const double* at;                // [n + 1] first value of each group
  const double *zero, *one, *two;  // [n + 1] moments of the errors' weights
  const double* made;              // [n + 1] conversions
  const double* escape;            // [n + 1], or null
  double comparison, word, each;   // prices: of a comparison, a word, an end
  bool exact;                      // no error is allowed
  int steps;                       // of runs: 1, 2, 4, ... 2^(steps - 1); 0: no runs
  const double* weight;            // [V] of runs' errors
  const double* squares;           // [V, kMostSteps] squared distance to a run's level
  const int32_t* first;            // [n + 1] first value of each group, from 0
  int64_t lowest;                  // sum of the first value
  bool aligned;
};

// Of the runs that begin at one group, by their last: what ending there costs, what one more
// comparison costs, and what they end at (written only if the table has runs or escapes).
struct Costs {
  double *leaf, *node;
  int8_t* shift;
};

struct Kernels {
  // Of the runs from group a to the groups from `from` on, before `to`.
  void (*costs)(const Table&, int a, int from, int to, const Costs&);
  // f(a, b) for all b, and for the rows a - 1, a - 2, ... if there are several, up to kRows: the
  // least of leaf[b] and node[b] + min over s of f(a, s) + f(s + 1, b), given all rows [stride]
  // beyond a.
  void (*best)(const Costs*, int a, int rows, int n, double* f, int64_t stride);
  // Lowers into[b] to the least of left[s] + right(s + 1, b), given the rows of both sides.
  void (*join)(const double* left, const double* right, int a, int n, double* into, int64_t stride);
};

namespace portable {
extern const Kernels kKernels;
}
#ifdef RERAM_X86
namespace avx2 {
extern const Kernels kKernels;
}
namespace avx512 {
extern const Kernels kKernels;
}
#endif

}  // namespace reram::search
