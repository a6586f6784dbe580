// What the dispatcher and the kernels of the instruction sets share.
//
// Plain pointers, and functions that are always inlined: a standard container, or any inline
// function, that a file compiled for AVX-512 instantiates could be merged by the linker with the
// portable one and run on machines without it. Kernels do not include C++'s library at all.
#pragma once

#include <cstdint>

#include "common/shape.h"

namespace reram::cpu {

constexpr int kMaxBits = 4;  // of a cell and of a DAC
constexpr int kMaxPasses = 2;
constexpr int kCountLanes = 8;         // parts of a count that are added up at the end
constexpr int kSquare = 16;            // accumulators of as many positions whose order is exchanged
constexpr int kTaskPositions = 64;     // of a task of any other, at most
constexpr int kNarrowPositions = 512;  // of a task of a narrow layer

// Consecutive codes of a position in one tile: those that one copy gathers.
struct Segment {
  int64_t offset;       // of the first from the position's first code
  uint16_t at, length;  // where they go
};

// How the inputs of a position become those of a tile. Codes are gathered in the order of their
// addresses; which word-line each drives is told apart.
struct Gather {
  const int64_t* offsets;   // [K] of each word-line's code from the position's first
  const Segment* segments;  // of all tiles
  const int64_t* first;     // [T + 1] first segment of each tile
  const uint16_t* lines;    // [T, stride] words before the word-line of each gathered code
  int64_t stride;           // of lines: the height, rounded up to words
};

// Integers to a layer's outputs: y = scale * (acc - correction) + bias.
struct Finish {
  float* y;
  const int64_t* strides;     // image, channel, row, column
  const float *scale, *bias;  // [G, N]; the bias may be null
  const int32_t* correction;  // [G, N]
};

// Float inputs to codes: clamp(round(x / scale) + zero, 0, most).
struct Quantizer {
  float scale, zero, most;
};

// One conversion of every bit-line in every cycle.
struct Pass {
  int plus, minus;  // sign of the cells; minus < 0: nothing is subtracted before the conversion
  int sign;         // of the level in the shift-add
};

// A slice's tables for the vector path, by the low 8, 7, 6 and 4 bits of the sum.
struct alignas(64) ByteTables {
  int8_t level8[256], level7[128], level6[64], level4[64];  // sign * level - base; level4 is
                                                            // repeated
  uint8_t comparisons8[256], comparisons7[128], comparisons6[64], comparisons4[64];
};

// Activity buckets of a narrow layer whose tables share the 256 values of a byte: the sums of each
// have a place among them. At 0 lies what other bands convert: level 0 and no comparisons.
struct alignas(64) Band {
  uint8_t place[256];   // of the sum 0, by driven word-lines; repeated every 16 if fewer can be
  uint8_t inside[256];  // 255 if the band converts, else 0; likewise
  int fewest;           // driven word-lines
  int bits;             // of its values: 6, 7 or 8
  const ByteTables* const* tables[kMaxPasses];  // [J][8] of the cycles for each pass
};

struct Input {
  const uint8_t* u;
  Gather gather = {};
};

// The tables as the caller gives them.
struct GivenTables {
  const int32_t* levels = nullptr;
  const uint8_t* comparisons = nullptr;
  const int32_t* index = nullptr;
  const uint8_t* bucket_of = nullptr;  // [R + 1] by driven word-lines
  // What a cycle of weight one adds to every output of a position with no driven word-line, [I].
  const uint32_t* empty_acc = nullptr;
  const uint8_t* starts = nullptr;  // [tables] whether any sum takes a comparison
};

// The tables as bytes, for the vector path.
struct VectorTables {
  const ByteTables* const* tables[kMaxPasses] = {};  // [sets][8] of the slices for each pass
  // Sums (in size) that fit the vector path, with 4, 6 and 7 bits, and at all.
  int most4, most6, most7, most;
  // Significances of two slices side by side, as bytes: those of slices without cells are 0.
  uint16_t weights[kSlices / 2] = {};
  int addends = 1;  // so many conversions' comparisons add up to a byte at most
};

constexpr int32_t kEscapeEntry = -(1 << 23);  // level of an entry whose sum is recovered

// What converts a slice of digits in one cycle and bucket.
struct DigitTable {
  const int32_t* entries;  // 256 * level + comparisons, of the sums from `first` on
  int64_t table;           // where the sum 0 lies in the tables as given, for all others
  int32_t first;
  uint32_t size;  // 0: all sums that can be decode to `level` after `made` comparisons
  int32_t level, made;
  uint32_t sign;  // of the level in the shift-add
};

// For few bit-lines and many positions the roles change: 64 positions are the bits of a word, a
// word-line has a word for each cycle, and a slice of a bit-line is a unit.
struct NarrowTables {
  // [J][8] tables of the cycles for each pass; null: not this way.
  const ByteTables* const* tables[kMaxPasses] = {};
  // Of a layer with differential cells or several activity buckets, and of any histogram; null: not
  // this way.
  const Band* bands = nullptr;
  int band_count = 0;
  uint32_t acc = 0;  // what a tile adds to every output to undo the base of the byte tables
};

struct Choice;
struct Chip;
struct ChipUnit;

// A cycle of a chip without cells that drives so many word-lines.
struct OddsCycle {
  int64_t hazard;  // of all its conversions
  double places;   // see OddsTile
  int32_t set;     // of the tables
  uint8_t row;     // of hazards and shares
};

// A chip without cells.
struct Odds {
  reram_odds given;
  const OddsCycle* cycles;  // [I, R + 1]
};

// A problem with everything that the kernels look up.
struct Job {
  Job(const reram_problem& p, const uint8_t* u, const uint64_t* cells);
  // The tables of one activity bucket in one cycle, or for one recovered bit.
  RERAM_ALWAYS int set(int bucket, int phase) const { return bucket * shape.phases + phase; }
  // Where the sum 0 lies in the tables; negative: not converted.
  RERAM_ALWAYS int64_t table(int set, int slice) const {
    const int32_t table = tables.index[set * shape.slices + slice];
    return table < 0 ? -1 : table * shape.values() - shape.lowest;
  }
  // Whether sums take more than a byte, or may be recovered.
  RERAM_ALWAYS bool has_digits() const {
    return !shape.is_one_bit() || shape.height > 255 || shape.recoveries;
  }
  // Calls `work(d, phase)` for the bits that recover what a cycle converts, if any.
  template <class Work>
  RERAM_ALWAYS void each_bit(int cycle, const Work& work) const {
    if (!shape.is_recovered(p, cycle)) return;
    const int first = shape.dac_shift[cycle];
    for (int d = 0; d < p.dac_bits[cycle] && first + d < p.input_bits; ++d)
      work(d, shape.cycles + first + d);
  }
  RERAM_ALWAYS bool is_narrow() const { return narrow.tables[0] || narrow.bands; }
  // Whether an instruction set may add word-lines up in nibbles.
  RERAM_ALWAYS bool has_nibbles() const {
    return p.isa == RERAM_AVX2 && !has_digits() && passes[0].minus < 0;
  }

