// Word-lines added up in nibbles, for layers with enough positions: of one-bit cells, each byte of
// a word-line holds two slices of a bit-line, so that fifteen word-lines add up without carrying
// over, sums come out as bytes without any transposition, and slices whose tables are constant cost
// nothing.
#pragma once

#include <immintrin.h>

#include "cpu/sweep.h"

namespace reram::cpu::RERAM_ISA {
namespace {

// A word-line of a block: [2 halves of 32 bit-lines][4 pairs of slices][32], the lower slice of a
// pair in the low nibble. The bit-lines of a half lie in the order that leaves their accumulators
// sorted after interleaving slices and adding up even and odd numbers apart.
struct Avx2Nibbles {
  static constexpr bool kHasNibbles = true;
  static constexpr int kPairs = kSlices / 2;
  static constexpr int kMostAdded = 15;  // word-lines in a nibble

  RERAM_ALWAYS static __m256i get(const void* from) {
    return _mm256_load_si256(static_cast<const __m256i*>(from));
  }
  RERAM_ALWAYS static void put(void* to, __m256i v) {
    _mm256_store_si256(static_cast<__m256i*>(to), v);
  }

  // -1 for each bit-line of a half whose bit is set.
  RERAM_ALWAYS static __m256i spread(uint32_t bits) {
    const __m256i from = _mm256_setr_epi8(0, 1, 0, 1, 0, 1, 0, 1, 2, 3, 2, 3, 2, 3, 2, 3, 0, 1, 0,
                                          1, 0, 1, 0, 1, 2, 3, 2, 3, 2, 3, 2, 3);
    const __m256i bit =
        _mm256_setr_epi8(1, 1, 2, 2, 4, 4, 8, 8, 1, 1, 2, 2, 4, 4, 8, 8, 16, 16, 32, 32, 64, 64,
                         -128, -128, 16, 16, 32, 32, 64, 64, -128, -128);
    const __m256i bytes = _mm256_shuffle_epi8(_mm256_set1_epi32(int(bits)), from);
    return _mm256_cmpeq_epi8(_mm256_and_si256(bytes, bit), bit);
  }

  // The cells of `lines` word-lines in nibbles.
  static void expand(const uint64_t* cells, int64_t lines, uint64_t* nibbles) {
    const __m256i high = _mm256_set1_epi8(16);
    for (int half = 0; half < 2; ++half)
      for (int64_t k = 0; k < lines * kSlices; k += 2, nibbles += 4) {
        const __m256i even = spread(uint32_t(cells[k] >> (32 * half)));
        const __m256i odd = spread(uint32_t(cells[k + 1] >> (32 * half)));
        put(nibbles, _mm256_sub_epi8(_mm256_and_si256(odd, high), even));
      }
  }

  // Adds word-lines of K pairs of slices up.
  template <int K>
  RERAM_ALWAYS static void add_lines(const uint8_t* cells, const uint16_t* lines, int n,
                                     __m256i* added) {
    auto line = [&](int k) RERAM_ALWAYS {
      const uint8_t* from = cells + size_t(lines[k]) * 16;
#pragma GCC unroll 4
      for (int p = 0; p < K; ++p) added[p] = _mm256_add_epi8(added[p], get(from + 32 * p));
    };
    for (int p = 0; p < K; ++p) added[p] = _mm256_setzero_si256();
    int k = 0;
    for (; k + 2 <= n; k += 2) {
      line(k);
      line(k + 1);
    }
    if (k < n) line(k);
  }

  // Sums of K pairs of slices as bytes: of the lower ones, then of the upper ones.
  template <int K>
  RERAM_ALWAYS static void split(const __m256i* added, __m256i* lower, __m256i* upper) {
    const __m256i nibble = _mm256_set1_epi8(15);
#pragma GCC unroll 4
    for (int p = 0; p < K; ++p) {
      lower[p] = _mm256_and_si256(added[p], nibble);
      upper[p] = _mm256_and_si256(_mm256_srli_epi16(added[p], 4), nibble);
    }
  }

