/*
 * quant.h - the CPU reference of the weight types: f16 conversion, quantize, dequantize. Rows lie as in a file.
 */
#ifndef GAB_TENSOR_QUANT_H
#define GAB_TENSOR_QUANT_H

#include "tensor/dtype.h"

/* IEEE 754 binary16; f32 to f16 rounds to nearest even, keeps infinities, NaNs and subnormals. */
float gab_f16_to_f32(uint16_t h);
uint16_t gab_f32_to_f16(float f);

/* n weights (a multiple of the block size). Quantizing follows ggml's reference: Q8_0 scale = max|x| / 127; Q4_0 scale
 * = (the value of largest magnitude) / -8. Dequantizing is exact in f32: quant * scale, one rounding. */
void gab_dequantize_row(gab_dtype type, const void *row, uint64_t n, float *out);
void gab_quantize_row(gab_dtype type, const float *in, uint64_t n, void *row);

#endif
