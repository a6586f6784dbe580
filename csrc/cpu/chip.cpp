// The C interface of chips, whose devices are not ideal.
#include <algorithm>
#include <cstdlib>
#include <new>

#include "cpu/chip_tables.h"
#include "cpu/dispatch.h"

namespace reram::cpu {

const ChipKernels* chip_kernels_of(int isa) {
  if (isa < 0 || isa > reram_best_isa()) return nullptr;
#ifdef RERAM_X86
  if (isa == RERAM_AVX512) return &avx512::kChipKernels;
  if (isa == RERAM_AVX2) return &avx2::kChipKernels;
#endif
  return &portable::kChipKernels;
}

namespace {

int64_t largest(const int32_t* numbers, int64_t count, int64_t less) {
  int64_t most = 0;
  for (int64_t k = 0; k < count && numbers; ++k) most = std::max(most, std::abs(numbers[k] - less));
  return most;
}

// Whether a problem may be called with a chip.
bool valid_call(const reram_problem* problem, const reram_chip* chip) {
  if (!reram::cpu::valid_call(problem) || !valid_chip(*problem, chip)) return false;
  for (int32_t n = 0; n <= problem->rows && chip->normal; ++n)
    if (chip->sigma_of[n] >= chip->sigma_rows) return false;
  return true;
}

Chip serve(const Job& job, const reram_chip& given) {
  Chip chip = {};
  chip.given = given;
  chip.plain = !given.gains && !given.offsets && !given.mismatch && !given.normal;
  const int64_t adcs = job.pass_count * job.shape.slices * job.p.groups * job.shape.tiles *
                       up(job.p.outputs, given.columns_per_adc);
  const int64_t sigmas = given.normal ? int64_t(given.sigma_rows) * given.sigma_columns : 0;
  // A sum stays below 2^28, its product with a gain's error below 2^30, an offset below 2^28 and
  // noise below 2^15: together less than 2^30.
  constexpr int64_t kMost = 1 << 28;
  const bool near = !given.mismatch || adcs * job.shape.values() < INT32_MAX;
  if (near && largest(given.offsets, adcs, 0) < kMost &&
      largest(given.sigmas, sigmas, 0) <= INT16_MAX)
    chip.narrow = std::min(kMost, 4 * kMost / (largest(given.gains, adcs, 1 << 16) + 1));
  return chip;
}

}  // namespace
}  // namespace reram::cpu

using namespace reram;
using namespace reram::cpu;

int32_t reram_chip_crossbar(const reram_problem* problem, const reram_chip* chip, const uint8_t* u,
                            const int32_t* levels, const uint8_t* comparisons, const int32_t* edges,
                            const int32_t* index, int32_t* acc, int64_t* made, int64_t* driven) {
  if (!valid_call(problem, chip)) return RERAM_BAD_ARGUMENT;
  if (!levels || !comparisons || !made != !driven) return RERAM_BAD_ARGUMENT;
  const ChipKernels* kernels = chip_kernels_of(problem->isa);
  if (!kernels) return RERAM_BAD_ISA;
  try {
    Job job(*problem, u, nullptr);
    if (job.shape.positions && (!u || !acc)) return RERAM_BAD_ARGUMENT;
    if (!valid_edges(*problem, edges) || !valid_index(*problem, job.shape, index))
      return RERAM_BAD_ARGUMENT;
    Chip served = serve(job, *chip);
    job.chip = &served;
    job.any_sum = true;
    Tables tables(job, edges);
    if (!tables.set(levels, comparisons, edges, index, made)) return RERAM_OVERFLOW;
    const ChipColumns columns(job);
    columns.serve(served);
    const ChipNoise noise(*chip);
    noise.serve(served);
    const ChipTables bytes(job);
    bytes.serve(served);
    const Windows windows(job);
    const auto work = [&](const Task& task, const Scratch& s) {
      kernels->convert(job, task, s, acc);
    };
    sum_counts(job, run(job, made, false, 0, [](int64_t) {}, work), made, driven);
  } catch (const std::bad_alloc&) {
    return RERAM_NO_MEMORY;
  }
  return RERAM_OK;
}

int32_t reram_chip_histogram(const reram_problem* problem, const reram_chip* chip, const uint8_t* u,
                             const int32_t* edges, int64_t* histogram) {
  if (!valid_call(problem, chip) || !histogram) return RERAM_BAD_ARGUMENT;
  if (!valid_edges(*problem, edges)) return RERAM_BAD_ARGUMENT;
  const ChipKernels* kernels = chip_kernels_of(problem->isa);
  if (!kernels) return RERAM_BAD_ISA;
  try {
    Job job(*problem, u, nullptr);
    if (job.shape.positions && !u) return RERAM_BAD_ARGUMENT;
    Chip served = serve(job, *chip);
    job.chip = &served;
    const Tables tables(job, edges);
    const ChipColumns columns(job);
    columns.serve(served);
    const ChipNoise noise(*chip);
    noise.serve(served);
    const Windows windows(job);
    const auto work = [&](const Task& task, const Scratch& s) { kernels->histogram(job, task, s); };
    for (const Workspace& space : run(job, false, true, 0, [](int64_t) {}, work))
      add_bins(job, space.scratch, histogram);
  } catch (const std::bad_alloc&) {
    return RERAM_NO_MEMORY;
  }
  return RERAM_OK;
}
