// Why a device cannot run the kernels, in words that say what to do about it.
#pragma once

#include "api/reram_cuda.h"

namespace reram::cuda {

constexpr int kLeastCapability = 80;  // 10 * major + minor: what the tensor-core product needs

// CUDA's own numbers for the same causes.
constexpr int kInsufficientDriver = 35, kNoDevice = 100, kNoKernelImage = 209;

// Null for what only CUDA's runtime can name.
inline const char* words_of(int32_t status) {
  switch (status) {
    case RERAM_OK:
      return "no error";
    case RERAM_BAD_ARGUMENT:
      return "an argument is out of range";
    case RERAM_NO_MEMORY:
      return "the device has too little shared memory";
    case RERAM_NO_DRIVER:
      return "no NVIDIA driver is installed";
    case RERAM_OLD_DRIVER:
      return "the NVIDIA driver is older than this library's CUDA: update it";
    case -kInsufficientDriver:
      return "there is no NVIDIA driver, or it is older than this library's CUDA";
    case RERAM_NO_DEVICE:
    case -kNoDevice:
      return "there is no CUDA device (is CUDA_VISIBLE_DEVICES empty?)";
    case RERAM_OLD_DEVICE:
      return "the CUDA device has a compute capability below 8.0 (Ampere)";
    case -kNoKernelImage:
      return "this library has no code for the CUDA device: it needs a compute capability of 8.0 "
             "or "
             "more";
    default:
      return nullptr;
  }
}

}  // namespace reram::cuda
