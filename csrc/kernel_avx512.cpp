// AVX-512 with VBMI, VBMI2, VPOPCNTDQ and GFNI: a word-line of a block is one vector of 512 bits;
// sums become bytes by bit-matrix transposition.
#include <immintrin.h>

#include "kernel_narrow.h"

namespace reram {
namespace {

struct Avx512 {
  static int popcount(uint64_t v) { return int(_mm_popcnt_u64(v)); }

  static void transpose(const uint8_t* bytes, uint64_t* out) {
    const __m512i v = _mm512_loadu_si512(bytes);
    for (int i = 0; i < kCycles; ++i)
      out[i] = _mm512_test_epi8_mask(v, _mm512_set1_epi8(char(1 << i)));
  }

  // Unpacking within 128-bit lanes and widening leave the accumulators in this order.
  static int column(int k) { return (k % 32) / 8 * 16 + k / 32 * 8 + k % 8; }

  // `driven_lines`, 32 word-lines at a time.
  static int lines(const uint64_t* words, int count, const uint16_t* from, uint16_t* out) {
    int n = 0;
    for (int k = 0; k < 2 * count; ++k) {
      const uint32_t driven = uint32_t(words[k / 2] >> (k % 2 * 32));
      const __m512i all = _mm512_loadu_si512(from + 32 * k);
      _mm512_storeu_si512(out + n, _mm512_maskz_compress_epi16(driven, all));
      n += _mm_popcnt_u32(driven);
    }
    return n;
  }

  // A full adder: a becomes the sum, the carry is returned.
  RERAM_ALWAYS static __m512i add(__m512i& a, __m512i b, __m512i c) {
    const __m512i carry = _mm512_ternarylogic_epi64(a, b, c, 0xe8);
    a = _mm512_ternarylogic_epi64(a, b, c, 0x96);
    return carry;
  }

  // Adds `n` word-lines (a multiple of four) to carry-save counters in N bit planes.
  template <int N>
  RERAM_ALWAYS static void count(const uint64_t* cells, const uint16_t* lines, int n,
                                 __m512i* planes) {
    auto line = [&](int k) RERAM_ALWAYS { return _mm512_loadu_si512(cells + lines[k] * kSlices); };
    auto four = [&](int k) RERAM_ALWAYS {
      const __m512i a = add(planes[0], line(k), line(k + 1));
      return add(planes[1], a, add(planes[0], line(k + 2), line(k + 3)));
    };
    auto carry_on = [&](int from, __m512i carry) RERAM_ALWAYS {
#pragma GCC unroll 8
      for (int q = from; q < N; ++q) {
        const __m512i next = _mm512_and_si512(planes[q], carry);
        planes[q] = _mm512_xor_si512(planes[q], carry);
        carry = next;
      }
    };
    int k = 0;
    for (; k + 8 <= n; k += 8) {
      const __m512i a = four(k);
      carry_on(3, add(planes[2], a, four(k + 4)));
    }
    if (k < n) carry_on(2, four(k));
  }

  template <int N>
  RERAM_ALWAYS static void count_unit(const Sweep& w, const Unit& unit, const uint64_t* cells,
                                      __m512i* planes) {
    count_bits<N>(w, unit, cells, planes,
                  [&](const uint64_t* sheet, const uint16_t* lines, int n)
                      RERAM_ALWAYS { count<N>(sheet, lines, n, planes); });
  }

  // The sums of a unit in N bit planes, in two's complement if they are signed.
  template <int N, bool Signed>
  RERAM_ALWAYS static void sum_planes(const Sweep& w, const Unit& unit, __m512i* planes) {
    count_unit<N>(w, unit, w.plus, planes);
    if (!Signed) return;
    __m512i minus[N], borrow = _mm512_setzero_si512();
    count_unit<N>(w, unit, w.minus, minus);
#pragma GCC unroll 8
    for (int q = 0; q < N; ++q) {
      const __m512i a = planes[q];
      planes[q] = _mm512_ternarylogic_epi64(a, minus[q], borrow, 0x96);
      borrow = _mm512_ternarylogic_epi64(a, minus[q], borrow, 0x8e);  // majority of ~a, b, c
    }
  }

