// What becomes of bit-line sums: conversion and shift-add, or a histogram. And the kernel of
// either.
#pragma once

#include "cuda/body.h"

namespace reram::cuda {

constexpr int32_t kNothing = 1 << 30;  // where the sum 0 of what is not converted lies: beyond all

// Conversion through the tables, shift-add and counts. Resident: the tables lie in shared memory.
template <bool Resident, bool Count>
struct Convert {
  struct Accumulators {
    uint32_t v[kFragments][4];
  };
  struct State {
    PerLane<Accumulators> acc;
    uint32_t constant;  // added to every output
  };

  // --- phases of a block ---

  static RERAM_DEVICE void prepare(const Job& job, const Shared& s, int thread, int threads) {
    const int sets = job.p.buckets * job.size.cycles * job.size.slices;
    const int64_t entries = int64_t(job.p.tables) * job.size.values;
    if (Resident) {
      for (int64_t k = thread; k <= entries; k += threads) {
        s.levels[k] = k < entries ? read_only(job.in.levels + k) : 0;
        if (Count) s.comparisons[k] = k < entries ? read_only(job.in.comparisons + k) : 0;
      }
      for (int k = thread; k < sets; k += threads) {
        const int32_t table = read_only(job.in.index + k);
        s.offsets[k] = int32_t(table < 0 ? kNothing : table * job.size.values - job.size.lowest);
      }
    }
    // With separate conversions of a pair the levels of two empty bit-lines cancel.
    for (int i = thread; i < job.size.cycles; i += threads) {
      uint32_t sum = 0;
      for (int j = 0; j < job.size.slices && job.size.passes == 1; ++j) {
        const int32_t table = read_only(job.in.index + i * job.size.slices + j);
        if (table >= 0)
          sum += uint32_t(
                     read_only(job.in.levels + int64_t(table) * job.size.values - job.size.lowest))
                 << (job.size.dac_shift[i] + job.size.cell_shift[j]);
      }
      s.empty[i] = sum;
    }
  }

  static RERAM_DEVICE void begin(State& state) {
    state.constant = 0;
    lanes([&](int lane) {
      RERAM_UNROLL
      for (int n = 0; n < kFragments; ++n) RERAM_UNROLL
      for (int e = 0; e < 4; ++e) state.acc[lane].v[n][e] = 0;
    });
  }

  static RERAM_DEVICE void end(const Job& job, const Shared& s, const Item& item, const Part& part,
                               State& state) {
    const bool offset = job.p.encoding == RERAM_OFFSET;
    lanes([&](int lane) {
      RERAM_UNROLL
      for (int n = 0; n < kFragments; ++n) RERAM_UNROLL
      for (int e = 0; e < 4; ++e) {
        const int row = quad_row(lane, e), column = n * kFragment + quad_column(lane, e);
        if (!part.holds(row, column)) continue;
        uint32_t acc = state.acc[lane].v[n][e] + state.constant;
        if (offset)
          acc -= s.total[part.row_group * kRowGroup + row] * job.p.unit << (job.p.weight_bits - 1);
        job.out.acc[((part.first + row) * job.p.groups + item.group) * job.p.outputs +
                    part.block * kBlock + column] = int32_t(acc);
      }
    });
  }

  // Adds up what the warps of a block counted in one item.
  static RERAM_DEVICE void end_item(const Job& job, const Shared& s, int thread, int warps) {
    const int each = job.size.cycles * job.size.slices;
    for (int k = thread; Count && k < each; k += warps * kLanes) {
      const int i = k / job.size.slices, at = i * kSliceLanes + k % job.size.slices;
      int64_t made = 0;
      for (int warp = 0; warp < warps; ++warp) {
        made += s.made[warp * kWarpCounts + at];
        s.made[warp * kWarpCounts + at] = 0;
      }
      add(job.out.made + k, made);
    }
  }

  static RERAM_DEVICE void finish(const Job& job, const Shared& s, int, int thread, int threads) {
    if (Count) add_driven(job, s, thread, threads);
  }

  // --- steps of a warp ---

  RERAM_DEVICE Convert(const Job& job, const Shared& s, const Part& part, int warp, State& state)
      : job_(job),
        s_(s),
        part_(part),
        state_(state),
        made_(s.made + warp * kWarpCounts),
        last_(job.p.tables * job.size.values) {}

