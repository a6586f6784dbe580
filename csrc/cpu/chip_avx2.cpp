// Chips.
#define RERAM_ISA avx2

#include "cpu/avx2_inputs.h"
#include "cpu/chip_kernel.h"

namespace reram::cpu::RERAM_ISA {
namespace {

struct Avx2Chip : Avx2Inputs {
  using Words __attribute__((vector_size(32))) = uint16_t;
  static constexpr bool kHasBytes = false;
  static void sweep(int, bool, const ChipSweep&) {}
  static void load(const int16_t* from, int64_t height, int16_t* to, int32_t* most, int32_t* sums) {
    constexpr int kHalf = kColumns / 2;
    for (int64_t r = 0; r < height; ++r)
      for (int c = 0; c < kColumns; ++c, ++from) {
        to[(c / kHalf * (height + 1) + r) * kHalf + c % kHalf] = *from;
        most[0] = *from > most[0] ? *from : most[0];
        most[1] = -*from > most[1] ? -*from : most[1];
      }
    sums[0] = sums[1] = 32767;
  }
};

}  // namespace

const ChipKernels kChipKernels = {convert_chip<Avx2Chip>, histogram_chip<Avx2Chip>};

}  // namespace reram::cpu::RERAM_ISA
