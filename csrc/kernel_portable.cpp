// Any machine. Also the plainest statement of what an instruction set supplies to kernel_body.h.
#include "kernel_body.h"

namespace reram {
namespace {

struct Portable {
  static int popcount(uint64_t v) {
    v -= v >> 1 & 0x5555555555555555u;
    v = (v & 0x3333333333333333u) + (v >> 2 & 0x3333333333333333u);
    v = (v + (v >> 4)) & 0x0f0f0f0f0f0f0f0fu;
    return int(v * 0x0101010101010101u >> 56);
  }

  // Bit r of out[i] is bit i of bytes[r].
  static void transpose(const uint8_t* bytes, uint64_t* out) {
    for (int i = 0; i < kCycles; ++i) out[i] = 0;
    for (int r = 0; r < 64; ++r)
      for (int i = 0; i < kCycles; ++i) out[i] |= uint64_t(bytes[r] >> i & 1) << r;
  }

  static int sum(const uint64_t* plus, const uint64_t* minus, const uint64_t* x, int words) {
    int total = 0;
    for (int w = 0; w < words; ++w) {
      total += popcount(x[w] & plus[w * kColumns]);
      if (minus) total -= popcount(x[w] & minus[w * kColumns]);
    }
    return total;
  }

  // The sums of a block, all cycles of a bit-line together.
  static void sums(const uint64_t* plus, const uint64_t* minus, const uint64_t* x, int words,
                   int8_t* out) {
    for (int c = 0; c < kColumns; ++c)
      for (int i = 0; i < kCycles; ++i)
        out[c * kCycles + i] =
            int8_t(sum(plus + c, minus ? minus + c : nullptr, x + i * words, words));
  }

  // Adds the weighed levels of the sweep to its accumulators and returns its comparisons.
  template <int Words, bool Signed, bool Count>
  static int64_t convert(const Sweep& w) {
    int64_t comparisons = 0;
    for (int n = 0; n < w.count; ++n) {
      const uint64_t* x = w.x + w.list[n] * kCycles * Words;
      uint32_t* into = w.sums + w.list[n] * 16;
      for (int c = 0; c < kColumns; ++c) {
        int32_t acc = 0;
        for (int i = 0; i < kCycles; ++i) {
          const uint8_t index =
              uint8_t(sum(w.plus + c, Signed ? w.minus + c : nullptr, x + i * Words, Words));
          acc += w.cycle_weights[i] * w.tables->level[index];
          if (Count) comparisons += w.tables->comparisons[index] & w.counted[c * kCycles + i];
        }
        into[2 * c] += uint32_t(acc) << w.significance;
      }
    }
    return comparisons;
  }
};

}  // namespace

const Kernels kPortableKernels = {convert<Portable>, histogram<Portable>};

}  // namespace reram
