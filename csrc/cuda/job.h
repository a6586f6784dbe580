// A problem as the CUDA kernels see it: sizes, arrays, and how work and shared memory are divided.
#pragma once

#include <algorithm>

#include "api/reram_cuda.h"
#include "common/shape.h"
#include "cuda/lanes.h"

namespace reram::cuda {

constexpr int kRowGroup = 16;     // positions of a warp: the rows of a tensor-core product
constexpr int kFragment = 8;      // bit-lines of a product: its columns
constexpr int kFragments = 8;     // products side by side: 64 bit-lines, one block of cells
constexpr int kBlock = kColumns;  // bit-lines of a block of cells
constexpr int kChunk = 128;       // word-lines of a product
constexpr int kChunkWords = 4;    // the same in words
constexpr int kSliceLanes = 8;    // slices or cycles at most
constexpr int kWarpCounts = kSliceLanes * kSliceLanes;
constexpr int kPlaneStride = 68;  // words of 16 rows of a chunk, padded against bank conflicts
constexpr int kFragmentWords = kFragment * kChunkWords;

struct Device {
  int processors;
  int shared_per_block, shared_per_processor;  // bytes
};

// Where things lie in a block's shared memory, in bytes; see Shared in body.h.
struct Layout {
  int32_t base, made, planes, total, undriven, driven, empty, state, bucket_of, offsets, levels,
      comparisons, bins, end;
};

struct Job {
  reram_problem p;
  const uint8_t* u;
  const uint64_t* cells;
  const uint32_t* words;  // the cells by bit-line (transpose in program.h)
  const int32_t* levels;
  const uint8_t* comparisons;
  const int32_t* edges;
  const int32_t* index;
  int32_t* acc;
  int64_t *counts, *drives;
  int64_t* histogram;

  int64_t positions, tiles, blocks;
  int32_t depth, height, chunks, slices, cycles, signs, sheets, passes;
  int32_t lowest, values;

  // Work is divided into items: `row_groups` x 16 positions by `column_groups` blocks of bit-lines
  // of one group, all tiles. A warp takes one of each.
  int32_t row_groups, column_groups;
  int64_t strips, items, grid;
  bool resident;  // tables, or bins, lie in shared memory
  Layout at;
};

inline void set_sizes(Job& job, const reram_problem& p) {
  const Shape shape(p);
  job.p = p;
  job.positions = shape.positions;
  job.depth = int32_t(shape.depth);
  job.tiles = shape.tiles;
  job.blocks = shape.blocks;
  job.height = int32_t(shape.height);
  job.chunks = int32_t(up(shape.height, kChunk));
  job.slices = shape.slices;
  job.cycles = shape.cycles;
  job.signs = shape.signs;
  job.sheets = shape.sheets;
  job.passes = p.encoding == RERAM_DUAL ? 2 : 1;
  job.lowest = shape.lowest;
  job.values = int32_t(shape.values());
}

// Words of the cells by bit-line: [G, T, P, J, chunks, 64 * blocks, 4].
inline int64_t transposed_words(const Job& job) {
  return job.p.groups * job.tiles * job.sheets * job.slices * job.chunks * job.blocks * kBlock *
         kChunkWords;
}

inline Layout layout(const Job& job, bool resident) {
  const int64_t rows = job.row_groups * kRowGroup, sets = int64_t(job.p.buckets) * job.cycles;
  const bool tables = resident && job.acc, bins = resident && job.histogram;
  int64_t end = 0;
  auto take = [&](int64_t bytes) {
    const int64_t at = end;
    end = std::min<int64_t>(end + up(bytes, 16) * 16, INT32_MAX);
    return int32_t(at);
  };
  const int64_t entries = int64_t(job.p.tables) * job.values + 1;
  Layout at;
  at.base = take(rows * 8);
  at.made = take(job.counts ? kMaxWarps * kWarpCounts * 8 : 0);
  at.planes = take(int64_t(job.row_groups) * job.p.input_bits * job.chunks * kPlaneStride * 4);
  at.total = take(rows * 4);
  at.undriven = take(kSliceLanes * 4);
  at.driven = take(kSliceLanes * 4);
  at.empty = take(kSliceLanes * 4);
  at.state = take(rows * kSliceLanes * 2);
  at.bucket_of = take(job.height + 1);
  at.offsets = take(tables ? sets * job.slices * 4 : 0);
  at.levels = take(tables ? entries * 4 : 0);
  at.comparisons = take(tables && job.counts ? entries : 0);
  at.bins = take(bins ? sets * job.values * 4 : 0);
  at.end = int32_t(end);
  return at;
}

inline void set_items(Job& job) {
  job.strips = up(job.positions, job.row_groups * kRowGroup);
  job.items = job.p.groups * (job.blocks / job.column_groups) * job.strips;
}

// Divides the work for a device; false if not even the smallest item fits it. A histogram's block
// keeps to one slice, so that the slice's bins fit shared memory, and takes several items, so that
// adding them up at its end pays.
inline bool divide(Job& job, const Device& device) {
  job.column_groups = job.blocks % 4 == 0 ? 4 : job.blocks % 2 == 0 ? 2 : 1;
  job.row_groups = kMaxWarps / job.column_groups;
  auto smaller = [&] { job.row_groups /= 2, set_items(job); };
  set_items(job);
  while (job.row_groups > 1 && job.items < 2 * device.processors) smaller();
  // Half of a processor's memory, so that two blocks run side by side and hide each other's waits.
  const int64_t most = std::min(device.shared_per_block, device.shared_per_processor / 2 - 1024);
  while (job.row_groups > 1 && layout(job, false).end > most) smaller();
  job.resident = layout(job, true).end <= most;
  job.grid = job.items;
  if (job.histogram) {
    job.grid = std::min<int64_t>(job.items, up(4 * device.processors, job.slices));
    // Bins are 32-bit: the sums that one of them may count.
    const int64_t each =
        int64_t(job.row_groups) * kRowGroup * job.column_groups * kBlock * job.tiles * job.passes;
    if (up(job.items, job.grid) > UINT32_MAX / each) job.resident = false;
    job.grid *= job.slices;
  }
  job.grid = std::min<int64_t>(job.grid, 1 << 30);
  job.at = layout(job, job.resident);
  return job.at.end <= device.shared_per_block;
}

}  // namespace reram::cuda
