/*
 * block.h - the grouped weight types: file blocks of very different layouts, brought to one that the kernels read.
 *
 * A part is 32 weights in two groups of 16. Of each group plane 0 has eight bytes: byte j holds the low four bits of
 * weight j in its low and those of weight j + 8 in its high half. Plane 1 is made of records, each of:
 *   d      a word: two f16, the factor of all scales and that of all minimums, or scale and minimum themselves
 *   scale  8 or 16 bits a part: what the table below says
 *   high   one or two words a part, of equally many of its weights: the fifth bits, or fifth and sixth, those of
 * weights b, b + 4, b + 8 and so on in byte b from the lowest bit on, so that a shift brings four to their places
 *
 *   type    weights a record  d       scale                            high bits  a weight of the quant q
 *   Q4_1    32                d m     -                                0          d * q + m
 *   Q5_0    64                -       d as f16                         1          d * (q - 16)
 *   Q5_1    32                d m     -                                1          d * q + m
 *   Q2_K    256               d dmin  a byte for a group: scale in     0          d * scale * q - dmin * minimum
 *                                     the low, minimum in the high half
 *   Q3_K    256               d 0     a scale byte for a group         0          d * (scale - 32) * (q - 4)
 *   Q4_K    256               d dmin  scale byte, minimum byte         0          d * scale * q - dmin * minimum
 *   Q5_K    256               d dmin  scale byte, minimum byte         1          d * scale * q - dmin * minimum
 *   Q6_K    256               d 0     a signed scale byte for a group  2          d * scale * (q - 32)
 *   IQ4_NL  64                -       d as f16                         0          d * table[q]
 *   IQ4_XS  256               d 0     scale byte                       0          d * (scale - 32) * table[q]
 *   MXFP4   128               -       exponent                         0          2^(exponent - 128) * table[q]
 *
 * Quants of two or three bits have four in plane 0 like the others.
 *
 * File formats: ggml-common.h, and dequantize_row_* of ggml-quants.c. MXFP4: OCP Microscaling Formats 1.0, whose E2M1
 * numbers the table holds doubled.
 */
#ifndef GAB_TENSOR_BLOCK_H
#define GAB_TENSOR_BLOCK_H

#include "tensor/dtype.h"

enum { GAB_BLOCK_MAX = 256, GAB_PART_WEIGHTS = 32, GAB_GROUP_WEIGHTS = 16 };

typedef struct gab_block {
    uint8_t quant[GAB_BLOCK_MAX];                        /* with the high bits */
    uint8_t scale[2 * GAB_BLOCK_MAX / GAB_PART_WEIGHTS]; /* as they come in the record */
    uint16_t d, d_min;
} gab_block;

/* One block of a grouped type as in a file. */
void gab_block_unpack(gab_dtype type, const void *bytes, gab_block *block);

/* n_block blocks into zeroed planes. */
void gab_block_split(gab_dtype type, size_t n_block, const void *row, void *const planes[]);

/* Block number b of a row that was split. */
void gab_block_join(gab_dtype type, size_t b, const void *const planes[], gab_block *block);

/* The weights of a block in f32: the products of scales and of quants are rounded, then the sum is. */
void gab_block_values(gab_dtype type, const gab_block *block, float *out);

#endif
