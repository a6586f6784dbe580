// The kernel: bit-line sums of a block's items, and what becomes of them.
//
// A block packs the input codes of a tile into bit planes, then each of its warps multiplies 16
// positions by 64 bit-lines, cycle by cycle and slice by slice, and hands the sums to an action:
// conversion and shift-add, or a histogram. Results stay in registers over all tiles. Cells come
// through the L1 cache, where the warps of a block share them; shared memory is for the tables.
#pragma once

#include "cuda_job.h"

namespace reram {

// A block's shared memory.
struct Shared {
  RERAM_DEVICE Shared(const Job& job, char* m)
      : base(reinterpret_cast<int64_t*>(m + job.at.base)),
        made(reinterpret_cast<int64_t*>(m + job.at.made)),
        planes(reinterpret_cast<uint32_t*>(m + job.at.planes)),
        total(reinterpret_cast<uint32_t*>(m + job.at.total)),
        undriven(reinterpret_cast<uint32_t*>(m + job.at.undriven)),
        empty(reinterpret_cast<uint32_t*>(m + job.at.empty)),
        state(reinterpret_cast<uint16_t*>(m + job.at.state)),
        bucket_of(reinterpret_cast<uint8_t*>(m + job.at.bucket_of)),
        offsets(reinterpret_cast<int32_t*>(m + job.at.offsets)),
        levels(reinterpret_cast<int32_t*>(m + job.at.levels)),
        comparisons(reinterpret_cast<uint8_t*>(m + job.at.comparisons)),
        bins(reinterpret_cast<uint32_t*>(m + job.at.bins)) {}

