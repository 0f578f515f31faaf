#include "bench/reference.h"

#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/activation.h"
#include "kernels/expert.h"
#include "kernels/gated.h"
#include "kernels/layernorm.h"
#include "kernels/rmsnorm.h"
#include "tensor/quant.h"

/* f32 sums in any order, relative to the size of what is summed; f16 rounds to 2^-11, and below 2^-14 to 2^-25. */
static const double exact = 1e-4, narrow_factor = 8, half_step = 1.0 / 1024, half_least = 1.0 / (1 << 24);

enum { SAMPLED_PAIRS = 12, SAMPLED_ROWS = 4 };

/* A binding as it should be after the dispatches so far. */
typedef struct image {
    VkBuffer buffer;
    uint64_t offset, size;
    unsigned char *bytes;
} image;

struct bench_reference {
    const bench_walk *walk;
    gab_vk *vk;
    bool all;
    image *images;
    uint32_t n_image;
    bench_expected *expected;
    uint32_t n, capacity;
    const bench_kernel *attention; /* the split one that a merge belongs to */
    uint64_t random;
    gab_status status;
};

static void fail(bench_reference *r, gab_status status) {
    if (r->status == GAB_OK) r->status = status;
}

static void *room(bench_reference *r, size_t n, size_t size) {
    void *memory = calloc(n ? n : 1, size);
    if (!memory) fail(r, gab_fail(&r->vk->log, GAB_ERROR_HOST_MEMORY, "out of host memory"));
    return memory;
}

/* ---- memory ---- */

static image *image_of(bench_reference *r, const gab_slice *slice) {
    for (uint32_t i = 0; i < r->n_image; i++)
        if (r->images[i].buffer == slice->buffer && r->images[i].offset == slice->offset) return &r->images[i];
    return NULL;
}

/* A copy of the whole binding, made at first use. */
static image *image_make(bench_reference *r, const gab_slice *slice) {
    image *found = image_of(r, slice);
    if (found) return found;
    image *images = realloc(r->images, (r->n_image + 1) * sizeof *images);
    if (images) r->images = images;
    unsigned char *bytes = images ? room(r, slice->size, 1) : NULL;
    if (!bytes) {
        fail(r, GAB_ERROR_HOST_MEMORY);
        return NULL;
    }
    fail(r, gab_slice_read(r->vk, *slice, 0, bytes, slice->size));
    images[r->n_image] = (image){slice->buffer, slice->offset, slice->size, bytes};
    return &images[r->n_image++];
}

/* n bytes of a binding; zeros once something has failed. */
static void fetch(bench_reference *r, const gab_slice *slice, uint64_t offset, uint64_t n, void *to) {
    const image *i = image_of(r, slice);
    memset(to, 0, n);
    if (r->status != GAB_OK) return;
    if (i)
        memcpy(to, i->bytes + offset, n);
    else if (slice->mapped)
        memcpy(to, (const unsigned char *)slice->mapped + offset, n);
    else
        fail(r, gab_slice_read(r->vk, *slice, offset, to, n));
}

static float *fetch_floats(bench_reference *r, const gab_slice *slice, uint64_t first, uint32_t n) {
    float *floats = room(r, n, sizeof *floats);
    if (floats) fetch(r, slice, 4 * first, 4ull * n, floats);
    return floats;
}

/* All of a binding, to read only: an image, but where the device's memory is the host's own. */
static const void *view(bench_reference *r, const gab_slice *slice) {
    const image *i = image_of(r, slice);
    if (!i && slice->mapped && r->vk->info.kind == GAB_DEVICE_CPU) return slice->mapped;
    if (!i) i = image_make(r, slice);
    return i ? i->bytes : NULL;
}

/* ---- expectations ---- */

static void put_image(bench_reference *r, const bench_expected *e) {
    const image *i = image_make(r, &e->slice);
    const float f = (float)e->value;
    const uint32_t word = (uint32_t)e->value;
    const uint16_t half = gab_f32_to_f16(f);
    if (!i) return;
    if (e->format == BENCH_F16)
        memcpy(i->bytes + 2 * e->index, &half, sizeof half);
    else
        memcpy(i->bytes + 4 * e->index, e->format == BENCH_U32 ? (const void *)&word : (const void *)&f, 4);
}

