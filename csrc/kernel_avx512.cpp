// AVX-512 with VPOPCNTDQ, VBMI and VNNI: one 64-bit lane a bit-line, one byte of it a cycle.
#include <immintrin.h>

#include "kernel_body.h"

namespace reram {
namespace {

struct Avx512 {
  static int popcount(uint64_t v) { return int(_mm_popcnt_u64(v)); }

  static void transpose(const uint8_t* bytes, uint64_t* out) {
    const __m512i v = _mm512_loadu_si512(bytes);
    for (int i = 0; i < kCycles; ++i)
      out[i] = _mm512_test_epi8_mask(v, _mm512_set1_epi8(char(1 << i)));
  }

  template <int Words, bool Signed>
  static __m512i vector_sums(const __m512i* plus, const __m512i* minus, const uint64_t* x) {
    __m512i all = _mm512_setzero_si512();
#pragma GCC unroll 8
    for (int i = 0; i < kCycles; ++i) {
      __m512i sum = _mm512_setzero_si512();
#pragma GCC unroll 2
      for (int w = 0; w < Words; ++w) {
        const __m512i in = _mm512_set1_epi64(int64_t(x[i * Words + w]));
        const __m512i up = _mm512_popcnt_epi64(_mm512_and_si512(in, plus[w]));
        sum = w ? _mm512_add_epi64(sum, up) : up;
        if (Signed)
          sum = _mm512_sub_epi64(sum, _mm512_popcnt_epi64(_mm512_and_si512(in, minus[w])));
      }
      // A negative sum fills its lane with ones: keep its byte alone (all | shifted & byte).
      const __m512i shifted = _mm512_slli_epi64(sum, 8 * i);
      all = Signed ? _mm512_ternarylogic_epi64(all, shifted,
                                               _mm512_set1_epi64(int64_t(0xffull << 8 * i)), 0xf8)
                   : _mm512_or_si512(all, shifted);
    }
    return all;
  }

  template <int Words>
  static void load(const uint64_t* from, __m512i* to) {
    for (int w = 0; w < Words; ++w) to[w] = _mm512_loadu_si512(from + w * kColumns);
  }

  template <int Words>
  static __m512i block_sums(const uint64_t* plus, const uint64_t* minus, const uint64_t* x) {
    __m512i up[Words], down[Words];
    load<Words>(plus, up);
    if (!minus) return vector_sums<Words, false>(up, up, x);
    load<Words>(minus, down);
    return vector_sums<Words, true>(up, down, x);
  }

  static void sums(const uint64_t* plus, const uint64_t* minus, const uint64_t* x, int words,
                   int8_t* out) {
    _mm512_storeu_si512(out,
                        words == 1 ? block_sums<1>(plus, minus, x) : block_sums<2>(plus, minus, x));
  }

  // A look-up in 256 bytes, or in the first 128 where no sum is negative.
  template <bool Signed>
  static __m512i look_up(const __m512i* table, __m512i index) {
    const __m512i low = _mm512_permutex2var_epi8(table[0], index, table[1]);
    if (!Signed) return low;
    const __m512i high = _mm512_permutex2var_epi8(table[2], index, table[3]);
    return _mm512_mask_mov_epi8(low, _mm512_movepi8_mask(index), high);
  }

  template <int Words, bool Signed, bool Count>
  static int64_t convert(const Sweep& w) {
    __m512i plus[Words], minus[Words], levels[4], comparisons[4];
    load<Words>(w.plus, plus);
    if (Signed) load<Words>(w.minus, minus);
    for (int q = 0; q < 4; ++q) {
      levels[q] = _mm512_load_si512(w.tables->level + 64 * q);
      comparisons[q] = _mm512_load_si512(w.tables->comparisons + 64 * q);
    }
    uint64_t weight_bytes;
    std::memcpy(&weight_bytes, w.cycle_weights, 8);
    const __m512i weights = _mm512_set1_epi64(int64_t(weight_bytes));
    const __m512i counted = _mm512_loadu_si512(w.counted);
    const __m128i significance = _mm_cvtsi32_si128(w.significance);
    __m512i total = _mm512_setzero_si512();
    for (int n = 0; n < w.count; ++n) {
      const int64_t m = w.list[n];
      const __m512i index = vector_sums<Words, Signed>(plus, minus, w.x + m * kCycles * Words);
      const __m512i weighed =
          _mm512_dpbusd_epi32(_mm512_setzero_si512(), weights, look_up<Signed>(levels, index));
      uint32_t* into = w.sums + m * 16;
      _mm512_store_si512(
          into, _mm512_add_epi32(_mm512_load_si512(into), _mm512_sll_epi32(weighed, significance)));
      if (Count) {
        const __m512i made = _mm512_and_si512(look_up<Signed>(comparisons, index), counted);
        total = _mm512_add_epi64(total, _mm512_sad_epu8(made, _mm512_setzero_si512()));
      }
    }
    return Count ? _mm512_reduce_add_epi64(total) : 0;
  }
};

}  // namespace

const Kernels kAvx512Kernels = {convert<Avx512>, histogram<Avx512>};

}  // namespace reram
