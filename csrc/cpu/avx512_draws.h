// Random words for odds, eight to a vector: what PlainDraws does.
#pragma once

#include <immintrin.h>

#include "cpu/draws.h"

namespace reram::cpu::RERAM_ISA {
namespace {

struct Avx512Draws {
  // The product of 32-bit numbers ignores their upper halves, so nothing clears these.
  template <int Count>
  RERAM_ALWAYS static void philox(uint64_t (*x)[Count], const uint32_t* key) {
    constexpr int kParts = Count / 8;
    const __m512i by0 = _mm512_set1_epi64(kPhilox0), by1 = _mm512_set1_epi64(kPhilox1);
    __m512i v[4][kParts];
#pragma GCC unroll 4
    for (int w = 0; w < 4; ++w)
#pragma GCC unroll 2
      for (int k = 0; k < kParts; ++k) v[w][k] = _mm512_load_si512(x[w] + 8 * k);
    uint32_t k0 = key[0], k1 = key[1];
#pragma GCC unroll 10
    for (int round = 0; round < kRounds; ++round, k0 += kWeyl0, k1 += kWeyl1) {
      const __m512i key0 = _mm512_set1_epi64(k0), key1 = _mm512_set1_epi64(k1);
#pragma GCC unroll 2
      for (int k = 0; k < kParts; ++k) {
        const __m512i a = _mm512_mul_epu32(v[0][k], by0), b = _mm512_mul_epu32(v[2][k], by1);
        v[0][k] = _mm512_ternarylogic_epi64(_mm512_srli_epi64(b, 32), v[1][k], key0, 0x96);
        v[1][k] = b;
        v[2][k] = _mm512_ternarylogic_epi64(_mm512_srli_epi64(a, 32), v[3][k], key1, 0x96);
        v[3][k] = a;
      }
    }
#pragma GCC unroll 4
    for (int w = 0; w < 4; ++w)
#pragma GCC unroll 2
      for (int k = 0; k < kParts; ++k) _mm512_store_si512(x[w] + 8 * k, v[w][k]);
  }
};

}  // namespace
}  // namespace reram::cpu::RERAM_ISA
