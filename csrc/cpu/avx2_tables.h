// Look-ups in tables.
#pragma once

#include <immintrin.h>

#include "cpu/job.h"

namespace reram::cpu::RERAM_ISA {
namespace {

struct Avx2Tables {
  // 64 entries of a table.
  static void gather(const int32_t* table, const int32_t* at, int32_t* out) {
    for (int n = 0; n < kColumns; n += 8)
      _mm256_store_si256(
          reinterpret_cast<__m256i*>(out + n),
          _mm256_i32gather_epi32(table, _mm256_load_si256(reinterpret_cast<const __m256i*>(at + n)),
                                 4));
  }

  // The same of a table of 16-bit numbers, which another follows.
  static void gather_words(const int16_t* table, const int32_t* at, int32_t* out) {
    for (int n = 0; n < kColumns; n += 8) {
      const __m256i here = _mm256_load_si256(reinterpret_cast<const __m256i*>(at + n));
      const __m256i both = _mm256_i32gather_epi32(reinterpret_cast<const int*>(table), here, 2);
      _mm256_store_si256(reinterpret_cast<__m256i*>(out + n),
                         _mm256_srai_epi32(_mm256_slli_epi32(both, 16), 16));
    }
  }
};

}  // namespace
}  // namespace reram::cpu::RERAM_ISA
