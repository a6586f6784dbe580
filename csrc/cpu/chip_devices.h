// From bit-line sums of conductances to what an ADC's tables convert: its gain and offset, noise,
// and mismatch of its thresholds.
#pragma once

#include "cpu/chip.h"
#include "cpu/sweep.h"

namespace reram::cpu::RERAM_ISA {
namespace {

// Columns of a block, in 1/256 of a digit's step.
using Columns = int32_t[kColumns];

// Where a phase of a tile reads its noise from, and what its ADCs add to it.
struct Reading {
  int64_t group, tile, position;
  int phase, driven;
};

// The ADCs of one block in one tile.
struct Adcs {
  alignas(64) int64_t gains[kColumns], offsets[kColumns];
  const int32_t* mismatch[kColumns];  // where the sum 0 lies
};

inline void find_adcs(const Job& job, const ChipBlock& block, int64_t g, int64_t t, Adcs& to) {
  const Shape& shape = job.shape;
  const reram_chip& chip = job.chip->given;
  const int64_t shared = up(job.p.outputs, chip.columns_per_adc);
  for (int r = 0; r < block.count; ++r) {
    const ChipRun& run = block.runs[r];
    const int64_t unit = int64_t(run.pass) * shape.slices + run.slice;
    const int64_t first = ((unit * job.p.groups + g) * shape.tiles + t) * shared;
    for (int k = 0; k < run.count; ++k) {
      const int64_t adc = first + (run.output + k) / chip.columns_per_adc;
      const int c = run.first + k;
      to.gains[c] = chip.gains ? chip.gains[adc] : 0;
      to.offsets[c] = chip.offsets ? chip.offsets[adc] : 0;
      to.mismatch[c] =
          chip.mismatch ? chip.mismatch + adc * shape.values() - shape.lowest : nullptr;
    }
  }
}

// Philox4x32-10 of counters that differ in their last word: [4, kChipCounters] words.
inline void philox(const uint32_t* first, const uint32_t* last, int count, const uint32_t* key,
                   uint32_t (*words)[kChipCounters]) {
  constexpr int kLanes = 16;
  for (int k = 0; k < count; k += kLanes) {
    alignas(64) uint32_t x[4][kLanes];
    for (int l = 0; l < kLanes; ++l) {
      for (int w = 0; w < 3; ++w) x[w][l] = first[w];
      x[3][l] = last[k + l];
    }
    uint32_t k0 = key[0], k1 = key[1];
    for (int round = 0; round < 10; ++round, k0 += 0x9e3779b9, k1 += 0xbb67ae85)
      for (int l = 0; l < kLanes; ++l) {
        const uint64_t a = uint64_t(0xd2511f53) * x[0][l], b = uint64_t(0xcd9e8d57) * x[2][l];
        x[0][l] = uint32_t(b >> 32) ^ x[1][l] ^ k0;
        x[1][l] = uint32_t(b);
        x[2][l] = uint32_t(a >> 32) ^ x[3][l] ^ k1;
        x[3][l] = uint32_t(a);
      }
    for (int w = 0; w < 4; ++w) std::memcpy(words[w] + k, x[w], sizeof x[w]);
  }
}

// A number of the normal law, in 1/4096, from 32 random bits: the tails have a table of their own.
inline int32_t normal_of(const int16_t* normal, uint32_t x) {
  const uint32_t high = x >> 16;
  if (high == 0) return -normal[65536 + (x & 65535)];
  return high == 65535 ? normal[65536 + (x & 65535)] : normal[high];
}

// Draws a number of the normal law for each column.
template <class Vec>
void draw(const Job& job, const ChipBlock& block, const Reading& at, Columns z) {
  const Chip& chip = *job.chip;
  const int64_t half = chip.given.passes == 2 ? job.shape.positions / 2 : job.shape.positions;
  const bool second = at.position >= half;
  const uint64_t number = uint64_t(chip.given.first + at.position - (second ? half : 0));
  const uint32_t first[3] = {
      uint32_t(number), uint32_t(number >> 32) | uint32_t(second) << 31,
      uint32_t((at.group * job.shape.tiles + at.tile) * job.shape.phases + at.phase)};
  alignas(64) uint32_t words[4][kChipCounters];
  philox(first, block.counters, block.counter_count, chip.given.key, words);
  for (int c = 0; c < kColumns; ++c) z[c] = normal_of(chip.given.normal, words[0][block.picks[c]]);
}

// Noise, in 1/256 of a step; the sums tell how strong it is.
template <class Vec>
void add_noise(const Job& job, const ChipBlock& block, const Reading& at, const Columns sums,
               int64_t* to) {
  const reram_chip& chip = job.chip->given;
  const int32_t lowest = job.shape.lowest, highest = job.shape.highest;
  const int32_t* sigmas = chip.sigmas + int64_t(chip.sigma_of[at.driven]) * chip.sigma_columns;
  alignas(64) Columns z, sigma;
  draw<Vec>(job, block, at, z);
  for (int c = 0; c < kColumns; ++c) {
    int32_t w = (sums[c] + 128) >> 8;
    w = w < lowest ? lowest : w > highest ? highest : w;
    const int32_t q = (w < 0 ? -w : w) >> chip.sigma_shift;
    sigma[c] = sigmas[q < chip.sigma_columns ? q : chip.sigma_columns - 1];
  }
  for (int c = 0; c < kColumns; ++c) to[c] += (int64_t(sigma[c]) * z[c] + (1 << 15)) >> 16;
}

// What the tables convert, from the lowest sum less one to the highest and one: as far as it is
// told whether a sum lies beyond.
template <class Vec>
void read_out(const Job& job, const ChipBlock& block, const Adcs& adcs, const Reading& at,
              const Columns sums, Columns v) {
  const reram_chip& chip = job.chip->given;
  const int32_t least = job.shape.lowest - 1, most = job.shape.highest + 1;
  if (job.chip->plain) {
    for (int c = 0; c < kColumns; ++c) {
      const int32_t w = (sums[c] + 128) >> 8;
      v[c] = w < least ? least : w > most ? most : w;
    }
    return;
  }
  alignas(64) int64_t b[kColumns];
  for (int c = 0; c < kColumns; ++c)
    b[c] = (chip.gains ? (sums[c] * adcs.gains[c] + (1 << 15)) >> 16 : sums[c]) + adcs.offsets[c];
  if (job.chip->noisy()) add_noise<Vec>(job, block, at, sums, b);
  if (chip.mismatch) {
    for (int r = 0; r < block.count; ++r)
      for (int c = block.runs[r].first; c < block.runs[r].first + block.runs[r].count; ++c) {
        const int64_t w = (b[c] + 128) >> 8;
        b[c] += adcs.mismatch[c][w <= least ? least + 1 : w >= most ? most - 1 : w];
      }
  }
  for (int c = 0; c < kColumns; ++c) {
    const int64_t w = (b[c] + 128) >> 8;
    v[c] = int32_t(w < least ? least : w > most ? most : w);
  }
}

}  // namespace
}  // namespace reram::cpu::RERAM_ISA
