#include "matmul_check.h"

#include <math.h>

static const float untouched = 12345.0f;

/* n_column columns of n_col random values, with outliers. */
static float *make_x(const gab_matmul_check *check, uint32_t n_column, gab_test_random *random) {
    float *x = gab_test_floats(random, (size_t)n_column * check->n_col, check->x_scale != 0 ? check->x_scale : 1.0f);
    for (uint32_t c = 0; check->outliers && c < n_column; c++)
        x[(size_t)c * check->n_col + gab_test_random_u32(random) % check->n_col] = 1e6f;
    return x;
}

/* The rows of a plan as the kernels read them: padded with zeros, and with not-a-number rows up to a multiple of 32. */
static gab_slice upload_x(gab_vk *vk, const float *x, uint32_t n_column, uint32_t n_col) {
    const uint32_t stride = gab_row_stride(n_col), n_all = (n_column + 31) / 32 * 32;
    float *padded = gab_test_alloc(4ul * n_all * stride);
    memcpy(padded, gab_test_pad_rows(x, n_column, n_col, stride), 4ul * n_column * stride);
    for (size_t i = (size_t)n_column * stride; i < (size_t)n_all * stride; i++) padded[i] = NAN;
    return gab_test_slice(vk, padded, 4ul * n_all * stride);
}

/* The root of the sum of the squares of what is added up for one result. */
static double size_of_sum(const float *w, const float *x, uint32_t n, double bias, double old) {
    double sum = bias * bias + old * old;
    for (uint32_t k = 0; k < n; k++) sum += (double)w[k] * w[k] * x[k] * x[k];
    return sqrt(sum);
}

static void compare(const gab_matmul_check *check, const gab_variant *variant, const gab_test_weight *weight,
                    const float *x, const float *bias, const float *before, const float *y, uint32_t y_stride) {
    const uint32_t n_used = check->n_step ? check->n_step : check->n_plan;
    /* A sum of 769 terms one after the other is off by 7e-7 of its size on average; few values may all be unlucky. A
     * value whose weight at the outlier is 0 loses most of what 8 bits keep of its neighbours. */
    const double error = variant->error > 0 ? (double)variant->error : 1e-6;
    const double l2_max = check->n_row < 16 ? (variant->error > 0 ? 2 : 4) * error : error;
    const double relative_max = variant->quantized && check->outliers ? 2 : 6 * error;
    double *expected = gab_test_alloc(8ul * check->n_row), *size = gab_test_alloc(8ul * check->n_row);
    for (uint32_t c = 0; c < check->n_plan; c++) {
        const float *got = y + (size_t)c * y_stride, *old = before + (size_t)c * y_stride;
        uint32_t n_kept = c < n_used ? check->n_row : 0;
        gab_test_same(got + n_kept, old + n_kept, y_stride - n_kept, "%s: %s %ux%u columns %u: beyond column %u",
                      variant->name, gab_dtype_get(check->type)->name, check->n_row, check->n_col, check->n_plan, c);
        if (c >= n_used) continue;
        for (uint32_t r = 0; r < check->n_row; r++) {
            expected[r] = (double)old[r];
            size[r] = size_of_sum(weight->values + (size_t)r * check->n_col, x + (size_t)c * check->n_col, check->n_col,
                                  bias ? (double)bias[r] : 0.0, check->residual ? (double)old[r] : 0.0);
        }
        gab_matmul_reference(weight->values, check->n_row, check->n_col, x + (size_t)c * check->n_col, bias,
                             check->activation, check->residual, expected);
        gab_test_close_sums(got, expected, size, check->n_row, l2_max, relative_max,
                            "%s: %s %ux%u columns %u shards %u bias %d activation %u residual %d outs %d: column %u",
                            variant->name, gab_dtype_get(check->type)->name, check->n_row, check->n_col, check->n_plan,
                            check->n_shard, check->bias, check->activation, check->residual, check->of_outs, c);
    }
}

