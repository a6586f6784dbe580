// What the tables of a problem can add up to.
#pragma once

#include <algorithm>
#include <vector>

#include "cpu/job.h"

namespace reram::cpu {

// The smallest and the largest level of a table or of several, and whether any sum escapes.
struct Span {
  int64_t low = 0, high = 0;
  bool escapes = false;
};

inline Span span_of(const int32_t* levels, int64_t values) {
  Span span;
  bool any = false;
  for (int64_t v = 0; v < values; ++v) {
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

// Of all buckets' tables of a phase and slice, times a sign.
inline Span span_of(const Job& job, const std::vector<Span>& tables, int phase, int j, int sign) {
  Span all;
  for (int b = 0; b < job.p.buckets; ++b) {
    const int32_t table = job.tables.index[job.set(b, phase) * job.shape.slices + j];
    const Span own = table < 0 ? Span() : tables[size_t(table)];
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
  std::vector<Span> tables;
  for (int k = 0; k < p.tables; ++k)
    tables.push_back(span_of(job.tables.levels + k * shape.values(), shape.values()));
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
