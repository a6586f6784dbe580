// Any machine: two lanes, which every 64-bit processor has.
#define RERAM_ISA portable
#include "search/rows.h"

namespace reram::search::RERAM_ISA {
namespace {

struct Lanes {
  static constexpr int kCount = 2, kBlock = 4;
  double lanes[kCount];

  static Lanes all(double x) { return {{x, x}}; }
  static Lanes load(const double* from) { return {{from[0], from[1]}}; }
  void store(double* to) const {
    to[0] = lanes[0];
    to[1] = lanes[1];
  }
  Lanes operator+(Lanes x) const { return {{lanes[0] + x.lanes[0], lanes[1] + x.lanes[1]}}; }
  Lanes operator*(Lanes x) const { return {{lanes[0] * x.lanes[0], lanes[1] * x.lanes[1]}}; }
  Lanes least(Lanes x) const {
    return {{RERAM_ISA::least(lanes[0], x.lanes[0]), RERAM_ISA::least(lanes[1], x.lanes[1])}};
  }
};

}  // namespace

const Kernels kKernels = {costs<Lanes>, best<Lanes>, join<Lanes>};

}  // namespace reram::search::RERAM_ISA