static void expect(bench_reference *r, const gab_slice *slice, uint64_t index, bench_format format, double value,
                   double allowed) {
    const bench_expected e = {*slice, index, format, value, allowed};
    if (r->status != GAB_OK) return;
    if (r->n == r->capacity) {
        const uint32_t larger = r->capacity ? 2 * r->capacity : 1024;
        bench_expected *list = realloc(r->expected, larger * sizeof *list);
        if (!list) {
            fail(r, gab_fail(&r->vk->log, GAB_ERROR_HOST_MEMORY, "out of host memory"));
            return;
        }
        r->expected = list;
        r->capacity = larger;
    }
    r->expected[r->n++] = e;
}

static uint32_t random_below(bench_reference *r, uint32_t n) {
    r->random = r->random * 6364136223846793005u + 1442695040888963407u; /* Knuth's MMIX */
    return (uint32_t)((r->random >> 33) % n);
}

/* The i-th of the rows to look at; false: no more. First, last, and some between; or all. */
static bool pick_row(bench_reference *r, uint32_t i, uint32_t n, uint32_t *row) {
    if (r->all || n <= SAMPLED_ROWS) {
        *row = i;
        return i < n;
    }
    *row = i == 0 ? 0 : i == 1 ? n - 1 : random_below(r, n);
    return i < SAMPLED_ROWS;
}

/* ---- weights ---- */

/* Row `row` of a shard of n_row rows, as floats. */
static void weight_row(bench_reference *r, const bench_kernel *k, uint32_t n_row, uint32_t row, float *out) {
    const gab_dtype_info *info = gab_dtype_get(k->type);
    const gab_slice *slice = &k->dispatch.bindings[1];
    uint64_t first = 0;
    const void *planes[GAB_PLANE_MAX] = {NULL};
    unsigned char *bytes = room(r, gab_dtype_planes_row_bytes(k->type, k->n_col), 1), *at = bytes;
    for (uint32_t p = 0; bytes && p < info->n_plane; p++) {
        const uint64_t n = gab_dtype_plane_row_bytes(k->type, p, k->n_col);
        fetch(r, slice, first + row * n, n, at);
        planes[p] = at;
        at += n;
        first += n_row * n;
    }
    if (bytes) gab_dequantize_planes(k->type, planes, k->n_col, out);
    free(bytes);
}

/* ---- keys and values ---- */

static uint64_t cache_index(const bench_walk *w, uint32_t row, uint32_t head, uint32_t n_head_kv, uint32_t head_dim) {
    const gab_step_row *at = &w->step->rows[row];
    const uint32_t *table = (const uint32_t *)(w->step + 1) + at->slot * w->step->table_stride;
    const uint64_t page = table[at->position / GAB_PAGE];
    return ((page * n_head_kv + head) * GAB_PAGE + at->position % GAB_PAGE) * gab_head_dim_padded(head_dim);
}

static void expect_cache(bench_reference *r, const gab_slice *pool, uint64_t index, double value, double allowed) {
    const bool half = r->walk->kv_f16;
    if (half) value = fmin(fmax(value, -65504), 65504);
    expect(r, pool, index, half ? BENCH_F16 : BENCH_F32, value,
           allowed + (half ? fabs(value) * half_step + half_least : 0));
}

/* Turned by the angle of the row's position, from the table that the host has made (kernels/rope.h). */
static void turn(bench_reference *r, const gab_slice *table, uint32_t row, uint32_t pair, uint32_t n_turn,
                 double v[2]) {
    const uint32_t position = r->walk->step->rows[row].position;
    float a[2], b[2];
    fetch(r, table, 8ull * (position % GAB_PAGE * n_turn + pair), sizeof a, a);
    fetch(r, table, 8ull * ((GAB_PAGE + position / GAB_PAGE) * n_turn + pair), sizeof b, b);
    const double c = (double)a[0] * b[0] - (double)a[1] * b[1], s = (double)a[0] * b[1] + (double)a[1] * b[0];
    const double x = v[0] * c - v[1] * s, y = v[0] * s + v[1] * c;
    v[0] = x;
    v[1] = y;
}

/* ---- products ---- */

/* Two outputs that lie side by side. */
typedef struct pair {
    double v[2], size[2];
} pair;

/* Where a product with keys and values puts a pair of outputs: what the kernels of pairs do (shaders/matmul_epilogue).
 */
