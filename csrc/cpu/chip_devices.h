// From bit-line sums of conductances to what an ADC's tables convert: its gain and offset, noise,
// and mismatch of its thresholds.
#pragma once

#include "cpu/chip.h"
#include "cpu/sweep.h"

namespace reram::cpu::RERAM_ISA {
namespace {

// Columns of a block, in 1/256 of a digit's step.
using Columns = int32_t[kColumns];

// Where the sums of a block in one phase of a position's tile are read.
struct Reading {
  int64_t group, tile, position;
  int phase, driven;
  bool narrow;  // 32 bits hold all that becomes of them
};

// The ADCs of one block in one tile.
struct Adcs {
  alignas(64) Columns gains, offsets;
  alignas(64) int64_t mismatch[kColumns];  // where the sum 0 lies in its table
};

inline void find_adcs(const Job& job, const ChipBlock& block, int64_t g, int64_t t, Adcs& to) {
  to = {};
  const Shape& shape = job.shape;
  const reram_chip& chip = job.chip->given;
  for (int64_t& at : to.mismatch) at = -shape.lowest;  // of columns that do not exist
  const int64_t shared = up(job.p.outputs, chip.columns_per_adc);
  for (int r = 0; r < block.count; ++r) {
    const ChipRun& run = block.runs[r];
    const int64_t unit = int64_t(run.pass) * shape.slices + run.slice;
    const int64_t first = ((unit * job.p.groups + g) * shape.tiles + t) * shared;
    for (int k = 0; k < run.count; ++k) {
      const int64_t adc = first + (run.output + k) / chip.columns_per_adc;
      const int c = run.first + k;
      to.gains[c] = chip.gains ? chip.gains[adc] : 1 << 16;
      to.offsets[c] = chip.offsets ? chip.offsets[adc] : 0;
      to.mismatch[c] = adc * shape.values() - shape.lowest;
    }
  }
}

// Philox4x32-10 of counters that differ in their last word: of each the first two words of the
// result and then, an array further, the others.
template <class Vec>
void philox(const uint32_t* first, const uint32_t* last, int count, const uint32_t* key,
            uint64_t* pairs) {
  using Longs = typename Vec::Longs;  // a word each in their low halves, anything in the others
  constexpr int kLanes = int(sizeof(Longs) / 8), kVectors = 2;
  const Longs none = {}, low = none + 0xffffffffu, even = none + 0xd2511f53u,
              odd = none + 0xcd9e8d57u;
  for (int k = 0; k < count; k += kVectors * kLanes) {
    Longs x[4][kVectors];
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v) {
      for (int w = 0; w < 3; ++w) x[w][v] = none + first[w];
      uint64_t own[kLanes];
      for (int l = 0; l < kLanes; ++l) own[l] = last[k + v * kLanes + l];
      std::memcpy(&x[3][v], own, sizeof own);
    }
    uint32_t k0 = key[0], k1 = key[1];
    for (int round = 0; round < 10; ++round, k0 += 0x9e3779b9, k1 += 0xbb67ae85)
#pragma GCC unroll 2
      for (int v = 0; v < kVectors; ++v) {
        const Longs a = Vec::multiply(even, x[0][v]), b = Vec::multiply(odd, x[2][v]);
        x[0][v] = (b >> 32) ^ x[1][v] ^ (none + k0);
        x[1][v] = b;
        x[2][v] = (a >> 32) ^ x[3][v] ^ (none + k1);
        x[3][v] = a;
      }
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v)
      for (int h = 0; h < 2; ++h) {
        const Longs both = (x[2 * h][v] & low) | x[2 * h + 1][v] << 32;
        std::memcpy(pairs + h * kChipCounters + k + v * kLanes, &both, sizeof both);
      }
  }
}

// A number of the normal law, in 1/4096, from 32 random bits. The outermost of both ends have a
// table of their own.
inline int32_t normal_of(const int16_t* normal, uint32_t x) {
  const uint32_t high = x >> 16, low = x & 65535;
  return high == 0 ? -normal[65536 + low] : high == 65535 ? normal[65536 + low] : normal[high];
}

// The same of many.
template <class Vec>
void normals(const int16_t* normal, const uint32_t* x, int32_t* z) {
  alignas(64) Columns high;
  int32_t outermost = 0;
  for (int c = 0; c < kColumns; ++c) {
    high[c] = int32_t(x[c] >> 16);
    outermost |= ((high[c] + 1) & 65535) < 2;
  }
  Vec::gather_words(normal, high, z);
  for (int c = 0; c < kColumns && outermost; ++c) z[c] = normal_of(normal, x[c]);
}

