// Conversion and shift-add of bit-line sums; and the kernel of that or of a histogram.
#pragma once

#include "cuda/histogram.h"

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
    const int sets = job.p.buckets * job.size.phases * job.size.slices;
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
        const int32_t level = level_of_nothing(job, i, j);
        uint32_t own = uint32_t(level);
        if (level == RERAM_ESCAPE) {
          own = 0;
          each_bit(job, i, [&](int d, int phase) {
            own += uint32_t(level_of_nothing(job, phase, j)) << d;
          });
        }
        sum += own << (job.size.dac_shift[i] + job.size.cell_shift[j]);
      }
      s.empty[i] = sum;
    }
  }

  // What a slice decodes to in a phase in which no word-line is driven.
  static RERAM_DEVICE int32_t level_of_nothing(const Job& job, int phase, int j) {
    const int32_t table = read_only(job.in.index + phase * job.size.slices + j);
    if (table < 0) return 0;
    return read_only(job.in.levels + int64_t(table) * job.size.values - job.size.lowest);
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
    const int each = count_rows(job) * job.size.slices, room = count_rows(job) * kSliceLanes;
    for (int k = thread; Count && k < each; k += warps * kLanes) {
      const int i = k / job.size.slices, at = i * kSliceLanes + k % job.size.slices;
      int64_t made = 0;
      for (int warp = 0; warp < warps; ++warp) {
        made += s.made[warp * room + at];
        s.made[warp * room + at] = 0;
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
        made_(s.made + warp * count_rows(job) * kSliceLanes),
        last_(job.p.tables * job.size.values) {}

  RERAM_DEVICE void skip_cycle(int i, int first, int last, int64_t tile) {
    state_.constant += s_.empty[i];
    if (!Count || part_.rows <= 0) return;
    lanes([&](int lane) {  // a slice each
      if (lane < first || lane >= last) return;
      const int32_t table = read_only(job_.in.index + i * job_.size.slices + lane);
      if (table < 0) return;
      const int64_t at = int64_t(table) * job_.size.values - job_.size.lowest;
      const int64_t sums = int64_t(part_.rows) * part_.columns * job_.size.passes;
      made_[i * kSliceLanes + lane] += read_only(job_.in.comparisons + at) * sums;
      if (read_only(job_.in.levels + at) == RERAM_ESCAPE) skip_recoveries(i, lane, sums, tile);
    });
  }

  RERAM_DEVICE void set_cycle(const uint16_t* state, int i, int64_t tile) {
    shift_ = job_.size.dac_shift[i];
    cycle_ = i;
    tile_ = tile;
    lanes([&](int lane) {
      RERAM_UNROLL
      for (int h = 0; h < 2; ++h) {
        const int bucket = uint8_t(state[quad_row(lane, 2 * h) * kSliceLanes + i]);
        set_[lane].v[h] = (bucket * job_.size.phases + i) * job_.size.slices;
      }
    });
  }

  RERAM_DEVICE void set_slice(int pass, int j) {
    sign_ = pass ? -1 : 1;
    slice_ = j;
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
          const int32_t v = d[lane].v[e], highest = job_.size.lowest + job_.size.values - 1;
          const int32_t low = v < job_.size.lowest ? job_.size.lowest : v;
          const int32_t inside = low > highest ? highest : low;
          const int64_t at = at_[lane].v[e / 2] + inside;
          const int32_t level = read_only(job_.in.levels + at);
          if (Count && exists) made_here_[lane] += read_only(job_.in.comparisons + at);
          if (inside == v && level != RERAM_ESCAPE)
            acc += weight_ * uint32_t(level);
          else if (exists)
            escaped_[lane] |= 1u << e;
        }
      }
    });
  }

  // Recovers those of the sums last taken that escaped, from those of their bits.
  template <bool Whole, class Sums>
  RERAM_DEVICE void recover(int n, Sums& sums) {
    if (Resident || !job_.size.recoveries) return;
    PerLane<bool> any;
    lanes([&](int lane) { any[lane] = escaped_[lane]; });
    if (!ballot(any)) return;
    each_bit(job_, cycle_, [&](int d, int phase) {
      PerLane<Quad> of_bit;
      sums.bit_sums(n, d, of_bit);
      recover_bit(n, phase, of_bit);
    });
    lanes([&](int lane) {
      RERAM_UNROLL
      for (int h = 0; h < 2; ++h)
        if (Count && escaped_[lane] >> (2 * h) & 3)
          note_escape(quad_row(lane, 2 * h), cycle_, tile_);
      escaped_[lane] = 0;
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

  // A tile of a position is driven again for a cycle.
  RERAM_DEVICE void note_escape(int row, int i, int64_t tile) const {
    set_bits(job_.again.escaped + tile_position(job_, part_.group, tile, part_.first + row),
             1u << i);
  }

  // Adds the levels of one bit of the sums that escaped, and counts them.
  RERAM_DEVICE void recover_bit(int n, int phase, PerLane<Quad>& of_bit) {
    const int bit = phase - job_.size.cycles, j = slice_;
    PerLane<uint32_t> made, started;
    lanes([&](int lane) {
      made[lane] = started[lane] = 0;
      RERAM_UNROLL
      for (int e = 0; e < 4; ++e) {
        if (!(escaped_[lane] >> e & 1)) continue;
        const int row = part_.row_group * kRowGroup + quad_row(lane, e);
        const int bucket = s_.of_bits[row * kSliceLanes + bit];
        const int32_t table =
            read_only(job_.in.index + (bucket * job_.size.phases + phase) * job_.size.slices + j);
        if (table < 0) continue;
        const int64_t at = int64_t(table) * job_.size.values - job_.size.lowest + of_bit[lane].v[e];
        state_.acc[lane].v[n][e] += uint32_t(sign_) * uint32_t(read_only(job_.in.levels + at))
                                    << (bit + job_.size.cell_shift[j]);
        made[lane] += read_only(job_.in.comparisons + at);
        if (Count) started[lane] += job_.again.starts[table];
      }
    });
    if (!Count) return;
    const uint32_t all = sum(made), starts = sum(started);
    lanes([&](int lane) {
      if (lane != j) return;
      made_[phase * kSliceLanes + j] += all;
      made_[(phase + job_.size.recoveries) * kSliceLanes + j] += starts;
    });
  }

  // The recoveries of `count` sums of a slice in a cycle that drives nothing.
  RERAM_DEVICE void skip_recoveries(int i, int j, int64_t count, int64_t tile) {
    each_bit(job_, i, [&](int, int phase) {
      const int32_t table = read_only(job_.in.index + phase * job_.size.slices + j);
      if (table < 0) return;
      const int64_t at = int64_t(table) * job_.size.values - job_.size.lowest;
      made_[phase * kSliceLanes + j] += count * read_only(job_.in.comparisons + at);
      made_[(phase + job_.size.recoveries) * kSliceLanes + j] += count * job_.again.starts[table];
    });
    for (int row = 0; row < part_.rows && row < kRowGroup; ++row) note_escape(row, i, tile);
  }

  const Job& job_;
  const Shared& s_;
  const Part& part_;
  State& state_;
  int64_t* made_;
  int last_;  // entry of resident tables: 0, for what is not converted
  int shift_ = 0, cycle_ = 0, slice_ = 0, sign_ = 1;
  int64_t tile_ = 0;
  uint32_t weight_ = 0;
  PerLane<uint32_t> escaped_ = {};  // of a lane's four sums
  PerLane<Start> set_, start_;      // for a lane's two rows
  PerLane<Positions> at_;           // of the sum 0 in tables that are not resident
  PerLane<uint32_t> made_here_;
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
