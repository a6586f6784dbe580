// The C functions of chips without cells in reram_cuda.h: see calls.h. The machine also has
//   correct(const OddsJob&, tiles)   a thread for each tile of a position and group
#pragma once

#include "cuda/calls.h"
#include "cuda/odds.h"

namespace reram::cuda {

// What both share: `job` brings the arrays.
inline int32_t run_odds(const reram_problem* problem, int32_t product, const reram_odds* odds,
                        Job job, void* workspace, void* stream) {
  if (!problem || !valid(*problem) || !valid_odds(*problem, odds)) return RERAM_BAD_ARGUMENT;
  const int32_t status = run(problem, product, job, workspace, stream);
  set_sizes(job, *problem);
  if (status || job.size.positions == 0) return status;
  Machine machine(stream);
  machine.correct({job, *odds}, tile_positions(job));
  return machine.status();
}

}  // namespace reram::cuda

int32_t reram_cuda_odds_crossbar(const reram_problem* problem, int32_t product,
                                 const reram_odds* odds, const uint8_t* u, const uint64_t* cells,
                                 const int32_t* levels, const uint8_t* comparisons,
                                 const int32_t* edges, const int32_t* index, int32_t* acc,
                                 int64_t* made, int64_t* driven, void* workspace, void* stream) {
  if (!levels || !comparisons || !index || !made != !driven) return RERAM_BAD_ARGUMENT;
  Job job = {};
  job.in = {u, cells, nullptr, levels, comparisons, edges, index};
  job.out = {acc, made, driven, nullptr};
  const bool any =
      problem && problem->positions[0] && problem->positions[1] && problem->positions[2];
  return any && !acc ? RERAM_BAD_ARGUMENT
                     : run_odds(problem, product, odds, job, workspace, stream);
}

int32_t reram_cuda_odds_histogram(const reram_problem* problem, int32_t product,
                                  const reram_odds* odds, const uint8_t* u, const uint64_t* cells,
                                  const int32_t* edges, int64_t* histogram, void* workspace,
                                  void* stream) {
  if (!histogram) return RERAM_BAD_ARGUMENT;
  Job job = {};
  job.in = {u, cells, nullptr, nullptr, nullptr, edges, nullptr};
  job.out = {nullptr, nullptr, nullptr, histogram};
  return run_odds(problem, product, odds, job, workspace, stream);
}