// Draws 32 random bits for each column.
template <class Vec>
void draw(const Job& job, const ChipBlock& block, const Reading& at, uint32_t* x) {
  const Chip& chip = *job.chip;
  const int64_t half = chip.given.passes == 2 ? job.shape.positions / 2 : job.shape.positions;
  const bool second = at.position >= half;
  const uint64_t number = uint64_t(chip.given.first + at.position - (second ? half : 0));
  const uint32_t first[3] = {
      uint32_t(number), uint32_t(number >> 32) | uint32_t(second) << 31,
      uint32_t((at.group * job.shape.tiles + at.tile) * job.shape.phases + at.phase)};
  alignas(64) uint64_t pairs[2 * kChipCounters], in_order[kColumns / 2];
  philox<Vec>(first, block.counters, block.counter_count, chip.given.key, pairs);
  if (block.in_order) {
    for (int k = 0; k < kColumns / 4; ++k)
      for (int h = 0; h < 2; ++h) in_order[2 * k + h] = pairs[h * kChipCounters + k];
    std::memcpy(x, in_order, sizeof in_order);
  } else {
    for (int c = 0; c < kColumns; ++c)
      x[c] = uint32_t(pairs[block.picks[c] / 2] >> block.picks[c] % 2 * 32);
  }
}

// Where the table of noise has a sum.
RERAM_ALWAYS inline int32_t size_of(const Job& job, int32_t sum) {
  const reram_chip& chip = job.chip->given;
  const int32_t v = (sum + 128) >> 8, last = chip.sigma_columns - 1;
  const int32_t w = v < job.shape.lowest    ? job.shape.lowest
                    : v > job.shape.highest ? job.shape.highest
                                            : v;
  const int32_t q = (w < 0 ? -w : w) >> chip.sigma_shift;
  return q < last ? q : last;
}

RERAM_ALWAYS inline int64_t row_of(const reram_chip& chip, int driven) {
  return int64_t(chip.sigma_of[driven]) * chip.sigma_columns;
}

// Adds noise to all columns.
template <class Vec, class Int>
void add_noise(const Job& job, const Reading& at, const int32_t* sums, const uint32_t* x, Int* b) {
  const reram_chip& chip = job.chip->given;
  alignas(64) Columns z, sigmas, q;
  normals<Vec>(chip.normal, x, z);
  for (int c = 0; c < kColumns; ++c) q[c] = size_of(job, sums[c]);
  Vec::gather(chip.sigmas + row_of(chip, at.driven), q, sigmas);
  for (int c = 0; c < kColumns; ++c) b[c] += (Int(sigmas[c]) * z[c] + (1 << 15)) >> 16;
}

// How many upper halves of a random word, at either end, may make noise that changes what is read
// of any column.
template <class Int>
int32_t words_that_matter(const Job& job, const Reading& at, const int32_t* sums, const Int* b) {
  const reram_chip& chip = job.chip->given;
  int32_t room = 128, size = 0;
  for (int c = 0; c < kColumns; ++c) {
    const int32_t above = int32_t(b[c] + 128) & 255,
                  least = above < 255 - above ? above : 255 - above;
    room = least < room ? least : room;
    const int32_t q = size_of(job, sums[c]);
    size = q > size ? q : size;
  }
  const int64_t sigma = job.chip->strongest[row_of(chip, at.driven) + size];
  const int64_t change = (int64_t(room + 1) << 16) - (1 << 15);
  if (sigma <= 0 || change > sigma << 15) return 0;
  // To the step before, where the quotient of floats is rounded up.
  const int step = int(float(change) / float(sigma) * (0.99999f / kReachStep));
  return job.chip->reaching[step < kReachSteps ? step : kReachSteps - 1];
}