  int64_t* base;       // [rows] where a position's window begins
  int64_t* made;       // [warps, 8] comparisons of each slice
  uint32_t* planes;    // [row groups, input bits, chunks, 68] of one tile: 16 rows of 4 words
  uint32_t* total;     // [rows] sum of a position's codes
  uint32_t* undriven;  // [8] positions and tiles without a driven word-line, by cycle
  uint32_t* empty;     // [8] what a cycle without a driven word-line adds to every output
  uint16_t* state;     // [rows, 8] activity bucket by cycle; kDriven: any word-line is driven
  uint8_t* bucket_of;  // [R + 1] by driven word-lines
  int32_t* offsets;    // [buckets, I, J] where the sum 0 lies in the tables
  int32_t* levels;     // [tables * V + 1], the last one 0 for what is not converted
  uint8_t* comparisons;
  uint32_t* bins;  // [buckets, I, V] of the block's slice
};

constexpr uint16_t kDriven = 256;

// What a block works on at the moment.
struct Item {
  RERAM_DEVICE Item(const Job& job, int64_t item)
      : first(item % job.strips * job.row_groups * kRowGroup),
        block(item / job.strips % (job.blocks / job.column_groups) * job.column_groups),
        group(item / job.strips / (job.blocks / job.column_groups)) {}
  int64_t first;  // position
  int64_t block;  // of bit-lines
  int64_t group;
};

// A warp's part of an item.
struct Part {
  RERAM_DEVICE Part(const Job& job, const Item& item, int warp)
      : row_group(warp / job.column_groups),
        block(item.block + warp % job.column_groups),
        first(item.first + row_group * kRowGroup),
        rows(int(least(kRowGroup, job.positions - first))),
        columns(int(least(kBlock, job.p.outputs - block * kBlock))) {}
  static RERAM_DEVICE int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
  RERAM_DEVICE bool holds(int row, int column) const { return row < rows && column < columns; }
  int row_group;
  int64_t block, first;
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

RERAM_DEVICE const uint32_t* plane_of(const Job& job, const uint32_t* planes, int row_group,
                                      int plane, int chunk) {
  return planes + ((row_group * job.p.input_bits + plane) * job.chunks + chunk) * kPlaneStride;
}

struct Offsets {
  int64_t v[kChunkWords];
};

// One chunk of word-lines, a lane each, of the rows that this warp packs: a bit plane of 32
// word-lines is a ballot.
RERAM_DEVICE void pack_chunk(const Job& job, const Shared& s, const Item& item, int64_t tile,
                             int chunk, int warp, int warps) {
  const int first = int(tile * job.p.rows), rows = job.row_groups * kRowGroup;
  const int height = job.depth - first < job.p.rows ? job.depth - first : job.p.rows;
  PerLane<Offsets> offset;
  lanes([&](int lane) {
    RERAM_UNROLL for (int q = 0; q < kChunkWords; ++q) {
      const int k = chunk * kChunk + q * 32 + lane;
      offset[lane].v[q] = k < height ? depth_offset(job.p, uint32_t(first + k)) : 0;
    }
  });
  for (int row = warp; row < rows; row += warps) {
    const bool exists = item.first + row < job.positions;
    PerLane<uint32_t> word, codes;  // codes: four, a byte each
    lanes([&](int lane) {
      codes[lane] = word[lane] = 0;
      RERAM_UNROLL for (int q = 0; q < kChunkWords;
                        ++q) if (exists && chunk * kChunk + q * 32 + lane < height) codes[lane] |=
          uint32_t(read_only(job.u + s.base[row] + offset[lane].v[q])) << (8 * q);
    });
    RERAM_UNROLL for (int k = 0; k < 32; ++k) {  // bit k % 8 of code k / 8
      PerLane<bool> bit;
      lanes([&](int lane) { bit[lane] = codes[lane] >> k & 1; });
      const uint32_t bits = ballot(bit);
      lanes([&](int lane) {
        if (lane == k) word[lane] = bits;
      });
    }
    lanes([&](int lane) {
      const int plane = lane % 8, q = lane / 8;
      const uint32_t* to = plane_of(job, s.planes, row / kRowGroup, plane, chunk);
      if (plane < job.p.input_bits)
        const_cast<uint32_t*>(to)[row % kRowGroup * kChunkWords + q] = word[lane];
    });
  }
}

// Set bits of a row in one plane.
RERAM_DEVICE int row_bits(const Job& job, const Shared& s, int row, int plane) {
  int bits = 0;
  for (int chunk = 0; chunk < job.chunks; ++chunk) {
    const uint32_t* words = plane_of(job, s.planes, row / kRowGroup, plane, chunk);
    for (int q = 0; q < kChunkWords; ++q)
      bits += popcount(words[row % kRowGroup * kChunkWords + q]);
  }
  return bits;
}

// Word-lines that a cycle of `from` to `to` - 1 planes drives.
RERAM_DEVICE int driven_lines(const Job& job, const Shared& s, int row, int from, int to) {
  int bits = 0;
  for (int chunk = 0; chunk < job.chunks; ++chunk)
    for (int q = 0; q < kChunkWords; ++q) {
      uint32_t any = 0;
      for (int plane = from; plane < to; ++plane)
        any |= plane_of(job, s.planes, row / kRowGroup, plane,
                        chunk)[row % kRowGroup * kChunkWords + q];
      bits += popcount(any);
    }
  return bits;
}

// Activity buckets of the rows that this warp packed, and what the digital side sums up itself.
RERAM_DEVICE void take_stock(const Job& job, const Shared& s, const Item& item, int warp,
                             int warps) {
  const int rows = job.row_groups * kRowGroup, mine = (rows - warp + warps - 1) / warps;
  lanes([&](int lane) {
    for (int pair = lane; pair < mine * job.cycles; pair += kLanes) {
      const int row = warp + pair / job.cycles * warps, i = pair % job.cycles;
      const int from = i * job.p.dac_bits, end = from + job.p.dac_bits;
      const int to = end < job.p.input_bits ? end : job.p.input_bits;
      const int driven = driven_lines(job, s, row, from, to);
      s.state[row * kSliceLanes + i] = uint16_t(s.bucket_of[driven] | (driven ? kDriven : 0));
      if (!driven && item.first + row < job.positions) add(s.undriven + i, 1u);
      if (driven && job.p.encoding == RERAM_OFFSET)
        for (int plane = from; plane < to; ++plane)
          add(s.total + row, uint32_t(row_bits(job, s, row, plane)) << plane);
    }
  });
}

RERAM_DEVICE void pack(const Job& job, const Shared& s, const Item& item, int64_t tile, int warp,
                       int warps) {
  for (int chunk = 0; chunk < job.chunks; ++chunk)
    pack_chunk(job, s, item, tile, chunk, warp, warps);
  warp_barrier();
  take_stock(job, s, item, warp, warps);
}

// --- a block's beginning ---

RERAM_DEVICE void fill_buckets(const Job& job, const Shared& s, int thread, int threads) {
  for (int driven = thread; driven <= job.height; driven += threads) {
    int bucket = 0;
    while (bucket + 1 < job.p.buckets && read_only(job.edges + bucket + 1) <= driven) ++bucket;
    s.bucket_of[driven] = uint8_t(bucket);
  }
  for (int k = thread; k < kMaxWarps * kSliceLanes; k += threads) s.made[k] = 0;
}

RERAM_DEVICE void begin_row(const Job& job, const Shared& s, const Item& item, int row) {
  const int64_t m = item.first + row;
  s.base[row] =
      m < job.positions ? position_offset(job.p, m) + item.group * job.p.u_stride_group : 0;
  s.total[row] = 0;
}

// --- products ---

// The words of a lane lie in memory as the instruction wants them: rows and columns of four words,
// word lane % 4 of row or column lane / 4.
struct TensorCores {
  using Rows = HalfRows;
  using Columns = uint32_t;
  static RERAM_DEVICE void load_rows(PerLane<Rows>& a, const uint32_t* rows) {
    lanes([&](int lane) { a[lane] = {{rows[lane], rows[lane + 8 * kChunkWords]}}; });
  }
  static RERAM_DEVICE void load_columns(PerLane<Columns>& b, const uint32_t* columns) {
    lanes([&](int lane) { b[lane] = read_only(columns + lane); });
  }
  static RERAM_DEVICE void product(PerLane<Rows>& a, PerLane<Columns>& b, PerLane<Quad>& d) {
    multiply(a, b, d);
  }
};

struct Popcount {
  struct Rows {
    uint32_t v[2][kChunkWords];
  };
  using Columns = Rows;
  static RERAM_DEVICE void load_rows(PerLane<Rows>& a, const uint32_t* rows) {
    lanes([&](int lane) {
      RERAM_UNROLL for (int h = 0; h < 2; ++h) RERAM_UNROLL for (int q = 0; q < kChunkWords; ++q)
          a[lane]
              .v[h][q] = rows[quad_row(lane, 2 * h) * kChunkWords + q];
    });
  }
  static RERAM_DEVICE void load_columns(PerLane<Columns>& b, const uint32_t* columns) {
    lanes([&](int lane) {
      RERAM_UNROLL for (int h = 0; h < 2; ++h) RERAM_UNROLL for (int q = 0; q < kChunkWords; ++q)
          b[lane]
              .v[h][q] = read_only(columns + quad_column(lane, h) * kChunkWords + q);
    });
  }
  static RERAM_DEVICE void product(PerLane<Rows>& a, PerLane<Columns>& b, PerLane<Quad>& d) {
    lanes([&](int lane) {
      RERAM_UNROLL for (int e = 0; e < 4; ++e) RERAM_UNROLL for (int q = 0; q < kChunkWords; ++q)
          d[lane]
              .v[e] += popcount(a[lane].v[e / 2][q] & b[lane].v[e % 2][q]);
    });
  }
};

// Cells and DACs of one bit, a tile of one product.
template <class Product>
struct OneBit {
  RERAM_DEVICE OneBit(const Job& job, const uint32_t* planes, const uint32_t* words)
      : job_(job), planes_(planes), words_(words) {}

