// Floats to codes, as torch rounds them.
#pragma once

#include <cstring>

#include "cpu/job.h"

namespace reram::cpu::RERAM_ISA {
namespace {

constexpr int kFloats = 32;  // of a block: a loop over fewer would take longer
// Adding and subtracting 1.5 * 2^23 rounds to the nearest whole number, halves to even; codes end
// far below it.
constexpr float kRound = 12582912, kFar = 1024, kLargest = 3.40282347e38f;

// For any machine.
struct PlainQuantizer {
  // Codes of a block; false if a number is NaN or infinite.
  static bool codes_of(const float* from, const Quantizer& q, uint8_t* to) {
    bool finite = true;
    for (int k = 0; k < kFloats; ++k) {
      finite &= from[k] <= kLargest && from[k] >= -kLargest;
      float v = from[k] / q.scale;
      v = v > -kFar ? v : -kFar;
      v = v < kFar ? v : kFar;
      v = (v + kRound) - kRound + q.zero;
      v = v > 0 ? v : 0;
      v = v < q.most ? v : q.most;
      to[k] = uint8_t(int(v));
    }
    return finite;
  }
};

template <class Vec>
bool quantize(const float* x, int64_t count, const Quantizer& q, uint8_t* codes) {
  bool finite = true;
  int64_t k = 0;
  for (; k + kFloats <= count; k += kFloats) finite &= Vec::codes_of(x + k, q, codes + k);
  if (k == count) return finite;
  const size_t left = size_t(count - k);
  float from[kFloats] = {};
  uint8_t to[kFloats];
  std::memcpy(from, x + k, left * sizeof(float));
  finite &= Vec::codes_of(from, q, to);
  std::memcpy(codes + k, to, left);
  return finite;
}

}  // namespace
}  // namespace reram::cpu::RERAM_ISA
