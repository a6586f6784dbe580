// The division of work among threads, and the memory of each.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <memory>
#include <new>
#include <thread>
#include <type_traits>
#include <vector>

#include "cpu/chip.h"
#include "cpu/job.h"
#include "cpu/team.h"

namespace reram::cpu {

constexpr int64_t kTasksOfAThread = 4;  // so that the last one to end is not long alone
constexpr double kThreadSums = 1e6;     // bit-line sums that are worth waking a thread for

// Positions of a task: enough to reuse a tile's cells, few enough that the accumulators and the
// lists of driven word-lines stay in L2, and that every thread finds work until the end.
inline int64_t task_positions(const Job& job) {
  const int64_t threads = job.p.threads, groups = job.p.groups, positions = job.shape.positions;
  if (positions == 0) return 1;
  if (job.is_narrow()) {
    const int64_t strip = up(positions, up(kTasksOfAThread * threads, groups));
    return std::min<int64_t>(up(strip, kColumns) * kColumns, kNarrowPositions);
  }
  constexpr int64_t kMost = kTaskPositions, kLeast = 8;  // more reuse no more, fewer hardly
  constexpr int64_t kCache = 1 << 19;                    // bytes: half of a small L2
  const int64_t sums = job.shape.blocks * kColumns * 4;
  const int64_t lines = job.shape.cycles * job.shape.dac_bits * job.shape.height * 2;
  const int64_t most = std::min(std::max(kCache / (sums + lines), kLeast), kMost);
  const int64_t wanted = threads > 1 ? up(kTasksOfAThread * threads, groups) : 1;
  const int64_t strips = std::max(up(positions, most), std::min(wanted, up(positions, kLeast)));
  return up(positions, strips);
}

inline std::vector<Task> divide(const Job& job) {
  const int64_t step = task_positions(job), positions = job.shape.positions;
  // Bit-lines are divided only where positions are too few, since each part packs the inputs anew.
  const int64_t strips = std::max<int64_t>(job.p.groups * up(positions, step), 1);
  // Nor where one bit-line's sum lets the array be driven again for all, nor those of a chip, which
  // lie slice by slice, nor those among which odds choose.
  const int64_t parts = job.shape.recoveries || job.chip || job.odds
                            ? 1
                            : std::min(job.shape.blocks, up(job.p.threads, strips));
  const int64_t width = up(job.shape.blocks, parts);
  std::vector<Task> tasks;
  for (int64_t g = 0; g < job.p.groups; ++g)
    for (int64_t m = 0; m < positions; m += step)
      for (int64_t b = 0; b < job.shape.blocks; b += width)
        tasks.push_back(
            {g, m, std::min(m + step, positions), b, std::min(b + width, job.shape.blocks)});
  return tasks;
}

// Owns one thread's scratch memory.
class Workspace {
 public:
  Workspace(const Job& job, bool counts, bool bins) {
    lay_out(job, counts, bins, nullptr);
    memory_.reset(static_cast<char*>(std::aligned_alloc(64, size_t(total_))));
    if (!memory_) throw std::bad_alloc();
    lay_out(job, counts, bins, memory_.get());
    std::fill(memory_.get() + zeroed_, memory_.get() + total_, char(0));
  }
  Scratch scratch = {};

 private:
  struct Free {
    void operator()(char* memory) const { std::free(memory); }
  };