  RERAM_DEVICE void set_cycle(int i) { Product::load_rows(rows_, planes_ + i * kPlaneStride); }
  RERAM_DEVICE void set_slice(int pass, int j) {
    const int64_t sheet = int64_t(job_.slices) * job_.blocks * kBlock * kChunkWords;
    plus_ = words_ + pass * sheet + j * job_.blocks * kBlock * kChunkWords;
    minus_ = job_.lowest < 0 ? plus_ + sheet : nullptr;
  }
  RERAM_DEVICE void sums(int n, PerLane<Quad>& d) {
    PerLane<typename Product::Columns> columns;
    Product::load_columns(columns, plus_ + n * kFragmentWords);
    lanes([&](int lane) { d[lane] = {}; });
    Product::product(rows_, columns, d);
    if (!minus_) return;
    PerLane<Quad> less;
    lanes([&](int lane) { less[lane] = {}; });
    Product::load_columns(columns, minus_ + n * kFragmentWords);
    Product::product(rows_, columns, less);
    lanes([&](int lane) {
      RERAM_UNROLL for (int e = 0; e < 4; ++e) d[lane].v[e] -= less[lane].v[e];
    });
  }

 private:
  const Job& job_;
  const uint32_t *planes_, *words_, *plus_ = nullptr, *minus_ = nullptr;
  PerLane<typename Product::Rows> rows_;
};

// Any geometry: one product for each bit of the cell, bit of the DAC, sign and chunk.
template <class Product>
struct AnyBits {
  RERAM_DEVICE AnyBits(const Job& job, const uint32_t* planes, const uint32_t* words)
      : job_(job), planes_(planes), words_(words) {}

