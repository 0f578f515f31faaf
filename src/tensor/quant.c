/*
 * quant.c - f16 in integer arithmetic (the same bits on every machine and compiler), and the block formats in plain
 * loops: what the kernels are compared with.
 */
#include "tensor/quant.h"

#include <math.h>
#include <string.h>

static float float_of_bits(uint32_t bits) {
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

static uint32_t bits_of_float(float f) {
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    return bits;
}

float gab_f16_to_f32(uint16_t h) {
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, exponent = (h >> 10) & 31, mantissa = h & 0x3ff;
    if (exponent == 31) return float_of_bits(sign | 0x7f800000 | mantissa << 13);
    if (exponent == 0) {
        if (mantissa == 0) return float_of_bits(sign);
        /* Subnormal: shift the leading one to the place of the implicit one. */
        exponent = 1;
        for (; !(mantissa & 0x400); mantissa <<= 1) exponent--;
        mantissa &= 0x3ff;
    }
    return float_of_bits(sign | (exponent + (127 - 15)) << 23 | mantissa << 13);
}

/* value / 2^shift, to the nearest integer, ties to the even one; shift 1..31. */
static uint32_t shift_right_even(uint32_t value, uint32_t shift) {
    uint32_t quotient = value >> shift, rest = value & ((1u << shift) - 1), half = 1u << (shift - 1);
    return quotient + (rest > half || (rest == half && (quotient & 1)));
}

uint16_t gab_f32_to_f16(float f) {
    uint32_t bits = bits_of_float(f), sign = (bits >> 16) & 0x8000, magnitude = bits & 0x7fffffff, h;
    uint32_t exponent = magnitude >> 23;
    if (magnitude > 0x7f800000) { /* NaN: what fits of its payload, never so little that it becomes infinity */
        h = 0x7c00 | ((magnitude >> 13) & 0x3ff);
        if (h == 0x7c00) h |= 0x200;
    } else if (exponent >= 127 + 16)
        h = 0x7c00;
    else if (exponent >= 127 - 14) /* a carry out of the mantissa raises the exponent, up to infinity */
        h = shift_right_even(magnitude - ((127u - 15) << 23), 13);
    else if (exponent >= 127 - 25) /* subnormal: in units of 2^-24 */
        h = shift_right_even((magnitude & 0x7fffff) | 0x800000, 126 - exponent);
    else
        h = 0;
    return (uint16_t)(sign | h);
}

static uint16_t load_u16(const unsigned char *p) {
    return (uint16_t)(p[0] | p[1] << 8);
}

static void store_u16(unsigned char *p, uint16_t value) {
    p[0] = (unsigned char)value;
    p[1] = (unsigned char)(value >> 8);
}

static float load_f32(const unsigned char *p) {
    return float_of_bits((uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24);
}

static void store_f32(unsigned char *p, float f) {
    uint32_t bits = bits_of_float(f);
    for (int i = 0; i < 4; i++) p[i] = (unsigned char)(bits >> 8 * i);
}

void gab_dequantize_row(gab_dtype type, const void *row, uint64_t n, float *out) {
    const gab_dtype_info *info = gab_dtype_get(type);
    const unsigned char *block = row;
    for (uint64_t i = 0; i < n; i += info->block_size, block += info->block_bytes, out += info->block_size) {
        switch (type) {
        case GAB_DTYPE_F32: out[0] = load_f32(block); break;
        case GAB_DTYPE_F16: out[0] = gab_f16_to_f32(load_u16(block)); break;
        case GAB_DTYPE_Q8_0: {
            float scale = gab_f16_to_f32(load_u16(block));
            for (int j = 0; j < 32; j++) {
                int quant = block[2 + j] < 128 ? block[2 + j] : block[2 + j] - 256;
                out[j] = (float)quant * scale;
            }
            break;
        }
        case GAB_DTYPE_Q4_0: {
            float scale = gab_f16_to_f32(load_u16(block));
            for (int j = 0; j < 16; j++) {
                out[j] = (float)((block[2 + j] & 15) - 8) * scale;
                out[j + 16] = (float)((block[2 + j] >> 4) - 8) * scale;
            }
            break;
        }
        case GAB_DTYPE_COUNT: break;
        }
    }
}

/* The value of largest magnitude, with its sign; the first of equals. */
static float largest(const float *in, int n) {
    float result = 0;
    for (int i = 0; i < n; i++)
        if (fabsf(in[i]) > fabsf(result)) result = in[i];
    return result;
}

/* Bounded before the conversion, which is undefined for NaN and for what does not fit. */
static int to_int(float f, float low, float high) {
    return (int)(f >= low ? f <= high ? f : high : low);
}

/* Reference: quantize_row_q8_0_ref in ggml-quants.c. The quants are made with the unrounded scale. */
static void quantize_block_q8_0(const float *in, unsigned char *block) {
    float scale = fabsf(largest(in, 32)) / 127, inverse = scale != 0 ? 1 / scale : 0;
    store_u16(block, gab_f32_to_f16(scale));
    for (int j = 0; j < 32; j++) block[2 + j] = (unsigned char)to_int(roundf(in[j] * inverse), -127, 127);
}

/* Reference: quantize_row_q4_0_ref in ggml-quants.c. The largest value becomes quant 0, that is -8. */
static void quantize_block_q4_0(const float *in, unsigned char *block) {
    float scale = largest(in, 32) / -8, inverse = scale != 0 ? 1 / scale : 0;
    store_u16(block, gab_f32_to_f16(scale));
    for (int j = 0; j < 16; j++) {
        int low = to_int(in[j] * inverse + 8.5f, 0, 15), high = to_int(in[j + 16] * inverse + 8.5f, 0, 15);
        block[2 + j] = (unsigned char)(low | high << 4);
    }
}

void gab_quantize_row(gab_dtype type, const float *in, uint64_t n, void *row) {
    const gab_dtype_info *info = gab_dtype_get(type);
    unsigned char *block = row;
    for (uint64_t i = 0; i < n; i += info->block_size, block += info->block_bytes, in += info->block_size) {
        switch (type) {
        case GAB_DTYPE_F32: store_f32(block, in[0]); break;
        case GAB_DTYPE_F16: store_u16(block, gab_f32_to_f16(in[0])); break;
        case GAB_DTYPE_Q8_0: quantize_block_q8_0(in, block); break;
        case GAB_DTYPE_Q4_0: quantize_block_q4_0(in, block); break;
        case GAB_DTYPE_COUNT: break;
        }
    }
}