  // Transposes four vectors of four 128-bit lanes.
  RERAM_ALWAYS static void transpose4(__m512i* v) {
    const __m512i a = _mm512_shuffle_i64x2(v[0], v[1], 0x44);
    const __m512i b = _mm512_shuffle_i64x2(v[0], v[1], 0xee);
    const __m512i c = _mm512_shuffle_i64x2(v[2], v[3], 0x44);
    const __m512i d = _mm512_shuffle_i64x2(v[2], v[3], 0xee);
    v[0] = _mm512_shuffle_i64x2(a, c, 0x88);
    v[1] = _mm512_shuffle_i64x2(a, c, 0xdd);
    v[2] = _mm512_shuffle_i64x2(b, d, 0x88);
    v[3] = _mm512_shuffle_i64x2(b, d, 0xdd);
  }

  // Eight words of planes, plane p in word p, to 64 bytes: bit p of byte n is bit n of word p.
  RERAM_ALWAYS static __m512i bytes_of_words(__m512i words) {
    alignas(64) static constexpr uint8_t kGather[64] = {
        56, 48, 40, 32, 24, 16, 8,  0,  57, 49, 41, 33, 25, 17, 9,  1,  58, 50, 42, 34, 26, 18,
        10, 2,  59, 51, 43, 35, 27, 19, 11, 3,  60, 52, 44, 36, 28, 20, 12, 4,  61, 53, 45, 37,
        29, 21, 13, 5,  62, 54, 46, 38, 30, 22, 14, 6,  63, 55, 47, 39, 31, 23, 15, 7};
    const __m512i blocks = _mm512_permutexvar_epi8(_mm512_load_si512(kGather), words);
    // Times the identity: the affine instruction multiplies by its matrix operand's rows, last
    // row first, which the gathering above has reversed.
    return _mm512_gf2p8affine_epi64_epi8(_mm512_set1_epi64(int64_t(0x8040201008040201)), blocks, 0);
  }

  // Low bytes of the sums by slice. N = 4: the sums, in the low nibble, are zero-extended.
  template <int N, bool Signed>
  RERAM_ALWAYS static void slice_bytes(const __m512i* planes, __m512i* out) {
    if (N == 4) {
      // Four planes of an even slice and four of the odd one after it share a vector.
      __m512i v[4] = {
          _mm512_unpacklo_epi64(planes[0], planes[1]), _mm512_unpacklo_epi64(planes[2], planes[3]),
          _mm512_unpackhi_epi64(planes[0], planes[1]), _mm512_unpackhi_epi64(planes[2], planes[3])};
      transpose4(v);
      const __m512i nibble = _mm512_set1_epi8(15);
      for (int q = 0; q < 4; ++q) {
        const __m512i both = bytes_of_words(v[q]);
        out[2 * q] = _mm512_and_si512(both, nibble);
        out[2 * q + 1] = _mm512_and_si512(_mm512_srli_epi16(both, 4), nibble);
      }
      return;
    }
    __m512i p[8];
    for (int q = 0; q < 8; ++q)
      p[q] = q < N ? planes[q] : Signed ? planes[N - 1] : _mm512_setzero_si512();
    __m512i even[4], odd[4];
    for (int q = 0; q < 4; ++q) {
      even[q] = _mm512_unpacklo_epi64(p[2 * q], p[2 * q + 1]);
      odd[q] = _mm512_unpackhi_epi64(p[2 * q], p[2 * q + 1]);
    }
    transpose4(even);
    transpose4(odd);
    for (int q = 0; q < 4; ++q) {
      out[2 * q] = bytes_of_words(even[q]);
      out[2 * q + 1] = bytes_of_words(odd[q]);
    }
  }

  // Eight planes of eight slices to bytes.
  static void bytes_of_planes(const uint64_t (*planes)[kSlices], uint8_t (*out)[kColumns]) {
    __m512i in[8], bytes[kSlices];
    for (int q = 0; q < 8; ++q) in[q] = _mm512_loadu_si512(planes[q]);
    slice_bytes<8, false>(in, bytes);
    for (int j = 0; j < kSlices; ++j) _mm512_store_si512(out[j], bytes[j]);
  }

