/* Rotary positions: frequencies of every scaling against recorded ones, the table, the kernel against its reference,
 * alone and in the products' epilogues. */
#include <math.h>

#include "kernels/matmul.h"
#include "kv_check.h"
#include "tensor/quant.h"

/* ---- frequencies and table ---- */

/* Of transformers 5.12's ROPE_INIT_FUNCTIONS in float64. */
GAB_TEST(frequencies) {
    static const float divisors[] = {1, 1, 2.5f, 8};
    const gab_rope_scaling plain = {.n_turn = 4, .base = 10000};
    gab_rope_scaling s = plain;
    CHECK(gab_rope_frequency(&s, 0) == 1);
    CHECK(fabs(gab_rope_frequency(&s, 3) - 1e-3) < 1e-15);
    s.factor = 4;
    CHECK(fabs(gab_rope_frequency(&s, 1) - 0.025) < 1e-15);
    s = plain;
    s.divisors = divisors;
    CHECK(fabs(gab_rope_frequency(&s, 2) - 0.01 / 2.5) < 1e-15);
    s = (gab_rope_scaling){
        .n_turn = 8, .base = 10000, .factor = 4, .yarn = true, .n_ctx_original = 128, .beta_fast = 32, .beta_slow = 1};
    static const double yarn[] = {1.0,    0.23717082451262847,   0.05,    0.007905694150420948,
                                  0.0025, 0.0007905694150420947, 0.00025, 7.905694150420948e-05};
    for (uint32_t i = 0; i < 8; i++)
        if (!(fabs(gab_rope_frequency(&s, i) / yarn[i] - 1) < 1e-9))
            FAIL("YaRN: frequency %u is %.12g, expected %.12g", i, gab_rope_frequency(&s, i), yarn[i]);
}

/* Every position up to 131071 whose page or place is at an edge, and some between: the sum of two angles is as good as
 * f32 goes. */
GAB_TEST(table) {
    const gab_rope_scaling s = {.n_turn = 16, .base = 500000, .magnitude = 1.25};
    const uint32_t n_position = 131072;
    float *table = gab_test_alloc(4 * gab_rope_table_floats(s.n_turn, n_position));
    gab_rope_table_fill(&s, n_position, table);
    for (uint32_t position = 0; position < n_position; position += position % 64 == 63 || position % 5 ? 1 : 37)
        for (uint32_t i = 0; i < s.n_turn; i++) {
            const float *a = table + 2 * (position % GAB_PAGE * s.n_turn + i);
            const float *b = table + 2 * ((GAB_PAGE + position / GAB_PAGE) * s.n_turn + i);
            const double angle = position * gab_rope_frequency(&s, i);
            CHECK(fabs((double)(a[0] * b[0] - a[1] * b[1]) - 1.25 * cos(angle)) < 4e-7);
            CHECK(fabs((double)(a[1] * b[0] + a[0] * b[1]) - 1.25 * sin(angle)) < 4e-7);
        }
}

/* ---- the kernel ---- */

typedef struct shape {
    uint32_t head_dim, n_head, n_head_kv, n_turn;
    bool norm, f16, norm_values, queries_alone;
    float temperature;
} shape;

typedef struct bench {
    shape s;
    gab_rope_scaling scaling;
    gab_rope rope;
    gab_kv_check kv;
    gab_step *step;
    float *q_norm, *k_norm;
    uint32_t k_offset, v_offset, n, stride;
} bench;

enum { N_PLAN = 5, N_STEP = 4, N_POSITION = 1000, TEMPERATURE_STEP = 64 };
static const uint32_t positions[N_STEP] = {0, 63, 64, 999};

static bench bench_make(gab_vk *vk, const shape *s, gab_test_random *random) {
    bench b = {.s = *s,
               .scaling = {.n_turn = s->n_turn, .base = 10000, .magnitude = 1.1},
               .k_offset = s->n_head * s->head_dim,
               .v_offset = (s->n_head + s->n_head_kv) * s->head_dim,
               .n = (s->n_head + 2 * s->n_head_kv) * s->head_dim,
               .step = gab_test_alloc(sizeof *b.step)};
    const uint64_t n = gab_rope_table_floats(s->n_turn, N_POSITION);
    float *table = gab_test_alloc(4 * n);
    b.stride = gab_row_stride(b.n);
    b.kv = gab_kv_check_make(vk, s->n_head_kv, s->head_dim, s->f16, 2, N_POSITION, 0, random);
    b.q_norm = gab_test_floats(random, s->head_dim, 1);
    b.k_norm = gab_test_floats(random, s->head_dim, 1);
    gab_rope_table_fill(&b.scaling, N_POSITION, table);
    b.rope = (gab_rope){.table = gab_test_slice(vk, table, 4 * n),
                        .n_turn = s->n_turn,
                        .norm = s->norm,
                        .norm_values = s->norm_values,
                        .queries_alone = s->queries_alone,
                        .temperature = s->temperature,
                        .temperature_step = s->temperature > 0 ? TEMPERATURE_STEP : 0,
                        .q_norm = gab_test_slice(vk, b.q_norm, 4ul * s->head_dim),
                        .k_norm = gab_test_slice(vk, b.k_norm, 4ul * s->head_dim),
                        .eps = 1e-6f};
    b.step->n_row = N_STEP;
    for (uint32_t i = 0; i < N_STEP; i++) b.step->rows[i] = (gab_step_row){.slot = i % 2, .position = positions[i]};
    return b;
}

