// Speculation: sums that an ADC finds too large are recovered from those of their single bits.
#pragma once

#include "cpu/pack.h"

namespace reram::cpu::RERAM_ISA {
namespace {

// What a slice of a unit came to.
struct Converted {
  int64_t made;      // comparisons of the bit-lines that exist
  uint64_t escaped;  // of them, those whose sums are to be recovered
};

// Bit-line sums of a cycle's single bits, [bits, J, 64].
using BitSums = int32_t[kMaxBits][kSlices * kColumns];

// Recovers the bit-lines `columns` of one slice of a unit in cycle i: adds the levels of their
// bits' sums to the accumulators.
inline void recover(const Job& job, const Scratch& s, const Unit& unit, int i, int j,
                    uint64_t columns, uint32_t sign, const BitSums& sums, uint32_t* into) {
  s.escaped[unit.position * kCycles + i] = 1;
  job.each_bit(i, [&](int d, int phase) {
    const int bit = phase - job.shape.cycles;
    const int bucket = job.tables.bucket_of[s.active[unit.position * kCycles + bit]];
    const int set = job.set(bucket, phase), shift = bit + job.shape.cell_shift[j];
    const int64_t table = job.table(set, j);
    if (table < 0) return;
    int64_t made = 0, count = 0;
    for (uint64_t left = columns; left; left &= left - 1, ++count) {
      const int n = lowest_bit(left);
      const int32_t v = sums[d][j * kColumns + n];
      into[n] += uint32_t(job.tables.levels[table + v]) * sign << shift;
      made += job.tables.comparisons[table + v];
    }
    if (!s.counts) return;
    s.recovered[(bit * kSlices + j) * 2] += made;
    if (job.tables.starts[job.tables.index[set * job.shape.slices + j]])
      s.recovered[(bit * kSlices + j) * 2 + 1] += count;
  });
}

// Counts the recoveries of `count` bit-lines of a slice where no word-line is driven in cycle i.
inline void count_nothing(const Job& job, const Scratch& s, int i, int j, int64_t count) {
  job.each_bit(i, [&](int, int phase) {
    const int bit = phase - job.shape.cycles, set = job.set(0, phase);
    const int64_t table = job.table(set, j);
    if (table < 0) return;
    int64_t* to = s.recovered + (bit * kSlices + j) * 2;
    to[0] += count * job.tables.comparisons[table];
    if (job.tables.starts[job.tables.index[set * job.shape.slices + j]]) to[1] += count;
  });
}

// Counts the tiles that are driven again, since a sum of some bit-line was recovered.
inline void drive_again(const Job& job, const Task& task, const Scratch& s, const Tile& tile) {
  for (int i = 0; i < job.shape.cycles; ++i) {
    bool nothing = false;  // recovers where no word-line is driven
    for (int j = 0; j < job.shape.slices; ++j) {
      const int64_t table = job.table(job.set(0, i), j);
      nothing |= table >= 0 && job.tables.levels[table] == RERAM_ESCAPE;
    }
    job.each_bit(i, [&](int, int phase) {
      const int bit = phase - job.shape.cycles;
      if (nothing) s.again[bit] += tile.empty[i];
      for (int64_t m = 0; m < task.m1 - task.m0; ++m)
        s.again[s.active[m * kCycles + bit] * kCycles + bit] += s.escaped[m * kCycles + i];
    });
    for (int64_t m = 0; m < task.m1 - task.m0; ++m) s.escaped[m * kCycles + i] = 0;
  }
}

}  // namespace
}  // namespace reram::cpu::RERAM_ISA