// Adds noise where it changes what is read, if it does so rarely; returns whether that was done.
template <class Vec, class Int>
bool add_rare_noise(const Job& job, const ChipBlock& block, const Reading& at, const int32_t* sums,
                    Int* b) {
  constexpr int32_t kRare = 65536 / 2 / kColumns * 4;  // four columns of a block
  const reram_chip& chip = job.chip->given;
  const int32_t words = words_that_matter(job, at, sums, b);
  if (words > kRare) return false;
  if (!words) return true;
  alignas(64) uint32_t x[kColumns];
  alignas(64) uint8_t matters[kColumns];
  draw<Vec>(job, block, at, x);
  for (int c = 0; c < kColumns; ++c)
    matters[c] = x[c] + (uint32_t(words) << 16) < uint32_t(words) << 17;
  for (int k = 0; k < kColumns; k += 8) {
    uint64_t eight;
    std::memcpy(&eight, matters + k, sizeof eight);
    for (; eight; eight &= eight - 1) {
      const int c = k + lowest_bit(eight) / 8;
      const int64_t z = normal_of(chip.normal, x[c]);
      const int64_t sigma = chip.sigmas[row_of(chip, at.driven) + size_of(job, sums[c])];
      b[c] += Int((sigma * z + (1 << 15)) >> 16);
    }
  }
  return true;
}

// What the thresholds around a sum are wrong by, where all of their tables lie within 32 bits.
template <class Vec>
void add_mismatch(const Job& job, const ChipBlock&, const Adcs& adcs, int32_t* sums) {
  constexpr int32_t kMost = 1 << 30;  // moves any sum beyond the tables
  const int32_t lowest = job.shape.lowest, highest = job.shape.highest;
  alignas(64) Columns at, errors;
  for (int c = 0; c < kColumns; ++c) {
    const int32_t w = (sums[c] + 128) >> 8;
    at[c] = int32_t(adcs.mismatch[c]) + (w < lowest ? lowest : w > highest ? highest : w);
  }
  Vec::gather(job.chip->given.mismatch, at, errors);
  for (int c = 0; c < kColumns; ++c)
    sums[c] += errors[c] < -kMost ? -kMost : errors[c] > kMost ? kMost : errors[c];
}

// The same wherever they lie.
template <class Vec>
void add_mismatch(const Job& job, const ChipBlock& block, const Adcs& adcs, int64_t* sums) {
  const int32_t lowest = job.shape.lowest, highest = job.shape.highest;
  for (int r = 0; r < block.count; ++r)
    for (int c = block.runs[r].first; c < block.runs[r].first + block.runs[r].count; ++c) {
      const int64_t w = (sums[c] + 128) >> 8;
      const int64_t at = adcs.mismatch[c] + (w < lowest ? lowest : w > highest ? highest : w);
      sums[c] += job.chip->given.mismatch[at];
    }
}

// What the tables convert, in numbers of type Int throughout.
template <class Vec, class Int>
void read_errors(const Job& job, const ChipBlock& block, const Adcs& adcs, const Reading& at,
                 const int32_t* sums, int32_t* v) {
  const reram_chip& chip = job.chip->given;
  const int32_t least = job.shape.lowest - 1, most = job.shape.highest + 1;
  alignas(64) Int b[kColumns];
  if (chip.gains)
    for (int c = 0; c < kColumns; ++c)  // gains are close to 1, which multiplies exactly
      b[c] = sums[c] + ((sums[c] * (Int(adcs.gains[c]) - (1 << 16)) + (1 << 15)) >> 16) +
             adcs.offsets[c];
  else
    for (int c = 0; c < kColumns; ++c) b[c] = Int(sums[c]) + adcs.offsets[c];
  if (job.chip->noisy() && (chip.mismatch || !add_rare_noise<Vec>(job, block, at, sums, b))) {
    alignas(64) uint32_t x[kColumns];
    draw<Vec>(job, block, at, x);
    add_noise<Vec>(job, at, sums, x, b);
  }
  if (chip.mismatch) add_mismatch<Vec>(job, block, adcs, b);
  for (int c = 0; c < kColumns; ++c) {
    const Int w = (b[c] + 128) >> 8;
    v[c] = int32_t(w < least ? least : w > most ? most : w);
  }
}

// What the tables convert, from the lowest sum less one to the highest and one: as far as it is
// told whether a sum lies beyond.
template <class Vec>
void read_out(const Job& job, const ChipBlock& block, const Adcs& adcs, const Reading& at,
              const int32_t* sums, int32_t* v) {
  if (!job.chip->plain) {
    at.narrow ? read_errors<Vec, int32_t>(job, block, adcs, at, sums, v)
              : read_errors<Vec, int64_t>(job, block, adcs, at, sums, v);
    return;
  }
  const int32_t least = job.shape.lowest - 1, most = job.shape.highest + 1;
  for (int c = 0; c < kColumns; ++c) {
    const int32_t w = (sums[c] + 128) >> 8;
    v[c] = w < least ? least : w > most ? most : w;
  }
}

}  // namespace
}  // namespace reram::cpu::RERAM_ISA
