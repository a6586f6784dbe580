// Products of codes, for tables that decode every sum to itself (see affine.h): no sums are told
// apart, and no bit planes but those that counting driven word-lines takes.
#pragma once

#include "cpu/kernel.h"

namespace reram::cpu::RERAM_ISA {
namespace {

// For any machine.
struct PlainProduct {
  // One bit of each of 64 bytes from each word.
  static void gather_bits(const uint64_t* words, uint8_t* out) { slice_sums(words, 1, out); }

  // Codes of four word-lines as `multiply` reads them.
  static constexpr int kWeightBytes = 1;
  static void interleave(const int8_t (*codes)[kColumns], uint8_t* weights) {
    std::memcpy(weights, codes, 4 * kColumns);
  }

  // Adds products of `count` rows of codes, `stride` apart, to the accumulators; `fours` times four
  // word-lines.
  static void multiply(const uint8_t* rows, int64_t stride, int64_t count, int64_t fours,
                       const uint8_t* weights, uint32_t* sums) {
    for (int64_t m = 0; m < count; ++m, rows += stride, sums += kColumns)
      for (int64_t k = 0; k < 4 * fours; ++k) {
        if (!rows[k]) continue;
        const uint8_t* line = weights + k * kColumns;
        for (int n = 0; n < kColumns; ++n) sums[n] += uint32_t(rows[k] * int8_t(line[n]));
      }
  }
};

// The codes of a word-line's weights less their centers, as they were before programming, [64], in
// two parts: what a byte holds, and the rest. Returns whether there is a rest.
template <class Vec>
bool read_codes(const Job& job, const uint64_t* block, int64_t line, int8_t* codes, int8_t* rest) {
  const Shape& shape = job.shape;
  uint8_t stored[2][kColumns] = {};
  for (int s = 0; s < shape.signs; ++s) {
    const uint64_t* cells = block + s * shape.cell_bits * shape.sheet_words() + line * kSlices;
    uint64_t words[8] = {};
    for (int j = 0; j < shape.slices; ++j)
      for (int c = 0; c < job.p.cell_bits[j] && shape.cell_shift[j] + c < 8; ++c)
        words[shape.cell_shift[j] + c] = cells[c * shape.sheet_words() + j];
    Vec::gather_bits(words, stored[s]);
  }
  const int offset = job.p.encoding == RERAM_OFFSET ? 1 << (job.p.weight_bits - 1) : 0;
  int beyond = 0;
  for (int n = 0; n < kColumns; ++n) {
    const int code = stored[0][n] - stored[1][n] - offset;
    const int part = code < -128 ? -128 : code > 127 ? 127 : code;
    codes[n] = int8_t(part);
    rest[n] = int8_t(code - part);
    beyond |= rest[n];
  }
  return beyond != 0;
}

// The codes of a tile's inputs, [C, 64 W], zero beyond the last.
inline void gather_rows(const Job& job, const Task& task, const Scratch& s, int64_t t) {
  const int64_t stride = 64 * job.shape.words, left = job.shape.depth - t * job.p.rows;
  const int64_t height = left < job.p.rows ? left : job.p.rows;
  const uint8_t mask = uint8_t((1u << job.p.input_bits) - 1);
  for (int64_t m = 0; m < task.m1 - task.m0; ++m) {
    uint8_t* row = s.rows + m * stride;
    gather_codes(job, t, s.codes[m], row);
    std::memset(row + height, 0, size_t(stride - height));
    if (mask != 255)
      for (int64_t k = 0; k < height; ++k) row[k] &= mask;
  }
}

// Adds to the counts how many word-lines each cycle of a position drives.
template <class Vec>
void tally_rows(const Job& job, const Task& task, const Scratch& s) {
  const Shape& shape = job.shape;
  const int words = shape.words;
  for (int64_t m = 0; m < task.m1 - task.m0; ++m) {
    int driven[kCycles] = {};
    for (int w = 0; w < words; ++w) {
      uint64_t planes[kCycles];
      Vec::transpose(s.rows + (m * words + w) * 64, planes);
      for (int i = 0; i < shape.cycles; ++i) {
        uint64_t any = 0;
        for (int bit = 0; bit < job.p.dac_bits[i] && shape.dac_shift[i] + bit < kCycles; ++bit)
          any |= planes[shape.dac_shift[i] + bit];
        driven[i] += Vec::popcount(any);
      }
    }
    for (int i = 0; i < shape.cycles; ++i) ++s.driven[driven[i] * kCycles + i];
  }
}

// Adds the products of a tile with one of its blocks to the accumulators.
template <class Vec>
void multiply_block(const Job& job, const Scratch& s, int64_t count, int64_t height,
                    const uint16_t* line_of, const uint64_t* block, uint32_t* sums) {
  const int64_t part = up(height, 4) * 4 * kColumns * Vec::kWeightBytes;
  bool any_rest = false;
  for (int64_t k = 0; k < height; k += 4) {
    alignas(64) int8_t codes[4][kColumns] = {}, rest[4][kColumns] = {};
    for (int64_t r = k; r < k + 4 && r < height; ++r)
      any_rest |= read_codes<Vec>(job, block, line_of[r] / kSlices, codes[r - k], rest[r - k]);
    uint8_t* to = s.weights + k * Vec::kWeightBytes * kColumns;
    Vec::interleave(codes, to);
    Vec::interleave(rest, to + part);
  }
  for (int q = 0; q < (any_rest ? 2 : 1); ++q)
    Vec::multiply(s.rows, 64 * job.shape.words, count, up(height, 4), s.weights + q * part, sums);
}

template <class Vec>
void convert_product(const Job& job, const Task& task, const Scratch& s, int32_t* acc) {
  const Shape& shape = job.shape;
  const int64_t count = task.m1 - task.m0, block_sums = count * kColumns;
  std::memset(s.sums, 0, size_t((task.b1 - task.b0) * block_sums) * sizeof(uint32_t));
  std::memset(s.constant, 0, size_t(count) * sizeof(uint32_t));
  locate(job, task, s);
  for (int64_t t = 0; t < shape.tiles; ++t) {
    const int64_t left = shape.depth - t * job.p.rows;
    gather_rows(job, task, s, t);
    if (s.driven && task.b0 == 0) tally_rows<Vec>(job, task, s);
    for (int64_t b = task.b0; b < task.b1; ++b)
      multiply_block<Vec>(job, s, count, left < job.p.rows ? left : job.p.rows,
                          job.input.gather.lines + t * job.input.gather.stride,
                          block_of(job, task, t, b), s.sums + (b - task.b0) * block_sums);
  }
  for (int64_t k = 0; k < (task.b1 - task.b0) * block_sums; ++k) s.sums[k] *= uint32_t(job.p.unit);
  finish_task<Vec>(job, task, s, acc);
}

}  // namespace
}  // namespace reram::cpu::RERAM_ISA
