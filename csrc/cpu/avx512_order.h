// The order in which the AVX-512 kernels keep accumulators, and the ways out of it.
#pragma once

#include <immintrin.h>

#include "cpu/job.h"

namespace reram::cpu::RERAM_ISA {
namespace {

struct Avx512Order {
  // Unpacking within 128-bit lanes and adding up even and odd numbers apart leave the accumulators
  // in this order.
  static int column(int k) { return k % 16 / 4 * 16 + k / 32 * 8 + k % 4 * 2 + k / 16 % 2; }

  static const uint32_t* in_order(const uint32_t* sums, uint32_t* room) {
    __m512i v[4], out[4];
    for (int q = 0; q < 4; ++q) v[q] = _mm512_load_si512(sums + 16 * q);
    for (int q = 0; q < 4; q += 2) {  // four bit-lines of each sixteen
      out[q] = _mm512_unpacklo_epi32(v[q], v[q + 1]);
      out[q + 1] = _mm512_unpackhi_epi32(v[q], v[q + 1]);
    }
    for (int q = 0; q < 4; ++q)
      for (int lane = 0; lane < 4; ++lane) {
        const __m128i part = lane == 0   ? _mm512_extracti32x4_epi32(out[q], 0)
                             : lane == 1 ? _mm512_extracti32x4_epi32(out[q], 1)
                             : lane == 2 ? _mm512_extracti32x4_epi32(out[q], 2)
                                         : _mm512_extracti32x4_epi32(out[q], 3);
        _mm_store_si128(reinterpret_cast<__m128i*>(room + 16 * lane + 4 * q), part);
      }
    return room;
  }

  static void turn(const uint32_t* sums, int positions, uint32_t (*turned)[kSquare]) {
    __m512i v[16], w[16];
    for (int p = 0; p < 16; ++p)
      v[p] = p < positions ? _mm512_load_si512(sums + p * kColumns) : _mm512_setzero_si512();
#pragma GCC unroll 8
    for (int p = 0; p < 16; p += 2) {
      w[p] = _mm512_unpacklo_epi32(v[p], v[p + 1]);
      w[p + 1] = _mm512_unpackhi_epi32(v[p], v[p + 1]);
    }
#pragma GCC unroll 4
    for (int p = 0; p < 16; p += 4) {
      v[p] = _mm512_unpacklo_epi64(w[p], w[p + 2]);
      v[p + 1] = _mm512_unpackhi_epi64(w[p], w[p + 2]);
      v[p + 2] = _mm512_unpacklo_epi64(w[p + 1], w[p + 3]);
      v[p + 3] = _mm512_unpackhi_epi64(w[p + 1], w[p + 3]);
    }
    // v[4 q + c] holds accumulators c, 4 + c, 8 + c, 12 + c of positions 4 q to 4 q + 3.
#pragma GCC unroll 4
    for (int c = 0; c < 4; ++c) {
      const __m512i a = _mm512_shuffle_i32x4(v[c], v[4 + c], 0x88);
      const __m512i b = _mm512_shuffle_i32x4(v[c], v[4 + c], 0xdd);
      const __m512i d = _mm512_shuffle_i32x4(v[8 + c], v[12 + c], 0x88);
      const __m512i e = _mm512_shuffle_i32x4(v[8 + c], v[12 + c], 0xdd);
      _mm512_store_si512(turned[c], _mm512_shuffle_i32x4(a, d, 0x88));
      _mm512_store_si512(turned[4 + c], _mm512_shuffle_i32x4(b, e, 0x88));
      _mm512_store_si512(turned[8 + c], _mm512_shuffle_i32x4(a, d, 0xdd));
      _mm512_store_si512(turned[12 + c], _mm512_shuffle_i32x4(b, e, 0xdd));
    }
  }
};

}  // namespace
}  // namespace reram::cpu::RERAM_ISA
