// AVX2: as the AVX-512 kernel with half the bit-lines in a vector, population counts and table
// look-ups by nibble shuffles.
#include <immintrin.h>

#include "kernel_body.h"

namespace reram {
namespace {

struct Avx2 {
  static int popcount(uint64_t v) { return int(_mm_popcnt_u64(v)); }

  static void transpose(const uint8_t* bytes, uint64_t* out) {
    __m256i low = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(bytes));
    __m256i high = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(bytes + 32));
    for (int i = kCycles - 1; i >= 0; --i) {
      out[i] = uint32_t(_mm256_movemask_epi8(low)) | uint64_t(uint32_t(_mm256_movemask_epi8(high)))
                                                         << 32;
      low = _mm256_add_epi8(low, low);
      high = _mm256_add_epi8(high, high);
    }
  }

  static __m256i byte_popcount(__m256i v) {
    const __m256i bits = _mm256_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4, 0, 1, 1,
                                          2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4);
    const __m256i nibble = _mm256_set1_epi8(15);
    return _mm256_add_epi8(
        _mm256_shuffle_epi8(bits, _mm256_and_si256(v, nibble)),
        _mm256_shuffle_epi8(bits, _mm256_and_si256(_mm256_srli_epi16(v, 4), nibble)));
  }

  // The sums of four bit-lines. Byte counts stay within +-16, so a bias of 16 keeps them unsigned
  // for the horizontal sum.
  template <int Words, bool Signed>
  static __m256i vector_sums(const __m256i* plus, const __m256i* minus, const uint64_t* x) {
    __m256i all = _mm256_setzero_si256();
#pragma GCC unroll 8
    for (int i = 0; i < kCycles; ++i) {
      __m256i bytes = Signed ? _mm256_set1_epi8(16) : _mm256_setzero_si256();
#pragma GCC unroll 2
      for (int w = 0; w < Words; ++w) {
        const __m256i in = _mm256_set1_epi64x(int64_t(x[i * Words + w]));
        bytes = _mm256_add_epi8(bytes, byte_popcount(_mm256_and_si256(in, plus[w])));
        if (Signed) bytes = _mm256_sub_epi8(bytes, byte_popcount(_mm256_and_si256(in, minus[w])));
      }
      __m256i sum = _mm256_sad_epu8(bytes, _mm256_setzero_si256());
      if (Signed)
        sum = _mm256_and_si256(_mm256_sub_epi64(sum, _mm256_set1_epi64x(8 * 16)),
                               _mm256_set1_epi64x(0xff));
      all = _mm256_or_si256(all, _mm256_slli_epi64(sum, 8 * i));
    }
    return all;
  }

  template <int Words>
  static void load(const uint64_t* from, __m256i* to) {
    for (int w = 0; w < Words; ++w)
      to[w] = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from + w * kColumns));
  }

  template <int Words>
  static __m256i half_sums(const uint64_t* plus, const uint64_t* minus, const uint64_t* x) {
    __m256i up[Words], down[Words];
    load<Words>(plus, up);
    if (!minus) return vector_sums<Words, false>(up, up, x);
    load<Words>(minus, down);
    return vector_sums<Words, true>(up, down, x);
  }

  static void sums(const uint64_t* plus, const uint64_t* minus, const uint64_t* x, int words,
                   int8_t* out) {
    for (int half = 0; half < kColumns; half += 4) {
      const uint64_t* down = minus ? minus + half : nullptr;
      const __m256i s =
          words == 1 ? half_sums<1>(plus + half, down, x) : half_sums<2>(plus + half, down, x);
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + half * kCycles), s);
    }
  }

  // A look-up in 256 bytes, or in the first 128 where no sum is negative, sixteen at a time:
  // adding 112 with saturation clears the top bit only of indices within the current sixteen.
  template <bool Signed>
  static __m256i look_up(const uint8_t* table, __m256i index) {
    __m256i found = _mm256_setzero_si256();
    for (int from = 0; from < (Signed ? 256 : 128); from += 16) {
      const __m256i part = _mm256_broadcastsi128_si256(
          _mm_load_si128(reinterpret_cast<const __m128i*>(table + from)));
      const __m256i local = _mm256_adds_epu8(_mm256_sub_epi8(index, _mm256_set1_epi8(char(from))),
                                             _mm256_set1_epi8(112));
      found = _mm256_or_si256(found, _mm256_shuffle_epi8(part, local));
    }
    return found;
  }

  template <int Words, bool Signed, bool Count>
  static int64_t convert(const Sweep& w) {
    uint64_t weight_bytes;
    std::memcpy(&weight_bytes, w.cycle_weights, 8);
    const __m256i weights = _mm256_set1_epi64x(int64_t(weight_bytes));
    const __m128i significance = _mm_cvtsi32_si128(w.significance);
    __m256i total = _mm256_setzero_si256();
    for (int half = 0; half < kColumns; half += 4) {
      __m256i plus[Words], minus[Words];
      load<Words>(w.plus + half, plus);
      if (Signed) load<Words>(w.minus + half, minus);
      const __m256i counted =
          _mm256_loadu_si256(reinterpret_cast<const __m256i*>(w.counted + half * kCycles));
      for (int n = 0; n < w.count; ++n) {
        const int64_t m = w.list[n];
        const __m256i index = vector_sums<Words, Signed>(plus, minus, w.x + m * kCycles * Words);
        const __m256i level =
            look_up<Signed>(reinterpret_cast<const uint8_t*>(w.tables->level), index);
        // Pairs stay within 16 bits: (64 + 128) * 128 < 2^15.
        const __m256i weighed =
            _mm256_madd_epi16(_mm256_maddubs_epi16(weights, level), _mm256_set1_epi16(1));
        __m256i* into = reinterpret_cast<__m256i*>(w.sums + m * 16 + half * 2);
        _mm256_store_si256(into, _mm256_add_epi32(_mm256_load_si256(into),
                                                  _mm256_sll_epi32(weighed, significance)));
        if (Count) {
          const __m256i made =
              _mm256_and_si256(look_up<Signed>(w.tables->comparisons, index), counted);
          total = _mm256_add_epi64(total, _mm256_sad_epu8(made, _mm256_setzero_si256()));
        }
      }
    }
    alignas(32) int64_t parts[4];
    _mm256_store_si256(reinterpret_cast<__m256i*>(parts), total);
    return parts[0] + parts[1] + parts[2] + parts[3];
  }
};

}  // namespace

const Kernels kAvx2Kernels = {convert<Avx2>, histogram<Avx2>};

}  // namespace reram
