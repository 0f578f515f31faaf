/*
 * quant.c - f16 in integer arithmetic (the same bits on every machine and compiler), and the block formats in plain
 * loops: what the kernels are compared with.
 */
#include "tensor/quant.h"

#include <math.h>
#include <string.h>

#include "tensor/block.h"
#include "tensor/words.h"

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
        if (info->grouped) {
            gab_block unpacked = {0};
            gab_block_unpack(type, block, &unpacked);
            gab_block_values(type, &unpacked, out);
            continue;
        }
        switch (type) {
        case GAB_DTYPE_F32: out[0] = load_f32(block); break;
        case GAB_DTYPE_BF16: out[0] = float_of_bits((uint32_t)gab_load_u16(block) << 16); break;
        case GAB_DTYPE_F16: out[0] = gab_f16_to_f32(gab_load_u16(block)); break;
        case GAB_DTYPE_Q8_0: {
            float scale = gab_f16_to_f32(gab_load_u16(block));
            for (int j = 0; j < 32; j++) {
                int quant = block[2 + j] < 128 ? block[2 + j] : block[2 + j] - 256;
                out[j] = (float)quant * scale;
            }
            break;
        }
        case GAB_DTYPE_Q4_0: {
            float scale = gab_f16_to_f32(gab_load_u16(block));
            for (int j = 0; j < 16; j++) {
                out[j] = (float)((block[2 + j] & 15) - 8) * scale;
                out[j + 16] = (float)((block[2 + j] >> 4) - 8) * scale;
            }
            break;
        }
        default: break;
        }
    }
}

void gab_dequantize_planes(gab_dtype type, const void *const planes[], uint64_t n, float *out) {
    const gab_dtype_info *info = gab_dtype_get(type);
    for (uint64_t b = 0; b < n / info->block_size; b++, out += info->block_size) {
        unsigned char block[64] = {0}; /* of the types that are not grouped 34 bytes at most */
        gab_block joined;
        if (info->grouped) {
            gab_block_join(type, (size_t)b, planes, &joined);
            gab_block_values(type, &joined, out);
            continue;
        }
        for (uint32_t p = 0; p < info->n_plane; p++)
            memcpy(block + info->plane[p].offset, (const unsigned char *)planes[p] + b * info->plane[p].bytes,
                   info->plane[p].bytes);
        gab_dequantize_row(type, block, info->block_size, out);
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
    gab_store_u16(block, gab_f32_to_f16(scale));
    for (int j = 0; j < 32; j++) block[2 + j] = (unsigned char)to_int(roundf(in[j] * inverse), -127, 127);
}

/* Reference: quantize_row_q4_0_ref in ggml-quants.c. The largest value becomes quant 0, that is -8. */
static void quantize_block_q4_0(const float *in, unsigned char *block) {
    float scale = largest(in, 32) / -8, inverse = scale != 0 ? 1 / scale : 0;
    gab_store_u16(block, gab_f32_to_f16(scale));
    for (int j = 0; j < 16; j++) {
        int low = to_int(in[j] * inverse + 8.5f, 0, 15), high = to_int(in[j + 16] * inverse + 8.5f, 0, 15);
        block[2 + j] = (unsigned char)(low | high << 4);
    }
}

/* To the nearest, ties to the even one; NaN stays NaN. */
static uint16_t f32_to_bf16(float f) {
    const uint32_t bits = bits_of_float(f);
    if ((bits & 0x7fffffff) > 0x7f800000) return (uint16_t)(bits >> 16 | 64);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

void gab_quantize_row(gab_dtype type, const float *in, uint64_t n, void *row) {
    const gab_dtype_info *info = gab_dtype_get(type);
    unsigned char *block = row;
    for (uint64_t i = 0; i < n; i += info->block_size, block += info->block_bytes, in += info->block_size) {
        switch (type) {
        case GAB_DTYPE_F32: store_f32(block, in[0]); break;
        case GAB_DTYPE_F16: gab_store_u16(block, gab_f32_to_f16(in[0])); break;
        case GAB_DTYPE_BF16: gab_store_u16(block, f32_to_bf16(in[0])); break;
        case GAB_DTYPE_Q8_0: quantize_block_q8_0(in, block); break;
        case GAB_DTYPE_Q4_0: quantize_block_q4_0(in, block); break;
        case GAB_DTYPE_Q4_K: gab_quantize_block_q4_k(in, block); break;
        default: break;
        }
    }
}

bool gab_quantizes(gab_dtype type) {
    return type <= GAB_DTYPE_Q4_K || type == GAB_DTYPE_BF16;
}

/* ---- random weights ---- */

static uint32_t random_u32(uint64_t *state) { /* splitmix64 (Steele, Lea, Flood 2014) */
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (uint32_t)((z ^ (z >> 31)) >> 32);
}

/* Where a block has its f16 factors, below 0: nowhere, and the exponent that brings its weights to about 1. */
static const struct factors {
    int16_t at[2];
    uint16_t exponent;
} factors[GAB_DTYPE_COUNT] = {
    [GAB_DTYPE_Q4_1] = {{0, 2}, 11},   [GAB_DTYPE_Q5_0] = {{0, -1}, 11},  [GAB_DTYPE_Q5_1] = {{0, 2}, 10},
    [GAB_DTYPE_IQ4_NL] = {{0, -1}, 8}, [GAB_DTYPE_IQ4_XS] = {{0, -1}, 4}, [GAB_DTYPE_MXFP4] = {{-1, -1}, 0},
    [GAB_DTYPE_Q2_K] = {{80, 82}, 10}, [GAB_DTYPE_Q3_K] = {{108, -1}, 7}, [GAB_DTYPE_Q8_0] = {{0, -1}, 8},
    [GAB_DTYPE_Q4_0] = {{0, -1}, 12},  [GAB_DTYPE_Q4_K] = {{0, 2}, 6},    [GAB_DTYPE_Q5_K] = {{0, 2}, 5},
    [GAB_DTYPE_Q6_K] = {{208, -1}, 3},
};

void gab_random_row(gab_dtype type, uint64_t n, uint64_t *state, void *row) {
    const gab_dtype_info *info = gab_dtype_get(type);
    unsigned char *block = row;
    for (uint64_t i = 0; i < n; i += info->block_size, block += info->block_bytes) {
        const float value = ((float)(random_u32(state) >> 8) * 0x1p-23f - 1.0f) * 1.7320508f;
        if (info->block_size == 1) {
            gab_quantize_row(type, &value, 1, block);
            continue;
        }
        for (uint32_t k = 0; k < info->block_bytes; k++) block[k] = (unsigned char)random_u32(state);
        for (int f = 0; f < 2 && factors[type].at[f] >= 0; f++) {
            const uint32_t bits = random_u32(state) & 0x7ff; /* one of two exponents */
            gab_store_u16(block + factors[type].at[f], (uint16_t)(bits + factors[type].exponent * 0x400u));
        }
        if (type == GAB_DTYPE_MXFP4) block[0] = (unsigned char)(124 + block[0] % 4);
    }
}
