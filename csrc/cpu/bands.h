// Tables of narrow layers whose sums are signed, or converted by activity: as many buckets as have
// room together share the 256 values of a byte, and the kernel adds the place of each position's
// bucket to its sums.
#pragma once

#include <algorithm>
#include <vector>

#include "cpu/job.h"

namespace reram::cpu {

// Fills in a job's bands, and owns the memory behind them.
class Bands {
 public:
  // Which buckets share a band, and where. False if the sums of one alone have no room.
  bool plan(const Job& job, const int32_t* edges) {
    const Shape& shape = job.shape;
    if (shape.height > 255) return false;
    const bool both = job.passes[0].minus >= 0;
    const int plus =
        std::max(most_lines(job, 0), shape.signs > 1 && !both ? most_lines(job, 1) : 0);
    const int minus = both ? most_lines(job, 1) : 0;
    if (plus + minus > 254) return false;
    int used = 256;
    for (int b = 0; b < job.p.buckets && edges[b] <= shape.height; ++b) {
      const int next = b + 1 < job.p.buckets ? edges[b + 1] : int(shape.height) + 1;
      const int last = std::min(next - 1, int(shape.height));
      const int low = std::min(minus, last), high = std::min(plus, last);
      if (used + low + high + 1 > 256) {
        bands_.push_back({});
        bands_.back().fewest = edges[b];
        used = 1;
      }
      buckets_.push_back({int(bands_.size()) - 1, used + low, low, high});
      for (int active = edges[b]; active <= last; ++active) {
        bands_.back().place[active] = uint8_t(used + low);
        bands_.back().inside[active] = 255;
      }
      used += low + high + 1;
      bands_.back().bits = used <= 64 ? 6 : used <= 128 ? 7 : 8;
    }
    for (Band& band : bands_)
      for (int active = 16; active < 256 && shape.height < 16; ++active) {
        band.place[active] = band.place[active % 16];
        band.inside[active] = band.inside[active % 16];
      }
    return true;
  }

  // Byte tables of all bands. False if the levels of one cycle and slice do not fit a byte.
  bool fill(const Job& job) {
    const int slices = job.shape.slices, cycles = job.shape.cycles, count = int(bands_.size());
    bytes_.resize(size_t(job.pass_count * count * slices * cycles) + 1);
    pointers_.assign(size_t(job.pass_count * count * slices * kSlices), &bytes_.back());
    base_ = 0;
    ByteTables* to = bytes_.data();
    for (int q = 0; q < job.pass_count; ++q) {
      for (int j = 0; j < slices; ++j)
        for (int i = 0; i < cycles; ++i) {
          int64_t base;
          if (!base_of(job, job.passes[q].sign, i, j, base)) return false;
          base_ += uint32_t(base) << (i + j);
          for (int k = 0; k < count; ++k) {
            const ByteTables** pointer =
                &pointers_[size_t(((q * count + k) * slices + j) * kSlices + i)];
            if (i && same_tables(job, i - 1, i, j)) {
              *pointer = pointer[-1];
              continue;
            }
            fill_band(job, job.passes[q].sign, k, i, j, base, *to);
            *pointer = to++;
          }
        }
      for (int k = 0; k < count; ++k)
        bands_[size_t(k)].tables[q] = &pointers_[size_t((q * count + k) * slices * kSlices)];
    }
    return true;
  }

  void serve(Job& job) const {
    job.narrow.bands = bands_.data();
    job.narrow.band_count = int(bands_.size());
    job.narrow.acc = base_;
  }

  // Adds the bins that the kernel counted, [bands, J, 256, 8], to [buckets, I, J, V].
  void add_bins(const Job& job, const int64_t* bins, int64_t* histogram) const {
    const Shape& shape = job.shape;
    for (size_t b = 0; b < buckets_.size(); ++b)
      for (int i = 0; i < shape.cycles; ++i)
        for (int j = 0; j < shape.slices; ++j) {
          const Bucket& bucket = buckets_[b];
          const int64_t* from =
              bins + ((bucket.band * shape.slices + j) * 256 + bucket.place) * kSlices + i;
          int64_t* to = histogram +
                        ((int64_t(b) * shape.cycles + i) * shape.slices + j) * shape.values() -
                        shape.lowest;
          for (int v = -bucket.low; v <= bucket.high; ++v) to[v] += from[v * kSlices];
        }
  }

