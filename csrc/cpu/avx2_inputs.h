// From input codes to driven word-lines.
#pragma once

#include <immintrin.h>

#include "cpu/job.h"

namespace reram::cpu::RERAM_ISA {
namespace {

// For each byte, the shuffle that brings those 16-bit numbers together whose bit is set.
struct Compress {
  constexpr Compress() : shuffles() {
    for (int mask = 0; mask < 256; ++mask) {
      int n = 0;
      for (int bit = 0; bit < 8; ++bit) {
        if (!(mask >> bit & 1)) continue;
        shuffles[mask][2 * n] = uint8_t(2 * bit);
        shuffles[mask][2 * n++ + 1] = uint8_t(2 * bit + 1);
      }
    }
  }
  alignas(16) uint8_t shuffles[256][16];
};
constexpr Compress kCompress;

struct Avx2Inputs {
  static int popcount(uint64_t v) { return int(_mm_popcnt_u64(v)); }

  static __m256i load(const void* from) {
    return _mm256_loadu_si256(static_cast<const __m256i*>(from));
  }

  static void transpose(const uint8_t* bytes, uint64_t* out) {
    __m256i low = load(bytes), high = load(bytes + 32);
    for (int i = kCycles - 1; i >= 0; --i) {
      out[i] = uint32_t(_mm256_movemask_epi8(low)) | uint64_t(uint32_t(_mm256_movemask_epi8(high)))
                                                         << 32;
      low = _mm256_add_epi8(low, low);
      high = _mm256_add_epi8(high, high);
    }
  }

  // `driven_lines`, eight word-lines at a time and without a branch on their bits.
  static int lines(const uint64_t* words, int count, const uint16_t* from, uint16_t* out) {
    int n = 0;
    for (int k = 0; k < count; ++k)
      for (int b = 0; b < 64; b += 8) {
        const uint32_t mask = words[k] >> b & 0xff;
        const __m128i all = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from + 64 * k + b));
        const __m128i shuffle =
            _mm_load_si128(reinterpret_cast<const __m128i*>(kCompress.shuffles[mask]));
        _mm_storeu_si128(reinterpret_cast<__m128i*>(out + n), _mm_shuffle_epi8(all, shuffle));
        n += popcount(mask);
      }
    return n;
  }
};

}  // namespace
}  // namespace reram::cpu::RERAM_ISA
