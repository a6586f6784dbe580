// The tables of sums that take more than a byte, over windows of the values that most sums have.
#pragma once

#include <algorithm>
#include <deque>
#include <map>
#include <utility>
#include <vector>

#include "cpu/job.h"

namespace reram::cpu {

// Fills in a job's digit tables, and owns the memory behind them.
class DigitTables {
 public:
  void serve(Job& job, const int32_t* edges) {
    const Shape& shape = job.shape;
    for (int q = 0; q < job.pass_count; ++q) {
      std::vector<DigitTable>& tables = tables_[q];
      tables.resize(size_t(job.p.buckets * shape.phases * shape.slices));
      for (int b = 0; b < job.p.buckets; ++b) {
        const int64_t next = b + 1 < job.p.buckets ? edges[b + 1] : shape.height + 1;
        const int64_t driven = std::min(next - 1, shape.height);
        for (int i = 0; i < shape.cycles; ++i)
          for (int j = 0; j < shape.slices; ++j) {
            const int largest = ((1 << job.p.cell_bits[j]) - 1) * ((1 << job.p.dac_bits[i]) - 1);
            const int set = job.set(b, i);
            DigitTable& table = tables[size_t(set * shape.slices + j)];
            table =
                of(job, job.table(set, j), job.chip ? any_sum(job, i) : int32_t(driven) * largest);
            table.sign = uint32_t(job.passes[q].sign);
          }
      }
      job.digits[q] = tables.data();
    }
  }

 private:
  // Entries of a window, at most: what fits the first cache beside the digits.
  static constexpr int32_t kWindow = 4096;
  static constexpr int32_t kMostLevel = (1 << 23) - 1;

  // How far the sums of a chip reach: anywhere, beyond the tables only where they are recovered.
  static int32_t any_sum(const Job& job, int cycle) {
    return job.shape.highest + job.shape.is_recovered(job.p, cycle);
  }

  // What converts sums up to `reach` in size by the table whose sum 0 lies at `table`.
  DigitTable of(const Job& job, int64_t table, int32_t reach) {
    if (table < 0) return {};
    const auto found = known_.find({table, reach});
    if (found != known_.end()) return found->second;
    const int32_t* levels = job.tables.levels + table;
    const uint8_t* comparisons = job.tables.comparisons + table;
    const bool both = job.shape.lowest<0, beyond = reach> job.shape.highest;
    const std::pair<int64_t, int32_t> key = {table, reach};
    reach = std::min(reach, job.shape.highest);
    const int32_t low = both ? -reach : 0;
    bool constant = !beyond && levels[low] != RERAM_ESCAPE;
    for (int32_t v = low; v <= reach && constant; ++v)
      constant = levels[v] == levels[low] && comparisons[v] == comparisons[low];
    DigitTable to = {nullptr, table, 0, 0, levels[low], comparisons[low], 0};
    if (!constant) {
      const int32_t first = both ? std::max(low, -kWindow / 2) : 0;
      const int32_t last = std::min(reach, first + kWindow - 1);
      const auto fits = [](int32_t level) {
        return level == RERAM_ESCAPE || (-kMostLevel <= level && level <= kMostLevel);
      };
      to.first = INT32_MAX / 2;  // no sum lies in the window
      to.size = 1;
      if (std::all_of(levels + first, levels + last + 1, fits)) {
        std::vector<int32_t>& entries = entries_.emplace_back();
        for (int32_t v = first; v <= last; ++v) {
          const int32_t level = levels[v] == RERAM_ESCAPE ? kEscapeEntry : levels[v];
          entries.push_back(int32_t(uint32_t(level) << 8 | comparisons[v]));
        }
        to.first = first;
        to.size = uint32_t(entries.size());
        to.entries = entries.data();
      }
    }
    return known_[key] = to;
  }

  std::vector<DigitTable> tables_[kMaxPasses];
  std::deque<std::vector<int32_t>> entries_;
  std::map<std::pair<int64_t, int32_t>, DigitTable> known_;
};

}  // namespace reram::cpu