static void expect_kv_pair(bench_reference *r, const bench_kernel *k, uint32_t col, uint32_t row, const pair *p,
                           double relative) {
    const gab_matmul_args *a = &k->args.matmul;
    const gab_slice *bindings = k->dispatch.bindings;
    const uint32_t out = a->y_first + row, in_head = out % a->head_dim;
    double v[2] = {p->v[0], p->v[1]};
    const double allowed = relative * (p->size[0] + p->size[1]);
    if (k->dispatch.pipeline.spec[GAB_SPEC_ROPE] && out < a->v_offset && in_head / 2 < a->n_turn)
        turn(r, &bindings[8], col, in_head / 2, a->n_turn, v);
    for (uint32_t i = 0; i < 2; i++) {
        if (out < a->k_offset) {
            expect(r, &bindings[4], (uint64_t)col * a->y_stride + out + i, BENCH_F32, v[i], allowed);
            continue;
        }
        const bool value = out >= a->v_offset;
        const uint32_t head = (out - (value ? a->v_offset : a->k_offset)) / a->head_dim;
        expect_cache(r, &bindings[value ? 7 : 6],
                     cache_index(r->walk, col, head, a->n_head_kv, a->head_dim) + in_head + i, v[i], allowed);
    }
}

/* Gates are read from what a product has made: f32 again. */
static double gated_pair(uint32_t activation, double gate, double up) {
    const float x[2] = {(float)gate, (float)up};
    double y;
    gab_gated_reference(x, 1, true, activation, &y);
    return y;
}

/* expert: whose biases they are. */
static void expect_pair(bench_reference *r, const bench_kernel *k, uint32_t col, uint32_t row, uint32_t n,
                        uint32_t expert, pair *p) {
    const gab_matmul_args *a = &k->args.matmul;
    const gab_slice *bindings = k->dispatch.bindings;
    const double relative = k->error > 0 ? narrow_factor * k->error : exact;
    const uint32_t out = a->y_first + row;
    float bias[2] = {0}, old[2] = {0};
    if (a->has_bias) fetch(r, &bindings[5], 4ull * ((uint64_t)expert * a->n_out + out), 4 * n, bias);
    if (a->residual) fetch(r, &bindings[4], 4 * ((uint64_t)col * a->y_stride + out), 4 * n, old);
    for (uint32_t i = 0; i < n; i++) {
        p->v[i] += (double)bias[i];
        p->size[i] = sqrt(p->size[i] + (double)bias[i] * bias[i]);
    }
    if (k->dispatch.pipeline.spec[GAB_SPEC_GATED]) {
        const double one = gated_pair(a->activation, p->v[0], 1), value = gated_pair(a->activation, p->v[0], p->v[1]);
        const double allowed = relative * (fabs(one) * p->size[1] + 1.2 * (fabs(p->v[1]) + 1) * p->size[0] +
                                           relative * p->size[0] * p->size[1]);
        expect(r, &bindings[4], (uint64_t)col * a->y_stride + out / 2, BENCH_F32, value, allowed);
        return;
    }
    for (uint32_t i = 0; i < n; i++)
        p->v[i] = gab_activation_reference(a->activation, p->v[i], (double)a->limit) + (double)old[i];
    if (k->dispatch.pipeline.spec[GAB_SPEC_KV_STORE]) {
        expect_kv_pair(r, k, col, row, p, relative);
        return;
    }
    for (uint32_t i = 0; i < n; i++)
        expect(r, &bindings[4], (uint64_t)col * a->y_stride + out + i, BENCH_F32, p->v[i],
               relative * (1.2 * p->size[i] + fabs((double)old[i])));
}

/* The i-th pair of rows to look at: first and last, the first key and value, and some between; or all. */
static bool pick_pair(bench_reference *r, const gab_matmul_args *a, uint32_t i, uint32_t *row) {
    const uint32_t n_pair = (a->n_row + 1) / 2;
    if (r->all || n_pair <= SAMPLED_PAIRS) {
        *row = 2 * i;
        return i < n_pair;
    }
    *row = 2 * random_below(r, n_pair);
    if (i < 2) *row = i == 0 ? 0 : 2 * (n_pair - 1);
    if ((i == 2 || i == 3) && a->v_offset > 0) { /* of the shard at hand, if it is there */
        const uint32_t at = (i == 2 ? a->k_offset : a->v_offset) - a->y_first;
        if (at < a->n_row) *row = at;
    }
    return i < SAMPLED_PAIRS;
}

/* The columns to look at, and with experts the one that each goes to, from the route: of the shard's own. Returns how
 * many. */
