// Argument checks, choice of the kernel, and the division of work among threads.
#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <memory>
#include <new>
#include <system_error>
#include <thread>
#include <vector>

#include "tables.h"

namespace reram {

Shape::Shape(const reram_problem& p) {
  signs = p.encoding == RERAM_OFFSET ? 1 : 2;
  tiles = (p.depth + p.rows - 1) / p.rows;
  blocks = (p.outputs + kColumns - 1) / kColumns;
  height = std::min<int64_t>(p.rows, p.depth);
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
  const bool one_bit = p.cell_bits == 1 && p.dac_bits == 1, both = shape.lowest < 0;
  most4 = !one_bit ? -1 : both ? 7 : 15;
  most6 = !one_bit ? -1 : both ? 31 : 63;
  most = !one_bit ? -1 : both ? 127 : 255;
}

namespace {

const Kernels* kernels_of(int isa) {
  if (isa < 0 || isa > reram_best_isa()) return nullptr;
#ifdef RERAM_X86
  if (isa == RERAM_AVX512) return &kAvx512Kernels;
  if (isa == RERAM_AVX2) return &kAvx2Kernels;
#endif
  return &kPortableKernels;
}

bool within(int64_t v, int64_t low, int64_t high) { return low <= v && v <= high; }

bool valid(const reram_problem& p) {
  const int64_t most = int64_t(1) << 40;  // keeps products of two sizes within 64 bits
  return within(p.positions, 0, most) && within(p.groups, 1, 1 << 20) &&
         within(p.depth, 1, 1 << 22) && within(p.outputs, 1, 1 << 22) && within(p.rows, 1, 4096) &&
         within(p.cell_bits, 1, 4) && within(p.dac_bits, 1, 4) && within(p.weight_bits, 1, 8) &&
         within(p.input_bits, 1, 8) && within(p.encoding, RERAM_OFFSET, RERAM_DUAL) &&
         within(p.tables, 1, 1 << 16) && within(p.buckets, 1, 255) && within(p.threads, 1, 1 << 12);
}

int64_t up(int64_t a, int64_t b) { return (a + b - 1) / b; }

// Positions of a task: enough to reuse a tile's cells, few enough that the accumulators and the
// lists of driven word-lines stay in L2, and that every thread finds work until the end.
int64_t task_positions(const Job& job) {
  const reram_problem& p = job.p;
  if (p.positions == 0) return 1;
  constexpr int64_t kMost = 64, kLeast = 8, kCache = 1 << 19;
  const int64_t sums = job.shape.blocks * kColumns * 4;
  const int64_t lines = job.shape.cycles * job.shape.height * 2;
  const int64_t most = std::min(std::max(kCache / (sums + lines), kLeast), kMost);
  const int64_t wanted = p.threads > 1 ? up(4 * int64_t(p.threads), p.groups) : 1;
  if (job.narrow[0]) {
    const int64_t strip = up(p.positions, up(4 * int64_t(p.threads), p.groups));
    return std::min<int64_t>(up(strip, kColumns) * kColumns, kNarrowPositions);
  }
  const int64_t strips = std::max(up(p.positions, most), std::min(wanted, up(p.positions, kLeast)));
  return up(p.positions, strips);
}

std::vector<Task> divide(const Job& job) {
  const reram_problem& p = job.p;
  const int64_t step = task_positions(job);
  // Bit-lines are divided only where positions are too few, since each part packs the inputs anew.
  const int64_t strips = std::max<int64_t>(p.groups * up(p.positions, step), 1);
  const int64_t parts = std::min(job.shape.blocks, up(p.threads, strips));
  const int64_t width = up(job.shape.blocks, parts);
  std::vector<Task> tasks;
  for (int64_t g = 0; g < p.groups; ++g)
    for (int64_t m = 0; m < p.positions; m += step)
      for (int64_t b = 0; b < job.shape.blocks; b += width)
        tasks.push_back(
            {g, m, std::min(m + step, p.positions), b, std::min(b + width, job.shape.blocks)});
  return tasks;
}

// Owns one thread's scratch memory.
class Workspace {
 public:
  Workspace(const Job& job, bool counts, bool bins) {
    const Shape& shape = job.shape;
    const int64_t step = task_positions(job), units = step * shape.cycles;
    // A narrow layer's: units of all slices, and bit-lines of all strips of 64 positions.
    constexpr int64_t kNarrow = kNarrowPositions;
    static_assert(kNarrowPositions == kSlices * kColumns, "serves both");
    const int64_t sets = bins ? int64_t(shape.cycles) * job.p.buckets : 0;
    const int64_t sizes[] = {
        shape.height,                                                     // row
        std::max(step * kCycles * shape.words, shape.sheet_words()) * 8,  // inputs
        std::max(kPaths * units, kNarrow) * int64_t(sizeof(Unit)),        // units
        (std::max(units, kNarrow) * (shape.height + 4) + 128) * 2,        // lines
        step * 4,                                                         // constant
        std::max(shape.blocks * step, kNarrow) * kColumns * 4,            // sums
        counts ? 2 * kSlices * 8 : 0,                                     // counts
        sets * shape.slices * shape.values() * 8,                         // histogram
        sets * int64_t(256) * kSlices * 8,                                // bins
    };
    constexpr int kParts = sizeof sizes / sizeof *sizes;
    int64_t at[kParts], total = 0;
    for (int k = 0; k < kParts; ++k) {
      at[k] = total;
      total += (sizes[k] + 63) / 64 * 64;
    }
    memory_.reset(static_cast<char*>(std::aligned_alloc(64, size_t(total))));
    if (!memory_) throw std::bad_alloc();
    char* base = memory_.get();
    std::fill(base + at[6], base + total, char(0));
    auto part = [&](int k) { return static_cast<void*>(base + at[k]); };
    scratch = {static_cast<uint8_t*>(part(0)),
               static_cast<uint64_t*>(part(1)),
               static_cast<Unit*>(part(2)),
               static_cast<uint16_t*>(part(3)),
               static_cast<uint32_t*>(part(4)),
               static_cast<uint32_t*>(part(5)),
               counts ? static_cast<int64_t*>(part(6)) : nullptr,
               bins ? static_cast<int64_t*>(part(7)) : nullptr,
               bins ? static_cast<int64_t*>(part(8)) : nullptr};
  }
  Scratch scratch;

