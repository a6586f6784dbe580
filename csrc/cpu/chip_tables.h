// What the kernels look up of a chip: its columns, and the tables of its ADCs as bytes.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <deque>
#include <map>
#include <tuple>
#include <vector>

#include "cpu/chip.h"

namespace reram::cpu {

// Columns by block, and the memory behind them.
class ChipColumns {
 public:
  explicit ChipColumns(const Job& job) : job_(job) {
    const Shape& shape = job.shape;
    const int64_t outputs = job.p.outputs, columns = job.pass_count * shape.slices * outputs;
    for (int64_t c = 0; c < columns; c += kColumns) {
      Block& block = blocks_.emplace_back();
      const int64_t end = std::min<int64_t>(columns, c + kColumns);
      for (int64_t k = c; k < end; k = std::min(end, (k / outputs + 1) * outputs))
        add_run(block, c, k, int(std::min(end, (k / outputs + 1) * outputs) - k));
      block.picks.resize(kColumns);  // any beyond the last
      for (size_t n = 0; n < size_t(end - c); ++n)
        block.in_order &= block.picks[n] == pick(int64_t(n));
      block.counters.resize(kChipCounters);
    }
    for (const Block& b : blocks_)
      served_.push_back({b.runs.data(), int(b.runs.size()), b.slices, b.counters.data(),
                         b.picks.data(), b.counter_count, b.in_order});
  }

  void serve(Chip& chip) const {
    chip.blocks = served_.data();
    chip.count = int64_t(served_.size());
  }

 private:
  struct Block {
    std::vector<ChipRun> runs;
    std::vector<uint32_t> counters;
    std::vector<uint16_t> picks;
    int counter_count = 0;
    bool in_order = true;
    uint8_t slices = 0;
  };

  // Where word n % 4 of result n / 4 lies.
  static uint16_t pick(int64_t n) {
    return uint16_t(n % 4 / 2 * 2 * kChipCounters + n / 4 * 2 + n % 2);
  }

  // `count` columns from k on, of the block that begins at c.
  void add_run(Block& block, int64_t c, int64_t k, int count) {
    const int64_t outputs = job_.p.outputs, unit = k / outputs, output = k % outputs;
    ChipRun run = {};
    run.output = output;
    run.first = int(k - c);
    run.count = count;
    run.slice = int(unit % job_.shape.slices);
    run.pass = int(unit / job_.shape.slices);
    // Two vectors of 16-bit columns are packed into one of bytes, half a lane of each in turn.
    const int width = job_.p.isa == RERAM_AVX512 ? 64 : 32;
    for (int p = 0; p < kColumns; ++p) {
      const int at = p % width, lane = at / 16 * 8, half = at % 16 / 8 * (width / 2);
      const int column = p - at + half + lane + at % 8;
      if (run.first <= column && column < run.first + count) run.packed[p] = 255;
    }
    block.slices |= uint8_t(1 << run.slice);
    const int64_t first = output / 4, last = (output + count - 1) / 4;
    for (int64_t q = first; q <= last; ++q)
      block.counters.push_back(uint32_t(unit * up(outputs, 4) + q));
    for (int64_t n = output; n < output + count; ++n)
      block.picks.push_back(pick(n + 4 * (block.counter_count - first)));
    block.counter_count += int(last - first + 1);
    block.runs.push_back(run);
  }

  const Job& job_;
  std::deque<Block> blocks_;
  std::vector<ChipBlock> served_;
};

// Tables as bytes by activity bucket and cycle, and the memory behind them.
class ChipTables {
 public:
  // After the job's own tables.
  explicit ChipTables(const Job& job) : job_(job) {
    const Shape& shape = job.shape;
    const size_t sets = size_t(job.p.buckets) * size_t(shape.phases);
    sets_.resize(sets);
    none_ = &bytes_.emplace_back();
    for (int q = 0; q < job.pass_count; ++q) {
      pointers_[q].assign(sets * kSlices, none_);
      bases_[q].assign(sets * kSlices, 0);
    }
    for (int b = 0; b < job.p.buckets; ++b)
      for (int i = 0; i < shape.cycles; ++i) fill_set(i, job.set(b, i));
    const uint8_t* made = job.tables.comparisons;
    addends_ =
        255 / std::max<int>(1, *std::max_element(made, made + job.p.tables * shape.values()));
  }

  void serve(Chip& chip) const {
    chip.sets = sets_.data();
    chip.addends = addends_;
    for (int q = 0; q < job_.pass_count; ++q) {
      chip.bytes[q] = pointers_[q].data();
      chip.bases[q] = bases_[q].data();
    }
  }

 private:
  struct Packed {
    const ByteTables* bytes = nullptr;  // null: levels are too far apart
    int64_t base = 0;
  };

  // Whether byte tables serve all sums of a cycle.
  bool has_bytes(int cycle) const {
    return job_.p.isa != RERAM_PORTABLE && !job_.shape.is_recovered(job_.p, cycle);
  }

