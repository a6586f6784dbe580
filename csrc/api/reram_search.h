/* C interface of the searches that optimal ADCs make: the dynamic programmes of design_adc.
 *
 * Plain C, like reram_crossbar.h. A table is a histogram of bit-line sums; its search ends at
 * single levels, at runs (small plain ADCs) or at escapes. What costs what, and which of equally
 * good searches is taken, is defined by reram_torch/design/endings.py and splits.py, whose
 * floating-point operations are repeated one by one: searches of single levels, runs and escapes
 * are the same.
 *
 * Arrays, row-major, of T tables over V values each (the bit-line sums from `lowest`):
 *
 *   counts      double [T, V]         conversions
 *   errors      double [T, V]         weights of a squared error; one that is infinite makes its
 *                                     whole table free of error
 *   escape      double [T, V]         cost of an escape, or NULL: there is none
 *   prices      double [T, 3]         of a comparison, of a conversion that starts, of a word
 *   cuts        int32 [sum of C + 1]  thresholds that are allowed, with the first value and the end
 *                                     of all: C groups of values between them, for each of several
 *                                     shapes
 *   cut_starts  int64 [shapes + 1]    where each shape's cuts begin
 *   shape       int32 [T]             whose cuts a table has
 *
 * Results: how many ends each table's search has (0: there is none within the limits, -1: there may
 * be one, but it takes too long), and, for each end, from the lowest value on:
 *
 *   first   int32 [T, most]    its first value
 *   depth   int32 [T, most]    comparisons that find it
 *   level   double [T, most]   its first level, counted from the first value; of an escape, nothing
 *   shift   int8 [T, most]     log2 of a run's step; -1: a single level; -2: an escape
 */
#ifndef RERAM_SEARCH_H
#define RERAM_SEARCH_H

#include "reram_crossbar.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct reram_searches {
  int64_t tables, values, shapes;
  int64_t most;      /* ends of a table that there is room for: those of the largest shape */
  int32_t lowest;    /* the bit-line sum of the first value */
  int32_t runs;      /* whether a search may end at runs */
  int32_t aligned;   /* whether these begin at multiples of their widths */
  int32_t depth;     /* the most comparisons that find an end; -1: any number */
  int32_t leaves;    /* the most ends, met by a price for each; 0: any number */
  int32_t intervals; /* the most ends, every cut of which is tried; 0: any number */
  int32_t isa;       /* enum reram_isa */
  int32_t threads;   /* at most this many, >= 1; results do not depend on it */
} reram_searches;

RERAM_API int32_t reram_search(const reram_searches* searches, const int64_t* cut_starts,
                               const int32_t* cuts, const int32_t* shape, const double* counts,
                               const double* errors, const double* escape, const double* prices,
                               int32_t* ends, int32_t* first, int32_t* depth, double* level,
                               int8_t* shift);

#ifdef __cplusplus
}
#endif

#endif
