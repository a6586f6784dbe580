// Cells or inputs of several bits, and more than 255 driven word-lines: sums take more than a byte.
//
// A cell is a digit, and the digits of a word-line's 64 bit-lines are 64 bytes for each slice: what
// a differential pair subtracts is subtracted before. Bytes add up as many word-lines as they hold,
// then 16 bits, then 32. Sums are looked up in windows of the values that most of them have; a
// table of which a window holds too little, or levels too large for it, is read value by value.
#pragma once

#include "cpu/recovery.h"

namespace reram::cpu::RERAM_ISA {
namespace {

constexpr int kWordLines = 2048;  // 15 times as many fit 16 bits, with their sign

// The digits of one block of one pass: [R + 1, J, 64], the last word-line all zero.
template <class Vec>
void spread_digits(const Job& job, const Pass& pass, const uint64_t* cells, int8_t* digits) {
  const Shape& shape = job.shape;
  const int64_t sheet = shape.sheet_words(), sign = shape.cell_bits * sheet;
  for (int64_t r = 0; r <= shape.height; ++r)
    for (int j = 0; j < shape.slices; ++j, digits += kColumns) {
      const uint64_t* at = cells + r * kSlices + j;
      int8_t sum[kColumns] = {}, bits[kColumns];
      auto add = [&](const uint64_t* from, int by) RERAM_ALWAYS {
        if (!*from) return;
        Vec::spread(*from, bits);  // -1 where a bit is set
        for (int n = 0; n < kColumns; ++n) sum[n] = int8_t(sum[n] + (bits[n] & by));
      };
      for (int c = 0; c < job.p.cell_bits[j]; ++c) {
        add(at + pass.plus * sign + c * sheet, 1 << c);
        if (pass.minus >= 0) add(at + pass.minus * sign + c * sheet, -(1 << c));
      }
      std::memcpy(digits, sum, kColumns);
    }
}

// Adds up to kWordLines word-lines of S slices: [S, 64] sums, which fit 16 bits. `most` word-lines,
// a multiple of four, fit a byte.
template <class Vec, int S, class Byte>
RERAM_ALWAYS inline void add_words(const int8_t* digits, int slices, const uint16_t* lines, int n,
                                   int most, int16_t* words) {
  constexpr int kVectors = S * kColumns / int(sizeof(typename Vec::Bytes));
  std::memset(words, 0, sizeof *words * S * kColumns);
  for (int k = 0; k < n;) {
    typename Vec::Bytes sums[kVectors] = {};
    const int end = n - k < most ? n : k + most;
    for (; k < end; k += 4) {
      const int8_t* four[4];
      for (int q = 0; q < 4; ++q) four[q] = digits + int64_t(lines[k + q]) * slices * kSlices;
#pragma GCC unroll 16
      for (int v = 0; v < kVectors; ++v)
#pragma GCC unroll 4
        for (int q = 0; q < 4; ++q) {
          typename Vec::Bytes line;
          std::memcpy(&line, four[q] + v * sizeof line, sizeof line);
          sums[v] += line;
        }
    }
    alignas(64) Byte bytes[S * kColumns];
    std::memcpy(bytes, sums, sizeof bytes);
    for (int c = 0; c < S * kColumns; ++c) words[c] = int16_t(words[c] + bytes[c]);
  }
}

// Sums of S slices, from slice `first` on, of the word-lines that one bit of a cycle drives, added
// to twice what `sums` holds.
template <class Vec, int S, class Byte>
void add_slices(const Job& job, const int8_t* digits, int first, const uint16_t* lines, int n,
                int32_t* sums) {
  const int largest = Byte(-1) < 0 ? 127 : 255, most = largest / ((1 << job.shape.cell_bits) - 1);
  int32_t* to = sums + first * kColumns;
  for (int c = 0; c < S * kColumns; ++c) to[c] *= 2;
  for (int k = 0; k < n; k += kWordLines) {
    alignas(64) int16_t words[S * kColumns];
    const int count = n - k < kWordLines ? n - k : kWordLines;
    add_words<Vec, S, Byte>(digits + first * kColumns, job.shape.slices, lines + k, count,
                            most & ~3, words);
    for (int c = 0; c < S * kColumns; ++c) to[c] += words[c];
  }
}

// Adds the sums of the word-lines that bit d of a unit drives to twice what `sums` holds.
template <class Vec, class Byte>
void add_bit(const Job& job, const int8_t* digits, const Unit& unit, int d, int32_t* sums) {
  const uint16_t* lines = unit.lines;
  for (int below = 0; below < d; ++below) lines += unit.counts[below];
  const int slices = job.shape.slices, count = unit.counts[d];
  int j = 0;
  for (; j + 4 <= slices; j += 4) add_slices<Vec, 4, Byte>(job, digits, j, lines, count, sums);
  for (; j + 2 <= slices; j += 2) add_slices<Vec, 2, Byte>(job, digits, j, lines, count, sums);
  if (j < slices) add_slices<Vec, 1, Byte>(job, digits, j, lines, count, sums);
}

// The sums of one unit in cycle i, by slice and bit-line; and those of its single bits, where they
// may be asked for.
template <class Vec, class Byte>
void digit_sums(const Job& job, const int8_t* digits, const Unit& unit, int i, int32_t* sums,
                BitSums& of_bits) {
  const size_t size = sizeof *sums * size_t(job.shape.slices * kColumns);
  std::memset(sums, 0, size);
  for (int d = job.p.dac_bits[i] - 1; d >= 0; --d) {
    if (!job.shape.is_recovered(job.p, i)) {
      add_bit<Vec, Byte>(job, digits, unit, d, sums);
      continue;
    }
    std::memset(of_bits[d], 0, size);
    add_bit<Vec, Byte>(job, digits, unit, d, of_bits[d]);
    for (int c = 0; c < job.shape.slices * kColumns; ++c) sums[c] = 2 * sums[c] + of_bits[d][c];
  }
}

// Adds the levels of one slice of a unit to the accumulators of its position, sum by sum.
inline Converted look_up_each(const Job& job, const DigitTable& t, int shift, int columns,
                              const int32_t* sums, uint32_t* into) {
  const int32_t* levels = job.tables.levels + t.table;
  const uint8_t* comparisons = job.tables.comparisons + t.table;
  Converted found = {};
  for (int n = 0; n < columns; ++n) {
    const int32_t low = sums[n] < job.shape.lowest ? job.shape.lowest : sums[n];
    const int32_t inside = low > job.shape.highest ? job.shape.highest : low;
    found.made += comparisons[inside];
    if (inside != sums[n] || levels[inside] == RERAM_ESCAPE)
      found.escaped |= uint64_t(1) << n;
    else
      into[n] += uint32_t(levels[inside]) * t.sign << shift;
  }
  return found;
}

// The same by a window of the table.
template <class Vec>
Converted look_up_slice(const Job& job, const DigitTable& t, int shift, int columns,
                        const int32_t* sums, uint32_t* into) {
  alignas(64) int32_t at[kColumns], found[kColumns];
  uint32_t outside = 0;
  for (int n = 0; n < kColumns; ++n) {
    at[n] = sums[n] - t.first;
    outside |= uint32_t(uint32_t(at[n]) >= t.size);
  }
  if (outside) return look_up_each(job, t, shift, columns, sums, into);
  Vec::gather(t.entries, at, found);
  const uint32_t weight = t.sign << shift;
  int32_t total = 0, escapes = 0;
  for (int n = 0; n < kColumns; ++n) escapes |= int32_t(found[n] >> 8 == kEscapeEntry);
  if (escapes) return look_up_each(job, t, shift, columns, sums, into);
  for (int n = 0; n < kColumns; ++n) {
    into[n] += uint32_t(found[n] >> 8) * weight;
    total += found[n] & (n < columns ? 255 : 0);
  }
  return {total, 0};
}

template <class Vec, class Byte>
void convert_digit_units(const Job& job, const Task& task, const Scratch& s, const Tile& tile,
                         const Pass& pass, int columns, uint32_t* sums) {
  const Shape& shape = job.shape;
  const DigitTable* tables = job.digits[&pass - job.passes];
  const Unit* units = s.units + kWide * (task.m1 - task.m0) * shape.cycles;
  alignas(64) int32_t found[kSlices * kColumns];
  alignas(64) BitSums of_bits;
  for (int i = 0; i < shape.cycles; ++i) {
    int64_t made[kSlices] = {};
    for (int k = tile.ends[i][kWide]; k < tile.ends[i + 1][kWide]; ++k) {
      const Unit& unit = units[k];
      const DigitTable* of_set = tables + unit.set * shape.slices;
      uint32_t constant = 0;
      int looked_up = 0;
      for (int j = 0; j < shape.slices; ++j) {
        const DigitTable& t = of_set[j];
        looked_up += t.size > 0;
        if (t.size) continue;
        constant += t.sign * uint32_t(t.level) << shape.cell_shift[j];
        made[j] += t.made * columns;
      }
      uint32_t* into = sums + int64_t(unit.position) * kColumns;
      if (constant)
        for (int n = 0; n < kColumns; ++n) into[n] += constant << unit.shift;
      if (!looked_up) continue;
      digit_sums<Vec, Byte>(job, s.digits, unit, i, found, of_bits);
      for (int j = 0; j < shape.slices; ++j) {
        if (!of_set[j].size) continue;
        const Converted own = look_up_slice<Vec>(job, of_set[j], unit.shift + shape.cell_shift[j],
                                                 columns, found + j * kColumns, into);
        made[j] += own.made;
        if (own.escaped) recover(job, s, unit, i, j, own.escaped, of_set[j].sign, of_bits, into);
      }
    }
    for (int j = 0; j < shape.slices && s.counts; ++j)
      s.counts[(i * kSlices + j) * kCountLanes] += made[j];
  }
}

// Adds the sums of all units of a tile to the histogram. The slices take turns, so that no two
// consecutive increments are of the same bin.
template <class Vec, class Byte>
void count_digit_units(const Job& job, const Task& task, const Scratch& s, const Tile& tile,
                       int columns) {
  const Shape& shape = job.shape;
  const int64_t values = shape.values();
  const Unit* units = s.units + kWide * (task.m1 - task.m0) * shape.cycles;
  alignas(64) int32_t found[kSlices * kColumns];
  alignas(64) BitSums of_bits;
  auto count = [&](int set, const int32_t* sums) {
    int64_t* bins = s.histogram + set * shape.slices * values - shape.lowest;
    for (int n = 0; n < columns; ++n)
      for (int j = 0; j < shape.slices; ++j) ++bins[j * values + sums[j * kColumns + n]];
  };
  for (int i = 0; i < shape.cycles; ++i)
    for (int k = tile.ends[i][kWide]; k < tile.ends[i + 1][kWide]; ++k) {
      const Unit& unit = units[k];
      digit_sums<Vec, Byte>(job, s.digits, unit, i, found, of_bits);
      for (int c = 0; c < shape.slices * kColumns; ++c) {  // beyond the tables: at their ends
        found[c] = found[c] < shape.lowest ? shape.lowest : found[c];
        found[c] = found[c] > shape.highest ? shape.highest : found[c];
      }
      count(unit.set, found);
      job.each_bit(i, [&](int d, int phase) {
        const int bit = phase - shape.cycles;
        const int active = s.active[unit.position * kCycles + bit];
        count(job.set(job.tables.bucket_of[active], phase), of_bits[d]);
      });
    }
}

// Calls `work(Byte{}, pass)` for every pass, its digits spread; Byte holds some word-lines' sums.
template <class Vec, class Work>
void each_digit_pass(const Job& job, const Scratch& s, const uint64_t* block, const Work& work) {
  for (int q = 0; q < job.pass_count; ++q) {
    const Pass& pass = job.passes[q];
    spread_digits<Vec>(job, pass, block, s.digits);
    pass.minus < 0 ? work(uint8_t{}, pass) : work(int8_t{}, pass);
  }
}

// A set of instructions whose accumulators are in the order of their bit-lines.
template <class Vec>
struct Natural : Vec {
  static int column(int k) { return k; }
};

}  // namespace
}  // namespace reram::cpu::RERAM_ISA