static void check_variant(gab_vk *vk, gab_kernel_set set, const gab_matmul_check *check, const gab_variant *variant) {
    gab_test_random random = {check->n_row * 7919u + check->n_col * 31u + check->n_plan};
    const uint32_t n_plan = check->n_plan, y_stride = gab_row_stride(check->n_row) + 32;
    const uint32_t n_used = check->n_step ? check->n_step : n_plan;
    gab_test_weight weight =
        gab_test_weight_make(vk, check->type, check->n_row, check->n_col, check->n_shard ? check->n_shard : 1, &random);
    float *x = make_x(check, n_plan, &random);
    float *bias = check->bias ? gab_test_floats(&random, check->n_row, 1) : NULL;
    float *before = gab_test_alloc(4ul * n_plan * y_stride);
    for (size_t i = 0; i < (size_t)n_plan * y_stride; i++)
        before[i] = check->residual ? gab_test_random_normal(&random) : untouched;
    gab_slice bias_slice = bias ? gab_test_slice(vk, bias, 4ul * check->n_row) : (gab_slice){0};
    gab_slice step = gab_test_step_of(vk, check->of_outs ? 1 : n_used, check->of_outs ? n_used : 0);
    const gab_matmul op = {.weight = &weight.weight,
                           .x = upload_x(vk, x, n_plan, check->n_col),
                           .y = gab_test_slice(vk, before, 4ul * n_plan * y_stride),
                           .x_stride = gab_row_stride(check->n_col),
                           .y_stride = y_stride,
                           .bias = bias ? &bias_slice : NULL,
                           .activation = check->activation,
                           .residual = check->residual,
                           .of_outs = check->of_outs};
    gab_kernel_context *context =
        gab_test_begin(vk, set, step, check->of_outs ? 1 : n_plan, check->of_outs ? n_plan : 0);
    context->recorder->piece_cost = check->piece_cost;
    gab_matmul_record(context, &op);
    gab_test_end(context);
    float *y = gab_test_alloc(4ul * n_plan * y_stride);
    gab_test_read(vk, op.y, y, 4ul * n_plan * y_stride);
    compare(check, variant, &weight, x, bias, before, y, y_stride);
    gab_test_release(vk);
}

void gab_matmul_check_chosen(gab_vk *vk, gab_kernel_set set, const gab_matmul_check *check) {
    check_variant(vk, set, check, gab_variant_of(&set, gab_matmul_operation(check->type, check->n_plan)));
}

void gab_matmul_check_run(gab_vk *vk, gab_kernel_set set, const gab_matmul_check *check) {
    const gab_operation operation = gab_matmul_operation(check->type, check->n_plan);
    uint32_t n;
    const gab_variant *variants = gab_variants(operation, &n);
    for (uint32_t i = 0; i < n; i++) {
        if (!gab_test_wants_variant(vk, &set, variants, i, check->once)) continue;
        set.choice[operation] = (uint8_t)i;
        check_variant(vk, set, check, &variants[i]);
    }
}

static void columns_of_variant(gab_vk *vk, gab_kernel_set set, gab_dtype type, uint32_t n_row, uint32_t n_col) {
    gab_test_random random = {n_row};
    const uint32_t y_stride = gab_row_stride(n_row);
    const gab_matmul_check check = {.type = type, .n_col = n_col};
    gab_test_weight weight = gab_test_weight_make(vk, type, n_row, n_col, 1, &random);
    float *column = make_x(&check, 1, &random), *x = gab_test_alloc(32ul * n_col), *y = gab_test_alloc(32ul * y_stride);
    float *first = gab_test_alloc(4ul * n_row);
    for (uint32_t n = 1; n <= GAB_MATVEC_COLUMNS_MAX; n++) {
        /* The column first in a plan, last in the next, among others. */
        for (uint32_t at = 0; at<n; at += n> 1 ? n - 1 : 1) {
            for (uint32_t i = 0; i < n * n_col; i++) x[i] = gab_test_random_normal(&random);
            memcpy(x + (size_t)at * n_col, column, 4ul * n_col);
            const gab_matmul op = {.weight = &weight.weight,
                                   .x = upload_x(vk, x, n, n_col),
                                   .y = gab_test_slice(vk, NULL, 4ul * n * y_stride),
                                   .x_stride = gab_row_stride(n_col),
                                   .y_stride = y_stride};
            gab_kernel_context *context = gab_test_begin(vk, set, gab_test_step_of(vk, n, 0), n, 0);
            gab_matmul_record(context, &op);
            gab_test_end(context);
            gab_test_read(vk, op.y, y, 4ul * n * y_stride);
            if (n == 1) memcpy(first, y, 4ul * n_row);
            gab_test_same(y + (size_t)at * y_stride, first, n_row, "%s: column %u of %u has other bits than alone",
                          gab_dtype_get(type)->name, at, n);
        }
    }
    gab_test_release(vk);
}

void gab_matmul_check_columns(gab_vk *vk, gab_kernel_set set, gab_dtype type, uint32_t n_row, uint32_t n_col) {
    const gab_operation operation = gab_matmul_operation(type, 1);
    uint32_t n;
    const gab_variant *variants = gab_variants(operation, &n);
    for (uint32_t i = 0; i < n; i++) {
        if (!gab_test_wants_variant(vk, &set, variants, i, gab_dtype_get(type)->grouped)) continue;
        set.choice[operation] = (uint8_t)i;
        columns_of_variant(vk, set, type, n_row, n_col);
    }
}
