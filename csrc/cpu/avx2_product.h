// Products of codes in 16 bits, two word-lines at a time: in eight they could saturate.
#pragma once

#include <immintrin.h>

#include "cpu/job.h"

namespace reram::cpu::RERAM_ISA {
namespace {

struct Avx2Product {
  static void gather_bits(const uint64_t* words, uint8_t* out) {
    const __m256i from = _mm256_setr_epi8(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2,
                                          2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3);
    const __m256i bit = _mm256_set1_epi64x(int64_t(0x8040201008040201));
    for (int half = 0; half < 2; ++half) {
      __m256i all = _mm256_setzero_si256();
      for (int k = 0; k < 8; ++k) {
        const __m256i word = _mm256_set1_epi32(int(uint32_t(words[k] >> (32 * half))));
        const __m256i here = _mm256_and_si256(_mm256_shuffle_epi8(word, from), bit);
        all = _mm256_or_si256(
            all, _mm256_and_si256(_mm256_cmpeq_epi8(here, bit), _mm256_set1_epi8(char(1 << k))));
      }
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + 32 * half), all);
    }
  }

  // [2][64][2]: two word-lines of a bit-line side by side.
  static constexpr int kWeightBytes = 2;
  static void interleave(const int8_t (*codes)[kColumns], uint8_t* weights) {
    for (int r = 0; r < 4; r += 2)
      for (int n = 0; n < kColumns; n += 8, weights += 32) {
        auto eight = [&](int line) RERAM_ALWAYS {
          return _mm_cvtepi8_epi16(
              _mm_loadl_epi64(reinterpret_cast<const __m128i*>(codes[line] + n)));
        };
        const __m128i a = eight(r), b = eight(r + 1);
        _mm256_store_si256(reinterpret_cast<__m256i*>(weights),
                           _mm256_set_m128i(_mm_unpackhi_epi16(a, b), _mm_unpacklo_epi16(a, b)));
      }
  }

  // Up to 32 pairs of word-lines of P positions and of 32 bit-lines.
  template <int P>
  RERAM_ALWAYS static void multiply_pairs(const int32_t (*pairs)[32], int64_t count,
                                          const uint8_t* weights, uint32_t* sums) {
    __m256i all[P][4];
    auto at = [&](int m, int q)
                  RERAM_ALWAYS { return reinterpret_cast<__m256i*>(sums + m * kColumns + 8 * q); };
#pragma GCC unroll 2
    for (int m = 0; m < P; ++m)
#pragma GCC unroll 4
      for (int q = 0; q < 4; ++q) all[m][q] = _mm256_load_si256(at(m, q));
    for (int64_t k = 0; k < count; ++k, weights += 256)
#pragma GCC unroll 4
      for (int q = 0; q < 4; ++q) {
        const __m256i w = _mm256_load_si256(reinterpret_cast<const __m256i*>(weights + 32 * q));
#pragma GCC unroll 2
        for (int m = 0; m < P; ++m)
          all[m][q] =
              _mm256_add_epi32(all[m][q], _mm256_madd_epi16(_mm256_set1_epi32(pairs[m][k]), w));
      }
#pragma GCC unroll 2
    for (int m = 0; m < P; ++m)
#pragma GCC unroll 4
      for (int q = 0; q < 4; ++q) _mm256_store_si256(at(m, q), all[m][q]);
  }

  template <int P>
  static void multiply_rows(const uint8_t* rows, int64_t stride, int64_t fours,
                            const uint8_t* weights, uint32_t* sums) {
    for (int64_t k = 0; k < fours; k += 16, weights += 64 * kColumns * kWeightBytes) {
      alignas(32) int32_t pairs[P][32];
      for (int m = 0; m < P; ++m)
        for (int c = 0; c < 64; c += 16) {
          const __m128i codes =
              _mm_loadu_si128(reinterpret_cast<const __m128i*>(rows + m * stride + 4 * k + c));
          _mm256_store_si256(reinterpret_cast<__m256i*>(pairs[m] + c / 2),
                             _mm256_cvtepu8_epi16(codes));
        }
      const int64_t count = 2 * (fours - k < 16 ? fours - k : 16);
      multiply_pairs<P>(pairs, count, weights, sums);
      multiply_pairs<P>(pairs, count, weights + 128, sums + 32);
    }
  }

  static void multiply(const uint8_t* rows, int64_t stride, int64_t count, int64_t fours,
                       const uint8_t* weights, uint32_t* sums) {
    int64_t m = 0;
    for (; m + 2 <= count; m += 2)
      multiply_rows<2>(rows + m * stride, stride, fours, weights, sums + m * kColumns);
    if (m < count) multiply_rows<1>(rows + m * stride, stride, fours, weights, sums + m * kColumns);
  }
};

}  // namespace
}  // namespace reram::cpu::RERAM_ISA
