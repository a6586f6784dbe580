// The kernel: bit-line sums of a block's items, and what becomes of them.
//
// A block packs the input codes of a tile into bit planes, then each of its warps multiplies 16
// positions by 64 bit-lines, cycle by cycle and slice by slice, and hands the sums to an action:
// conversion and shift-add, or a histogram. Results stay in registers over all tiles. Cells come
// through the L1 cache, where the warps of a block share them; shared memory is for the tables.
#pragma once

#include "cuda/products.h"

namespace reram::cuda {

// A block's shared memory.
struct Shared {
  RERAM_DEVICE Shared(const Job& job, char* m)
      : base(reinterpret_cast<int64_t*>(m + job.split.at.base)),
        made(reinterpret_cast<int64_t*>(m + job.split.at.made)),
        planes(reinterpret_cast<uint32_t*>(m + job.split.at.planes)),
        total(reinterpret_cast<uint32_t*>(m + job.split.at.total)),
        empty(reinterpret_cast<uint32_t*>(m + job.split.at.empty)),
        state(reinterpret_cast<uint16_t*>(m + job.split.at.state)),
        of_bits(reinterpret_cast<uint8_t*>(m + job.split.at.of_bits)),
        bucket_of(reinterpret_cast<uint8_t*>(m + job.split.at.bucket_of)),
        driven(reinterpret_cast<uint32_t*>(m + job.split.at.driven)),
        offsets(reinterpret_cast<int32_t*>(m + job.split.at.offsets)),
        levels(reinterpret_cast<int32_t*>(m + job.split.at.levels)),
        comparisons(reinterpret_cast<uint8_t*>(m + job.split.at.comparisons)),
        bins(reinterpret_cast<uint32_t*>(m + job.split.at.bins)) {}