static uint32_t pick_columns(bench_reference *r, const bench_kernel *k, bool experts, uint32_t n_col,
                             uint32_t cols[GAB_ROW_MAX], uint32_t picked_experts[GAB_ROW_MAX]) {
    const gab_matmul_args *a = &k->args.matmul;
    uint32_t *own = room(r, n_col, sizeof *own), *expert = room(r, n_col, sizeof *expert), n_own = 0, n = 0, at;
    if (own && expert && experts)
        fetch(r, &k->dispatch.bindings[k->dispatch.pipeline.n_binding - 1], offsetof(gab_route, expert), 4ull * n_col,
              expert);
    for (uint32_t i = 0; own && expert && i < n_col; i++) /* wraps below the shard */
        if (!experts || expert[i] - a->first_expert < a->n_expert) own[n_own++] = i;
    while (n < GAB_ROW_MAX && own && expert && n_own > 0 && pick_row(r, n, n_own, &at)) {
        cols[n] = own[at];
        picked_experts[n++] = expert[own[at]];
    }
    free(own);
    free(expert);
    return n;
}

static void product(bench_reference *r, const bench_kernel *k) {
    const gab_matmul_args *a = &k->args.matmul;
    const bool experts = k->dispatch.pipeline.spec[GAB_SPEC_EXPERTS] != GAB_EXPERTS_NONE;
    const uint32_t n_col = (a->of_outs ? r->walk->n_out : r->walk->n_row) * (experts ? a->n_used : 1);
    const uint32_t n_x = k->n_col < a->x_stride ? k->n_col : a->x_stride;
    const uint32_t n_shard_row = a->n_row * (experts ? a->n_expert : 1);
    float *w[2] = {room(r, k->n_col, sizeof **w), room(r, k->n_col, sizeof **w)};
    uint32_t row, cols[GAB_ROW_MAX], picked[GAB_ROW_MAX];
    const uint32_t n_picked = pick_columns(r, k, experts, n_col, cols, picked);
    for (uint32_t i = 0; r->status == GAB_OK && pick_pair(r, a, i, &row); i++) {
        const uint32_t n = row + 1 < a->n_row ? 2 : 1;
        for (uint32_t c = 0; c < n_picked; c++) {
            pair p = {{0}, {0}};
            const uint32_t expert = picked[c];
            const uint32_t base = experts ? (expert - a->first_expert) * a->n_row : 0;
            for (uint32_t j = 0; (c == 0 || experts) && j < n; j++) weight_row(r, k, n_shard_row, base + row + j, w[j]);
            float *x = fetch_floats(r, &k->dispatch.bindings[3],
                                    (uint64_t)(cols[c] / (experts ? a->x_share : 1)) * a->x_stride, n_x);
            for (uint32_t j = 0; x && j < n; j++)
                for (uint32_t at = 0; at < n_x; at++) {
                    const double term = (double)w[j][at] * x[at];
                    p.v[j] += term;
                    p.size[j] += term * term;
                }
            free(x);
            expect_pair(r, k, cols[c], row, n, expert, &p);
        }
    }
    free(w[0]);
    free(w[1]);
}

/* ---- attention ---- */

/* The results of the rows that `k`, with its queries, keys and values, is for; y: where they go. */
static void attention(bench_reference *r, const bench_kernel *k, const gab_slice *y, uint32_t y_stride) {
    const gab_attention_args *a = &k->args.attention;
    const gab_slice *bindings = k->dispatch.bindings;
    const gab_attention op = {.kv = {.n_head_kv = a->n_head_kv, .head_dim = a->head_dim, .f16 = r->walk->kv_f16},
                              .n_head = a->n_head,
                              .scale = a->scale,
                              .softcap = a->softcap,
                              .window = a->window};
    const uint32_t n = a->n_head * a->head_dim, *tables = (const uint32_t *)(r->walk->step + 1);
    const double relative = k->error > 0 ? narrow_factor * k->error : 2 * exact;
    double *expected = room(r, n, sizeof *expected);
    uint32_t row;
    for (uint32_t i = 0; r->status == GAB_OK && pick_row(r, i, r->walk->n_row, &row); i++) {
        const gab_step_row *at = &r->walk->step->rows[row];
        float *q = fetch_floats(r, &bindings[0 + 1], (uint64_t)row * a->x_stride, n);
        float *sinks = k->dispatch.pipeline.spec[GAB_SPEC_SINKS] ? fetch_floats(r, &bindings[5], 0, a->n_head) : NULL;
        const void *keys = view(r, &bindings[2]), *values = view(r, &bindings[3]);
        double size = 0;
        if (q && keys && values)
            gab_attention_reference(&op, q, tables + at->slot * r->walk->step->table_stride, at->position, sinks, keys,
                                    values, expected);
        free(q);
        free(sinks);
        for (uint32_t d = 0; d < n; d++) size += expected[d] * expected[d] / n;
        for (uint32_t d = 0; d < n; d++)
            expect(r, y, (uint64_t)row * y_stride + d, BENCH_F32, expected[d], relative * sqrt(size) + 1e-9);
    }
    free(expected);
}