  template <int N>
  RERAM_ALWAYS static __m512i look_up(const void* table4, const void* table6, const void* table8,
                                      __m512i index) {
    if (N == 4) return _mm512_shuffle_epi8(_mm512_load_si512(table4), index);
    if (N == 6) return _mm512_permutexvar_epi8(index, _mm512_load_si512(table6));
    const uint8_t* table = static_cast<const uint8_t*>(table8);
    const __m512i low =
        _mm512_permutex2var_epi8(_mm512_load_si512(table), index, _mm512_load_si512(table + 64));
    const __m512i high = _mm512_permutex2var_epi8(_mm512_load_si512(table + 128), index,
                                                  _mm512_load_si512(table + 192));
    return _mm512_mask_mov_epi8(low, _mm512_movepi8_mask(index), high);
  }

  template <int N, bool Signed, bool Count>
  RERAM_ALWAYS static void convert_unit(const Sweep& w, const Unit& unit, __m512i* made) {
    __m512i planes[N], bytes[kSlices];
    sum_planes<N, Signed>(w, unit, planes);
    slice_bytes<N, Signed>(planes, bytes);
    const ByteTables* const* tables = w.tables + unit.set * kSlices;
    // Levels of two slices side by side, times their significances: all eight fit 16 bits, since
    // 128 * (1 + 2 + ... + 128) < 2^15.
    __m512i low = _mm512_setzero_si512(), high = _mm512_setzero_si512();
#pragma GCC unroll 4
    for (int j = 0; j < kSlices; j += 2) {
      const ByteTables &a = *tables[j], &b = *tables[j + 1];
      const __m512i even = look_up<N>(a.level4, a.level6, a.level8, bytes[j]);
      const __m512i odd = look_up<N>(b.level4, b.level6, b.level8, bytes[j + 1]);
      const __m512i weights = _mm512_set1_epi16(short(w.weights[j / 2]));
      low = _mm512_add_epi16(low, _mm512_maddubs_epi16(weights, _mm512_unpacklo_epi8(even, odd)));
      high = _mm512_add_epi16(high, _mm512_maddubs_epi16(weights, _mm512_unpackhi_epi8(even, odd)));
    }
    uint32_t* into = w.sums + int64_t(unit.position) * kColumns;
    const __m128i cycle = _mm_cvtsi32_si128(unit.shift);
    const __m256i parts[4] = {_mm512_castsi512_si256(low), _mm512_extracti64x4_epi64(low, 1),
                              _mm512_castsi512_si256(high), _mm512_extracti64x4_epi64(high, 1)};
#pragma GCC unroll 4
    for (int q = 0; q < 4; ++q) {
      const __m512i wide = _mm512_sll_epi32(_mm512_cvtepi16_epi32(parts[q]), cycle);
      _mm512_store_si512(into + 16 * q, _mm512_add_epi32(_mm512_load_si512(into + 16 * q), wide));
    }
#pragma GCC unroll 8
    for (int j = 0; j < kSlices && Count; ++j) {
      const ByteTables& t = *tables[j];
      made[j] = _mm512_add_epi8(
          made[j], look_up<N>(t.comparisons4, t.comparisons6, t.comparisons8, bytes[j]));
    }
  }

  template <int N, bool Signed, bool Count>
  static void convert(const Sweep& w) {
    const __mmask64 exist = _cvtu64_mask64(w.columns);
    const __m512i zero = _mm512_setzero_si512();
    __m512i totals[kSlices];
    for (int j = 0; j < kSlices; ++j) totals[j] = zero;
    for (int k = 0; k < w.count;) {
      __m512i made[kSlices];  // as many units' as bytes hold
      for (int j = 0; j < kSlices; ++j) made[j] = zero;
      const int end = Count && w.count - k > w.addends ? k + w.addends : w.count;
      for (; k < end; ++k) convert_unit<N, Signed, Count>(w, w.units[k], made);
      for (int j = 0; j < kSlices && Count; ++j)
        totals[j] = _mm512_add_epi64(totals[j],
                                     _mm512_sad_epu8(_mm512_maskz_mov_epi8(exist, made[j]), zero));
    }
    for (int j = 0; j < kSlices && Count; ++j) w.counts[j] += _mm512_reduce_add_epi64(totals[j]);
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
};

}  // namespace

const Kernels kAvx512Kernels = {convert<Avx512>, convert_narrow<Avx512>, histogram<Avx512>,
                                quantize<Avx512>};

}  // namespace reram
