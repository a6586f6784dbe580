// Look-ups in tables of bytes.
#pragma once

#include <immintrin.h>

#include "cpu/job.h"

namespace reram::cpu::RERAM_ISA {
namespace {

struct Avx512Tables {
  // 64 entries of a table.
  static void gather(const int32_t* table, const int32_t* at, int32_t* out) {
    for (int n = 0; n < kColumns; n += 16)
      _mm512_store_si512(out + n, _mm512_i32gather_epi32(_mm512_load_si512(at + n), table, 4));
  }

  // The same of a table of 16-bit numbers, which another follows.
  static void gather_words(const int16_t* table, const int32_t* at, int32_t* out) {
    for (int n = 0; n < kColumns; n += 16) {
      const __m512i both = _mm512_i32gather_epi32(_mm512_load_si512(at + n), table, 2);
      _mm512_store_si512(out + n, _mm512_srai_epi32(_mm512_slli_epi32(both, 16), 16));
    }
  }

  template <int N>
  RERAM_ALWAYS static __m512i look_up(const uint8_t* table4, const uint8_t* table6,
                                      const uint8_t* table7, const uint8_t* table8, __m512i index) {
    if (N == 4) return _mm512_shuffle_epi8(_mm512_load_si512(table4), index);
    if (N == 6) return _mm512_permutexvar_epi8(index, _mm512_load_si512(table6));
    auto half = [&](const uint8_t* table) RERAM_ALWAYS {
      return _mm512_permutex2var_epi8(_mm512_load_si512(table), index,
                                      _mm512_load_si512(table + 64));
    };
    if (N == 7) return half(table7);
    return _mm512_mask_mov_epi8(half(table8), _mm512_movepi8_mask(index), half(table8 + 128));
  }
  template <int T>
  RERAM_ALWAYS static __m512i comparisons(const ByteTables& t, __m512i sums) {
    return look_up<T>(t.comparisons4, t.comparisons6, t.comparisons7, t.comparisons8, sums);
  }
  template <int T>
  RERAM_ALWAYS static __m512i level(const ByteTables& t, __m512i sums) {
    auto bytes = [](const int8_t* table) { return reinterpret_cast<const uint8_t*>(table); };
    return look_up<T>(bytes(t.level4), bytes(t.level6), bytes(t.level7), bytes(t.level8), sums);
  }
};

}  // namespace
}  // namespace reram::cpu::RERAM_ISA