  // The most word-lines that any slice of a bit-line joins, at most 255: counters of one bit-line
  // in each bit.
  static int most_lines(const Job& job, int sign) {
    const Shape& shape = job.shape;
    int most = 0;
    for (int64_t block = 0; block < job.p.groups * shape.tiles * shape.blocks; ++block) {
      const uint64_t* cells = job.cells + block * shape.block_words() + sign * shape.sheet_words();
      uint64_t planes[8][kSlices] = {}, candidates[kSlices];
      int count = 0;
      for (int64_t r = 0; r < shape.height; r += 4) {  // beyond the last: the empty one
        while (count < 8 && (r + 4) >> count) ++count;
        const uint64_t* line[4];
        for (int64_t k = 0; k < 4; ++k) line[k] = cells + std::min(r + k, shape.height) * kSlices;
        uint64_t carry[kSlices];
        for (int j = 0; j < kSlices; ++j) {
          const uint64_t a = line[0][j], b = line[1][j], c = line[2][j], d = line[3][j];
          uint64_t &ones = planes[0][j], &twos = planes[1][j];
          const uint64_t x = ones ^ a, first = (ones & a) | (x & b), y = x ^ b;
          const uint64_t z = y ^ c, second = (y & c) | (z & d), w = twos ^ first;
          carry[j] = (twos & first) | (w & second);
          ones = z ^ d;
          twos = w ^ second;
        }
        for (int q = 2; q < count; ++q)
          for (int j = 0; j < kSlices; ++j) {
            const uint64_t next = planes[q][j] & carry[j];
            planes[q][j] ^= carry[j];
            carry[j] = next;
          }
      }
      std::fill_n(candidates, kSlices, ~uint64_t(0));
      int lines = 0;
      for (int q = 7; q >= 0; --q) {
        uint64_t any = 0;
        for (int j = 0; j < kSlices; ++j) any |= planes[q][j] & candidates[j];
        if (!any) continue;
        lines |= 1 << q;
        for (int j = 0; j < kSlices; ++j) candidates[j] &= planes[q][j];
      }
      most = std::max(most, lines);
    }
    return most;
  }

 private:
  struct Bucket {
    int band, place;  // of the sum 0 among the band's values
    int low, high;    // sums reach from -low to high
  };

  bool same_tables(const Job& job, int i, int k, int j) const {
    for (size_t b = 0; b < buckets_.size(); ++b)
      if (job.table(job.set(int(b), i), j) != job.table(job.set(int(b), k), j)) return false;
    return true;
  }

  bool base_of(const Job& job, int sign, int i, int j, int64_t& base) const {
    int64_t least = INT64_MAX, most = INT64_MIN;
    for (size_t b = 0; b < buckets_.size(); ++b) {
      const int64_t table = job.table(job.set(int(b), i), j);
      for (int v = -buckets_[b].low; v <= buckets_[b].high; ++v) {
        const int64_t level = table < 0 ? 0 : int64_t(sign) * job.tables.levels[table + v];
        least = std::min(least, level);
        most = std::max(most, level);
      }
    }
    base = least + 128;
    return most - least <= 255;
  }

  void fill_band(const Job& job, int sign, int band, int i, int j, int64_t base,
                 ByteTables& to) const {
    for (size_t b = 0; b < buckets_.size(); ++b) {
      const Bucket& bucket = buckets_[b];
      if (bucket.band != band) continue;
      const int64_t table = job.table(job.set(int(b), i), j);
      for (int v = -bucket.low; v <= bucket.high; ++v) {
        const int64_t level = table < 0 ? 0 : int64_t(sign) * job.tables.levels[table + v];
        to.level8[bucket.place + v] = int8_t(level - base);
        to.comparisons8[bucket.place + v] = table < 0 ? 0 : job.tables.comparisons[table + v];
      }
    }
    std::copy_n(to.level8, 128, to.level7);
    std::copy_n(to.comparisons8, 128, to.comparisons7);
    std::copy_n(to.level8, 64, to.level6);
    std::copy_n(to.comparisons8, 64, to.comparisons6);
  }

  std::vector<Band> bands_;
  std::vector<Bucket> buckets_;
  std::vector<ByteTables> bytes_;
  std::vector<const ByteTables*> pointers_;
  uint32_t base_ = 0;
};

}  // namespace reram::cpu
