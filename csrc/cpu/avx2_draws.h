// Random words for odds, four to a vector: what PlainDraws does.
#pragma once

#include <immintrin.h>

#include "cpu/draws.h"

namespace reram::cpu::RERAM_ISA {
namespace {

struct Avx2Draws {
  // The product of 32-bit numbers ignores their upper halves, so nothing clears these.
  template <int Count>
  RERAM_ALWAYS static void philox(uint64_t (*x)[Count], const uint32_t* key) {
    constexpr int kParts = Count / 4;
    const __m256i by0 = _mm256_set1_epi64x(kPhilox0), by1 = _mm256_set1_epi64x(kPhilox1);
    __m256i v[4][kParts];
    auto at = [&](int w, int k) RERAM_ALWAYS { return reinterpret_cast<__m256i*>(x[w] + 4 * k); };
#pragma GCC unroll 4
    for (int w = 0; w < 4; ++w)
#pragma GCC unroll 4
      for (int k = 0; k < kParts; ++k) v[w][k] = _mm256_load_si256(at(w, k));
    uint32_t k0 = key[0], k1 = key[1];
    for (int round = 0; round < kRounds; ++round, k0 += kWeyl0, k1 += kWeyl1) {
      const __m256i key0 = _mm256_set1_epi64x(k0), key1 = _mm256_set1_epi64x(k1);
#pragma GCC unroll 4
      for (int k = 0; k < kParts; ++k) {
        const __m256i a = _mm256_mul_epu32(v[0][k], by0), b = _mm256_mul_epu32(v[2][k], by1);
        v[0][k] = _mm256_xor_si256(_mm256_xor_si256(_mm256_srli_epi64(b, 32), v[1][k]), key0);
        v[1][k] = b;
        v[2][k] = _mm256_xor_si256(_mm256_xor_si256(_mm256_srli_epi64(a, 32), v[3][k]), key1);
        v[3][k] = a;
      }
    }
#pragma GCC unroll 4
    for (int w = 0; w < 4; ++w)
#pragma GCC unroll 4
      for (int k = 0; k < kParts; ++k) _mm256_store_si256(at(w, k), v[w][k]);
  }
};

}  // namespace
}  // namespace reram::cpu::RERAM_ISA