  void lay_out(const Job& job, bool counts, bool bins, char* base) {
    total_ = 0;
    auto take = [&](auto*& pointer, int64_t count) {
      using Element = std::remove_reference_t<decltype(*pointer)>;
      if (base) pointer = reinterpret_cast<Element*>(base + total_);
      total_ += up(count * int64_t(sizeof(Element)), 64) * 64;
    };
    const Shape& shape = job.shape;
    const int64_t step = task_positions(job), units = step * shape.cycles;
    // A narrow layer's: units of all slices, and bit-lines of all strips of 64 positions.
    constexpr int64_t kNarrow = kNarrowPositions;
    static_assert(kNarrowPositions == kSlices * kColumns, "serves both");
    take(scratch.codes, step);
    take(scratch.places, step);
    take(scratch.row, shape.words * 64);
    take(scratch.inputs, std::max(step * kCycles * shape.words, shape.signs * shape.sheet_words()));
    take(scratch.active, step * kCycles);
    take(scratch.units, std::max(kPaths * units, kNarrow));
    take(scratch.lines, std::max(units * shape.dac_bits * (shape.height + 4),
                                 kNarrow * (shape.signs * shape.height + kColumns)) +
                            128);
    const bool digits = job.has_digits() && !job.chip;
    take(scratch.cells, digits || job.chip ? 0 : shape.block_words());
    if (digits) take(scratch.digits, (shape.height + 1) * shape.slices * kColumns);
    if (job.chip) take(scratch.chip_units, units);
    if (job.chip) take(scratch.conductances, (shape.height + 1) * kColumns);
    if (job.chip) take(scratch.chip_levels, step * kColumns);
    if (job.odds)
      take(scratch.columns,
           shape.blocks * shape.sheets * shape.slices * kColumns * int64_t(shape.words));
    if (job.has_nibbles()) take(scratch.nibbles, 4 * shape.sheet_words());
    if (job.affine) take(scratch.rows, step * shape.words * 64);
    if (job.affine) take(scratch.weights, 2 * up(shape.height, 4) * 4 * kColumns * 2);
    take(scratch.constant, step);
    take(scratch.sums, std::max(shape.blocks * step, kNarrow) * kColumns);
    zeroed_ = total_;
    const int64_t sets = int64_t(shape.phases) * job.p.buckets;
    if (shape.recoveries) {
      take(scratch.escaped, step * kCycles);
      take(scratch.recovered, kCycles * kSlices * 2);
      take(scratch.again, (shape.height + 1) * kCycles);
    }
    if (counts) take(scratch.counts, kCycles * kSlices * kCountLanes);
    if (counts) take(scratch.made, kCycles * kSlices * kColumns);
    if (counts) take(scratch.pending, kCycles);
    if (counts) take(scratch.driven, std::max<int64_t>(shape.height + 1, 256) * kCycles);
    if (bins) take(scratch.histogram, sets * shape.slices * shape.values());
    if (bins)
      take(scratch.bins, std::max<int64_t>(sets, job.narrow.band_count * kSlices) * 256 * kSlices);
  }

  int64_t total_ = 0, zeroed_ = 0;
  std::unique_ptr<char, Free> memory_;
};

// Runs `prepare(piece)` for all pieces, then `work(task, scratch)` for all tasks. Whole numbers are
// added up, so the result does not depend on which thread took which task.
template <class Prepare, class Work>
std::vector<Workspace> run(const Job& job, bool counts, bool bins, int64_t pieces,
                           const Prepare& prepare, const Work& work) {
  const std::vector<Task> tasks = divide(job);
  const double sums = double(job.shape.positions) * double(job.p.groups) * double(job.p.outputs) *
                      double(job.shape.tiles) * job.shape.cycles * job.shape.slices *
                      job.pass_count;
  const int64_t useful = std::max<int64_t>(1, int64_t(sums / kThreadSums));
  const int64_t wanted =
      std::min({int64_t(job.p.threads), useful, std::max<int64_t>(1, int64_t(tasks.size()))});
  const int64_t threads = wanted > 1 && !have_team() ? 1 : wanted;
  std::vector<Workspace> spaces;
  spaces.reserve(size_t(threads));
  for (int64_t k = 0; k < threads; ++k) spaces.emplace_back(job, counts, bins);
  std::atomic<int64_t> piece{0}, prepared{0};
  std::atomic<size_t> next{0}, seat{0};
  std::atomic<bool> failed{false};
  auto loop = [&] {
    const Scratch& scratch = spaces[seat++].scratch;
    try {
      for (int64_t k = piece++; k < pieces; k = piece++, ++prepared) prepare(k);
      while (prepared < pieces && !failed) std::this_thread::yield();
      for (size_t k = next++; k < tasks.size() && !failed; k = next++) work(tasks[k], scratch);
    } catch (const std::bad_alloc&) {
      failed = true;
    }
  };
  run_team(int(threads), [](void* data) { (*static_cast<decltype(loop)*>(data))(); }, &loop);
  if (failed) throw std::bad_alloc();
  return spaces;
}

}  // namespace reram::cpu
