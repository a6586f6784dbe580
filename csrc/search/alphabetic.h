// Optimal alphabetic trees: lossless searches.
#pragma once

#include <cstdint>
#include <vector>

namespace reram::search {

// The depth of each leaf, in order, of a binary tree with the least sum of weight * depth.
std::vector<int> alphabetic_depths(const double* weights, int64_t count);

}  // namespace reram::search
