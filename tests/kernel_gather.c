/* The row gather against its reference: every weight type and kind of index, sampled tokens, shards, adding. */
#include "vk_test.h"

#include "kernels/gather.h"

enum { N_TABLE = 37, N_SLOT = 3, N_ROW = 11 };

/* A step of rows with random tokens, some of them sampled, and random positions; and the index of each row. */
static void make_step(gab_step *step, const uint32_t *sampled, uint32_t kind, uint32_t *index,
                      gab_test_random *random) {
    step->n_row = N_ROW;
    for (uint32_t i = 0; i < N_ROW; i++) {
        gab_step_row *row = &step->rows[i];
        *row = (gab_step_row){.token = gab_test_random_u32(random) % N_TABLE,
                              .slot = gab_test_random_u32(random) % N_SLOT,
                              .position = gab_test_random_u32(random) % N_TABLE};
        if (i % 4 == 1) row->token = GAB_TOKEN_SAMPLED;
        if (i == 0) row->token = row->position = 0;
        if (i == 2) row->token = row->position = N_TABLE - 1;
        if (kind == GAB_INDEX_TOKEN) index[i] = i % 4 == 1 ? sampled[row->slot] : row->token;
        if (kind == GAB_INDEX_POSITION) index[i] = row->position;
    }
}

static void check(gab_vk *vk, gab_kernel_set set, gab_dtype type, uint32_t n_col, uint32_t n_shard, uint32_t kind,
                  bool add) {
    static const uint32_t sampled[N_SLOT] = {5, 0, N_TABLE - 1};
    gab_test_random random = {n_col * 8u + kind};
    const uint32_t stride = gab_row_stride(n_col), n = N_ROW;
    gab_step *step = gab_test_alloc(sizeof *step);
    uint32_t index[N_ROW];
    make_step(step, sampled, kind, index, &random);
    gab_test_weight table = gab_test_weight_make(vk, type, N_TABLE, n_col, n_shard, &random);
    float *before = gab_test_floats(&random, (size_t)(n + 1) * stride, 1); /* and a row beyond the step's */
    double *expected = gab_test_alloc(8ul * n * stride);
    for (size_t i = 0; i < (size_t)n * stride; i++) expected[i] = (double)before[i];
    const gab_gather op = {.table = &table.weight,
                           .index_kind = kind,
                           .add = add,
                           .sampled = gab_test_slice(vk, sampled, sizeof sampled),
                           .y = gab_test_slice(vk, before, 4ul * (n + 1) * stride),
                           .y_stride = stride};
    gab_kernel_context *context = gab_test_begin(vk, set, gab_test_step(vk, step, NULL, 0), N_ROW + 1, 0);
    gab_gather_record(context, &op);
    gab_test_end(context);
    float *y = gab_test_alloc(4ul * (n + 1) * stride);
    gab_test_read(vk, op.y, y, 4ul * (n + 1) * stride);
    gab_gather_reference(table.values, n_col, index, n, add, expected, stride);
    for (uint32_t i = 0; i < n; i++)
        gab_test_close(y + (size_t)i * stride, expected + (size_t)i * stride, n_col, 1e-7, 1e-7,
                       "gather %s n_col %u shards %u kind %u add %d row %u", gab_dtype_get(type)->name, n_col, n_shard,
                       kind, add, i);
    gab_test_same(y + (size_t)n * stride, before + (size_t)n * stride, stride, "gather beyond the step's rows");
    gab_test_release(vk);
}

static void widths_of(gab_vk *vk, gab_kernel_set set, gab_dtype type) {
    static const uint32_t widths[] = {1, 3, 4, 5, 31, 33, 48, 767, 769}, quantized[] = {32, 64, 96, 768, 800};
    bool blocks = gab_dtype_get(type)->block_size > 1;
    size_t n = blocks ? sizeof quantized / sizeof *quantized : sizeof widths / sizeof *widths;
    for (size_t i = 0; i < n; i++)
        for (uint32_t kind = GAB_INDEX_TOKEN; kind <= GAB_INDEX_POSITION; kind++)
            check(vk, set, type, blocks ? quantized[i] : widths[i], 1 + (uint32_t)i % 3, kind, (i + kind) % 2 == 1);
    check(vk, set, type, 64, N_TABLE, GAB_INDEX_TOKEN, false); /* a shard a row */
}

static void floats(gab_vk *vk, gab_kernel_set set) {
    widths_of(vk, set, GAB_DTYPE_F32);
    widths_of(vk, set, GAB_DTYPE_F16);
}
GAB_TEST(floats) {
    gab_test_each_device(floats);
}

static void quantized(gab_vk *vk, gab_kernel_set set) {
    widths_of(vk, set, GAB_DTYPE_Q8_0);
    widths_of(vk, set, GAB_DTYPE_Q4_0);
}
GAB_TEST(quantized) {
    gab_test_each_device(quantized);
}

GAB_TEST_MAIN()
