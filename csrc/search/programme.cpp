// What reram_torch/design/splits.py and optimal_intervals.py define, one table at a time. Splits
// are not kept: they are found again, the first of the least ones, along the path that is taken.
#include "search/programme.h"

#include <algorithm>
#include <cmath>
#include <tuple>
#include <utility>

namespace reram::search {

namespace {

constexpr int kHalvings = 24;  // of the price of an end

int64_t stride_of(int n) {
  const int64_t stride = (int64_t(n) + kPad + 7) / 8 * 8;
  return stride % 512 ? stride : stride + 8;  // rows 4 KB apart would fight for the same lines
}

// The first of the best splits of a run: the last group on its left.
int split(const double* left, const double* right, int64_t stride, int a, int b) {
  double least = kInfinity;
  int found = a;
  for (int s = a; s < b; ++s) {
    const double cost = left[s] + right[(s + 1) * stride + b];
    if (cost < least) least = cost, found = s;
  }
  return found;
}

// Of the best cut in two of a run of k intervals: how many are on the left, its last group, what it
// costs.
std::tuple<int, int, double> best_cut(const std::vector<std::vector<double>>& rows, int64_t stride,
                                      int k, int a, int b) {
  std::tuple<int, int, double> best{1, a, kInfinity};
  for (int j = 1; j < k; ++j) {
    const double* left = rows[size_t(j - 1)].data() + a * stride;
    const double* right = rows[size_t(k - j - 1)].data();
    for (int s = a; s < b; ++s) {
      const double cost = left[s] + right[(s + 1) * stride + b];
      if (cost < std::get<2>(best)) best = {j, s, cost};
    }
  }
  return best;
}

}  // namespace

Programme::Programme(const Table& table, const Kernels& kernels, double start, Room& room)
    : t_(table), kernels_(kernels), start_(start), room_(room), n_(t_.n), stride_(stride_of(n_)) {
  room_.leaf.resize(size_t(kRows * stride_));
  room_.node.resize(size_t(kRows * stride_));
  room_.shift.resize(size_t(kRows * stride_));
}

double* Programme::rows(int k) {
  if (int(room_.rows.size()) <= k) room_.rows.resize(size_t(k) + 1);
  std::vector<double>& found = room_.rows[size_t(k)];
  const size_t size = size_t((n_ + kPad) * stride_);
  if (found.size() < size) found.resize(size);
  return found.data();
}

Costs Programme::costs(int row) {
  const int64_t at = row * stride_;
  return {room_.leaf.data() + at, room_.node.data() + at, room_.shift.data() + at};
}

// The costs of all runs from a on, in one of the room's rows.
void Programme::set_costs(int a, int row) { kernels_.costs(t_, a, a, n_, costs(row)); }

// What one run costs that ends.
double Programme::end(int a, int b) {
  kernels_.costs(t_, a, b, b + 1, costs(0));
  return room_.leaf[size_t(b)];
}

double Programme::level(int a, int b) const {
  const double first = t_.at[a], end = t_.at[b + 1];
  const double weight = t_.zero[b + 1] - t_.zero[a];
  const double mean = weight > 0 ? (t_.one[b + 1] - t_.one[a]) / weight : (first + end - 1) / 2;
  return std::min(std::max(std::nearbyint(2 * mean) / 2, first), end - 1);
}

// What all values cost at one level, or all escaping.
double Programme::single() {
  const int steps = std::exchange(t_.steps, 0);
  const double found = end(0, n_ - 1);
  t_.steps = steps;
  return found;
}

bool Programme::stays_whole(double whole) { return single() <= whole + start_; }

int Programme::kind(const End& run, bool alone) {
  if (!t_.steps && !t_.escape) return kLevel;
  if (alone && stays_whole(end(0, n_ - 1))) {
    if (!t_.escape) return kLevel;
    single();
  } else {
    end(run.a, run.b);
  }
  return room_.shift[size_t(run.b)];
}

Ends Programme::best(const Limits& limits) {
  if (limits.intervals) return intervals(limits.intervals);
  // Deeper than there are values to part is as deep as any.
  const int depth = limits.depth >= n_ - 1 ? -1 : limits.depth;
  Ends ends = free_ends(depth);
  if (!limits.leaves || int(ends.size()) <= limits.leaves) return ends;
  return few_ends(limits.leaves, depth);
}

// Fills the rows, and returns which of them is the deepest.
int Programme::solve(int depth) {
  if (depth < 0) {
    double* f = rows(0);
    static_assert(kRows == 4);
    const Costs room[kRows] = {costs(0), costs(1), costs(2), costs(3)};
    for (int a = n_ - 1; a >= 0; a -= kRows) {
      const int count = std::min(kRows, a + 1);
      for (int r = 0; r < count; ++r) set_costs(a - r, r);
      kernels_.best(room, a, count, n_, f, stride_);
    }
    return 0;
  }
  set_ends();
  int last = 0;
  while (last < depth && deeper(last + 1)) ++last;
  return last;
}

// Rows 0: those that end at once.
void Programme::set_ends() {
  double* f = rows(0);
  for (int a = 0; a < n_; ++a) {
    set_costs(a);
    std::copy(room_.leaf.begin() + a, room_.leaf.begin() + n_, f + a * stride_ + a);
    std::fill_n(f + a * stride_ + n_, kPad, kInfinity);
  }
}

// The searches one comparison deeper than those of rows k - 1; false if none is better.
bool Programme::deeper(int k) {
  double *f = rows(k), *below = rows(k - 1);
  bool better = false;
  for (int a = n_ - 1; a >= 0; --a) {
    set_costs(a);
    double* row = f + a * stride_;
    std::fill(row + a, row + n_ + kPad, kInfinity);
    kernels_.join(below + a * stride_, below, a, n_, row, stride_);
    for (int b = a; b < n_; ++b) {
      const double cost = row[b] + room_.node[size_t(b)], leaf = room_.leaf[size_t(b)];
      row[b] = cost < leaf ? cost : leaf;
      better |= row[b] != below[a * stride_ + b];
    }
  }
  return better;
}

Ends Programme::free_ends(int depth) {
  const int deepest = solve(depth);
  const double whole = rows(deepest)[n_ - 1];
  if (std::isinf(whole)) return {};
  if (stays_whole(whole)) return {{0, n_ - 1, 0}};
  Ends found, todo{{0, n_ - 1, 0}};
  while (!todo.empty()) {
    const End run = todo.back();
    todo.pop_back();
    const auto [a, b, made] = run;
    const int left = depth < 0 ? 0 : std::min(depth - made, deepest);
    if (rows(left)[a * stride_ + b] == end(a, b)) {
      found.push_back(run);
      continue;
    }
    const double* sides = rows(depth < 0 ? 0 : std::min(depth - made - 1, deepest));
    const int s = split(sides + a * stride_, sides, stride_, a, b);
    todo.push_back({s + 1, b, made + 1});
    todo.push_back({a, s, made + 1});
  }
  return found;
}

// A price for each end, the least that leaves so few of them.
Ends Programme::few_ends(int leaves, int depth) {
  const double whole = end(0, n_ - 1);
  if (std::isinf(whole)) return {};
  Ends ends{{0, n_ - 1, 0}};                                       // always fits
  double low = std::ldexp(1.0, -60), high = 2 * (whole + 1e-300);  // beyond it no second end pays
  for (int k = 0; k < kHalvings; ++k) {
    const double middle = t_.each = std::sqrt(low * high);
    Ends found = free_ends(depth);
    const bool fits = int(found.size()) <= leaves;
    if (fits) ends = std::move(found);
    (fits ? high : low) = middle;
  }
  t_.each = 0;
  return ends;
}

// --- a few intervals, every cut tried: rows k - 1 hold what k of them cost ---

void Programme::join_one(int k, int a, int b) {
  end(a, b);  // and its node
  rows(k - 1)[a * stride_ + b] =
      std::get<2>(best_cut(room_.rows, stride_, k, a, b)) + room_.node[size_t(b)];
}

void Programme::join_intervals(int k, int most) {
  double* into = rows(k - 1);
  if (k == most) return join_one(k, 0, n_ - 1);
  if (k == most - 1) {  // the root needs no other runs than these
    for (int b = 0; b < n_; ++b) join_one(k, 0, b);
    for (int a = 1; a < n_; ++a) join_one(k, a, n_ - 1);
    return;
  }
  for (int a = 0; a < n_; ++a) {
    set_costs(a);
    double* row = into + a * stride_;
    std::fill(row + a, row + n_ + kPad, kInfinity);
    for (int j = 1; j < k; ++j)
      kernels_.join(rows(j - 1) + a * stride_, rows(k - j - 1), a, n_, row, stride_);
    for (int b = a; b < n_; ++b) row[b] += room_.node[size_t(b)];
  }
}

Ends Programme::intervals(int most) {
  most = std::min(most, n_);
  for (int k = 0; k < most; ++k) rows(k);
  set_ends();
  int best = 1;
  const auto whole = [&](int k) { return rows(k - 1)[n_ - 1]; };
  for (int k = 2; k <= most; ++k) {
    join_intervals(k, most);
    if (whole(k) < whole(best)) best = k;
  }
  if (stays_whole(whole(best))) best = 1;
  struct Part {
    int k, a, b, depth;
  };
  Ends found;
  std::vector<Part> todo{{best, 0, n_ - 1, 0}};
  while (!todo.empty()) {
    const auto [k, a, b, depth] = todo.back();
    todo.pop_back();
    if (k == 1) {
      found.push_back({a, b, depth});
      continue;
    }
    const auto [j, s, cost] = best_cut(room_.rows, stride_, k, a, b);
    todo.push_back({k - j, s + 1, b, depth + 1});
    todo.push_back({j, a, s, depth + 1});
  }
  return found;
}

}  // namespace reram::search
