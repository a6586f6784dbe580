// The C functions of reram_cuda.h on any machine that runs the kernels: a device, or its emulation.
//
// Whoever includes this supplies `struct Machine`, a stream of a device, with
//   bool ask(Device&)                                   its limits
//   launch<Sums, Action>(const Job&)                    the kernel of actions.h
//   transpose(const Job&, uint32_t*, tasks)             a warp each
//   program(const Job&, codes, cells, lines)            a thread each
//   find_starts(const Job&)                             a thread for each table
//   drive_again(const Job&, tiles)                      a thread for each position of a tile
//   clear(void*, bytes)                                 sets memory to zero
//   int32_t status()                                    of everything so far
// and reram_cuda_status_text and reram_cuda_fitness.
#pragma once

#include "common/arguments.h"
#include "cuda/actions.h"
#include "cuda/program.h"

namespace reram::cuda {

template <class Product, class Action>
void launch_one_bit(Machine& machine, const Job& job) {
  job.size.lowest < 0 ? machine.launch<OneBit<Product, true>, Action>(job)
                      : machine.launch<OneBit<Product, false>, Action>(job);
}

template <class Action>
void launch(Machine& machine, const Job& job) {
  if (job.size.cell_bits > 1 || job.size.dac_bits > 1 || job.size.chunks > 1)
    machine.launch<AnyBits, Action>(job);
  else
    launch_one_bit<TensorCores, Action>(machine, job);
}

inline void launch(Machine& machine, const Job& job, int32_t product) {
  const bool one_bit = job.size.cell_bits == 1 && job.size.dac_bits == 1 && job.size.chunks == 1;
  if (job.out.histogram)
    job.split.resident ? launch<Histogram<true>>(machine, job)
                       : launch<Histogram<false>>(machine, job);
  else if (product == RERAM_POPCOUNT && one_bit && job.split.resident)
    job.out.made ? launch_one_bit<Popcount, Convert<true, true>>(machine, job)
                 : launch_one_bit<Popcount, Convert<true, false>>(machine, job);
  else if (job.out.made)
    job.split.resident ? launch<Convert<true, true>>(machine, job)
                       : launch<Convert<false, true>>(machine, job);
  else
    job.split.resident ? launch<Convert<true, false>>(machine, job)
                       : launch<Convert<false, false>>(machine, job);
}

// What crossbar and histogram share: `job` brings the arrays.
inline int32_t run(const reram_problem* problem, int32_t product, Job job, void* workspace,
                   void* stream) {
  const bool ready = problem && job.in.cells && job.in.edges && workspace && valid(*problem);
  if (!ready || product < 0 || product >= RERAM_PRODUCT_COUNT) return RERAM_BAD_ARGUMENT;
  set_sizes(job, *problem);
  if (job.size.positions == 0) return RERAM_OK;
  const double entries = job.out.histogram
                             ? double(problem->buckets) * job.size.cycles * job.size.slices
                             : double(problem->tables);
  if (!job.in.u || entries * job.size.values >= INT32_MAX) return RERAM_BAD_ARGUMENT;
  Machine machine(stream);
  Device device;
  if (!machine.ask(device)) return machine.status();
  if (!divide(job, device)) return RERAM_NO_MEMORY;
  uint32_t* words = static_cast<uint32_t*>(workspace);
  job.in.words = words;
  machine.transpose(job, words, transpose_tasks(job));
  const int64_t tiles = job.size.recoveries && job.out.driven ? tile_positions(job) : 0;
  if (tiles) {
    job.again.escaped = words + transposed_words(job);
    job.again.active = reinterpret_cast<uint16_t*>(job.again.escaped + tiles);
    job.again.starts = reinterpret_cast<uint8_t*>(job.again.active + tiles * kSliceLanes);
    machine.clear(job.again.escaped, tiles * int64_t(sizeof(uint32_t)));
    machine.find_starts(job);
  }
  launch(machine, job, product);
  if (tiles) machine.drive_again(job, tiles);
  return machine.status();
}

}  // namespace reram::cuda

using namespace reram;
using namespace reram::cuda;

int32_t reram_cuda_abi_version(void) { return RERAM_ABI_VERSION; }

int64_t reram_cuda_workspace(const reram_problem* problem) {
  if (!problem || !valid(*problem)) return 0;
  Job job = {};
  set_sizes(job, *problem);
  const int64_t each = sizeof(uint32_t) + kSliceLanes * sizeof(uint16_t);
  const int64_t again = job.size.recoveries ? tile_positions(job) * each + problem->tables : 0;
  return transposed_words(job) * int64_t(sizeof(uint32_t)) + again;
}

int32_t reram_cuda_crossbar(const reram_problem* problem, int32_t product, const uint8_t* u,
                            const uint64_t* cells, const int32_t* levels,
                            const uint8_t* comparisons, const int32_t* edges, const int32_t* index,
                            int32_t* acc, int64_t* made, int64_t* driven, void* workspace,
                            void* stream) {
  if (!levels || !comparisons || !index || !made != !driven) return RERAM_BAD_ARGUMENT;
  Job job = {};
  job.in = {u, cells, nullptr, levels, comparisons, edges, index};
  job.out = {acc, made, driven, nullptr};
  const bool any =
      problem && problem->positions[0] && problem->positions[1] && problem->positions[2];
  return any && !acc ? RERAM_BAD_ARGUMENT : run(problem, product, job, workspace, stream);
}

int32_t reram_cuda_histogram(const reram_problem* problem, int32_t product, const uint8_t* u,
                             const uint64_t* cells, const int32_t* edges, int64_t* histogram,
                             void* workspace, void* stream) {
  if (!histogram) return RERAM_BAD_ARGUMENT;
  Job job = {};
  job.in = {u, cells, nullptr, nullptr, nullptr, edges, nullptr};
  job.out = {nullptr, nullptr, nullptr, histogram};
  return run(problem, product, job, workspace, stream);
}

int32_t reram_cuda_program(const reram_problem* problem, const int16_t* codes, uint64_t* cells,
                           void* stream) {
  if (!problem || !codes || !cells || !valid(*problem)) return RERAM_BAD_ARGUMENT;
  Job job = {};
  set_sizes(job, *problem);
  Machine machine(stream);
  machine.program(job, codes, cells, program_lines(job));
  return machine.status();
}
