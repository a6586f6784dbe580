// Floats to codes, sixteen at a time: what PlainQuantizer does.
#pragma once

#include <immintrin.h>

#include "cpu/quantize.h"

namespace reram::cpu::RERAM_ISA {
namespace {

struct Avx512Quantizer {
  static bool codes_of(const float* from, const Quantizer& q, uint8_t* to) {
    const __m512 scale = _mm512_set1_ps(q.scale), zero = _mm512_set1_ps(q.zero);
    const __m512 far = _mm512_set1_ps(kFar), round = _mm512_set1_ps(kRound);
    const __m512 least = _mm512_set1_ps(-kLargest), most = _mm512_set1_ps(kLargest);
    int bad = 0;
    for (int k = 0; k < kFloats; k += 16) {
      const __m512 x = _mm512_loadu_ps(from + k);
      bad |= _mm512_cmp_ps_mask(x, most, _CMP_NLE_UQ) | _mm512_cmp_ps_mask(x, least, _CMP_NGE_UQ);
      __m512 v = _mm512_div_ps(x, scale);
      v = _mm512_min_ps(_mm512_max_ps(v, _mm512_sub_ps(_mm512_setzero_ps(), far)), far);
      v = _mm512_add_ps(_mm512_sub_ps(_mm512_add_ps(v, round), round), zero);
      v = _mm512_min_ps(_mm512_max_ps(v, _mm512_setzero_ps()), _mm512_set1_ps(q.most));
      _mm_storeu_si128(reinterpret_cast<__m128i*>(to + k),
                       _mm512_cvtepi32_epi8(_mm512_cvttps_epi32(v)));
    }
    return !bad;
  }
};

}  // namespace
}  // namespace reram::cpu::RERAM_ISA
