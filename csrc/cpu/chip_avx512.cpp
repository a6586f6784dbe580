// Chips with AVX-512: 32 columns are a vector of 512 bits, and 64 of them one of bytes.
#include <immintrin.h>

#define RERAM_ISA avx512

#include "cpu/avx512_inputs.h"
#include "cpu/avx512_tables.h"
#include "cpu/chip_kernel.h"

namespace reram::cpu::RERAM_ISA {
namespace {

struct Avx512Chip : Avx512Inputs, Avx512Tables {
  using Words __attribute__((vector_size(64))) = uint16_t;  // wraps, as int16_t may not
  using Longs __attribute__((vector_size(64))) = uint64_t;

  // Products of the low halves.
  RERAM_ALWAYS static Longs multiply(Longs a, Longs b) {
    return Longs(_mm512_mul_epu32(__m512i(a), __m512i(b)));
  }

  static constexpr bool kHasBytes = true;

  static void load(const int16_t* from, int64_t height, int16_t* to, int32_t* most, int32_t* sums) {
    const __m512i zero = _mm512_setzero_si512();
    __m512i high = zero, low = zero, above[2] = {zero, zero}, below[2] = {zero, zero};
    for (int64_t r = 0; r < height; ++r)
#pragma GCC unroll 2
      for (int h = 0; h < 2; ++h) {
        const __m512i g = _mm512_loadu_si512(from + (2 * r + h) * 32);
        _mm512_store_si512(to + (h * (height + 1) + r) * 32, g);
        const __m512i more = _mm512_max_epi16(g, zero), less = _mm512_min_epi16(g, zero);
        high = _mm512_max_epi16(high, g);
        low = _mm512_min_epi16(low, g);
        above[h] = _mm512_adds_epi16(above[h], more);
        below[h] = _mm512_subs_epi16(below[h], less);
      }
    const __m512i parts[4] = {high, low, _mm512_max_epi16(above[0], above[1]),
                              _mm512_max_epi16(below[0], below[1])};
    int16_t each[4][32];
    std::memcpy(each, parts, sizeof each);
    for (int c = 0; c < 32; ++c)
      for (int k = 0; k < 2; ++k) {
        const int32_t size = k ? -each[k][c] : each[k][c];
        most[k] = size > most[k] ? size : most[k];
        sums[k] = each[2 + k][c] > sums[k] ? each[2 + k][c] : sums[k];
      }
  }

  // What the tables of a block's runs make of its bytes.
  template <int N, bool Count>
  RERAM_ALWAYS static void look_up_runs(const ChipBlock& block,
                                        const ByteTables* const* const* tables, int set,
                                        __m512i bytes, __m512i& levels, __m512i& made) {
    const ByteTables* t = tables[0][set * kSlices];
    levels = level<N>(*t, bytes);
    if (Count) made = comparisons<N>(*t, bytes);
    for (int r = 1; r < block.count; ++r) {
      const __mmask64 own = _mm512_movepi8_mask(_mm512_load_si512(block.runs[r].packed));
      t = tables[r][set * kSlices];
      levels = _mm512_mask_mov_epi8(levels, own, level<N>(*t, bytes));
      if (Count) made = _mm512_mask_mov_epi8(made, own, comparisons<N>(*t, bytes));
    }
  }

  // Adds comparisons by column to the counts.
  static void flush(const ChipBlock& block, ChipPending& pending, int64_t* counts) {
    const __m512i made = _mm512_load_si512(pending.made);
    for (int r = 0; r < block.count; ++r) {
      const __m512i own = _mm512_and_si512(made, _mm512_load_si512(block.runs[r].packed));
      int64_t* lanes = counts + block.runs[r].slice * kCountLanes;
      _mm512_store_si512(lanes, _mm512_add_epi64(_mm512_load_si512(lanes),
                                                 _mm512_sad_epu8(own, _mm512_setzero_si512())));
    }
    pending = {};
  }

