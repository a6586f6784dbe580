// Any machine. Also the plainest statement of what an instruction set supplies to kernel.h.
#define RERAM_ISA portable
#include "cpu/draws.h"
#include "cpu/hash.h"
#include "cpu/narrow.h"
#include "cpu/odds_kernel.h"
#include "cpu/plain_inputs.h"
#include "cpu/product.h"

namespace reram::cpu::RERAM_ISA {
namespace {

struct Portable : PlainInputs,
                  PlainTables,
                  InOrder,
                  NoNibbles,
                  PlainProduct,
                  PlainQuantizer,
                  PlainHash,
                  PlainDraws {
  using Bytes __attribute__((vector_size(16))) = uint8_t;  // wraps, as int8_t may not

  // 64 bytes of -1 where a bit is set.
  static void spread(uint64_t bits, int8_t* out) {
    for (int n = 0; n < kColumns; ++n) out[n] = int8_t(-(bits >> n & 1));
  }

  // Eight planes of eight slices to bytes.
  static void bytes_of_planes(const uint64_t (*planes)[kSlices], uint8_t (*out)[kColumns]) {
    for (int j = 0; j < kSlices; ++j) slice_sums(&planes[0][j], kSlices, out[j]);
  }

  // Low bytes of the sums of a unit, by slice and bit-line.
  template <bool Signed>
  static void sums(const Sweep& w, const Unit& unit, uint8_t (*out)[kColumns]) {
    WidePlanes planes, minus;
    count_unit(unit, w.plus, 8, planes);
    if (Signed) {
      count_unit(unit, w.minus, 8, minus);
      for (int j = 0; j < kSlices; ++j) {
        uint64_t borrow = 0;
        for (int q = 0; q < 8; ++q) {
          const uint64_t a = planes[q][j], b = minus[q][j];
          planes[q][j] = a ^ b ^ borrow;
          borrow = (~a & (b | borrow)) | (b & borrow);
        }
      }
    }
    bytes_of_planes(planes, out);
  }

  // Adds the weighed levels of a unit to its accumulators, and its comparisons to the counts.
  template <bool Count>
  static void add_unit(const Sweep& w, const Unit& unit, const uint8_t (*bytes)[kColumns]) {
    uint32_t* into = w.sums + int64_t(unit.position) * kColumns;
    int32_t levels[kColumns] = {};
    for (int j = 0; j < kSlices; ++j) {
      const ByteTables& table = *w.tables[unit.set * kSlices + j];
      const int weight = w.weights[j / 2] >> (j % 2 * 8) & 0xff;
      for (int n = 0; n < kColumns; ++n) levels[n] += table.level8[bytes[j][n]] * weight;
      if (Count) {
        int64_t made = 0;
        for (int n = 0; n < kColumns; ++n)
          made += table.comparisons8[bytes[j][n]] & -int(w.columns >> n & 1);
        w.counts[j * kCountLanes] += made;
      }
    }
    for (int n = 0; n < kColumns; ++n) into[n] += uint32_t(levels[n]) << unit.shift;
  }

  // Units whose sums fill N planes, looked up in tables of 2^T values. Only those of the wide
  // layout have signed sums, only those of the narrow one bands.
  template <int N, int T, bool Signed, bool Banded, bool Count>
  static void convert(const Sweep& w) {
    for (int k = 0; k < w.count; ++k) {
      uint8_t bytes[kSlices][kColumns];
      if (Banded)
        band_bytes<N>(w, w.units[k], bytes);
      else
        sums<Signed>(w, w.units[k], bytes);
      add_unit<Count>(w, w.units[k], bytes);
    }
  }

  // Where the sums of a unit lie in the tables of a band.
  template <int N>
  static void band_bytes(const Sweep& w, const Unit& unit, uint8_t (*out)[kColumns]) {
    sums<false>(w, unit, out);
    for (int j = 0; j < kSlices; ++j)
      for (int n = 0; n < kColumns; ++n)
        out[j][n] = uint8_t((out[j][n] + unit.start + w.places[64 * j + n]) & w.inside[64 * j + n]);
  }

  // The driven word-lines of a unit of N planes, in any order that `Sweep::places` shares.
  template <int N>
  static void driven_bytes(const Sweep& w, const Unit& unit, uint8_t* out) {
    sums<false>(w, unit, reinterpret_cast<uint8_t (*)[kColumns]>(out));
  }

  // Entries of a table of 2^T bytes, for as many indices.
  template <int T>
  static void look_up_all(const uint8_t* table, const uint8_t* index, uint8_t* out) {
    for (int k = 0; k < kSlices * kColumns; ++k) out[k] = table[index[k]];
  }

  template <int N, bool Signed>
  static void histogram(const Sweep& w) {
    for (int k = 0; k < w.count; ++k) {
      alignas(64) uint8_t bytes[kSlices][kColumns];
      sums<Signed>(w, w.units[k], bytes);
      count_bytes<8, Signed>(w, w.units[k], bytes);
    }
  }

  template <int N>
  static void tally(const Sweep& w) {
    portable::tally<Portable, N>(w);
  }
};

}  // namespace

const Kernels kKernels = {
    convert<Portable>,           convert_narrow<Portable>,   convert_product<Portable>,
    histogram<Portable>,         histogram_narrow<Portable>, correct<Portable>,
    correct_histogram<Portable>, quantize<Portable>,         fingerprint<Portable>};

}  // namespace reram::cpu::RERAM_ISA
