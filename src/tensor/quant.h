/*
 * quant.h - the CPU reference of the weight types: f16 conversion, quantize, dequantize. Rows lie as in a file.
 */
#ifndef GAB_TENSOR_QUANT_H
#define GAB_TENSOR_QUANT_H

#include "tensor/dtype.h"

/* IEEE 754 binary16; f32 to f16 rounds to nearest even, keeps infinities, NaNs and subnormals. */
float gab_f16_to_f32(uint16_t h);
uint16_t gab_f32_to_f16(float f);

/* n weights (a multiple of the block size). Dequantizing rounds as ggml and gguf-py do: each product, then the sum. */
void gab_dequantize_row(gab_dtype type, const void *row, uint64_t n, float *out);

/* Quantizing follows ggml's reference: Q8_0 scale = max|x| / 127; Q4_0 scale = (the value of largest magnitude) / -8;
 * Q4_K by least squares (quantize_k.c). */
bool gab_quantizes(gab_dtype type); /* to this type? */
void gab_quantize_row(gab_dtype type, const float *in, uint64_t n, void *row);

/* The same of a row that gab_dtype_split_row has taken apart. */
void gab_dequantize_planes(gab_dtype type, const void *const planes[], uint64_t n, float *out);

/* 256 weights into the 144 bytes of a block. */
void gab_quantize_block_q4_k(const float *in, unsigned char *block);

/* Random weights of any type, of about 1: all quants and scales. For measuring and proving kernels. */
void gab_random_row(gab_dtype type, uint64_t n, uint64_t *state, void *row);

#endif
