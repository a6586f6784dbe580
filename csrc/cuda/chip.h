// Chips, whose devices are not ideal: the plainest kernel that is exact. A thread has an output of
// a group and adds its bit-lines' conductances up, for a few positions at once.
#pragma once

#include "common/odds.h"
#include "cuda/body.h"

namespace reram::cuda {

constexpr int kChipPositions = 4;  // of a block: what is read of a bit-line serves them all
constexpr int kPhases = 16;        // cycles and recovered bits, at most
constexpr int kChipCounts = kPhases + kSliceLanes;

struct ChipJob {
  Job job;
  reram_chip chip;
  int64_t columns;         // blocks of 64 bit-lines of a group's tile
  int64_t quads, adcs;     // of the outputs of a slice, for noise and in a tile
  int64_t strips, groups;  // of outputs, and of positions
  int64_t items;           // a strip of a group of positions each
  int32_t warps;           // of a block: 32 outputs each
};

inline void divide(ChipJob& c) {
  const Sizes& size = c.job.size;
  c.columns = up(int64_t(size.passes) * size.slices * c.job.p.outputs, kBlock);
  c.warps = int32_t(std::min<int64_t>(up(c.job.p.outputs, kLanes), kMaxWarps));
  c.quads = up(c.job.p.outputs, 4);
  c.adcs = up(c.job.p.outputs, c.chip.columns_per_adc);
  c.strips = up(c.job.p.outputs, c.warps * kLanes);
  c.groups = up(size.positions, kChipPositions);
  c.items = c.job.p.groups * c.groups * c.strips;
}

// A block's shared memory, [positions, ...].
struct ChipShared {
  RERAM_DEVICE ChipShared(char* m)
      : made(reinterpret_cast<int64_t*>(m)),
        driven(reinterpret_cast<int32_t*>(made + kChipCounts * kSliceLanes)),
        total(reinterpret_cast<uint32_t*>(driven + kChipPositions * kPhases)),
        bucket(reinterpret_cast<uint8_t*>(total + kChipPositions)),
        codes(bucket + kChipPositions * kPhases) {}
  static int64_t bytes(int64_t height) {
    return kChipCounts * kSliceLanes * 8 + kChipPositions * (kPhases * 5 + 4 + height);
  }
  int64_t* made;    // [I + 2 R, 8]
  int32_t* driven;  // [., phases] word-lines
  uint32_t* total;  // [.] sum of all codes
  uint8_t* bucket;  // [., phases] of activity
  uint8_t* codes;   // [., R] of the tile's inputs
};

// What a block works on at the moment.
struct ChipItem {
  RERAM_DEVICE ChipItem(const ChipJob& c, int64_t item)
      : strip(item % c.strips),
        first(item / c.strips % c.groups * kChipPositions),
        group(item / c.strips / c.groups) {}
  RERAM_DEVICE int64_t output(const ChipJob& c, int thread) const {
    return strip * c.warps * kLanes + thread;
  }
  RERAM_DEVICE bool holds(const ChipJob& c, int p) const {
    return first + p < c.job.size.positions;
  }
  int64_t strip, first, group;
};

// --- inputs ---

RERAM_DEVICE void load_codes(const ChipJob& c, const ChipShared& s, const ChipItem& item,
                             int64_t tile, int thread, int threads) {
  const Job& job = c.job;
  const int first = int(tile * job.p.rows), left = job.size.depth - first;
  const int height = left < job.p.rows ? left : job.p.rows, mask = (1 << job.p.input_bits) - 1;
  for (int k = thread; k < kChipPositions * job.size.height; k += threads) {
    const int p = k / job.size.height, r = k % job.size.height;
    const bool exists = item.holds(c, p) && r < height;
    const int64_t at = exists ? position_offset(job.p, item.first + p) +
                                    item.group * job.p.u_stride_group +
                                    depth_offset(job.p, uint32_t(first + r))
                              : 0;
    s.codes[k] = exists ? uint8_t(read_only(job.in.u + at) & mask) : uint8_t(0);
  }
}

// The bits of a code that a phase applies.
RERAM_DEVICE int phase_mask(const Job& job, int phase) {
  if (phase >= job.size.cycles) return 1 << (phase - job.size.cycles);
  return ((1 << job.p.dac_bits[phase]) - 1) << job.size.dac_shift[phase] & 255;
}

// Driven word-lines and activity buckets, a thread for each position and phase.
RERAM_DEVICE void take_chip_stock(const ChipJob& c, const ChipShared& s, const ChipItem& item,
                                  int64_t tile, int thread, int threads) {
  const Job& job = c.job;
  for (int k = thread; k < kChipPositions * job.size.phases; k += threads) {
    const int p = k / job.size.phases, phase = k % job.size.phases;
    const int mask = phase_mask(job, phase);
    int driven = 0, bucket = 0;
    uint32_t total = 0;
    for (int r = 0; r < job.size.height; ++r) {
      const int code = s.codes[p * job.size.height + r];
      driven += (code & mask) != 0;
      total += uint32_t(code & mask);
    }
    while (bucket + 1 < job.p.buckets && read_only(job.in.edges + bucket + 1) <= driven) ++bucket;
    s.driven[p * kPhases + phase] = driven;
    s.bucket[p * kPhases + phase] = uint8_t(bucket);
    if (phase < job.size.cycles) add(s.total + p, total);
    if (!job.out.driven || item.strip || !item.holds(c, p)) continue;
    if (phase < job.size.cycles) {
      add(job.out.driven + phase * (job.p.rows + 1) + driven, int64_t(1));
    } else if (job.again.active) {
      const int64_t at = tile_position(job, item.group, tile, item.first + p);
      job.again.active[at * kSliceLanes + phase - job.size.cycles] = uint16_t(driven);
    }
  }
}

// --- what ADCs read ---

// One bit-line's sums of each position by input bit.
struct ChipSums {
  int32_t v[kChipPositions][kSliceLanes];
};

RERAM_DEVICE void add_up(const ChipJob& c, const ChipShared& s, const ChipItem& item, int64_t tile,
                         int64_t column, ChipSums& to) {
  const Sizes& size = c.job.size;
  const int64_t block = (item.group * size.tiles + tile) * c.columns + column / kBlock;
  const int16_t* from = c.chip.conductances + block * size.height * kBlock + column % kBlock;
  RERAM_UNROLL
  for (int p = 0; p < kChipPositions; ++p) RERAM_UNROLL
  for (int b = 0; b < kSliceLanes; ++b) to.v[p][b] = 0;
  for (int r = 0; r < size.height; ++r) {
    const int32_t g = read_only(from + int64_t(r) * kBlock);
    RERAM_UNROLL
    for (int p = 0; p < kChipPositions; ++p) {
      const int code = s.codes[p * size.height + r];
      RERAM_UNROLL
      for (int b = 0; b < kSliceLanes; ++b) to.v[p][b] += g & -(code >> b & 1);
    }
  }
}

// The sum of a phase from those of its bits.
RERAM_DEVICE int32_t phase_sum(const Job& job, int phase, const int32_t* of_bits) {
  const int mask = phase_mask(job, phase);
  int32_t sum = 0;
  RERAM_UNROLL
  for (int b = kSliceLanes - 1; b >= 0; --b)
    if (mask >> b & 1) sum = 2 * sum + of_bits[b];
  return sum;
}

// One bit-line of a tile, and its ADC.
struct BitLine {
  int64_t group, tile, unit, output;  // unit: sign and slice
};

RERAM_DEVICE int64_t noise_of(const ChipJob& c, const BitLine& line, int64_t position, int phase,
                              int driven, int32_t rounded) {
  const Sizes& size = c.job.size;
  const int64_t half = size.positions / c.chip.passes;
  const bool second = position >= half;
  const uint64_t number = uint64_t(c.chip.first + position - (second ? half : 0));
  const RandomWords words =
      random_words(uint32_t(number), uint32_t(number >> 32) | uint32_t(second) << 31,
                   uint32_t((line.group * size.tiles + line.tile) * size.phases + phase),
                   uint32_t(line.unit * c.quads + line.output / 4), c.chip.key[0], c.chip.key[1]);
  const int word = int(line.output % 4);  // no index, which would put them into memory
  const uint32_t x = word == 0   ? words.v[0]
                     : word == 1 ? words.v[1]
                     : word == 2 ? words.v[2]
                                 : words.v[3];
  const uint32_t high = x >> 16, tail = 65536 + (x & 65535);
  const int64_t z = high == 0       ? -int64_t(read_only(c.chip.normal + tail))
                    : high == 65535 ? int64_t(read_only(c.chip.normal + tail))
                                    : int64_t(read_only(c.chip.normal + high));
  const int32_t q = (rounded < 0 ? -rounded : rounded) >> c.chip.sigma_shift;
  const int32_t last = c.chip.sigma_columns - 1;
  const int64_t at = int64_t(read_only(c.chip.sigma_of + driven)) * c.chip.sigma_columns;
  return (read_only(c.chip.sigmas + at + (q < last ? q : last)) * z + (1 << 15)) >> 16;
}

RERAM_DEVICE int32_t inside(const Sizes& size, int64_t v) {
  const int64_t highest = size.lowest + size.values - 1;
  return int32_t(v < size.lowest ? size.lowest : v > highest ? highest : v);
}

// The sum that an ADC tells, beyond the tables by one at most.
RERAM_DEVICE int32_t read_out(const ChipJob& c, const BitLine& line, int64_t position, int phase,
                              int driven, int32_t sum) {
  const Sizes& size = c.job.size;
  const int64_t adc =
      ((line.unit * c.job.p.groups + line.group) * size.tiles + line.tile) * c.adcs +
      line.output / c.chip.columns_per_adc;
  int64_t b = sum;
  if (c.chip.gains) b = (b * read_only(c.chip.gains + adc) + (1 << 15)) >> 16;
  if (c.chip.offsets) b += read_only(c.chip.offsets + adc);
  if (c.chip.normal)
    b += noise_of(c, line, position, phase, driven, inside(size, (sum + 128) >> 8));
  if (c.chip.mismatch)
    b +=
        read_only(c.chip.mismatch + adc * size.values + inside(size, (b + 128) >> 8) - size.lowest);
  const int64_t v = (b + 128) >> 8;
  const int32_t near = inside(size, v);
  return near + (v > near) - (v < near);
}

}  // namespace reram::cuda
