/*
 * tensor_quant.c - f16 against the definition, quantizing and dequantizing against blocks worked out by hand.
 */
#include "tensor/quant.h"

#include "base/hash.h"
#include "test.h"

#include <inttypes.h>
#include <math.h>

static uint32_t bits_of(float f) {
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    return bits;
}

static float of_bits(uint32_t bits) {
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

/* IEEE 754-2019, 3.4: what a finite half means. */
static double half_value(uint32_t h) {
    int exponent = (int)(h >> 10) & 31, mantissa = (int)h & 0x3ff;
    double magnitude = exponent ? ldexp(1024 + mantissa, exponent - 25) : ldexp(mantissa, -24);
    return h & 0x8000 ? -magnitude : magnitude;
}

static bool is_nan(uint32_t h) {
    return (h & 0x7fff) > 0x7c00;
}

GAB_TEST(f16_to_f32_all) {
    for (uint32_t h = 0; h < 65536; h++) {
        float f = gab_f16_to_f32((uint16_t)h);
        if (is_nan(h))
            CHECK(isnan(f));
        else if ((h & 0x7fff) == 0x7c00)
            CHECK(bits_of(f) == (h == 0x7c00 ? 0x7f800000u : 0xff800000u));
        else
            CHECK(bits_of(f) == bits_of((float)half_value(h)));
    }
}

GAB_TEST(f16_round_trip_all) {
    for (uint32_t h = 0; h < 65536; h++) {
        uint16_t back = gab_f32_to_f16(gab_f16_to_f32((uint16_t)h));
        /* Passing a signaling NaN by value may quiet it on some machines. */
        if (is_nan(h) ? (back | 0x200) != (h | 0x200) : back != h) FAIL("%04" PRIx32 " came back as %04x", h, back);
    }
}

/* Between every two neighbors: the midpoint goes to the even one, its own neighbors to the nearer one. */
GAB_TEST(f16_rounds_to_nearest_even) {
    for (uint32_t h = 0; h < 0x7c00; h++) {
        /* The neighbor of the largest is infinity, which rounding treats as 65536. */
        double above = h + 1 == 0x7c00 ? 65536.0 : half_value(h + 1);
        float middle = (float)((half_value(h) + above) / 2);
        uint32_t even = h & 1 ? h + 1 : h;
        for (uint32_t sign = 0; sign <= 0x8000; sign += 0x8000) {
            float s = sign ? -1.0f : 1.0f;
            CHECK(gab_f32_to_f16(s * middle) == (sign | even));
            CHECK(gab_f32_to_f16(s * nextafterf(middle, 0)) == (sign | h));
            CHECK(gab_f32_to_f16(s * nextafterf(middle, INFINITY)) == (sign | (h + 1)));
        }
    }
}

GAB_TEST(f16_known_values) {
    static const struct {
        uint32_t f32;
        uint16_t f16;
    } rows[] = {
        {0x00000000, 0x0000}, {0x80000000, 0x8000}, {0x3f800000, 0x3c00}, {0xc0000000, 0xc000}, /* 0 -0 1 -2 */
        {0x477fe000, 0x7bff},                                                                   /* 65504, the largest */
        {0x477fefff, 0x7bff}, {0x477ff000, 0x7c00},                       /* below 65520, and 65520 */
        {0x7f7fffff, 0x7c00}, {0xff7fffff, 0xfc00},                       /* largest floats */
        {0x7f800000, 0x7c00}, {0xff800000, 0xfc00},                       /* infinities */
        {0x38800000, 0x0400},                                             /* 2^-14, the smallest normal */
        {0x387fffff, 0x0400}, {0x387fc000, 0x03ff},                       /* just below it; the largest subnormal */
        {0x33800000, 0x0001},                                             /* 2^-24, the smallest */
        {0x33000000, 0x0000}, {0x33000001, 0x0001},                       /* 2^-25 is a tie */
        {0x32ffffff, 0x0000}, {0x00000001, 0x0000}, {0x807fffff, 0x8000}, /* less; subnormal floats */
        {0x7fc00000, 0x7e00}, {0xffc00000, 0xfe00}, {0x7f800001, 0x7e00}, {0x7f802000, 0x7c01}, /* NaN */
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint16_t h = gab_f32_to_f16(of_bits(rows[i].f32));
        if (is_nan(rows[i].f16) ? (h | 0x200) != (rows[i].f16 | 0x200) : h != rows[i].f16)
            FAIL("%08" PRIx32 " became %04x", rows[i].f32, h);
    }
}

GAB_TEST(dequantize_by_hand) {
    unsigned char block[34] = {0x00, 0x38}; /* 0.5 */
    float out[32];
    for (int i = 0; i < 32; i++) block[2 + i] = (unsigned char)(i * 8 - 128);
    gab_dequantize_row(GAB_DTYPE_Q8_0, block, 32, out);
    for (int i = 0; i < 32; i++) CHECK(out[i] == 0.5f * (float)(i * 8 - 128));

    for (int i = 0; i < 16; i++) block[2 + i] = (unsigned char)(i | (15 - i) << 4);
    gab_dequantize_row(GAB_DTYPE_Q4_0, block, 32, out);
    for (int i = 0; i < 16; i++) CHECK(out[i] == 0.5f * (float)(i - 8) && out[16 + i] == 0.5f * (float)(7 - i));

    gab_dequantize_row(GAB_DTYPE_F16, block, 1, out);
    CHECK(out[0] == 0.5f);
    gab_dequantize_row(GAB_DTYPE_F32, (unsigned char[]){0, 0, 0x20, 0xc0}, 1, out);
    CHECK(out[0] == -2.5f);
}

/* Byte number i of an endless random row: splitmix64. */
static unsigned char random_byte(uint64_t i) {
    uint64_t z = (i + 1) * 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (unsigned char)((z ^ (z >> 31)) >> 56);
}

/* The bits that gguf-py makes of 64 random blocks (tests/oracle/make_types.py). */
GAB_TEST(dequantize_recorded) {
    enum { N_BLOCK = 64 };
    static const struct {
        gab_dtype type;
        int halves[2]; /* where a block has f16 */
        uint64_t hash;
    } recorded[] = {
#include "tensor_types.h"
    };
    static unsigned char row[N_BLOCK * 256];
    static float out[N_BLOCK * 256];
    CHECK(sizeof recorded / sizeof *recorded == GAB_DTYPE_COUNT - 1); /* all but F32 */
    for (size_t r = 0; r < sizeof recorded / sizeof *recorded; r++) {
        const gab_dtype_info *info = gab_dtype_get(recorded[r].type);
        for (uint32_t i = 0; i < N_BLOCK * info->block_bytes; i++) row[i] = random_byte(i);
        for (uint32_t b = 0; b < N_BLOCK; b++)
            for (int h = 0; h < 2 && recorded[r].halves[h] >= 0; h++)
                row[b * info->block_bytes + (uint32_t)recorded[r].halves[h] + 1] &= 0xbf; /* finite */
        gab_dequantize_row(recorded[r].type, row, N_BLOCK * info->block_size, out);
        if (gab_hash_bytes(GAB_HASH_START, out, N_BLOCK * info->block_size * sizeof *out) != recorded[r].hash)
            FAIL("%s has other weights than gguf-py makes of it", info->name);
    }
}

GAB_TEST(quantize_q8_0_by_hand) {
    float in[64] = {-254, 127, 1,
                    3,    -1,  2.9f}; /* scale 2, quants -127, 63.5, 0.5, 1.5, -0.5, 1.45; then a block of zeros */
    static const signed char quants[32] = {-127, 64, 1, 2, -1, 1}; /* halves away from zero */
    unsigned char row[68];
    gab_quantize_row(GAB_DTYPE_Q8_0, in, 64, row);
    CHECK(row[0] == 0x00 && row[1] == 0x40 && memcmp(row + 2, quants, 32) == 0);
    for (int i = 34; i < 68; i++) CHECK(row[i] == 0);
}

GAB_TEST(quantize_q4_0_by_hand) {
    /* The largest is 16, so the scale is -2: quants are x / -2 + 8.5, cut to integers, 15 at most. */
    float in[32] = {16, -16, 0, 1, -1, 2, -14, -15}; /* 0.5, 16.5, 8.5, 8, 9, 7.5, 15.5, 16 */
    unsigned char block[18];
    in[16] = 7; /* 5 */
    gab_quantize_row(GAB_DTYPE_Q4_0, in, 32, block);
    static const unsigned char quants[16] = {0x50, 0x8f, 0x88, 0x88, 0x89, 0x87, 0x8f, 0x8f,
                                             0x88, 0x88, 0x88, 0x88, 0x88, 0x88, 0x88, 0x88};
    CHECK(block[0] == 0x00 && block[1] == 0xc0 && memcmp(block + 2, quants, 16) == 0);
}

/* |x - dequantized(quantized(x))| in units of the block's largest magnitude. */
GAB_TEST(quantize_error_bounds) {
    enum { N = 32 * 64 };
    /* Q8_0: half a step of 1/127, and the scale's rounding to f16 (2^-11); Q4_0: half a step of 1/8, a whole one for
     * the side that 15 cuts off; F16: 2^-11; BF16: 2^-8. */
    static const struct {
        gab_dtype type;
        double bound;
    } rows[] = {{GAB_DTYPE_F32, 0},
                {GAB_DTYPE_F16, 1.0 / 2048},
                {GAB_DTYPE_BF16, 1.0 / 256},
                {GAB_DTYPE_Q8_0, 0.5 / 127 + 1.0 / 2048 + 1e-6},
                {GAB_DTYPE_Q4_0, 1.0 / 8 + 1.0 / 2048 + 1e-6}};
    static float in[N], out[N];
    static unsigned char row[4 * N];
    gab_test_random random = {7};
    for (int i = 0; i < N; i++) in[i] = ldexpf(gab_test_random_normal(&random), i / 32 % 20 - 10);
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        gab_quantize_row(rows[r].type, in, N, row);
        gab_dequantize_row(rows[r].type, row, N, out);
        for (int b = 0; b < N; b += 32) {
            double largest = 0, worst = 0;
            for (int i = b; i < b + 32; i++) {
                largest = fmax(largest, fabs((double)in[i]));
                worst = fmax(worst, fabs((double)in[i] - (double)out[i]));
            }
            /* A scale that is subnormal in f16 is off by up to 2^-25. */
            if (worst > rows[r].bound * largest + (rows[r].type == GAB_DTYPE_F32 ? 0 : 127 * 0x1p-25))
                FAIL("%s, block %d: %g of %g", gab_dtype_get(rows[r].type)->name, b / 32, worst, largest);
        }
    }
}