/* ---- the small ones ---- */

static void norm(bench_reference *r, const bench_kernel *k) {
    const gab_slice *bindings = k->dispatch.bindings;
    const bool layer = k->op == BENCH_OP_LAYERNORM;
    const gab_layernorm_args *l = &k->args.layernorm;
    const gab_rmsnorm_args *m = &k->args.rmsnorm;
    const uint32_t n = layer ? l->n_col : m->n_col, x_stride = layer ? l->x_stride : m->x_stride;
    const uint32_t y_stride = layer ? l->y_stride : m->y_stride, y_first = layer ? 0 : m->y_first;
    const bool of_outs = layer ? l->of_outs : m->of_outs, adds = !layer && m->add;
    const double factor = layer ? 1 : (double)m->factor;
    const gab_slice *y = &bindings[layer ? 4 : 3];
    float *weight = fetch_floats(r, &bindings[2], 0, n), *bias = layer ? fetch_floats(r, &bindings[3], 0, n) : NULL;
    double *expected = room(r, n, sizeof *expected);
    uint32_t row;
    for (uint32_t i = 0; r->status == GAB_OK && pick_row(r, i, of_outs ? r->walk->n_out : r->walk->n_row, &row); i++) {
        const uint32_t from = of_outs ? r->walk->step->outs[row].row : row;
        float *x = fetch_floats(r, &bindings[1], (uint64_t)from * x_stride + (layer ? 0 : m->x_first), n);
        float *old = fetch_floats(r, y, (uint64_t)row * y_stride + y_first, n);
        if (!x || !old || !weight) break;
        for (uint32_t d = 0; d < n; d++) expected[d] = adds ? (double)old[d] : 0;
        if (layer)
            gab_layernorm_reference(x, weight, bias, n, (double)l->eps, expected);
        else
            gab_rmsnorm_reference(x, weight, n, (double)m->eps, adds, expected);
        for (uint32_t d = 0; d < n; d++)
            expect(r, y, (uint64_t)row * y_stride + y_first + d, BENCH_F32, factor * expected[d],
                   fabs(factor) * (exact * (fabs(expected[d]) + fabs((double)weight[d])) + 1e-9));
        free(x);
        free(old);
    }
    free(expected);
    free(weight);
    free(bias);
}

static void gather(bench_reference *r, const bench_kernel *k) {
    const gab_gather_args *a = &k->args.gather;
    const gab_slice *y = &k->dispatch.bindings[3];
    const uint32_t room_of_row = a->y_stride - a->y_first, n = k->n_col < room_of_row ? k->n_col : room_of_row;
    float *values = room(r, k->n_col, sizeof *values);
    uint32_t row;
    for (uint32_t i = 0; r->status == GAB_OK && pick_row(r, i, r->walk->n_row, &row); i++) {
        const gab_step_row *at = &r->walk->step->rows[row];
        const uint32_t index = (a->index_kind == GAB_INDEX_POSITION ? at->position : at->token) - a->first_row;
        if (index >= a->n_row) continue; /* in another shard */
        const uint64_t to = (uint64_t)row * a->y_stride + a->y_first;
        float *old = fetch_floats(r, y, to, n);
        weight_row(r, k, a->n_row, index, values);
        for (uint32_t d = 0; old && d < n; d++) {
            const double value = (double)a->factor * values[d], before = a->add ? (double)old[d] : 0;
            expect(r, y, to + d, BENCH_F32, before + value, exact * (fabs(value) + fabs(before)) + 1e-12);
        }
        free(old);
    }
    free(values);
}