  RERAM_DEVICE void skip_cycle(int i, int first, int last) {
    state_.constant += s_.empty[i];
    if (!Count || part_.rows <= 0) return;
    lanes([&](int lane) {  // a slice each
      if (lane < first || lane >= last) return;
      const int32_t table = read_only(job_.in.index + i * job_.size.slices + lane);
      if (table < 0) return;
      const int64_t at = int64_t(table) * job_.size.values - job_.size.lowest;
      made_[i * kSliceLanes + lane] += int64_t(read_only(job_.in.comparisons + at)) * part_.rows *
                                       part_.columns * job_.size.passes;
    });
  }

  RERAM_DEVICE void set_cycle(const uint16_t* state, int i) {
    shift_ = job_.size.dac_shift[i];
    cycle_ = i;
    lanes([&](int lane) {
      RERAM_UNROLL
      for (int h = 0; h < 2; ++h) {
        const int bucket = uint8_t(state[quad_row(lane, 2 * h) * kSliceLanes + i]);
        set_[lane].v[h] = (bucket * job_.size.cycles + i) * job_.size.slices;
      }
    });
  }

  RERAM_DEVICE void set_slice(int pass, int j) {
    weight_ = uint32_t(pass ? -1 : 1) << (shift_ + job_.size.cell_shift[j]);
    lanes([&](int lane) {
      RERAM_UNROLL
      for (int h = 0; h < 2; ++h) {
        const int set = set_[lane].v[h] + j;
        start_[lane].v[h] = Resident ? s_.offsets[set] : 0;
        if (!Resident) {
          const int32_t table = read_only(job_.in.index + set);
          at_[lane].v[h] = table < 0 ? -1 : int64_t(table) * job_.size.values - job_.size.lowest;
        }
      }
      made_here_[lane] = 0;
    });
  }

  // Where sums start to count: at the sum 0 of a resident table, so that they come out as indices.
  RERAM_DEVICE PerLane<Start>& start() { return start_; }

  template <bool Whole>
  RERAM_DEVICE void take(int n, PerLane<Quad>& d) {
    lanes([&](int lane) {
      RERAM_UNROLL
      for (int e = 0; e < 4; ++e) {
        const bool exists =
            Whole || part_.holds(quad_row(lane, e), n * kFragment + quad_column(lane, e));
        uint32_t& acc = state_.acc[lane].v[n][e];
        if (Resident) {
          const int at = d[lane].v[e] < last_ ? d[lane].v[e] : last_;
          acc += weight_ * uint32_t(s_.levels[at]);
          if (Count && exists) made_here_[lane] += s_.comparisons[at];
        } else if (at_[lane].v[e / 2] >= 0) {
          const int64_t at = at_[lane].v[e / 2] + d[lane].v[e];
          acc += weight_ * uint32_t(read_only(job_.in.levels + at));
          if (Count && exists) made_here_[lane] += read_only(job_.in.comparisons + at);
        }
      }
    });
  }

  RERAM_DEVICE void end_slice(int j) {
    if (!Count) return;
    const uint32_t total = sum(made_here_);
    lanes([&](int lane) {
      if (lane == j)
        made_[cycle_ * kSliceLanes + j] += total;  // the lane that skip_cycle gives the slice
    });
  }

 private:
  struct Positions {
    int64_t v[2];
  };

  const Job& job_;
  const Shared& s_;
  const Part& part_;
  State& state_;
  int64_t* made_;
  int last_;  // entry of resident tables: 0, for what is not converted
  int shift_ = 0, cycle_ = 0;
  uint32_t weight_ = 0;
  PerLane<Start> set_, start_;  // for a lane's two rows
  PerLane<Positions> at_;       // of the sum 0 in tables that are not resident
  PerLane<uint32_t> made_here_;
};

// Counts of bit-line sums. Resident: the bins of the block's slice lie in shared memory.
template <bool Resident>
struct Histogram {
  struct State {};

