// Chips without cells: which conversions of a tile may err, and by how much. Every backend draws
// the same.
#pragma once

#include "api/reram_crossbar.h"
#include "common/shape.h"

#ifdef __CUDACC__
#define RERAM_ANYWHERE __host__ __device__ __forceinline__
#else
#define RERAM_ANYWHERE RERAM_ALWAYS inline
#endif

namespace reram {

constexpr int kWaits = 1 << 12;  // entries of the table of waits

struct RandomWords {
  uint32_t v[4];
};

// Philox4x32-10.
RERAM_ANYWHERE RandomWords random_words(uint32_t x0, uint32_t x1, uint32_t x2, uint32_t x3,
                                        uint32_t k0, uint32_t k1) {
  for (int round = 0; round < 10; ++round, k0 += 0x9e3779b9, k1 += 0xbb67ae85) {
    const uint64_t a = uint64_t(0xd2511f53) * x0, b = uint64_t(0xcd9e8d57) * x2;
    x0 = uint32_t(b >> 32) ^ x1 ^ k0;
    x1 = uint32_t(b);
    x2 = uint32_t(a >> 32) ^ x3 ^ k1;
    x3 = uint32_t(a);
  }
  return {{x0, x1, x2, x3}};
}

// An exponential wait. Beyond the table's last entry it begins anew, twice at most.
RERAM_ANYWHERE int64_t wait_of(const int64_t* waits, const RandomWords& x) {
  int64_t wait = 0;
  for (int k = 0; k < 3; ++k) {
    const uint32_t at = x.v[k] >> 20, f = x.v[k] & 0xfffff;
    if (at < kWaits - 1) return wait + waits[at] + ((waits[at + 1] - waits[at]) * f >> 20);
    wait += waits[kWaits - 1];
  }
  return wait;
}

// A tile of a position and group.
struct OddsTile {
  int cycles, passes, slices;  // of its conversions, slices fastest, each of all outputs
  int64_t outputs;
  uint32_t position[2], number;  // words of the counters of its draws
  uint8_t rows[kCycles];         // of hazards and shares, by cycle
  int64_t hazards[kCycles];      // of all conversions of each cycle
};

// A conversion that may err, and 31 random bits that say by how much.
struct OddsEvent {
  int cycle, pass, slice;
  int64_t output;
  int32_t change;
};

RERAM_ANYWHERE int64_t hazard_of(const reram_odds& odds, const OddsTile& tile, int i, int j) {
  return odds.hazards[odds.kind_of[i * tile.slices + j] * odds.driven_rows + tile.rows[i]];
}

// Which position a row of the input is, and of which pass.
RERAM_ANYWHERE void set_position(OddsTile& tile, const reram_odds& odds, int64_t position,
                                 int64_t positions) {
  const int64_t half = positions / odds.passes;
  const bool second = position >= half;
  const uint64_t number = uint64_t(odds.first + position - (second ? half : 0));
  tile.position[0] = uint32_t(number);
  tile.position[1] = uint32_t(number >> 32) | uint32_t(second) << 31;
}

// Calls `read(event)` for each conversion of a tile that may err, in order. `draw(e)`: the words of
// event e.
template <class Draw, class Read>
RERAM_ANYWHERE void each_event(const reram_odds& odds, const OddsTile& tile, Draw&& draw,
                               const Read& read) {
  int64_t total = 0;
  for (int i = 0; i < tile.cycles; ++i) total += tile.hazards[i];
  if (!total) return;
  int64_t x = 0, start = 0, cycle = 0;  // where the run and its cycle begin
  OddsEvent at = {};
  for (uint32_t event = 0;; ++event) {
    const RandomWords words = draw(event);
    x += wait_of(odds.waits, words);
    if (x >= total) return;
    while (x >= cycle + tile.hazards[at.cycle]) {
      start = cycle += tile.hazards[at.cycle++];
      at.pass = at.slice = 0;
    }
    int64_t each = hazard_of(odds, tile, at.cycle, at.slice);
    while (x >= start + each * tile.outputs) {
      start += each * tile.outputs;
      if (++at.slice == tile.slices) {
        at.slice = 0;
        ++at.pass;
      }
      each = hazard_of(odds, tile, at.cycle, at.slice);
    }
    at.output = (x - start) / each;
    at.change = int32_t(words.v[3] >> 1);
    read(at);
    x = start + (at.output + 1) * each;
  }
}

// What a sum is read as, from `lowest` to `highest`.
RERAM_ANYWHERE int32_t read_as(const reram_odds& odds, const OddsTile& tile, const OddsEvent& at,
                               int32_t sum, int32_t lowest, int32_t highest) {
  const int kind = odds.kind_of[at.cycle * tile.slices + at.slice];
  const int64_t columns = ((highest - lowest) >> odds.sum_shift) + 1;
  const int64_t row = int64_t(kind) * odds.driven_rows + tile.rows[at.cycle];
  const int32_t* shares =
      odds.shares + (row * columns + ((sum - lowest) >> odds.sum_shift)) * odds.deltas;
  int32_t passed = 0;
  for (int d = 0; d < odds.deltas; ++d) passed += shares[d] <= at.change;
  const int32_t half = odds.deltas / 2;
  if (passed == odds.deltas) return sum;
  const int32_t v = sum + passed - half + (passed >= half);
  return v < lowest ? lowest : v > highest ? highest : v;
}

}  // namespace reram
