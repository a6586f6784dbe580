// The histogram: how often each bit-line sum occurs.
#pragma once

#include "cuda/body.h"

namespace reram::cuda {

// Counts of bit-line sums. Resident: the bins of the block's slice lie in shared memory.
template <bool Resident>
struct Histogram {
  struct State {};

  static RERAM_DEVICE void prepare(const Job& job, const Shared& s, int thread, int threads) {
    const int bins = Resident ? job.p.buckets * job.size.phases * job.size.values : 0;
    for (int k = thread; k < bins; k += threads) s.bins[k] = 0;
  }
  static RERAM_DEVICE void begin(State&) {}
  static RERAM_DEVICE void end(const Job&, const Shared&, const Item&, const Part&, State&) {}
  static RERAM_DEVICE void end_item(const Job&, const Shared&, int, int) {}
  static RERAM_DEVICE void finish(const Job& job, const Shared& s, int j, int thread, int threads) {
    const int bins = Resident ? job.p.buckets * job.size.phases * job.size.values : 0;
    for (int k = thread; k < bins; k += threads)
      if (s.bins[k])
        add(job.out.histogram +
                (int64_t(k / job.size.values) * job.size.slices + j) * job.size.values +
                k % job.size.values,
            int64_t(s.bins[k]));
  }

  RERAM_DEVICE Histogram(const Job& job, const Shared& s, const Part& part, int, State&)
      : job_(job), s_(s), part_(part) {}

  // Sums of a cycle without a driven word-line are all 0.
  RERAM_DEVICE void skip_cycle(int i, int first, int last, int64_t) {
    if (part_.rows <= 0) return;
    lanes([&](int lane) {  // a slice each
      if (lane >= first && lane < last)
        count(bin(0, i, lane), uint32_t(part_.rows * part_.columns * job_.size.passes));
    });
  }

  RERAM_DEVICE void set_cycle(const uint16_t* state, int i, int64_t) {
    cycle_ = i;
    lanes([&](int lane) {
      RERAM_UNROLL
      for (int h = 0; h < 2; ++h)
        driven_[lane].v[h] = state[quad_row(lane, 2 * h) * kSliceLanes + i] & kDriven;
      RERAM_UNROLL
      for (int h = 0; h < 2; ++h)
        bucket_[lane].v[h] = uint8_t(state[quad_row(lane, 2 * h) * kSliceLanes + i]);
    });
  }

  RERAM_DEVICE void set_slice(int, int j) {
    slice_ = j;
    lanes([&](int lane) {
      RERAM_UNROLL
      for (int h = 0; h < 2; ++h)  // sums that may lie beyond the tables begin at nothing
        start_[lane].v[h] = job_.size.recoveries ? 0 : bin(bucket_[lane].v[h], cycle_, j);
    });
  }

  RERAM_DEVICE PerLane<Start>& start() { return start_; }

  template <bool Whole>
  RERAM_DEVICE void take(int n, PerLane<Quad>& d) {
    lanes([&](int lane) {
      RERAM_UNROLL
      for (int e = 0; e < 4; ++e)
        if (Whole || part_.holds(quad_row(lane, e), n * kFragment + quad_column(lane, e)))
          count(place(d[lane].v[e], bucket_[lane].v[e / 2], cycle_), 1);
    });
  }

  // Counts the sums of a cycle's single bits, as if all were recovered.
  template <bool Whole, class Sums>
  RERAM_DEVICE void recover(int n, Sums& sums) {
    if (!job_.size.recoveries) return;
    each_bit(job_, cycle_, [&](int d, int phase) {
      PerLane<Quad> of_bit;
      sums.bit_sums(n, d, of_bit);
      lanes([&](int lane) {
        RERAM_UNROLL
        for (int e = 0; e < 4; ++e) {
          const int row = quad_row(lane, e), column = n * kFragment + quad_column(lane, e);
          if (!driven_[lane].v[e / 2] || !(Whole || part_.holds(row, column))) continue;
          const int at = (part_.row_group * kRowGroup + row) * kSliceLanes;
          const int bucket = s_.of_bits[at + phase - job_.size.cycles];
          count(place(of_bit[lane].v[e], bucket, phase), 1);
        }
      });
    });
  }

  RERAM_DEVICE void end_slice(int) {}

 private:
  // The bin of a sum, which holds its place already where no sum lies beyond the tables.
  RERAM_DEVICE int place(int v, int bucket, int phase) const {
    if (!job_.size.recoveries) return v;
    const int highest = job_.size.lowest + job_.size.values - 1;
    v = v < job_.size.lowest ? job_.size.lowest : v;
    return bin(bucket, phase, slice_) + (v > highest ? highest : v);
  }
  RERAM_DEVICE int bin(int bucket, int i, int j) const {
    const int set = bucket * job_.size.phases + i;
    return (Resident ? set : set * job_.size.slices + j) * job_.size.values - job_.size.lowest;
  }
  RERAM_DEVICE void count(int at, uint32_t times) const {
    if (Resident)
      add(s_.bins + at, times);
    else
      add(job_.out.histogram + at, int64_t(times));
  }

  const Job& job_;
  const Shared& s_;
  const Part& part_;
  int cycle_ = 0, slice_ = 0;
  PerLane<Start> bucket_, start_, driven_;  // for a lane's two rows
};

}  // namespace reram::cuda
