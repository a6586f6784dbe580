// Where a position's input codes lie in memory, tile by tile.
#pragma once

#include <algorithm>
#include <numeric>
#include <vector>

#include "cpu/job.h"

namespace reram::cpu {

// Fills in a job's `gather`, and owns the memory behind it.
class Windows {
 public:
  explicit Windows(Job& job) : offsets_(size_t(job.shape.depth)), first_{0} {
    const reram_problem& p = job.p;
    for (int64_t k = 0; k < job.shape.depth; ++k) {
      const int64_t column = k % p.depth[2], row = k / p.depth[2];
      offsets_[size_t(k)] = row / p.depth[1] * p.u_stride_depth[0] +
                            row % p.depth[1] * p.u_stride_depth[1] + column * p.u_stride_depth[2];
    }
    const int64_t stride = (job.shape.height + 63) / 64 * 64;
    lines_.resize(size_t(job.shape.tiles * stride));
    for (int64_t t = 0; t < job.shape.tiles; ++t) {
      const int64_t from = t * p.rows, height = std::min<int64_t>(p.rows, job.shape.depth - from);
      gather_tile(offsets_.data() + from, height, lines_.data() + t * stride);
      first_.push_back(int64_t(segments_.size()));
    }
    job.input.gather = {offsets_.data(), segments_.data(), first_.data(), lines_.data(), stride};
  }

 private:
  void gather_tile(const int64_t* offsets, int64_t height, uint16_t* lines) {
    std::iota(lines, lines + height, uint16_t(0));
    std::stable_sort(lines, lines + height,
                     [=](uint16_t a, uint16_t b) { return offsets[a] < offsets[b]; });
    const size_t first = segments_.size();
    for (int64_t k = 0; k < height; ++k) {
      const int64_t offset = offsets[lines[k]];
      const bool joins =
          segments_.size() > first && offset == segments_.back().offset + segments_.back().length;
      if (!joins) segments_.push_back({offset, uint16_t(k), 0});
      ++segments_.back().length;
    }
    for (int64_t k = 0; k < height; ++k) lines[k] = uint16_t(lines[k] * kSlices);
  }

  std::vector<int64_t> offsets_, first_;
  std::vector<Segment> segments_;
  std::vector<uint16_t> lines_;
};

}  // namespace reram::cpu