  const reram_problem& p;
  Shape shape;
  Pass passes[kMaxPasses];
  int pass_count = 0;
  const uint64_t* cells;
  Input input;
  GivenTables tables;
  VectorTables vector;
  NarrowTables narrow;
  const DigitTable* digits[kMaxPasses] = {};  // [sets][J] of each pass
  const Choice* choices = nullptr;            // [I, R + 1]; null with digits
  bool affine = false;                        // results are products of codes
  const Finish* finish = nullptr;             // null: integers are wanted
  const Chip* chip = nullptr;                 // devices that are not ideal: see chip.h
  const Odds* odds = nullptr;                 // how conversions err, while results are corrected
  bool any_sum = false;                       // devices may make any sum of another
};

// A part of the work: positions [m0, m1) and blocks [b0, b1) of one group.
struct Task {
  int64_t group, m0, m1, b0, b1;
};

// How a unit is worked out: in as many planes as hold any of its sums; or in nibbles, with sums
// below 16, 32, 48, 64 and 128.
enum Path { kWide, kFour, kSix, kSeven, kEight, kNibbles, kPaths = kNibbles + 5 };

// What becomes of a cycle of a position that drives so many word-lines of a tile.
struct Choice {
  uint32_t constant;      // is added to every output of the position
  uint16_t set;           // of the tables
  uint8_t path, nibbles;  // of its unit, without and with those of nibbles; kPaths: there is none
  uint8_t live;           // the lowest pair of slices that is looked up
};

// One cycle of one position in one tile, with at least one driven word-line.
struct Unit {
  int32_t position;
  int32_t reach;              // its driven word-lines
  uint16_t set, shift;        // its significance is 2^shift
  uint16_t counts[kMaxBits];  // of the word-lines that each bit of the cycle drives, padded to
                              // multiples of four, in `lines` one after the other
  int32_t start;              // of its sums: less the word-lines that a narrow unit subtracts
  const uint16_t* lines;      // each by the words of its block before it
};

// One thread's memory, allocated by the dispatcher. C = positions of a task at most. A narrow layer
// uses `inputs` as [signs, R + 1, 8], `units` as [J, N], `sums` as [strips of 64 positions, N, 64],
// and `bins` as [bands, J, 256, 8].
struct Scratch {
  const uint8_t** codes;  // [C] first input code of each position
  int64_t* places;        // [C] where its first output lies in `Finish::y`
  uint8_t* row;           // [64 W] codes of one position in one tile
  uint64_t* inputs;       // [C, 8, W] bit planes of one tile's inputs
  uint16_t* active;       // [C, 8] word-lines that each plane drives
  Unit* units;            // [kPaths, C * I] of one tile, by path
  uint16_t* lines;        // [C * I * D * (R + 4) + 128] their driven word-lines
  uint64_t* cells;        // of one block in the order of Vec::arrange; or `inputs`
  int8_t* digits;         // [R + 1, J, 64] of one block and pass, or null
  uint64_t* nibbles;      // of one sign of a block as Vec::expand leaves them, or null
  uint8_t* rows;          // of an affine layer, [C, 64 W] codes of one tile, and its weights as
  uint8_t* weights;       // Vec::interleave leaves them
  uint32_t* constant;     // [C] what is added to every output of a position
  uint32_t* sums;         // [blocks of a task, C, 64] accumulators, in the order of Vec::column
  // Null without counting.
  int64_t* counts;  // [8, 8, lanes] comparisons by cycle and slice; of a narrow layer by slice and
                    // cycle: what a sweep adds to lies together
  uint8_t* made;    // [8, 8, 64] comparisons not yet added to them, by bit-line, as Vec wants them
  int* pending;     // [8] so many units' are
  int64_t* recovered;  // [8, 8, 2] by bit and slice: comparisons, and conversions that started
  int64_t* again;      // [R + 1, 8] tiles driven again, by driven word-lines and bit
  uint8_t* escaped;    // [C, 8] whether any sum of a position's cycle was recovered in this tile
  int64_t* driven;     // [R + 1, 8] tiles of positions by driven word-lines and cycle; of a narrow
                       // layer [256, 8]
  int64_t* histogram;  // [sets, J, V], or null
  int64_t* bins;       // [sets, 256, 8] by set, low byte of the sum, and slice, or null
  // Of a chip, which uses `sums` as [C, N] with N rounded up to blocks.
  ChipUnit* chip_units;   // [I, C] of one tile
  int16_t* conductances;  // [2, R + 1, 32] of one block, the last word-line empty
  int16_t* chip_levels;   // [C, 64] of a tile and block, added up over the cycles
  // Of odds: the cells of one tile by bit-line, [blocks, P, J, 64, W], along `inputs`.
  uint64_t* columns;
};

void program(const reram_problem& p, const int16_t* codes, uint64_t* cells);

struct ChipKernels {
  void (*convert)(const Job&, const Task&, const Scratch&, int32_t* acc);
  void (*histogram)(const Job&, const Task&, const Scratch&);
};

struct Kernels {
  void (*convert)(const Job&, const Task&, const Scratch&, int32_t* acc);
  void (*convert_narrow)(const Job&, const Task&, const Scratch&, int32_t* acc);
  void (*convert_product)(const Job&, const Task&, const Scratch&, int32_t* acc);
  void (*histogram)(const Job&, const Task&, const Scratch&);
  void (*histogram_narrow)(const Job&, const Task&, const Scratch&);
  // Changes results and comparisons, or a histogram, by the conversions that err.
  void (*correct)(const Job&, const Task&, const Scratch&, int32_t* acc);
  void (*correct_histogram)(const Job&, const Task&, const Scratch&);
  // False if a number is NaN or infinite.
  bool (*quantize)(const float* x, int64_t count, const Quantizer&, uint8_t* codes);
  uint64_t (*fingerprint)(const unsigned char* data, int64_t bytes);
};

namespace portable {
extern const Kernels kKernels;
extern const ChipKernels kChipKernels;
}  // namespace portable
#ifdef RERAM_X86
namespace avx2 {
extern const Kernels kKernels;
extern const ChipKernels kChipKernels;
}  // namespace avx2
namespace avx512 {
extern const Kernels kKernels;
extern const ChipKernels kChipKernels;
}  // namespace avx512
#endif

}  // namespace reram::cpu
