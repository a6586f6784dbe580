// The rows of the dynamic programmes, for the instruction set RERAM_ISA, which supplies `Lanes`.
//
// A row holds the runs of groups that begin at one group, by their last. So a split at s adds one
// number to a row that lies below, and everything is a contiguous vector; a block of splits at once
// makes the most of each load and store of the row in work. A row's last block may go beyond the
// last group: what it does there is of no consequence, and there is room for it.
#pragma once

#include "search/table.h"

namespace reram::search::RERAM_ISA {
namespace {

constexpr double kInfinity = __builtin_huge_val();

inline double least(double a, double b) { return b < a ? b : a; }

// To the nearest whole number, halves to the even one; |x| < 2^51. A sum beyond 2^52 has no room
// for a fraction: that vectorises everywhere.
inline double rounded(double x) {
  constexpr double kShift = 6755399441055744.0;  // 1.5 * 2^52
  return (x + kShift) - kShift;
}

// The splits of a whole block, given what their left sides cost in each of several rows, for the
// runs that end after it. `into` is the first of these rows; each lies above the one before.
template <class Lanes, int N>
inline void join_block(const double* left, const double* right, int64_t stride, int from, int n,
                       double* into) {
  Lanes x[N][Lanes::kBlock];
  for (int r = 0; r < N; ++r)
    for (int k = 0; k < Lanes::kBlock; ++k) x[r][k] = Lanes::all(left[k - r * stride]);
  for (int b = from; b < n; b += Lanes::kCount) {
    Lanes found[N], side;
    for (int r = 0; r < N; ++r) found[r] = Lanes::load(into + b - r * stride);
    for (int k = 0; k < Lanes::kBlock; ++k) {
      side = Lanes::load(right + k * stride + b);
      for (int r = 0; r < N; ++r) found[r] = found[r].least(x[r][k] + side);
    }
    for (int r = 0; r < N; ++r) found[r].store(into + b - r * stride);
  }
}

template <class Lanes>
void join(const double* left, const double* right, int a, int n, double* into, int64_t stride) {
  for (int s = a; s < n; s += Lanes::kBlock) {
    for (int k = s; k < s + Lanes::kBlock; ++k)
      for (int b = k + 1; b < s + Lanes::kBlock; ++b)
        into[b] = least(into[b], left[k] + right[(k + 1) * stride + b]);
    join_block<Lanes, 1>(left + s, right + (s + 1) * stride, stride, s + Lanes::kBlock, n, into);
  }
}

// Rows a, a - 1, ... at once: they share what lies below, and each has arithmetic to do while
// another one's sums are on their way. Runs of row r are split between those rows, too: `head` is
// what the left sides cost.
template <class Lanes, int N>
void best_rows(const Costs* costs, int a, int n, double* f, int64_t stride) {
  double* row = f + a * stride;
  for (int r = 0; r < N; ++r)
    for (int b = a - r; b < n + kPad; ++b) row[b - r * stride] = kInfinity;
  double head[N][N];  // [r, q]: the run from a - r to a - q - 1
  for (int r = 1; r < N; ++r)
    for (int q = r - 1; q >= 0; --q) {
      const int b = a - q - 1;
      double found = kInfinity;
      for (int p = r - 1; p > q; --p) found = least(found, head[r][p] + row[b - p * stride]);
      found = least(costs[r].leaf[b], found + costs[r].node[b]);
      head[r][q] = row[b - r * stride] = found;
    }
  for (int s = a; s < n; s += Lanes::kBlock) {
    const double* below = f + (s + 1) * stride + s;
    double found[N][Lanes::kBlock];
    for (int r = 0; r < N; ++r)
      for (int k = 0; k < Lanes::kBlock; ++k) found[r][k] = row[s + k - r * stride];
    for (int k = 0; k < Lanes::kBlock; ++k)
      for (int r = 0; r < N; ++r) {
        const double leaf = costs[r].leaf[s + k], node = costs[r].node[s + k];
        double cost = found[r][k];
        for (int q = 0; q < r; ++q) cost = least(cost, head[r][q] + found[q][k]);
        found[r][k] = cost = least(leaf, cost + node);
        for (int b = k + 1; b < Lanes::kBlock; ++b)
          found[r][b] = least(found[r][b], cost + below[k * stride + b]);
      }
    for (int r = 0; r < N; ++r)
      for (int k = 0; k < Lanes::kBlock; ++k) row[s + k - r * stride] = found[r][k];
    join_block<Lanes, N>(row + s, f + (s + 1) * stride, stride, s + Lanes::kBlock, n, row);
  }
}

template <class Lanes>
void best(const Costs* costs, int a, int rows, int n, double* f, int64_t stride) {
  if (rows == kRows)
    best_rows<Lanes, kRows>(costs, a, n, f, stride);
  else
    for (int r = 0; r < rows; ++r) best_rows<Lanes, 1>(costs + r, a - r, n, f, stride);
}

// One level for each run of groups: a multiple of 1/2 within it, the weighted mean rounded, or the
// middle where nothing has weight.
inline void levels(const Table& t, int a, int from, int to, double* __restrict leaf,
                   double* __restrict node) {
  const double *zero = t.zero, *one = t.one, *two = t.two, *at = t.at, *made = t.made;
  const double zero_a = zero[a], one_a = one[a], two_a = two[a], first = at[a], made_a = made[a];
  const double comparison = t.comparison, word = t.word;
  for (int b = from; b < to; ++b) node[b] = (made[b + 1] - made_a) * comparison + word;
  if (t.exact) {
    for (int b = from; b < to; ++b) leaf[b] = at[b + 1] - first > 1 ? kInfinity : 0.0;
    return;
  }
  for (int b = from; b < to; ++b) {
    const double w0 = zero[b + 1] - zero_a, w1 = one[b + 1] - one_a, w2 = two[b + 1] - two_a;
    const double end = at[b + 1], last = end - 1, middle = (first + end - 1) / 2;
    const double mean = (w0 > 0 ? w1 : middle) / (w0 > 0 ? w0 : 1.0);
    double level = rounded(2 * mean) / 2;
    level = level < first ? first : level;
    level = level > last ? last : level;
    const double found = w2 - 2 * level * w1 + level * level * w0;
    leaf[b] = end - first > 1 && found > 0 ? found : 0.0;
  }
}

inline void escapes(const Table& t, int a, int from, int to, double* leaf, int8_t* shift) {
  for (int b = from; b < to; ++b) {
    const double found = t.escape[b + 1] - t.escape[a] + t.word;
    if (found < leaf[b]) leaf[b] = found, shift[b] = int8_t(kEscape);
  }
}

inline int bits_of(int64_t value) { return value ? 64 - __builtin_clzll(uint64_t(value)) : 0; }

// Runs of all steps at once, a lane for each: their errors add up value by value.
template <class Lanes, int N>
void runs(const Table& t, int a, int from, int to, double* leaf, int8_t* shift) {
  const int first = t.first[a];
  const int64_t sum = t.lowest + first;
  const int64_t widest = t.aligned && sum ? sum & -sum : int64_t(1) << 40;
  Lanes errors[N];
  for (int k = 0; k < N; ++k) errors[k] = Lanes::all(0.0);
  const double* square = t.squares;
  int v = first;
  for (int b = a; b < to; ++b) {
    const int64_t length = t.first[b + 1] - first;
    if (length > widest) return;
    for (; v < t.first[b + 1]; ++v, square += kMostSteps) {
      const Lanes weight = Lanes::all(t.weight[v]);
      for (int k = 0; k < N; ++k)
        errors[k] = errors[k] + weight * Lanes::load(square + k * Lanes::kCount);
    }
    if (b < from) continue;
    double error[N * Lanes::kCount];
    for (int k = 0; k < N; ++k) errors[k].store(error + k * Lanes::kCount);
    const double made = (t.made[b + 1] - t.made[a]) * t.comparison;
    // A plain ADC of step 2^s over so many sums takes `bits - s`; without any it is a level.
    const int bits = bits_of(length - 1);
    for (int s = 0; s < bits; ++s) {
      const double wrong = !t.exact ? error[s] : error[s] > 0 ? kInfinity : 0.0;
      const double found = wrong + (bits - s) * made + t.word;
      if (found < leaf[b]) leaf[b] = found, shift[b] = int8_t(s);
    }
  }
}

template <class Lanes>
void costs(const Table& t, int a, int from, int to, const Costs& into) {
  const auto [leaf, node, shift] = into;
  levels(t, a, from, to, leaf, node);
  if (t.escape || t.steps)
    for (int b = from; b < to; ++b) shift[b] = int8_t(kLevel);
  if (t.escape) escapes(t, a, from, to, leaf, shift);
  if (t.steps > kMostSteps / 2)
    runs<Lanes, kMostSteps / Lanes::kCount>(t, a, from, to, leaf, shift);
  else if (t.steps)
    runs<Lanes, kMostSteps / 2 / Lanes::kCount>(t, a, from, to, leaf, shift);
  for (int b = from; b < to; ++b) leaf[b] += t.each;
}

}  // namespace
}  // namespace reram::search::RERAM_ISA
