// The hash of content by which stale cells are told.
#pragma once

#include <cstring>

#include "cpu/job.h"

namespace reram::cpu::RERAM_ISA {
namespace {

constexpr int kHashLanes = 32;  // so many steps at once hide the multiplier's latency
constexpr int kHashBytes = kHashLanes * 8;
// Odd, and without a pattern. Two of them: what the halves of a word become is not to cancel.
constexpr uint64_t kLowFactor = 0x9e3779b1, kHighFactor = 0x85ebca6b;

// One step of a lane: products of both halves, those of the upper one turned about, so that a
// difference in any bit reaches all of them two steps later.
inline uint64_t hash_step(uint64_t h, uint64_t word) {
  h ^= word;
  const uint64_t high = (h >> 32) * kHighFactor;
  return (h & 0xffffffff) * kLowFactor ^ (high << 32 | high >> 32);
}

// For any machine.
struct PlainHash {
  // `count` blocks of kHashBytes into the lanes.
  static void hash_blocks(const unsigned char* data, int64_t count, uint64_t* lanes) {
    for (; count--; data += kHashBytes)
      for (int k = 0; k < kHashLanes; ++k) {
        uint64_t word;
        std::memcpy(&word, data + 8 * k, 8);
        lanes[k] = hash_step(lanes[k], word);
      }
  }
};

template <class Vec>
uint64_t fingerprint(const unsigned char* data, int64_t bytes) {
  alignas(64) uint64_t lanes[kHashLanes], tail[kHashLanes] = {};
  for (int k = 0; k < kHashLanes; ++k) lanes[k] = uint64_t(k + 1) * 0x9e3779b97f4a7c15;
  const int64_t blocks = bytes / kHashBytes, left = bytes % kHashBytes;
  Vec::hash_blocks(data, blocks, lanes);
  if (left) {
    std::memcpy(tail, data + bytes - left, size_t(left));
    Vec::hash_blocks(reinterpret_cast<const unsigned char*>(tail), 1, lanes);
  }
  uint64_t hash = uint64_t(bytes);
  for (uint64_t lane : lanes) hash = hash_step(hash_step(hash_step(hash, lane), 0), 0);
  return hash;
}

}  // namespace
}  // namespace reram::cpu::RERAM_ISA
