/* Mixtures of experts: which experts a row gets, the pairs sorted by expert, the products with them by every variant
 * and weight type, and the sums of their results. */
#include <math.h>

#include "kernels/matmul.h"
#include "vk_test.h"

/* ---- which experts ---- */

/* whole: logits are whole numbers, of which many are equal. */
static void check_route(gab_vk *vk, gab_kernel_set set, uint32_t n_expert, uint32_t n_used, bool normalize,
                        bool whole) {
    enum { N_PLAN = 3, N_STEP = 2 };
    gab_test_random random = {n_expert};
    const uint32_t stride = gab_row_stride(n_expert);
    float *logits = gab_test_floats(&random, (size_t)N_PLAN * stride, 3);
    for (uint32_t i = 0; i < N_PLAN * stride && whole; i++) logits[i] = roundf(logits[i]);
    const gab_expert_route op = {
        .experts = {.route = gab_test_slice(vk, NULL, sizeof(gab_route)), .n_expert = n_expert, .n_used = n_used},
        .logits = gab_test_slice(vk, logits, 4ul * N_PLAN * stride),
        .logits_stride = stride,
        .normalize = normalize,
        .factor = 1.5f};
    gab_route *route = gab_test_alloc(sizeof *route);
    gab_kernel_context *context = gab_test_begin(vk, set, gab_test_step_of(vk, N_STEP, 0), N_PLAN, 0);
    gab_expert_route_record(context, &op);
    gab_test_end(context);
    gab_test_read(vk, op.experts.route, route, sizeof *route);
    for (uint32_t r = 0; r < N_STEP && vk->executes; r++) {
        uint32_t experts[GAB_USED_MAX];
        double weights[GAB_USED_MAX];
        gab_expert_route_reference(logits + (size_t)r * stride, n_expert, n_used, normalize, 1.5, experts, weights);
        gab_test_same(route->expert + r * n_used, experts, n_used, "%u of %u experts, row %u", n_used, n_expert, r);
        gab_test_close(route->weight + r * n_used, weights, n_used, 2e-6, 2e-6, "weights of %u of %u experts", n_used,
                       n_expert);
    }
    for (uint32_t i = 0; i < N_PLAN * n_used; i++) CHECK(i < N_STEP * n_used || route->weight[i] == 0);
    gab_test_release(vk);
}

static void route(gab_vk *vk, gab_kernel_set set) {
    static const uint32_t sizes[][2] = {{1, 1}, {2, 2}, {8, 2}, {33, 4}, {128, 8}, {512, 16}};
    for (uint32_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        check_route(vk, set, sizes[i][0], sizes[i][1], true, false);
        check_route(vk, set, sizes[i][0], sizes[i][1], false, true);
    }
}
GAB_TEST(route) {
    gab_test_each_device(route);
}

/* ---- products ---- */

enum { N_EXPERT = 6, N_USED = 2 };

typedef struct product_check {
    gab_dtype type;
    uint32_t n_row, n_col; /* of an expert */
    uint32_t n_plan, n_step, n_shard;
    bool one_expert; /* all rows have the same two, else any */
    bool shared_x, bias;
} product_check;

/* The experts of each pair; those of a row differ. */
static void choose(const product_check *c, gab_test_random *random, gab_route *route) {
    for (uint32_t r = 0; r < c->n_step; r++) {
        const uint32_t first = c->one_expert ? 4 : gab_test_random_u32(random) % N_EXPERT;
        const uint32_t second = c->one_expert ? 1 : gab_test_random_u32(random) % (N_EXPERT - 1);
        route->expert[r * N_USED] = first;
        route->expert[r * N_USED + 1] = (first + 1 + second) % N_EXPERT;
    }
}

/* Every pair is in one run, which is of its expert and not too long. */
static void check_runs(const gab_vk *vk, const product_check *c, const gab_route *route) {
    uint8_t *seen = gab_test_alloc(GAB_PAIR_MAX);
    uint32_t n = 0;
    if (!vk->executes) return;
    for (uint32_t i = 0; i < route->n_run; i++) {
        const gab_route_run *run = &route->runs[i];
        CHECK(run->first == n && run->count >= 1 && run->count <= GAB_RUN);
        for (uint32_t k = 0; k < run->count; k++, n++) {
            CHECK(route->order[n] < c->n_step * N_USED && route->expert[route->order[n]] == run->expert);
            CHECK(!seen[route->order[n]]++);
        }
    }
    CHECK(n == c->n_step * N_USED);
}

