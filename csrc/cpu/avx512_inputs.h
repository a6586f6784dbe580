// From input codes to driven word-lines.
#pragma once

#include <immintrin.h>

#include "cpu/job.h"

namespace reram::cpu::RERAM_ISA {
namespace {

struct Avx512Inputs {
  static int popcount(uint64_t v) { return int(_mm_popcnt_u64(v)); }

  static void transpose(const uint8_t* bytes, uint64_t* out) {
    const __m512i v = _mm512_loadu_si512(bytes);
    for (int i = 0; i < kCycles; ++i)
      out[i] = _mm512_test_epi8_mask(v, _mm512_set1_epi8(char(1 << i)));
  }

  // `driven_lines`, 32 word-lines at a time.
  static int lines(const uint64_t* words, int count, const uint16_t* from, uint16_t* out) {
    uint16_t* const start = out;
    for (int k = 0; k < count; ++k, from += 64) {
      const uint32_t low = uint32_t(words[k]), high = uint32_t(words[k] >> 32);
      const __m512i a = _mm512_loadu_si512(from), b = _mm512_loadu_si512(from + 32);
      _mm512_storeu_si512(out, _mm512_maskz_compress_epi16(low, a));
      _mm512_storeu_si512(out + _mm_popcnt_u32(low), _mm512_maskz_compress_epi16(high, b));
      out += _mm_popcnt_u64(words[k]);
    }
    return int(out - start);
  }
};

}  // namespace
}  // namespace reram::cpu::RERAM_ISA
