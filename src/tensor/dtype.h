/*
 * dtype.h - the one table of weight types: how a row of weights lies in a file (blocks) and on the device (planes).
 *
 * A GGUF file stores a quantized row as a sequence of blocks, each with its scale and its quants side by side. On the
 * device the parts are apart: a shard (some whole rows of a tensor) is plane 0 of all rows, then plane 1 of all rows,
 * each plane row by row, each row of a plane padded with zeros to 32 bytes, so that every load is an aligned word or
 * vector of up to eight words.
 *
 *   type    block            plane 0                          plane 1
 *   F32     1 x 4 bytes      the values                       -
 *   F16     1 x 2 bytes      the values                       -
 *   BF16    1 x 2 bytes      the values                       -
 *   Q8_0    32 x 34 bytes    32 signed bytes a block          one f16 scale a block
 *   Q4_0    32 x 18 bytes    16 bytes a block, as in the file one f16 scale a block
 *   others  block.h          16 bytes for 32 weights          the rest, in records of words
 *
 * Block formats: GGUF / ggml (ggml-common.h); a Q4_0 byte j of a block holds element j in its low and j + 16 in its
 * high nibble, both biased by 8.
 */
#ifndef GAB_TENSOR_DTYPE_H
#define GAB_TENSOR_DTYPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum gab_dtype {
    GAB_DTYPE_F32,
    GAB_DTYPE_F16,
    GAB_DTYPE_Q8_0,
    GAB_DTYPE_Q4_0,
    GAB_DTYPE_Q4_K,
    GAB_DTYPE_Q5_K,
    GAB_DTYPE_Q6_K,
    GAB_DTYPE_BF16,
    GAB_DTYPE_Q4_1,
    GAB_DTYPE_Q5_0,
    GAB_DTYPE_Q5_1,
    GAB_DTYPE_IQ4_NL,
    GAB_DTYPE_IQ4_XS,
    GAB_DTYPE_MXFP4,
    GAB_DTYPE_Q2_K,
    GAB_DTYPE_Q3_K,
    GAB_DTYPE_COUNT
} gab_dtype;

enum { GAB_PLANE_MAX = 2, GAB_PLANE_ROW_ALIGN = 32 };

typedef struct gab_dtype_info {
    const char *name;     /* "Q8_0" */
    uint32_t gguf_id;     /* ggml type number in a GGUF file */
    uint32_t block_size;  /* weights a block */
    uint32_t block_bytes; /* bytes a block in a file */
    uint32_t n_plane;     /* 1..GAB_PLANE_MAX */
    struct {
        uint32_t offset; /* where in the file's block this plane's part lies; not of grouped types */
        uint32_t bytes;  /* of a record */
        uint32_t blocks; /* a record: 1; of grouped types more where several share words */
    } plane[GAB_PLANE_MAX];
    bool grouped; /* block.h tells how a block becomes planes */
} gab_dtype_info;

const gab_dtype_info *gab_dtype_get(gab_dtype type);

/* The type with this number in a GGUF file; false when it is none that we know. */
bool gab_dtype_from_gguf(uint32_t gguf_id, gab_dtype *type);

/* The name of any type number that GGUF defines ("Q5_K"), known to us or not; NULL for a number it does not define. */
const char *gab_dtype_gguf_name(uint32_t gguf_id);

/* Bytes of a row of n weights in a file; n must be a multiple of block_size. False when the result overflows. */
bool gab_dtype_row_bytes(gab_dtype type, uint64_t n, uint64_t *bytes);

/* Bytes of a row of n weights in one plane, padded to 32; 0 where the type has no such plane. */
uint64_t gab_dtype_plane_row_bytes(gab_dtype type, uint32_t plane, uint64_t n);

/* Bytes of a row in all planes together: what one more row costs a shard. */
uint64_t gab_dtype_planes_row_bytes(gab_dtype type, uint64_t n);

/* Takes one row of blocks apart: planes[p] receives gab_dtype_plane_row_bytes bytes, padding included. */
void gab_dtype_split_row(gab_dtype type, uint64_t n, const void *row, void *const planes[]);

#endif
