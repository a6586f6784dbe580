// The C interface: argument checks, the tables of a call, and their division among threads.
#include <algorithm>
#include <atomic>
#include <cmath>
#include <new>
#include <vector>

#include "api/reram_search.h"
#include "common/integers.h"
#include "cpu/team.h"
#include "search/alphabetic.h"
#include "search/programme.h"

namespace reram::search {
namespace {

constexpr int64_t kMostTables = int64_t(1) << 24, kMostValues = int64_t(1) << 17;
constexpr int64_t kMostThreads = 1 << 12;
constexpr int kMostGroups = 4096;  // of a dynamic programme: seconds, an eighth of a gigabyte

// The arguments of a call.
struct Call {
  const reram_searches& p;
  const int64_t* cut_starts;
  const int32_t *cuts, *shape;
  const double *counts, *errors, *escape, *prices;
  int32_t *ends, *first, *depth;
  double* level;
  int8_t* shift;
};

// Null if this machine or this build lacks the instruction set.
const Kernels* kernels_of(int isa) {
  if (isa < 0 || isa > reram_best_isa()) return nullptr;
#ifdef RERAM_X86
  if (isa == RERAM_AVX512) return &avx512::kKernels;
  if (isa == RERAM_AVX2) return &avx2::kKernels;
#endif
  return &portable::kKernels;
}

// What each thread keeps from one table to the next.
class Desk {
 public:
  Desk(const Call& call, const Kernels& kernels) : call_(call), kernels_(kernels) {
    if (call.p.runs) set_squares();
  }

  void solve(int64_t index) {
    const Limits limits{call_.p.depth, call_.p.leaves, call_.p.intervals};
    const Table table = table_of(index);
    const double* prices = call_.prices + 3 * index;
    Programme programme(table, kernels_, table.made[table.n] * prices[1], room_);
    int32_t& count = call_.ends[index];
    Ends ends;
    if (is_alphabetic(table, limits)) {
      ends = alphabetic(index, table);
      const auto deeper = [&](const End& end) { return end.depth > limits.depth; };
      if (limits.leaves && table.n > limits.leaves) ends.clear();
      if (limits.depth >= 0 && std::any_of(ends.begin(), ends.end(), deeper)) {
        if (table.n > kMostGroups) return void(count = -1);
        ends = programme.best(limits);
      }
    } else if (table.n > kMostGroups) {
      return void(count = -1);
    } else {
      ends = programme.best(limits);
    }
    count = int32_t(ends.size());
    const double base = table.first[0] - table.at[0];
    for (size_t k = 0; k < ends.size(); ++k) {
      const int64_t to = index * call_.p.most + int64_t(k);
      const int kind = programme.kind(ends[k], ends.size() == 1);
      const double below = (double(int64_t(1) << std::max(kind, 0)) - 1) / 2;
      call_.first[to] = table.first[ends[k].a];
      call_.depth[to] = ends[k].depth;
      call_.shift[to] = int8_t(kind);
      call_.level[to] =
          kind < 0 ? base + programme.level(ends[k].a, ends[k].b) : table.first[ends[k].a] + below;
    }
  }

 private:
  // Lossless trees without a limit have an algorithm of their own.
  bool is_alphabetic(const Table& t, const Limits& limits) const {
    return t.exact && !t.steps && !t.escape && !limits.intervals &&
           t.first[t.n] - t.first[0] == t.n;
  }

  Ends alphabetic(int64_t index, const Table& t) const {
    const std::vector<int> depths =
        alphabetic_depths(call_.counts + index * call_.p.values + t.first[0], t.n);
    Ends ends;
    for (int k = 0; k < t.n; ++k) ends.push_back({k, k, depths[size_t(k)]});
    return ends;
  }

  Table table_of(int64_t index) {
    const reram_searches& p = call_.p;
    const double* counts = call_.counts + index * p.values;
    const double* errors = call_.errors + index * p.values;
    const double* escape = call_.escape ? call_.escape + index * p.values : nullptr;
    const int64_t start = call_.cut_starts[call_.shape[index]];
    const int32_t* first = call_.cuts + start;
    const int n = int(call_.cut_starts[call_.shape[index] + 1] - start) - 1;
    const int from = first[0], to = first[n];
    const bool exact =
        std::any_of(errors + from, errors + to, [](double e) { return std::isinf(e); });
    // Amid what weighs.
    const int origin = int(std::max_element(errors + from, errors + to) - errors);
    for (auto* sums : {&at_, &zero_, &one_, &two_, &made_, &escape_})
      sums->assign(size_t(n) + 1, 0);
    double zero = 0, one = 0, two = 0, made = 0, away = 0;
    for (int k = 0; k <= n; ++k) {
      const size_t to_k = size_t(k);
      at_[to_k] = first[k] - origin;
      zero_[to_k] = zero, one_[to_k] = one, two_[to_k] = two;
      made_[to_k] = made, escape_[to_k] = away;
      for (int v = first[k]; k < n && v < first[k + 1]; ++v) {
        const double weight = std::isinf(errors[v]) ? 0.0 : errors[v], x = v - origin;
        zero += weight, one += weight * x, two += weight * (x * x);
        made += counts[v];
        if (escape) away += escape[v];
      }
    }
    if (p.runs) {
      weight_.assign(errors, errors + p.values);
      for (double& weight : weight_)
        if (std::isinf(weight)) weight = 1.0;
    }
    const double* prices = call_.prices + 3 * index;
    int steps = 0;
    while (p.runs && (std::max(to - from - 1, 1) >> steps)) ++steps;
    return {n,
            at_.data(),
            zero_.data(),
            one_.data(),
            two_.data(),
            made_.data(),
            escape ? escape_.data() : nullptr,
            prices[0],
            prices[2],
            0.0,
            exact,
            steps,
            weight_.data(),
            squares_.data(),
            first,
            p.lowest,
            p.aligned != 0};
  }