  // What a sweep reads again and again.
  struct Fixed {
    explicit Fixed(const ChipSweep& w) : weight(_mm512_set1_epi8(char(1 << w.shift))) {
      const ChipBlock& block = w.work.block;
      for (int r = 0; r < block.count; ++r)
        tables[r] = w.chip.bytes[block.runs[r].pass] + block.runs[r].slice;
    }
    const __m512i weight;
    const ByteTables* const* tables[kChipRuns];
  };

  // Adds the levels of a unit whose sums have N bits.
  template <int N, bool Signed, bool Count>
  RERAM_ALWAYS static void add_unit(const ChipSweep& w, const Fixed& fixed, const ChipUnit& unit,
                                    __m512i a, __m512i b, ChipPending& pending) {
    const __m512i zero = _mm512_setzero_si512();
    __m512i bytes = Signed ? _mm512_packs_epi16(a, b) : _mm512_packus_epi16(a, b);
    if (Signed && N == 4) bytes = _mm512_and_si512(bytes, _mm512_set1_epi8(15));
    __m512i levels, made;
    look_up_runs<N, Count>(w.work.block, fixed.tables, unit.set, bytes, levels, made);
    int16_t* to = w.levels + int64_t(unit.position) * kColumns;
    const __m512i low = _mm512_maddubs_epi16(fixed.weight, _mm512_unpacklo_epi8(levels, zero));
    const __m512i high = _mm512_maddubs_epi16(fixed.weight, _mm512_unpackhi_epi8(levels, zero));
    _mm512_store_si512(to, _mm512_add_epi16(_mm512_load_si512(to), low));
    _mm512_store_si512(to + 32, _mm512_add_epi16(_mm512_load_si512(to + 32), high));
    if (!Count) return;
    _mm512_store_si512(pending.made, _mm512_add_epi8(_mm512_load_si512(pending.made), made));
    if (++pending.units == w.chip.addends) flush(w.work.block, pending, w.counts);
  }

  template <int N, bool Signed, bool Count>
  static void sweep_units(const ChipSweep& w) {
    const Fixed fixed(w);
    const __m512i half = _mm512_set1_epi16(128);
    ChipPending pending;
    for (int k = 0; k < w.count; ++k) {
      const ChipUnit& unit = w.units[k];
      if (!(unit.live & w.work.block.slices)) continue;
      Words sums[2];
      word_sums<Avx512Chip>(w, unit, sums);
      const __m512i a = _mm512_srai_epi16(_mm512_add_epi16(__m512i(sums[0]), half), 8);
      const __m512i b = _mm512_srai_epi16(_mm512_add_epi16(__m512i(sums[1]), half), 8);
      add_unit<N, Signed, Count>(w, fixed, unit, a, b, pending);
    }
    if (Count) flush(w.work.block, pending, w.counts);
  }

  // Adds the levels of a unit whose sums were read before, [64].
  static void add_words(const ChipSweep& w, bool both, const ChipUnit& unit, const int16_t* v,
                        ChipPending& pending) {
    const Fixed fixed(w);
    const __m512i a = _mm512_load_si512(v), b = _mm512_load_si512(v + 32);
    if (both)
      w.counts ? add_unit<8, true, true>(w, fixed, unit, a, b, pending)
               : add_unit<8, true, false>(w, fixed, unit, a, b, pending);
    else
      w.counts ? add_unit<7, false, true>(w, fixed, unit, a, b, pending)
               : add_unit<7, false, false>(w, fixed, unit, a, b, pending);
  }

  template <int N, bool Signed>
  static void sweep_counted(const ChipSweep& w) {
    w.counts ? sweep_units<N, Signed, true>(w) : sweep_units<N, Signed, false>(w);
  }

  static void sweep(int bits, bool both, const ChipSweep& w) {
    if (bits == 4)
      both ? sweep_counted<4, true>(w) : sweep_counted<4, false>(w);
    else if (bits <= 6)
      both ? sweep_counted<6, true>(w) : sweep_counted<6, false>(w);
    else if (bits == 7)
      both ? sweep_counted<7, true>(w) : sweep_counted<7, false>(w);
    else
      sweep_counted<8, true>(w);
  }
};

}  // namespace

const ChipKernels kChipKernels = {convert_chip<Avx512Chip>, histogram_chip<Avx512Chip>};

}  // namespace reram::cpu::RERAM_ISA
