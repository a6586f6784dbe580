// The CUDA kernels: the phases of actions.h and program.h on a device.
#include <cuda_runtime.h>

#include "cuda/odds.h"
#include "cuda/status.h"

// Parameters that no thread copies: compilers before 11.7 find that out by themselves, or copy.
#if __CUDACC_VER_MAJOR__ * 100 + __CUDACC_VER_MINOR__ >= 1107
#define RERAM_CONSTANT const __grid_constant__
#else
#define RERAM_CONSTANT const
#endif

namespace reram::cuda {

class Machine {
 public:
  explicit Machine(void* stream) : stream_(static_cast<cudaStream_t>(stream)) {}
  bool ask(Device& device);
  template <class Sums, class Action>
  void launch(const Job& job);
  template <bool Bins>
  void launch_chip(const ChipJob& c);
  void transpose(const Job& job, uint32_t* words, int64_t tasks);
  void program(const Job& job, const int16_t* codes, uint64_t* cells, int64_t lines);
  void find_starts(const Job& job);
  void drive_again(const Job& job, int64_t tiles);
  void correct(const OddsJob& o, int64_t tiles);
  void clear(void* memory, int64_t bytes) {
    note(cudaMemsetAsync(memory, 0, size_t(bytes), stream_));
  }
  int32_t status() const { return -int32_t(error_); }

 private:
  void note(cudaError_t error) { error_ = error_ ? error_ : error; }

  cudaStream_t stream_;
  cudaError_t error_ = cudaSuccess;
  int shared_per_block_ = 0;
};

}  // namespace reram::cuda

#include "cuda/chip_calls.h"
#include "cuda/odds_calls.h"

namespace reram::cuda {

constexpr int kThreads = kMaxWarps * kLanes;

// 128 registers a thread, so that the blocks fit.
template <class Sums, class Action>
__global__ void __launch_bounds__(kThreads, kBlocksSideBySide)
    crossbar_kernel(RERAM_CONSTANT Job job) {
  extern __shared__ __align__(16) char memory[];
  run<Sums, Action>(job, Block(), memory);
}

template <bool Bins>
__global__ void __launch_bounds__(kThreads) chip_kernel(RERAM_CONSTANT ChipJob c) {
  extern __shared__ __align__(16) char memory[];
  run_chip<Bins>(c, Block(), memory);
}

__global__ void __launch_bounds__(kThreads)
    transpose_kernel(RERAM_CONSTANT Job job, uint32_t* words, int64_t tasks) {
  const int64_t step = int64_t(gridDim.x) * kMaxWarps;
  for (int64_t k = int64_t(blockIdx.x) * kMaxWarps + threadIdx.x / kLanes; k < tasks; k += step)
    transpose(job, words, k);
}

__global__ void __launch_bounds__(kThreads)
    program_kernel(RERAM_CONSTANT Job job, const int16_t* codes, uint64_t* cells, int64_t lines) {
  const int64_t step = int64_t(gridDim.x) * kThreads;
  for (int64_t k = int64_t(blockIdx.x) * kThreads + threadIdx.x; k < lines; k += step)
    program_line(job, codes, cells, k);
}

__global__ void __launch_bounds__(kThreads) find_starts_kernel(RERAM_CONSTANT Job job) {
  const int64_t k = int64_t(blockIdx.x) * kThreads + threadIdx.x;
  if (k < job.p.tables) find_start(job, k);
}

__global__ void __launch_bounds__(kThreads)
    drive_again_kernel(RERAM_CONSTANT Job job, int64_t tiles) {
  const int64_t step = int64_t(gridDim.x) * kThreads;
  for (int64_t k = int64_t(blockIdx.x) * kThreads + threadIdx.x; k < tiles; k += step)
    drive_again(job, k);
}

__global__ void __launch_bounds__(kThreads)
    correct_kernel(RERAM_CONSTANT OddsJob o, int64_t tiles) {
  const int64_t step = int64_t(gridDim.x) * kThreads;
  for (int64_t k = int64_t(blockIdx.x) * kThreads + threadIdx.x; k < tiles; k += step)
    correct(o, k);
}

// Blocks for small tasks: enough to fill any device, each taking several if there are more.
static unsigned grid_of(int64_t tasks, int64_t of_a_block) {
  constexpr int64_t kMost = 1 << 20;
  return unsigned(std::min(up(tasks, of_a_block), kMost));
}

bool Machine::ask(Device& device) {
  int current = 0;
  auto read = [&](int& value, cudaDeviceAttr attribute) {
    note(cudaDeviceGetAttribute(&value, attribute, current));
  };
  note(cudaGetDevice(&current));
  read(device.processors, cudaDevAttrMultiProcessorCount);
  read(device.shared_per_block, cudaDevAttrMaxSharedMemoryPerBlockOptin);
  read(device.shared_per_processor, cudaDevAttrMaxSharedMemoryPerMultiprocessor);
  shared_per_block_ = device.shared_per_block;
  return error_ == cudaSuccess;
}

template <class Sums, class Action>
void Machine::launch(const Job& job) {
  const auto kernel = crossbar_kernel<Sums, Action>;
  // A limit of the kernel on this device, whoever launches it: were it this launch's need, another
  // thread could lower it before the launch.
  note(
      cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, shared_per_block_));
  const int threads = job.split.row_groups * job.split.column_groups * kLanes;
  kernel<<<unsigned(job.split.grid), threads, size_t(job.split.at.end), stream_>>>(job);
  note(cudaGetLastError());
}