  // Squared distances of the values of a run to its levels, for each step.
  void set_squares() {
    squares_.resize(size_t(call_.p.values) * kMostSteps);
    for (int64_t v = 0; v < call_.p.values; ++v)
      for (int s = 0; s < kMostSteps; ++s) {
        const int64_t step = int64_t(1) << s;
        const double away = double(v & (step - 1)) - double(step - 1) / 2;
        squares_[size_t(v * kMostSteps + s)] = away * away;
      }
  }

  const Call& call_;
  const Kernels& kernels_;
  Room room_;
  std::vector<double> at_, zero_, one_, two_, made_, escape_, weight_, squares_;
};

bool valid(const Call& call) {
  const reram_searches& p = call.p;
  const bool sizes = within(p.tables, 0, kMostTables) && within(p.values, 1, kMostValues) &&
                     within(p.shapes, 0, kMostTables) && within(p.most, 1, kMostValues) &&
                     within(p.threads, 1, kMostThreads) && p.depth >= -1 && p.leaves >= 0 &&
                     p.intervals >= 0;
  if (!sizes || (p.runs && p.values > int64_t(1) << kMostSteps)) return false;
  if (!p.tables) return true;
  for (const void* given :
       {static_cast<const void*>(call.cut_starts), static_cast<const void*>(call.cuts),
        static_cast<const void*>(call.shape), static_cast<const void*>(call.counts),
        static_cast<const void*>(call.errors), static_cast<const void*>(call.prices),
        static_cast<const void*>(call.ends), static_cast<const void*>(call.first),
        static_cast<const void*>(call.depth), static_cast<const void*>(call.level),
        static_cast<const void*>(call.shift)})
    if (!given) return false;
  for (int64_t s = 0; s < p.shapes; ++s) {
    const int64_t from = call.cut_starts[s], to = call.cut_starts[s + 1];
    if (from < 0 || to - from < 2 || to - from - 1 > p.most) return false;
    if (call.cuts[from] < 0 || call.cuts[to - 1] > p.values) return false;
    for (int64_t k = from + 1; k < to; ++k)
      if (call.cuts[k - 1] >= call.cuts[k]) return false;
  }
  return std::all_of(call.shape, call.shape + p.tables,
                     [&](int32_t shape) { return within(shape, 0, p.shapes - 1); });
}

// Tables are solved one by one, so that it does not matter which thread takes which.
void solve_all(const Call& call, const Kernels& kernels) {
  const int64_t wanted = std::min<int64_t>(call.p.threads, std::max<int64_t>(call.p.tables, 1));
  std::atomic<int64_t> next{0};
  std::atomic<bool> failed{false};
  auto loop = [&] {
    try {
      Desk desk(call, kernels);
      for (int64_t k = next++; k < call.p.tables && !failed; k = next++) desk.solve(k);
    } catch (const std::bad_alloc&) {
      failed = true;
    }
  };
  cpu::run_team(int(wanted), [](void* data) { (*static_cast<decltype(loop)*>(data))(); }, &loop);
  if (failed) throw std::bad_alloc();
}

}  // namespace
}  // namespace reram::search

using namespace reram::search;

int32_t reram_search(const reram_searches* searches, const int64_t* cut_starts, const int32_t* cuts,
                     const int32_t* shape, const double* counts, const double* errors,
                     const double* escape, const double* prices, int32_t* ends, int32_t* first,
                     int32_t* depth, double* level, int8_t* shift) {
  if (!searches) return RERAM_BAD_ARGUMENT;
  const Call call{*searches, cut_starts, cuts,  shape, counts, errors, escape,
                  prices,    ends,       first, depth, level,  shift};
  if (!valid(call)) return RERAM_BAD_ARGUMENT;
  const Kernels* kernels = kernels_of(searches->isa);
  if (!kernels) return RERAM_BAD_ISA;
  try {
    solve_all(call, *kernels);
  } catch (const std::bad_alloc&) {
    return RERAM_NO_MEMORY;
  }
  return RERAM_OK;
}
