// Threads of the OpenMP runtime that is in the process. Its threads are awake between two layers; a
// new thread often starts late.
#include "cpu/team.h"

#if defined(__linux__) && !defined(_OPENMP)
#include <dlfcn.h>

#include <atomic>
#include <initializer_list>
#endif

namespace reram::cpu {

#ifdef _OPENMP

bool have_team() { return true; }

void run_team(int threads, void (*work)(void*), void* data) {
#pragma omp parallel num_threads(threads) if (threads > 1)
  work(data);
}

#elif defined(__linux__)

namespace {

// What a compiler makes of `#pragma omp parallel`: every runtime on Linux has it (libgomp, and
// LLVM's and Intel's for code of GCC).
using Parallel = void (*)(void (*work)(void*), void* data, unsigned threads, unsigned flags);

// Of a library that is loaded already, or of those that it depends on, in their order. The library
// stays loaded from now on.
Parallel parallel_of(const char* library) {
  void* handle = dlopen(library, RTLD_LAZY | RTLD_NOLOAD);
  void* found = handle ? dlsym(handle, "GOMP_parallel") : nullptr;
  if (handle && !found) dlclose(handle);
  return reinterpret_cast<Parallel>(found);
}

// The runtime that torch uses: torch's wheels name their copy as they like. Only without torch any
// other.
Parallel find_parallel() {
  for (const char* library :
       {"libtorch_cpu.so", "libgomp.so.1", "libomp.so.5", "libomp.so", "libiomp5.so"})
    if (const Parallel found = parallel_of(library)) return found;
  return reinterpret_cast<Parallel>(dlsym(RTLD_DEFAULT, "GOMP_parallel"));
}

Parallel parallel() {
  static std::atomic<Parallel> known{nullptr};  // until then it may still come
  Parallel found = known.load(std::memory_order_relaxed);
  if (!found && (found = find_parallel())) known.store(found, std::memory_order_relaxed);
  return found;
}

}  // namespace

bool have_team() { return parallel() != nullptr; }

void run_team(int threads, void (*work)(void*), void* data) {
  const Parallel found = threads > 1 ? parallel() : nullptr;
  if (found)
    found(work, data, unsigned(threads), 0);
  else
    work(data);
}

#else

bool have_team() { return false; }

void run_team(int, void (*work)(void*), void* data) { work(data); }

#endif

}  // namespace reram::cpu
