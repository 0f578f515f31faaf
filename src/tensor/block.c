#include "tensor/block.h"

#include <math.h>
#include <string.h>

#include "tensor/quant.h"
#include "tensor/words.h"

/* What a record of plane 1 holds; the kernels' side is shaders/dequant_grouped.glsl. */
static const struct record {
    uint8_t parts, d, scale_bits, high_bits;
} records[GAB_DTYPE_COUNT] = {
    [GAB_DTYPE_Q2_K] = {8, 1, 16, 0},  [GAB_DTYPE_Q3_K] = {8, 1, 16, 0}, [GAB_DTYPE_Q4_K] = {8, 1, 16, 0},
    [GAB_DTYPE_Q5_K] = {8, 1, 16, 1},  [GAB_DTYPE_Q6_K] = {8, 1, 16, 2}, [GAB_DTYPE_Q4_1] = {1, 1, 0, 0},
    [GAB_DTYPE_Q5_0] = {2, 0, 16, 1},  [GAB_DTYPE_Q5_1] = {1, 1, 0, 1},  [GAB_DTYPE_IQ4_NL] = {2, 0, 16, 0},
    [GAB_DTYPE_IQ4_XS] = {8, 1, 8, 0}, [GAB_DTYPE_MXFP4] = {4, 0, 8, 0},
};

