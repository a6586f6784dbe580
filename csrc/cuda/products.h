// Bit-line sums of 16 positions and 8 bit-lines: products of bits, on tensor cores or by counting.
#pragma once

#include "cuda/job.h"

namespace reram::cuda {

// Where a lane's two rows begin to count.
struct Start {
  int32_t v[2];
};

RERAM_DEVICE void begin_at(PerLane<Start>& start, PerLane<Quad>& d) {
  lanes([&](int lane) {
    RERAM_UNROLL
    for (int e = 0; e < 4; ++e) d[lane].v[e] = start[lane].v[e / 2];
  });
}

// The words of a lane lie in memory as the instruction wants them: rows and columns of four words,
// word lane % 4 of row or column lane / 4.
struct TensorCores {
  using Rows = HalfRows;
  using Columns = uint32_t;
  static RERAM_DEVICE int first_column(int lane) { return lane; }
  static RERAM_DEVICE void load_rows(PerLane<Rows>& a, const uint32_t* rows) {
    lanes([&](int lane) { a[lane] = {{rows[lane], rows[lane + 8 * kChunkWords]}}; });
  }
  static RERAM_DEVICE Columns load_columns(const uint32_t* at) { return read_only(at); }
  static RERAM_DEVICE void product(PerLane<Rows>& a, PerLane<Columns>& b, PerLane<Quad>& d) {
    multiply(a, b, d);
  }
};

struct Popcount {
  struct Rows {
    uint32_t v[2][kChunkWords];
  };
  using Columns = Rows;
  static RERAM_DEVICE int first_column(int lane) { return quad_column(lane, 0) * kChunkWords; }
  static RERAM_DEVICE void load_rows(PerLane<Rows>& a, const uint32_t* rows) {
    lanes([&](int lane) {
      RERAM_UNROLL
      for (int k = 0; k < 2 * kChunkWords; ++k)
        a[lane].v[k / 4][k % 4] = rows[quad_row(lane, k / 4 * 2) * kChunkWords + k % 4];
    });
  }
  static RERAM_DEVICE Columns load_columns(const uint32_t* at) {
    Columns columns;
    RERAM_UNROLL
    for (int k = 0; k < 2 * kChunkWords; ++k) columns.v[k / 4][k % 4] = read_only(at + k);
    return columns;
  }
  static RERAM_DEVICE void product(PerLane<Rows>& a, PerLane<Columns>& b, PerLane<Quad>& d) {
    lanes([&](int lane) {
      RERAM_UNROLL
      for (int e = 0; e < 4; ++e) RERAM_UNROLL
      for (int q = 0; q < kChunkWords; ++q)
        d[lane].v[e] += popcount(a[lane].v[e / 2][q] & b[lane].v[e % 2][q]);
    });
  }
};

// Cells and DACs of one bit, a tile of one product. Signed: less the negative cells.
template <class Product, bool Signed>
struct OneBit {
  RERAM_DEVICE OneBit(const Job& job, const uint32_t* planes, const uint32_t* words)
      : planes_(planes),
        slice_words_(int(job.size.blocks) * kBlock * kChunkWords),
        slices_(job.size.slices) {
    lanes([&](int lane) { words_[lane] = words + Product::first_column(lane); });
  }

  RERAM_DEVICE void set_cycle(int i) { Product::load_rows(rows_, planes_ + i * kPlaneStride); }
  RERAM_DEVICE void set_slice(int pass, int j) {
    lanes([&](int lane) {
      plus_[lane] = words_[lane] + (pass * slices_ + j) * slice_words_;
      if (Signed) minus_[lane] = plus_[lane] + slices_ * slice_words_;
    });
  }
  // Those of a single bit of a cycle, which has no other.
  RERAM_DEVICE void bit_sums(int, int, PerLane<Quad>&) {}
  // d: the sums, from `start` on.
  RERAM_DEVICE void sums(int n, PerLane<Start>& start, PerLane<Quad>& d) {
    begin_at(start, d);
    multiply_by(plus_, n, d);
    if (!Signed) return;
    PerLane<Quad> less;
    lanes([&](int lane) { less[lane] = {}; });
    multiply_by(minus_, n, less);
    lanes([&](int lane) {
      RERAM_UNROLL
      for (int e = 0; e < 4; ++e) d[lane].v[e] -= less[lane].v[e];
    });
  }

 private:
  RERAM_DEVICE void multiply_by(PerLane<const uint32_t*>& words, int n, PerLane<Quad>& d) {
    PerLane<typename Product::Columns> columns;
    lanes(
        [&](int lane) { columns[lane] = Product::load_columns(words[lane] + n * kFragmentWords); });
    Product::product(rows_, columns, d);
  }

  const uint32_t* planes_;
  int slice_words_, slices_;
  PerLane<const uint32_t*> words_, plus_, minus_;
  PerLane<typename Product::Rows> rows_;
};

// Any geometry: one product for each bit of the cell, bit of the DAC, sign and chunk.
struct AnyBits {
  RERAM_DEVICE AnyBits(const Job& job, const uint32_t* planes, const uint32_t* words)
      : job_(job), planes_(planes), words_(words) {}

  RERAM_DEVICE void set_cycle(int i) { cycle_ = i; }
  RERAM_DEVICE void set_slice(int pass, int j) { pass_ = pass, slice_ = j; }
  RERAM_DEVICE void sums(int n, PerLane<Start>& start, PerLane<Quad>& d) {
    begin_at(start, d);
    for (int b = 0; b < job_.p.dac_bits[cycle_]; ++b) add_bit(n, b, b, d);
  }
  // Those of bit b of the cycle alone.
  RERAM_DEVICE void bit_sums(int n, int b, PerLane<Quad>& d) {
    lanes([&](int lane) { d[lane] = {}; });
    add_bit(n, b, 0, d);
  }

 private:
  // Adds the sums of bit b of the cycle, times 2^shift.
  RERAM_DEVICE void add_bit(int n, int b, int shift, PerLane<Quad>& d) {
    const int plane = job_.size.dac_shift[cycle_] + b, signs = job_.size.lowest < 0 ? 2 : 1;
    if (plane >= job_.p.input_bits) return;
    for (int sign = 0; sign < signs; ++sign)
      for (int c = 0; c < job_.p.cell_bits[slice_]; ++c) {
        PerLane<Quad> bits;
        lanes([&](int lane) { bits[lane] = {}; });
        multiply_by((pass_ + sign) * job_.size.cell_bits + c, plane, n, bits);
        lanes([&](int lane) {
          RERAM_UNROLL
          for (int e = 0; e < 4; ++e)
            d[lane].v[e] += (sign ? -bits[lane].v[e] : bits[lane].v[e]) * (1 << (shift + c));
        });
      }
  }

  RERAM_DEVICE void multiply_by(int sheet, int plane, int n, PerLane<Quad>& d) {
    for (int chunk = 0; chunk < job_.size.chunks; ++chunk) {
      const int64_t at = (int64_t(sheet) * job_.size.slices + slice_) * job_.size.chunks + chunk;
      const uint32_t* words =
          words_ + (at * job_.size.blocks * kBlock + n * kFragment) * kChunkWords;
      PerLane<HalfRows> rows;
      PerLane<uint32_t> columns;
      TensorCores::load_rows(rows, planes_ + (plane * job_.size.chunks + chunk) * kPlaneStride);
      lanes([&](int lane) { columns[lane] = read_only(words + lane); });
      multiply(rows, columns, d);
    }
  }

  const Job& job_;
  const uint32_t *planes_, *words_;
  int cycle_ = 0, pass_ = 0, slice_ = 0;
};

}  // namespace reram::cuda