  static RERAM_DEVICE void prepare(const Job& job, const Shared& s, int thread, int threads) {
    const int bins = Resident ? job.p.buckets * job.size.cycles * job.size.values : 0;
    for (int k = thread; k < bins; k += threads) s.bins[k] = 0;
  }
  static RERAM_DEVICE void begin(State&) {}
  static RERAM_DEVICE void end(const Job&, const Shared&, const Item&, const Part&, State&) {}
  static RERAM_DEVICE void end_item(const Job&, const Shared&, int, int) {}
  static RERAM_DEVICE void finish(const Job& job, const Shared& s, int j, int thread, int threads) {
    const int bins = Resident ? job.p.buckets * job.size.cycles * job.size.values : 0;
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
  RERAM_DEVICE void skip_cycle(int i, int first, int last) {
    if (part_.rows <= 0) return;
    lanes([&](int lane) {  // a slice each
      if (lane >= first && lane < last)
        count(bin(0, i, lane), uint32_t(part_.rows * part_.columns * job_.size.passes));
    });
  }

  RERAM_DEVICE void set_cycle(const uint16_t* state, int i) {
    cycle_ = i;
    lanes([&](int lane) {
      RERAM_UNROLL
      for (int h = 0; h < 2; ++h)
        bucket_[lane].v[h] = uint8_t(state[quad_row(lane, 2 * h) * kSliceLanes + i]);
    });
  }

  RERAM_DEVICE void set_slice(int, int j) {
    lanes([&](int lane) {
      RERAM_UNROLL
      for (int h = 0; h < 2; ++h) start_[lane].v[h] = bin(bucket_[lane].v[h], cycle_, j);
    });
  }

  RERAM_DEVICE PerLane<Start>& start() { return start_; }

  template <bool Whole>
  RERAM_DEVICE void take(int n, PerLane<Quad>& d) {
    lanes([&](int lane) {
      RERAM_UNROLL
      for (int e = 0; e < 4; ++e)
        if (Whole || part_.holds(quad_row(lane, e), n * kFragment + quad_column(lane, e)))
          count(d[lane].v[e], 1);
    });
  }

  RERAM_DEVICE void end_slice(int) {}

 private:
  RERAM_DEVICE int bin(int bucket, int i, int j) const {
    const int set = bucket * job_.size.cycles + i;
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
  int cycle_ = 0;
  PerLane<Start> bucket_, start_;  // for a lane's two rows
};

// The kernel: all items of a block.
template <class Sums, class Action>
RERAM_DEVICE void run(const Job& job, const Block& block, char* memory) {
  const Shared s(job, memory);
  const int warps = block.warps(), threads = warps * kLanes,
            rows = job.split.row_groups * kRowGroup;
  const auto each_thread = [&](auto phase) {
    block.each_warp([&](int warp) { lanes([&](int lane) { phase(warp * kLanes + lane); }); });
  };
  // A histogram's block keeps to one slice.
  const int parts = job.out.histogram ? job.size.slices : 1, slice = int(block.index() % parts);
  const int first_slice = job.out.histogram ? slice : 0;
  const int last_slice = job.out.histogram ? slice + 1 : job.size.slices;
  PerWarp<typename Action::State> state;
  each_thread([&](int thread) {
    Action::prepare(job, s, thread, threads);
    fill_buckets(job, s, thread, threads);
  });
  for (int64_t k = block.index() / parts; k < job.split.items; k += block.count() / parts) {
    const Item item(job, k);
    each_thread([&](int thread) {
      for (int row = thread; row < rows; row += threads) begin_row(job, s, item, row);
    });
    block.each_warp([&](int warp) { Action::begin(state[warp]); });
    block.barrier();
    for (int64_t tile = 0; tile < job.size.tiles; ++tile) {
      block.each_warp([&](int warp) { pack(job, s, item, tile, warp, warps); });
      block.barrier();
      block.each_warp([&](int warp) {
        const Part part(job, item, warp);
        Action action(job, s, part, warp, state[warp]);
        sweep<Sums>(job, s, item, part, tile, first_slice, last_slice, action);
      });
      block.barrier();
    }
    block.each_warp(
        [&](int warp) { Action::end(job, s, item, Part(job, item, warp), state[warp]); });
    each_thread([&](int thread) { Action::end_item(job, s, thread, warps); });
    block.barrier();
  }
  each_thread([&](int thread) { Action::finish(job, s, slice, thread, threads); });
}

}  // namespace reram::cuda