 private:
  struct Free {
    void operator()(char* memory) const { std::free(memory); }
  };
  std::unique_ptr<char, Free> memory_;
};

// Runs `work(task, scratch)` over all tasks; whole numbers are added up, so the result does not
// depend on which thread took which task.
template <class Work>
std::vector<Workspace> run(const Job& job, bool counts, bool bins, const Work& work) {
  const std::vector<Task> tasks = divide(job);
  // A thread costs tens of microseconds: give each at least about four million bit-line sums.
  const double sums = double(job.p.positions) * double(job.p.groups) * double(job.p.outputs) *
                      double(job.shape.tiles) * job.shape.cycles * job.shape.slices *
                      job.pass_count;
  const int64_t useful = std::max<int64_t>(1, int64_t(sums / 4e6));
  const int64_t threads =
      std::min({int64_t(job.p.threads), useful, std::max<int64_t>(1, int64_t(tasks.size()))});
  std::vector<Workspace> spaces;
  spaces.reserve(size_t(threads));
  for (int64_t k = 0; k < threads; ++k) spaces.emplace_back(job, counts, bins);
  std::atomic<size_t> next{0};
  auto loop = [&](const Scratch& scratch) {
    for (size_t k = next++; k < tasks.size(); k = next++) work(tasks[k], scratch);
  };
  std::vector<std::thread> others;
  others.reserve(size_t(threads - 1));
  for (int64_t k = 1; k < threads; ++k) {
    try {
      others.emplace_back(loop, std::cref(spaces[size_t(k)].scratch));
    } catch (const std::system_error&) {
      break;  // no more threads to be had: those that run take all tasks
    }
  }
  loop(spaces[0].scratch);
  for (std::thread& other : others) other.join();
  return spaces;
}

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
      __builtin_cpu_supports("gfni"))
    return RERAM_AVX512;
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("popcnt")) return RERAM_AVX2;
#endif
  return RERAM_PORTABLE;
}

int32_t reram_crossbar(const reram_problem* problem, const uint8_t* u, const uint64_t* cells,
                       const int32_t* levels, const uint8_t* comparisons, const int32_t* edges,
                       const int32_t* index, int32_t* acc, int64_t* counts) {
  if (!problem || !valid(*problem) || !cells || !levels || !comparisons) return RERAM_BAD_ARGUMENT;
  if (problem->positions && (!u || !acc)) return RERAM_BAD_ARGUMENT;
  const Kernels* kernels = kernels_of(problem->isa);
  if (!kernels) return RERAM_BAD_ISA;
  try {
    Job job(*problem, u, cells);
    if (!valid_edges(*problem, edges) || !valid_index(*problem, job.shape, edges, index))
      return RERAM_BAD_ARGUMENT;
    Tables tables(job, edges);
    if (!tables.set(levels, comparisons, edges, index)) return RERAM_OVERFLOW;
    const auto spaces = run(job, counts, false, [&](const Task& task, const Scratch& scratch) {
      (job.narrow[0] ? kernels->convert_narrow : kernels->convert)(job, task, scratch, acc);
    });
    const int64_t slices = job.shape.slices;
    if (counts) std::fill_n(counts, 2 * slices, 0);
    for (const Workspace& space : spaces)
      for (int64_t j = 0; j < slices && counts; ++j) {
        counts[j] += space.scratch.counts[j];
        counts[slices + j] += space.scratch.counts[kSlices + j];
      }
  } catch (const std::bad_alloc&) {
    return RERAM_NO_MEMORY;
  }
  return RERAM_OK;
}

int32_t reram_histogram(const reram_problem* problem, const uint8_t* u, const uint64_t* cells,
                        const int32_t* edges, int64_t* histogram) {
  if (!problem || !valid(*problem) || !cells || !histogram) return RERAM_BAD_ARGUMENT;
  if (!valid_edges(*problem, edges) || (problem->positions && !u)) return RERAM_BAD_ARGUMENT;
  const Kernels* kernels = kernels_of(problem->isa);
  if (!kernels) return RERAM_BAD_ISA;
  try {
    Job job(*problem, u, cells);
    const Tables tables(job, edges);
    const auto spaces = run(job, false, true, [&](const Task& task, const Scratch& scratch) {
      kernels->histogram(job, task, scratch);
    });
    for (const Workspace& space : spaces) add_bins(job, space.scratch, histogram);
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