static void kv_write(bench_reference *r, const bench_kernel *k) {
    const gab_kv_write_args *a = &k->args.kv_write;
    const uint32_t n = a->n_head_kv * a->head_dim;
    uint32_t row;
    for (uint32_t i = 0; r->status == GAB_OK && pick_row(r, i, r->walk->n_row, &row); i++)
        for (uint32_t v = 0; v < 2; v++) {
            float *x = fetch_floats(r, &k->dispatch.bindings[1],
                                    (uint64_t)row * a->x_stride + (v ? a->v_offset : a->k_offset), n);
            for (uint32_t d = 0; x && d < n; d++)
                expect_cache(r, &k->dispatch.bindings[2 + v],
                             cache_index(r->walk, row, d / a->head_dim, a->n_head_kv, a->head_dim) + d % a->head_dim,
                             (double)x[d], 0);
            free(x);
        }
}

/* One head: a query where it is, a key or value into the cache. */
static void rope_head(bench_reference *r, const bench_kernel *k, uint32_t row, uint32_t head) {
    const gab_rope_args *a = &k->args.rope;
    const gab_slice *bindings = k->dispatch.bindings;
    const bool query = head < a->n_head, value = head >= a->n_head + a->n_head_kv;
    const uint64_t from = (uint64_t)row * a->x_stride + (uint64_t)head * a->head_dim;
    float *x = fetch_floats(r, &bindings[1], from, a->head_dim);
    const double pages = a->temperature_step ? r->walk->step->rows[row].position / a->temperature_step : 0;
    const double temperature = query ? 1 + (double)a->temperature * log(1 + pages) : 1;
    const uint32_t norms = k->dispatch.pipeline.spec[GAB_SPEC_NORM];
    const bool norm = norms == GAB_NORM_QKV || (norms == GAB_NORM_QK && !value);
    float *weight = norm && !value ? fetch_floats(r, &bindings[query ? 5 : 6], 0, a->head_dim) : NULL;
    double sum = 0;
    for (uint32_t d = 0; x && d < a->head_dim; d++) sum += (double)x[d] * x[d];
    const double scale = 1 / sqrt(sum / a->head_dim + (double)a->eps), size = norm ? 1 : sqrt(sum / a->head_dim);
    for (uint32_t p = 0; x && p < a->head_dim / 2; p++) {
        double v[2] = {(double)x[2 * p], (double)x[2 * p + 1]};
        for (int i = 0; norm && i < 2; i++) v[i] *= scale * (weight ? (double)weight[2 * p + (uint32_t)i] : 1);
        const double allowed = temperature * exact * (fabs(v[0]) + fabs(v[1]) + size * exact);
        if (!value && p < a->n_turn) turn(r, &bindings[4], row, p, a->n_turn, v);
        for (int i = 0; query && i < 2; i++) v[i] *= temperature;
        for (uint32_t i = 0; i < 2; i++) {
            if (query)
                expect(r, &bindings[1], from + 2 * p + i, BENCH_F32, v[i], allowed);
            else
                expect_cache(r, &bindings[value ? 3 : 2],
                             cache_index(r->walk, row, (head - a->n_head) % a->n_head_kv, a->n_head_kv, a->head_dim) +
                                 2 * p + i,
                             v[i], allowed);
        }
    }
    free(x);
    free(weight);
}

static void rope(bench_reference *r, const bench_kernel *k) {
    uint32_t row;
    for (uint32_t i = 0; r->status == GAB_OK && pick_row(r, i, r->walk->n_row, &row); i++)
        for (uint32_t head = 0; head < k->dispatch.groups[0]; head++) rope_head(r, k, row, head);
}

static void gated(bench_reference *r, const bench_kernel *k) {
    const gab_gated_args *a = &k->args.gated;
    const bool in_turn = a->gate_step == 2;
    double *expected = room(r, a->n, sizeof *expected);
    uint32_t row;
    for (uint32_t i = 0; r->status == GAB_OK && pick_row(r, i, r->walk->n_row * a->n_used, &row); i++) {
        float *x = fetch_floats(r, &k->dispatch.bindings[1], (uint64_t)row * a->x_stride,
                                in_turn ? 2 * a->n : a->up_first + a->n);
        if (x && !in_turn) memmove(x + a->n, x + a->up_first, a->n * sizeof *x);
        if (x) gab_gated_reference(x, a->n, in_turn, a->activation, expected);
        for (uint32_t d = 0; x && d < a->n; d++)
            expect(r, &k->dispatch.bindings[2], (uint64_t)row * a->y_stride + d, BENCH_F32, expected[d],
                   exact * fabs(expected[d]) + 1e-6);
        free(x);
    }
    free(expected);
}

