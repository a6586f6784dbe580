// Chips with AVX2: 16 columns are a vector of 256 bits, and 32 of them one of bytes.
#include <immintrin.h>

#define RERAM_ISA avx2

#include "cpu/avx2_inputs.h"
#include "cpu/avx2_tables.h"
#include "cpu/chip_kernel.h"

namespace reram::cpu::RERAM_ISA {
namespace {

struct Avx2Chip : Avx2Inputs, Avx2Tables {
  using Words __attribute__((vector_size(32))) = uint16_t;  // wraps, as int16_t may not
  using Longs __attribute__((vector_size(32))) = uint64_t;

  // Products of the low halves.
  RERAM_ALWAYS static Longs multiply(Longs a, Longs b) {
    return Longs(_mm256_mul_epu32(__m256i(a), __m256i(b)));
  }

  static constexpr bool kHasBytes = true;

  static void store(void* to, __m256i v) { _mm256_store_si256(static_cast<__m256i*>(to), v); }

  static void load(const int16_t* from, int64_t height, int16_t* to, int32_t* most, int32_t* sums) {
    const __m256i zero = _mm256_setzero_si256();
    __m256i high = zero, low = zero, above[4] = {zero, zero, zero, zero}, below[4] = {};
    for (int64_t r = 0; r < height; ++r)
#pragma GCC unroll 4
      for (int v = 0; v < 4; ++v) {
        const __m256i g = Avx2Inputs::load(from + (4 * r + v) * 16);
        store(to + ((v / 2 * (height + 1) + r) * 2 + v % 2) * 16, g);
        high = _mm256_max_epi16(high, g);
        low = _mm256_min_epi16(low, g);
        above[v] = _mm256_adds_epi16(above[v], _mm256_max_epi16(g, zero));
        below[v] = _mm256_subs_epi16(below[v], _mm256_min_epi16(g, zero));
      }
    int16_t each[10][16];
    std::memcpy(each[0], &high, sizeof high);
    std::memcpy(each[1], &low, sizeof low);
    std::memcpy(each[2], above, sizeof above);
    std::memcpy(each[6], below, sizeof below);
    for (int c = 0; c < 16; ++c)
      for (int k = 0; k < 2; ++k) {
        const int32_t size = k ? -each[k][c] : each[k][c];
        most[k] = size > most[k] ? size : most[k];
        for (int v = 2 + 4 * k; v < 6 + 4 * k; ++v)
          sums[k] = each[v][c] > sums[k] ? each[v][c] : sums[k];
      }
  }

  // Looks bytes of N bits up in a table; signed ones of four bits without their signs.
  template <int N, bool Signed>
  RERAM_ALWAYS static __m256i look_up(const uint8_t* table, __m256i index) {
    auto part = [&](int k, __m256i from) RERAM_ALWAYS {
      const __m128i own = _mm_load_si128(reinterpret_cast<const __m128i*>(table + 16 * k));
      return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(own), from);
    };
    // A shuffle reads the low four bits, and gives zero where the top bit is set.
    const __m256i low = Signed ? _mm256_and_si256(index, _mm256_set1_epi8(15)) : index;
    if (N == 4) return part(0, low);
    const __m256i bit4 = _mm256_slli_epi16(index, 3), bit5 = _mm256_slli_epi16(index, 2);
    if (N == 5 && Signed) return _mm256_blendv_epi8(part(0, low), part(3, low), index);
    if (N == 5) return _mm256_blendv_epi8(part(0, low), part(1, low), bit4);
    auto quarter = [&](int k) RERAM_ALWAYS {
      return _mm256_blendv_epi8(_mm256_blendv_epi8(part(k, low), part(k + 1, low), bit4),
                                _mm256_blendv_epi8(part(k + 2, low), part(k + 3, low), bit4), bit5);
    };
    if (N == 6) return quarter(0);
    const __m256i bit6 = _mm256_slli_epi16(index, 1);
    const __m256i half = _mm256_blendv_epi8(quarter(0), quarter(4), bit6);
    if (N == 7) return half;
    return _mm256_blendv_epi8(half, _mm256_blendv_epi8(quarter(8), quarter(12), bit6), index);
  }
  template <int N>
  RERAM_ALWAYS static const uint8_t* levels(const ByteTables& t) {
    return reinterpret_cast<const uint8_t*>(N == 4   ? t.level4
                                            : N <= 6 ? t.level6
                                            : N == 7 ? t.level7
                                                     : t.level8);
  }
  template <int N>
  RERAM_ALWAYS static const uint8_t* comparisons(const ByteTables& t) {
    return N == 4   ? t.comparisons4
           : N <= 6 ? t.comparisons6
           : N == 7 ? t.comparisons7
                    : t.comparisons8;
  }

  // What the tables of a block's runs make of half of its bytes.
  template <int N, bool Signed, bool Count>
  RERAM_ALWAYS static void look_up_runs(const ChipBlock& block,
                                        const ByteTables* const* const* tables, int set, int half,
                                        __m256i bytes, __m256i& found, __m256i& made) {
    const ByteTables* t = tables[0][set * kSlices];
    found = look_up<N, Signed>(levels<N>(*t), bytes);
    if (Count) made = look_up<N, Signed>(comparisons<N>(*t), bytes);
    for (int r = 1; r < block.count; ++r) {
      const __m256i own = Avx2Inputs::load(block.runs[r].packed + 32 * half);
      if (_mm256_testz_si256(own, own)) continue;
      t = tables[r][set * kSlices];
      found = _mm256_blendv_epi8(found, look_up<N, Signed>(levels<N>(*t), bytes), own);
      if (Count)
        made = _mm256_blendv_epi8(made, look_up<N, Signed>(comparisons<N>(*t), bytes), own);
    }
  }

