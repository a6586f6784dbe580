// The tables of a problem in the forms that the kernels look up.
#pragma once

#include <algorithm>
#include <deque>
#include <utility>
#include <vector>

#include "cpu/affine.h"
#include "cpu/bands.h"
#include "cpu/bounds.h"
#include "cpu/digit_tables.h"

namespace reram::cpu {

// Fills in a job's tables, and owns the memory behind them.
class Tables {
 public:
  // Histograms need the buckets only.
  Tables(Job& job, const int32_t* edges) : job_(job), sets_(job.p.buckets * job.shape.phases) {
    bucket_of_.resize(size_t(job.shape.height) + 1);
    for (int64_t active = 0, bucket = 0; active <= job.shape.height; ++active) {
      while (bucket + 1 < job.p.buckets && edges[bucket + 1] <= active) ++bucket;
      bucket_of_[size_t(active)] = uint8_t(bucket);
    }
    job.tables.bucket_of = bucket_of_.data();
    reach_.assign(size_t(sets_), job.has_digits() ? -1 : job.vector.most);  // -1: one path for all
  }

  // False if the tables could overflow the accumulator. `counted`: whether comparisons are.
  bool set(const int32_t* levels, const uint8_t* comparisons, const int32_t* edges,
           const int32_t* index, bool counted) {
    job_.tables.levels = levels;
    job_.tables.comparisons = comparisons;
    job_.tables.index = index;
    if (!fits(job_)) return false;
    starts_.resize(size_t(job_.p.tables));
    for (int k = 0; k < job_.p.tables && job_.shape.recoveries; ++k) {
      const uint8_t* first = comparisons + k * job_.shape.values();
      starts_[size_t(k)] = std::any_of(first, first + job_.shape.values(), [](int n) { return n; });
    }
    job_.tables.starts = starts_.data();
    if (job_.chip) {
      digits_.serve(job_, edges);
      return true;
    }
    constexpr int64_t kLeastPositions = 8;  // reading the weights' codes takes as long
    job_.affine = job_.shape.positions >= kLeastPositions && !job_.shape.recoveries &&
                  !narrow_pays(false) && Affine(job_, edges).holds(counted);
    if (job_.affine) return true;
    const uint8_t* last = comparisons + job_.p.tables * job_.shape.values();
    job_.vector.addends = 255 / std::max<int>(1, *std::max_element(comparisons, last));
    empty_acc_.assign(size_t(job_.shape.cycles), 0);
    for (int i = 0; i < job_.shape.cycles; ++i)
      for (int q = 0; q < job_.pass_count; ++q)
        for (int j = 0; j < job_.shape.slices; ++j)
          empty_acc_[size_t(i)] += uint32_t(job_.passes[q].sign) * level_of_nothing(i, j)
                                   << job_.shape.cell_shift[j];
    job_.tables.empty_acc = empty_acc_.data();
    if (job_.has_digits()) {
      digits_.serve(job_, edges);
      return true;
    }
    const bool banded = job_.p.buckets > 1 || job_.shape.lowest < 0;
    if (banded && narrow_pays(true) && bands_.plan(job_, edges) && bands_.fill(job_))
      bands_.serve(job_);
    else
      pack(edges);
    return true;
  }

  // Prepares a histogram instead.
  void set_histogram(const int32_t* edges) {
    if (narrow_pays(true) && bands_.plan(job_, edges))
      bands_.serve(job_);
    else if (!job_.has_digits())
      choose();
  }
  void add_bins(const int64_t* bins, int64_t* histogram) const {
    bands_.add_bins(job_, bins, histogram);
  }

 private:
  // What a slice in a cycle without a driven word-line decodes to, recovered if it escapes.
  uint32_t level_of_nothing(int i, int j) {
    const int64_t table = job_.table(job_.set(0, i), j);
    if (table < 0) return 0;
    const int32_t level = job_.tables.levels[table];
    if (level != RERAM_ESCAPE) return uint32_t(level);
    uint32_t sum = 0;
    job_.each_bit(i, [&](int d, int phase) {
      const int64_t of_bit = job_.table(job_.set(0, phase), j);
      if (of_bit >= 0) sum += uint32_t(job_.tables.levels[of_bit]) << d;
    });
    return sum;
  }

  // Byte tables for the vector path, each over the sums that its bucket can have.
  void pack(const int32_t* edges) {
    const Shape& shape = job_.shape;
    bytes_.emplace_back();  // no cells, or no conversion: all zero
    bool whole = pack_sets(edges);
    if (!whole && bound_sums()) whole = pack_sets(edges);
    if (job_.p.buckets == 1 && shape.lowest == 0 && shape.height <= job_.vector.most && whole &&
        narrow_pays(false))
      pack_narrow();
    else
      choose();
  }