  template <int W, int K>
  RERAM_ALWAYS static void sum(const uint8_t* cells, const Unit& unit, __m256i* lower,
                               __m256i* upper) {
    __m256i added[K], more_lower[K], more_upper[K];
    const int first = W == 1 || unit.reach < kMostAdded ? unit.reach : kMostAdded;
    add_lines<K>(cells, unit.lines, first, added);
    split<K>(added, lower, upper);
    for (int k = first; W > 1 && k < unit.reach; k += kMostAdded) {
      const int left = unit.reach - k;
      add_lines<K>(cells, unit.lines + k, left < kMostAdded ? left : kMostAdded, added);
      split<K>(added, more_lower, more_upper);
#pragma GCC unroll 4
      for (int p = 0; p < K; ++p) {
        lower[p] = _mm256_add_epi8(lower[p], more_lower[p]);
        upper[p] = _mm256_add_epi8(upper[p], more_upper[p]);
      }
    }
  }

  // Where sums below 16 W lie in each sixteen entries of a table; beyond them the top bit is set.
  template <int W>
  RERAM_ALWAYS static void places(__m256i sums, __m256i* at) {
    const __m256i beyond = _mm256_set1_epi8(0x70);
    if (W == 1) at[0] = sums;
    if (W > 1) at[0] = _mm256_add_epi8(sums, beyond);
#pragma GCC unroll 8
    for (int k = 1; k < W; ++k) {
      at[k] = _mm256_sub_epi8(sums, _mm256_set1_epi8(char(16 * k)));
      if (k < W - 1) at[k] = _mm256_adds_epu8(at[k], beyond);
    }
  }

  template <int W>
  RERAM_ALWAYS static __m256i find(const void* table, const __m256i* at) {
    const __m128i* part = static_cast<const __m128i*>(table);
    __m256i found = _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(_mm_load_si128(part)), at[0]);
#pragma GCC unroll 8
    for (int k = 1; k < W; ++k)
      found = _mm256_or_si256(
          found, _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(_mm_load_si128(part + k)), at[k]));
    return found;
  }

  // Adds comparisons by half, slice and bit-line to the counts.
  static void flush(uint8_t* made, uint64_t columns, int64_t* counts) {
    const __m256i zero = _mm256_setzero_si256();
    for (int half = 0; half < 2; ++half) {
      const __m256i exist = spread(uint32_t(columns >> (32 * half)));
      for (int j = 0; j < kSlices; ++j, made += 32) {
        alignas(32) int64_t parts[4];
        put(parts, _mm256_sad_epu8(_mm256_and_si256(get(made), exist), zero));
        counts[j * kCountLanes] += parts[0] + parts[1] + parts[2] + parts[3];
        put(made, zero);
      }
    }
  }

  // What the units of a sweep have in common.
  struct Weights {
    explicit Weights(const Sweep& w) {
      for (int p = 0; p < kPairs; ++p) of_pair[p] = _mm256_set1_epi16(short(w.weights[p]));
      first = _mm256_set1_epi32(1 << w.units->shift);
      second = _mm256_slli_epi32(first, 16);
    }
    __m256i of_pair[kPairs];
    __m256i first, second;  // of two 16-bit numbers
  };

