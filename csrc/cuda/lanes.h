// Threads, warps and blocks: as the device has them, and as a plain C++ compiler emulates them.
//
// A kernel is written once, as phases of a block (`each_warp`, between barriers) made of steps of a
// warp (`lanes`, between collectives). On the device both run their function once, for the calling
// thread; the emulation loops over all warps and lanes. Values that live from one step to the next
// are PerLane, from one phase to the next PerWarp: a register on the device, an array on the host.
#pragma once

#include <cstdint>

#ifdef __CUDACC__
#define RERAM_BOTH __host__ __device__ __forceinline__
#define RERAM_DEVICE __device__ __forceinline__
#define RERAM_UNROLL _Pragma("unroll")
#else
#define RERAM_BOTH inline
#define RERAM_DEVICE inline
#define RERAM_UNROLL
#endif

namespace reram::cuda {

constexpr int kLanes = 32;
constexpr int kMaxWarps = 8;

// A lane's part of a 16 x 8 product, D of mma.m16n8k128 (PTX ISA, "Matrix Fragments for
// mma.m16n8k128 with .b1"): elements 0, 1 lie in row lane / 4 and 2, 3 eight rows below, in columns
// 2 * (lane % 4) and the next.
struct Quad {
  int32_t v[4];
};
RERAM_BOTH int quad_row(int lane, int e) { return lane / 4 + e / 2 * 8; }
RERAM_BOTH int quad_column(int lane, int e) { return lane % 4 * 2 + e % 2; }

// A lane's part of A, 16 rows of 128 bits: 32 bits of a row from 32 * (lane % 4) on; the rows as
// in Quad.
struct HalfRows {
  uint32_t v[2];
};

#ifdef __CUDACC__

template <class T>
struct PerLane {
  RERAM_DEVICE T& operator[](int) { return value; }
  T value;
};
template <class T>
using PerWarp = PerLane<T>;

template <class Step>
RERAM_DEVICE void lanes(const Step& step) {
  step(int(threadIdx.x % kLanes));
}

struct Block {
  RERAM_DEVICE int64_t index() const { return blockIdx.x; }
  RERAM_DEVICE int64_t count() const { return gridDim.x; }
  RERAM_DEVICE int warps() const { return int(blockDim.x) / kLanes; }
  template <class Phase>
  RERAM_DEVICE void each_warp(const Phase& phase) const {
    phase(int(threadIdx.x) / kLanes);
  }
  RERAM_DEVICE void barrier() const { __syncthreads(); }
};

RERAM_DEVICE void warp_barrier() { __syncwarp(); }
RERAM_DEVICE uint32_t ballot(PerLane<bool>& vote) { return __ballot_sync(~0u, vote.value); }
RERAM_DEVICE uint32_t sum(PerLane<uint32_t>& x) { return __reduce_add_sync(~0u, x.value); }
// The value of the lane whose number differs in one bit.
RERAM_DEVICE PerLane<uint32_t> exchange(PerLane<uint32_t>& x, int bit) {
  return {__shfl_xor_sync(~0u, x.value, bit)};
}
RERAM_DEVICE int popcount(uint32_t x) { return __popc(x); }
RERAM_DEVICE void add(uint32_t* to, uint32_t x) { atomicAdd(to, x); }
RERAM_DEVICE void add(int64_t* to, int64_t x) {
  atomicAdd(reinterpret_cast<unsigned long long*>(to), static_cast<unsigned long long>(x));
}
RERAM_DEVICE void set_bits(uint32_t* to, uint32_t bits) { atomicOr(to, bits); }
template <class T>
RERAM_DEVICE T read_only(const T* at) {
  return __ldg(at);
}

// d += A B: how many bits of each row of A and column of B are both set.
RERAM_DEVICE void multiply(PerLane<HalfRows>& a, PerLane<uint32_t>& b, PerLane<Quad>& d) {
  int32_t* v = d.value.v;
  // Volatile: all lanes take part, so that it may not move into a branch that some do not take.
  asm volatile(
      "mma.sync.aligned.m16n8k128.row.col.s32.b1.b1.s32.and.popc "
      "{%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};"
      : "+r"(v[0]), "+r"(v[1]), "+r"(v[2]), "+r"(v[3])
      : "r"(a.value.v[0]), "r"(a.value.v[1]), "r"(b.value));
}

#else

template <class T>
struct PerLane {
  T& operator[](int lane) { return values[lane]; }
  T values[kLanes] = {};
};
template <class T>
struct PerWarp {
  T& operator[](int warp) { return values[warp]; }
  T values[kMaxWarps] = {};
};

// Alternately up and down: a step that depends on the order of its lanes gives itself away.
template <class Step>
void in_any_order(int count, const Step& step) {
  static bool down = false;
  const bool reverse = down = !down;
  for (int k = 0; k < count; ++k) step(reverse ? count - 1 - k : k);
}

template <class Step>
void lanes(const Step& step) {
  in_any_order(kLanes, step);
}

struct Block {
  int64_t index() const { return index_; }
  int64_t count() const { return count_; }
  int warps() const { return warps_; }
  template <class Phase>
  void each_warp(const Phase& phase) const {
    in_any_order(warps_, phase);
  }
  void barrier() const {}
  int64_t index_, count_;
  int warps_;
};

inline void warp_barrier() {}
inline uint32_t ballot(PerLane<bool>& vote) {
  uint32_t word = 0;
  for (int lane = 0; lane < kLanes; ++lane) word |= uint32_t(vote[lane]) << lane;
  return word;
}
inline uint32_t sum(PerLane<uint32_t>& x) {
  uint32_t total = 0;
  for (uint32_t value : x.values) total += value;
  return total;
}
inline PerLane<uint32_t> exchange(PerLane<uint32_t>& x, int bit) {
  PerLane<uint32_t> y;
  for (int lane = 0; lane < kLanes; ++lane) y[lane] = x[lane ^ bit];
  return y;
}
inline int popcount(uint32_t x) { return __builtin_popcount(x); }
inline void add(uint32_t* to, uint32_t x) { *to += x; }
inline void add(int64_t* to, int64_t x) { *to += x; }
inline void set_bits(uint32_t* to, uint32_t bits) { *to |= bits; }
template <class T>
T read_only(const T* at) {
  return *at;
}

// The instruction as the PTX ISA describes it, with groupID = lane / 4 and threadID_in_group =
// lane % 4. Bit i of the 64 of A lies in row groupID + 8 * (i / 32), column threadID_in_group * 32
// + i % 32; bit i of the 32 of B in row threadID_in_group * 32 + i, column groupID: whole registers
// are 32 neighbours along the 128. Element i of the four of D lies in row groupID + 8 * (i / 2),
// column threadID_in_group * 2 + i % 2.
inline void multiply(PerLane<HalfRows>& a, PerLane<uint32_t>& b, PerLane<Quad>& d) {
  uint64_t rows[16][2] = {}, columns[8][2] = {};
  for (int lane = 0; lane < kLanes; ++lane) {
    const int group = lane >> 2, first = (lane & 3) * 32;
    rows[group][first / 64] |= uint64_t(a[lane].v[0]) << (first % 64);
    rows[group + 8][first / 64] |= uint64_t(a[lane].v[1]) << (first % 64);
    columns[group][first / 64] |= uint64_t(b[lane]) << (first % 64);
  }
  for (int lane = 0; lane < kLanes; ++lane)
    for (int i = 0; i < 4; ++i) {
      const int row = i < 2 ? lane >> 2 : (lane >> 2) + 8, column = (lane & 3) * 2 + (i & 1);
      for (int k = 0; k < 2; ++k)
        d[lane].v[i] += __builtin_popcountll(rows[row][k] & columns[column][k]);
    }
}

#endif

// Bit k of lane l becomes bit l of lane k: halves of ever smaller squares change places.
RERAM_DEVICE void transpose_bits(PerLane<uint32_t>& x) {
  uint32_t low = 0x0000ffff;  // columns of the low half of each square
  RERAM_UNROLL
  for (int size = 16; size; size /= 2, low ^= low << size) {
    PerLane<uint32_t> y = exchange(x, size);
    lanes([&](int lane) {
      x[lane] = lane & size ? (x[lane] & ~low) | (y[lane] >> size & low)
                            : (x[lane] & low) | (y[lane] << size & ~low);
    });
  }
}

}  // namespace reram::cuda
