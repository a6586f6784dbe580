// From input codes to driven word-lines, and look-ups in tables, on any machine.
#pragma once

#include "cpu/pack.h"

namespace reram::cpu::RERAM_ISA {
namespace {

struct PlainInputs {
  static int popcount(uint64_t v) {
    v -= v >> 1 & 0x5555555555555555u;
    v = (v & 0x3333333333333333u) + (v >> 2 & 0x3333333333333333u);
    v = (v + (v >> 4)) & 0x0f0f0f0f0f0f0f0fu;
    return int(v * 0x0101010101010101u >> 56);
  }

  // Bit r of out[i] is bit i of bytes[r].
  static void transpose(const uint8_t* bytes, uint64_t* out) {
    for (int i = 0; i < kCycles; ++i) out[i] = 0;
    for (int b = 0; b < 8; ++b) {
      uint64_t v;
      std::memcpy(&v, bytes + 8 * b, 8);
      v = transpose8(v);
      for (int i = 0; i < kCycles; ++i) out[i] |= (v >> (8 * i) & 0xff) << (8 * b);
    }
  }

  static int lines(const uint64_t* words, int count, const uint16_t* from, uint16_t* out) {
    return driven_lines(words, count, from, out);
  }
};

struct PlainTables {
  // 64 entries of a table.
  static void gather(const int32_t* table, const int32_t* at, int32_t* out) {
    for (int n = 0; n < kColumns; ++n) out[n] = table[at[n]];
  }

  // The same of a table of 16-bit numbers, which another follows.
  static void gather_words(const int16_t* table, const int32_t* at, int32_t* out) {
    for (int n = 0; n < kColumns; ++n) out[n] = table[at[n]];
  }
};

}  // namespace
}  // namespace reram::cpu::RERAM_ISA
