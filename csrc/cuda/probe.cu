// Whether a compiler knows what the kernels need: C++17, the instruction of the tensor cores, and
// the architectures it is asked for.
#include <cuda_runtime.h>

#include "cuda/lanes.h"

namespace reram::cuda {

__global__ void probe(uint32_t* x) {
  PerLane<HalfRows> a;
  PerLane<uint32_t> b;
  PerLane<Quad> d;
  lanes([&](int lane) { a[lane] = {{x[lane], x[lane + 1]}}, b[lane] = x[lane], d[lane] = {}; });
  multiply(a, b, d);
  lanes([&](int lane) { b[lane] = uint32_t(d[lane].v[0]); });
  const uint32_t total = sum(b);
  lanes([&](int lane) { x[lane] = total; });
}

}  // namespace reram::cuda

int main() { return cudaGetLastError(); }