static gab_kv_write write_of(const bench *b, gab_slice x) {
    return (gab_kv_write){
        .kv = b->kv.layer, .x = x, .x_stride = b->stride, .k_offset = b->k_offset, .v_offset = b->v_offset};
}

/* Compares a head of the cache with what is expected there. */
static void check_cached(const bench *b, const uint32_t *words, uint32_t row, uint32_t head, const double *expected,
                         const char *what) {
    const uint32_t padded = gab_head_dim_padded(b->s.head_dim), n_word = b->s.f16 ? padded / 2 : padded;
    const gab_step_row *r = &b->step->rows[row];
    const uint32_t page = gab_kv_check_table(&b->kv, r->slot)[r->position / GAB_PAGE];
    const uint32_t *from = words + ((page * b->s.n_head_kv + head) * GAB_PAGE + r->position % GAB_PAGE) * n_word;
    float got[512];
    for (uint32_t d = 0; d < b->s.head_dim; d++)
        if (b->s.f16)
            got[d] = gab_f16_to_f32((uint16_t)(from[d / 2] >> d % 2 * 16));
        else
            memcpy(&got[d], &from[d], sizeof got[d]);
    const double bound = b->s.f16 ? 6e-4 : 2e-6;
    gab_test_close(got, expected, b->s.head_dim, bound, bound, "%s of head %u, head_dim %u, norm %d, position %u", what,
                   head, b->s.head_dim, b->s.norm, r->position);
}

static void norm_plainly(double *x, uint32_t n) {
    double sum = 0;
    for (uint32_t i = 0; i < n; i++) sum += x[i] * x[i];
    for (uint32_t i = 0; i < n; i++) x[i] /= sqrt(sum / n + 1e-6);
}

/* x: what the product gave; q: what is there now. */
static void check_rows(gab_vk *vk, const bench *b, const double *x, const float *q) {
    uint32_t *keys = gab_test_alloc(4ul * b->kv.n_word), *values = gab_test_alloc(4ul * b->kv.n_word);
    double head[512];
    gab_test_read(vk, b->kv.layer.keys, keys, 4ul * b->kv.n_word);
    gab_test_read(vk, b->kv.layer.values, values, 4ul * b->kv.n_word);
    for (uint32_t r = 0; r < N_STEP; r++)
        for (uint32_t h = 0; h < b->s.n_head + 2 * b->s.n_head_kv; h++) {
            const uint32_t at = r * b->stride + h * b->s.head_dim, kv_head = h - b->s.n_head;
            const bool is_query = h < b->s.n_head, is_value = !is_query && kv_head >= b->s.n_head_kv;
            memcpy(head, x + at, b->s.head_dim * sizeof *head);
            if (!is_query && b->s.queries_alone) continue;
            if (is_value && b->s.norm_values) norm_plainly(head, b->s.head_dim);
            if (!is_value)
                gab_rope_reference(&b->scaling,
                                   !b->s.norm ? NULL
                                   : is_query ? b->q_norm
                                              : b->k_norm,
                                   1e-6, b->s.head_dim, positions[r], head);
            for (uint32_t d = 0; is_query && d < b->s.head_dim; d++)
                head[d] *= 1 + (double)b->s.temperature * log(1 + positions[r] / TEMPERATURE_STEP);
            if (is_query)
                gab_test_close(q + at, head, b->s.head_dim, 2e-6, 2e-6, "query head %u, head_dim %u, norm %d, row %u",
                               h, b->s.head_dim, b->s.norm, r);
            else
                check_cached(b, is_value ? values : keys, r, is_value ? kv_head - b->s.n_head_kv : kv_head, head,
                             is_value ? "value" : "key");
        }
}

static void check(gab_vk *vk, gab_kernel_set set, const shape *s) {
    gab_test_random random = {s->head_dim};
    bench b = bench_make(vk, s, &random);
    float *x = gab_test_floats(&random, (size_t)N_PLAN * b.stride, 1), *y = gab_test_alloc(4ul * N_PLAN * b.stride);
    double *before = gab_test_alloc(8ul * N_PLAN * b.stride);
    for (uint32_t i = 0; i < N_PLAN * b.stride; i++) before[i] = (double)x[i];
    const gab_kv_write write = write_of(&b, gab_test_slice(vk, x, 4ul * N_PLAN * b.stride));
    gab_kernel_context *context = gab_test_begin(vk, set, gab_kv_check_step(vk, &b.kv, b.step), N_PLAN, 0);
    gab_rope_record(context, &b.rope, &write);
    gab_test_end(context);
    gab_test_read(vk, write.x, y, 4ul * N_PLAN * b.stride);
    check_rows(vk, &b, before, y);
    gab_test_same(y + (size_t)N_STEP * b.stride, x + (size_t)N_STEP * b.stride, b.stride, "beyond the step's rows");
    for (uint32_t r = 0; s->queries_alone && r < N_STEP; r++)
        gab_test_same(y + r * b.stride + b.k_offset, x + r * b.stride + b.k_offset, b.n - b.k_offset, "no keys");
    gab_test_release(vk);
}