  // A half of a unit, sums below 16 W, of the K upper pairs of slices.
  template <int W, int K, bool Count>
  RERAM_ALWAYS static void convert_half(const Sweep& w, const Unit& unit, const Weights& weights,
                                        int half) {
    constexpr int kFirst = kPairs - K;
    const ByteTables* const* tables = w.tables + unit.set * kSlices + 2 * kFirst;
    __m256i lower[K], upper[K], low = _mm256_setzero_si256(), high = low;
    const uint8_t* cells = reinterpret_cast<const uint8_t*>(w.plus);
    sum<W, K>(cells + 16 * w.sheet_words * half + 32 * kFirst, unit, lower, upper);
    uint8_t* made = Count ? w.made + 256 * half + 64 * kFirst : nullptr;
    auto look_up = [&](__m256i sums, int j) RERAM_ALWAYS {
      const ByteTables& t = *tables[j];
      __m256i at[W];
      places<W>(sums, at);
      if (Count) {
        const __m256i more = find<W>(W > 4 ? t.comparisons7 : t.comparisons6, at);
        put(made + 32 * j, _mm256_add_epi8(more, get(made + 32 * j)));
      }
      return W > 4 ? find<W>(t.level7, at) : find<W>(t.level6, at);
    };
#pragma GCC unroll 4
    for (int p = 0; p < K; ++p) {
      const __m256i even = look_up(lower[p], 2 * p), odd = look_up(upper[p], 2 * p + 1);
      // As in the other paths all eight slices fit 16 bits.
      const __m256i weight = weights.of_pair[kFirst + p];
      low = _mm256_add_epi16(low, _mm256_maddubs_epi16(weight, _mm256_unpacklo_epi8(even, odd)));
      high = _mm256_add_epi16(high, _mm256_maddubs_epi16(weight, _mm256_unpackhi_epi8(even, odd)));
    }
    uint32_t* into = w.sums + int64_t(unit.position) * kColumns + 32 * half;
    auto add = [&](int q, __m256i v, __m256i weight) RERAM_ALWAYS {
      put(into + 8 * q, _mm256_add_epi32(get(into + 8 * q), _mm256_madd_epi16(v, weight)));
    };
    add(0, low, weights.first);
    add(1, low, weights.second);
    add(2, high, weights.first);
    add(3, high, weights.second);
  }

  template <int W, int K, bool Count>
  static void convert_pairs(const Sweep& w) {
    const Weights weights(w);
    const bool whole = w.columns == ~uint64_t(0);
    if (Count && !whole && *w.pending) flush_pending(w, ~uint64_t(0));
    for (int k = 0, n; k < w.count; k += n) {
      n = w.count - k;
      if (Count) {
        if (*w.pending == w.addends) flush_pending(w, w.columns);
        const int room = w.addends - *w.pending;
        n = n < room ? n : room;
        *w.pending += n;
      }
      for (int half = 0; half < 2; ++half)  // so that its cells stay in L1
        for (int u = k; u < k + n; ++u) convert_half<W, K, Count>(w, w.units[u], weights, half);
    }
    if (Count && !whole) flush_pending(w, w.columns);
  }

  static void flush_pending(const Sweep& w, uint64_t columns) {
    flush(w.made, columns, w.counts);
    *w.pending = 0;
  }

  static void settle(const Scratch& s) {
    for (int i = 0; i < kCycles; ++i) {
      if (s.pending[i])
        flush(s.made + i * kSlices * kColumns, ~uint64_t(0), s.counts + i * kSlices * kCountLanes);
      s.pending[i] = 0;
    }
  }

  template <int W, bool Count>
  static void convert_live(const Sweep& w) {
    if (w.live == 0)
      convert_pairs<W, 4, Count>(w);
    else if (w.live == 1)
      convert_pairs<W, 3, Count>(w);
    else if (w.live == 2)
      convert_pairs<W, 2, Count>(w);
    else
      convert_pairs<W, 1, Count>(w);
  }

  // Units of the given path of nibbles.
  template <bool Count>
  static void convert_nibbles(int path, const Sweep& w) {
    if (path == 0)
      convert_live<1, Count>(w);
    else if (path == 1)
      convert_live<2, Count>(w);
    else if (path == 2)
      convert_live<3, Count>(w);
    else if (path == 3)
      convert_live<4, Count>(w);
    else
      convert_live<8, Count>(w);
  }
};

}  // namespace
}  // namespace reram::cpu::RERAM_ISA
