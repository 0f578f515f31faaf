/* Products with more than 8 columns: the tiled kernel of the group family, the many-column form of the lane family. */
#include "matmul_check.h"

static void shapes_of(gab_vk *vk, gab_kernel_set set, gab_dtype type) {
    static const uint32_t rows[] = {1, 63, 64, 65, 257}, cols[] = {1, 3, 5, 31, 33, 48, 767, 769};
    static const uint32_t quantized_cols[] = {32, 64, 96, 160, 768, 800}, large_cols[] = {256, 512, 768};
    static const uint32_t columns[] = {9, 31, 32, 33, 65};
    const uint32_t block = gab_dtype_get(type)->block_size;
    const uint32_t *list = block > 32 ? large_cols : block > 1 ? quantized_cols : cols;
    const bool once = gab_dtype_get(type)->grouped;
    const size_t n = block > 32 ? 3 : block > 1 ? 6 : 8;
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < 2; j++) /* 2 of the 5 row counts, others with every width */
            gab_matmul_check_run(vk, set,
                                 &(gab_matmul_check){.type = type,
                                                     .n_row = rows[(2 * i + j) % 5],
                                                     .n_col = list[i],
                                                     .n_plan = columns[(i + j * 2) % 5],
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

/* What types differ in: eight weights a part; fifth bits, records of two blocks; a table, of either kind; a scale for a
 * group, without a minimum and with one. */
static void others(gab_vk *vk, gab_kernel_set set) {
    static const gab_dtype types[] = {GAB_DTYPE_BF16,  GAB_DTYPE_Q5_0, GAB_DTYPE_IQ4_XS,
                                      GAB_DTYPE_MXFP4, GAB_DTYPE_Q3_K, GAB_DTYPE_Q2_K};
    for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
        const uint32_t block = gab_dtype_get(types[t])->block_size, small = block == 256 ? 256 : 160 + (block == 1);
        gab_matmul_check_run(
            vk, set, &(gab_matmul_check){.type = types[t], .n_row = 65, .n_col = small, .n_plan = 33, .once = true});
    }
}
GAB_TEST(others) {
    gab_test_each_device(others);
}

static void shards_and_outs(gab_vk *vk, gab_kernel_set set) {
    for (uint32_t t = 0; t < GAB_MATMUL_CHECK_N_TYPE; t++) {
        const gab_dtype type = gab_matmul_check_types[t];
        const uint32_t n_col = gab_dtype_get(type)->block_size > 32 ? 256 : 96;
        gab_matmul_check check = {
            .type = type, .n_row = 131, .n_col = n_col, .n_plan = 64, .n_step = 21, .n_shard = 3, .bias = true};
        check.once = gab_dtype_get(type)->grouped;
        gab_matmul_check_run(vk, set, &check);
        check.n_plan = 32;
        check.n_step = 9;
        check.of_outs = check.residual = true;
        gab_matmul_check_run(vk, set, &check);
    }
}
GAB_TEST(shards_and_outs) {
    gab_test_each_device(shards_and_outs);
}

static void gelu_and_outliers(gab_vk *vk, gab_kernel_set set) {
    for (uint32_t t = 0; t < GAB_MATMUL_CHECK_N_TYPE; t++) {
        const gab_dtype type = gab_matmul_check_types[t];
        const uint32_t block = gab_dtype_get(type)->block_size;
        gab_matmul_check check = {.type = type,
                                  .n_row = 65,
                                  .n_col = block > 32  ? 256
                                           : block > 1 ? 96
                                                       : 100,
                                  .n_plan = 33,
                                  .bias = true,
                                  .activation = GAB_ACTIVATION_GELU,
                                  .x_scale = 1e3f,
                                  .once = gab_dtype_get(type)->grouped};
        gab_matmul_check_run(vk, set, &check);
        check.x_scale = 0.2f;
        check.residual = true;
        gab_matmul_check_run(vk, set, &check);
        check.outliers = true;
        gab_matmul_check_run(vk, set, &check);
    }
}
GAB_TEST(gelu_and_outliers) {
    gab_test_each_device(gelu_and_outliers);
}

/* A dispatch in pieces gives the same result: along the rows, and along the columns where they are more. */
static void pieces(gab_vk *vk, gab_kernel_set set) {
    gab_matmul_check check = {.type = GAB_DTYPE_F32,
                              .n_row = 257,
                              .n_col = 33,
                              .n_plan = 33,
                              .bias = true,
                              .residual = true,
                              .piece_cost = 1};
    gab_matmul_check_run(vk, set, &check);
    check.n_row = 3;
    check.n_plan = 65;
    gab_matmul_check_run(vk, set, &check);
    check.n_row = 1031;
    check.n_plan = 1;
    check.piece_cost = 9000;
    gab_matmul_check_run(vk, set, &check);
}
GAB_TEST(pieces) {
    gab_test_each_device(pieces);
}

GAB_TEST_MAIN()
