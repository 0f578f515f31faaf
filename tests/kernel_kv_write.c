/* Writing keys and values into pages: the words of the whole pools, for f32 exactly, for f16 within one unit in the
 * last place, for the rounding of packHalf2x16 is the device's. */
#include "kv_check.h"

#include <math.h>

#include "kernels/matmul.h"
#include "tensor/quant.h"

/* Position of an f16 in the order of its values. */
static int order_of(uint16_t h) {
    return h & 0x8000 ? -(h & 0x7fff) : h;
}

static void compare(const gab_kv_check *kv, const uint32_t *got, const uint32_t *expected, const char *what) {
    for (uint32_t i = 0; kv->layer.f16 && i < kv->n_word; i++)
        for (uint32_t shift = 0; shift < 32; shift += 16) {
            uint16_t a = (uint16_t)(got[i] >> shift), b = (uint16_t)(expected[i] >> shift);
            if (abs(order_of(a) - order_of(b)) > 1)
                FAIL("%s head_dim %u: half %u of word %u is %04x (%g), expected %04x (%g)", what, kv->layer.head_dim,
                     shift / 16, i, a, (double)gab_f16_to_f32(a), b, (double)gab_f16_to_f32(b));
        }
    if (!kv->layer.f16) gab_test_same(got, expected, kv->n_word, "%s head_dim %u", what, kv->layer.head_dim);
}

/* Rows of three slots at positions around the page's edges; two rows of the plan are not in the step. */
static void check(gab_vk *vk, gab_kernel_set set, uint32_t head_dim, uint32_t n_head_kv, bool f16, float scale) {
    static const uint32_t positions[] = {0, 1, 63, 64, 65, 127, 128, 200}, n_row = 8;
    gab_test_random random = {head_dim};
    const uint32_t k_offset = 5, v_offset = k_offset + n_head_kv * head_dim + 3;
    const uint32_t stride = gab_row_stride(v_offset + n_head_kv * head_dim);
    gab_kv_check kv = gab_kv_check_make(vk, n_head_kv, head_dim, f16, 3, 201, 0, &random);
    float *x = gab_test_floats(&random, (size_t)(n_row + 2) * stride, scale);
    x[k_offset] = 1e6f; /* beyond f16 either way */
    x[v_offset] = -1e6f;
    x[k_offset + stride] = x[v_offset + 2 * stride] = NAN; /* what would reach a page's next owner */
    x[v_offset + stride] = INFINITY;
    x[k_offset + 2 * stride] = -INFINITY;
    gab_step *step = gab_test_alloc(sizeof *step);
    step->n_row = n_row;
    for (uint32_t i = 0; i < n_row + 2; i++)
        step->rows[i] = (gab_step_row){.slot = i % 3, .position = positions[i % n_row] + i / n_row};
    const gab_kv_write op = {.kv = kv.layer,
                             .x = gab_test_slice(vk, x, 4ul * (n_row + 2) * stride),
                             .x_stride = stride,
                             .k_offset = k_offset,
                             .v_offset = v_offset};
    gab_kernel_context *context = gab_test_begin(vk, set, gab_kv_check_step(vk, &kv, step), n_row + 2, 0);
    gab_kv_write_record(context, &op);
    gab_test_end(context);
    for (uint32_t i = 0; i < n_row; i++) {
        const float *row = x + (size_t)i * stride;
        gab_kv_write_reference(&kv.layer, row + k_offset, row + v_offset, gab_kv_check_table(&kv, step->rows[i].slot),
                               step->rows[i].position, kv.keys, kv.values);
    }
    uint32_t *got = gab_test_alloc(4ul * kv.n_word);
    gab_test_read(vk, kv.layer.keys, got, 4ul * kv.n_word);
    if (vk->executes) compare(&kv, got, kv.keys, "keys");
    gab_test_read(vk, kv.layer.values, got, 4ul * kv.n_word);
    if (vk->executes) compare(&kv, got, kv.values, "values");
    gab_test_release(vk);
}

static void head_dims(gab_vk *vk, gab_kernel_set set, bool f16) {
    static const uint32_t dims[] = {16, 32, 48, 64, 80, 96, 128, 256, 1, 7, 65};
    for (size_t i = 0; i < sizeof dims / sizeof *dims; i++) check(vk, set, dims[i], 1 + (uint32_t)i % 3, f16, 1);
}

static void f32(gab_vk *vk, gab_kernel_set set) {
    head_dims(vk, set, false);
}
GAB_TEST(f32) {
    gab_test_each_device(f32);
}

static void f16(gab_vk *vk, gab_kernel_set set) {
    head_dims(vk, set, true);
}
GAB_TEST(f16) {
    gab_test_each_device(f16);
}