/* Experts whose logits are as good as equal may change places: such rows are left out. */
static void expert_route(bench_reference *r, const bench_kernel *k) {
    const gab_expert_args *a = &k->args.expert;
    const gab_slice *route = &k->dispatch.bindings[2];
    uint32_t row, experts[GAB_USED_MAX + 1];
    double weights[GAB_USED_MAX + 1];
    const uint32_t n = a->n_used < a->n_expert ? a->n_used + 1 : a->n_used; /* the first that is not taken, too */
    for (uint32_t i = 0; r->status == GAB_OK && pick_row(r, i, r->walk->n_row, &row); i++) {
        float *logits = fetch_floats(r, &k->dispatch.bindings[1], (uint64_t)row * a->x_stride, a->n_expert);
        bool apart = logits != NULL;
        if (logits) gab_expert_route_reference(logits, a->n_expert, n, false, 1, experts, weights);
        for (uint32_t j = 1; apart && j < n; j++) apart = weights[j - 1] > weights[j] * (1 + exact);
        if (apart)
            gab_expert_route_reference(logits, a->n_expert, a->n_used, a->normalize, (double)a->factor, experts,
                                       weights);
        for (uint32_t j = 0; apart && j < a->n_used; j++) {
            const uint64_t at = (uint64_t)row * a->n_used + j;
            expect(r, route, offsetof(gab_route, expert) / 4 + at, BENCH_U32, experts[j], 0);
            expect(r, route, offsetof(gab_route, weight) / 4 + at, BENCH_F32, weights[j], exact * fabs(weights[j]));
        }
        free(logits);
    }
}

static void expert_sum(bench_reference *r, const bench_kernel *k) {
    const gab_expert_args *a = &k->args.expert;
    const gab_slice *bindings = k->dispatch.bindings;
    uint32_t row;
    for (uint32_t i = 0; r->status == GAB_OK && pick_row(r, i, r->walk->n_row, &row); i++) {
        double *sums = room(r, 2 * (size_t)a->n_col, sizeof *sums);
        float *old = fetch_floats(r, &bindings[3], (uint64_t)row * a->y_stride, a->n_col);
        for (uint32_t j = 0; sums && j < a->n_used; j++) {
            const uint64_t at = (uint64_t)row * a->n_used + j;
            float weight = 0, *x = fetch_floats(r, &bindings[1], at * a->x_stride, a->n_col);
            fetch(r, &bindings[2], offsetof(gab_route, weight) + 4 * at, 4, &weight);
            for (uint32_t d = 0; x && d < a->n_col; d++) {
                sums[2 * d] += (double)weight * x[d];
                sums[2 * d + 1] += fabs((double)weight * x[d]);
            }
            free(x);
        }
        for (uint32_t d = 0; sums && old && d < a->n_col; d++)
            expect(r, &bindings[3], (uint64_t)row * a->y_stride + d, BENCH_F32, old[d] + sums[2 * d],
                   exact * (fabs((double)old[d]) + sums[2 * d + 1]) + 1e-12);
        free(sums);
        free(old);
    }
}

/* The token that the reference draws; a draw within rounding of a boundary may fall on either side and is left out. */
static void sample(bench_reference *r, const bench_kernel *k) {
    const gab_sample_args *a = &k->args.sample;
    double *p = room(r, a->n_vocab, sizeof *p);
    for (uint32_t row = 0; r->status == GAB_OK && row < r->walk->n_out; row++) {
        const gab_step_out *out = &r->walk->step->outs[row];
        float *logits = fetch_floats(r, &k->dispatch.bindings[1], (uint64_t)row * a->logits_stride, a->n_vocab);
        if (!logits || !gab_sample_reference(logits, a->n_vocab, out, p)) fail(r, GAB_ERROR_HOST_MEMORY);
        free(logits);
        const double u = gab_sample_uniform(out->seed_low, out->position), edge = 1e-6;
        double sum = 0;
        uint32_t token = 0;
        while (token + 1 < a->n_vocab && !(p[token] > 0 && sum + p[token] > u)) sum += p[token++];
        if (out->temperature > 0 && (u - sum < edge || sum + p[token] - u < edge)) continue;
        expect(r, &k->dispatch.bindings[3], out->slot, BENCH_U32, token, 0);
        expect(r, &k->dispatch.bindings[4], row, BENCH_U32, token, 0);
    }
    free(p);
}

/* ---- all of them ---- */

