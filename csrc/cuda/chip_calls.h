// The C functions of chips in reram_cuda.h: see calls.h. The machine also has
//   launch_chip<Bins>(const ChipJob&)   the kernel of chip_actions.h
#pragma once

#include "cuda/calls.h"
#include "cuda/chip_actions.h"

namespace reram::cuda {

// What both share: `job` brings the arrays.
inline int32_t run_chips(const reram_problem* problem, const reram_chip* chip, Job job,
                         void* workspace, void* stream) {
  const bool ready = problem && job.in.edges && workspace && valid(*problem);
  if (!ready || !valid_chip(*problem, chip)) return RERAM_BAD_ARGUMENT;
  set_sizes(job, *problem);
  if (job.size.positions == 0) return RERAM_OK;
  if (!job.in.u) return RERAM_BAD_ARGUMENT;
  ChipJob c = {};
  c.job = job;
  c.chip = *chip;
  divide(c);
  Machine machine(stream);
  const int64_t tiles = job.size.recoveries && job.out.driven ? tile_positions(job) : 0;
  if (tiles) {
    Again& again = c.job.again;
    again.escaped = static_cast<uint32_t*>(workspace);
    again.active = reinterpret_cast<uint16_t*>(again.escaped + tiles);
    again.starts = reinterpret_cast<uint8_t*>(again.active + tiles * kSliceLanes);
    machine.clear(again.escaped, tiles * int64_t(sizeof(uint32_t)));
    machine.find_starts(c.job);
  }
  job.out.histogram ? machine.launch_chip<true>(c) : machine.launch_chip<false>(c);
  if (tiles) machine.drive_again(c.job, tiles);
  return machine.status();
}

}  // namespace reram::cuda

int32_t reram_cuda_chip_crossbar(const reram_problem* problem, const reram_chip* chip,
                                 const uint8_t* u, const int32_t* levels,
                                 const uint8_t* comparisons, const int32_t* edges,
                                 const int32_t* index, int32_t* acc, int64_t* made, int64_t* driven,
                                 void* workspace, void* stream) {
  if (!levels || !comparisons || !index || !made != !driven) return RERAM_BAD_ARGUMENT;
  Job job = {};
  job.in = {u, nullptr, nullptr, levels, comparisons, edges, index};
  job.out = {acc, made, driven, nullptr};
  const bool any =
      problem && problem->positions[0] && problem->positions[1] && problem->positions[2];
  return any && !acc ? RERAM_BAD_ARGUMENT : run_chips(problem, chip, job, workspace, stream);
}

int32_t reram_cuda_chip_histogram(const reram_problem* problem, const reram_chip* chip,
                                  const uint8_t* u, const int32_t* edges, int64_t* histogram,
                                  void* workspace, void* stream) {
  if (!histogram) return RERAM_BAD_ARGUMENT;
  Job job = {};
  job.in = {u, nullptr, nullptr, nullptr, nullptr, edges, nullptr};
  job.out = {nullptr, nullptr, nullptr, histogram};
  return run_chips(problem, chip, job, workspace, stream);
}