/* Values among the subnormals of f16 (below 6e-5) and near its largest. */
static void f16_edges(gab_vk *vk, gab_kernel_set set) {
    check(vk, set, 64, 2, true, 1e-6f);
    check(vk, set, 64, 2, true, 6e4f);
}
GAB_TEST(f16_edges) {
    gab_test_each_device(f16_edges);
}

/* A product whose outputs are queries, keys and values: the cache is what kv_write would make of the outputs. */
static void check_product(gab_vk *vk, gab_kernel_set set, uint32_t head_dim, bool f16, uint32_t n_shard) {
    enum { N_HEAD = 3, N_HEAD_KV = 2, N_COL = 96, N_PLAN = 4, N_STEP = 3 };
    static const uint32_t positions[] = {63, 64, 7};
    const uint32_t k_offset = N_HEAD * head_dim, v_offset = k_offset + N_HEAD_KV * head_dim;
    const uint32_t n_row = v_offset + N_HEAD_KV * head_dim, stride = gab_row_stride(n_row);
    gab_test_random random = {head_dim};
    gab_kv_check kv = gab_kv_check_make(vk, N_HEAD_KV, head_dim, f16, 2, 65, 0, &random);
    gab_test_weight weight = gab_test_weight_make(vk, GAB_DTYPE_Q8_0, n_row, N_COL, n_shard, &random);
    float *x = gab_test_floats(&random, N_PLAN * gab_row_stride(N_COL), 1), *bias = gab_test_floats(&random, n_row, 1);
    gab_step *step = gab_test_alloc(sizeof *step);
    step->n_row = N_STEP;
    for (uint32_t i = 0; i < N_STEP; i++) step->rows[i] = (gab_step_row){.slot = i % 2, .position = positions[i]};
    const gab_slice bias_slice = gab_test_slice(vk, bias, 4ul * n_row);
    gab_matmul op = {.weight = &weight.weight,
                     .x = gab_test_slice(vk, x, 4ul * N_PLAN * gab_row_stride(N_COL)),
                     .y = gab_test_slice(vk, NULL, 4ul * N_PLAN * stride),
                     .x_stride = gab_row_stride(N_COL),
                     .y_stride = stride,
                     .bias = &bias_slice};
    const gab_kv_write write = {
        .kv = kv.layer, .x = op.y, .x_stride = stride, .k_offset = k_offset, .v_offset = v_offset};
    float *y = gab_test_alloc(4ul * N_PLAN * stride), *with = gab_test_alloc(4ul * N_PLAN * stride);
    uint32_t *got = gab_test_alloc(4ul * kv.n_word);
    for (int pass = 0; pass < 2; pass++) { /* the plain product, then the one that stores */
        op.kv = pass == 0 ? NULL : &write;
        gab_kernel_context *context = gab_test_begin(vk, set, gab_kv_check_step(vk, &kv, step), N_PLAN, 0);
        gab_matmul_record(context, &op);
        gab_test_end(context);
        gab_test_read(vk, op.y, pass == 0 ? y : with, 4ul * N_PLAN * stride);
    }
    for (uint32_t i = 0; i < N_STEP; i++) {
        const float *row = y + (size_t)i * stride;
        gab_test_same(with + (size_t)i * stride, row, k_offset, "queries head_dim %u", head_dim);
        gab_kv_write_reference(&kv.layer, row + k_offset, row + v_offset, gab_kv_check_table(&kv, step->rows[i].slot),
                               step->rows[i].position, kv.keys, kv.values);
    }
    gab_test_read(vk, kv.layer.keys, got, 4ul * kv.n_word);
    if (vk->executes) compare(&kv, got, kv.keys, "keys");
    gab_test_read(vk, kv.layer.values, got, 4ul * kv.n_word);
    if (vk->executes) compare(&kv, got, kv.values, "values");
    gab_test_release(vk);
}

/* With every variant: head_dims of whole words, and odd ones; shards that cut a pair of rows apart. */
static void by_products(gab_vk *vk, gab_kernel_set set) {
    static const uint32_t dims[] = {16, 64, 6, 7};
    uint32_t n;
    const gab_variant *variants = gab_variants(GAB_OP_MATVEC + GAB_DTYPE_Q8_0, &n);
    for (uint32_t v = 0; v < n; v++) {
        if (variants[v].lane != set.lane || !gab_variant_usable(vk, &variants[v], false)) continue;
        set.choice[GAB_OP_MATVEC + GAB_DTYPE_Q8_0] = (uint8_t)v;
        for (uint32_t i = 0; i < sizeof dims / sizeof *dims; i++)
            check_product(vk, set, dims[i], i % 2 == 0, 1 + i % 3);
    }
}
GAB_TEST(by_products) {
    gab_test_each_device(by_products);
}

GAB_TEST_MAIN()
