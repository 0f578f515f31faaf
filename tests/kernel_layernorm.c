/* The layernorm kernel against its reference: widths around every tile, output rows, outliers, constant rows. */
#include "norm_check.h"

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
    gab_norm_widths(vk, set, check_shape);
}
GAB_TEST(widths) {
    gab_test_each_device(widths);
}

static void row_counts(gab_vk *vk, gab_kernel_set set) {
    gab_norm_row_counts(vk, set, check_shape);
}
GAB_TEST(row_counts) {
    gab_test_each_device(row_counts);
}

static void hard_rows(gab_vk *vk, gab_kernel_set set) {
    gab_norm_hard_rows(vk, set, check_shape, 3.0f, 2e-5);
}
GAB_TEST(hard_rows) {
    gab_test_each_device(hard_rows);
}

GAB_TEST_MAIN()
