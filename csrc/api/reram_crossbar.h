/* C interface of the crossbar kernels.
 *
 * Plain C: no libtorch, no exceptions across the boundary, no global state. Every function may be
 * called from several threads at once. Pointers are borrowed for the call; sizes are in elements.
 *
 * Arrays, row-major, for a problem with G groups, M positions, K word-lines in all (the depth),
 * N bit-lines (outputs) per group, I cycles, J slices and T = ceil(K / rows) tiles. M and K are
 * each the product of three sizes, so that the windows of a convolution need no copy (no im2col):
 *
 *   u       uint8  [M, G, K]                 input codes, any strides (u_stride_*), may overlap
 *   codes   int16  [G, N, K]                 signed weight codes, less their centers, contiguous
 *   cells   uint64 [G, T, B, P, R + 1, 8]    programmed cells (reram_program), B = ceil(N / 64)
 *                                            blocks of 64 bit-lines. Word-line r of slice j is word
 *                                            [r, j], bit n for bit-line n; word-line R is empty,
 *                                            R = min(rows, K). P planes: the bits of the widest
 *                                            cell, and those of the negative cells (differential,
 *                                            dual). A narrower cell leaves the upper ones empty
 *   levels  int32  [tables, V]               decoded level of each bit-line sum, from `lowest`, in
 *                                            units of 1 / unit: 1, or 2 where levels are halves; or
 *                                            RERAM_ESCAPE: the sum is recovered, bit by bit, as is
 *                                            one beyond the tables
 *   comparisons uint8 [tables, V]            A/D operations of each bit-line sum
 *   edges   int32  [buckets]                 fewest driven word-lines of each activity bucket,
 *                                            rising from 0
 *   index   int32  [buckets, I + R, J]       which table converts, by activity, cycle and slice,
 *                                            and by recovered input bit (R, with speculation);
 *                                            -1: nothing is converted, the level is 0
 *   acc     int32  [M, G, N]                 shift-add result, the encoding's offset subtracted, in
 *                                            units of 1 / unit
 *   made    int64 [I + 2 R, J]               comparisons made, by cycle and slice; those of
 *                                            recoveries, by bit and slice; and the conversions that
 *                                            recoveries started, likewise. NULL: no counting
 *   driven  int64 [I + R, rows + 1]          in how many tiles of positions and groups a cycle
 *                                            drove exactly so many word-lines, those of a
 *                                            position's tile once, whatever its bit-lines; and how
 *                                            many were driven again, by bit, to recover any sum.
 *                                            NULL with `made`
 *   histogram int64 [buckets, I + R, J, V]   how often each bit-line sum occurred; those of bits as
 *                                            if all sums of driven cycles were recovered
 */
#ifndef RERAM_CROSSBAR_H
#define RERAM_CROSSBAR_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define RERAM_ABI_VERSION 15

#if defined(_WIN32)
#define RERAM_API __declspec(dllexport)
#else
#define RERAM_API __attribute__((visibility("default")))
#endif

#define RERAM_ESCAPE INT32_MIN /* a level: the sum is recovered */

enum reram_encoding { RERAM_OFFSET = 0, RERAM_DIFFERENTIAL = 1, RERAM_DUAL = 2 };
enum reram_isa { RERAM_PORTABLE = 0, RERAM_AVX2 = 1, RERAM_AVX512 = 2, RERAM_ISA_COUNT = 3 };
enum reram_status {
  RERAM_OK = 0,
  RERAM_BAD_ARGUMENT = 1, /* a null pointer, a negative size, a geometry out of range */
  RERAM_BAD_ISA = 2,      /* this machine or this build lacks the instruction set */
  RERAM_OVERFLOW = 3,     /* the tables could overflow the 32-bit accumulator at this depth */
  RERAM_NO_MEMORY = 4,
  RERAM_NOT_FINITE = 5 /* an input is NaN or infinite */
};

typedef struct reram_problem {
  int64_t positions[3]; /* M: images, rows and columns of a convolution's output; or M, 1, 1 */
  int64_t groups;
  int64_t depth[3]; /* K: channels of a group, rows and columns of the kernel; or K, 1, 1 */
  int64_t outputs;
  int64_t u_stride_position[3], u_stride_group, u_stride_depth[3];
  int32_t rows, weight_bits, input_bits;
  int32_t slices, cycles;            /* J and I */
  int32_t cell_bits[8], dac_bits[8]; /* of each slice's cells and of each cycle's inputs, the least
                                        significant first */
  int32_t encoding;                  /* enum reram_encoding */
  int32_t tables, buckets;
  int32_t speculation; /* 1: conversions of cycles of several bits may be recovered bit by bit */
  int32_t unit;        /* of levels and acc: 1, or 2 for halves */
  int32_t isa;         /* enum reram_isa */
  int32_t threads;     /* at most this many, >= 1 */
} reram_problem;

