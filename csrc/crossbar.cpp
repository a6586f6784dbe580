// Argument checks, choice of the kernel, and the division of work among threads.
#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <memory>
#include <new>
#include <system_error>
#include <thread>
#include <vector>

#include "kernel.h"

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

// The tables of a problem in the forms that the kernels look up, and the memory behind them.
class Tables {
 public:
  // Histograms need the buckets only.
  Tables(Job& job, const int32_t* edges) : job_(job), sets_(job.p.buckets * job.shape.cycles) {
    bucket_of_.resize(size_t(job.shape.height) + 1);
    for (int64_t active = 0, bucket = 0; active <= job.shape.height; ++active) {
      while (bucket + 1 < job.p.buckets && edges[bucket + 1] <= active) ++bucket;
      bucket_of_[size_t(active)] = uint8_t(bucket);
    }
    job.bucket_of = bucket_of_.data();
  }

  // False if the tables could overflow the accumulator.
  bool set(const int32_t* levels, const uint8_t* comparisons, const int32_t* edges,
           const int32_t* index) {
    job_.levels = levels;
    job_.comparisons = comparisons;
    job_.index = index;
    if (!fits()) return false;
    empty_acc_.assign(size_t(job_.shape.cycles), 0);
    for (int i = 0; i < job_.shape.cycles; ++i)
      for (int q = 0; q < job_.pass_count; ++q)
        for (int j = 0; j < job_.shape.slices; ++j) {
          const int64_t table = job_.table(job_.set(0, i), j);
          if (table >= 0)
            empty_acc_[size_t(i)] += uint32_t(job_.passes[q].sign) * uint32_t(levels[table])
                                     << (j * job_.p.cell_bits);
        }
    job_.empty_acc = empty_acc_.data();
    if (job_.most >= 0) pack(edges);
    return true;
  }

 private:
  // The least and the most that acc can be. Intermediate sums may wrap: they are unsigned, so only
  // the final value has to fit.
  bool fits() const {
    const reram_problem& p = job_.p;
    const Shape& shape = job_.shape;
    std::vector<std::pair<int64_t, int64_t>> ranges(static_cast<size_t>(p.tables));
    for (int k = 0; k < p.tables; ++k) {
      const int32_t* first = job_.levels + k * shape.values();
      const auto range = std::minmax_element(first, first + shape.values());
      ranges[size_t(k)] = {*range.first, *range.second};
    }
    double least = 0, most = 0;  // exact: far fewer than 2^53
    for (int q = 0; q < job_.pass_count; ++q)
      for (int i = 0; i < shape.cycles; ++i)
        for (int j = 0; j < shape.slices; ++j) {
          int64_t low = INT64_MAX, high = INT64_MIN;
          for (int b = 0; b < p.buckets; ++b) {
            const int32_t table = job_.index[job_.set(b, i) * shape.slices + j];
            const auto range = table < 0 ? std::pair<int64_t, int64_t>() : ranges[size_t(table)];
            const int64_t x = job_.passes[q].sign * range.first;
            const int64_t y = job_.passes[q].sign * range.second;
            low = std::min({low, x, y});
            high = std::max({high, x, y});
          }
          const double weight = double(int64_t(1) << (i * p.dac_bits + j * p.cell_bits));
          least += double(low) * weight;
          most += double(high) * weight;
        }
    const double ones = double((int64_t(1) << p.input_bits) - 1);
    const double offset =
        p.encoding == RERAM_OFFSET ? double(p.depth) * ones * double(1 << (p.weight_bits - 1)) : 0;
    const double tiles = double(shape.tiles);
    return least * tiles - offset >= -2147483648.0 && most * tiles <= 2147483647.0;
  }

