// The C interface of chips without cells: the ideal path, and then what the conversions that err
// change.
#include "common/odds.h"

#include <algorithm>
#include <new>
#include <vector>

#include "cpu/dispatch.h"

namespace reram::cpu {
namespace {

bool below(const uint8_t* numbers, int64_t count, int32_t limit) {
  return std::all_of(numbers, numbers + count, [=](uint8_t n) { return n < limit; });
}

// Whether a problem may be called with odds.
bool valid_call(const reram_problem* problem, const reram_odds* odds) {
  if (!reram::cpu::valid_call(problem) || !valid_odds(*problem, odds)) return false;
  const int64_t *waits = odds->waits, *hazards = odds->hazards;
  const auto possible = [](int64_t h) { return within(h, 0, kMostHazard); };
  return below(odds->kind_of, problem->cycles * problem->slices, odds->kinds) &&
         below(odds->row_of, problem->rows + 1, odds->driven_rows) &&
         std::all_of(hazards, hazards + problem->cycles * odds->driven_rows, possible) &&
         std::all_of(waits, waits + kWaits, possible) && std::is_sorted(waits, waits + kWaits);
}

// Lets a job's results be corrected; owns the memory behind it.
class ServedOdds {
 public:
  ServedOdds(Job& job, const reram_odds& given) {
    const int64_t each = job.p.outputs * job.pass_count * job.shape.slices;
    for (int i = 0; i < job.shape.cycles; ++i)
      for (int64_t driven = 0; driven <= job.shape.height; ++driven) {
        const uint8_t row = given.row_of[driven];
        const int64_t hazard = given.hazards[i * given.driven_rows + row];
        const int set = job.set(job.tables.bucket_of[driven], i);
        cycles_.push_back({each * hazard, places_in(hazard), set, row});
      }
    odds_ = {given, cycles_.data()};
    job.odds = &odds_;
  }
  ServedOdds(const ServedOdds&) = delete;

 private:
  std::vector<OddsCycle> cycles_;
  Odds odds_;
};

// Adds the changes of comparisons that one thread counted.
void add_changes(const Job& job, const Scratch& from, int64_t* made) {
  const int slices = job.shape.slices;
  for (int i = 0; i < job.shape.cycles; ++i)
    for (int j = 0; j < slices; ++j)
      made[i * slices + j] += from.counts[(i * kSlices + j) * kCountLanes];
}

}  // namespace
}  // namespace reram::cpu

using namespace reram;
using namespace reram::cpu;

int32_t reram_odds_crossbar(const reram_problem* problem, const reram_odds* odds, const uint8_t* u,
                            const uint64_t* cells, const int32_t* levels,
                            const uint8_t* comparisons, const int32_t* edges, const int32_t* index,
                            int32_t* acc, int64_t* made, int64_t* driven) {
  if (!valid_call(problem, odds) || !cells || !levels || !comparisons) return RERAM_BAD_ARGUMENT;
  if (!made != !driven) return RERAM_BAD_ARGUMENT;
  const Kernels* kernels = kernels_of(problem->isa);
  if (!kernels) return RERAM_BAD_ISA;
  try {
    Job job(*problem, u, cells);
    if (job.shape.positions && (!u || !acc)) return RERAM_BAD_ARGUMENT;
    if (!valid_edges(*problem, edges) || !valid_index(*problem, job.shape, index))
      return RERAM_BAD_ARGUMENT;
    job.any_sum = true;
    Tables tables(job, edges);
    if (!tables.set(levels, comparisons, edges, index, made)) return RERAM_OVERFLOW;
    const Windows windows(job);
    const auto nothing = [](int64_t) {};
    convert_all(job, *kernels, 0, nothing, acc, made, driven);
    const ServedOdds served(job, *odds);
    const auto work = [&](const Task& task, const Scratch& s) {
      kernels->correct(job, task, s, acc);
    };
    for (const Workspace& space : run(job, made, false, 0, nothing, work))
      if (made) add_changes(job, space.scratch, made);
  } catch (const std::bad_alloc&) {
    return RERAM_NO_MEMORY;
  }
  return RERAM_OK;
}

int32_t reram_odds_histogram(const reram_problem* problem, const reram_odds* odds, const uint8_t* u,
                             const uint64_t* cells, const int32_t* edges, int64_t* histogram) {
  if (!valid_call(problem, odds)) return RERAM_BAD_ARGUMENT;
  const int32_t status = reram_histogram(problem, u, cells, edges, histogram);
  if (status) return status;
  const Kernels* kernels = kernels_of(problem->isa);
  try {
    Job job(*problem, u, cells);
    Tables tables(job, edges);
    const Windows windows(job);
    const ServedOdds served(job, *odds);
    const auto work = [&](const Task& task, const Scratch& s) {
      kernels->correct_histogram(job, task, s);
    };
    for (const Workspace& space : run(job, false, true, 0, [](int64_t) {}, work))
      add_bins(job, space.scratch, histogram);
  } catch (const std::bad_alloc&) {
    return RERAM_NO_MEMORY;
  }
  return RERAM_OK;
}
