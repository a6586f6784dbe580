// AVX2: a word-line of a block is two vectors of 256 bits; bits become bytes by comparison, table
// look-ups are shuffles of sixteen entries at a time.
#include <immintrin.h>

#define RERAM_ISA avx2

#include "cpu/avx2_draws.h"
#include "cpu/avx2_hash.h"
#include "cpu/avx2_inputs.h"
#include "cpu/avx2_nibbles.h"
#include "cpu/avx2_product.h"
#include "cpu/avx2_quantize.h"
#include "cpu/avx2_tables.h"
#include "cpu/narrow.h"
#include "cpu/odds_kernel.h"
#include "cpu/product.h"

namespace reram::cpu::RERAM_ISA {
namespace {

struct Avx2 : Avx2Inputs,
              Avx2Tables,
              InOrder,
              Avx2Nibbles,
              Avx2Product,
              Avx2Quantizer,
              Avx2Hash,
              Avx2Draws {
  using Avx2Nibbles::convert_nibbles;
  using Avx2Nibbles::expand;
  using Avx2Nibbles::kHasNibbles;
  using Avx2Nibbles::settle;

  using Bytes __attribute__((vector_size(32))) = uint8_t;  // wraps, as int8_t may not

  static void spread(uint64_t bits, int8_t* out) {
    const __m256i of_byte =
        _mm256_setr_epi64x(0, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303);
    const __m256i bit = _mm256_set1_epi64x(int64_t(0x8040201008040201));
    for (int half = 0; half < 2; ++half) {
      const __m256i all = _mm256_set1_epi32(int32_t(bits >> (32 * half)));
      const __m256i own = _mm256_and_si256(_mm256_shuffle_epi8(all, of_byte), bit);
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + 32 * half), _mm256_cmpeq_epi8(own, bit));
    }
  }

  // A full adder: a becomes the sum, the carry is returned.
  RERAM_ALWAYS static __m256i add(__m256i& a, __m256i b, __m256i c) {
    const __m256i x = _mm256_xor_si256(a, b);
    const __m256i carry = _mm256_or_si256(_mm256_and_si256(a, b), _mm256_and_si256(x, c));
    a = _mm256_xor_si256(x, c);
    return carry;
  }

  // Adds `n` word-lines (a multiple of four) to carry-save counters of four slices in N bit planes.
  template <int N>
  RERAM_ALWAYS static void count(const uint64_t* cells, const uint16_t* lines, int n,
                                 __m256i* planes) {
    auto line = [&](int k) RERAM_ALWAYS { return load(cells + lines[k]); };
    for (int k = 0; k < n; k += 4) {
      const __m256i a = add(planes[0], line(k), line(k + 1));
      __m256i carry = add(planes[1], a, add(planes[0], line(k + 2), line(k + 3)));
#pragma GCC unroll 8
      for (int q = 2; q < N; ++q) {
        const __m256i next = _mm256_and_si256(planes[q], carry);
        planes[q] = _mm256_xor_si256(planes[q], carry);
        carry = next;
      }
    }
  }

  template <int N>
  RERAM_ALWAYS static void count_unit(const Unit& unit, const uint64_t* cells, __m256i* planes) {
    for (int q = 0; q < N; ++q) planes[q] = __m256i{};
    count<N>(cells, unit.lines, unit.counts[0], planes);
  }

  // The sums of a unit in N bit planes of four slices, in two's complement if they are signed.
  template <int N, bool Signed>
  RERAM_ALWAYS static void sum_planes(const Sweep& w, const Unit& unit, int half, __m256i* planes) {
    count_unit<N>(unit, w.plus + 4 * half, planes);
    if (!Signed) return;
    __m256i minus[N], borrow = _mm256_setzero_si256();
    count_unit<N>(unit, w.minus + 4 * half, minus);
#pragma GCC unroll 8
    for (int q = 0; q < N; ++q) {
      const __m256i x = _mm256_xor_si256(planes[q], minus[q]);
      const __m256i next =
          _mm256_or_si256(_mm256_andnot_si256(planes[q], minus[q]), _mm256_andnot_si256(x, borrow));
      planes[q] = _mm256_xor_si256(x, borrow);
      borrow = next;
    }
  }

  // One of the three exchanges by which 8 x 8 bits in each word are transposed.
  template <int Shift>
  RERAM_ALWAYS static __m256i exchange(__m256i v, int64_t mask) {
    const __m256i t = _mm256_and_si256(_mm256_xor_si256(v, _mm256_srli_epi64(v, Shift)),
                                       _mm256_set1_epi64x(mask));
    return _mm256_xor_si256(_mm256_xor_si256(v, t), _mm256_slli_epi64(t, Shift));
  }