  // Byte tables for the vector path, each over the sums that its bucket can have.
  void pack(const int32_t* edges) {
    const Shape& shape = job_.shape;
    const size_t slices = size_t(shape.slices), per_pass = size_t(sets_) * slices;
    bytes_.resize(per_pass * size_t(job_.pass_count) + 1);
    vector_acc_.assign(size_t(sets_), 0);
    for (int q = 0; q < job_.pass_count; ++q) {
      pointers_[q].assign(size_t(sets_) * kSlices, &bytes_.back());  // no cells: all zero
      for (int set = 0; set < sets_; ++set) {
        const int bucket = set / shape.cycles;
        const int32_t last = bucket + 1 < job_.p.buckets ? edges[bucket + 1] - 1 : shape.highest;
        const int32_t reach = std::min({last, shape.highest, int32_t(job_.most)});
        for (int j = 0; j < shape.slices; ++j) {
          ByteTables& to = bytes_[size_t(q) * per_pass + size_t(set) * slices + size_t(j)];
          const int64_t table = job_.table(set, j);
          const ByteTables*& pointer = pointers_[q][size_t(set * kSlices + j)];
          pointer = &to;
          if (table < 0) continue;
          int64_t base = 0;
          if (!fill(to, job_.passes[q].sign, table, reach, base)) {
            pointers_[0][size_t(set * kSlices)] = nullptr;
            break;
          }
          vector_acc_[size_t(set)] += uint32_t(base) << j;
        }
      }
      job_.bytes[q] = pointers_[q].data();
    }
    // A set that one pass cannot serve is refused by the first pointer of the first pass.
    job_.vector_acc = vector_acc_.data();
  }

  bool fill(ByteTables& to, int sign, int64_t table, int32_t reach, int64_t& base) const {
    const int32_t from = job_.shape.lowest < 0 ? -reach : 0;
    auto level = [&](int32_t v) { return int64_t(sign) * job_.levels[table + v]; };
    int64_t low = INT64_MAX, high = INT64_MIN;
    for (int32_t v = from; v <= reach; ++v) {
      low = std::min(low, level(v));
      high = std::max(high, level(v));
    }
    if (high - low > 255) return false;
    base = low + 128;
    for (int32_t v = from; v <= reach; ++v) {
      to.level8[uint8_t(v)] = int8_t(level(v) - base);
      to.comparisons8[uint8_t(v)] = job_.comparisons[table + v];
    }
    auto narrow = [&](int bits, int8_t* levels, uint8_t* made) {
      const int half = from < 0 ? 1 << (bits - 1) : 0;
      for (int v = -half; v < (1 << bits) - half; ++v) {
        levels[v & ((1 << bits) - 1)] = to.level8[uint8_t(v)];
        made[v & ((1 << bits) - 1)] = to.comparisons8[uint8_t(v)];
      }
    };
    narrow(6, to.level6, to.comparisons6);
    narrow(4, to.level4, to.comparisons4);
    for (int k = 16; k < 64; ++k) {
      to.level4[k] = to.level4[k - 16];
      to.comparisons4[k] = to.comparisons4[k - 16];
    }
    return true;
  }

  Job& job_;
  const int sets_;
  std::vector<uint8_t> bucket_of_;
  std::vector<uint32_t> empty_acc_, vector_acc_;
  std::vector<ByteTables> bytes_;
  std::vector<const ByteTables*> pointers_[kMaxPasses];
};

bool valid_edges(const reram_problem& p, const int32_t* edges) {
  if (!edges || edges[0] != 0) return false;
  for (int b = 1; b < p.buckets; ++b)
    if (edges[b] <= edges[b - 1]) return false;
  return true;
}

bool valid_index(const reram_problem& p, const Shape& shape, const int32_t* edges,
                 const int32_t* index) {
  if (!index) return false;
  const int64_t each = int64_t(shape.cycles) * shape.slices;
  const bool may_skip = p.buckets > 1 && edges[1] == 1;
  for (int64_t k = 0; k < p.buckets * each; ++k)
    if (index[k] >= p.tables || index[k] < (may_skip && k < each ? -1 : 0)) return false;
  return true;
}

}  // namespace

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
    const int64_t sets = bins ? int64_t(shape.cycles) * job.p.buckets : 0;
    const int64_t sizes[] = {
        shape.height,                              // row
        step * kCycles * shape.words * 8,          // inputs
        kPaths * units * int64_t(sizeof(Unit)),    // units
        (units * (shape.height + 4) + 128) * 2,    // lines
        step * 4,                                  // constant
        shape.blocks * step * kColumns * 4,        // sums
        counts ? 2 * kSlices * 8 : 0,              // counts
        sets * shape.slices * shape.values() * 8,  // histogram
        sets * int64_t(256) * kSlices * 8,         // bins
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
      kernels->convert(job, task, scratch, acc);
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