/* What a layer adds to a problem: float images in, float images out. `problem` holds the sizes of
 * the windows; its u_strides are not used. A linear layer is a convolution of M images of one
 * pixel. */
typedef struct reram_layer {
  int64_t image_rows, image_columns;
  int64_t x_strides[4], y_strides[4]; /* image, channel, row, column; x is contiguous along its
                                         channels or along its columns */
  int32_t stride[2], padding[2], dilation[2]; /* of rows and of columns */
  float input_scale;                          /* codes are clamp(round(x / scale) + zero, 0, .) */
  int32_t input_zero;
} reram_layer;

/* A chip: the arrays of one layer with devices that are not ideal. A bit-line sum is one of
 * conductances, in 1/256 of a digit's step. Bit-lines are columns c = (s * J + j) * N + n of a
 * group, of sign s (two with `dual`), slice j and output n, in C = ceil(S * J * N / 64) blocks
 * of 64. Each `columns_per_adc` outputs of a slice, sign, group and tile share an ADC: adc = (((s *
 * J + j) * G + g) * T + t) * ceil(N / columns_per_adc) + n / columns_per_adc.
 *
 * With A the sum of conductances times digits, the tables convert v = (B + 128) >> 8, clamped to
 * their sums unless it is to be recovered, where
 *
 *   B = ((A * gains[adc] + 2^15) >> 16) + offsets[adc] + noise
 *   B += mismatch[adc, clamp((B + 128) >> 8)]
 *   noise = (sigmas[sigma_of[driven word-lines], q] * z + 2^15) >> 16
 *   q = min(|clamp((A + 128) >> 8)| >> sigma_shift, sigma_columns - 1)
 *
 * and z is normal[0, x >> 16] of a word x of Philox4x32-10, or for the outermost 2^16 of each end
 * (x >> 16 is 0 or 65535) -normal[1, x & 65535] or normal[1, x & 65535]. The words' counters are
 * the position's number (64 bits, the topmost set in a second pass), (g * T + t) * (I + R) + phase,
 * and (s * J + j) * ceil(N / 4) + n / 4; output n takes word n % 4. */
typedef struct reram_chip {
  const int16_t* conductances; /* [G, T, C, min(rows, K), 64], of padding 0; of a differential pair
                                  the difference */
  const int32_t* gains;        /* [adcs] in 1/65536, or NULL: 1 */
  const int32_t* offsets;      /* [adcs] in 1/256 of a step, or NULL: 0 */
  const int32_t* mismatch;     /* [adcs, V] in 1/256 of a step, or NULL: 0 */
  const int32_t* sigmas;       /* [sigma_rows, sigma_columns] in 1/16 of 1/256 of a step */
  const uint8_t* sigma_of;     /* [rows + 1] row of sigmas by driven word-lines */
  const int16_t* normal;       /* [2, 65536] quantiles in 1/4096: of the law, and of its uppermost
                                  65536th; or NULL: no noise, nor the two before */
  int64_t first;               /* number of the first position */
  uint32_t key[2];
  int32_t columns_per_adc, sigma_rows, sigma_columns, sigma_shift;
  int32_t passes; /* 2: positions are those of a first pass and then, as many, of a second */
} reram_chip;

/* A chip without cells: how likely its conversions err, beside ideal cells. Of each position, group
 * and tile the conversions come in the order of cycles, signs (two with `dual`), slices and
 * outputs, and each takes a length of h = hazards[cycle, row]. From 0 on, exponential waits lead
 * from one to the next that may err, the same one perhaps, until they lead beyond the last: events
 * e = 0, 1, ... with the words of Philox4x32-10 of the counters position (as a chip's), g * T + t,
 * and e. An event at x from where its cycle begins is of the cycle's conversion x * (1 / h), both
 * rounded as doubles are, cut off to an integer, and at most the last.
 *
 *   wait    with k = word 0 >> 20 and f = word 0 & (2^20 - 1), waits[k] + ((waits[k + 1] -
 * waits[k])
 *           * f >> 20); for k = 4095 waits[k] and that of word 1, likewise that of word 2, and of
 *           none
 *   error   the sum v moves by d - w, or d - w + 1 from d = w on, or not at all if d = 2 w: d of
 * the 2 w shares[kind, row, ., (v - lowest) >> sum_shift] are at most word 3 >> 1. It stays within
 * the tables. A conversion's first error is all that it reads
 *
 * There is no speculation. */
