// What the functions of the C interface share.
#pragma once

#include "schedule.h"
#include "tables.h"
#include "windows.h"

namespace reram {

inline bool within(int64_t v, int64_t low, int64_t high) { return low <= v && v <= high; }

// Whether sizes and geometry are in range; strides may be anything.
bool valid(const reram_problem& p);

// Null if this machine or this build lacks the instruction set.
const Kernels* kernels_of(int isa);

// Prepares the pieces of the input, then converts every bit-line; adds up the counts, if wanted.
template <class Prepare>
void convert_all(const Job& job, const Kernels& kernels, int64_t pieces, const Prepare& prepare,
                 int32_t* acc, int64_t* counts) {
  const auto work = job.narrow[0] ? kernels.convert_narrow : kernels.convert;
  const auto spaces =
      run(job, counts, false, pieces, prepare,
          [&](const Task& task, const Scratch& scratch) { work(job, task, scratch, acc); });
  if (!counts) return;
  const int64_t slices = job.shape.slices;
  std::fill_n(counts, 2 * slices, 0);
  for (const Workspace& space : spaces)
    for (int64_t j = 0; j < slices; ++j) {
      counts[j] += space.scratch.counts[j];
      counts[slices + j] += space.scratch.counts[kSlices + j];
    }
}

}  // namespace reram
