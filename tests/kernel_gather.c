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

static void check_table(gab_vk *vk, gab_kernel_set set, const gab_test_weight *made, uint32_t kind, bool add) {
    const gab_test_weight table = *made;
    const gab_dtype type = table.weight.type;
    const uint32_t n_col = table.weight.n_col, n_shard = table.weight.n_shard;
    static const uint32_t sampled[N_SLOT] = {5, 0, N_TABLE - 1};
    gab_test_random random = {n_col * 8u + kind};
    const uint32_t stride = gab_row_stride(n_col), n = N_ROW;
    gab_step *step = gab_test_alloc(sizeof *step);
    uint32_t index[N_ROW];
    make_step(step, sampled, kind, index, &random);
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
    for (uint32_t i = 0; i < n; i++) {
        if (!add)
            gab_test_same(y + (size_t)i * stride, table.values + (size_t)index[i] * n_col, n_col,
                          "gather %s n_col %u row %u: other bits", gab_dtype_get(type)->name, n_col, i);
        gab_test_close(y + (size_t)i * stride, expected + (size_t)i * stride, n_col, 1e-7, 1e-7,
                       "gather %s n_col %u shards %u kind %u add %d row %u", gab_dtype_get(type)->name, n_col, n_shard,
                       kind, add, i);
    }
    gab_test_same(y + (size_t)n * stride, before + (size_t)n * stride, stride, "gather beyond the step's rows");
    gab_test_release(vk);
}

static void check(gab_vk *vk, gab_kernel_set set, gab_dtype type, uint32_t n_col, uint32_t n_shard, uint32_t kind,
                  bool add) {
    gab_test_random random = {n_col * 16u + kind};
    const gab_test_weight table = gab_test_weight_make(vk, type, N_TABLE, n_col, n_shard, &random);
    check_table(vk, set, &table, kind, add);
}

static void widths_of(gab_vk *vk, gab_kernel_set set, gab_dtype type) {
    static const uint32_t widths[] = {1, 3, 4, 5, 31, 33, 48, 767, 769}, quantized[] = {32, 64, 96, 768, 800};
    static const uint32_t large[] = {256, 768, 1280};
    const uint32_t block = gab_dtype_get(type)->block_size;
    const uint32_t *list = block > 32 ? large : block > 1 ? quantized : widths;
    const size_t n = block > 32 ? 3 : block > 1 ? 5 : 9;
    for (size_t i = 0; i < n; i++)
        for (uint32_t kind = GAB_INDEX_TOKEN; kind <= GAB_INDEX_POSITION; kind++)
            check(vk, set, type, list[i], 1 + (uint32_t)i % 3, kind, (i + kind) % 2 == 1);
    check(vk, set, type, list[1], N_TABLE, GAB_INDEX_TOKEN, false); /* a shard a row */
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
    for (gab_dtype type = GAB_DTYPE_Q4_0 + 1; type < GAB_DTYPE_COUNT; type++) widths_of(vk, set, type);
}
GAB_TEST(quantized) {
    gab_test_each_device(quantized);
}

/* Scales and minimums that are subnormal in f16. */
static void subnormal_scales(gab_vk *vk, gab_kernel_set set) {
    static const struct {
        gab_dtype type;
        int halves[2]; /* where a block has f16 */
        uint64_t hash;
    } types[] = {
#include "tensor_types.h"
    };
    enum { N_COL = 512 };
    static unsigned char rows[N_TABLE * N_COL * 2];
    gab_test_random random = {3};
    for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
        const gab_dtype_info *info = gab_dtype_get(types[t].type);
        const uint32_t n_block = N_TABLE * N_COL / info->block_size;
        if (info->block_size == 1 || types[t].halves[0] < 0) continue;
        for (uint32_t i = 0; i < n_block * info->block_bytes; i++)
            rows[i] = (unsigned char)gab_test_random_u32(&random);
        for (uint32_t b = 0; b < n_block; b++)
            for (int h = 0; h < 2 && types[t].halves[h] >= 0; h++)
                rows[b * info->block_bytes + (uint32_t)types[t].halves[h] + 1] &= 0x83; /* sign and mantissa */
        const gab_test_weight table = gab_test_weight_of(vk, types[t].type, N_TABLE, N_COL, 1, rows);
        check_table(vk, set, &table, GAB_INDEX_TOKEN, false);
    }
}
GAB_TEST(subnormal_scales) {
    gab_test_each_device(subnormal_scales);
}

/* The same as on a device that flushes them. */
static void subnormal_scales_by_integers(gab_vk *vk, gab_kernel_set set) {
    const bool flushed = vk->f16_flushed;
    vk->f16_flushed = true;
    subnormal_scales(vk, set);
    vk->f16_flushed = flushed;
}
GAB_TEST(subnormal_scales_by_integers) {
    gab_test_each_device(subnormal_scales_by_integers);
}

/* Into a part of each row, multiplied; the rest stays. */
static void parts(gab_vk *vk, gab_kernel_set set) {
    enum { N_COL = 64, FIRST = 20, STRIDE = 128, N = 3 };
    gab_test_random random = {4};
    const gab_test_weight table = gab_test_weight_make(vk, GAB_DTYPE_F32, N_TABLE, N_COL, 2, &random);
    float *before = gab_test_floats(&random, N * STRIDE, 1), *y = gab_test_alloc(sizeof(float) * N * STRIDE);
    gab_step *step = gab_test_alloc(sizeof *step);
    double expected[STRIDE];
    step->n_row = N;
    for (uint32_t i = 0; i < N; i++) step->rows[i].token = 18 * i;
    const gab_gather op = {.table = &table.weight,
                           .index_kind = GAB_INDEX_TOKEN,
                           .factor = 8,
                           .sampled = gab_test_slice(vk, NULL, 64),
                           .y = gab_test_slice(vk, before, sizeof(float) * N * STRIDE),
                           .y_stride = STRIDE,
                           .y_first = FIRST};
    gab_kernel_context *context = gab_test_begin(vk, set, gab_test_step(vk, step, NULL, 0), N, 0);
    gab_gather_record(context, &op);
    gab_test_end(context);
    gab_test_read(vk, op.y, y, sizeof(float) * N * STRIDE);
    for (uint32_t r = 0; r < N; r++) {
        for (uint32_t i = 0; i < STRIDE; i++) {
            const bool inside = i >= FIRST && i < FIRST + N_COL;
            expected[i] =
                inside ? 8 * (double)table.values[18 * r * N_COL + i - FIRST] : (double)before[r * STRIDE + i];
        }
        gab_test_close(y + r * STRIDE, expected, STRIDE, 1e-7, 1e-7, "part of row %u", r);
    }
    gab_test_release(vk);
}
GAB_TEST(parts) {
    gab_test_each_device(parts);
}

GAB_TEST_MAIN()
