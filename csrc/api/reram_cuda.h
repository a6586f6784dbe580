/* C interface of the CUDA kernels: the functions of reram_crossbar.h on device memory.
 *
 * Arrays, sizes and layouts are those of reram_crossbar.h; every array lies in device memory, and
 * `isa` and `threads` of a problem are not read. A call puts its work on `stream` (a cudaStream_t)
 * of the current device and returns: nothing is allocated, no array is read by the host and nothing
 * waits, so that calls may be captured into a CUDA graph. What only the device could check is taken
 * for granted: edges that rise from 0, an index within the tables, levels that cannot overflow.
 */
#ifndef RERAM_CUDA_H
#define RERAM_CUDA_H

#include "reram_crossbar.h"

#ifdef __cplusplus
extern "C" {
#endif

/* How bit-line sums are made: on the tensor cores, or by counting bits in ordinary registers; the
 * latter only for conversions of one-bit cells and DACs with tables that fit shared memory. Cells
 * or DACs of several bits and tiles of more than 128 word-lines always use the tensor cores. */
enum reram_product { RERAM_TENSOR_CORES = 0, RERAM_POPCOUNT = 1, RERAM_PRODUCT_COUNT = 2 };

/* Beside reram_status: why the current device cannot run the kernels. */
enum reram_cuda_status {
  RERAM_NO_DRIVER = 6,
  RERAM_OLD_DRIVER = 7,
  RERAM_NO_DEVICE = 8,
  RERAM_OLD_DEVICE = 9 /* compute capability below 8.0 */
};

/* RERAM_ABI_VERSION of the build. */
RERAM_API int32_t reram_cuda_abi_version(void);

/* Words for a status; a negative one is a CUDA error, negated. The text is constant. */
RERAM_API const char* reram_cuda_status_text(int32_t status);

/* RERAM_OK if the current device can run the kernels; otherwise the status that says what is
 * missing. Costs little, starts nothing on the device, and leaves no error behind. */
RERAM_API int32_t reram_cuda_fitness(void);

/* Bytes of device memory that reram_cuda_crossbar and reram_cuda_histogram need for this problem,
 * or 0 if it is out of range. What they leave in it may be overwritten by the stream's next work.
 */
RERAM_API int64_t reram_cuda_workspace(const reram_problem* problem);

/* `made` and `driven`, or NULL, are added to. `workspace` is aligned to 16 bytes. */
RERAM_API int32_t reram_cuda_crossbar(const reram_problem* problem, int32_t product,
                                      const uint8_t* u, const uint64_t* cells,
                                      const int32_t* levels, const uint8_t* comparisons,
                                      const int32_t* edges, const int32_t* index, int32_t* acc,
                                      int64_t* made, int64_t* driven, void* workspace,
                                      void* stream);

/* Adds the bit-line sums of this input to `histogram`. */
RERAM_API int32_t reram_cuda_histogram(const reram_problem* problem, int32_t product,
                                       const uint8_t* u, const uint64_t* cells,
                                       const int32_t* edges, int64_t* histogram, void* workspace,
                                       void* stream);

/* The same of what the ADCs of a chip read; its arrays lie in device memory. The workspace is that
 * of the problem. */
RERAM_API int32_t reram_cuda_chip_crossbar(const reram_problem* problem, const reram_chip* chip,
                                           const uint8_t* u, const int32_t* levels,
                                           const uint8_t* comparisons, const int32_t* edges,
                                           const int32_t* index, int32_t* acc, int64_t* made,
                                           int64_t* driven, void* workspace, void* stream);
RERAM_API int32_t reram_cuda_chip_histogram(const reram_problem* problem, const reram_chip* chip,
                                            const uint8_t* u, const int32_t* edges,
                                            int64_t* histogram, void* workspace, void* stream);

/* The same of what is read where conversions err; the arrays of odds lie in device memory, and what
 * they hold is taken for granted. */
RERAM_API int32_t reram_cuda_odds_crossbar(const reram_problem* problem, int32_t product,
                                           const reram_odds* odds, const uint8_t* u,
                                           const uint64_t* cells, const int32_t* levels,
                                           const uint8_t* comparisons, const int32_t* edges,
                                           const int32_t* index, int32_t* acc, int64_t* made,
                                           int64_t* driven, void* workspace, void* stream);
RERAM_API int32_t reram_cuda_odds_histogram(const reram_problem* problem, int32_t product,
                                            const reram_odds* odds, const uint8_t* u,
                                            const uint64_t* cells, const int32_t* edges,
                                            int64_t* histogram, void* workspace, void* stream);

/* Encodes weight codes into the bit planes of their cells. */
RERAM_API int32_t reram_cuda_program(const reram_problem* problem, const int16_t* codes,
                                     uint64_t* cells, void* stream);

#ifdef __cplusplus
}
#endif

#endif
