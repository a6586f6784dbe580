// The dynamic programmes on one table.
#pragma once

#include <cstdint>
#include <vector>

#include "search/table.h"

namespace reram::search {

constexpr double kInfinity = __builtin_huge_val();

struct Limits {
  int depth, leaves, intervals;  // as in reram_searches
};

// An end of a search: the groups from a to b, found by so many comparisons.
struct End {
  int a, b, depth;
};
using Ends = std::vector<End>;  // in order

// Memory that one table takes after the other.
struct Room {
  std::vector<double> leaf, node;  // kRows of them
  std::vector<int8_t> shift;
  std::vector<std::vector<double>> rows;  // of runs, by depth left or by number of intervals
};

class Programme {
 public:
  // `start` is what all conversions that start cost.
  Programme(const Table& table, const Kernels& kernels, double start, Room& room);

  // The best search; empty where none is within the limits.
  Ends best(const Limits& limits);

  // What an end is: kLevel, kEscape, or log2 of a run's step. One that stands `alone` is a level or
  // an escape where that, which starts no conversion, costs no more.
  int kind(const End& end, bool alone);

  // The level of the groups a to b, from the origin.
  double level(int a, int b) const;

 private:
  // Rows f(a, b): 0 of searches of any depth, or k of those at most so deep; of intervals, k - 1 of
  // k of them.
  double* rows(int k);
  Costs costs(int row);
  void set_costs(int a, int row = 0);
  double end(int a, int b);
  void set_ends();
  Ends free_ends(int depth);
  Ends few_ends(int leaves, int depth);
  Ends intervals(int most);
  int solve(int depth);
  bool deeper(int k);
  void join_intervals(int k, int most);
  void join_one(int k, int a, int b);
  bool stays_whole(double whole);
  double single();

  Table t_;
  const Kernels& kernels_;
  const double start_;
  Room& room_;
  const int n_;
  const int64_t stride_;
};

}  // namespace reram::search
