// The hash, eight lanes at a time.
#pragma once

#include <immintrin.h>

#include "cpu/hash.h"

namespace reram::cpu::RERAM_ISA {
namespace {

struct Avx512Hash {
  static void hash_blocks(const unsigned char* data, int64_t count, uint64_t* lanes) {
    constexpr int kVectors = kHashLanes * 8 / sizeof(__m512i);
    const __m512i low = _mm512_set1_epi64(int64_t(kLowFactor)),
                  high = _mm512_set1_epi64(int64_t(kHighFactor));
    __m512i h[kVectors];
    for (int k = 0; k < kVectors; ++k)
      h[k] = _mm512_loadu_si512(reinterpret_cast<const __m512i*>(lanes) + k);
    for (; count--; data += kHashBytes)
#pragma GCC unroll 8
      for (int k = 0; k < kVectors; ++k) {
        const __m512i v =
            _mm512_xor_si512(h[k], _mm512_loadu_si512(reinterpret_cast<const __m512i*>(data) + k));
        const __m512i upper = _mm512_mul_epu32(_mm512_srli_epi64(v, 32), high);
        h[k] =
            _mm512_xor_si512(_mm512_mul_epu32(v, low), _mm512_shuffle_epi32(upper, _MM_PERM_CDAB));
      }
    for (int k = 0; k < kVectors; ++k)
      _mm512_store_si512(reinterpret_cast<__m512i*>(lanes) + k, h[k]);
  }
};

}  // namespace
}  // namespace reram::cpu::RERAM_ISA