  // What becomes of each cycle by the word-lines that it drives.
  void choose() {
    const Shape& shape = job_.shape;
    for (int i = 0; i < shape.cycles; ++i)
      for (int active = 0; active <= shape.height; ++active) {
        const int set = job_.set(bucket_of_[size_t(active)], i);
        Choice choice = {0, uint16_t(set), kPaths, kPaths, 0};
        if (!active) {
          choice.constant = empty_acc_.empty() ? 0 : empty_acc_[size_t(i)] << i;
        } else if (active > reach_[size_t(set)]) {
          choice.path = choice.nibbles = kWide;
        } else {
          if (!live_.empty()) {
            choice.constant = vector_acc_[size_t(set)] << i;
            choice.live = live_[size_t(set)];
          }
          if (choice.live < kSlices / 2) {
            const VectorTables& v = job_.vector;
            const int path = kFour + (active > v.most4) + (active > v.most6) + (active > v.most7);
            const int part = active < 64 ? active / 16 : 4;
            choice.path = uint8_t(path);
            choice.nibbles = uint8_t(active < 128 ? kNibbles + part : path);
          }
        }
        choices_.push_back(choice);
      }
    job_.choices = choices_.data();
  }

  // What a bit-line's cells allow. False where that is not worth knowing.
  bool bound_sums() {
    constexpr int64_t kLeastPositions = 8;  // looking at all cells takes about as long
    if (!job_.shape.is_one_bit() || job_.shape.height > 255) return false;
    if (job_.shape.positions < kLeastPositions) return false;
    for (int q = 0; q < job_.pass_count; ++q) {
      const Pass& pass = job_.passes[q];
      plus_[q] = Bands::most_lines(job_, pass.plus);
      minus_[q] = pass.minus < 0 ? 0 : Bands::most_lines(job_, pass.minus);
    }
    return true;
  }

  // Whether every set has a byte for all of its sums.
  bool pack_sets(const int32_t* edges) {
    const Shape& shape = job_.shape;
    const int32_t each = ((1 << shape.cell_bits) - 1) * ((1 << shape.dac_bits) - 1);
    vector_acc_.assign(size_t(sets_), 0);
    live_.assign(size_t(sets_), kSlices / 2);
    reach_.assign(size_t(sets_), job_.vector.most);
    bool whole = true;
    for (int q = 0; q < job_.pass_count; ++q) {
      pointers_[q].assign(size_t(sets_) * kSlices, &bytes_.front());
      for (int bucket = 0; bucket < job_.p.buckets; ++bucket) {
        const int32_t last = bucket + 1 < job_.p.buckets ? edges[bucket + 1] - 1 : shape.highest;
        const int32_t reach =
            std::min(std::min(last, shape.highest / each) * each, job_.vector.most);
        packed_.assign(size_t(job_.p.tables), {});
        for (int i = 0; i < shape.cycles; ++i)
          whole &= pack_set(q, job_.set(bucket, i), reach) >= reach;
      }
      job_.vector.tables[q] = pointers_[q].data();
    }
    return whole;
  }

  // How far the sums reach that it serves, in all passes so far.
  int32_t pack_set(int q, int set, int32_t reach) {
    int32_t& most = reach_[size_t(set)];
    for (int j = 0; j < job_.shape.slices; ++j) {
      const int32_t table = job_.tables.index[set * job_.shape.slices + j];
      if (table < 0) continue;
      Packed& packed = packed_[size_t(table)];
      if (!packed.bytes) packed = fill(q, job_.table(set, j), reach);
      most = std::min(most, packed.reach);
      pointers_[q][size_t(set * kSlices + j)] = packed.bytes;
      uint8_t& live = live_[size_t(set)];
      if (packed.bytes != &bytes_.front()) live = std::min(live, uint8_t(j / 2));
      vector_acc_[size_t(set)] += uint32_t(packed.base) << job_.shape.cell_shift[j];
    }
    return most;
  }

  // Whether exchanging positions and bit-lines saves work. A bit-line joins about half of all
  // word-lines, more than inputs usually drive: its unit takes longer.
  bool narrow_pays(bool banded) const {
    const reram_problem& p = job_.p;
    const Shape& shape = job_.shape;
    if (!shape.is_one_bit() || p.outputs > kColumns) return false;
    const int64_t units = (shape.positions + kColumns - 1) / kColumns * p.outputs * shape.slices;
    constexpr double kUnitCost = 1.6, kBandedUnitCost = 2;  // of an ordinary unit
    return (banded ? kBandedUnitCost : kUnitCost) * double(units) <
           double(shape.positions * shape.cycles);
  }

