// Garsia and Wachs, 1977 (Knuth, The Art of Computer Programming 3, 6.2.2, algorithm G).
//
// What a lossless search costs: every value has a leaf of its own, so there are n - 1 nodes, whose
// words are a constant, and every conversion starts, which is another. What is left to minimise is
// the price of a comparison times sum of count * depth over the leaves in order: an optimal
// alphabetic tree. The algorithm builds a tree over the same leaves in another order by always
// joining, of the first three neighbours x, y, z with x <= z, the first two, and putting the result
// behind the next x' >= x + y on its left; its depths are those of an optimal tree in order.
//
// Weights are whole numbers, so that sums and comparisons are exact and the depths are those of a
// tree: 62 bits for all of them, so that what rounding changes is below 1e-13 of the cost. Where
// weights are equal, numbers of leaves decide: that is the same order of weights and a small one
// for each leaf, and keeps trees over values never seen balanced.
#include "search/alphabetic.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace reram::search {
namespace {

constexpr int kNone = -1;
constexpr int kChunk = 64;  // neighbours that are passed over at once, if all are lighter

struct Weight {
  uint64_t weight;
  int64_t leaves;
  bool operator<(const Weight& x) const {
    return weight != x.weight ? weight < x.weight : leaves < x.leaves;
  }
  Weight operator+(const Weight& x) const { return {weight + x.weight, leaves + x.leaves}; }
};

// The nodes that wait to be joined, in order: a list, in chunks that know the heaviest they held.
class Waiting {
 public:
  explicit Waiting(int64_t nodes) : nodes_(size_t(nodes)) {}

  const Weight& weight(int node) const { return nodes_[size_t(node)].weight; }
  int before(int node) const { return node == kNone ? kNone : nodes_[size_t(node)].before; }
  int last() const { return last_; }

  // Puts a node behind another, or first.
  void insert(int node, int behind, Weight weight) {
    Node& self = nodes_[size_t(node)];
    const int after = behind == kNone ? first_ : nodes_[size_t(behind)].after;
    const int near = behind != kNone ? behind : after;
    const int chunk = near == kNone ? new_chunk(kNone) : nodes_[size_t(near)].chunk;
    self = {weight, behind, after, chunk};
    (behind == kNone ? first_ : nodes_[size_t(behind)].after) = node;
    (after == kNone ? last_ : nodes_[size_t(after)].before) = node;
    Chunk& mine = chunks_[size_t(chunk)];
    if (behind == kNone) mine.first = node;
    if (mine.most < weight) mine.most = weight;
    if (++mine.size > kChunk) split(chunk);
  }

  void remove(int node) {
    const Node& self = nodes_[size_t(node)];
    (self.before == kNone ? first_ : nodes_[size_t(self.before)].after) = self.after;
    (self.after == kNone ? last_ : nodes_[size_t(self.after)].before) = self.before;
    Chunk& mine = chunks_[size_t(self.chunk)];
    --mine.size;
    if (mine.first == node) mine.first = self.after;  // another chunk's, if this one is empty
  }

  // The nearest node on the left of one that is not lighter than a weight.
  int nearest(int node, const Weight& weight) const {
    node = before(node);
    while (node != kNone && nodes_[size_t(node)].weight < weight) {
      const Chunk& mine = chunks_[size_t(nodes_[size_t(node)].chunk)];
      node = before(mine.most < weight ? mine.first : node);
    }
    return node;
  }

 private:
  struct Node {
    Weight weight;
    int before, after, chunk;
  };
  struct Chunk {
    Weight most;  // of those that it holds or held
    int first, size;
  };

  int new_chunk(int first) {
    chunks_.push_back({{0, 0}, first, 0});
    return int(chunks_.size()) - 1;
  }

  // Gives the second half of a chunk to a new one.
  void split(int chunk) {
    int node = chunks_[size_t(chunk)].first;
    Weight most = {0, 0};
    for (int k = 0; k < kChunk / 2; ++k) {
      most = std::max(most, nodes_[size_t(node)].weight);
      node = nodes_[size_t(node)].after;
    }
    const int made = new_chunk(node);
    Chunk &old = chunks_[size_t(chunk)], &next = chunks_[size_t(made)];
    next.size = old.size - kChunk / 2;
    old.size = kChunk / 2;
    old.most = most;
    for (int k = 0; k < next.size; ++k) {
      nodes_[size_t(node)].chunk = made;
      next.most = std::max(next.most, nodes_[size_t(node)].weight);
      node = nodes_[size_t(node)].after;
    }
  }

  std::vector<Node> nodes_;
  std::vector<Chunk> chunks_;
  int first_ = kNone, last_ = kNone;
};

class Joiner {
 public:
  explicit Joiner(const std::vector<Weight>& leaves)
      : waiting_(2 * int64_t(leaves.size()) - 1), sides_(2 * leaves.size() - 1, {kNone, kNone}) {
    next_ = int(leaves.size());
    for (int leaf = 0; leaf < int(leaves.size()); ++leaf) {
      while (is_heavier(leaves[size_t(leaf)], waiting_.last())) join_before(waiting_.last());
      waiting_.insert(leaf, waiting_.last(), leaves[size_t(leaf)]);
    }
    while (waiting_.before(waiting_.last()) != kNone) join_before(waiting_.last());
  }

  std::vector<int> depths(size_t leaves) const {
    std::vector<int> found(sides_.size(), 0);
    for (size_t node = sides_.size(); node-- > leaves;)  // parents were made after their children
      for (const int child : {sides_[node].first, sides_[node].second})
        found[size_t(child)] = found[node] + 1;
    found.resize(leaves);
    return found;
  }

 private:
  // Whether x, y, z, with y this node and z of this weight, are to be joined.
  bool is_heavier(const Weight& weight, int node) const {
    const int x = waiting_.before(node);
    return x != kNone && !(weight < waiting_.weight(x));
  }

  // Joins a node with its left neighbour, and then what its place on the left makes due.
  void join_before(int node) {
    std::vector<int> due{join(node)};
    while (!due.empty()) {
      const int y = waiting_.before(due.back());
      if (is_heavier(waiting_.weight(due.back()), y))
        due.push_back(join(y));
      else
        due.pop_back();
    }
  }

  int join(int right) {
    const int left = waiting_.before(right), made = next_++;
    const Weight both = waiting_.weight(left) + waiting_.weight(right);
    const int behind = waiting_.nearest(left, both);
    sides_[size_t(made)] = {left, right};
    waiting_.remove(left);
    waiting_.remove(right);
    waiting_.insert(made, behind, both);
    return made;
  }

  Waiting waiting_;
  std::vector<std::pair<int, int>> sides_;
  int next_;
};

}  // namespace

std::vector<int> alphabetic_depths(const double* weights, int64_t count) {
  double total = 0;
  for (int64_t k = 0; k < count; ++k) total += weights[k];
  const int scale = total > 0 ? 61 - std::ilogb(total) : 0;
  std::vector<Weight> leaves;
  for (int64_t k = 0; k < count; ++k)
    leaves.push_back({uint64_t(std::llrint(std::ldexp(weights[k], scale))), 1});
  return Joiner(leaves).depths(leaves.size());
}

}  // namespace reram::search
