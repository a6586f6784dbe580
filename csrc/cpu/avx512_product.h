// Products of codes by the dot products of VNNI.
#pragma once

#include <immintrin.h>

#include "cpu/job.h"

namespace reram::cpu::RERAM_ISA {
namespace {

struct Avx512Product {
  static void gather_bits(const uint64_t* words, uint8_t* out) {
    __m512i bytes = _mm512_setzero_si512();
    for (int bit = 0; bit < 8; ++bit)
      bytes = _mm512_mask_add_epi8(bytes, words[bit], bytes, _mm512_set1_epi8(char(1 << bit)));
    _mm512_storeu_si512(out, bytes);
  }

  // Four word-lines of a bit-line side by side; bit-lines as Avx512Order has them.
  static constexpr int kWeightBytes = 1;
  static void interleave(const int8_t (*codes)[kColumns], uint8_t* weights) {
    const __m512i order =
        _mm512_broadcast_i32x4(_mm_setr_epi8(0, 2, 4, 6, 1, 3, 5, 7, 8, 10, 12, 14, 9, 11, 13, 15));
    __m512i line[4], two[4];
    for (int r = 0; r < 4; ++r) line[r] = _mm512_shuffle_epi8(_mm512_load_si512(codes[r]), order);
    for (int r = 0; r < 2; ++r) {
      two[r] = _mm512_unpacklo_epi8(line[2 * r], line[2 * r + 1]);
      two[2 + r] = _mm512_unpackhi_epi8(line[2 * r], line[2 * r + 1]);
    }
    for (int r = 0; r < 4; r += 2) {
      _mm512_store_si512(weights + 64 * r, _mm512_unpacklo_epi16(two[r], two[r + 1]));
      _mm512_store_si512(weights + 64 * r + 64, _mm512_unpackhi_epi16(two[r], two[r + 1]));
    }
  }

  template <int P>
  RERAM_ALWAYS static void multiply_rows(const uint8_t* rows, int64_t stride, int64_t fours,
                                         const uint8_t* weights, uint32_t* sums) {
    __m512i all[P][4];
#pragma GCC unroll 4
    for (int m = 0; m < P; ++m)
#pragma GCC unroll 4
      for (int q = 0; q < 4; ++q) all[m][q] = _mm512_load_si512(sums + m * kColumns + 16 * q);
    for (int64_t k = 0; k < fours; ++k) {
      __m512i w[4];
#pragma GCC unroll 4
      for (int q = 0; q < 4; ++q) w[q] = _mm512_load_si512(weights + k * 256 + 64 * q);
#pragma GCC unroll 4
      for (int m = 0; m < P; ++m) {
        int32_t four;
        __builtin_memcpy(&four, rows + m * stride + 4 * k, 4);
#pragma GCC unroll 4
        for (int q = 0; q < 4; ++q)
          all[m][q] = _mm512_dpbusd_epi32(all[m][q], _mm512_set1_epi32(four), w[q]);
      }
    }
#pragma GCC unroll 4
    for (int m = 0; m < P; ++m)
#pragma GCC unroll 4
      for (int q = 0; q < 4; ++q) _mm512_store_si512(sums + m * kColumns + 16 * q, all[m][q]);
  }

  static void multiply(const uint8_t* rows, int64_t stride, int64_t count, int64_t fours,
                       const uint8_t* weights, uint32_t* sums) {
    int64_t m = 0;
    for (; m + 4 <= count; m += 4)
      multiply_rows<4>(rows + m * stride, stride, fours, weights, sums + m * kColumns);
    for (; m < count; ++m)
      multiply_rows<1>(rows + m * stride, stride, fours, weights, sums + m * kColumns);
  }
};

}  // namespace
}  // namespace reram::cpu::RERAM_ISA