  // Eight planes of four slices to bytes: out[p][x] holds bit-lines 16 x and on, of slice p in its
  // low half and of slice p + 2 in its high half.
  RERAM_ALWAYS static void transpose_planes(const __m256i* p, __m256i (*out)[4]) {
    __m256i two[2][4], four[2][2][2];
#pragma GCC unroll 4
    for (int q = 0; q < 4; ++q) {
      two[0][q] = _mm256_unpacklo_epi8(p[2 * q], p[2 * q + 1]);
      two[1][q] = _mm256_unpackhi_epi8(p[2 * q], p[2 * q + 1]);
    }
#pragma GCC unroll 2
    for (int s = 0; s < 2; ++s) {
#pragma GCC unroll 2
      for (int q = 0; q < 2; ++q) {
        four[s][0][q] = _mm256_unpacklo_epi16(two[s][2 * q], two[s][2 * q + 1]);
        four[s][1][q] = _mm256_unpackhi_epi16(two[s][2 * q], two[s][2 * q + 1]);
      }
#pragma GCC unroll 4
      for (int x = 0; x < 4; ++x) {
        const __m256i *part = four[s][x / 2], a = part[0], b = part[1];
        __m256i v = x % 2 ? _mm256_unpackhi_epi32(a, b) : _mm256_unpacklo_epi32(a, b);
        v = exchange<7>(v, 0x00aa00aa00aa00aa);
        v = exchange<14>(v, 0x0000cccc0000cccc);
        out[s][x] = exchange<28>(v, 0x00000000f0f0f0f0);
      }
    }
  }

  // Sums of the four slices of each half as bytes, zero-extended from N bits.
  template <int N, bool Signed>
  RERAM_ALWAYS static void sum_bytes(const Sweep& w, const Unit& unit, __m256i (*out)[2][4]) {
    __m256i planes[8];
    for (__m256i& plane : planes) plane = _mm256_setzero_si256();
    if (N == 4) {  // the halves side by side
      sum_planes<N, Signed>(w, unit, 0, planes);
      sum_planes<N, Signed>(w, unit, 1, planes + 4);
      transpose_planes(planes, out[0]);
      const __m256i nibble = _mm256_set1_epi8(15);
      for (int k = 0; k < 8; ++k) {
        const __m256i both = out[0][k / 4][k % 4];
        out[0][k / 4][k % 4] = _mm256_and_si256(both, nibble);
        out[1][k / 4][k % 4] = _mm256_and_si256(_mm256_srli_epi16(both, 4), nibble);
      }
      return;
    }
    for (int half = 0; half < 2; ++half) {
      sum_planes<N, Signed>(w, unit, half, planes);
      transpose_planes(planes, out[half]);
    }
  }

  // The bytes of `sum_bytes` by slice and bit-line.
  RERAM_ALWAYS static void store(const __m256i (*bytes)[4], int half, uint8_t (*out)[kColumns]) {
    for (int k = 0; k < 16; ++k) {
      const __m256i v = bytes[k / 4 % 2][k % 4];
      const __m128i part = k / 8 ? _mm256_extracti128_si256(v, 1) : _mm256_castsi256_si128(v);
      uint8_t* to = out[4 * half + k / 4] + k % 4 * 16;
      _mm_storeu_si128(reinterpret_cast<__m128i*>(to), part);
    }
  }

  // Eight planes of eight slices to bytes.
  static void bytes_of_planes(const uint64_t (*planes)[kSlices], uint8_t (*out)[kColumns]) {
    for (int half = 0; half < 2; ++half) {
      __m256i in[8], bytes[2][4];
      for (int q = 0; q < 8; ++q) in[q] = load(planes[q] + 4 * half);
      transpose_planes(in, bytes);
      store(bytes, half, out);
    }
  }