/* What a quantizer has written it finds again: quantize(dequantize(row)) is the same row. */
GAB_TEST(quantize_is_stable) {
    static float in[1024], out[1024];
    static unsigned char row[4096], again[4096];
    gab_test_random random = {9};
    for (int i = 0; i < 1024; i++) in[i] = gab_test_random_normal(&random);
    for (int t = 0; t < GAB_DTYPE_COUNT; t++) {
        uint64_t bytes;
        if (!gab_quantizes((gab_dtype)t)) continue;
        CHECK(gab_dtype_row_bytes((gab_dtype)t, 1024, &bytes));
        gab_quantize_row((gab_dtype)t, in, 1024, row);
        gab_dequantize_row((gab_dtype)t, row, 1024, out);
        gab_quantize_row((gab_dtype)t, out, 1024, again);
        CHECK(memcmp(row, again, bytes) == 0);
    }
}

/* Nothing undefined happens with numbers that no model should hold. */
GAB_TEST(quantize_survives_extremes) {
    enum { N = 256 };
    static const float extremes[] = {INFINITY, -INFINITY, NAN, 3e38f, -3e38f, 1e-45f, -0.0f};
    unsigned char row[4 * N];
    float out[N];
    for (size_t e = 0; e < sizeof extremes / sizeof *extremes; e++)
        for (int t = 0; t < GAB_DTYPE_COUNT; t++) {
            float in[N] = {1, -1};
            if (!gab_quantizes((gab_dtype)t)) continue;
            in[5] = extremes[e];
            gab_quantize_row((gab_dtype)t, in, N, row);
            gab_dequantize_row((gab_dtype)t, row, N, out);
            for (int i = 0; i < N; i++) in[i] = extremes[e];
            gab_quantize_row((gab_dtype)t, in, N, row);
        }
}

/* To random weights ggml makes the same bits, 0.0719 of their deviation. */
GAB_TEST(quantize_q4_k_is_close) {
    enum { N = 256 * 64 };
    static float in[N], out[N];
    static unsigned char row[144 * 64];
    double off = 0, size = 0;
    gab_test_random random = {11};
    for (int i = 0; i < N; i++) in[i] = gab_test_random_normal(&random);
    gab_quantize_row(GAB_DTYPE_Q4_K, in, N, row);
    gab_dequantize_row(GAB_DTYPE_Q4_K, row, N, out);
    for (int i = 0; i < N; i++) {
        off += pow((double)in[i] - (double)out[i], 2);
        size += pow((double)in[i], 2);
    }
    CHECK(sqrt(off / size) < 0.0721);
}

GAB_TEST_MAIN()