  RERAM_DEVICE void set_cycle(int i) { cycle_ = i; }
  RERAM_DEVICE void set_slice(int pass, int j) { pass_ = pass, slice_ = j; }
  RERAM_DEVICE void sums(int n, PerLane<Quad>& d) {
    lanes([&](int lane) { d[lane] = {}; });
    const int signs = job_.lowest < 0 ? 2 : 1;
    for (int sign = 0; sign < signs; ++sign)
      for (int c = 0; c < job_.p.cell_bits; ++c)
        for (int b = 0; b < job_.p.dac_bits; ++b) {
          const int plane = cycle_ * job_.p.dac_bits + b;
          if (plane >= job_.p.input_bits) break;
          add_bit((pass_ + sign) * job_.p.cell_bits + c, plane, n, sign, b + c, d);
        }
  }

 private:
  RERAM_DEVICE void add_bit(int sheet, int plane, int n, int sign, int shift, PerLane<Quad>& d) {
    PerLane<Quad> bits;
    lanes([&](int lane) { bits[lane] = {}; });
    for (int chunk = 0; chunk < job_.chunks; ++chunk) {
      PerLane<typename Product::Rows> rows;
      PerLane<typename Product::Columns> columns;
      Product::load_rows(rows, planes_ + (plane * job_.chunks + chunk) * kPlaneStride);
      const int64_t at = (int64_t(sheet) * job_.slices + slice_) * job_.chunks + chunk;
      Product::load_columns(columns,
                            words_ + at * job_.blocks * kBlock * kChunkWords + n * kFragmentWords);
      Product::product(rows, columns, bits);
    }
    lanes([&](int lane) {
      RERAM_UNROLL for (int e = 0; e < 4; ++e) d[lane].v[e] +=
          (sign ? -bits[lane].v[e] : bits[lane].v[e]) * (1 << shift);
    });
  }

  const Job& job_;
  const uint32_t *planes_, *words_;
  int cycle_ = 0, pass_ = 0, slice_ = 0;
};

// --- one tile of a warp ---

template <class Sums, class Action>
RERAM_DEVICE void sweep(const Job& job, const Shared& s, const Item& item, const Part& part,
                        int64_t tile, int first_slice, int last_slice, Action& action) {
  const uint32_t* words = job.words + ((item.group * job.tiles + tile) * job.sheets * job.slices *
                                           job.chunks * job.blocks +
                                       part.block) *
                                          kBlock * kChunkWords;
  Sums sums(job, plane_of(job, s.planes, part.row_group, 0, 0), words);
  const uint16_t* state = s.state + part.row_group * kRowGroup * kSliceLanes;
  const int fragments = (part.columns + kFragment - 1) / kFragment;
  for (int i = 0; i < job.cycles; ++i) {
    PerLane<bool> driven;
    lanes([&](int lane) {
      driven[lane] = lane < kRowGroup && state[lane * kSliceLanes + i] & kDriven;
    });
    if (!ballot(driven)) {
      action.skip_cycle(i, first_slice, last_slice);
      continue;
    }
    sums.set_cycle(i);
    for (int pass = 0; pass < job.passes; ++pass)
      for (int j = first_slice; j < last_slice; ++j) {
        sums.set_slice(pass, j);
        action.set_tables(state, i, pass, j);
        RERAM_UNROLL for (int n = 0; n < kFragments; ++n) {
          if (n >= fragments) continue;  // not break: unrolling keeps results in registers
          PerLane<Quad> d;
          sums.sums(n, d);
          action.take(n, d);
        }
        action.end_slice(j);
      }
  }
}

}  // namespace reram