  // Looks up bytes below 2^N in the tables of two slices, one for each half of a vector.
  template <int N>
  RERAM_ALWAYS static __m256i look_up(const uint8_t* low, const uint8_t* high, __m256i index) {
    auto part = [&](int k, __m256i from) RERAM_ALWAYS {
      const __m128i a = _mm_load_si128(reinterpret_cast<const __m128i*>(low + 16 * k));
      const __m128i b = _mm_load_si128(reinterpret_cast<const __m128i*>(high + 16 * k));
      return _mm256_shuffle_epi8(_mm256_set_m128i(b, a), from);
    };
    if (N == 4) return part(0, index);
    // A shuffle reads the low four bits, and gives zero where the top bit is set.
    const __m256i bit4 = _mm256_slli_epi16(index, 3), bit5 = _mm256_slli_epi16(index, 2);
    auto quarter = [&](int k, __m256i from) RERAM_ALWAYS {
      return _mm256_blendv_epi8(_mm256_blendv_epi8(part(k, from), part(k + 1, from), bit4),
                                _mm256_blendv_epi8(part(k + 2, from), part(k + 3, from), bit4),
                                bit5);
    };
    if (N == 6) return quarter(0, index);
    const __m256i bit6 = _mm256_slli_epi16(index, 1);
    if (N == 7) return _mm256_blendv_epi8(quarter(0, index), quarter(4, index), bit6);
    const __m256i top = _mm256_xor_si256(index, _mm256_set1_epi8(-128));
    return _mm256_or_si256(_mm256_blendv_epi8(quarter(0, index), quarter(4, index), bit6),
                           _mm256_blendv_epi8(quarter(8, top), quarter(12, top), bit6));
  }

  template <int N>
  RERAM_ALWAYS static const uint8_t* levels(const ByteTables& t) {
    return reinterpret_cast<const uint8_t*>(N == 4   ? t.level4
                                            : N == 6 ? t.level6
                                            : N == 7 ? t.level7
                                                     : t.level8);
  }
  template <int N>
  RERAM_ALWAYS static const uint8_t* comparisons(const ByteTables& t) {
    return N == 4   ? t.comparisons4
           : N == 6 ? t.comparisons6
           : N == 7 ? t.comparisons7
                    : t.comparisons8;
  }

  // Comparisons of a vector's bit-lines that exist.
  template <int N>
  RERAM_ALWAYS static __m256i made(const ByteTables& low, const ByteTables& high,
                                   const __m256i* bytes, uint64_t columns, bool few) {
    const __m256i zero = _mm256_setzero_si256();
    const __m256i spread = _mm256_setr_epi8(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0,
                                            0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1);
    const __m256i bit = _mm256_set1_epi64x(int64_t(0x8040201008040201));
    __m256i found[4];
#pragma GCC unroll 4
    for (int x = 0; x < 4; ++x) {
      found[x] = look_up<N>(comparisons<N>(low), comparisons<N>(high), bytes[x]);
      if (columns == ~uint64_t(0)) continue;
      const __m256i word = _mm256_set1_epi16(short(columns >> (16 * x)));
      const __m256i here = _mm256_and_si256(_mm256_shuffle_epi8(word, spread), bit);
      found[x] = _mm256_and_si256(found[x], _mm256_cmpeq_epi8(here, bit));
    }
    if (few)  // four fit a byte
      return _mm256_sad_epu8(
          _mm256_add_epi8(_mm256_add_epi8(found[0], found[1]), _mm256_add_epi8(found[2], found[3])),
          zero);
    return _mm256_add_epi64(
        _mm256_add_epi64(_mm256_sad_epu8(found[0], zero), _mm256_sad_epu8(found[1], zero)),
        _mm256_add_epi64(_mm256_sad_epu8(found[2], zero), _mm256_sad_epu8(found[3], zero)));
  }

  // Where the sums of a unit lie in the tables of a band.
  RERAM_ALWAYS static void place(const Sweep& w, const Unit& unit, __m256i (*bytes)[2][4]) {
    const __m256i start = _mm256_set1_epi8(char(unit.start));
    for (int k = 0; k < 16; ++k) {
      __m256i& v = bytes[k / 8][k / 4 % 2][k % 4];
      v = _mm256_add_epi8(v, _mm256_add_epi8(start, load(w.places + 32 * k)));
      v = _mm256_and_si256(v, load(w.inside + 32 * k));
    }
  }

