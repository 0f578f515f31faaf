/* Products with more than 8 columns: the tiled kernel of the group family, the many-column form of the lane family. */
#include "matmul_check.h"

static void shapes_of(gab_vk *vk, gab_kernel_set set, gab_dtype type) {
    static const uint32_t rows[] = {1, 63, 64, 65, 257}, cols[] = {1, 3, 5, 31, 33, 48, 767, 769};
    static const uint32_t quantized_cols[] = {32, 64, 96, 160, 768, 800};
    static const uint32_t columns[] = {9, 31, 32, 33, 65};
    bool quantized = gab_dtype_get(type)->block_size > 1;
    const uint32_t *list = quantized ? quantized_cols : cols;
    size_t n = quantized ? sizeof quantized_cols / sizeof *cols : sizeof cols / sizeof *cols;
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < 2; j++) /* 2 of the 5 row counts, others with every width */
            gab_matmul_check_run(vk, set,
                                 &(gab_matmul_check){.type = type,
                                                     .n_row = rows[(2 * i + j) % 5],
                                                     .n_col = list[i],
                                                     .n_plan = columns[(i + j * 2) % 5],
                                                     .bias = j % 2 == 0,
                                                     .residual = i % 2 == 0});
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

static void shards_and_outs(gab_vk *vk, gab_kernel_set set) {
    for (uint32_t type = 0; type < GAB_DTYPE_COUNT; type++) {
        gab_matmul_check check = {
            .type = (gab_dtype)type, .n_row = 131, .n_col = 96, .n_plan = 64, .n_step = 21, .n_shard = 3, .bias = true};
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
    for (uint32_t type = 0; type < GAB_DTYPE_COUNT; type++) {
        gab_matmul_check check = {.type = (gab_dtype)type,
                                  .n_row = 65,
                                  .n_col = gab_dtype_get((gab_dtype)type)->block_size > 1 ? 96 : 100,
                                  .n_plan = 33,
                                  .bias = true,
                                  .activation = GAB_ACTIVATION_GELU,
                                  .x_scale = 1e3f};
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
