// Sizes that follow from a problem, the same for every backend.
#pragma once

#include "api/reram_crossbar.h"
#include "common/integers.h"

namespace reram {

constexpr int kColumns = 64;  // bit-lines of one block: the bits of a word
constexpr int kSlices = 8;    // words of a word-line: one for each slice
constexpr int kCycles = 8;    // input bits that a code can have

struct Shape {
  explicit Shape(const reram_problem& p)
      : positions(p.positions[0] * p.positions[1] * p.positions[2]),
        depth(p.depth[0] * p.depth[1] * p.depth[2]),
        tiles(up(depth, p.rows)),
        blocks(up(p.outputs, kColumns)),
        height(depth < p.rows ? depth : p.rows),
        slices(p.slices),
        cycles(p.cycles),
        signs(p.encoding == RERAM_OFFSET ? 1 : 2),
        cell_bits(place(p.cell_bits, slices, cell_shift)),
        dac_bits(place(p.dac_bits, cycles, dac_shift)),
        recoveries(p.speculation ? p.input_bits : 0),
        phases(cycles + recoveries),
        sheets(signs * cell_bits),
        words(int(up(height, 64))),
        highest(largest(p, (1 << cell_bits) - 1, (1 << dac_bits) - 1)),
        lowest(p.encoding == RERAM_DIFFERENTIAL ? -highest : 0) {}

  // Whether what a cycle converts may be recovered.
  RERAM_ALWAYS bool is_recovered(const reram_problem& p, int cycle) const {
    return recoveries > 0 && p.dac_bits[cycle] > 1;
  }
  RERAM_ALWAYS bool is_one_bit() const { return cell_bits == 1 && dac_bits == 1; }
  RERAM_ALWAYS int64_t values() const { return int64_t(highest) - lowest + 1; }
  // One bit of all cells of one sign of a block: [R + 1, 8], the last word-line empty.
  RERAM_ALWAYS int64_t sheet_words() const { return (height + 1) * kSlices; }
  RERAM_ALWAYS int64_t block_words() const { return sheets * sheet_words(); }
  RERAM_ALWAYS int64_t group_words() const { return tiles * blocks * block_words(); }

  int64_t positions, depth;       // M and K
  int64_t tiles, blocks, height;  // height: word-lines of the tallest tile
  int slices, cycles, signs;
  int cell_shift[kSlices], dac_shift[kCycles];  // bits below those of a slice and of a cycle
  int cell_bits, dac_bits;                      // of the widest
  int recoveries, phases;                       // R, and I + R: cycles and then recovered bits
  int sheets, words;
  int32_t highest, lowest;  // of the bit-line sum

 private:
  // The largest bit-line sum that tables hold: with speculation, what an ADC of 16 bits tells.
  static int32_t largest(const reram_problem& p, int cell, int pulse) {
    const int32_t sum = int32_t(p.rows) * cell * pulse;
    const int32_t most = p.encoding == RERAM_DIFFERENTIAL ? (1 << 15) - 1 : (1 << 16) - 1;
    return p.speculation && sum > most ? most : sum;
  }

  // The bits below each of `count` groups of bits; returns the widest.
  static int place(const int32_t* widths, int count, int* shift) {
    int below = 0, widest = 0;
    for (int k = 0; k < count; below += widths[k++]) {
      shift[k] = below;
      widest = widths[k] > widest ? widths[k] : widest;
    }
    return widest;
  }
};

}  // namespace reram