  // Sums of N planes, tables of 2^T values.
  template <int N, int T, bool Signed, bool Banded, bool Count>
  RERAM_ALWAYS static void convert_unit(const Sweep& w, const Unit& unit, __m256i (*totals)[2]) {
    __m256i bytes[2][2][4];
    sum_bytes<N, Signed>(w, unit, bytes);
    if (Banded) place(w, unit, bytes);
    // Levels of two slices side by side, times their significances: all eight fit 16 bits, since
    // 128 * (1 + 2 + ... + 128) < 2^15.
    __m256i low[4], high[4];
    for (int x = 0; x < 4; ++x) low[x] = high[x] = _mm256_setzero_si256();
    for (int half = 0; half < 2; ++half) {
      const ByteTables* const* t = w.tables + unit.set * kSlices + 4 * half;
      const __m256i weights = _mm256_set_m128i(_mm_set1_epi16(short(w.weights[2 * half + 1])),
                                               _mm_set1_epi16(short(w.weights[2 * half])));
#pragma GCC unroll 4
      for (int x = 0; x < 4; ++x) {
        const __m256i even = look_up<T>(levels<T>(*t[0]), levels<T>(*t[2]), bytes[half][0][x]);
        const __m256i odd = look_up<T>(levels<T>(*t[1]), levels<T>(*t[3]), bytes[half][1][x]);
        low[x] = _mm256_add_epi16(low[x],
                                  _mm256_maddubs_epi16(weights, _mm256_unpacklo_epi8(even, odd)));
        high[x] = _mm256_add_epi16(high[x],
                                   _mm256_maddubs_epi16(weights, _mm256_unpackhi_epi8(even, odd)));
      }
      for (int k = 0; k < 2 && Count; ++k)
        totals[half][k] = _mm256_add_epi64(
            totals[half][k], made<T>(*t[k], *t[k + 2], bytes[half][k], w.columns, w.addends >= 4));
    }
    uint32_t* into = w.sums + int64_t(unit.position) * kColumns;
    const __m128i shift = _mm_cvtsi32_si128(unit.shift);
    for (int k = 0; k < 8; ++k) {
      const __m256i v = k % 2 ? high[k / 2] : low[k / 2];
      const __m128i sum = _mm_add_epi16(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
      __m256i* to = reinterpret_cast<__m256i*>(into + 8 * k);
      const __m256i wide = _mm256_sll_epi32(_mm256_cvtepi16_epi32(sum), shift);
      _mm256_store_si256(to, _mm256_add_epi32(_mm256_load_si256(to), wide));
    }
  }

  template <int N, int T, bool Signed, bool Banded, bool Count>
  static void convert(const Sweep& w) {
    __m256i totals[2][2];
    for (int k = 0; k < 4; ++k) totals[k / 2][k % 2] = _mm256_setzero_si256();
    for (int k = 0; k < w.count; ++k)
      convert_unit<N, T, Signed, Banded, Count>(w, w.units[k], totals);
    for (int k = 0; k < 4 && Count; ++k) {
      alignas(32) int64_t parts[4];  // two of each slice
      _mm256_store_si256(reinterpret_cast<__m256i*>(parts), totals[k / 2][k % 2]);
      int64_t* counts = w.counts + (4 * (k / 2) + k % 2) * kCountLanes;
      counts[0] += parts[0] + parts[1];
      counts[2 * kCountLanes] += parts[2] + parts[3];
    }
  }

  template <int N>
  static void band_bytes(const Sweep& w, const Unit& unit, uint8_t (*out)[kColumns]) {
    __m256i bytes[2][2][4];
    sum_bytes<N, false>(w, unit, bytes);
    place(w, unit, bytes);
    for (int half = 0; half < 2; ++half) store(bytes[half], half, out);
  }

  template <int N>
  static void driven_bytes(const Sweep& w, const Unit& unit, uint8_t* out) {
    __m256i bytes[2][2][4];
    sum_bytes<N, false>(w, unit, bytes);
    std::memcpy(out, bytes, sizeof bytes);
  }

  template <int T>
  static void look_up_all(const uint8_t* table, const uint8_t* index, uint8_t* out) {
    for (int k = 0; k < kSlices * kColumns; k += 32)
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + k),
                          look_up<T>(table, table, load(index + k)));
  }

  template <int N, bool Signed>
  RERAM_ALWAYS static void histogram_unit(const Sweep& w, const Unit& unit) {
    __m256i bytes[2][2][4];
    alignas(32) uint8_t sums[kSlices][kColumns];
    sum_bytes<N, Signed>(w, unit, bytes);
    for (int half = 0; half < 2; ++half) store(bytes[half], half, sums);
    count_bytes<N, Signed>(w, unit, sums);
  }

  template <int N, bool Signed>
  static void histogram(const Sweep& w) {
    for (int k = 0; k < w.count; ++k) histogram_unit<N, Signed>(w, w.units[k]);
  }

  template <int N>
  static void tally(const Sweep& w) {
    avx2::tally<Avx2, N>(w);
  }
};

}  // namespace

const Kernels kKernels = {convert<Avx2>,           convert_narrow<Avx2>,   convert_product<Avx2>,
                          histogram<Avx2>,         histogram_narrow<Avx2>, correct<Avx2>,
                          correct_histogram<Avx2>, quantize<Avx2>,         fingerprint<Avx2>};

}  // namespace reram::cpu::RERAM_ISA
