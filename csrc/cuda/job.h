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
constexpr int kPlaneStride = 68;  // words of 16 rows of a chunk, padded against bank conflicts
constexpr int kFragmentWords = kFragment * kChunkWords;

// How work is divided among a device's processors.
constexpr int kBlocksSideBySide = 2;  // on a processor, to hide each other's waits
constexpr int kReserved = 1024;       // bytes of shared memory that the device keeps for a block
constexpr int kLeastItems = 2;        // for each processor: with fewer, smaller ones spread better
constexpr int kTalliedLines = 256;    // word-lines that a block tallies in shared memory, at most
constexpr int kHistogramBlocks = 4;   // on each processor: each adds its bins up at its end
constexpr int64_t kMostBlocks = 1 << 30;  // of a launch; a device takes 2^31 - 1

struct Device {
  int processors;
  int shared_per_block, shared_per_processor;  // bytes
};

// Where things lie in a block's shared memory, in bytes; see Shared in body.h.
struct Layout {
  int32_t base, made, planes, total, empty, state, of_bits, bucket_of, driven, offsets, levels,
      comparisons, bins, end;
};

struct Inputs {
  const uint8_t* u;
  const uint64_t* cells;
  const uint32_t* words;  // the cells by bit-line (transpose in program.h)
  const int32_t* levels;
  const uint8_t* comparisons;
  const int32_t* edges;
  const int32_t* index;
};

// Those of a conversion, the last two null without counting, or those of a histogram.
struct Outputs {
  int32_t* acc;
  int64_t *made, *driven;
  int64_t* histogram;
};

// What counts of recoveries need, null without speculation or without counting: for each group,
// tile and position, how often it is driven again, since a sum of any bit-line is recovered; and
// which tables make comparisons.
struct Again {
  uint32_t* escaped;  // a bit for each cycle
  uint16_t* active;   // [8] word-lines that each input bit drives
  uint8_t* starts;    // [tables]
};

// A Shape as narrow as the kernels' registers want it, and what only they need.
struct Sizes {
  int64_t positions, tiles, blocks;
  int32_t depth, height, chunks, slices, cycles, signs, sheets, passes;
  int32_t lowest, values;
  int32_t recoveries, phases;           // R, and I + R: cycles and then recovered bits
  int32_t cell_bits, dac_bits;          // of the widest
  int32_t cell_shift[8], dac_shift[8];  // bits below those of a slice and of a cycle
};

// Work is divided into items: `row_groups` x 16 positions by `column_groups` blocks of bit-lines
// of one group, all tiles. A warp takes one of each.
struct Division {
  int32_t row_groups, column_groups;
  int64_t strips, items, grid;
  bool resident;  // tables, or bins, lie in shared memory
  bool tallied;   // so do a block's counts of driven word-lines, which it adds up at its end
  Layout at;
};

struct Job {
  reram_problem p;
  Inputs in;
  Outputs out;
  Again again;
  Sizes size;
  Division split;
};

inline void set_sizes(Job& job, const reram_problem& p) {
  const Shape shape(p);
  job.p = p;
  job.size = {shape.positions,
              shape.tiles,
              shape.blocks,
              int32_t(shape.depth),
              int32_t(shape.height),
              int32_t(up(shape.height, kChunk)),
              shape.slices,
              shape.cycles,
              shape.signs,
              shape.sheets,
              p.encoding == RERAM_DUAL ? 2 : 1,
              shape.lowest,
              int32_t(shape.values()),
              shape.recoveries,
              shape.phases,
              shape.cell_bits,
              shape.dac_bits,
              {},
              {}};
  std::copy_n(shape.cell_shift, shape.slices, job.size.cell_shift);
  std::copy_n(shape.dac_shift, shape.cycles, job.size.dac_shift);
}

// Words of the cells by bit-line: [G, T, P, J, chunks, 64 * blocks, 4].
inline int64_t transposed_words(const Job& job) {
  const Sizes& size = job.size;
  return job.p.groups * size.tiles * size.sheets * size.slices * size.chunks * size.blocks *
         kBlock * kChunkWords;
}

// Groups, tiles and positions: the elements of Again.
RERAM_BOTH int64_t tile_positions(const Job& job) {
  return job.p.groups * job.size.tiles * job.size.positions;
}

// Of a group's tile.
RERAM_BOTH int64_t tile_position(const Job& job, int64_t group, int64_t tile, int64_t position) {
  return (group * job.size.tiles + tile) * job.size.positions + position;
}

