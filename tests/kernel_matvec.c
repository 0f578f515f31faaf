/* The matrix-vector kernels, 1 to 8 columns, against their reference: every weight type, ugly shapes, epilogues. */
#include "matmul_check.h"

/* Every number of columns, on shapes around the tiles; quantized rows are whole blocks. */
static void shapes_of(gab_vk *vk, gab_kernel_set set, gab_dtype type) {
    static const uint32_t rows[] = {1, 7, 63, 64, 65, 257}, cols[] = {1, 3, 4, 5, 31, 33, 48, 767, 769};
    static const uint32_t quantized_cols[] = {32, 64, 96, 768, 800, 1056}, large_cols[] = {256, 768, 1280};
    const uint32_t block = gab_dtype_get(type)->block_size;
    const uint32_t *list = block > 32 ? large_cols : block > 1 ? quantized_cols : cols;
    const bool once = gab_dtype_get(type)->grouped;
    const size_t n = block > 32 ? 3 : block > 1 ? 6 : 9;
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < (once ? 3 : sizeof rows / sizeof *rows); j++)
            gab_matmul_check_run(vk, set,
                                 &(gab_matmul_check){.type = type,
                                                     .n_row = rows[j],
                                                     .n_col = list[i],
                                                     .n_plan = 1 + (uint32_t)(3 * i + j) % GAB_MATVEC_COLUMNS_MAX,
                                                     .bias = j % 2 == 0,
                                                     .residual = i % 2 == 0,
                                                     .once = once});
}

static void f32(gab_vk *vk, gab_kernel_set set) {
    shapes_of(vk, set, GAB_DTYPE_F32);
}
GAB_TEST(f32) {
    gab_test_each_device(f32);
}

static void f16(gab_vk *vk, gab_kernel_set set) {
    shapes_of(vk, set, GAB_DTYPE_F16);
}
GAB_TEST(f16) {
    gab_test_each_device(f16);
}

static void q8_0(gab_vk *vk, gab_kernel_set set) {
    shapes_of(vk, set, GAB_DTYPE_Q8_0);
}
GAB_TEST(q8_0) {
    gab_test_each_device(q8_0);
}

static void q4_0(gab_vk *vk, gab_kernel_set set) {
    shapes_of(vk, set, GAB_DTYPE_Q4_0);
}
GAB_TEST(q4_0) {
    gab_test_each_device(q4_0);
}

static void k_quants(gab_vk *vk, gab_kernel_set set) {
    for (gab_dtype type = GAB_DTYPE_Q4_K; type <= GAB_DTYPE_Q6_K; type++) shapes_of(vk, set, type);
}
GAB_TEST(k_quants) {
    gab_test_each_device(k_quants);
}

/* Shapes that end within a record. */
static void others(gab_vk *vk, gab_kernel_set set) {
    for (gab_dtype type = GAB_DTYPE_Q6_K + 1; type < GAB_DTYPE_COUNT; type++) {
        const uint32_t block = gab_dtype_get(type)->block_size, small = block == 256 ? 256 : 352 + (block == 1);
        gab_matmul_check_run(
            vk, set,
            &(gab_matmul_check){
                .type = type, .n_row = 65, .n_col = small, .n_plan = 1 + type % 2, .bias = true, .once = true});
    }
}
GAB_TEST(others) {
    gab_test_each_device(others);
}

static void columns_independent_float(gab_vk *vk, gab_kernel_set set) {
    gab_matmul_check_columns(vk, set, GAB_DTYPE_F32, 67, 1003);
    gab_matmul_check_columns(vk, set, GAB_DTYPE_F16, 67, 1003);
}
GAB_TEST(columns_independent_float) {
    gab_test_each_device(columns_independent_float);
}

static void columns_independent_quantized(gab_vk *vk, gab_kernel_set set) {
    gab_matmul_check_columns(vk, set, GAB_DTYPE_Q8_0, 67, 1120);
    gab_matmul_check_columns(vk, set, GAB_DTYPE_Q4_0, 67, 1120);
    gab_matmul_check_columns(vk, set, GAB_DTYPE_Q4_K, 67, 1280);
}
GAB_TEST(columns_independent_quantized) {
    gab_test_each_device(columns_independent_quantized);
}

/* Rows over several shards; a step with fewer columns than the plan; columns that are output rows. */
static void shards_and_outs(gab_vk *vk, gab_kernel_set set) {
    for (uint32_t t = 0; t < GAB_MATMUL_CHECK_N_TYPE; t++) {
        const gab_dtype type = gab_matmul_check_types[t];
        const uint32_t n_col = gab_dtype_get(type)->block_size > 32 ? 256 : 96;
        gab_matmul_check check = {
            .type = type, .n_row = 131, .n_col = n_col, .n_plan = 4, .n_step = 3, .n_shard = 3, .bias = true};
        check.once = gab_dtype_get(type)->grouped;
        gab_matmul_check_run(vk, set, &check);
        check.of_outs = true;
        gab_matmul_check_run(vk, set, &check);
        check.n_row = check.n_shard = 5; /* shards of one row */
        check.residual = true;
        gab_matmul_check_run(vk, set, &check);
    }
}
GAB_TEST(shards_and_outs) {
    gab_test_each_device(shards_and_outs);
}

/* GELU of ordinary sums, of sums of about 1e4 either way, and of nothing but the bias. */
static void gelu(gab_vk *vk, gab_kernel_set set) {
    static const float scales[] = {0.2f, 1e3f, 1e12f, 1e-30f};
    for (size_t i = 0; i < sizeof scales / sizeof *scales; i++) {
        gab_matmul_check check = {.type = GAB_DTYPE_F32,
                                  .n_row = 65,
                                  .n_col = 100,
                                  .n_plan = 2,
                                  .bias = true,
                                  .activation = GAB_ACTIVATION_GELU,
                                  .x_scale = scales[i]};
        gab_matmul_check_run(vk, set, &check);
        check.residual = true;
        gab_matmul_check_run(vk, set, &check);
    }
}
GAB_TEST(gelu) {
    gab_test_each_device(gelu);
}

static void outliers(gab_vk *vk, gab_kernel_set set) {
    gab_matmul_check check = {.n_row = 65, .n_col = 768, .n_plan = 2, .bias = true, .outliers = true};
    for (uint32_t t = 0; t <= GAB_MATMUL_CHECK_N_TYPE; t++) {
        check.type = t < GAB_MATMUL_CHECK_N_TYPE ? gab_matmul_check_types[t] : GAB_DTYPE_Q6_K; /* with weights of 0 */
        check.once = gab_dtype_get(check.type)->grouped;
        gab_matmul_check_run(vk, set, &check);
    }
}
GAB_TEST(outliers) {
    gab_test_each_device(outliers);
}

GAB_TEST_MAIN()
