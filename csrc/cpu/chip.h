// Chips: arrays whose devices are not ideal. A bit-line sum is one of conductances, in 1/256 of a
// digit's step; what gains, offsets, noise and mismatch make of it is rounded to the sum that the
// ADC's tables convert.
//
// Columns c = (s * J + j) * N + n are all bit-lines of a group: of sign s of an output's cells,
// slice j and output n, in blocks of 64.
#pragma once

#include "cpu/job.h"

namespace reram::cpu {

constexpr int kChipRuns = kMaxPasses * kSlices + 1;  // of a block, at most
constexpr int kChipCounters = 64;  // of the noise of a block, at most: a multiple of all lanes
constexpr int kReachStep = 8, kReachSteps = 32768 / kReachStep;
constexpr int kReaches = 3;  // how far byte tables reach, and so kinds of units
constexpr int32_t kReach[kReaches] = {127, 63, 31};

// Columns of a block that belong to one slice and sign, and so to consecutive outputs.
struct alignas(64) ChipRun {
  uint8_t packed[kColumns];  // 255 at its columns in the order in which bytes are packed, else 0
  int64_t output;            // of its first column
  int first, count;          // columns
  int slice, pass;
};

// Columns of a block of all tiles and groups.
struct ChipBlock {
  const ChipRun* runs;
  int count;
  uint8_t slices;  // bits of those that it has columns of
  // The last words of the noise's counters, padded with any, and which word of which result each
  // column takes: the first two of a result lie side by side, the others kChipCounters pairs
  // further.
  const uint32_t* counters;
  const uint16_t* picks;
  int counter_count;
  bool in_order;  // column c takes word c % 4 of result c / 4
};

// What converts the sums of an activity bucket in one cycle.
struct ChipSet {
  uint32_t constant;  // is added to every output of a position, before the cycle's significance
  uint8_t live;       // bits of the slices whose levels or comparisons depend on the sum
  uint8_t reach;      // index of kReach; kReaches: byte tables do not serve all of its slices
};

struct Chip {
  reram_chip given;
  const ChipBlock* blocks;  // [C]
  int64_t count;            // C
  const ChipSet* sets;      // [sets], of cycles
  // [sets][8] tables for bytes, and what they take off the level.
  const ByteTables* const* bytes[kMaxPasses];
  const uint32_t* bases[kMaxPasses];
  int addends;  // so many conversions' comparisons add up to a byte at most
  bool plain;   // nothing but conductances is not ideal
  // Sums up to so large in size take 32 bits to the end; 0: none.
  int64_t narrow;
  // Of noise: its strongest up to a size of the sum, [D, Q], and how many upper halves of a random
  // word, at either end, make numbers of the normal law that reach a multiple of kReachStep.
  const int32_t *strongest, *reaching;

  RERAM_ALWAYS bool noisy() const { return given.normal != nullptr; }
};

// One cycle of one position in one tile, whether it drives any word-line or not.
struct ChipUnit {
  int32_t position;
  int32_t driven;
  uint16_t set;
  uint16_t counts[kMaxBits];  // as those of a Unit
  uint8_t live;               // that of its set
  const uint16_t* lines;
};

}  // namespace reram::cpu
