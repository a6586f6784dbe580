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

// Numbers of the normal law, in 1/4096, from 32 random bits each. The outermost of both ends have a
// table of their own.
template <class Vec>
void normals(const int16_t* normal, const uint32_t* x, int32_t* z) {
  alignas(64) Columns high;
  int32_t outermost = 0;
  for (int c = 0; c < kColumns; ++c) {
    high[c] = int32_t(x[c] >> 16);
    outermost |= ((high[c] + 1) & 65535) < 2;
  }
  Vec::gather_words(normal, high, z);
  for (int c = 0; c < kColumns && outermost; ++c) {
    const int32_t tail = normal[65536 + (x[c] & 65535)];
    if (high[c] == 0) z[c] = -tail;
    if (high[c] == 65535) z[c] = tail;
  }
}

// Draws a number of the normal law for each column.
template <class Vec>
void draw(const Job& job, const ChipBlock& block, const Reading& at, int32_t* z) {
  const Chip& chip = *job.chip;
  const int64_t half = chip.given.passes == 2 ? job.shape.positions / 2 : job.shape.positions;
  const bool second = at.position >= half;
  const uint64_t number = uint64_t(chip.given.first + at.position - (second ? half : 0));
  const uint32_t first[3] = {
      uint32_t(number), uint32_t(number >> 32) | uint32_t(second) << 31,
      uint32_t((at.group * job.shape.tiles + at.tile) * job.shape.phases + at.phase)};
  alignas(64) uint64_t pairs[2 * kChipCounters], in_order[kColumns / 2];
  alignas(64) uint32_t x[kColumns];
  philox<Vec>(first, block.counters, block.counter_count, chip.given.key, pairs);
  if (block.in_order) {
    for (int k = 0; k < kColumns / 4; ++k)
      for (int h = 0; h < 2; ++h) in_order[2 * k + h] = pairs[h * kChipCounters + k];
    std::memcpy(x, in_order, sizeof x);
  } else {
    for (int c = 0; c < kColumns; ++c)
      x[c] = uint32_t(pairs[block.picks[c] / 2] >> block.picks[c] % 2 * 32);
  }
  normals<Vec>(chip.given.normal, x, z);
}

// How strong noise is on each column.
template <class Vec>
void find_sigmas(const Job& job, const Reading& at, const int32_t* sums, int32_t* sigmas) {
  const reram_chip& chip = job.chip->given;
  const int32_t lowest = job.shape.lowest, highest = job.shape.highest;
  const int32_t last = chip.sigma_columns - 1, shift = chip.sigma_shift;
  alignas(64) Columns q;
  for (int c = 0; c < kColumns; ++c) {
    int32_t w = (sums[c] + 128) >> 8;
    w = w < lowest ? lowest : w > highest ? highest : w;
    w = (w < 0 ? -w : w) >> shift;
    q[c] = w < last ? w : last;
  }
  Vec::gather(chip.sigmas + int64_t(chip.sigma_of[at.driven]) * chip.sigma_columns, q, sigmas);
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
  if (job.chip->noisy()) {
    alignas(64) Columns z, sigmas;
    draw<Vec>(job, block, at, z);
    find_sigmas<Vec>(job, at, sums, sigmas);
    for (int c = 0; c < kColumns; ++c) b[c] += (Int(sigmas[c]) * z[c] + (1 << 15)) >> 16;
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
