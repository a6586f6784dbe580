// What the dispatcher and the kernels of the instruction sets share.
//
// Plain pointers only: a standard container instantiated in a file compiled for AVX-512 could be
// merged by the linker with the portable one and run on machines without it.
#pragma once

#include <cstdint>

#include "reram_crossbar.h"

namespace reram {

constexpr int kColumns = 8;                     // bit-lines of one block: one 64-bit lane each
constexpr int kCycles = 8;                      // cycles of one vector: one byte of the lane each
constexpr int kBlockSums = kColumns * kCycles;  // bytes of one vector
constexpr int kMaxWords = 2;                    // words of word-lines that the vector path takes
constexpr int kMaxActive = 127;  // driven word-lines whose sums fit the byte tables' index

// Sizes that follow from a problem.
struct Shape {
  explicit Shape(const reram_problem& p);
  int64_t values() const { return int64_t(highest) - lowest + 1; }
  int64_t block_words() const { return int64_t(planes) * words * kColumns; }
  int64_t group_words() const { return tiles * blocks * block_words(); }

  int64_t tiles, blocks;
  int slices, cycles, planes, words;
  int32_t lowest, highest;  // of the bit-line sum
};

// One conversion of every bit-line in every cycle: a slice, or one sign of it (dual).
struct Pass {
  int slice, table;
  int plus, minus;   // first plane; minus < 0: nothing is subtracted before the conversion
  int sign;          // of the level in the shift-add
  int significance;  // log2 of the slice's weight
};
constexpr int kMaxPasses = 16;

// A pass's tables by the low byte of the sum, for the vector path.
struct alignas(64) ByteTables {
  int8_t level[256];  // sign * level - base
  uint8_t comparisons[256];
  int32_t base;
};

// A problem with everything that the kernels look up.
struct Job {
  Job(const reram_problem& p, const uint8_t* u, const uint64_t* cells);
  // False if the tables could overflow the accumulator.
  bool set_tables(const int32_t* levels, const uint8_t* comparisons);
  int32_t zero_comparisons(const Pass& pass) const {
    return comparisons[pass.table * shape.values() - shape.lowest];
  }

  const reram_problem& p;
  Shape shape;
  const uint8_t* u;
  const uint64_t* cells;
  const int32_t* levels = nullptr;
  const uint8_t* comparisons = nullptr;
  Pass passes[kMaxPasses];
  int pass_count = 0;
  ByteTables bytes[kMaxPasses];
  bool vector_path;  // the geometry (and the tables, once set) fit the vector path
  // What a tile adds to every output of a position: with no driven word-line at all, and to undo
  // the base of the byte tables.
  uint32_t empty_tile_acc = 0, vector_tile_acc = 0;
};

// A part of the work: positions [m0, m1) and blocks [b0, b1) of one group.
struct Task {
  int64_t group, m0, m1, b0, b1;
};

// How a tile of one position is worked out.
enum TilePath : uint8_t { kEmpty, kVector, kGeneral };

// One thread's memory, allocated by the dispatcher. C = positions of a task at most.
struct Scratch {
  uint8_t* row;        // [K + 64] codes of one position
  uint64_t* planes;    // [T, C, 8, W] bit planes of the input
  int32_t* lists;      // [T, C] vector positions from the front, general ones from the back
  int32_t* vectors;    // [T] how many of the first,
  int32_t* generals;   // [T] and of the second
  uint32_t* constant;  // [C] what is added to every output of a position
  uint32_t* sums;      // [C, 16] accumulators of one block, two for each bit-line
  int64_t* counts;     // [J] comparisons, or null
  int64_t* histogram;  // [I, J, V], or null
};

void program(const reram_problem& p, const int8_t* codes, uint64_t* cells);
uint64_t fingerprint(const unsigned char* data, int64_t bytes);

struct Kernels {
  void (*convert)(const Job&, const Task&, const Scratch&, int32_t* acc);
  void (*histogram)(const Job&, const Task&, const Scratch&);
};

extern const Kernels kPortableKernels;
#ifdef RERAM_X86
extern const Kernels kAvx2Kernels;
extern const Kernels kAvx512Kernels;
#endif

}  // namespace reram
