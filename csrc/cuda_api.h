// The C functions of reram_cuda.h on any machine that runs the kernels: a device, or its emulation.
//
// Whoever includes this supplies `struct Machine`, a stream of a device, with
//   bool ask(Device&)                                   its limits
//   launch<Sums, Action>(const Job&)                    the kernel of cuda_actions.h
//   transpose(const Job&, uint32_t*, tasks)             a warp each
//   program(const Job&, codes, cells, lines)            a thread each
//   int32_t status()                                    of everything so far
#pragma once

#include "cuda_actions.h"
#include "cuda_program.h"

namespace reram {

template <class Action>
void launch(Machine& machine, const Job& job, int32_t product) {
  if (job.p.cell_bits > 1 || job.p.dac_bits > 1 || job.chunks > 1)
    machine.launch<AnyBits<TensorCores>, Action>(job);
  else if (product == RERAM_POPCOUNT)
    machine.launch<OneBit<Popcount>, Action>(job);
  else
    machine.launch<OneBit<TensorCores>, Action>(job);
}

inline void launch(Machine& machine, const Job& job, int32_t product) {
  if (job.histogram)
    job.resident ? launch<Histogram<true>>(machine, job, product)
                 : launch<Histogram<false>>(machine, job, product);
  else if (job.counts)
    job.resident ? launch<Convert<true, true>>(machine, job, product)
                 : launch<Convert<false, true>>(machine, job, product);
  else
    job.resident ? launch<Convert<true, false>>(machine, job, product)
                 : launch<Convert<false, false>>(machine, job, product);
}

// What crossbar and histogram share: `job` brings the arrays.
inline int32_t run(const reram_problem* problem, int32_t product, Job job, void* workspace,
                   void* stream) {
  const bool ready = problem && job.cells && job.edges && workspace && valid(*problem);
  if (!ready || product < 0 || product >= RERAM_PRODUCT_COUNT) return RERAM_BAD_ARGUMENT;
  set_sizes(job, *problem);
  if (job.positions == 0) return RERAM_OK;
  const double entries =
      job.histogram ? double(problem->buckets) * job.cycles * job.slices : double(problem->tables);
  if (!job.u || entries * job.values >= INT32_MAX) return RERAM_BAD_ARGUMENT;
  Machine machine(stream);
  Device device;
  if (!machine.ask(device)) return machine.status();
  if (!divide(job, device)) return RERAM_NO_MEMORY;
  uint32_t* words = static_cast<uint32_t*>(workspace);
  job.words = words;
  machine.transpose(job, words, transpose_tasks(job));
  launch(machine, job, product);
  return machine.status();
}

}  // namespace reram

int32_t reram_cuda_abi_version(void) { return RERAM_ABI_VERSION; }

int64_t reram_cuda_workspace(const reram_problem* problem) {
  if (!problem || !reram::valid(*problem)) return 0;
  reram::Job job = {};
  reram::set_sizes(job, *problem);
  return reram::transposed_words(job) * int64_t(sizeof(uint32_t));
}

int32_t reram_cuda_crossbar(const reram_problem* problem, int32_t product, const uint8_t* u,
                            const uint64_t* cells, const int32_t* levels,
                            const uint8_t* comparisons, const int32_t* edges, const int32_t* index,
                            int32_t* acc, int64_t* counts, void* workspace, void* stream) {
  if (!levels || !comparisons || !index) return RERAM_BAD_ARGUMENT;
  reram::Job job = {};
  job.u = u, job.cells = cells, job.levels = levels, job.comparisons = comparisons;
  job.edges = edges, job.index = index, job.acc = acc, job.counts = counts;
  const bool any =
      problem && problem->positions[0] && problem->positions[1] && problem->positions[2];
  return any && !acc ? RERAM_BAD_ARGUMENT : reram::run(problem, product, job, workspace, stream);
}

int32_t reram_cuda_histogram(const reram_problem* problem, int32_t product, const uint8_t* u,
                             const uint64_t* cells, const int32_t* edges, int64_t* histogram,
                             void* workspace, void* stream) {
  if (!histogram) return RERAM_BAD_ARGUMENT;
  reram::Job job = {};
  job.u = u, job.cells = cells, job.edges = edges, job.histogram = histogram;
  return reram::run(problem, product, job, workspace, stream);
}

int32_t reram_cuda_program(const reram_problem* problem, const int8_t* codes, uint64_t* cells,
                           void* stream) {
  if (!problem || !codes || !cells || !reram::valid(*problem)) return RERAM_BAD_ARGUMENT;
  reram::Job job = {};
  reram::set_sizes(job, *problem);
  reram::Machine machine(stream);
  machine.program(job, codes, cells, reram::program_lines(job));
  return machine.status();
}