  int64_t* base;       // [rows] where a position's window begins
  int64_t* made;       // [warps, I + 2 R, 8] what is counted, by slice
  uint32_t* planes;    // [row groups, input bits, chunks, 68] of one tile: 16 rows of 4 words
  uint32_t* total;     // [rows] sum of a position's codes
  uint32_t* empty;     // [8] what a cycle without a driven word-line adds to every output
  uint16_t* state;     // [rows, 8] activity bucket by cycle; kDriven: any word-line is driven
  uint8_t* of_bits;    // [rows, 8] activity bucket by input bit, with speculation
  uint8_t* bucket_of;  // [R + 1] by driven word-lines
  uint32_t* driven;    // [8, R + 1] tiles of the block's positions by cycle and driven word-lines
  int32_t* offsets;    // [buckets, I + R, J] where the sum 0 lies in the tables
  int32_t* levels;     // [tables * V + 1], the last one 0 for what is not converted
  uint8_t* comparisons;
  uint32_t* bins;  // [buckets, I, V] of the block's slice
};

constexpr uint16_t kDriven = 256;

// What a block works on at the moment.
struct Item {
  RERAM_DEVICE Item(const Job& job, int64_t item)
      : first(item % job.split.strips * job.split.row_groups * kRowGroup),
        block(item / job.split.strips % (job.size.blocks / job.split.column_groups) *
              job.split.column_groups),
        group(item / job.split.strips / (job.size.blocks / job.split.column_groups)) {}
  int64_t first;  // position
  int64_t block;  // of bit-lines
  int64_t group;
};

// A warp's part of an item.
struct Part {
  RERAM_DEVICE Part(const Job& job, const Item& item, int warp)
      : row_group(warp / job.split.column_groups),
        block(item.block + warp % job.split.column_groups),
        group(item.group),
        first(item.first + row_group * kRowGroup),
        rows(int(least(kRowGroup, job.size.positions - first))),
        columns(int(least(kBlock, job.p.outputs - block * kBlock))) {}
  static RERAM_DEVICE int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
  RERAM_DEVICE bool holds(int row, int column) const { return row < rows && column < columns; }
  int row_group;
  int64_t block, group, first;
  int rows, columns;  // that exist; rows may be negative
};

// --- packing ---

RERAM_DEVICE int64_t depth_offset(const reram_problem& p, uint32_t k) {
  const uint32_t last = uint32_t(p.depth[2]), middle = uint32_t(p.depth[1]);
  return k / (last * middle) * p.u_stride_depth[0] + k / last % middle * p.u_stride_depth[1] +
         k % last * p.u_stride_depth[2];
}

RERAM_DEVICE int64_t position_offset(const reram_problem& p, int64_t m) {
  const int64_t last = p.positions[2], middle = p.positions[1];
  return m / (last * middle) * p.u_stride_position[0] + m / last % middle * p.u_stride_position[1] +
         m % last * p.u_stride_position[2];
}

RERAM_DEVICE int plane_at(const Job& job, int row_group, int plane, int chunk) {
  return ((row_group * job.p.input_bits + plane) * job.size.chunks + chunk) * kPlaneStride;
}

// A word of the planes.
RERAM_DEVICE uint32_t word_of(const Job& job, const Shared& s, int row, int plane, int chunk,
                              int q) {
  return s.planes[plane_at(job, row / kRowGroup, plane, chunk) + row % kRowGroup * kChunkWords + q];
}

struct Offsets {
  int64_t v[kChunkWords];
};

// One chunk of word-lines of the rows that this warp packs. A lane reads four codes; transposing
// the 32 x 32 bits of a warp's codes makes them 8 planes of 4 words.
RERAM_DEVICE void pack_chunk(const Job& job, const Shared& s, const Item& item, int64_t tile,
                             int chunk, int warp, int warps) {
  const int first = int(tile * job.p.rows), rows = job.split.row_groups * kRowGroup;
  const int height = job.size.depth - first < job.p.rows ? job.size.depth - first : job.p.rows;
  PerLane<Offsets> offset;
  lanes([&](int lane) {
    RERAM_UNROLL
    for (int q = 0; q < kChunkWords; ++q) {
      const int k = chunk * kChunk + q * kLanes + lane;
      offset[lane].v[q] = k < height ? depth_offset(job.p, uint32_t(first + k)) : 0;
    }
  });
  for (int row = warp; row < rows; row += warps) {
    const bool exists = item.first + row < job.size.positions;
    PerLane<uint32_t> codes;
    lanes([&](int lane) {
      codes[lane] = 0;
      RERAM_UNROLL
      for (int q = 0; q < kChunkWords; ++q)
        if (exists && chunk * kChunk + q * kLanes + lane < height)
          codes[lane] |= uint32_t(read_only(job.in.u + s.base[row] + offset[lane].v[q])) << (8 * q);
    });
    transpose_bits(codes);
    lanes([&](int lane) {
      const int plane = lane % 8, q = lane / 8;
      if (plane < job.p.input_bits)
        s.planes[plane_at(job, row / kRowGroup, plane, chunk) + row % kRowGroup * kChunkWords + q] =
            codes[lane];
    });
  }
}

struct Stock {
  int driven;      // word-lines
  uint32_t total;  // of the codes' bits in these planes
};

// What a cycle of planes `from` to `to` - 1 applies of a row.
RERAM_DEVICE Stock count(const Job& job, const Shared& s, int row, int from, int to) {
  Stock stock = {};
  for (int chunk = 0; chunk < job.size.chunks; ++chunk) RERAM_UNROLL
  for (int q = 0; q < kChunkWords; ++q) {
    uint32_t any = 0;
    for (int plane = from; plane < to; ++plane) {
      const uint32_t word = word_of(job, s, row, plane, chunk, q);
      stock.total += uint32_t(popcount(word)) << plane;
      any |= word;
    }
    stock.driven += popcount(any);
  }
  return stock;
}

// Activity buckets of the rows that this warp packed, and what the digital side sums up itself.
RERAM_DEVICE void take_stock(const Job& job, const Shared& s, const Item& item, int warp,
                             int warps) {
  const int rows = job.split.row_groups * kRowGroup, mine = (rows - warp + warps - 1) / warps;
  lanes([&](int lane) {
    for (int pair = lane; pair < mine * job.size.cycles; pair += kLanes) {
      const int row = warp + pair / job.size.cycles * warps, i = pair % job.size.cycles;
      const int from = job.size.dac_shift[i], end = from + job.p.dac_bits[i];
      const int to = end < job.p.input_bits ? end : job.p.input_bits;
      const Stock stock = count(job, s, row, from, to);
      s.state[row * kSliceLanes + i] =
          uint16_t(s.bucket_of[stock.driven] | (stock.driven ? kDriven : 0));
      if (stock.driven) add(s.total + row, stock.total);
      // The positions are packed for each part of the bit-lines.
      if (!job.out.driven || item.block || item.first + row >= job.size.positions) continue;
      if (tallied(job))
        add(s.driven + i * (job.size.height + 1) + stock.driven, 1u);
      else
        add(job.out.driven + i * (job.p.rows + 1) + stock.driven, int64_t(1));
    }
  });
}

// The same by input bit, for recoveries.
RERAM_DEVICE void take_stock_of_bits(const Job& job, const Shared& s, const Item& item,
                                     int64_t tile, int warp, int warps) {
  const int rows = job.split.row_groups * kRowGroup, mine = (rows - warp + warps - 1) / warps;
  lanes([&](int lane) {
    for (int pair = lane; pair < mine * job.size.recoveries; pair += kLanes) {
      const int row = warp + pair / job.size.recoveries * warps, bit = pair % job.size.recoveries;
      const int driven = count(job, s, row, bit, bit + 1).driven;
      s.of_bits[row * kSliceLanes + bit] = s.bucket_of[driven];
      if (!job.again.active || item.block || item.first + row >= job.size.positions) continue;
      const int64_t at = tile_position(job, item.group, tile, item.first + row);
      job.again.active[at * kSliceLanes + bit] = uint16_t(driven);
    }
  });
}

RERAM_DEVICE void pack(const Job& job, const Shared& s, const Item& item, int64_t tile, int warp,
                       int warps) {
  for (int chunk = 0; chunk < job.size.chunks; ++chunk)
    pack_chunk(job, s, item, tile, chunk, warp, warps);
  warp_barrier();
  take_stock(job, s, item, warp, warps);
  if (job.size.recoveries) take_stock_of_bits(job, s, item, tile, warp, warps);
}

// Counts the tiles that are driven again, a thread for each position of a tile.
RERAM_DEVICE void drive_again(const Job& job, int64_t k) {
  const uint32_t escaped = job.again.escaped[k];
  for (int i = 0; i < job.size.cycles && escaped; ++i)
    if (escaped >> i & 1)
      each_bit(job, i, [&](int, int phase) {
        const int driven = job.again.active[k * kSliceLanes + phase - job.size.cycles];
        add(job.out.driven + phase * (job.p.rows + 1) + driven, int64_t(1));
      });
}

// --- a block's beginning ---

RERAM_DEVICE void fill_buckets(const Job& job, const Shared& s, int thread, int threads) {
  for (int driven = thread; driven <= job.size.height; driven += threads) {
    int bucket = 0;
    while (bucket + 1 < job.p.buckets && read_only(job.in.edges + bucket + 1) <= driven) ++bucket;
    s.bucket_of[driven] = uint8_t(bucket);
  }
  const int counts = job.out.made ? threads / kLanes * count_rows(job) * kSliceLanes : 0;
  for (int k = thread; k < counts; k += threads) s.made[k] = 0;
  const int tallies = tallied(job) ? job.size.cycles * (job.size.height + 1) : 0;
  for (int k = thread; k < tallies; k += threads) s.driven[k] = 0;
}

// At a block's end. Tallies are 32-bit: no block could count 2^32 tiles in its life.
RERAM_DEVICE void add_driven(const Job& job, const Shared& s, int thread, int threads) {
  const int lines = job.size.height + 1, tallies = tallied(job) ? job.size.cycles * lines : 0;
  for (int k = thread; k < tallies; k += threads)
    if (s.driven[k])
      add(job.out.driven + k / lines * (job.p.rows + 1) + k % lines, int64_t(s.driven[k]));
}

RERAM_DEVICE void begin_row(const Job& job, const Shared& s, const Item& item, int row) {
  const int64_t m = item.first + row;
  s.base[row] =
      m < job.size.positions ? position_offset(job.p, m) + item.group * job.p.u_stride_group : 0;
  s.total[row] = 0;
}

// --- one tile of a warp ---

// 64 bit-lines of one slice in one cycle. Whole: all of them and all positions exist, so that
// nothing keeps the compiler from overlapping the products' latencies.
template <bool Whole, class Sums, class Action>
RERAM_DEVICE void sweep_slice(int fragments, Sums& sums, Action& action) {
  RERAM_UNROLL
  for (int n = 0; n < kFragments; ++n) {
    if (!Whole && n >= fragments) continue;  // a break would keep the results out of registers
    PerLane<Quad> d;
    sums.sums(n, action.start(), d);
    action.template take<Whole>(n, d);
    action.template recover<Whole>(n, sums);
  }
}

template <class Sums, class Action>
RERAM_DEVICE void sweep(const Job& job, const Shared& s, const Item& item, const Part& part,
                        int64_t tile, int first_slice, int last_slice, Action& action) {
  const int64_t words_of_a_tile = int64_t(job.size.sheets) * job.size.slices * job.size.chunks *
                                  job.size.blocks * kBlock * kChunkWords;
  Sums sums(job, s.planes + plane_at(job, part.row_group, 0, 0),
            job.in.words + (item.group * job.size.tiles + tile) * words_of_a_tile +
                part.block * kBlock * kChunkWords);
  const uint16_t* state = s.state + part.row_group * kRowGroup * kSliceLanes;
  const int fragments = (part.columns + kFragment - 1) / kFragment;
  const bool whole = part.columns == kBlock && part.rows == kRowGroup;
  for (int i = 0; i < job.size.cycles; ++i) {
    PerLane<bool> driven;
    lanes([&](int lane) {
      driven[lane] = lane < kRowGroup && state[lane * kSliceLanes + i] & kDriven;
    });
    if (!ballot(driven)) {
      action.skip_cycle(i, first_slice, last_slice, tile);
      continue;
    }
    sums.set_cycle(i);
    action.set_cycle(state, i, tile);
    for (int pass = 0; pass < job.size.passes; ++pass)
      for (int j = first_slice; j < last_slice; ++j) {
        sums.set_slice(pass, j);
        action.set_slice(pass, j);
        if (whole)
          sweep_slice<true>(fragments, sums, action);
        else
          sweep_slice<false>(fragments, sums, action);
        action.end_slice(j);
      }
  }
}

}  // namespace reram::cuda
