// Weight codes to crossbar cells, and the hash by which stale cells are told.
#include <cstring>

#include "cpu/job.h"

namespace reram::cpu {

void program(const reram_problem& p, const int16_t* codes, uint64_t* cells) {
  const Shape shape(p);
  std::memset(cells, 0, size_t(p.groups * shape.group_words()) * sizeof(uint64_t));
  for (int64_t g = 0; g < p.groups; ++g) {
    for (int64_t n = 0; n < p.outputs; ++n) {
      const int16_t* row = codes + (g * p.outputs + n) * shape.depth;
      for (int64_t k = 0; k < shape.depth; ++k) {
        uint64_t* line = cells + g * shape.group_words() +
                         (k / p.rows * shape.blocks + n / kColumns) * shape.block_words() +
                         k % p.rows * kSlices;
        int value = row[k];
        if (p.encoding == RERAM_OFFSET) {
          value += 1 << (p.weight_bits - 1);
        } else if (value < 0) {
          value = -value;
          line += shape.cell_bits * shape.sheet_words();
        }
        for (int j = 0; j < shape.slices; ++j)
          for (int c = 0; c < p.cell_bits[j]; ++c)
            line[c * shape.sheet_words() + j] |= uint64_t(value >> (shape.cell_shift[j] + c) & 1)
                                                 << (n % kColumns);
      }
    }
  }
}

// Eight independent lanes hide the multiplier's latency. The rotation carries a difference in the
// top bit back down, so that sign flips of several words do not cancel.
uint64_t fingerprint(const unsigned char* data, int64_t bytes) {
  constexpr uint64_t kOdd = 0x9e3779b97f4a7c15u;
  auto mix = [](uint64_t h, uint64_t word) {
    h = (h << 29 | h >> 35) ^ word;
    return h * kOdd;
  };
  uint64_t lanes[8] = {1, 2, 3, 4, 5, 6, 7, 8};
  int64_t at = 0;
  for (; at + 64 <= bytes; at += 64) {
    uint64_t words[8];
    std::memcpy(words, data + at, 64);
    for (int k = 0; k < 8; ++k) lanes[k] = mix(lanes[k], words[k]);
  }
  uint64_t tail[8] = {};
  if (at < bytes) std::memcpy(tail, data + at, size_t(bytes - at));
  uint64_t hash = uint64_t(bytes);
  for (int k = 0; k < 8; ++k) hash = mix(mix(hash, tail[k]), lanes[k] ^ lanes[k] >> 32);
  return hash ^ hash >> 32;
}

}  // namespace reram::cpu
