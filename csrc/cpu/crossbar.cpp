// The C interface: argument checks and choice of the kernel.
#include <algorithm>
#include <atomic>
#include <new>
#include <vector>

#include "cpu/dispatch.h"

namespace reram::cpu {

Job::Job(const reram_problem& problem, const uint8_t* u, const uint64_t* programmed)
    : p(problem), shape(problem), cells(programmed), input{u} {
  passes[pass_count++] = {0, p.encoding == RERAM_DIFFERENTIAL ? 1 : -1, 1};
  if (p.encoding == RERAM_DUAL) passes[pass_count++] = {1, -1, -1};
  const bool both = shape.lowest < 0;
  vector.most4 = both ? 7 : 15;
  vector.most6 = both ? 31 : 63;
  vector.most7 = both ? 63 : 127;
  vector.most = both ? 127 : 255;
  for (int j = 0; j < shape.slices; ++j)
    vector.weights[j / 2] |= uint16_t(1 << (shape.cell_shift[j] + j % 2 * 8));
}

const Kernels* kernels_of(int isa) {
  if (isa < 0 || isa > reram_best_isa()) return nullptr;
#ifdef RERAM_X86
  if (isa == RERAM_AVX512) return &avx512::kKernels;
  if (isa == RERAM_AVX2) return &avx2::kKernels;
#endif
  return &portable::kKernels;
}

namespace {

// Adds what one thread counted in bytes to the caller's histogram.
void add_byte_bins(const Job& job, const Scratch& scratch, int64_t* histogram) {
  const Shape& shape = job.shape;
  const int64_t values = shape.values(), sets = int64_t(shape.phases) * job.p.buckets;
  for (int64_t set = 0; set < sets; ++set)
    for (int byte = 0; byte < 256; ++byte)
      for (int j = 0; j < shape.slices; ++j) {
        const int sum = shape.lowest < 0 ? int8_t(byte) : byte;
        if (shape.lowest <= sum && sum <= shape.highest)
          histogram[(set * shape.slices + j) * values + sum - shape.lowest] +=
              scratch.bins[(set * 256 + byte) * kSlices + j];
      }
}

}  // namespace
}  // namespace reram::cpu

using namespace reram;
using namespace reram::cpu;

int32_t reram_abi_version(void) { return RERAM_ABI_VERSION; }

int32_t reram_team(int32_t threads) {
  if (threads < 1 || threads > kMostThreads) return 0;
  std::atomic<int32_t> present{0};
  const auto count = [](void* data) { ++*static_cast<std::atomic<int32_t>*>(data); };
  run_team(threads, count, &present);
  return present;
}

int32_t reram_best_isa(void) {
#ifdef RERAM_X86
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vbmi") &&
      __builtin_cpu_supports("avx512vbmi2") && __builtin_cpu_supports("avx512vpopcntdq") &&
      __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("gfni"))
    return RERAM_AVX512;
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("popcnt")) return RERAM_AVX2;
#endif
  return RERAM_PORTABLE;
}

int32_t reram_crossbar(const reram_problem* problem, const uint8_t* u, const uint64_t* cells,
                       const int32_t* levels, const uint8_t* comparisons, const int32_t* edges,
                       const int32_t* index, int32_t* acc, int64_t* made, int64_t* driven) {
  if (!valid_call(problem) || !cells || !levels || !comparisons) return RERAM_BAD_ARGUMENT;
  if (!made != !driven) return RERAM_BAD_ARGUMENT;
  const Kernels* kernels = kernels_of(problem->isa);
  if (!kernels) return RERAM_BAD_ISA;
  try {
    Job job(*problem, u, cells);
    if (job.shape.positions && (!u || !acc)) return RERAM_BAD_ARGUMENT;
    if (!valid_edges(*problem, edges) || !valid_index(*problem, job.shape, index))
      return RERAM_BAD_ARGUMENT;
    Tables tables(job, edges);
    if (!tables.set(levels, comparisons, edges, index, made)) return RERAM_OVERFLOW;
    const Windows windows(job);
    convert_all(job, *kernels, 0, [](int64_t) {}, acc, made, driven);
  } catch (const std::bad_alloc&) {
    return RERAM_NO_MEMORY;
  }
  return RERAM_OK;
}

int32_t reram_histogram(const reram_problem* problem, const uint8_t* u, const uint64_t* cells,
                        const int32_t* edges, int64_t* histogram) {
  if (!valid_call(problem) || !cells || !histogram) return RERAM_BAD_ARGUMENT;
  if (!valid_edges(*problem, edges)) return RERAM_BAD_ARGUMENT;
  const Kernels* kernels = kernels_of(problem->isa);
  if (!kernels) return RERAM_BAD_ISA;
  try {
    Job job(*problem, u, cells);
    if (job.shape.positions && !u) return RERAM_BAD_ARGUMENT;
    Tables tables(job, edges);
    tables.set_histogram(edges);
    const Windows windows(job);
    const auto work = job.narrow.bands ? kernels->histogram_narrow : kernels->histogram;
    const auto count = [&](const Task& task, const Scratch& s) { work(job, task, s); };
    const auto spaces = run(job, false, true, 0, [](int64_t) {}, count);
    for (const Workspace& space : spaces) {
      if (job.narrow.bands) {
        tables.add_bins(space.scratch.bins, histogram);
        continue;
      }
      add_bins(job, space.scratch, histogram);
      add_byte_bins(job, space.scratch, histogram);
    }
  } catch (const std::bad_alloc&) {
    return RERAM_NO_MEMORY;
  }
  return RERAM_OK;
}

int32_t reram_program(const reram_problem* problem, const int16_t* codes, uint64_t* cells) {
  if (!valid_call(problem) || !codes || !cells) return RERAM_BAD_ARGUMENT;
  program(*problem, codes, cells);
  return RERAM_OK;
}

uint64_t reram_fingerprint(const void* data, int64_t bytes) {
  const Kernels* kernels = kernels_of(reram_best_isa());
  return kernels->fingerprint(static_cast<const unsigned char*>(data),
                              data && bytes > 0 ? bytes : 0);
}
