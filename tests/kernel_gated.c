/* Gated activations against their reference: apart, in turn, by the products themselves; every activation. */
#include <math.h>

#include "kernels/activation.h"
#include "kernels/matmul.h"
#include "vk_test.h"

/* Arguments from the smallest to where exp overflows. */
static void fill_gates(float *x, uint32_t n) {
    for (uint32_t i = 0; i < n; i++) x[i] = (i % 2 ? -1.0f : 1.0f) * powf(2.0f, (float)(i % 47) * 0.5f - 13.0f);
}

static void check(gab_vk *vk, gab_kernel_set set, uint32_t n, bool in_turn, uint32_t activation) {
    enum { N_PLAN = 3, N_STEP = 2 };
    const uint32_t x_stride = gab_row_stride(2 * n) + 32, y_stride = gab_row_stride(n);
    float *x = gab_test_alloc(4ul * N_PLAN * x_stride), *y = gab_test_alloc(4ul * N_PLAN * y_stride);
    double *expected = gab_test_alloc(8ul * n);
    fill_gates(x, N_PLAN * x_stride);
    const gab_gated op = {.x = gab_test_slice(vk, x, 4ul * N_PLAN * x_stride),
                          .y = gab_test_slice(vk, NULL, 4ul * N_PLAN * y_stride),
                          .n = n,
                          .x_stride = x_stride,
                          .y_stride = y_stride,
                          .in_turn = in_turn,
                          .activation = activation};
    gab_kernel_context *context = gab_test_begin(vk, set, gab_test_step_of(vk, N_STEP, 0), N_PLAN, 0);
    gab_gated_record(context, &op);
    gab_test_end(context);
    gab_test_read(vk, op.y, y, 4ul * N_PLAN * y_stride);
    for (uint32_t r = 0; r < N_STEP; r++) {
        gab_gated_reference(x + (size_t)r * x_stride, n, in_turn, activation, expected);
        gab_test_close(y + (size_t)r * y_stride, expected, n, 1e-6, 1e-6, "gated n %u in turn %d activation %u", n,
                       in_turn, activation);
    }
    for (uint32_t i = 0; i < y_stride; i++) CHECK(y[(size_t)N_STEP * y_stride + i] == 0);
    gab_test_release(vk);
}

static void apart(gab_vk *vk, gab_kernel_set set) {
    static const uint32_t ns[] = {1, 7, 63, 64, 65, 200};
    for (uint32_t i = 0; i < 6; i++)
        for (uint32_t activation = GAB_ACTIVATION_GELU; activation <= GAB_ACTIVATION_GELU_ERF; activation++)
            check(vk, set, ns[i], (i + activation) % 2, activation);
    check(vk, set, 200, false, GAB_ACTIVATION_CLAMPED);
}
GAB_TEST(apart) {
    gab_test_each_device(apart);
}

/* What is gated stands far behind its gates. */
static void far_apart(gab_vk *vk, gab_kernel_set set) {
    enum { N = 70, FIRST = 200, N_ROW = 2 };
    const uint32_t stride = gab_row_stride(FIRST + N);
    gab_test_random random = {3};
    float *x = gab_test_floats(&random, (size_t)N_ROW * stride, 1), *y = gab_test_alloc(4ul * N_ROW * stride),
          both[2 * N];
    double expected[N];
    const gab_gated op = {.x = gab_test_slice(vk, x, 4ul * N_ROW * stride),
                          .y = gab_test_slice(vk, NULL, 4ul * N_ROW * stride),
                          .n = N,
                          .x_stride = stride,
                          .y_stride = stride,
                          .up_first = FIRST,
                          .activation = GAB_ACTIVATION_GELU};
    gab_kernel_context *context = gab_test_begin(vk, set, gab_test_step_of(vk, N_ROW, 0), N_ROW, 0);
    gab_gated_record(context, &op);
    gab_test_end(context);
    gab_test_read(vk, op.y, y, 4ul * N_ROW * stride);
    for (uint32_t r = 0; r < N_ROW; r++) {
        memcpy(both, x + r * stride, sizeof both / 2);
        memcpy(both + N, x + r * stride + FIRST, sizeof both / 2);
        gab_gated_reference(both, N, false, GAB_ACTIVATION_GELU, expected);
        gab_test_close(y + r * stride, expected, N, 1e-6, 1e-6, "gated far apart, row %u", r);
    }
    gab_test_release(vk);
}
GAB_TEST(far_apart) {
    gab_test_each_device(far_apart);
}

