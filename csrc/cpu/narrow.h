// Few bit-lines and many positions: depthwise layers, and the first layers of small networks.
//
// A block of 64 bit-lines would be mostly empty, so positions and bit-lines exchange their roles:
// the bits of a word are 64 positions, a word-line has a word for each cycle, and the cells of one
// slice of a bit-line say which word-lines are counted. The same sums come out of the same loops.
#pragma once

#include "cpu/kernel.h"

namespace reram::cpu::RERAM_ISA {
namespace {

// Significances of two cycles side by side.
constexpr uint16_t kCycleWeights[kSlices / 2] = {0x0201, 0x0804, 0x2010, 0x8040};

// Each word-line of both signs, as units list them.
struct EveryLine {
  constexpr EveryLine() : lines() {
    for (int r = 0; r < kCount; ++r) lines[r] = uint16_t(r * kSlices);
  }
  static constexpr int kCount = 2 * 256 + kColumns;
  uint16_t lines[kCount];
};
constexpr EveryLine kEveryLine;

// Lists the word-lines that have a cell of slice j set, for up to eight bit-lines from `column`,
// after those that are listed already.
template <class Vec>
void join_lines(const uint64_t* cells, int height, int j, int column, const uint16_t* line_of,
                uint16_t* const* lines, int* counts, int columns) {
  uint64_t joined[kCycles][4];
  const int words = (height + 63) / 64;
  for (int w = 0; w < words; ++w) {
    uint8_t bytes[64] = {};
    uint64_t of_column[kCycles];
    const int rows = height - 64 * w < 64 ? height - 64 * w : 64;
    for (int r = 0; r < rows; ++r) bytes[r] = uint8_t(cells[(64 * w + r) * kSlices + j] >> column);
    Vec::transpose(bytes, of_column);
    for (int n = 0; n < columns; ++n) joined[n][w] = of_column[n];
  }
  for (int n = 0; n < columns; ++n)
    counts[n] += Vec::lines(joined[n], words, line_of, lines[n] + counts[n]);
}

// The word-lines that each bit-line of a tile joins, as units by slice: [J, N]. Returns the most.
// A subtracted word-line is one whose input is inverted, less one.
template <class Vec>
int narrow_units(const Job& job, const uint64_t* block, const Pass& pass, const Scratch& s) {
  const Shape& shape = job.shape;
  const int outputs = int(job.p.outputs), height = int(shape.height);
  int most = 0;
  for (int j = 0; j < shape.slices; ++j) {
    for (int n = 0; n < outputs; n += 8) {
      const int columns = outputs - n < 8 ? outputs - n : 8, first = j * outputs + n;
      uint16_t* lines[8];
      int plus[8] = {}, counts[8] = {};
      for (int k = 0; k < columns; ++k)
        lines[k] = s.lines + (first + k) * (shape.signs * shape.height + kColumns);
      auto join = [&](int sign, const uint16_t* line_of) {
        join_lines<Vec>(block + sign * shape.sheet_words(), height, j, n, line_of, lines, counts,
                        columns);
      };
      join(pass.plus, kEveryLine.lines);
      std::memcpy(plus, counts, sizeof plus);
      if (pass.minus >= 0) join(pass.minus, kEveryLine.lines + height + 1);
      for (int k = 0; k < columns; ++k) {
        most = counts[k] > most ? counts[k] : most;
        const int count = pad_lines(height, lines[k], counts[k]);
        s.units[first + k] = {
            n + k,   count, uint16_t(j), uint16_t(j), {uint16_t(count)}, plus[k] - counts[k],
            lines[k]};
      }
    }
  }
  return most;
}

// Bits of 64 positions' inputs to one tile, [R + 1, 8], and the same inverted if any are
// subtracted; adds the inputs up for the offset, unless `constant` is null.
template <class Vec>
void narrow_inputs(const Job& job, const Task& task, const Scratch& s, int64_t t,
                   int first_position, int positions, uint32_t* constant) {
  const reram_problem& p = job.p;
  const int64_t first = t * p.rows, depth = job.shape.depth;
  const int64_t height = depth - first < p.rows ? depth - first : p.rows;
  const uint8_t mask = uint8_t((1u << p.input_bits) - 1);
  const Runs runs(task.m0 + first_position, positions, p.positions[2], p.u_stride_position[2] == 1);
  std::memset(s.inputs, 0, size_t(job.shape.sheet_words()) * sizeof(uint64_t));
  for (int64_t r = 0; r < height; ++r) {
    alignas(64) uint8_t codes[kColumns];
    Vec::load_codes(s.codes + first_position, job.input.gather.offsets[first + r], runs, codes);
    for (uint8_t& code : codes) code &= mask;
    Vec::transpose(codes, s.inputs + r * kSlices);
    if (p.encoding == RERAM_OFFSET && constant)
      for (int m = 0; m < positions; ++m) constant[m] -= codes[m] * offset_of_one(p);
  }
  const int64_t words = job.shape.sheet_words();
  if (p.encoding == RERAM_DIFFERENTIAL)
    for (int64_t k = 0; k < words; ++k) s.inputs[words + k] = ~s.inputs[k];
}

// Results of up to 64 positions: `sums` by bit-line and position.
template <class Vec>
void finish_strip(const Job& job, const Task& task, const Scratch& s, int first, uint32_t* sums,
                  const uint32_t* constant, int32_t* acc) {
  const int outputs = int(job.p.outputs), left = int(task.m1 - task.m0) - first;
  const int count = left < kColumns ? left : kColumns;
  const bool together = job.finish && job.finish->strides[3] == 1;
  const Runs runs(task.m0 + first, count, job.p.positions[2], together);
  for (int n = 0; n < outputs; ++n, sums += kColumns) {
    const int64_t channel = task.group * outputs + n;
    alignas(64) uint32_t room[kColumns];
    const uint32_t* sorted = Vec::in_order(sums, room);
    if (const Finish* f = job.finish) {
      const uint32_t correction = uint32_t(f->correction[channel]);
      const float scale = f->scale[channel], bias = f->bias ? f->bias[channel] : 0;
      float y[kColumns], *out = f->y + channel * f->strides[1];
      for (int m = 0; m < kColumns; ++m)
        y[m] = float(int32_t(sorted[m] + constant[m] - correction)) * scale + bias;
      for (int k = 0; k < runs.count; ++k) {
        const int start = runs.start[k];
        std::memcpy(out + s.places[first + start], y + start,
                    size_t(runs.start[k + 1] - start) * sizeof(float));
      }
    } else {
      int32_t* out = acc + (task.m0 + first) * job.p.groups * outputs + channel;
      for (int m = 0; m < count; ++m)
        out[m * job.p.groups * outputs] = int32_t(sorted[m] + constant[m]);
    }
  }
}

template <class Convert>
inline void sweep_slices(const Job& job, const Scratch& s, Sweep w, const Convert& convert) {
  for (int j = 0; j < job.shape.slices; ++j, w.units += w.count) {
    w.count_into(s, j, w.columns == ~uint64_t(0));
    convert(w);
  }
}

template <class Vec, int N, bool Count>
void convert_planes(int bits, const Sweep& w) {
  if (bits == 6)
    Vec::template convert<N, 6, false, true, Count>(w);
  else if (bits == 7)
    Vec::template convert<N, 7, false, true, Count>(w);
  else
    Vec::template convert<N, 8, false, true, Count>(w);
}

// A band has room for every sum of its path.
template <class Vec, bool Count>
void convert_band(int path, int bits, const Sweep& w) {
  if (path == kFour)
    convert_planes<Vec, 4, Count>(bits, w);
  else if (path == kSix)
    convert_planes<Vec, 6, Count>(bits, w);
  else
    convert_planes<Vec, 8, Count>(bits < 7 ? 7 : bits, w);
}

// All word-lines of a tile, as a unit: its sums are how many drive each of 64 positions in each
// cycle.
struct AllLines {
  explicit AllLines(int height) : unit{0, height, 0, 0, {}, 0, lines} {
    std::memcpy(lines, kEveryLine.lines, size_t(height) * sizeof *lines);
    unit.counts[0] = uint16_t(pad_lines(height, lines, height));
  }
  uint16_t lines[256 + 4];
  Unit unit;
};

template <class Vec>
void count_driven(const Job& job, const Scratch& s, Sweep w, uint8_t* driven) {
  const AllLines all(int(job.shape.height));
  w.plus = s.inputs;
  if (job.shape.height < 16)
    Vec::template driven_bytes<4>(w, all.unit, driven);
  else if (job.shape.height < 64)
    Vec::template driven_bytes<6>(w, all.unit, driven);
  else
    Vec::template driven_bytes<8>(w, all.unit, driven);
}

// Adds to the counts how many of the positions are driven by so many word-lines.
template <class Vec>
void tally_driven(const Job& job, const Scratch& s, Sweep w) {
  const AllLines all(int(job.shape.height));
  w.plus = s.inputs;
  w.units = &all.unit;
  w.count = 1;
  w.bins = s.driven;
  if (job.shape.height < 16)
    Vec::template tally<4>(w);
  else if (job.shape.height < 64)
    Vec::template tally<6>(w);
  else
    Vec::template histogram<8, false>(w);
}

template <class Vec>
void look_up_driven(const Job& job, const uint8_t* table, const uint8_t* driven, uint8_t* out) {
  if (job.shape.height < 16)
    Vec::template look_up_all<4>(table, driven, out);
  else if (job.shape.height < 64)
    Vec::template look_up_all<6>(table, driven, out);
  else
    Vec::template look_up_all<8>(table, driven, out);
}

constexpr int kStripSums = kCycles * kColumns;

// In loops that compilers turn into vector instructions.
inline uint8_t largest(const uint8_t* bytes) {
  uint8_t most[kColumns];
  std::memcpy(most, bytes, sizeof most);
  for (int i = 1; i < kCycles; ++i)
    for (int m = 0; m < kColumns; ++m) {
      const uint8_t byte = bytes[i * kColumns + m];
      most[m] = byte > most[m] ? byte : most[m];
    }
  uint8_t found = 0;
  for (uint8_t byte : most) found = byte > found ? byte : found;
  return found;
}

// Calls `work(band, sweep)` for each band that converts any sum of a strip.
template <class Vec, class Work>
void each_band(const Job& job, const Scratch& s, Sweep w, const Work& work) {
  alignas(64) uint8_t driven[kStripSums], places[kStripSums], inside[kStripSums];
  std::memset(inside, 255, sizeof inside);
  w.places = places;
  w.inside = inside;
  uint8_t most = 0;
  if (job.p.buckets == 1) {
    std::memset(places, job.narrow.bands[0].place[0], sizeof places);
  } else {
    count_driven<Vec>(job, s, w, driven);
    most = largest(driven);
  }
  for (int k = 0; k < job.narrow.band_count && job.narrow.bands[k].fewest <= most; ++k) {
    const Band& band = job.narrow.bands[k];
    if (job.p.buckets > 1) look_up_driven<Vec>(job, band.place, driven, places);
    if (job.narrow.band_count > 1) {
      look_up_driven<Vec>(job, band.inside, driven, inside);
      if (!largest(inside)) continue;
    }
    work(band, w);
  }
}

template <class Vec>
void convert_strip(const Job& job, const Scratch& s, int pass, int path, const Sweep& w) {
  if (!job.narrow.bands) {
    sweep_slices(job, s, w, [&](const Sweep& slice) {
      slice.counts ? convert_path<Vec, false, true>(path, slice)
                   : convert_path<Vec, false, false>(path, slice);
    });
    return;
  }
  each_band<Vec>(job, s, w, [&](const Band& band, Sweep in_band) {
    in_band.tables = band.tables[pass];
    sweep_slices(job, s, in_band, [&](const Sweep& slice) {
      slice.counts ? convert_band<Vec, true>(path, band.bits, slice)
                   : convert_band<Vec, false>(path, band.bits, slice);
    });
  });
}

inline int narrow_path(const Job& job, int most) {
  if (most < 64) return most < 16 ? kFour : kSix;
  return most < 128 && !job.narrow.bands ? kSeven : kEight;
}

// Calls `work(pass, path, first position, sweep)` for all tiles, passes, and strips of a task.
template <class Vec, class Work>
void each_strip(const Job& job, const Task& task, const Scratch& s, uint32_t* constant,
                const Work& work) {
  const int count = int(task.m1 - task.m0);
  for (int64_t t = 0; t < job.shape.tiles; ++t) {
    for (int q = 0; q < job.pass_count; ++q) {
      const int most = narrow_units<Vec>(job, block_of(job, task, t, 0), job.passes[q], s);
      const int path = narrow_path(job, most);
      for (int m = 0; m < count; m += kColumns) {
        const int positions = count - m < kColumns ? count - m : kColumns;
        narrow_inputs<Vec>(job, task, s, t, m, positions, q || !constant ? nullptr : constant + m);
        const int64_t words = job.shape.signs * job.shape.sheet_words();
        const Sweep sweep = {Vec::arrange(s.inputs, words, s.cells),
                             nullptr,
                             0,
                             s.units,
                             int(job.p.outputs),
                             kCycleWeights,
                             job.narrow.tables[q],
                             first_bits(positions),
                             job.vector.addends,
                             nullptr,
                             s.bins};
        if (s.driven && q == 0) tally_driven<Vec>(job, s, sweep);
        work(q, path, m, sweep);
      }
    }
  }
}

template <class Vec>
void convert_narrow(const Job& job, const Task& task, const Scratch& s, int32_t* acc) {
  const int count = int(task.m1 - task.m0);
  const int64_t strip_sums = job.p.outputs * kColumns;
  locate(job, task, s);
  uint32_t constant[kNarrowPositions] = {};
  for (int m = 0; m < count; ++m) constant[m] = job.narrow.acc * uint32_t(job.shape.tiles);
  std::memset(s.sums, 0, size_t((count + kColumns - 1) / kColumns * strip_sums) * sizeof(uint32_t));
  each_strip<Vec>(job, task, s, constant, [&](int pass, int path, int m, Sweep w) {
    w.sums = s.sums + m / kColumns * strip_sums;
    convert_strip<Vec>(job, s, pass, path, w);
  });
  if (s.counts) Vec::settle(s);
  for (int m = 0; m < count; m += kColumns)
    finish_strip<Vec>(job, task, s, m, s.sums + m / kColumns * strip_sums, constant + m, acc);
}

template <class Vec, int N>
void histogram_units(int count, const Sweep& w) {
  alignas(64) uint8_t bytes[kCycles][kColumns];
  for (int k = 0; k < count; ++k) {
    Vec::template band_bytes<N>(w, w.units[k], bytes);
    count_bytes<8, false>(w, w.units[k], bytes);
  }
}

template <class Vec>
void histogram_narrow(const Job& job, const Task& task, const Scratch& s) {
  const int64_t band_bins = int64_t(job.shape.slices) * 256 * kSlices;
  locate(job, task, s);
  each_strip<Vec>(job, task, s, nullptr, [&](int, int path, int, const Sweep& w) {
    each_band<Vec>(job, s, w, [&](const Band& band, Sweep in_band) {
      const int units = w.count * job.shape.slices;
      in_band.bins += (&band - job.narrow.bands) * band_bins;
      if (path == kFour)
        histogram_units<Vec, 4>(units, in_band);
      else if (path == kSix)
        histogram_units<Vec, 6>(units, in_band);
      else
        histogram_units<Vec, 8>(units, in_band);
    });
  });
}

}  // namespace
}  // namespace reram::cpu::RERAM_ISA
