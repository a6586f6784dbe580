// Weight codes to crossbar cells.
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

}  // namespace reram::cpu