template <bool Bins>
void Machine::launch_chip(const ChipJob& c) {
  const unsigned grid = unsigned(std::min(c.items, kMostBlocks));
  const size_t memory = size_t(ChipShared::bytes(c.job.size.height));  // below what any block may
  chip_kernel<Bins><<<grid, unsigned(c.warps * kLanes), memory, stream_>>>(c);
  note(cudaGetLastError());
}

void Machine::transpose(const Job& job, uint32_t* words, int64_t tasks) {
  transpose_kernel<<<grid_of(tasks, kMaxWarps), kThreads, 0, stream_>>>(job, words, tasks);
  note(cudaGetLastError());
}

void Machine::program(const Job& job, const int16_t* codes, uint64_t* cells, int64_t lines) {
  program_kernel<<<grid_of(lines, kThreads), kThreads, 0, stream_>>>(job, codes, cells, lines);
  note(cudaGetLastError());
}

void Machine::find_starts(const Job& job) {
  find_starts_kernel<<<grid_of(job.p.tables, kThreads), kThreads, 0, stream_>>>(job);
  note(cudaGetLastError());
}

void Machine::drive_again(const Job& job, int64_t tiles) {
  drive_again_kernel<<<grid_of(tiles, kThreads), kThreads, 0, stream_>>>(job, tiles);
  note(cudaGetLastError());
}

void Machine::correct(const OddsJob& o, int64_t tiles) {
  correct_kernel<<<grid_of(tiles, kThreads), kThreads, 0, stream_>>>(o, tiles);
  note(cudaGetLastError());
}

}  // namespace reram::cuda

static_assert(kInsufficientDriver == cudaErrorInsufficientDriver &&
                  kNoDevice == cudaErrorNoDevice &&
                  kNoKernelImage == cudaErrorNoKernelImageForDevice,
              "CUDA's numbers have changed");

const char* reram_cuda_status_text(int32_t status) {
  if (const char* words = words_of(status)) return words;
  return cudaGetErrorString(cudaError_t(-status));
}

int32_t reram_cuda_fitness(void) {
  int driver = 0, devices = 0, device = 0, major = 0, minor = 0;
  cudaError_t error = cudaDriverGetVersion(&driver);  // 0 if there is none
  if (!error) error = cudaGetDeviceCount(&devices);
  if (!error) error = cudaGetDevice(&device);
  if (!error) error = cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device);
  if (!error) error = cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device);
  if (error) cudaGetLastError();  // not to be found by whoever asks next
  if (error == cudaErrorInsufficientDriver) return driver ? RERAM_OLD_DRIVER : RERAM_NO_DRIVER;
  if (error == cudaErrorNoDevice || (!error && !devices)) return RERAM_NO_DEVICE;
  if (error) return -int32_t(error);
  return 10 * major + minor < kLeastCapability ? int32_t(RERAM_OLD_DEVICE) : RERAM_OK;
}
