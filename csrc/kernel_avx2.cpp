// AVX2: a word-line of a block is two vectors of 256 bits; bits become bytes by comparison, table
// look-ups are shuffles of sixteen entries at a time.
#include <immintrin.h>

#include "kernel_narrow.h"

namespace reram {
namespace {

struct Avx2 {
  static int popcount(uint64_t v) { return int(_mm_popcnt_u64(v)); }

  static __m256i load(const void* from) {
    return _mm256_loadu_si256(static_cast<const __m256i*>(from));
  }

  static void transpose(const uint8_t* bytes, uint64_t* out) {
    __m256i low = load(bytes), high = load(bytes + 32);
    for (int i = kCycles - 1; i >= 0; --i) {
      out[i] = uint32_t(_mm256_movemask_epi8(low)) | uint64_t(uint32_t(_mm256_movemask_epi8(high)))
                                                         << 32;
      low = _mm256_add_epi8(low, low);
      high = _mm256_add_epi8(high, high);
    }
  }

  static int lines(const uint64_t* words, int count, const uint16_t* from, uint16_t* out) {
    return driven_lines(words, count, from, out);
  }

  // Within each 32 bit-lines, unpacking and widening leave the accumulators in this order.
  static int column(int k) {
    const int part = k / 8 % 4;  // low and high halves of the low, then of the high unpacking
    return k / 32 * 32 + part % 2 * 16 + part / 2 * 8 + k % 8;
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
    auto line = [&](int k) RERAM_ALWAYS { return load(cells + lines[k] * kSlices); };
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
  RERAM_ALWAYS static void count_unit(const Sweep& w, const Unit& unit, const uint64_t* cells,
                                      __m256i* planes) {
    count_bits<N>(w, unit, cells, planes,
                  [&](const uint64_t* sheet, const uint16_t* lines, int n)
                      RERAM_ALWAYS { count<N>(sheet, lines, n, planes); });
  }

  // The sums of a unit in N bit planes of eight slices, in two's complement if they are signed.
  template <int N, bool Signed>
  RERAM_ALWAYS static void sum_planes(const Sweep& w, const Unit& unit,
                                      uint64_t (*planes)[kSlices]) {
    for (int half = 0; half < kSlices; half += 4) {
      __m256i up[N], down[N], borrow = _mm256_setzero_si256();
      count_unit<N>(w, unit, w.plus + half, up);
      if (Signed) count_unit<N>(w, unit, w.minus + half, down);
#pragma GCC unroll 8
      for (int q = 0; q < N; ++q) {
        if (Signed) {
          const __m256i x = _mm256_xor_si256(up[q], down[q]);
          const __m256i next =
              _mm256_or_si256(_mm256_andnot_si256(up[q], down[q]), _mm256_andnot_si256(x, borrow));
          up[q] = _mm256_xor_si256(x, borrow);
          borrow = next;
        }
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(planes[q] + half), up[q]);
      }
    }
  }

  // 32 sums of a slice from their planes, zero-extended from N bits.
  template <int N>
  RERAM_ALWAYS static __m256i bytes(const uint64_t (*planes)[kSlices], int slice, int half) {
    const __m256i spread = _mm256_setr_epi8(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2,
                                            2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3);
    const __m256i bit = _mm256_set1_epi64x(int64_t(0x8040201008040201));
    __m256i sums = _mm256_setzero_si256();
#pragma GCC unroll 8
    for (int q = 0; q < N; ++q) {
      const __m256i word = _mm256_set1_epi32(int(uint32_t(planes[q][slice] >> (32 * half))));
      const __m256i here = _mm256_and_si256(_mm256_shuffle_epi8(word, spread), bit);
      sums = _mm256_or_si256(
          sums, _mm256_and_si256(_mm256_cmpeq_epi8(here, bit), _mm256_set1_epi8(char(1 << q))));
    }
    return sums;
  }

  // Eight planes of eight slices to bytes.
  static void bytes_of_planes(const uint64_t (*planes)[kSlices], uint8_t (*out)[kColumns]) {
    for (int j = 0; j < kSlices; ++j)
      for (int half = 0; half < 2; ++half)
        _mm256_store_si256(reinterpret_cast<__m256i*>(out[j] + 32 * half),
                           bytes<8>(planes, j, half));
  }

  // A look-up in 2^N bytes, sixteen at a time: adding 112 with saturation clears the top bit only
  // of indices within the current sixteen, and the shuffle gives zero for the others.
  template <int N>
  RERAM_ALWAYS static __m256i look_up(const void* table4, const void* table6, const void* table8,
                                      __m256i index) {
    if (N == 4) return _mm256_shuffle_epi8(load(table4), index);
    const uint8_t* table = static_cast<const uint8_t*>(N == 6 ? table6 : table8);
    __m256i found = _mm256_setzero_si256();
#pragma GCC unroll 4
    for (int from = 0; from < 1 << N; from += 16) {
      const __m256i part = _mm256_broadcastsi128_si256(
          _mm_load_si128(reinterpret_cast<const __m128i*>(table + from)));
      const __m256i local = _mm256_adds_epu8(_mm256_sub_epi8(index, _mm256_set1_epi8(char(from))),
                                             _mm256_set1_epi8(112));
      found = _mm256_or_si256(found, _mm256_shuffle_epi8(part, local));
    }
    return found;
  }