/* The functions alone, over the range in which they curve, value by value. */
static void functions(gab_vk *vk, gab_kernel_set set) {
    enum { N = 1001 };
    for (uint32_t activation = GAB_ACTIVATION_GELU; activation <= GAB_ACTIVATION_GELU_ERF; activation++) {
        float *x = gab_test_alloc(4ul * gab_row_stride(2 * N)), *y = gab_test_alloc(4ul * gab_row_stride(N));
        for (uint32_t i = 0; i < N; i++) {
            x[i] = (float)i * 0.016f - 8.0f;
            x[N + i] = 1.0f;
        }
        const gab_gated op = {.x = gab_test_slice(vk, x, 4ul * gab_row_stride(2 * N)),
                              .y = gab_test_slice(vk, NULL, 4ul * gab_row_stride(N)),
                              .n = N,
                              .x_stride = gab_row_stride(2 * N),
                              .y_stride = gab_row_stride(N),
                              .activation = activation};
        gab_kernel_context *context = gab_test_begin(vk, set, gab_test_step_of(vk, 1, 0), 1, 0);
        gab_gated_record(context, &op);
        gab_test_end(context);
        gab_test_read(vk, op.y, y, 4ul * gab_row_stride(N));
        for (uint32_t i = 0; vk->executes && i < N; i++) {
            const double expected = gab_activation_reference(activation, (double)x[i], 1);
            if (!(fabs((double)y[i] - expected) < 1e-6))
                FAIL("activation %u of %g is %g, expected %g", activation, (double)x[i], (double)y[i], expected);
        }
        gab_test_release(vk);
    }
}
GAB_TEST(functions) {
    gab_test_each_device(functions);
}

/* A product whose outputs are gates and what they gate, by every variant, of one weight in turn and of two. */
static void check_product(gab_vk *vk, gab_kernel_set set, uint32_t n, uint32_t n_weight, uint32_t n_shard,
                          uint32_t n_plan) {
    enum { N_COL = 96 };
    const uint32_t n_step = n_plan > 1 ? n_plan - 1 : 1, stride = gab_row_stride(2 * n), y_stride = gab_row_stride(n);
    gab_test_random random = {n + n_plan};
    gab_weight weights[2];
    float *values[2];
    for (uint32_t i = 0; i < n_weight; i++) {
        gab_test_weight made =
            gab_test_weight_make(vk, i ? GAB_DTYPE_F16 : GAB_DTYPE_Q8_0, 2 * n / n_weight, N_COL, n_shard, &random);
        weights[i] = made.weight;
        values[i] = made.values;
    }
    const uint32_t x_stride = gab_row_stride(N_COL);
    float *x = gab_test_floats(&random, (size_t)(n_plan + 31) / 32 * 32 * x_stride, 0.3f);
    for (uint32_t i = 0; i < n_plan * x_stride; i++)
        if (i % x_stride >= N_COL) x[i] = 0;
    const gab_gated gated = {.x = gab_test_slice(vk, NULL, 4ul * n_plan * stride),
                             .y = gab_test_slice(vk, NULL, 4ul * n_plan * y_stride),
                             .n = n,
                             .x_stride = stride,
                             .y_stride = y_stride,
                             .in_turn = n_weight == 1,
                             .activation = GAB_ACTIVATION_SILU};
    const gab_matmul op = {.weight = weights,
                           .n_weight = n_weight,
                           .x = gab_test_slice(vk, x, 4ul * ((n_plan + 31) / 32 * 32) * x_stride),
                           .y = gated.x,
                           .x_stride = x_stride,
                           .y_stride = stride,
                           .gated = &gated};
    gab_kernel_context *context = gab_test_begin(vk, set, gab_test_step_of(vk, n_step, 0), n_plan, 0);
    gab_matmul_record(context, &op);
    gab_test_end(context);
    float *y = gab_test_alloc(4ul * n_plan * y_stride), *raw = gab_test_alloc(4ul * 2 * n);
    double *expected = gab_test_alloc(16ul * n);
    gab_test_read(vk, gated.y, y, 4ul * n_plan * y_stride);
    for (uint32_t r = 0; r < n_step; r++) {
        for (uint32_t i = 0; i < n_weight; i++)
            gab_matmul_reference(values[i], 2 * n / n_weight, N_COL, x + (size_t)r * x_stride, NULL,
                                 GAB_ACTIVATION_NONE, false, expected + i * n);
        for (uint32_t i = 0; i < 2 * n; i++) raw[i] = (float)expected[i];
        gab_gated_reference(raw, n, n_weight == 1, GAB_ACTIVATION_SILU, expected);
        gab_test_close(y + (size_t)r * y_stride, expected, n, 2e-6, 5e-6,
                       "product of %u gates, %u weights, column %u of %u", n, n_weight, r, n_plan);
    }
    for (uint32_t i = n_step * y_stride; i < n_plan * y_stride; i++) CHECK(y[i] == 0);
    gab_test_release(vk);
}