static void compare(const product_check *c, const gab_variant *variant, const float *values, const float *x,
                    uint32_t x_stride, const float *bias, const gab_route *route, const float *y, uint32_t y_stride) {
    const double error = variant->error > 0 ? 4 * (double)variant->error : 2e-6;
    double *expected = gab_test_alloc(8ul * c->n_row), *size = gab_test_alloc(8ul * c->n_row);
    for (uint32_t pair = 0; pair < c->n_step * N_USED; pair++) {
        const uint32_t e = route->expert[pair];
        const float *w = values + (size_t)e * c->n_row * c->n_col;
        const float *from = x + (size_t)(c->shared_x ? pair / N_USED : pair) * x_stride;
        for (uint32_t r = 0; r < c->n_row; r++) {
            size[r] = 0;
            for (uint32_t k = 0; k < c->n_col; k++)
                size[r] += (double)w[r * c->n_col + k] * w[r * c->n_col + k] * from[k] * from[k];
            size[r] = sqrt(size[r] + (c->bias ? 1 : 0));
        }
        gab_matmul_reference(w, c->n_row, c->n_col, from, c->bias ? bias + (size_t)e * c->n_row : NULL,
                             GAB_ACTIVATION_NONE, false, expected);
        gab_test_close_sums(y + (size_t)pair * y_stride, expected, size, c->n_row, error, 6 * error,
                            "%s: %s %ux%u, pair %u of expert %u, plan of %u, shards %u", variant->name,
                            gab_dtype_get(c->type)->name, c->n_row, c->n_col, pair, e, c->n_plan, c->n_shard);
    }
    for (uint32_t i = c->n_step * N_USED * y_stride; i < c->n_plan * N_USED * y_stride; i++) CHECK(y[i] == 0);
}

static void check_product(gab_vk *vk, gab_kernel_set set, const product_check *c, const gab_variant *variant) {
    gab_test_random random = {c->n_row * 31 + c->n_plan};
    const uint32_t x_stride = gab_row_stride(c->n_col), y_stride = gab_row_stride(c->n_row);
    const uint32_t n_x = c->n_plan * (c->shared_x ? 1 : N_USED), n_y = c->n_plan * N_USED;
    gab_test_weight made = gab_test_weight_make(vk, c->type, N_EXPERT * c->n_row, c->n_col, c->n_shard, &random);
    made.weight.n_expert = N_EXPERT;
    gab_route *route = gab_test_alloc(sizeof *route);
    choose(c, &random, route);
    float *x = gab_test_pad_rows(gab_test_floats(&random, (size_t)n_x * c->n_col, 1), n_x, c->n_col, x_stride);
    float *bias = gab_test_floats(&random, (size_t)N_EXPERT * c->n_row, 1);
    const gab_slice bias_slice = gab_test_slice(vk, bias, 4ul * N_EXPERT * c->n_row);
    const gab_experts experts = {.route = gab_test_slice(vk, route, sizeof *route),
                                 .n_expert = N_EXPERT,
                                 .n_used = N_USED,
                                 .shared_x = c->shared_x};
    const gab_matmul op = {.weight = &made.weight,
                           .x = gab_test_slice(vk, x, 4ul * n_x * x_stride),
                           .y = gab_test_slice(vk, NULL, 4ul * n_y * y_stride),
                           .x_stride = x_stride,
                           .y_stride = y_stride,
                           .bias = c->bias ? &bias_slice : NULL,
                           .experts = &experts};
    gab_kernel_context *context = gab_test_begin(vk, set, gab_test_step_of(vk, c->n_step, 0), c->n_plan, 0);
    if (gab_expert_in_runs(context)) gab_expert_runs_record(context, &experts);
    gab_record_barrier(context->recorder);
    gab_matmul_record(context, &op);
    gab_test_end(context);
    float *y = gab_test_alloc(4ul * n_y * y_stride);
    gab_test_read(vk, op.y, y, 4ul * n_y * y_stride);
    if (c->n_plan > GAB_MATVEC_COLUMNS_MAX) {
        gab_test_read(vk, experts.route, route, sizeof *route);
        check_runs(vk, c, route);
    }
    compare(c, variant, made.values, x, x_stride, bias, route, y, y_stride);
    gab_test_release(vk);
}

/* By every usable shader of the operation, in its first variant: the others differ in sizes alone. */
static void each_shader(gab_vk *vk, gab_kernel_set set, const product_check *c, gab_operation first) {
    const gab_operation operation = first + c->type;
    gab_shader_id last = GAB_SHADER_COUNT;
    uint32_t n;
    const gab_variant *variants = gab_variants(operation, &n);
    for (uint32_t v = 0; v < n; v++) {
        if (variants[v].lane != set.lane || !gab_variant_usable(vk, &variants[v], false) || variants[v].shader == last)
            continue;
        last = variants[v].shader;
        set.choice[operation] = (uint8_t)v;
        check_product(vk, set, c, &variants[v]);
    }
}

/* By the one that is chosen. */
static void chosen_variant(gab_vk *vk, gab_kernel_set set, const product_check *c, gab_operation first) {
    check_product(vk, set, c, gab_variant_of(&set, first + c->type));
}

