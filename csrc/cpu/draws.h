// Random words for odds, side by side. Of each, in 64 bits, only the lower half counts.
#pragma once

#include "common/odds.h"
#include "cpu/sweep.h"

namespace reram::cpu::RERAM_ISA {
namespace {

struct PlainDraws {
  // Counters x[0 ... 3] become words: Philox4x32-10.
  template <int Count>
  static void philox(uint64_t (*x)[Count], const uint32_t* key) {
    for (int k = 0; k < Count; ++k) {
      const RandomWords words = random_words(uint32_t(x[0][k]), uint32_t(x[1][k]),
                                             uint32_t(x[2][k]), uint32_t(x[3][k]), key[0], key[1]);
      for (int w = 0; w < 4; ++w) x[w][k] = words.v[w];
    }
  }
};

}  // namespace
}  // namespace reram::cpu::RERAM_ISA