static void by_products(gab_vk *vk, gab_kernel_set set) {
    const gab_operation operation = GAB_OP_MATVEC + GAB_DTYPE_Q8_0;
    uint32_t n;
    const gab_variant *variants = gab_variants(operation, &n);
    for (uint32_t v = 0; v < n; v++) {
        if (variants[v].lane != set.lane || !gab_variant_usable(vk, &variants[v], false)) continue;
        set.choice[operation] = (uint8_t)v;
        check_product(vk, set, 33, 1, 1, 1);
        check_product(vk, set, 65, 1, 3, 4);
        check_product(vk, set, 36, 2, 2, 2);
    }
    check_product(vk, set, 65, 1, 2, 40);
    check_product(vk, set, 36, 2, 1, 9);
}
GAB_TEST(by_products) {
    gab_test_each_device(by_products);
}

/* Logits that are limited. */
static void limited(gab_vk *vk, gab_kernel_set set) {
    enum { N_ROW = 70, N_COL = 96 };
    gab_test_random random = {3};
    const uint32_t stride = gab_row_stride(N_ROW);
    gab_test_weight w = gab_test_weight_make(vk, GAB_DTYPE_F32, N_ROW, N_COL, 1, &random);
    float *x = gab_test_floats(&random, gab_row_stride(N_COL), 1), *y = gab_test_alloc(4ul * stride);
    double expected[N_ROW];
    gab_matmul op = {.weight = &w.weight,
                     .x = gab_test_slice(vk, x, 4ul * gab_row_stride(N_COL)),
                     .y = gab_test_slice(vk, NULL, 4ul * stride),
                     .x_stride = gab_row_stride(N_COL),
                     .y_stride = stride,
                     .activation = GAB_ACTIVATION_SOFTCAP,
                     .limit = 5};
    gab_kernel_context *context = gab_test_begin(vk, set, gab_test_step_of(vk, 1, 0), 1, 0);
    gab_matmul_record(context, &op);
    gab_test_end(context);
    gab_test_read(vk, op.y, y, 4ul * stride);
    gab_matmul_reference(w.values, N_ROW, N_COL, x, NULL, GAB_ACTIVATION_NONE, false, expected);
    for (uint32_t i = 0; i < N_ROW; i++) expected[i] = gab_activation_reference(GAB_ACTIVATION_SOFTCAP, expected[i], 5);
    gab_test_close(y, expected, N_ROW, 1e-6, 1e-6, "limited");
    gab_test_release(vk);
}
GAB_TEST(limited) {
    gab_test_each_device(limited);
}

GAB_TEST_MAIN()