static void alone(gab_vk *vk, gab_kernel_set set) {
    static const shape shapes[] = {
        {64, 4, 2, 32, false, true},
        {64, 3, 1, 32, true, true},
        {128, 2, 2, 64, true, false},
        {80, 2, 1, 20, false, true},
        {6, 3, 1, 3, true, false},
        {24, 2, 2, 6, false, false},
        {256, 1, 1, 128, true, true},
        {2, 1, 1, 1, false, true},
        {64, 2, 1, 32, true, true, true},
        {48, 2, 2, 24, true, false, true},
        {32, 3, 1, 16, true, false, true, true},
        {64, 2, 1, 32, false, false, .temperature = 0.4f},
    };
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) check(vk, set, &shapes[i]);
}
GAB_TEST(alone) {
    gab_test_each_device(alone);
}

/* ---- in products ---- */

/* Queries and keys in one weight, values in another of another type; or all in one, in shards. */
static void check_product(gab_vk *vk, gab_kernel_set set, const shape *s, uint32_t n_weight, uint32_t n_shard,
                          uint32_t n_plan) {
    enum { N_COL = 96 };
    gab_test_random random = {s->head_dim + n_shard};
    bench b = bench_make(vk, s, &random);
    gab_weight weights[2];
    const uint32_t n_rows[2] = {n_weight == 1 ? b.n : b.v_offset, b.n - b.v_offset}, x_stride = gab_row_stride(N_COL);
    const uint32_t n_x = (n_plan + 31) / 32 * 32;
    float *x = gab_test_floats(&random, (size_t)n_x * x_stride, 0.2f), *bias = gab_test_floats(&random, b.n, 1);
    float *y = gab_test_alloc(4ul * n_plan * b.stride);
    double *expected = gab_test_alloc(8ul * n_plan * b.stride);
    for (uint32_t i = 0; i < n_x * x_stride; i++)
        if (i % x_stride >= N_COL) x[i] = 0;
    for (uint32_t i = 0, first = 0; i < n_weight; first += n_rows[i++]) {
        gab_test_weight made =
            gab_test_weight_make(vk, i ? GAB_DTYPE_F16 : GAB_DTYPE_Q8_0, n_rows[i], N_COL, n_shard, &random);
        weights[i] = made.weight;
        for (uint32_t r = 0; r < N_STEP; r++)
            gab_matmul_reference(made.values, n_rows[i], N_COL, x + (size_t)r * x_stride, bias + first,
                                 GAB_ACTIVATION_NONE, false, expected + r * b.stride + first);
    }
    const gab_slice bias_slice = gab_test_slice(vk, bias, 4ul * b.n);
    gab_matmul op = {.weight = weights,
                     .n_weight = n_weight,
                     .x = gab_test_slice(vk, x, 4ul * n_x * x_stride),
                     .y = gab_test_slice(vk, NULL, 4ul * n_plan * b.stride),
                     .x_stride = x_stride,
                     .y_stride = b.stride,
                     .bias = &bias_slice,
                     .rope = &b.rope};
    const gab_kv_write write = write_of(&b, op.y);
    op.kv = &write;
    gab_kernel_context *context = gab_test_begin(vk, set, gab_kv_check_step(vk, &b.kv, b.step), n_plan, 0);
    gab_matmul_record(context, &op);
    gab_test_end(context);
    gab_test_read(vk, op.y, y, 4ul * n_plan * b.stride);
    check_rows(vk, &b, expected, y);
    gab_test_release(vk);
}

static void by_products(gab_vk *vk, gab_kernel_set set) {
    const gab_operation operation = GAB_OP_MATVEC + GAB_DTYPE_Q8_0;
    static const shape whole = {64, 3, 1, 32, false, true}, part = {48, 2, 2, 8, false, false},
                       norm = {32, 2, 1, 16, true, true},
                       temperature = {32, 2, 1, 16, false, true, .temperature = 0.1f};
    uint32_t n;
    const gab_variant *variants = gab_variants(operation, &n);
    for (uint32_t v = 0; v < n; v++) {
        if (variants[v].lane != set.lane || !gab_variant_usable(vk, &variants[v], false)) continue;
        set.choice[operation] = (uint8_t)v;
        check_product(vk, set, &whole, 1, 1, 4);
        check_product(vk, set, &part, 1, 3, 8);
        check_product(vk, set, &whole, 2, 1, 4);
        check_product(vk, set, &norm, 2, 1, 4);
        check_product(vk, set, &temperature, 1, 1, 4);
    }
    check_product(vk, set, &part, 2, 2, 32);
}
GAB_TEST(by_products) {
    gab_test_each_device(by_products);
}

GAB_TEST_MAIN()
