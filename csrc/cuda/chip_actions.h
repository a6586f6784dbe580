// Conversion and shift-add of what the ADCs of chips read, or its histogram; and the kernel.
#pragma once

#include "cuda/chip.h"

namespace reram::cuda {

// What a thread's output came to, by position.
struct ChipResults {
  uint32_t v[kChipPositions];
};

RERAM_DEVICE bool is_recovered(const Job& job, int cycle) {
  return job.size.recoveries && job.p.dac_bits[cycle] > 1;
}

// The bit-line of a thread, at one of its positions.
struct ChipPlace {
  BitLine line;
  int64_t position;
  int p;  // among the block's
};

// Where the sum 0 of a slice lies in the tables that convert it; negative: nowhere.
RERAM_DEVICE int64_t chip_table(const Job& job, const ChipShared& s, int p, int phase, int j) {
  const int set = s.bucket[p * kPhases + phase] * job.size.phases + phase;
  const int32_t table = read_only(job.in.index + set * job.size.slices + j);
  return table < 0 ? -1 : int64_t(table) * job.size.values - job.size.lowest;
}

RERAM_DEVICE uint32_t recover_chip(const ChipJob& c, const ChipShared& s, const ChipPlace& at,
                                   int i, const int32_t* of_bits) {
  const Job& job = c.job;
  const int j = int(at.line.unit % job.size.slices);
  uint32_t sum = 0;
  each_bit(job, i, [&](int, int phase) {
    const int64_t table = chip_table(job, s, at.p, phase, j);
    if (table < 0) return;
    const int driven = s.driven[at.p * kPhases + phase];
    const int32_t found = phase_sum(job, phase, of_bits);
    const int64_t entry =
        table + inside(job.size, read_out(c, at.line, at.position, phase, driven, found));
    sum += uint32_t(read_only(job.in.levels + entry))
           << (phase - job.size.cycles + job.size.cell_shift[j]);
    if (!job.again.starts) return;
    add(s.made + phase * kSliceLanes + j, int64_t(read_only(job.in.comparisons + entry)));
    if (job.again.starts[(table + job.size.lowest) / job.size.values])
      add(s.made + (phase + job.size.recoveries) * kSliceLanes + j, int64_t(1));
  });
  if (job.again.escaped)
    set_bits(job.again.escaped + tile_position(job, at.line.group, at.line.tile, at.position),
             1u << i);
  return sum;
}

// Adds the level of one conversion; returns its comparisons.
RERAM_DEVICE uint32_t convert_chip(const ChipJob& c, const ChipShared& s, const ChipPlace& at,
                                   int i, const int32_t* of_bits, uint32_t& acc) {
  const Job& job = c.job;
  const int j = int(at.line.unit % job.size.slices);
  const uint32_t sign = at.line.unit < job.size.slices ? 1u : ~0u;
  const int64_t table = chip_table(job, s, at.p, i, j);
  if (table < 0) return 0;
  const int driven = s.driven[at.p * kPhases + i];
  const int32_t v = read_out(c, at.line, at.position, i, driven, phase_sum(job, i, of_bits));
  const int32_t near = inside(job.size, v), level = read_only(job.in.levels + table + near);
  if (is_recovered(job, i) && (near != v || level == RERAM_ESCAPE))
    acc += sign * recover_chip(c, s, at, i, of_bits);
  else
    acc += sign * uint32_t(level) << (job.size.dac_shift[i] + job.size.cell_shift[j]);
  return read_only(job.in.comparisons + table + near);
}

RERAM_DEVICE void bin_chip(const ChipJob& c, const ChipShared& s, const ChipPlace& at, int phase,
                           const int32_t* of_bits) {
  const Job& job = c.job;
  const int j = int(at.line.unit % job.size.slices);
  const int driven = s.driven[at.p * kPhases + phase];
  const int32_t v =
      read_out(c, at.line, at.position, phase, driven, phase_sum(job, phase, of_bits));
  const int64_t set = s.bucket[at.p * kPhases + phase] * job.size.phases + phase;
  add(job.out.histogram + (set * job.size.slices + j) * job.size.values + inside(job.size, v) -
          job.size.lowest,
      int64_t(1));
}

// All bit-lines of the outputs of a warp, in one tile.
template <bool Bins>
RERAM_DEVICE void sweep_chip(const ChipJob& c, const ChipShared& s, const ChipItem& item,
                             int64_t tile, int warp, PerLane<ChipResults>& results) {
  const Job& job = c.job;
  for (int unit = 0; unit < job.size.passes * job.size.slices; ++unit) {
    PerLane<ChipSums> sums;
    lanes([&](int lane) {
      const int64_t n = item.output(c, warp * kLanes + lane);
      if (n < job.p.outputs) add_up(c, s, item, tile, unit * job.p.outputs + n, sums[lane]);
    });
    for (int i = 0; i < job.size.cycles; ++i) {
      PerLane<uint32_t> made;
      lanes([&](int lane) {
        const int64_t n = item.output(c, warp * kLanes + lane);
        made[lane] = 0;
        RERAM_UNROLL
        for (int p = 0; p < kChipPositions; ++p) {
          if (n >= job.p.outputs || !item.holds(c, p)) continue;
          const ChipPlace at = {{item.group, tile, unit, n}, item.first + p, p};
          const int32_t* of_bits = sums[lane].v[p];
          if (!Bins) {
            made[lane] += convert_chip(c, s, at, i, of_bits, results[lane].v[p]);
            continue;
          }
          bin_chip(c, s, at, i, of_bits);
          if (s.driven[p * kPhases + i])
            each_bit(job, i, [&](int, int phase) { bin_chip(c, s, at, phase, of_bits); });
        }
      });
      const uint32_t total = sum(made);
      lanes([&](int lane) {
        if (!Bins && lane == 0)
          add(s.made + i * kSliceLanes + unit % job.size.slices, int64_t(total));
      });
    }
  }
}

RERAM_DEVICE void store_chip(const ChipJob& c, const ChipShared& s, const ChipItem& item,
                             int thread, const ChipResults& results) {
  const Job& job = c.job;
  const int64_t n = item.output(c, thread);
  RERAM_UNROLL
  for (int p = 0; p < kChipPositions; ++p) {
    if (n >= job.p.outputs || !item.holds(c, p)) continue;
    uint32_t acc = results.v[p];
    if (job.p.encoding == RERAM_OFFSET) acc -= s.total[p] * job.p.unit << (job.p.weight_bits - 1);
    job.out.acc[((item.first + p) * job.p.groups + item.group) * job.p.outputs + n] = int32_t(acc);
  }
}

// The kernel: all items of a block.
template <bool Bins>
RERAM_DEVICE void run_chip(const ChipJob& c, const Block& block, char* memory) {
  const ChipShared s(memory);
  const Job& job = c.job;
  const int threads = c.warps * kLanes, counts = count_rows(job);
  const auto each_thread = [&](auto phase) {
    block.each_warp([&](int warp) { lanes([&](int lane) { phase(warp * kLanes + lane); }); });
  };
  each_thread([&](int thread) {
    for (int k = thread; k < counts * kSliceLanes; k += threads) s.made[k] = 0;
  });
  PerWarp<PerLane<ChipResults>> results;
  for (int64_t k = block.index(); k < c.items; k += block.count()) {
    const ChipItem item(c, k);
    each_thread([&](int thread) {
      if (thread < kChipPositions) s.total[thread] = 0;
    });
    block.each_warp([&](int warp) {
      lanes([&](int lane) {
        RERAM_UNROLL
        for (int p = 0; p < kChipPositions; ++p) results[warp][lane].v[p] = 0;
      });
    });
    for (int64_t tile = 0; tile < job.size.tiles; ++tile) {
      each_thread([&](int thread) { load_codes(c, s, item, tile, thread, threads); });
      block.barrier();
      each_thread([&](int thread) { take_chip_stock(c, s, item, tile, thread, threads); });
      block.barrier();
      block.each_warp([&](int warp) { sweep_chip<Bins>(c, s, item, tile, warp, results[warp]); });
      block.barrier();
    }
    block.each_warp([&](int warp) {
      lanes([&](int lane) {
        if (!Bins) store_chip(c, s, item, warp * kLanes + lane, results[warp][lane]);
      });
    });
    block.barrier();
  }
  each_thread([&](int thread) {
    for (int k = thread; job.out.made && k < counts * job.size.slices; k += threads)
      add(job.out.made + k, s.made[k / job.size.slices * kSliceLanes + k % job.size.slices]);
  });
}

}  // namespace reram::cuda
