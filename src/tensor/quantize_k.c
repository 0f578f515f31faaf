/*
 * quantize_k.c - quantizing to Q4_K as ggml's reference does: quantize_row_q4_K_ref and make_qkx2_quants of
 * ggml-quants.c.
 */
#include <math.h>
#include <string.h>

#include "tensor/quant.h"
#include "tensor/words.h"

enum { PART = 32, N_PART = 8, QUANT_MAX = 15, SCALE_MAX = 63, N_TRY = 21 };

static uint8_t nearest(float f, int most) {
    const float whole = rintf(f);
    return (uint8_t)(whole >= 0 ? whole <= (float)most ? whole : (float)most : 0); /* NaN: 0 */
}

/* Of a part, scale * quant + low, and how far it is off, each weight's square times `weight`. */
typedef struct fit {
    float scale, low, error;
} fit;

static float error_of(const float *x, const float *weight, const uint8_t *quant, float scale, float low) {
    float error = 0;
    for (int i = 0; i < PART; i++) {
        const float off = scale * (float)quant[i] + low - x[i];
        error += weight[i] * off * off;
    }
    return error;
}

/* The scale and the lowest value, 0 or below, that are best for given quants, in the sense of least squares. */
static bool solve(const float *x, const float *weight, const uint8_t *quant, fit *f) {
    float w = 0, wx = 0, wl = 0, wll = 0, wxl = 0;
    for (int i = 0; i < PART; i++) {
        const float l = (float)quant[i];
        w += weight[i];
        wx += weight[i] * x[i];
        wl += weight[i] * l;
        wll += weight[i] * l * l;
        wxl += weight[i] * l * x[i];
    }
    const float determinant = w * wll - wl * wl;
    if (!(determinant > 0)) return false;
    f->scale = (w * wxl - wx * wl) / determinant;
    f->low = (wll * wx - wl * wxl) / determinant;
    if (f->low > 0) {
        f->low = 0;
        f->scale = wxl / wll;
    }
    f->error = error_of(x, weight, quant, f->scale, f->low);
    return true;
}

/* Tries ranges a little narrower and wider than from the best lowest value so far to the highest. Large values count
 * for more. */
static fit fit_part(const float *x) {
    float weight[PART], squares = 0, low = x[0], high = x[0];
    uint8_t quant[PART];
    for (int i = 0; i < PART; i++) {
        squares += x[i] * x[i];
        low = x[i] < low ? x[i] : low;
        high = x[i] > high ? x[i] : high;
    }
    if (low > 0) low = 0;
    if (!(high > low)) return (fit){0, low, 0};
    for (int i = 0; i < PART; i++) weight[i] = sqrtf(squares / PART) + fabsf(x[i]);
    fit best = {.scale = (high - low) / QUANT_MAX, .low = low};
    for (int i = 0; i < PART; i++) quant[i] = nearest(QUANT_MAX / (high - low) * (x[i] - low), QUANT_MAX);
    best.error = error_of(x, weight, quant, best.scale, low);
    for (int t = 0; t < N_TRY; t++) {
        const float inverse = (-1 + 0.1f * (float)t + QUANT_MAX) / (high - best.low);
        fit f;
        for (int i = 0; i < PART; i++) quant[i] = nearest(inverse * (x[i] - best.low), QUANT_MAX);
        if (solve(x, weight, quant, &f) && f.error < best.error) best = f;
    }
    return best;
}

/* Eight scales and minimums of six bits into 12 zeroed bytes: what tensor/block.c unpacks. */
static void pack_scales(const uint8_t *scale, const uint8_t *minimum, unsigned char *to) {
    for (int i = 0; i < 4; i++) {
        to[i] = (unsigned char)(scale[i] | scale[i + 4] >> 4 << 6);
        to[i + 4] = (unsigned char)(minimum[i] | minimum[i + 4] >> 4 << 6);
        to[i + 8] = (unsigned char)((scale[i + 4] & 15) | (minimum[i + 4] & 15) << 4);
    }
}

void gab_quantize_block_q4_k(const float *in, unsigned char *block) {
    fit fits[N_PART];
    uint8_t scale[N_PART], minimum[N_PART];
    float scale_most = 0, minimum_most = 0;
    for (int p = 0; p < N_PART; p++) {
        fits[p] = fit_part(in + PART * p);
        if (fits[p].scale > scale_most) scale_most = fits[p].scale;
        if (-fits[p].low > minimum_most) minimum_most = -fits[p].low;
    }
    const uint16_t d = gab_f32_to_f16(scale_most / SCALE_MAX), d_min = gab_f32_to_f16(minimum_most / SCALE_MAX);
    for (int p = 0; p < N_PART; p++) {
        scale[p] = scale_most > 0 ? nearest(SCALE_MAX / scale_most * fits[p].scale, SCALE_MAX) : 0;
        minimum[p] = minimum_most > 0 ? nearest(SCALE_MAX / minimum_most * -fits[p].low, SCALE_MAX) : 0;
    }
    memset(block, 0, 144);
    gab_store_u16(block, d);
    gab_store_u16(block + 2, d_min);
    pack_scales(scale, minimum, block + 4);
    for (int i = 0; i < 256; i++) {
        const int part = i / PART;
        const float step = gab_f16_to_f32(d) * (float)scale[part];
        const float low = gab_f16_to_f32(d_min) * (float)minimum[part];
        const uint8_t quant = step > 0 ? nearest((in[i] + low) / step, QUANT_MAX) : 0;
        block[16 + i / 64 * 32 + i % 32] |= (unsigned char)(quant << (i / 32 % 2 * 4));
    }
}