static const int8_t table_iq4[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
static const int8_t table_mxfp4[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

/* ---- file blocks ---- */

/* n bytes of two nibbles: the low ones are n weights, the high ones the n after them. */
static void unpack_nibbles(const uint8_t *bytes, int n, uint8_t *quant) {
    for (int i = 0; i < n; i++) {
        quant[i] = bytes[i] & 15;
        quant[n + i] = bytes[i] >> 4;
    }
}

static void unpack_fifth_bits(const uint8_t *bytes, uint8_t *quant) {
    for (int i = 0; i < 32; i++) quant[i] |= (uint8_t)((bytes[i / 8] >> i % 8 & 1) << 4);
}

/* Of 32 weights: two f16 or one, then, where there are, fifth bits. */
static void unpack_q4_1(const uint8_t *bytes, gab_block *b) {
    b->d = gab_load_u16(bytes);
    b->d_min = gab_load_u16(bytes + 2);
    unpack_nibbles(bytes + 4, 16, b->quant);
}

static void unpack_q5_0(const uint8_t *bytes, gab_block *b) {
    memcpy(b->scale, bytes, 2);
    unpack_nibbles(bytes + 6, 16, b->quant);
    unpack_fifth_bits(bytes + 2, b->quant);
}

static void unpack_q5_1(const uint8_t *bytes, gab_block *b) {
    b->d = gab_load_u16(bytes);
    b->d_min = gab_load_u16(bytes + 2);
    unpack_nibbles(bytes + 8, 16, b->quant);
    unpack_fifth_bits(bytes + 4, b->quant);
}

static void unpack_iq4_nl(const uint8_t *bytes, gab_block *b) {
    memcpy(b->scale, bytes, 2);
    unpack_nibbles(bytes + 2, 16, b->quant);
}

static void unpack_iq4_xs(const uint8_t *bytes, gab_block *b) {
    const uint32_t high = gab_load_u16(bytes + 2);
    b->d = gab_load_u16(bytes);
    b->d_min = 0;
    for (int i = 0; i < 8; i++) {
        b->scale[i] = (uint8_t)((bytes[4 + i / 2] >> 4 * (i % 2) & 15) | (high >> 2 * i & 3) << 4);
        unpack_nibbles(bytes + 8 + 16 * i, 16, b->quant + 32 * i);
    }
}

static void unpack_mxfp4(const uint8_t *bytes, gab_block *b) {
    b->scale[0] = bytes[0];
    unpack_nibbles(bytes + 1, 16, b->quant);
}

/* Eight scales and eight minimums of six bits in 12 bytes (get_scale_min_k4). */
static void unpack_scales_k4(const uint8_t *bytes, uint8_t *scale) {
    for (int i = 0; i < 4; i++) {
        scale[2 * i] = bytes[i] & 63;
        scale[2 * i + 1] = bytes[i + 4] & 63;
        scale[2 * i + 8] = (uint8_t)((bytes[i + 8] & 15) | bytes[i] >> 6 << 4);
        scale[2 * i + 9] = (uint8_t)(bytes[i + 8] >> 4 | bytes[i + 4] >> 6 << 4);
    }
}

static void unpack_q4_k(const uint8_t *bytes, gab_block *b) {
    b->d = gab_load_u16(bytes);
    b->d_min = gab_load_u16(bytes + 2);
    unpack_scales_k4(bytes + 4, b->scale);
    for (int i = 0; i < 4; i++) unpack_nibbles(bytes + 16 + 32 * i, 32, b->quant + 64 * i);
}

static void unpack_q5_k(const uint8_t *bytes, gab_block *b) {
    b->d = gab_load_u16(bytes);
    b->d_min = gab_load_u16(bytes + 2);
    unpack_scales_k4(bytes + 4, b->scale);
    for (int i = 0; i < 4; i++) unpack_nibbles(bytes + 48 + 32 * i, 32, b->quant + 64 * i);
    for (int i = 0; i < 256; i++) b->quant[i] |= (uint8_t)((bytes[16 + i % 32] >> i / 32 & 1) << 4);
}

static void unpack_q6_k(const uint8_t *bytes, gab_block *b) {
    for (int half = 0; half < 2; half++) unpack_nibbles(bytes + 64 * half, 64, b->quant + 128 * half);
    for (int i = 0; i < 256; i++) {
        const uint8_t high = bytes[128 + i / 128 * 32 + i % 32] >> (i / 32 % 4 * 2) & 3;
        b->quant[i] |= (uint8_t)(high << 4);
    }
    memcpy(b->scale, bytes + 192, 16);
    b->d = gab_load_u16(bytes + 208);
    b->d_min = 0;
}

/* The low two bits of 256 quants. */
static void unpack_pairs(const uint8_t *bytes, uint8_t *quant) {
    for (int i = 0; i < 256; i++) quant[i] = bytes[i / 128 * 32 + i % 32] >> (i / 32 % 4 * 2) & 3;
}

static void unpack_q2_k(const uint8_t *bytes, gab_block *b) {
    memcpy(b->scale, bytes, 16);
    unpack_pairs(bytes + 16, b->quant);
    b->d = gab_load_u16(bytes + 80);
    b->d_min = gab_load_u16(bytes + 82);
}

static void unpack_q3_k(const uint8_t *bytes, gab_block *b) {
    unpack_pairs(bytes + 32, b->quant);
    for (int i = 0; i < 256; i++) b->quant[i] |= (uint8_t)((bytes[i % 32] >> i / 32 & 1) << 2);
    for (int i = 0; i < 16; i++) {
        const int low = bytes[96 + i % 8] >> i / 8 * 4 & 15, high = bytes[104 + i % 4] >> i / 4 * 2 & 3;
        b->scale[i] = (uint8_t)(low | high << 4);
    }
    b->d = gab_load_u16(bytes + 108);
    b->d_min = 0;
}

void gab_block_unpack(gab_dtype type, const void *bytes, gab_block *block) {
    switch (type) {
    case GAB_DTYPE_Q4_K: unpack_q4_k(bytes, block); break;
    case GAB_DTYPE_Q5_K: unpack_q5_k(bytes, block); break;
    case GAB_DTYPE_Q6_K: unpack_q6_k(bytes, block); break;
    case GAB_DTYPE_Q4_1: unpack_q4_1(bytes, block); break;
    case GAB_DTYPE_Q5_0: unpack_q5_0(bytes, block); break;
    case GAB_DTYPE_Q5_1: unpack_q5_1(bytes, block); break;
    case GAB_DTYPE_IQ4_NL: unpack_iq4_nl(bytes, block); break;
    case GAB_DTYPE_IQ4_XS: unpack_iq4_xs(bytes, block); break;
    case GAB_DTYPE_MXFP4: unpack_mxfp4(bytes, block); break;
    case GAB_DTYPE_Q2_K: unpack_q2_k(bytes, block); break;
    case GAB_DTYPE_Q3_K: unpack_q3_k(bytes, block); break;
    default: break;
    }
}

/* ---- planes ---- */

static void pack_low(const uint8_t *quant, uint8_t *to) {
    for (int g = 0; g < 2; g++, quant += 16, to += 8)
        for (int i = 0; i < 8; i++) to[i] = (uint8_t)((quant[i] & 15) | (quant[i + 8] & 15) << 4);
}

/* Weight i's higher bits are in byte i % 4 of a word. */
static void pack_high(const uint8_t *quant, uint32_t bits, uint8_t *to) {
    const uint32_t per_word = 32 / bits;
    for (uint32_t w = 0; w < bits; w++, quant += per_word, to += 4) {
        uint32_t word = 0;
        for (uint32_t i = 0; i < per_word; i++) word |= (uint32_t)(quant[i] >> 4) << (i % 4 * 8 + i / 4 * bits);
        gab_store_u32(to, word);
    }
}

void gab_block_split(gab_dtype type, size_t n_block, const void *row, void *const planes[]) {
    const gab_dtype_info *info = gab_dtype_get(type);
    const struct record *r = &records[type];
    const size_t block_parts = info->block_size / GAB_PART_WEIGHTS, scale_bytes = r->scale_bits / 8;
    const uint8_t *from = row;
    uint8_t *low = planes[0];
    for (size_t b = 0; b < n_block; b++, from += info->block_bytes) {
        gab_block block = {0};
        gab_block_unpack(type, from, &block);
        for (size_t i = 0; i < block_parts; i++, low += 16) {
            const size_t part = b * block_parts + i, in_record = part % r->parts;
            uint8_t *to = (uint8_t *)planes[1] + part / r->parts * info->plane[1].bytes;
            pack_low(block.quant + GAB_PART_WEIGHTS * i, low);
            if (r->d && in_record == 0) {
                gab_store_u16(to, block.d);
                gab_store_u16(to + 2, block.d_min);
            }
            to += 4 * (size_t)r->d;
            memcpy(to + in_record * scale_bytes, block.scale + i * scale_bytes, scale_bytes);
            to += r->parts * scale_bytes + 4 * in_record * r->high_bits;
            if (r->high_bits) pack_high(block.quant + GAB_PART_WEIGHTS * i, r->high_bits, to);
        }
    }
}

static void unpack_low(const uint8_t *from, uint8_t *quant) {
    for (int g = 0; g < 2; g++, quant += 16, from += 8)
        for (int i = 0; i < 8; i++) {
            quant[i] = from[i] & 15;
            quant[i + 8] = from[i] >> 4;
        }
}

static void unpack_high(const uint8_t *from, uint32_t bits, uint8_t *quant) {
    const uint32_t per_word = 32 / bits;
    for (uint32_t i = 0; i < GAB_PART_WEIGHTS; i++) {
        const uint8_t byte = from[i / per_word * 4 + i % 4];
        quant[i] |= (uint8_t)((byte >> i % per_word / 4 * bits & ((1u << bits) - 1)) << 4);
    }
}

void gab_block_join(gab_dtype type, size_t b, const void *const planes[], gab_block *block) {
    const gab_dtype_info *info = gab_dtype_get(type);
    const struct record *r = &records[type];
    const size_t block_parts = info->block_size / GAB_PART_WEIGHTS, scale_bytes = r->scale_bits / 8;
    *block = (gab_block){0};
    for (size_t i = 0; i < block_parts; i++) {
        const size_t part = b * block_parts + i, in_record = part % r->parts;
        const uint8_t *from = (const uint8_t *)planes[1] + part / r->parts * info->plane[1].bytes;
        uint8_t *quant = block->quant + GAB_PART_WEIGHTS * i;
        unpack_low((const uint8_t *)planes[0] + 16 * part, quant);
        if (r->d) {
            block->d = gab_load_u16(from);
            block->d_min = gab_load_u16(from + 2);
        }
        from += 4 * (size_t)r->d;
        memcpy(block->scale + i * scale_bytes, from + in_record * scale_bytes, scale_bytes);
        if (r->high_bits)
            unpack_high(from + r->parts * scale_bytes + 4 * in_record * r->high_bits, r->high_bits, quant);
    }
}

/* ---- values ---- */

static int signed_byte(uint8_t byte) {
    return byte < 128 ? byte : byte - 256;
}

/* What group number g is multiplied by, and what is added then. */
static void group_scale(gab_dtype type, const gab_block *b, int g, float *scale, float *add) {
    const float d = gab_f16_to_f32(b->d), d_min = gab_f16_to_f32(b->d_min);
    const int part = g / 2;
    *add = 0;
    switch (type) {
    case GAB_DTYPE_Q4_K:
    case GAB_DTYPE_Q5_K:
        *scale = d * (float)b->scale[2 * part];
        *add = -(d_min * (float)b->scale[2 * part + 1]);
        break;
    case GAB_DTYPE_Q2_K:
        *scale = d * (float)(b->scale[g] & 15);
        *add = -(d_min * (float)(b->scale[g] >> 4));
        break;
    case GAB_DTYPE_Q3_K: *scale = d * (float)(b->scale[g] - 32); break;
    case GAB_DTYPE_Q4_1:
    case GAB_DTYPE_Q5_1:
        *scale = d;
        *add = d_min;
        break;
    case GAB_DTYPE_Q5_0:
    case GAB_DTYPE_IQ4_NL: *scale = gab_f16_to_f32(gab_load_u16(b->scale)); break;
    case GAB_DTYPE_IQ4_XS: *scale = d * (float)(b->scale[part] - 32); break;
    case GAB_DTYPE_MXFP4: *scale = ldexpf(1, b->scale[0] - 128); break;
    default: *scale = d * (float)signed_byte(b->scale[g]); break;
    }
}

static int quant_number(gab_dtype type, uint8_t quant) {
    switch (type) {
    case GAB_DTYPE_Q3_K: return quant - 4;
    case GAB_DTYPE_Q5_0: return quant - 16;
    case GAB_DTYPE_Q6_K: return quant - 32;
    case GAB_DTYPE_IQ4_NL:
    case GAB_DTYPE_IQ4_XS: return table_iq4[quant];
    case GAB_DTYPE_MXFP4: return table_mxfp4[quant];
    default: return quant;
    }
}

static bool has_minimum(gab_dtype type) {
    return type == GAB_DTYPE_Q4_K || type == GAB_DTYPE_Q5_K || type == GAB_DTYPE_Q4_1 || type == GAB_DTYPE_Q5_1 ||
           type == GAB_DTYPE_Q2_K;
}

void gab_block_values(gab_dtype type, const gab_block *block, float *out) {
    const int n_group = (int)gab_dtype_get(type)->block_size / GAB_GROUP_WEIGHTS;
    for (int g = 0; g < n_group; g++) {
        float scale, add;
        group_scale(type, block, g, &scale, &add);
        for (int i = g * GAB_GROUP_WEIGHTS; i < (g + 1) * GAB_GROUP_WEIGHTS; i++) {
            const float product = scale * (float)quant_number(type, block->quant[i]);
            out[i] = has_minimum(type) ? product + add : product;
        }
    }
}
