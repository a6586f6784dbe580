// The hash, four lanes at a time.
#pragma once

#include <immintrin.h>

#include "cpu/hash.h"

namespace reram::cpu::RERAM_ISA {
namespace {

struct Avx2Hash {
  static void hash_blocks(const unsigned char* data, int64_t count, uint64_t* lanes) {
    constexpr int kVectors = kHashLanes * 8 / sizeof(__m256i);
    const __m256i low = _mm256_set1_epi64x(int64_t(kLowFactor)),
                  high = _mm256_set1_epi64x(int64_t(kHighFactor));
    __m256i h[kVectors];
    for (int k = 0; k < kVectors; ++k)
      h[k] = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(lanes) + k);
    for (; count--; data += kHashBytes)
#pragma GCC unroll 8
      for (int k = 0; k < kVectors; ++k) {
        const __m256i v =
            _mm256_xor_si256(h[k], _mm256_loadu_si256(reinterpret_cast<const __m256i*>(data) + k));
        const __m256i upper = _mm256_mul_epu32(_mm256_srli_epi64(v, 32), high);
        h[k] = _mm256_xor_si256(_mm256_mul_epu32(v, low), _mm256_shuffle_epi32(upper, 0xb1));
      }
    for (int k = 0; k < kVectors; ++k)
      _mm256_store_si256(reinterpret_cast<__m256i*>(lanes) + k, h[k]);
  }
};

}  // namespace
}  // namespace reram::cpu::RERAM_ISA
