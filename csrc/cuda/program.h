// Weight codes to cells, and cells to words along bit-lines.
#pragma once

#include "cuda/job.h"

namespace reram::cuda {

// One of eight words, chosen without an index, which would put them into memory.
RERAM_DEVICE uint64_t word_of_bit(const uint64_t (&words)[8], int bit) {
  uint64_t found = 0;
  RERAM_UNROLL
  for (int k = 0; k < 8; ++k) found = k == bit ? words[k] : found;
  return found;
}

// One word-line of a block of cells from the codes of 64 bit-lines, with the empty one last. A
// thread each: neighbours read neighbouring codes.
RERAM_DEVICE void program_line(const Job& job, const int16_t* codes, uint64_t* cells,
                               int64_t line) {
  const reram_problem& p = job.p;
  const int64_t lines = job.size.height + 1, r = line % lines,
                block = line / lines % job.size.blocks;
  const int64_t tile = line / (lines * job.size.blocks) % job.size.tiles;
  const int64_t group = line / (lines * job.size.blocks * job.size.tiles), k = tile * p.rows + r;
  uint64_t words[2][8] = {};  // by sign and bit
  const int64_t first = block * kBlock, left = p.outputs - first;
  if (r < job.size.height && k < job.size.depth)
    for (int n = 0; n < (left < kBlock ? int(left) : kBlock); ++n) {
      const int code = codes[(group * p.outputs + first + n) * job.size.depth + k];
      const bool offset = p.encoding == RERAM_OFFSET;
      const uint32_t plus = offset ? code + (1 << (p.weight_bits - 1)) : code > 0 ? code : 0;
      const uint32_t minus = offset || code > 0 ? 0 : -code;
      RERAM_UNROLL
      for (int bit = 0; bit < 8; ++bit) {
        words[0][bit] |= uint64_t(plus >> bit & 1) << n;
        words[1][bit] |= uint64_t(minus >> bit & 1) << n;
      }
    }
  uint64_t* to = cells + (line / lines * job.size.sheets * lines + r) * kSliceLanes;
  RERAM_UNROLL
  for (int sign = 0; sign < 2; ++sign)
    for (int c = 0; c < job.size.cell_bits && sign < job.size.signs; ++c) {
      uint64_t* at = to + (sign * job.size.cell_bits + c) * lines * kSliceLanes;
      for (int j = 0; j < kSliceLanes; ++j)
        at[j] = j < job.size.slices && c < p.cell_bits[j]
                    ? word_of_bit(words[sign], job.size.cell_shift[j] + c)
                    : 0;
    }
}

inline int64_t program_lines(const Job& job) {
  return job.p.groups * job.size.tiles * job.size.blocks * (job.size.height + 1);
}

// The cells of one chunk of 128 word-lines and one slice, a warp each: bits along bit-lines become
// bits along word-lines. A pass of its own, since the many blocks that read a tile would each
// transpose it again; the words are as many as the cells, a small part of a layer's traffic.
RERAM_DEVICE void transpose(const Job& job, uint32_t* words, int64_t task) {
  const int64_t J = job.size.slices, P = job.size.sheets, B = job.size.blocks, C = job.size.chunks;
  const int64_t chunk = task % C, j = task / C % J, sheet = task / (C * J) % P;
  const int64_t block = task / (C * J * P) % B, tile = task / (C * J * P * B);  // of all groups
  const int64_t lines = job.size.height + 1;
  const uint64_t* from = job.in.cells + ((tile * B + block) * P + sheet) * lines * kSliceLanes + j;
  uint32_t* to =
      words + ((((tile * P + sheet) * J + j) * C + chunk) * B + block) * kBlock * kChunkWords;
  for (int q = 0; q < kChunkWords; ++q) {
    PerLane<uint32_t> halves[2];  // 32 bit-lines each
    lanes([&](int lane) {
      const int64_t line = chunk * kChunk + q * kLanes + lane;
      const uint64_t word = line < job.size.height ? read_only(from + line * kSliceLanes) : 0;
      halves[0][lane] = uint32_t(word);
      halves[1][lane] = uint32_t(word >> 32);
    });
    RERAM_UNROLL
    for (int half = 0; half < 2; ++half) {
      transpose_bits(halves[half]);
      lanes([&](int lane) { to[(half * kLanes + lane) * kChunkWords + q] = halves[half][lane]; });
    }
  }
}

// Whether a table makes comparisons, a thread each.
RERAM_DEVICE void find_start(const Job& job, int64_t table) {
  const uint8_t* from = job.in.comparisons + table * job.size.values;
  bool starts = false;
  for (int64_t v = 0; v < job.size.values && !starts; ++v) starts = from[v];
  job.again.starts[table] = starts;
}

inline int64_t transpose_tasks(const Job& job) {
  return transposed_words(job) / (kBlock * kChunkWords);
}

}  // namespace reram::cuda
