// Floats to codes, eight at a time: what PlainQuantizer does.
#pragma once

#include <immintrin.h>

#include "cpu/quantize.h"

namespace reram::cpu::RERAM_ISA {
namespace {

struct Avx2Quantizer {
  static bool codes_of(const float* from, const Quantizer& q, uint8_t* to) {
    const __m256 scale = _mm256_set1_ps(q.scale), zero = _mm256_set1_ps(q.zero);
    const __m256 far = _mm256_set1_ps(kFar), round = _mm256_set1_ps(kRound);
    const __m256 least = _mm256_set1_ps(-kLargest), most = _mm256_set1_ps(kLargest);
    __m256 bad = _mm256_setzero_ps();
    __m256i whole[4];
    for (int k = 0; k < 4; ++k) {
      const __m256 x = _mm256_loadu_ps(from + 8 * k);
      bad = _mm256_or_ps(bad, _mm256_or_ps(_mm256_cmp_ps(x, most, _CMP_NLE_UQ),
                                           _mm256_cmp_ps(x, least, _CMP_NGE_UQ)));
      __m256 v = _mm256_div_ps(x, scale);
      v = _mm256_min_ps(_mm256_max_ps(v, _mm256_sub_ps(_mm256_setzero_ps(), far)), far);
      v = _mm256_add_ps(_mm256_sub_ps(_mm256_add_ps(v, round), round), zero);
      v = _mm256_min_ps(_mm256_max_ps(v, _mm256_setzero_ps()), _mm256_set1_ps(q.most));
      whole[k] = _mm256_cvttps_epi32(v);
    }
    const __m256i low = _mm256_packus_epi32(whole[0], whole[1]);
    const __m256i high = _mm256_packus_epi32(whole[2], whole[3]);
    const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    const __m256i bytes = _mm256_permutevar8x32_epi32(_mm256_packus_epi16(low, high), order);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), bytes);
    return !_mm256_movemask_ps(bad);
  }
};

}  // namespace
}  // namespace reram::cpu::RERAM_ISA
