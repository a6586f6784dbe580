// Chips on any machine. Also the plainest statement of what an instruction set supplies to
// chip_kernel.h.
#define RERAM_ISA portable
#include "cpu/chip_kernel.h"
#include "cpu/plain_inputs.h"

namespace reram::cpu::RERAM_ISA {
namespace {

struct PortableChip : PlainInputs, PlainTables {
  using Words __attribute__((vector_size(16))) = uint16_t;
  using Longs __attribute__((vector_size(16))) = uint64_t;

  // Products of the low halves.
  RERAM_ALWAYS static Longs multiply(Longs a, Longs b) {
    return (a & (Longs{} + 0xffffffffu)) * (b & (Longs{} + 0xffffffffu));
  }

  // Whether sums are looked up as bytes.
  static constexpr bool kHasBytes = false;
  static void sweep(int, bool, const ChipSweep&) {}
  static void add_words(const ChipSweep&, bool, const ChipUnit&, const int16_t*, ChipPending&) {}
  static void flush(const ChipBlock&, ChipPending&, int64_t*) {}

  // Copies the conductances of a block, [R, 64], to sheets of 32 columns, [2, R + 1, 32]. Finds the
  // largest above 0 and the largest below, in size, and the largest sums of a column, or 32767
  // where they are not worth knowing.
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

const ChipKernels kChipKernels = {convert_chip<PortableChip>, histogram_chip<PortableChip>};

}  // namespace reram::cpu::RERAM_ISA