gab_status bench_reference_compute(bench_reference *r, const bench_kernel *k, bool *known) {
    *known = true;
    r->n = 0;
    switch (k->op) {
    case BENCH_OP_PRODUCT: product(r, k); break;
    case BENCH_OP_ATTENTION_DECODE:
        r->attention = k;
        if (k->args.attention.n_piece > 1) break;
        attention(r, k, &k->dispatch.bindings[4], k->args.attention.y_stride);
        break;
    case BENCH_OP_ATTENTION_PREFILL: attention(r, k, &k->dispatch.bindings[4], k->args.attention.y_stride); break;
    case BENCH_OP_ATTENTION_MERGE:
        if (r->attention) attention(r, r->attention, &k->dispatch.bindings[2], k->args.attention.y_stride);
        break;
    case BENCH_OP_LAYERNORM:
    case BENCH_OP_RMSNORM: norm(r, k); break;
    case BENCH_OP_GATHER: gather(r, k); break;
    case BENCH_OP_KV_WRITE: kv_write(r, k); break;
    case BENCH_OP_ROPE: rope(r, k); break;
    case BENCH_OP_GATED: gated(r, k); break;
    case BENCH_OP_SAMPLE: sample(r, k); break;
    case BENCH_OP_EXPERT_ROUTE: expert_route(r, k); break;
    case BENCH_OP_EXPERT_RUNS: break; /* in any order: check.c looks */
    case BENCH_OP_EXPERT_SUM: expert_sum(r, k); break;
    case BENCH_OP_OTHER: *known = false; break;
    }
    for (uint32_t i = 0; r->all && i < r->n; i++) put_image(r, &r->expected[i]);
    return r->status;
}

const bench_expected *bench_reference_expected(const bench_reference *r, uint32_t *n) {
    *n = r->n;
    return r->expected;
}

static double decode(const bench_expected *where, const unsigned char bytes[4]) {
    uint32_t word;
    uint16_t half;
    float f;
    memcpy(&word, bytes, sizeof word);
    memcpy(&half, bytes, sizeof half);
    memcpy(&f, bytes, sizeof f);
    return where->format == BENCH_U32 ? (double)word : (double)(where->format == BENCH_F16 ? gab_f16_to_f32(half) : f);
}

gab_status bench_reference_value(bench_reference *r, const bench_expected *where, double *value) {
    unsigned char bytes[4] = {0};
    const uint64_t size = where->format == BENCH_F16 ? 2 : 4;
    fetch(r, &where->slice, size * where->index, size, bytes);
    *value = decode(where, bytes);
    return r->status;
}

/* How many from the first on lie one behind the other. */
static uint32_t length_of_run(const bench_expected *where, uint32_t n) {
    uint32_t i = 1;
    while (i < n && where[i].slice.buffer == where->slice.buffer && where[i].slice.offset == where->slice.offset &&
           where[i].format == where->format && where[i].index == where->index + i)
        i++;
    return i;
}

gab_status bench_device_values(gab_vk *vk, const bench_expected *where, uint32_t n, double *values) {
    unsigned char *bytes = malloc(4 * (size_t)n + 4), word[4] = {0};
    gab_status status = bytes ? GAB_OK : gab_fail(&vk->log, GAB_ERROR_HOST_MEMORY, "out of host memory");
    for (uint32_t i = 0, run; status == GAB_OK && i < n; i += run) {
        const uint64_t size = where[i].format == BENCH_F16 ? 2 : 4;
        run = length_of_run(&where[i], n - i);
        status = gab_slice_read(vk, where[i].slice, size * where[i].index, bytes, size * run);
        for (uint32_t k = 0; status == GAB_OK && k < run; k++) {
            memcpy(word, bytes + size * k, size);
            values[i + k] = decode(&where[i], word);
        }
    }
    free(bytes);
    return status;
}

gab_status bench_reference_create(const bench_walk *walk, bool all, bench_reference **out) {
    gab_vk *vk = walk->engine->vk;
    bench_reference *r = calloc(1, sizeof *r);
    if (!r) return gab_fail(&vk->log, GAB_ERROR_HOST_MEMORY, "out of host memory");
    r->walk = walk;
    r->vk = vk;
    r->all = all;
    r->random = 1;
    *out = r;
    return GAB_OK;
}

void bench_reference_destroy(bench_reference **pr) {
    bench_reference *r = *pr;
    if (!r) return;
    for (uint32_t i = 0; i < r->n_image; i++) free(r->images[i].bytes);
    free(r->images);
    free(r->expected);
    free(r);
    *pr = NULL;
}
