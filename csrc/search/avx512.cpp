// AVX-512: eight lanes.
#include <immintrin.h>
#define RERAM_ISA avx512
#include "search/rows.h"

namespace reram::search::RERAM_ISA {
namespace {

struct Lanes {
  static constexpr int kCount = 8, kBlock = 8;
  __m512d lanes;

  static Lanes all(double x) { return {_mm512_set1_pd(x)}; }
  static Lanes load(const double* from) { return {_mm512_loadu_pd(from)}; }
  void store(double* to) const { _mm512_storeu_pd(to, lanes); }
  Lanes operator+(Lanes x) const { return {_mm512_add_pd(lanes, x.lanes)}; }
  Lanes operator*(Lanes x) const { return {_mm512_mul_pd(lanes, x.lanes)}; }
  Lanes least(Lanes x) const { return {_mm512_min_pd(x.lanes, lanes)}; }
};

}  // namespace

const Kernels kKernels = {costs<Lanes>, best<Lanes>, join<Lanes>};

}  // namespace reram::search::RERAM_ISA