  template <int N, bool Signed, bool Count>
  RERAM_ALWAYS static void convert_unit(const Sweep& w, const Unit& unit, __m256i* totals) {
    uint64_t planes[N][kSlices];
    sum_planes<N, Signed>(w, unit, planes);
    const ByteTables* const* tables = w.tables + unit.set * kSlices;
    alignas(32) uint8_t exist[kColumns];
    if (Count)
      for (int b = 0; b < kColumns; b += 32) {
        uint64_t columns[1][kSlices] = {{w.columns}};
        const __m256i one = bytes<1>(columns, 0, b / 32);
        _mm256_store_si256(reinterpret_cast<__m256i*>(exist + b),
                           _mm256_sub_epi8(_mm256_setzero_si256(), one));
      }
    uint32_t* into = w.sums + int64_t(unit.position) * kColumns;
    const __m128i cycle = _mm_cvtsi32_si128(unit.shift);
    for (int half = 0; half < 2; ++half) {
      // Levels of two slices side by side, times their significances: all eight fit 16 bits,
      // since 128 * (1 + 2 + ... + 128) < 2^15.
      __m256i low = _mm256_setzero_si256(), high = _mm256_setzero_si256();
      for (int j = 0; j < kSlices; j += 2) {
        const ByteTables &a = *tables[j], &b = *tables[j + 1];
        const __m256i s = bytes<N>(planes, j, half), t = bytes<N>(planes, j + 1, half);
        const __m256i even = look_up<N>(a.level4, a.level6, a.level8, s);
        const __m256i odd = look_up<N>(b.level4, b.level6, b.level8, t);
        const __m256i weights = _mm256_set1_epi16(short(w.weights[j / 2]));
        low = _mm256_add_epi16(low, _mm256_maddubs_epi16(weights, _mm256_unpacklo_epi8(even, odd)));
        high =
            _mm256_add_epi16(high, _mm256_maddubs_epi16(weights, _mm256_unpackhi_epi8(even, odd)));
        if (Count) {
          const __m256i mask = load(exist + 32 * half);
          const __m256i zero = _mm256_setzero_si256();
          const __m256i made = look_up<N>(a.comparisons4, a.comparisons6, a.comparisons8, s);
          const __m256i more = look_up<N>(b.comparisons4, b.comparisons6, b.comparisons8, t);
          totals[j] =
              _mm256_add_epi64(totals[j], _mm256_sad_epu8(_mm256_and_si256(made, mask), zero));
          totals[j + 1] =
              _mm256_add_epi64(totals[j + 1], _mm256_sad_epu8(_mm256_and_si256(more, mask), zero));
        }
      }
      const __m128i parts[4] = {_mm256_castsi256_si128(low), _mm256_extracti128_si256(low, 1),
                                _mm256_castsi256_si128(high), _mm256_extracti128_si256(high, 1)};
      for (int q = 0; q < 4; ++q) {
        __m256i* to = reinterpret_cast<__m256i*>(into + 32 * half + 8 * q);
        const __m256i wide = _mm256_sll_epi32(_mm256_cvtepi16_epi32(parts[q]), cycle);
        _mm256_store_si256(to, _mm256_add_epi32(_mm256_load_si256(to), wide));
      }
    }
  }

  template <int N, bool Signed, bool Count>
  static void convert(const Sweep& w) {
    __m256i totals[kSlices];
    for (int j = 0; j < kSlices; ++j) totals[j] = _mm256_setzero_si256();
    for (int k = 0; k < w.count; ++k) convert_unit<N, Signed, Count>(w, w.units[k], totals);
    if (!Count) return;
    for (int j = 0; j < kSlices; ++j) {
      alignas(32) int64_t parts[4];
      _mm256_store_si256(reinterpret_cast<__m256i*>(parts), totals[j]);
      w.counts[j] += parts[0] + parts[1] + parts[2] + parts[3];
    }
  }

  template <int N, bool Signed>
  RERAM_ALWAYS static void histogram_unit(const Sweep& w, const Unit& unit) {
    uint64_t planes[N][kSlices];
    sum_planes<N, Signed>(w, unit, planes);
    const int columns = popcount(w.columns);
    int64_t* bins = w.bins + int64_t(unit.set) * 256 * kSlices;
    for (int j = 0; j < kSlices; ++j) {
      alignas(32) uint8_t sums[kColumns];
      for (int half = 0; half < 2; ++half)
        _mm256_store_si256(reinterpret_cast<__m256i*>(sums + 32 * half), bytes<N>(planes, j, half));
      for (int n = 0; n < columns; ++n) {
        const int v = sums[n], value = Signed && v >> (N - 1) ? v + 256 - (1 << N) : v;
        ++bins[value * kSlices + j];
      }
    }
  }

  template <int N, bool Signed>
  static void histogram(const Sweep& w) {
    for (int k = 0; k < w.count; ++k) histogram_unit<N, Signed>(w, w.units[k]);
  }
};

}  // namespace

const Kernels kAvx2Kernels = {convert<Avx2>, convert_narrow<Avx2>, histogram<Avx2>, quantize<Avx2>};

}  // namespace reram