  void pack_narrow() {
    for (int i = 0; i < job_.shape.cycles; ++i) job_.narrow.acc += vector_acc_[size_t(i)] << i;
    for (int q = 0; q < job_.pass_count; ++q) {
      narrow_[q].assign(size_t(job_.shape.slices) * kSlices, &bytes_.front());
      for (int i = 0; i < job_.shape.cycles; ++i)
        for (int j = 0; j < job_.shape.slices; ++j)
          narrow_[q][size_t(j * kSlices + i)] = pointers_[q][size_t(i * kSlices + j)];
      job_.narrow.tables[q] = narrow_[q].data();
    }
  }

  // A table as bytes, for one bucket, over the sums around 0 whose levels are not too far apart.
  struct Packed {
    const ByteTables* bytes = nullptr;
    int64_t base = 0;
    int32_t reach = 0;
  };

  Packed fill(int q, int64_t table, int32_t reach) {
    const bool both = job_.shape.lowest < 0;
    auto level = [&](int32_t v) {  // of the nearest sum that can be
      v = std::max(std::min(v, plus_[q]), -minus_[q]);
      return int64_t(job_.passes[q].sign) * job_.tables.levels[table + v];
    };
    int64_t low = level(0), high = low;
    for (int32_t v = 1; v <= reach; ++v) {
      const int64_t above = level(v), below = level(both ? -v : 0);
      const int64_t least = std::min({low, above, below}), most = std::max({high, above, below});
      if (most - least > 255) {
        reach = v - 1;
        break;
      }
      low = least;
      high = most;
    }
    const int32_t from = both ? -reach : 0;
    const uint8_t* made = job_.tables.comparisons + table;
    if (low == high && std::all_of(made + from, made + reach + 1, [](int n) { return n == 0; }))
      return {&bytes_.front(), low, reach};
    const int64_t base = low + 128;
    ByteTables& to = bytes_.emplace_back();
    for (int32_t v = from; v <= reach; ++v) {
      to.level8[uint8_t(v)] = int8_t(level(v) - base);
      to.comparisons8[uint8_t(v)] = made[v];
    }
    auto narrow = [&](int bits, int8_t* levels, uint8_t* comparisons) {
      const int half = from < 0 ? 1 << (bits - 1) : 0;
      for (int v = -half; v < (1 << bits) - half; ++v) {
        levels[v & ((1 << bits) - 1)] = to.level8[uint8_t(v)];
        comparisons[v & ((1 << bits) - 1)] = to.comparisons8[uint8_t(v)];
      }
    };
    narrow(7, to.level7, to.comparisons7);
    narrow(6, to.level6, to.comparisons6);
    narrow(4, to.level4, to.comparisons4);
    for (int k = 16; k < 64; ++k) {
      to.level4[k] = to.level4[k - 16];
      to.comparisons4[k] = to.comparisons4[k - 16];
    }
    return {&to, base, reach};
  }

  Job& job_;
  const int sets_;
  std::vector<uint8_t> bucket_of_, starts_;
  std::vector<uint32_t> empty_acc_, vector_acc_;
  // Of each set: the largest sums (in size) whose levels lie within 255 of each other in every
  // slice, beyond which units take the general path, -1 with digits; and the lowest pair of slices
  // that is looked up, since the tables of those below are constant and make no comparison.
  std::vector<int32_t> reach_;
  std::vector<uint8_t> live_;
  std::vector<Choice> choices_;
  // How far the sums of each pass reach above and below 0.
  int32_t plus_[kMaxPasses] = {INT32_MAX, INT32_MAX}, minus_[kMaxPasses] = {INT32_MAX, INT32_MAX};
  std::deque<ByteTables> bytes_;
  std::vector<Packed> packed_;  // of one pass and bucket, by table
  std::vector<const ByteTables*> pointers_[kMaxPasses], narrow_[kMaxPasses];
  Bands bands_;
  DigitTables digits_;
};

inline bool valid_edges(const reram_problem& p, const int32_t* edges) {
  if (!edges || edges[0] != 0) return false;
  for (int b = 1; b < p.buckets; ++b)
    if (edges[b] <= edges[b - 1]) return false;
  return true;
}

inline bool valid_index(const reram_problem& p, const Shape& shape, const int32_t* index) {
  if (!index) return false;
  for (int64_t k = 0; k < int64_t(p.buckets) * shape.phases * shape.slices; ++k)
    if (index[k] >= p.tables || index[k] < -1) return false;
  return true;
}

}  // namespace reram::cpu