// Rows of the counts of comparisons.
RERAM_BOTH int count_rows(const Job& job) { return job.size.phases + job.size.recoveries; }

// Calls `work(d, phase)` for the bits that recover what a cycle converts, if any.
template <class Work>
RERAM_BOTH void each_bit(const Job& job, int cycle, const Work& work) {
  if (!job.size.recoveries || job.p.dac_bits[cycle] == 1) return;
  const int first = job.size.dac_shift[cycle];
  for (int d = 0; d < job.p.dac_bits[cycle] && first + d < job.p.input_bits; ++d)
    work(d, job.size.cycles + first + d);
}

RERAM_BOTH bool tallied(const Job& job) { return job.out.driven && job.split.tallied; }

inline Layout layout(const Job& job, bool resident) {
  const Sizes& size = job.size;
  const int64_t rows = job.split.row_groups * kRowGroup;
  const int64_t sets = int64_t(job.p.buckets) * size.phases;
  const bool tables = resident && job.out.acc, bins = resident && job.out.histogram;
  int64_t end = 0;
  auto take = [&](int64_t bytes) {
    const int64_t at = end;
    end = std::min<int64_t>(end + up(bytes, 16) * 16, INT32_MAX);
    return int32_t(at);
  };
  const int64_t entries = int64_t(job.p.tables) * size.values + 1;
  Layout at;
  at.base = take(rows * 8);
  const int64_t warps = int64_t(job.split.row_groups) * job.split.column_groups;
  at.made = take(job.out.made ? warps * count_rows(job) * kSliceLanes * 8 : 0);
  at.planes =
      take(int64_t(job.split.row_groups) * job.p.input_bits * size.chunks * kPlaneStride * 4);
  at.total = take(rows * 4);
  at.empty = take(kSliceLanes * 4);
  at.state = take(rows * kSliceLanes * 2);
  at.of_bits = take(size.recoveries ? rows * kSliceLanes : 0);
  at.bucket_of = take(size.height + 1);
  at.driven = take(tallied(job) ? (size.height + 1) * kSliceLanes * 4 : 0);
  at.offsets = take(tables ? sets * size.slices * 4 : 0);
  at.levels = take(tables ? entries * 4 : 0);
  at.comparisons = take(tables && job.out.made ? entries : 0);
  at.bins = take(bins ? sets * size.values * 4 : 0);
  at.end = int32_t(end);
  return at;
}

inline void set_items(Job& job) {
  Division& split = job.split;
  split.strips = up(job.size.positions, split.row_groups * kRowGroup);
  split.items = job.p.groups * (job.size.blocks / split.column_groups) * split.strips;
}

// Divides the work for a device; false if not even the smallest item fits it. A histogram's block
// keeps to one slice, so that the slice's bins fit shared memory, and takes several items, so that
// adding them up at its end pays.
inline bool divide(Job& job, const Device& device) {
  const Sizes& size = job.size;
  Division& split = job.split;
  split.column_groups = size.blocks % 4 == 0 ? 4 : size.blocks % 2 == 0 ? 2 : 1;
  split.row_groups = kMaxWarps / split.column_groups;
  split.tallied = size.height <= kTalliedLines;
  auto smaller = [&] { split.row_groups /= 2, set_items(job); };
  set_items(job);
  while (split.row_groups > 1 && split.items < kLeastItems * device.processors) smaller();
  const int64_t most = std::min(device.shared_per_block,
                                device.shared_per_processor / kBlocksSideBySide - kReserved);
  while (split.row_groups > 1 && layout(job, false).end > most) smaller();
  // Sums that may lie beyond the tables, or be recovered, take the general path.
  split.resident = !size.recoveries && layout(job, true).end <= most;
  split.grid = split.items;
  if (job.out.histogram) {
    split.grid =
        std::min<int64_t>(split.items, up(kHistogramBlocks * device.processors, size.slices));
    // Bins are 32-bit: the sums that one of them may count.
    const int64_t each = int64_t(split.row_groups) * kRowGroup * split.column_groups * kBlock *
                         size.tiles * size.passes;
    if (up(split.items, split.grid) > UINT32_MAX / each) split.resident = false;
    split.grid *= size.slices;
  }
  split.grid = std::min(split.grid, kMostBlocks);
  if (layout(job, split.resident).end > device.shared_per_block) split.tallied = false;
  split.at = layout(job, split.resident);
  return split.at.end <= device.shared_per_block;
}

}  // namespace reram::cuda
