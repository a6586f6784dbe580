// What the functions of the C interface share.
#pragma once

#include <numeric>

#include "common/arguments.h"
#include "cpu/schedule.h"
#include "cpu/tables.h"
#include "cpu/windows.h"

namespace reram::cpu {

constexpr int64_t kMostThreads = 1 << 12;  // more than any machine has

// Whether there is a problem in range, with a number of threads that may be asked for.
inline bool valid_call(const reram_problem* p) {
  return p && valid(*p) && within(p->threads, 1, kMostThreads);
}

// Null if this machine or this build lacks the instruction set.
const Kernels* kernels_of(int isa);
const ChipKernels* chip_kernels_of(int isa);

// Adds what one thread counted to the caller's counts.
inline void add_counts(const Job& job, const Scratch& from, int64_t* made, int64_t* driven) {
  const int cycles = job.shape.cycles, slices = job.shape.slices;
  for (int i = 0; i < cycles; ++i) {
    for (int64_t n = 0; n <= job.shape.height; ++n)
      driven[i * (job.p.rows + 1) + n] += from.driven[n * kCycles + i];
    for (int j = 0; j < slices; ++j) {
      const int64_t* lanes =
          from.counts + (job.is_narrow() ? j * kCycles + i : i * kSlices + j) * kCountLanes;
      made[i * slices + j] = std::accumulate(lanes, lanes + kCountLanes, made[i * slices + j]);
    }
  }
  const int recoveries = job.shape.recoveries;
  for (int bit = 0; bit < recoveries; ++bit) {
    for (int64_t n = 0; n <= job.shape.height; ++n)
      driven[(cycles + bit) * (job.p.rows + 1) + n] += from.again[n * kCycles + bit];
    for (int j = 0; j < slices; ++j)
      for (int k = 0; k < 2; ++k)
        made[(cycles + bit + k * recoveries) * slices + j] +=
            from.recovered[(bit * kSlices + j) * 2 + k];
  }
}

// Adds up what all threads counted, if it is wanted.
inline void sum_counts(const Job& job, const std::vector<Workspace>& spaces, int64_t* made,
                       int64_t* driven) {
  if (!made) return;
  std::fill_n(made, (job.shape.phases + job.shape.recoveries) * job.shape.slices, 0);
  std::fill_n(driven, job.shape.phases * (job.p.rows + 1), 0);
  for (const Workspace& space : spaces) add_counts(job, space.scratch, made, driven);
}

// Adds what one thread counted to the caller's histogram.
inline void add_bins(const Job& job, const Scratch& scratch, int64_t* histogram) {
  const int64_t sets = int64_t(job.shape.phases) * job.p.buckets;
  const int64_t bins = sets * job.shape.slices * job.shape.values();
  for (int64_t k = 0; k < bins; ++k) histogram[k] += scratch.histogram[k];
}

// Prepares the pieces of the input, then converts every bit-line; adds up the counts, if wanted.
template <class Prepare>
void convert_all(const Job& job, const Kernels& kernels, int64_t pieces, const Prepare& prepare,
                 int32_t* acc, int64_t* made, int64_t* driven) {
  const auto work = job.affine        ? kernels.convert_product
                    : job.is_narrow() ? kernels.convert_narrow
                                      : kernels.convert;
  const auto spaces =
      run(job, made, false, pieces, prepare,
          [&](const Task& task, const Scratch& scratch) { work(job, task, scratch, acc); });
  sum_counts(job, spaces, made, driven);
  if (made && job.affine) count_affine(job, driven, made);
}

}  // namespace reram::cpu
