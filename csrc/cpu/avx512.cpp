// AVX-512 with VBMI, VBMI2, VPOPCNTDQ and GFNI: a word-line of a block is one vector of 512 bits;
// sums become bytes by bit-matrix transposition.
#include <immintrin.h>

#define RERAM_ISA avx512

#include "cpu/avx512_draws.h"
#include "cpu/avx512_hash.h"
#include "cpu/avx512_inputs.h"
#include "cpu/avx512_order.h"
#include "cpu/avx512_product.h"
#include "cpu/avx512_quantize.h"
#include "cpu/avx512_tables.h"
#include "cpu/narrow.h"
#include "cpu/odds_kernel.h"
#include "cpu/product.h"

namespace reram::cpu::RERAM_ISA {
namespace {

struct Avx512 : Avx512Inputs,
                Avx512Tables,
                Avx512Order,
                NoNibbles,
                Avx512Product,
                Avx512Quantizer,
                Avx512Hash,
                Avx512Draws {
  using Bytes __attribute__((vector_size(64))) = uint8_t;  // wraps, as int8_t may not

  static void spread(uint64_t bits, int8_t* out) {
    _mm512_storeu_si512(out, _mm512_movm_epi8(_cvtu64_mask64(bits)));
  }

  // Masked loads need no copy, and do not fault where they are masked.
  static void load_codes(const uint8_t* const* from, int64_t offset, const Runs& runs,
                         uint8_t* codes) {
    if (runs.count > 8) return avx512::load_codes(from, offset, runs, codes);
    __m512i all = _mm512_setzero_si512();
    for (int k = 0; k < runs.count; ++k) {
      const int start = runs.start[k];
      const uint64_t here = first_bits(runs.start[k + 1]) & ~first_bits(start);
      all = _mm512_mask_loadu_epi8(all, here, from[start] + offset - start);
    }
    _mm512_store_si512(codes, all);
  }

  // A full adder: a becomes the sum, the carry is returned.
  RERAM_ALWAYS static __m512i add(__m512i& a, __m512i b, __m512i c) {
    const __m512i carry = _mm512_ternarylogic_epi64(a, b, c, 0xe8);
    a = _mm512_ternarylogic_epi64(a, b, c, 0x96);
    return carry;
  }

  // Counts a unit's word-lines in N bit planes.
  template <int N>
  RERAM_ALWAYS static void count_unit(const Unit& unit, const uint64_t* cells, __m512i* planes) {
    const int n = unit.counts[0];
    auto line = [&](int k) RERAM_ALWAYS { return _mm512_loadu_si512(cells + unit.lines[k]); };
    auto four = [&](int k) RERAM_ALWAYS {
      const __m512i a = add(planes[0], line(k), line(k + 1));
      return add(planes[1], a, add(planes[0], line(k + 2), line(k + 3)));
    };
    auto eight = [&](int k) RERAM_ALWAYS {
      const __m512i a = four(k);
      return add(planes[2], a, four(k + 4));
    };
    auto half = [&](int q, __m512i carry) RERAM_ALWAYS {
      const __m512i next = _mm512_and_si512(planes[q], carry);
      planes[q] = _mm512_xor_si512(planes[q], carry);
      return next;
    };
    for (int q = 0; q < N; ++q) planes[q] = _mm512_setzero_si512();
    // Those beyond a multiple of sixteen come first, while nothing carries over.
    int k = n & 12;
    if (k) {
      planes[0] = line(0);
      planes[1] = add(planes[0], line(1), line(2));
      planes[2] = half(1, half(0, line(3)));
      if (k > 4) planes[3] = half(2, four(4));
      if (k > 8) planes[3] = _mm512_xor_si512(planes[3], half(2, four(8)));
    }
    for (; k < n; k += 16) {
      const __m512i a = eight(k);
      __m512i carry = add(planes[3], a, eight(k + 8));
#pragma GCC unroll 8
      for (int q = 4; q < N; ++q) carry = half(q, carry);
    }
  }

  // The sums of a unit in N bit planes, in two's complement if they are signed.
  template <int N, bool Signed>
  RERAM_ALWAYS static void sum_planes(const Sweep& w, const Unit& unit, __m512i* planes) {
    count_unit<N>(unit, w.plus, planes);
    if (!Signed) return;
    __m512i minus[N], borrow = _mm512_setzero_si512();
    count_unit<N>(unit, w.minus, minus);
#pragma GCC unroll 8
    for (int q = 0; q < N; ++q) {
      const __m512i a = planes[q];
      planes[q] = _mm512_ternarylogic_epi64(a, minus[q], borrow, 0x96);
      borrow = _mm512_ternarylogic_epi64(a, minus[q], borrow, 0x8e);  // majority of ~a, b, c
    }
  }

  // Cells in the order that lets `slice_bytes` interleave planes within 128-bit lanes: each lane
  // holds 16 bit-lines of all slices. `from` may be `to`.
  RERAM_ALWAYS static __m512i arranged(__m512i line) {
    alignas(64) static constexpr uint16_t kOrder[32] = {0,  4,  8,  12, 16, 20, 24, 28, 1,  5,  9,
                                                        13, 17, 21, 25, 29, 2,  6,  10, 14, 18, 22,
                                                        26, 30, 3,  7,  11, 15, 19, 23, 27, 31};
    return _mm512_permutexvar_epi16(_mm512_load_si512(kOrder), line);
  }
  static const uint64_t* arrange(const uint64_t* from, int64_t words, uint64_t* to) {
    for (int64_t k = 0; k < words; k += kSlices)
      _mm512_store_si512(to + k, arranged(_mm512_loadu_si512(from + k)));
    return to;
  }

  // Low bytes of the sums by slice, zero-extended from N planes of arranged cells.
  template <int N>
  RERAM_ALWAYS static void slice_bytes(const __m512i* p, __m512i* out) {
    // Interleaved, eight bytes are the planes of eight bit-lines, the last plane first: times the
    // identity, the affine instruction transposes these 8 x 8 bits.
    const __m512i zero = _mm512_setzero_si512();
    const __m512i identity = _mm512_set1_epi64(int64_t(0x8040201008040201));
    __m512i two[4][2], four[2][4];
#pragma GCC unroll 4
    for (int q = 0; q < 4; ++q) {
      const __m512i even = 2 * q < N ? p[2 * q] : zero, odd = 2 * q + 1 < N ? p[2 * q + 1] : zero;
      two[q][0] = 2 * q < N ? _mm512_unpacklo_epi8(odd, even) : zero;
      two[q][1] = 2 * q < N ? _mm512_unpackhi_epi8(odd, even) : zero;
    }
#pragma GCC unroll 4
    for (int k = 0; k < 4; ++k) {
      four[0][k] = k % 2 ? _mm512_unpackhi_epi16(two[1][k / 2], two[0][k / 2])
                         : _mm512_unpacklo_epi16(two[1][k / 2], two[0][k / 2]);
      if (N <= 4)
        four[1][k] = zero;
      else
        four[1][k] = k % 2 ? _mm512_unpackhi_epi16(two[3][k / 2], two[2][k / 2])
                           : _mm512_unpacklo_epi16(two[3][k / 2], two[2][k / 2]);
    }
#pragma GCC unroll 8
    for (int j = 0; j < kSlices; ++j) {
      const __m512i planes = j % 2 ? _mm512_unpackhi_epi32(four[1][j / 2], four[0][j / 2])
                                   : _mm512_unpacklo_epi32(four[1][j / 2], four[0][j / 2]);
      out[j] = _mm512_gf2p8affine_epi64_epi8(identity, planes, 0);
    }
  }

  // Eight planes of eight slices, not arranged, to bytes.
  static void bytes_of_planes(const uint64_t (*planes)[kSlices], uint8_t (*out)[kColumns]) {
    __m512i in[8], bytes[kSlices];
    for (int q = 0; q < 8; ++q) in[q] = arranged(_mm512_loadu_si512(planes[q]));
    slice_bytes<8>(in, bytes);
    for (int j = 0; j < kSlices; ++j) _mm512_store_si512(out[j], bytes[j]);
  }

  // Where the sums of a unit lie in the tables of a band.
  RERAM_ALWAYS static void place(const Sweep& w, const Unit& unit, __m512i* bytes) {
    const __m512i start = _mm512_set1_epi8(char(unit.start));
#pragma GCC unroll 8
    for (int j = 0; j < kSlices; ++j) {
      const __m512i place = _mm512_add_epi8(_mm512_loadu_si512(w.places + 64 * j), start);
      bytes[j] =
          _mm512_and_si512(_mm512_add_epi8(bytes[j], place), _mm512_loadu_si512(w.inside + 64 * j));
    }
  }

  // Sums of N planes, tables of 2^T values, slices from the pair `Live` on: what the others would
  // take is not compiled.
  template <int N, int T, bool Signed, bool Banded, bool Count, int Live>
  RERAM_ALWAYS static void convert_unit(const Sweep& w, const Unit& unit, __m512i* made) {
    __m512i planes[N], bytes[kSlices];
    sum_planes<N, Signed>(w, unit, planes);
    slice_bytes<N>(planes, bytes);
    if (Banded) place(w, unit, bytes);
    const ByteTables* const* tables = w.tables + unit.set * kSlices;
    // Levels of two slices side by side, times their significances: all eight fit 16 bits, since
    // 128 * (1 + 2 + ... + 128) < 2^15.
    __m512i low = _mm512_setzero_si512(), high = _mm512_setzero_si512();
#pragma GCC unroll 4
    for (int j = 2 * Live; j < kSlices; j += 2) {
      const __m512i even = level<T>(*tables[j], bytes[j]);
      const __m512i odd = level<T>(*tables[j + 1], bytes[j + 1]);
      const __m512i weights = _mm512_set1_epi16(short(w.weights[j / 2]));
      low = _mm512_add_epi16(low, _mm512_maddubs_epi16(weights, _mm512_unpacklo_epi8(even, odd)));
      high = _mm512_add_epi16(high, _mm512_maddubs_epi16(weights, _mm512_unpackhi_epi8(even, odd)));
    }
    uint32_t* into = w.sums + int64_t(unit.position) * kColumns;
    const __m512i first = _mm512_set1_epi32(1 << unit.shift);  // of two 16-bit numbers
    const __m512i second = _mm512_slli_epi32(first, 16);
    auto add = [&](int q, __m512i v, __m512i weight) RERAM_ALWAYS {
      const __m512i sum = _mm512_dpwssd_epi32(_mm512_load_si512(into + 16 * q), v, weight);
      _mm512_store_si512(into + 16 * q, sum);
    };
    add(0, low, first);
    add(1, low, second);
    add(2, high, first);
    add(3, high, second);
#pragma GCC unroll 8
    for (int j = 2 * Live; j < kSlices && Count; ++j) {
      made[j] = _mm512_add_epi8(made[j], comparisons<T>(*tables[j], bytes[j]));
    }
  }

  // Adds comparisons by bit-line to the counts.
  RERAM_ALWAYS static void flush(__m512i* made, int64_t* counts) {
    const __m512i zero = _mm512_setzero_si512();
    for (int j = 0; j < kSlices; ++j) {
      int64_t* lanes = counts + j * kCountLanes;
      const __m512i total =
          _mm512_add_epi64(_mm512_load_si512(lanes), _mm512_sad_epu8(made[j], zero));
      _mm512_store_si512(lanes, total);
      made[j] = zero;
    }
  }

  static void settle(const Scratch& s) {
    for (int k = 0; k < kCycles; ++k) {
      __m512i made[kSlices];
      for (int j = 0; j < kSlices; ++j) {
        uint8_t* bytes = s.made + (k * kSlices + j) * kColumns;
        made[j] = _mm512_load_si512(bytes);
        _mm512_store_si512(bytes, _mm512_setzero_si512());
      }
      flush(made, s.counts + k * kSlices * kCountLanes);
      s.pending[k] = 0;
    }
  }

  // Sweeps of few units: comparisons stay with the bit-lines until bytes hold no more.
  template <int N, int T, bool Banded>
  static void convert_few(const Sweep& w) {
    __m512i made[kSlices];
    for (int j = 0; j < kSlices; ++j) made[j] = _mm512_load_si512(w.made + j * kColumns);
    for (int k = 0; k < w.count; ++k, ++*w.pending) {
      if (*w.pending == w.addends) {
        flush(made, w.counts);
        *w.pending = 0;
      }
      convert_unit<N, T, false, Banded, true, 0>(w, w.units[k], made);
    }
    for (int j = 0; j < kSlices; ++j) _mm512_store_si512(w.made + j * kColumns, made[j]);
  }

  template <int N, int T, bool Signed, bool Banded, bool Count>
  static void convert(const Sweep& w) {
    if (Count && !Signed && w.made) return convert_few<N, T, Banded>(w);
    constexpr bool kSome = !Signed && !Banded;  // the others are few
    if (kSome && w.live >= 2) return convert_live<N, T, Signed, Banded, Count, kSome ? 2 : 0>(w);
    if (kSome && w.live == 1) return convert_live<N, T, Signed, Banded, Count, kSome ? 1 : 0>(w);
    convert_live<N, T, Signed, Banded, Count, 0>(w);
  }

  template <int N, int T, bool Signed, bool Banded, bool Count, int Live>
  static void convert_live(const Sweep& w) {
    const __mmask64 exist = _cvtu64_mask64(w.columns);
    const __m512i zero = _mm512_setzero_si512();
    __m512i totals[kSlices];
    for (int j = 0; j < kSlices; ++j) totals[j] = zero;
    for (int k = 0; k < w.count;) {
      __m512i made[kSlices];  // as many units' as bytes hold
      for (int j = 0; j < kSlices; ++j) made[j] = zero;
      const int end = Count && w.count - k > w.addends ? k + w.addends : w.count;
      for (; k < end; ++k) convert_unit<N, T, Signed, Banded, Count, Live>(w, w.units[k], made);
      for (int j = 2 * Live; j < kSlices && Count; ++j)
        totals[j] = _mm512_add_epi64(totals[j],
                                     _mm512_sad_epu8(_mm512_maskz_mov_epi8(exist, made[j]), zero));
    }
    for (int j = 2 * Live; j < kSlices && Count; ++j) {
      int64_t* lanes = w.counts + j * kCountLanes;
      _mm512_store_si512(lanes, _mm512_add_epi64(_mm512_load_si512(lanes), totals[j]));
    }
  }

  template <int N>
  static void band_bytes(const Sweep& w, const Unit& unit, uint8_t (*out)[kColumns]) {
    __m512i planes[N], bytes[kSlices];
    sum_planes<N, false>(w, unit, planes);
    slice_bytes<N>(planes, bytes);
    place(w, unit, bytes);
    for (int j = 0; j < kSlices; ++j) _mm512_storeu_si512(out[j], bytes[j]);
  }

  template <int N>
  static void driven_bytes(const Sweep& w, const Unit& unit, uint8_t* out) {
    __m512i planes[N], bytes[kSlices];
    sum_planes<N, false>(w, unit, planes);
#pragma GCC unroll 8
    for (int q = 0; q < N; ++q) planes[q] = arranged(planes[q]);
    slice_bytes<N>(planes, bytes);
    for (int j = 0; j < kSlices; ++j) _mm512_storeu_si512(out + 64 * j, bytes[j]);
  }

  template <int T>
  static void look_up_all(const uint8_t* table, const uint8_t* index, uint8_t* out) {
    for (int k = 0; k < kSlices * kColumns; k += 64) {
      const __m512i found = look_up<T>(table, table, table, table, _mm512_loadu_si512(index + k));
      _mm512_storeu_si512(out + k, found);
    }
  }

  // Counts each value in all slices at once: where all of its bits agree with the planes.
  template <int N, bool Signed>
  RERAM_ALWAYS static void histogram_unit(const Sweep& w, const Unit& unit) {
    __m512i planes[N];
    sum_planes<N, Signed>(w, unit, planes);
    constexpr int kHalf = 1 << (N / 2);
    const __m512i exist = _mm512_set1_epi64(int64_t(w.columns));
    __m512i low[kHalf], high[kHalf];
    for (int v = 0; v < kHalf; ++v) {
      low[v] = exist;
      high[v] = exist;
      for (int q = 0; q < N / 2; ++q) {
        low[v] = v >> q & 1 ? _mm512_and_si512(low[v], planes[q])
                            : _mm512_andnot_si512(planes[q], low[v]);
        high[v] = v >> q & 1 ? _mm512_and_si512(high[v], planes[q + N / 2])
                             : _mm512_andnot_si512(planes[q + N / 2], high[v]);
      }
    }
    int64_t* bins = w.bins + int64_t(unit.set) * 256 * kSlices;
    for (int h = 0; h < kHalf; ++h) {
      for (int l = 0; l < kHalf; ++l) {
        const int v = h * kHalf + l;
        const int value = Signed && v >> (N - 1) ? v + 256 - (1 << N) : v;
        const __m512i here = _mm512_popcnt_epi64(_mm512_and_si512(low[l], high[h]));
        int64_t* bin = bins + value * kSlices;
        _mm512_store_si512(bin, _mm512_add_epi64(_mm512_load_si512(bin), here));
      }
    }
  }

  template <int N, bool Signed>
  static void histogram(const Sweep& w) {
    for (int k = 0; k < w.count; ++k) histogram_unit<N, Signed>(w, w.units[k]);
  }

  template <int N>
  static void tally(const Sweep& w) {
    histogram<N, false>(w);
  }
};

}  // namespace

const Kernels kKernels = {
    convert<Avx512>,           convert_narrow<Avx512>,   convert_product<Avx512>,
    histogram<Avx512>,         histogram_narrow<Avx512>, correct<Avx512>,
    correct_histogram<Avx512>, quantize<Avx512>,         fingerprint<Avx512>};

}  // namespace reram::cpu::RERAM_ISA
