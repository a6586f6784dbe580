// What the tables of a problem can add up to.
#pragma once

#include <algorithm>
#include <map>
#include <utility>

#include "cpu/job.h"

namespace reram::cpu {

// The smallest and the largest level of a table or of several, and whether any sum escapes.
struct Span {
  int64_t low = 0, high = 0;
  bool escapes = false;
};

inline Span span_of(const int32_t* levels, int32_t low, int32_t high) {
  Span span;
  bool any = false;
  for (int32_t v = low; v <= high; ++v) {
    if (levels[v] == RERAM_ESCAPE) {
      span.escapes = true;
      continue;
    }
    span.low = any ? std::min<int64_t>(span.low, levels[v]) : levels[v];
    span.high = any ? std::max<int64_t>(span.high, levels[v]) : levels[v];
    any = true;
  }
  return span;
}

// Those of tables over the sums up to some size, each worked out once.
class Spans {
 public:
  explicit Spans(const Job& job) : job_(job) {}
  // `table`: where its sum 0 lies; negative: nothing is converted.
  const Span& of(int64_t table, int32_t reach) {
    const bool both = job_.shape.lowest < 0;
    const auto found = known_.find({table, reach});
    if (found != known_.end()) return found->second;
    const Span span =
        table < 0 ? Span() : span_of(job_.tables.levels + table, both ? -reach : 0, reach);
    return known_[{table, reach}] = span;
  }

 private:
  const Job& job_;
  std::map<std::pair<int64_t, int32_t>, Span> known_;
};

// Of all buckets' tables of a phase and slice, times a sign, over the sums that these can have;
// those of devices that err can be any.
inline Span span_of(const Job& job, Spans& tables, int phase, int j, int sign) {
  const Shape& shape = job.shape;
  const int pulse = phase < shape.cycles ? (1 << job.p.dac_bits[phase]) - 1 : 1;
  int32_t most = job.p.rows * ((1 << job.p.cell_bits[j]) - 1) * pulse;
  if (job.any_sum)
    most = shape.highest + (phase < shape.cycles && shape.is_recovered(job.p, phase));
  Span all;
  all.escapes = most > shape.highest;
  for (int b = 0; b < job.p.buckets; ++b) {
    const Span& own = tables.of(job.table(job.set(b, phase), j), std::min(most, shape.highest));
    const int64_t x = sign * own.low, y = sign * own.high;
    all.low = b ? std::min({all.low, x, y}) : std::min(x, y);
    all.high = b ? std::max({all.high, x, y}) : std::max(x, y);
    all.escapes |= own.escapes;
  }
  return all;
}

// Whether the least and the most that acc can be fit it. Intermediate sums may wrap: they are
// unsigned, so only the final value has to fit.
inline bool fits(const Job& job) {
  const reram_problem& p = job.p;
  const Shape& shape = job.shape;
  Spans tables(job);
  double least = 0, most = 0;  // exact: far fewer than 2^53
  for (int q = 0; q < job.pass_count; ++q)
    for (int i = 0; i < shape.cycles; ++i)
      for (int j = 0; j < shape.slices; ++j) {
        Span span = span_of(job, tables, i, j, job.passes[q].sign);
        int64_t low = 0, high = 0;
        job.each_bit(i, [&](int d, int phase) {
          const Span bit = span_of(job, tables, phase, j, job.passes[q].sign);
          low += bit.low * (int64_t(1) << d);
          high += bit.high * (int64_t(1) << d);
        });
        if (span.escapes) {
          span.low = std::min(span.low, low);
          span.high = std::max(span.high, high);
        }
        const double weight = double(int64_t(1) << (shape.dac_shift[i] + shape.cell_shift[j]));
        least += double(span.low) * weight;
        most += double(span.high) * weight;
      }
  const double ones = double((int64_t(1) << p.input_bits) - 1);
  const double offset = p.encoding == RERAM_OFFSET
                            ? double(shape.depth) * ones * double(p.unit << (p.weight_bits - 1))
                            : 0;
  const double tiles = double(shape.tiles);
  return least * tiles - offset >= INT32_MIN && most * tiles <= INT32_MAX;
}

}  // namespace reram::cpu
