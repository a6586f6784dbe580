// The CUDA kernels on the host, one thread at a time: what tests compare with the reference where
// there is no device. The same C functions, on host memory; `stream` is not read.
#include <cstring>
#include <vector>

#include "cuda/odds.h"
#include "cuda/status.h"

// Of the emulated device; changed to reach every way of dividing the work.
extern "C" RERAM_API int32_t reram_emulated_shared_memory;
extern "C" RERAM_API int32_t reram_emulated_processors;
int32_t reram_emulated_shared_memory = 227 << 10;
int32_t reram_emulated_processors = 4;
// 10 * major + minor; 0: no device, -1: no driver, -2: an old driver.
extern "C" RERAM_API int32_t reram_emulated_capability;
int32_t reram_emulated_capability = 90;

namespace reram::cuda {

class Machine {
 public:
  explicit Machine(void*) {}
  bool ask(Device& device) {
    device = {reram_emulated_processors, reram_emulated_shared_memory,
              reram_emulated_shared_memory + kReserved};
    return true;
  }
  template <class Sums, class Action>
  void launch(const Job& job);
  template <bool Bins>
  void launch_chip(const ChipJob& c);
  void transpose(const Job& job, uint32_t* words, int64_t tasks);
  void program(const Job& job, const int16_t* codes, uint64_t* cells, int64_t lines);
  void find_starts(const Job& job);
  void drive_again(const Job& job, int64_t tiles);
  void correct(const OddsJob& o, int64_t tiles);
  void clear(void* memory, int64_t bytes) { std::memset(memory, 0, size_t(bytes)); }
  int32_t status() const { return RERAM_OK; }
};

}  // namespace reram::cuda

#include "cuda/chip_calls.h"
#include "cuda/odds_calls.h"

namespace reram::cuda {

template <class Sums, class Action>
void Machine::launch(const Job& job) {
  for (int64_t k = 0; k < job.split.grid; ++k) {
    // A device does not clear shared memory either.
    std::vector<uint64_t> memory(size_t(job.split.at.end) / 8, 0xabababababababab);
    const Block block = {k, job.split.grid, job.split.row_groups * job.split.column_groups};
    reram::cuda::run<Sums, Action>(job, block, reinterpret_cast<char*>(memory.data()));
  }
}

template <bool Bins>
void Machine::launch_chip(const ChipJob& c) {
  const int64_t grid = std::min<int64_t>(c.items, 3);
  for (int64_t k = 0; k < grid; ++k) {
    const size_t words = size_t(ChipShared::bytes(c.job.size.height)) / 8 + 1;
    std::vector<uint64_t> memory(words, 0xabababababababab);
    run_chip<Bins>(c, Block{k, grid, c.warps}, reinterpret_cast<char*>(memory.data()));
  }
}

void Machine::transpose(const Job& job, uint32_t* words, int64_t tasks) {
  for (int64_t k = 0; k < tasks; ++k) reram::cuda::transpose(job, words, k);
}

void Machine::program(const Job& job, const int16_t* codes, uint64_t* cells, int64_t lines) {
  for (int64_t k = 0; k < lines; ++k) program_line(job, codes, cells, k);
}

void Machine::find_starts(const Job& job) {
  for (int64_t k = 0; k < job.p.tables; ++k) find_start(job, k);
}

void Machine::drive_again(const Job& job, int64_t tiles) {
  for (int64_t k = 0; k < tiles; ++k) reram::cuda::drive_again(job, k);
}

void Machine::correct(const OddsJob& o, int64_t tiles) {
  for (int64_t k = tiles; k-- > 0;) reram::cuda::correct(o, k);
}

}  // namespace reram::cuda

const char* reram_cuda_status_text(int32_t status) {
  const char* words = words_of(status);
  return words ? words : "an error of CUDA";
}

int32_t reram_cuda_fitness(void) {
  if (reram_emulated_capability > 0)
    return reram_emulated_capability < kLeastCapability ? int32_t(RERAM_OLD_DEVICE) : RERAM_OK;
  if (reram_emulated_capability == 0) return RERAM_NO_DEVICE;
  return reram_emulated_capability == -1 ? RERAM_NO_DRIVER : RERAM_OLD_DRIVER;
}