  // Adds comparisons by column to the counts.
  static void flush(const ChipBlock& block, ChipPending& pending, int64_t* counts) {
    for (int r = 0; r < block.count; ++r) {
      int64_t* lanes = counts + block.runs[r].slice * kCountLanes;
      for (int c = 0; c < kColumns; c += 32) {
        const __m256i own = _mm256_and_si256(Avx2Inputs::load(pending.made + c),
                                             Avx2Inputs::load(block.runs[r].packed + c));
        store(lanes, _mm256_add_epi64(Avx2Inputs::load(lanes),
                                      _mm256_sad_epu8(own, _mm256_setzero_si256())));
      }
    }
    pending = {};
  }

  // What a sweep reads again and again.
  struct Fixed {
    explicit Fixed(const ChipSweep& w) : weight(_mm256_set1_epi8(char(1 << w.shift))) {
      const ChipBlock& block = w.work.block;
      for (int r = 0; r < block.count; ++r)
        tables[r] = w.chip.bytes[block.runs[r].pass] + block.runs[r].slice;
    }
    const __m256i weight;
    const ByteTables* const* tables[kChipRuns];
  };

  // Adds the levels of half of a unit whose sums have N bits.
  template <int N, bool Signed, bool Count>
  RERAM_ALWAYS static void add_half(const ChipSweep& w, const Fixed& fixed, const ChipUnit& unit,
                                    int half, __m256i a, __m256i b, ChipPending& pending) {
    const __m256i zero = _mm256_setzero_si256();
    const __m256i bytes = Signed ? _mm256_packs_epi16(a, b) : _mm256_packus_epi16(a, b);
    __m256i found, made;
    look_up_runs<N, Signed, Count>(w.work.block, fixed.tables, unit.set, half, bytes, found, made);
    int16_t* to = w.levels + int64_t(unit.position) * kColumns + 32 * half;
    const __m256i low = _mm256_maddubs_epi16(fixed.weight, _mm256_unpacklo_epi8(found, zero));
    const __m256i high = _mm256_maddubs_epi16(fixed.weight, _mm256_unpackhi_epi8(found, zero));
    store(to, _mm256_add_epi16(Avx2Inputs::load(to), low));
    store(to + 16, _mm256_add_epi16(Avx2Inputs::load(to + 16), high));
    if (!Count) return;
    uint8_t* own = pending.made + 32 * half;
    store(own, _mm256_add_epi8(Avx2Inputs::load(own), made));
    if (half && ++pending.units == w.chip.addends) flush(w.work.block, pending, w.counts);
  }

  template <int N, bool Signed, bool Count>
  static void sweep_units(const ChipSweep& w) {
    const Fixed fixed(w);
    const __m256i round = _mm256_set1_epi16(128);
    ChipPending pending;
    for (int k = 0; k < w.count; ++k) {
      const ChipUnit& unit = w.units[k];
      if (!(unit.live & w.work.block.slices)) continue;
      Words sums[4];
      word_sums<Avx2Chip>(w, unit, sums);
#pragma GCC unroll 2
      for (int h = 0; h < 2; ++h) {
        const __m256i a = _mm256_add_epi16(__m256i(sums[2 * h]), round);
        const __m256i b = _mm256_add_epi16(__m256i(sums[2 * h + 1]), round);
        add_half<N, Signed, Count>(w, fixed, unit, h, _mm256_srai_epi16(a, 8),
                                   _mm256_srai_epi16(b, 8), pending);
      }
    }
    if (Count) flush(w.work.block, pending, w.counts);
  }

  template <int N, bool Signed, bool Count>
  RERAM_ALWAYS static void add_halves(const ChipSweep& w, const Fixed& fixed, const ChipUnit& unit,
                                      const int16_t* v, ChipPending& pending) {
    for (int h = 0; h < 2; ++h)
      add_half<N, Signed, Count>(w, fixed, unit, h, Avx2Inputs::load(v + 32 * h),
                                 Avx2Inputs::load(v + 32 * h + 16), pending);
  }

  // Adds the levels of a unit whose sums were read before, [64].
  static void add_words(const ChipSweep& w, bool both, const ChipUnit& unit, const int16_t* v,
                        ChipPending& pending) {
    const Fixed fixed(w);
    if (both)
      w.counts ? add_halves<8, true, true>(w, fixed, unit, v, pending)
               : add_halves<8, true, false>(w, fixed, unit, v, pending);
    else
      w.counts ? add_halves<7, false, true>(w, fixed, unit, v, pending)
               : add_halves<7, false, false>(w, fixed, unit, v, pending);
  }

  template <int N, bool Signed>
  static void sweep_counted(const ChipSweep& w) {
    w.counts ? sweep_units<N, Signed, true>(w) : sweep_units<N, Signed, false>(w);
  }

  static void sweep(int bits, bool both, const ChipSweep& w) {
    if (bits == 4)
      both ? sweep_counted<4, true>(w) : sweep_counted<4, false>(w);
    else if (bits == 5)
      both ? sweep_counted<5, true>(w) : sweep_counted<5, false>(w);
    else if (bits == 6)
      both ? sweep_counted<6, true>(w) : sweep_counted<6, false>(w);
    else if (bits == 7)
      both ? sweep_counted<7, true>(w) : sweep_counted<7, false>(w);
    else
      sweep_counted<8, true>(w);
  }
};

}  // namespace

const ChipKernels kChipKernels = {convert_chip<Avx2Chip>, histogram_chip<Avx2Chip>};

}  // namespace reram::cpu::RERAM_ISA