/* The forms that shaders read weights in. */
static const gab_dtype forms[] = {GAB_DTYPE_F32,  GAB_DTYPE_F16,  GAB_DTYPE_Q8_0, GAB_DTYPE_Q4_0,
                                  GAB_DTYPE_Q4_K, GAB_DTYPE_Q6_K, GAB_DTYPE_MXFP4};

static void each_form(gab_vk *vk, gab_kernel_set set, product_check *c, gab_operation first) {
    for (uint32_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        c->type = forms[i];
        c->n_col = gab_dtype_get(c->type)->block_size == 256 ? 512 : 96;
        chosen_variant(vk, set, c, first);
    }
}

/* Few rows: each pair on its own. Every form by one shader, one type by every one. */
static void few(gab_vk *vk, gab_kernel_set set) {
    product_check c = {.n_row = 34, .n_plan = 4, .n_step = 3, .n_shard = 3, .shared_x = true, .bias = true};
    each_form(vk, set, &c, GAB_OP_MATVEC);
    c = (product_check){.type = GAB_DTYPE_Q8_0, .n_row = 67, .n_col = 64, .n_plan = 1, .n_step = 1, .n_shard = 1};
    each_shader(vk, set, &c, GAB_OP_MATVEC);
}
GAB_TEST(few) {
    gab_test_each_device(few);
}

/* Many: run by run. Few rows, of which some experts get none, with shards of half an expert. */
static void many(gab_vk *vk, gab_kernel_set set) {
    product_check c = {.n_row = 66, .n_plan = 32, .n_step = 9, .n_shard = 12, .shared_x = true, .bias = true};
    each_form(vk, set, &c, GAB_OP_MATMUL_SMALL);
    c = (product_check){.type = GAB_DTYPE_Q8_0, .n_row = 5, .n_col = 64, .n_plan = 128, .n_step = 101, .n_shard = 3};
    each_shader(vk, set, &c, GAB_OP_MATMUL);
}
GAB_TEST(many) {
    gab_test_each_device(many);
}

/* More rows of one expert than a run holds. */
static void all_to_one(gab_vk *vk, gab_kernel_set set) {
    product_check c = {.type = GAB_DTYPE_F16, .n_row = 33, .n_col = 40, .n_plan = 512, .n_step = 300, .n_shard = 2};
    c.one_expert = c.shared_x = true;
    chosen_variant(vk, set, &c, GAB_OP_MATMUL);
}
GAB_TEST(all_to_one) {
    gab_test_each_device(all_to_one);
}

/* ---- sums ---- */

static void check_sum(gab_vk *vk, gab_kernel_set set, uint32_t n_col, uint32_t n_used) {
    enum { N_PLAN = 5, N_STEP = 4 };
    gab_test_random random = {n_col};
    const uint32_t stride = gab_row_stride(n_col) + 32;
    gab_route *route = gab_test_alloc(sizeof *route);
    float *x = gab_test_floats(&random, (size_t)N_PLAN * n_used * stride, 1);
    float *before = gab_test_floats(&random, (size_t)N_PLAN * stride, 1), *y = gab_test_alloc(4ul * N_PLAN * stride);
    double *expected = gab_test_alloc(8ul * n_col);
    for (uint32_t i = 0; i < N_PLAN * n_used; i++) route->weight[i] = gab_test_random_normal(&random);
    const gab_expert_sum op = {.experts = {.route = gab_test_slice(vk, route, sizeof *route), .n_used = n_used},
                               .x = gab_test_slice(vk, x, 4ul * N_PLAN * n_used * stride),
                               .y = gab_test_slice(vk, before, 4ul * N_PLAN * stride),
                               .n_col = n_col,
                               .x_stride = stride,
                               .y_stride = stride};
    gab_kernel_context *context = gab_test_begin(vk, set, gab_test_step_of(vk, N_STEP, 0), N_PLAN, 0);
    gab_expert_sum_record(context, &op);
    gab_test_end(context);
    gab_test_read(vk, op.y, y, 4ul * N_PLAN * stride);
    for (uint32_t r = 0; r < N_PLAN; r++) {
        const uint32_t n = r < N_STEP ? n_col : 0;
        for (uint32_t i = 0; i < n; i++) {
            expected[i] = (double)before[r * stride + i];
            for (uint32_t j = 0; j < n_used; j++)
                expected[i] += (double)route->weight[r * n_used + j] * x[((size_t)r * n_used + j) * stride + i];
        }
        if (n > 0) gab_test_close(y + (size_t)r * stride, expected, n, 1e-6, 1e-6, "sum of %u experts", n_used);
        gab_test_same(y + (size_t)r * stride + n, before + (size_t)r * stride + n, stride - n, "beyond the sum");
    }
    gab_test_release(vk);
}

static void sum(gab_vk *vk, gab_kernel_set set) {
    check_sum(vk, set, 1, 1);
    check_sum(vk, set, 65, 2);
    check_sum(vk, set, 200, 16);
}
GAB_TEST(sum) {
    gab_test_each_device(sum);
}

GAB_TEST_MAIN()
