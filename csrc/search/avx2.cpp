// AVX2: four lanes.
#include <immintrin.h>
#define RERAM_ISA avx2
#include "search/rows.h"

namespace reram::search::RERAM_ISA {
namespace {

struct Lanes {
  static constexpr int kCount = 4, kBlock = 8;
  __m256d lanes;

  static Lanes all(double x) { return {_mm256_set1_pd(x)}; }
  static Lanes load(const double* from) { return {_mm256_loadu_pd(from)}; }
  void store(double* to) const { _mm256_storeu_pd(to, lanes); }
  Lanes operator+(Lanes x) const { return {_mm256_add_pd(lanes, x.lanes)}; }
  Lanes operator*(Lanes x) const { return {_mm256_mul_pd(lanes, x.lanes)}; }
  Lanes least(Lanes x) const { return {_mm256_min_pd(x.lanes, lanes)}; }
};

}  // namespace

const Kernels kKernels = {costs<Lanes>, best<Lanes>, join<Lanes>};

}  // namespace reram::search::RERAM_ISA