  void fill_set(int i, int set) {
    const Shape& shape = job_.shape;
    ChipSet& to = sets_[size_t(set)];
    to.reach = has_bytes(i) ? 0 : kReaches;
    for (int q = 0; q < job_.pass_count; ++q)
      for (int j = 0; j < shape.slices; ++j) {
        const DigitTable& t = job_.digits[q][set * shape.slices + j];
        if (!t.size) {
          to.constant += t.sign * uint32_t(t.level) << shape.cell_shift[j];
          continue;
        }
        to.live |= uint8_t(1 << j);
        while (to.reach < kReaches && !packed(q, t.table, to.reach).bytes) ++to.reach;
      }
    if (to.reach == kReaches) return;
    for (int q = 0; q < job_.pass_count; ++q)
      for (int j = 0; j < shape.slices; ++j) {
        const DigitTable& t = job_.digits[q][set * shape.slices + j];
        if (!t.size) continue;
        const Packed found = packed(q, t.table, to.reach);
        pointers_[q][size_t(set * kSlices + j)] = found.bytes;
        bases_[q][size_t(set * kSlices + j)] = uint32_t(found.base);
        to.constant += uint32_t(found.base) << shape.cell_shift[j];
      }
  }

  // The table whose sum 0 lies at `table`, as bytes over the sums that reach so far.
  Packed packed(int q, int64_t table, int reach) {
    const auto [at, added] = known_.insert({{q, table, reach}, {}});
    if (!added) return at->second;
    const int32_t most = kReach[reach], least = job_.shape.lowest < 0 ? -most : 0;
    const auto inside = [&](int32_t v) {
      return std::max(job_.shape.lowest, std::min(job_.shape.highest, v));
    };
    const auto level = [&](int32_t v) {
      return int64_t(job_.passes[q].sign) * job_.tables.levels[table + inside(v)];
    };
    int64_t low = level(0), high = low;
    for (int32_t v = least; v <= most; ++v) {
      low = std::min(low, level(v));
      high = std::max(high, level(v));
    }
    if (high - low > 255) return {};
    const int64_t base = low + 128;
    ByteTables& to = bytes_.emplace_back();
    for (int32_t v = least; v <= most; ++v) {
      to.level8[uint8_t(v)] = int8_t(level(v) - base);
      to.comparisons8[uint8_t(v)] = job_.tables.comparisons[table + inside(v)];
    }
    narrow(to, 7, least < 0, to.level7, to.comparisons7);
    narrow(to, 6, least < 0, to.level6, to.comparisons6);
    narrow(to, 4, least < 0, to.level4, to.comparisons4);
    for (int k = 16; k < 64; ++k) {
      to.level4[k] = to.level4[k - 16];
      to.comparisons4[k] = to.comparisons4[k - 16];
    }
    return at->second = {&to, base};
  }

  // The part of a table for sums of so many bits.
  static void narrow(const ByteTables& from, int bits, bool both, int8_t* levels,
                     uint8_t* comparisons) {
    const int size = 1 << bits, half = both ? size / 2 : 0;
    for (int v = -half; v < size - half; ++v) {
      levels[v & (size - 1)] = from.level8[uint8_t(v)];
      comparisons[v & (size - 1)] = from.comparisons8[uint8_t(v)];
    }
  }

  const Job& job_;
  int addends_ = 1;
  const ByteTables* none_ = nullptr;  // of what is not looked up
  std::vector<ChipSet> sets_;
  std::deque<ByteTables> bytes_;
  struct Key {
    int pass;
    int64_t table;
    int reach;
    bool operator<(const Key& o) const {
      return std::tie(pass, table, reach) < std::tie(o.pass, o.table, o.reach);
    }
  };
  std::map<Key, Packed> known_;
  std::vector<const ByteTables*> pointers_[kMaxPasses];
  std::vector<uint32_t> bases_[kMaxPasses];
};

// What tells that noise is too weak to change what is read, and the memory behind it.
class ChipNoise {
 public:
  explicit ChipNoise(const reram_chip& chip) {
    if (!chip.normal) return;
    strongest_.assign(chip.sigmas, chip.sigmas + int64_t(chip.sigma_rows) * chip.sigma_columns);
    for (int32_t d = 0; d < chip.sigma_rows; ++d) {
      int32_t* row = strongest_.data() + int64_t(d) * chip.sigma_columns;
      for (int32_t q = 1; q < chip.sigma_columns; ++q) row[q] = std::max(row[q], row[q - 1]);
    }
    reaching_.assign(kReachSteps, 1);  // the outermost have a table of their own, which reaches on
    for (int end = 0; end < 2; ++end)
      for (int k = 32767; k > 0; --k) {
        const int32_t z = std::abs(chip.normal[end ? 65535 - k : k]);
        raise(std::min(z / kReachStep, kReachSteps - 1), k + 1);
      }
    for (int step = kReachSteps - 2; step >= 0; --step) raise(step, reaching_[size_t(step) + 1]);
  }

  void serve(Chip& chip) const {
    if (strongest_.empty()) return;
    chip.strongest = strongest_.data();
    chip.reaching = reaching_.data();
  }

 private:
  void raise(int step, int32_t count) {
    int32_t& to = reaching_[size_t(step)];
    to = std::max(to, count);
  }

  std::vector<int32_t> strongest_, reaching_;
};

}  // namespace reram::cpu
