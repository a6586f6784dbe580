// The C interface: argument checks and choice of the kernel.
#include <algorithm>
#include <new>
#include <vector>

#include "cpu/dispatch.h"

namespace reram {

Shape::Shape(const reram_problem& p) {
  positions = p.positions[0] * p.positions[1] * p.positions[2];
  depth = p.depth[0] * p.depth[1] * p.depth[2];
  signs = p.encoding == RERAM_OFFSET ? 1 : 2;
  tiles = (depth + p.rows - 1) / p.rows;
  blocks = (p.outputs + kColumns - 1) / kColumns;
  height = std::min<int64_t>(p.rows, depth);
  slices = (p.weight_bits + p.cell_bits - 1) / p.cell_bits;
  cycles = (p.input_bits + p.dac_bits - 1) / p.dac_bits;
  sheets = signs * p.cell_bits;
  words = int((height + 63) / 64);
  highest = p.rows * ((1 << p.cell_bits) - 1) * ((1 << p.dac_bits) - 1);
  lowest = p.encoding == RERAM_DIFFERENTIAL ? -highest : 0;
}

Job::Job(const reram_problem& problem, const uint8_t* input, const uint64_t* programmed)
    : p(problem), shape(problem), u(input), cells(programmed) {
  passes[pass_count++] = {0, p.encoding == RERAM_DIFFERENTIAL ? 1 : -1, 1};
  if (p.encoding == RERAM_DUAL) passes[pass_count++] = {1, -1, -1};
  const bool both = shape.lowest < 0;
  most4 = both ? 7 : 15;
  most6 = both ? 31 : 63;
  most7 = both ? 63 : 127;
  most = both ? 127 : 255;
  for (int j = 0; j < shape.slices; ++j)
    weights[j / 2] |= uint16_t(1 << (j * p.cell_bits + j % 2 * 8));
}

const Kernels* kernels_of(int isa) {
  if (isa < 0 || isa > reram_best_isa()) return nullptr;
#ifdef RERAM_X86
  if (isa == RERAM_AVX512) return &kAvx512Kernels;
  if (isa == RERAM_AVX2) return &kAvx2Kernels;
#endif
  return &kPortableKernels;
}

namespace {

// Whether three sizes and their product are from `low` to `high`.
bool product_within(const int64_t (&sizes)[3], int64_t low, int64_t high) {
  for (int64_t size : sizes)
    if (!within(size, low, high)) return false;
  const int64_t two = sizes[0] * sizes[1];  // high is at most 2^31
  return two <= high && within(two * sizes[2], low, high);
}

}  // namespace

bool valid(const reram_problem& p) {
  constexpr int64_t kMost = int64_t(1) << 31;  // keeps products of two sizes within 64 bits
  return product_within(p.positions, 0, kMost) && within(p.groups, 1, 1 << 20) &&
         product_within(p.depth, 1, 1 << 22) && within(p.outputs, 1, 1 << 22) &&
         within(p.rows, 1, 4096) && within(p.cell_bits, 1, 4) && within(p.dac_bits, 1, 4) &&
         within(p.weight_bits, 1, 8) && within(p.input_bits, 1, 8) &&
         within(p.encoding, RERAM_OFFSET, RERAM_DUAL) && within(p.tables, 1, 1 << 16) &&
         within(p.buckets, 1, 255) && within(p.threads, 1, 1 << 12);
}

namespace {

// Adds what one thread counted to the caller's histogram.
void add_bins(const Job& job, const Scratch& scratch, int64_t* histogram) {
  const Shape& shape = job.shape;
  const int64_t values = shape.values(), sets = int64_t(shape.cycles) * job.p.buckets;
  for (int64_t k = 0; k < sets * shape.slices * values; ++k) histogram[k] += scratch.histogram[k];
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
}  // namespace reram

using namespace reram;

int32_t reram_abi_version(void) { return RERAM_ABI_VERSION; }

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
                       const int32_t* index, int32_t* acc, int64_t* counts, int64_t* drives) {
  if (!problem || !valid(*problem) || !cells || !levels || !comparisons) return RERAM_BAD_ARGUMENT;
  if (!counts != !drives) return RERAM_BAD_ARGUMENT;

  const Kernels* kernels = kernels_of(problem->isa);
  if (!kernels) return RERAM_BAD_ISA;
  try {
    Job job(*problem, u, cells);
    if (job.shape.positions && (!u || !acc)) return RERAM_BAD_ARGUMENT;
    if (!valid_edges(*problem, edges) || !valid_index(*problem, job.shape, edges, index))
      return RERAM_BAD_ARGUMENT;
    Tables tables(job, edges);
    if (!tables.set(levels, comparisons, edges, index)) return RERAM_OVERFLOW;
    const Windows windows(job);
    convert_all(job, *kernels, 0, [](int64_t) {}, acc, counts, drives);
  } catch (const std::bad_alloc&) {
    return RERAM_NO_MEMORY;
  }
  return RERAM_OK;
}

int32_t reram_histogram(const reram_problem* problem, const uint8_t* u, const uint64_t* cells,
                        const int32_t* edges, int64_t* histogram) {
  if (!problem || !valid(*problem) || !cells || !histogram) return RERAM_BAD_ARGUMENT;
  if (!valid_edges(*problem, edges)) return RERAM_BAD_ARGUMENT;
  const Kernels* kernels = kernels_of(problem->isa);
  if (!kernels) return RERAM_BAD_ISA;
  try {
    Job job(*problem, u, cells);
    if (job.shape.positions && !u) return RERAM_BAD_ARGUMENT;
    Tables tables(job, edges);
    tables.set_histogram(edges);
    const Windows windows(job);
    const auto work = job.bands ? kernels->histogram_narrow : kernels->histogram;
    const auto count = [&](const Task& task, const Scratch& s) { work(job, task, s); };
    const auto spaces = run(job, false, true, 0, [](int64_t) {}, count);
    for (const Workspace& space : spaces)
      job.bands ? tables.add_bins(space.scratch.bins, histogram)
                : add_bins(job, space.scratch, histogram);
  } catch (const std::bad_alloc&) {
    return RERAM_NO_MEMORY;
  }
  return RERAM_OK;
}

int32_t reram_program(const reram_problem* problem, const int8_t* codes, uint64_t* cells) {
  if (!problem || !valid(*problem) || !codes || !cells) return RERAM_BAD_ARGUMENT;
  program(*problem, codes, cells);
  return RERAM_OK;
}

uint64_t reram_fingerprint(const void* data, int64_t bytes) {
  return fingerprint(static_cast<const unsigned char*>(data), data && bytes > 0 ? bytes : 0);
}
