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

// Of Philox4x32-10.
constexpr int kRounds = 10;
constexpr uint32_t kPhilox0 = 0xd2511f53, kPhilox1 = 0xcd9e8d57;
constexpr uint32_t kWeyl0 = 0x9e3779b9, kWeyl1 = 0xbb67ae85;

RERAM_ANYWHERE RandomWords random_words(uint32_t x0, uint32_t x1, uint32_t x2, uint32_t x3,
                                        uint32_t k0, uint32_t k1) {
  for (int round = 0; round < kRounds; ++round, k0 += kWeyl0, k1 += kWeyl1) {
    const uint64_t a = uint64_t(kPhilox0) * x0, b = uint64_t(kPhilox1) * x2;
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
  double places[kCycles];        // conversions of each cycle in a hazard of one
};

// A conversion that may err, and 31 random bits that say by how much.
struct OddsEvent {
  int32_t cycle, pass, slice, output;
  int64_t number;  // of the conversion in its tile
  int32_t change;
};

RERAM_ANYWHERE int64_t conversions_of(const OddsTile& tile) {
  return tile.outputs * tile.passes * tile.slices;
}

// What each cycle's conversions are in a hazard of one; infinite, and not used, where none errs.
RERAM_ANYWHERE double places_in(int64_t hazard) { return 1.0 / double(hazard); }

// Which position a row of the input is, and of which pass.
RERAM_ANYWHERE void set_position(OddsTile& tile, const reram_odds& odds, int64_t position,
                                 int64_t positions) {
  const int64_t half = positions / odds.passes;
  const bool second = position >= half;
  const uint64_t number = uint64_t(odds.first + position - (second ? half : 0));
  tile.position[0] = uint32_t(number);
  tile.position[1] = uint32_t(number >> 32) | uint32_t(second) << 31;
}

// The conversion of a cycle that lies at `x` from where the cycle begins. `per_output`: 1 /
// outputs.
RERAM_ANYWHERE OddsEvent event_at(const OddsTile& tile, double per_output, int cycle, int64_t x,
                                  uint32_t word) {
  const int32_t each = int32_t(conversions_of(tile));
  const int32_t found = int32_t(double(x) * tile.places[cycle]);
  const int32_t n = found < each ? found : each - 1;
  const int32_t run = int32_t((n + 0.5) * per_output);  // exact: never near a whole number
  const int32_t pass = run >= tile.slices;
  return {cycle,
          pass,
          run - pass * tile.slices,
          n - run * int32_t(tile.outputs),
          int64_t(cycle) * each + n,
          int32_t(word >> 1)};
}

// The shares of a conversion that reads this sum: the first of a column, with steps of `columns`.
struct OddsShares {
  const int32_t* first;
  int64_t columns;
};

RERAM_ANYWHERE OddsShares shares_of(const reram_odds& odds, const OddsTile& tile,
                                    const OddsEvent& at, int32_t sum, int32_t lowest,
                                    int32_t highest) {
  const int kind = odds.kind_of[at.cycle * tile.slices + at.slice];
  const int64_t columns = ((highest - lowest) >> odds.sum_shift) + 1;
  const int64_t row = int64_t(kind) * odds.driven_rows + tile.rows[at.cycle];
  return {odds.shares + row * odds.deltas * columns + ((sum - lowest) >> odds.sum_shift), columns};
}

// Whether a conversion errs.
RERAM_ANYWHERE bool errs(const reram_odds& odds, const OddsShares& shares, const OddsEvent& at) {
  return at.change < shares.first[(odds.deltas - 1) * shares.columns];
}

// What the sum of one that errs is read as, from `lowest` to `highest`.
RERAM_ANYWHERE int32_t read_as(const reram_odds& odds, const OddsShares& shares,
                               const OddsEvent& at, int32_t sum, int32_t lowest, int32_t highest) {
  // Most are off by one: from there.
  const int32_t half = odds.deltas / 2;
  int32_t passed = half;
  while (shares.first[passed * shares.columns] <= at.change) ++passed;
  while (passed && shares.first[(passed - 1) * shares.columns] > at.change) --passed;
  const int32_t v = sum + passed - half + (passed >= half);
  return v < lowest ? lowest : v > highest ? highest : v;
}

}  // namespace reram
