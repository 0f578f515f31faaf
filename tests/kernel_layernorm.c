/* The layernorm kernel against its reference: widths around every tile, output rows, outliers, constant rows. */
#include "vk_test.h"

#include "kernels/layernorm.h"

static void check_shape(gab_vk *vk, gab_kernel_set set, uint32_t n_col, uint32_t n_row, uint32_t n_out, const float *x,
                        double bound) {
    const uint32_t n = n_out ? n_out : n_row, stride = gab_row_stride(n_col);
    gab_test_random random = {n_col * 1000u + n_row};
    float *weight = gab_test_floats(&random, n_col, 1), *bias = gab_test_floats(&random, n_col, 1);
    gab_step *step = gab_test_alloc(sizeof *step);
    step->n_row = n_row;
    step->n_out = n_out;
    for (uint32_t i = 0; i < n_out; i++) step->outs[i].row = n_out - 1 - i; /* from the last row to the first */
    const gab_layernorm op = {.x = gab_test_slice(vk, gab_test_pad_rows(x, n, n_col, stride), 4ul * n * stride),
                              .y = gab_test_slice(vk, NULL, 4ul * n * stride),
                              .weight = gab_test_slice(vk, weight, 4ul * n_col),
                              .bias = gab_test_slice(vk, bias, 4ul * n_col),
                              .n_col = n_col,
                              .x_stride = stride,
                              .y_stride = stride,
                              .eps = 1e-5f,
                              .of_outs = n_out > 0};
    gab_kernel_context *context = gab_test_begin(vk, set, gab_test_step(vk, step, NULL, 0), n_row, n_out);
    gab_layernorm_record(context, &op);
    gab_test_end(context);
    float *y = gab_test_alloc(4ul * n * stride);
    double *expected = gab_test_alloc(8ul * n_col);
    gab_test_read(vk, op.y, y, 4ul * n * stride);
    for (uint32_t r = 0; r < n; r++) {
        const uint32_t from = n_out ? n_out - 1 - r : r;
        gab_layernorm_reference(x + (size_t)from * n_col, weight, bias, n_col, (double)op.eps, expected);
        gab_test_close(y + (size_t)r * stride, expected, n_col, bound, bound,
                       "layernorm n_col %u n_row %u n_out %u row %u", n_col, n_row, n_out, r);
        for (uint32_t k = n_col; k < stride; k++) CHECK(y[(size_t)r * stride + k] == 0);
    }
    gab_test_release(vk);
}

static void widths(gab_vk *vk, gab_kernel_set set) {
    static const uint32_t n_cols[] = {1, 3, 4, 5, 31, 33, 48, 127, 128, 129, 767, 768, 769};
    for (size_t i = 0; i < sizeof n_cols / sizeof *n_cols; i++) {
        gab_test_random random = {i};
        uint32_t n_row = 1 + (uint32_t)i % 3;
        check_shape(vk, set, n_cols[i], n_row, 0, gab_test_floats(&random, (size_t)n_row * n_cols[i], 1), 1e-6);
    }
}
GAB_TEST(widths) {
    gab_test_each_device(widths);
}

static void row_counts(gab_vk *vk, gab_kernel_set set) {
    static const uint32_t n_rows[] = {1, 2, 7, 65, 512};
    for (size_t i = 0; i < sizeof n_rows / sizeof *n_rows; i++) {
        gab_test_random random = {i};
        check_shape(vk, set, 48, n_rows[i], 0, gab_test_floats(&random, (size_t)n_rows[i] * 48, 1), 1e-6);
    }
    gab_test_random random = {99};
    check_shape(vk, set, 48, 65, 3, gab_test_floats(&random, (size_t)65 * 48, 1), 1e-6);
}
GAB_TEST(row_counts) {
    gab_test_each_device(row_counts);
}

/* A mean far from zero, one value of 1e6 among ordinary ones, rows that are constant or zero. */
static void hard_rows(gab_vk *vk, gab_kernel_set set) {
    gab_test_random random = {5};
    float *x = gab_test_floats(&random, 4 * 768, 1);
    for (uint32_t i = 0; i < 768; i++) {
        x[i] += 100.0f;
        x[2 * 768 + i] = 0.0f;
        x[3 * 768 + i] = 3.0f;
    }
    x[768 + 77] = 1e6f;
    check_shape(vk, set, 768, 4, 0, x, 2e-5);
}
GAB_TEST(hard_rows) {
    gab_test_each_device(hard_rows);
}

GAB_TEST_MAIN()
