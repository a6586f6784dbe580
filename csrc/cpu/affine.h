// Layers whose ADCs decode every sum that can be to itself: their results are plain products of
// codes, and where comparisons depend on nothing but the driven word-lines, so do all counts.
#pragma once

#include <algorithm>

#include "cpu/job.h"

namespace reram::cpu {

// The tables of a job over the sums that each activity bucket can meet.
class Affine {
 public:
  Affine(const Job& job, const int32_t* edges) : job_(job), edges_(edges) {}

  // Whether every level is its sum, and, if comparisons are counted, each set and slice makes
  // always as many.
  bool holds(bool counted) const {
    const Shape& shape = job_.shape;
    for (int bucket = 0; bucket < job_.p.buckets && edges_[bucket] <= shape.height; ++bucket) {
      const int32_t high = reach(bucket), low = shape.lowest < 0 ? -high : 0;
      for (int i = 0; i < shape.cycles; ++i)
        for (int j = 0; j < shape.slices; ++j)
          if (!holds(job_.table(job_.set(bucket, i), j), j, low, high, counted)) return false;
    }
    return true;
  }

 private:
  // Whether no cell of a slice is set.
  bool is_empty(int slice) const {
    const Shape& shape = job_.shape;
    const int64_t words = job_.p.groups * shape.group_words();
    uint64_t any = 0;
    for (int64_t k = slice; k < words && !any; k += kSlices) any = job_.cells[k];
    return !any;
  }

  // The largest sum of a bucket.
  int32_t reach(int bucket) const {
    const int64_t next = bucket + 1 < job_.p.buckets ? edges_[bucket + 1] : job_.shape.height + 1;
    const int64_t lines = std::min(next - 1, job_.shape.height);
    return int32_t(lines * ((1 << job_.shape.cell_bits) - 1) * ((1 << job_.shape.dac_bits) - 1));
  }

  bool holds(int64_t table, int slice, int32_t low, int32_t high, bool counted) const {
    if (table < 0) return high == 0 || is_empty(slice);  // the level is 0
    const int32_t* levels = job_.tables.levels + table;
    const uint8_t* comparisons = job_.tables.comparisons + table;
    for (int32_t v = low; v <= high; ++v)
      if (levels[v] != v * job_.p.unit || (counted && comparisons[v] != comparisons[0]))
        return false;
    return true;
  }

  const Job& job_;
  const int32_t* edges_;
};

// Comparisons [I, J] from how many tile-cycles drove so many word-lines, [I, rows + 1].
inline void count_affine(const Job& job, const int64_t* driven, int64_t* made) {
  const Shape& shape = job.shape;
  for (int i = 0; i < shape.cycles; ++i, driven += job.p.rows + 1)
    for (int j = 0; j < shape.slices; ++j, ++made)
      for (int64_t n = 0; n <= shape.height; ++n) {
        const int64_t table = job.table(job.set(job.tables.bucket_of[n], i), j);
        if (table >= 0)
          *made += driven[n] * job.p.outputs * job.pass_count * job.tables.comparisons[table];
      }
}

}  // namespace reram::cpu