typedef struct reram_odds {
  const uint8_t* kind_of; /* [I, J] */
  const int64_t* hazards; /* [I, driven_rows] in 2^-32, at most 2^37 */
  const uint8_t* row_of;  /* [rows + 1] row of hazards by driven word-lines */
  const int32_t* shares;  /* [kinds, driven_rows, deltas, (V - 1 >> sum_shift) + 1] in 2^-31,
                             rising along deltas */
  const int64_t* waits;   /* [4096] in 2^-32, rising, at most 2^37 */
  int64_t first;          /* number of the first position */
  uint32_t key[2];
  int32_t kinds, driven_rows, deltas, sum_shift; /* deltas: 2 w */
  int32_t passes;                                /* as a chip's */
} reram_odds;

RERAM_API int32_t reram_abi_version(void);

/* The widest instruction set that both this build and this processor have. */
RERAM_API int32_t reram_best_isa(void);

/* On how many threads a call with this many really runs: 1 where the process has no OpenMP runtime.
 * On Linux the library brings none: it takes the one that torch has loaded. */
RERAM_API int32_t reram_team(int32_t threads);

/* Bit-line sums, conversion through the tables, shift-add and counts, in one pass. */
RERAM_API int32_t reram_crossbar(const reram_problem* problem, const uint8_t* u,
                                 const uint64_t* cells, const int32_t* levels,
                                 const uint8_t* comparisons, const int32_t* edges,
                                 const int32_t* index, int32_t* acc, int64_t* made,
                                 int64_t* driven);

/* A whole layer in one pass: quantize, pad with the code of zero, convert, and
 * y = input_scale * scale / unit * (acc - unit * input_zero * code_sums) + bias, with the weights'
 * scale, the sums of their codes, and bias (or NULL) of shape [G, N]. */
RERAM_API int32_t reram_forward(const reram_problem* problem, const reram_layer* layer,
                                const float* x, const uint64_t* cells, const int32_t* levels,
                                const uint8_t* comparisons, const int32_t* edges,
                                const int32_t* index, const float* scale, const int32_t* code_sums,
                                const float* bias, float* y, int64_t* made, int64_t* driven);

/* Adds the bit-line sums of this input to `histogram`. */
RERAM_API int32_t reram_histogram(const reram_problem* problem, const uint8_t* u,
                                  const uint64_t* cells, const int32_t* edges, int64_t* histogram);

/* The same as `reram_crossbar` and `reram_histogram` of what the ADCs of a chip read. */
RERAM_API int32_t reram_chip_crossbar(const reram_problem* problem, const reram_chip* chip,
                                      const uint8_t* u, const int32_t* levels,
                                      const uint8_t* comparisons, const int32_t* edges,
                                      const int32_t* index, int32_t* acc, int64_t* made,
                                      int64_t* driven);
RERAM_API int32_t reram_chip_histogram(const reram_problem* problem, const reram_chip* chip,
                                       const uint8_t* u, const int32_t* edges, int64_t* histogram);

/* The same of what is read where conversions err. */
RERAM_API int32_t reram_odds_crossbar(const reram_problem* problem, const reram_odds* odds,
                                      const uint8_t* u, const uint64_t* cells,
                                      const int32_t* levels, const uint8_t* comparisons,
                                      const int32_t* edges, const int32_t* index, int32_t* acc,
                                      int64_t* made, int64_t* driven);
RERAM_API int32_t reram_odds_histogram(const reram_problem* problem, const reram_odds* odds,
                                       const uint8_t* u, const uint64_t* cells,
                                       const int32_t* edges, int64_t* histogram);

/* Encodes weight codes into the bit planes of their cells. */
RERAM_API int32_t reram_program(const reram_problem* problem, const int16_t* codes,
                                uint64_t* cells);

/* A 64-bit hash of `bytes` bytes; equal content gives equal hashes on one machine. */
RERAM_API uint64_t reram_fingerprint(const void* data, int64_t bytes);

#ifdef __cplusplus
}
#endif

#endif
