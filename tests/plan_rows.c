/* Plans of a small model, filled by hand: a row's logits do not depend on what else is in the step. */
#include "model/model.h"
#include "run_test.h"

enum { VOCAB = 100, N_SLOT = 8, CONTEXT = 320, STRIDE = (CONTEXT + 63) / 64 };

/* Lengths that lie in one piece of the split attention, in two, at the ends of pages. */
static const uint32_t lengths[N_SLOT] = {5, 270, 64, 127, 17, 65, 33, 9};

typedef struct bench {
    gab_vk *vk;
    gab_gguf *gguf;
    gab_model *model;
    gab_kv_cache kv;
    gab_plans plans;
    int32_t tokens[N_SLOT + 1][CONTEXT];
} bench;

static const char *model_path(void) {
    static const char *path;
    const gguf_build_gpt2_config config = {
        .n_vocab = VOCAB, .n_ctx = CONTEXT, .n_embd = 64, .n_head = 2, .n_layer = 2, .n_ff = 64, .seed = 4};
    if (path) return path;
    gguf_build *b = gguf_build_new(3);
    gguf_build_gpt2(b, &config);
    path = gguf_build_temp(b);
    gguf_build_free(&b);
    return path;
}

static void bench_open(bench *b, gab_vk *vk, gab_kernel_set set, bool f16) {
    const gab_log log = gab_test_log();
    const gab_load_options load = {0};
    memset(b, 0, sizeof *b);
    b->vk = vk;
    CHECK_OK(gab_gguf_open(model_path(), &log, &b->gguf));
    CHECK_OK(gab_model_open(b->gguf, &log, &b->model));
    CHECK_OK(gab_model_load(b->model, vk, b->model->config.n_ctx, &load));
    const gab_model_config *c = &b->model->config;
    const gab_plan_sizes sizes = gab_model_sizes(b->model, CONTEXT);
    const gab_forward_pass pass = gab_model_pass(b->model);
    const uint32_t n_page = (N_SLOT + 1) * STRIDE; /* page p of slot s is s * STRIDE + STRIDE - 1 - p: not in order */
    CHECK_OK(gab_kv_cache_create(vk, c->kv, c->n_layer, f16, n_page, n_page, &b->kv));
    CHECK_OK(gab_plans_create(vk, &set, &sizes, &pass, &b->kv, 100, &b->plans));
    for (uint32_t s = 0; s <= N_SLOT; s++) gab_test_tokens(100 + s, VOCAB, b->tokens[s], CONTEXT);
}

static void bench_close(bench *b) {
    gab_plans_destroy(&b->plans);
    gab_kv_cache_destroy(&b->kv);
    gab_model_destroy(&b->model);
    gab_gguf_close(&b->gguf);
}

/* Rows of a slot, from a position on. */
typedef struct span {
    uint32_t slot, position, n;
} span;

/* Runs a step; the last row of each span is an output. logits: [n_span][VOCAB]. */
static void run(bench *b, uint32_t parity, const span *spans, uint32_t n_span, float *logits) {
    uint32_t *tables, depth = 0, stride, tile = gab_plan_tile_rows(&b->plans);
    uint64_t value = 0;
    gab_plan *plan;
    gab_step *m = gab_plan_mailbox(&b->plans, parity, &tables);
    m->n_row = m->n_work = 0;
    m->n_out = n_span;
    for (uint32_t i = 0; i < n_span; i++) {
        const span *s = &spans[i];
        for (uint32_t p = 0; p < STRIDE; p++) tables[s->slot * STRIDE + p] = s->slot * STRIDE + STRIDE - 1 - p;
        gab_attention_add_tiles(m, s->slot, m->n_row, s->n, s->position, tile);
        for (uint32_t r = 0; r < s->n; r++)
            m->rows[m->n_row + r] = (gab_step_row){
                .token = (uint32_t)b->tokens[s->slot][s->position + r], .slot = s->slot, .position = s->position + r};
        m->n_row += s->n;
        m->outs[i] = (gab_step_out){.row = m->n_row - 1, .slot = s->slot};
        if (s->position + s->n > depth) depth = s->position + s->n;
    }
    const gab_plan_shape shape = gab_plan_shape_for(&b->plans, m->n_row, n_span, depth, true);
    CHECK_OK(gab_plan_get(&b->plans, &shape, &plan));
    CHECK_OK(gab_plan_submit(&b->plans, plan, parity, NULL, &value));
    CHECK_OK(gab_plan_wait(&b->plans, plan, parity, value));
    const float *rows = gab_plan_logits(&b->plans, &stride);
    for (uint32_t i = 0; i < n_span; i++)
        memcpy(logits + (size_t)i * VOCAB, rows + (size_t)i * stride, VOCAB * sizeof *logits);
}

/* The prompt of every slot, and each one's next token alone. alone: [N_SLOT][VOCAB]. */
static void prepare(bench *b, float *alone) {
    float logits[VOCAB];
    for (uint32_t s = 0; s < N_SLOT; s++) run(b, 0, &(span){s, 0, lengths[s]}, 1, logits);
    for (uint32_t s = 0; s < N_SLOT; s++) run(b, 0, &(span){s, lengths[s], 1}, 1, alone + s * VOCAB);
    for (uint32_t s = 1; s < N_SLOT && b->vk->executes; s++)
        CHECK(gab_test_distance(alone + s * VOCAB, alone, VOCAB) > 0.1); /* slots differ, so a mix-up shows */
}

/* ---- decoding ---- */

static void decode_with(gab_vk *vk, gab_kernel_set set, bool f16) {
    static bench b;
    static float alone[N_SLOT * VOCAB], logits[N_SLOT * VOCAB];
    bench_open(&b, vk, set, f16);
    prepare(&b, alone);
    static const uint32_t sizes[] = {1, 2, 4, 8, 3, 7}; /* 3 of 4 and 7 of 8 rows: the rest is left of older steps */
    for (int i = 0; i < 6; i++)
        for (uint32_t parity = 0; parity < 2; parity++)
            for (uint32_t turn = 0; turn < 2; turn++) { /* slots in two orders */
                span spans[N_SLOT];
                for (uint32_t r = 0; r < sizes[i]; r++) {
                    uint32_t slot = turn ? N_SLOT - 1 - r : (3 * r + i) % N_SLOT;
                    spans[r] = (span){slot, lengths[slot], 1};
                }
                run(&b, parity, spans, sizes[i], logits);
                for (uint32_t r = 0; r < sizes[i]; r++)
                    if (vk->executes)
                        gab_test_same(logits + r * VOCAB, alone + spans[r].slot * VOCAB, VOCAB,
                                      "%s cache, parity %u, slot %u as row %u of %u", f16 ? "f16" : "f32", parity,
                                      spans[r].slot, r, sizes[i]);
            }
    bench_close(&b);
}

static void decode(gab_vk *vk, gab_kernel_set set) {
    decode_with(vk, set, true);
    decode_with(vk, set, false);
}
GAB_TEST(decoded_row_has_the_same_bits_in_any_company) {
    gab_test_each_device(decode);
}

/* ---- prompts beside rows that are decoded ---- */

static void mixed_with(gab_vk *vk, gab_kernel_set set, bool f16) {
    static bench b;
    static float alone[N_SLOT * VOCAB], prompt[VOCAB], logits[(N_SLOT + 1) * VOCAB], again[(N_SLOT + 1) * VOCAB];
    const double limit = 1e-4;
    bench_open(&b, vk, set, f16);
    prepare(&b, alone);
    run(&b, 0, &(span){N_SLOT, 0, 70}, 1, prompt);
    static const uint32_t n_decode[] = {1, 4, 8};
    for (int i = 0; i < 3; i++) {
        span spans[N_SLOT + 1];
        for (uint32_t r = 0; r < n_decode[i]; r++) spans[r] = (span){r, lengths[r], 1};
        spans[n_decode[i]] = (span){N_SLOT, 0, 70};
        run(&b, 0, spans, n_decode[i] + 1, logits);
        run(&b, 1, spans, n_decode[i] + 1, again);
        if (!vk->executes) continue;
        gab_test_same(again, logits, (n_decode[i] + 1) * VOCAB, "parity 1 of a mixed step");
        for (uint32_t r = 0; r <= n_decode[i]; r++) {
            const float *expected = r < n_decode[i] ? alone + r * VOCAB : prompt;
            double distance = gab_test_distance(logits + r * VOCAB, expected, VOCAB);
            if (distance > limit)
                FAIL("%s, %s cache: row %u of a step with %u decoded rows and a prompt differs by %g", vk->info.name,
                     f16 ? "f16" : "f32", r, n_decode[i], distance);
        }
    }
    bench_close(&b);
}

static void mixed(gab_vk *vk, gab_kernel_set set) {
    mixed_with(vk, set, true);
    mixed_with(vk, set, false);
}
GAB_TEST(prompt_and_decoded_rows_share_a_step) {
    gab_test_each_device(mixed);
}

/* ---- shapes ---- */

static bool shape_is(const gab_plans *plans, uint32_t n_row, uint32_t n_out, uint32_t depth, uint32_t rows,
                     uint32_t outs, uint32_t bucket) {
    gab_plan_shape shape = gab_plan_shape_for(plans, n_row, n_out, depth, false);
    return shape.n_row == rows && shape.n_out == outs && shape.depth == bucket && !shape.logits;
}

GAB_TEST(shapes_are_the_smallest_that_hold_a_step) {
    gab_plans plans = {.sizes = {.context = 20000}};
    CHECK(shape_is(&plans, 0, 1, 1, 0, 1, 256));
    CHECK(shape_is(&plans, 1, 1, 256, 1, 1, 256));
    CHECK(shape_is(&plans, 1, 1, 257, 1, 1, 1024));
    CHECK(shape_is(&plans, 1, 1, 1024, 1, 1, 1024));
    CHECK(shape_is(&plans, 2, 2, 1025, 2, 2, 4096));
    CHECK(shape_is(&plans, 3, 0, 4096, 4, 0, 4096));
    CHECK(shape_is(&plans, 5, 5, 4097, 8, 8, 16384));
    CHECK(shape_is(&plans, 9, 9, 16384, 32, 32, 16384));
    CHECK(shape_is(&plans, 33, 16, 16385, 128, 32, 20000)); /* no deeper than the context */
    CHECK(shape_is(&plans, 129, 32, 20000, 512, 32, 20000));
    CHECK(shape_is(&plans, 512, 1, 1, 512, 1, 256));
    plans.sizes.context = 100;
    CHECK(shape_is(&plans, 1, 1, 1, 1, 1, 100));
    CHECK(gab_plan_shape_for(&plans, 1, 1, 1, true).logits);
}

/* Of up to 8 rows: plans of more may be recorded again once the device's speed is known. */
static void replay(gab_vk *vk, gab_kernel_set set) {
    static bench b;
    float first[VOCAB], again[VOCAB];
    gab_plan *plan, *other;
    bench_open(&b, vk, set, true);
    run(&b, 0, &(span){2, 0, 8}, 1, first);
    run(&b, 0, &(span){2, 0, 8}, 1, again);
    if (vk->executes) gab_test_same(again, first, VOCAB, "the same step again");
    const gab_plan_shape shape = gab_plan_shape_for(&b.plans, 8, 1, 8, true);
    gab_plan_shape deeper = shape;
    deeper.depth = 64;
    CHECK_OK(gab_plan_get(&b.plans, &shape, &plan));
    CHECK_OK(gab_plan_get(&b.plans, &shape, &other));
    CHECK(plan == other && plan->lists[0].n_run == 2); /* recorded once */
    CHECK_OK(gab_plan_get(&b.plans, &deeper, &other));
    CHECK(plan != other);
    gab_plans_forget(&b.plans);
    CHECK(!b.plans.first && !gab_plan_find(&b.plans, &shape));
    run(&b, 1, &(span){2, 0, 8}, 1, again); /* recorded anew */
    if (vk->executes) gab_test_same(again, first, VOCAB, "after forgetting the plans");
    bench_close(&b);
}
GAB_TEST(plans_are_recorded_once_and_again_when_forgotten) {
    gab_test_each_device(replay);
}

/* One primary for all that is short beside a submit; the smaller the budget, the more of them, and each may be a submit
 * of its own: the numbers stay the same. */
static void primaries(gab_vk *vk, gab_kernel_set set) {
    static bench b;
    float first[VOCAB], again[VOCAB];
    gab_plan *plan;
    bench_open(&b, vk, set, true);
    const gab_plan_shape shape = gab_plan_shape_for(&b.plans, 8, 1, 8, true);
    CHECK_OK(gab_plan_get(&b.plans, &shape, &plan));
    CHECK(plan->lists[0].n_primary == 1 && plan->lists[1].n_primary == 1);
    run(&b, 0, &(span){2, 0, 8}, 1, first);
    gab_plans_forget(&b.plans);
    b.plans.submit_budget_ms *= 1e-6;
    CHECK_OK(gab_plan_get(&b.plans, &shape, &plan));
    CHECK(plan->lists[0].n_primary >= b.plans.sizes.n_layer + 2); /* a part of the plan each, or more */
    run(&b, 0, &(span){2, 0, 8}, 1, again);
    if (vk->executes) gab_test_same(again, first, VOCAB, "in many primaries");
    bench_close(&b);
}
GAB_TEST(short_parts_of_a_plan_share_a_primary) {
    gab_test_each_device(primaries);
}

/* What a layer gets of its token goes through the rows of the feed-forward part, which may be narrower. */
GAB_TEST(rows_hold_inputs_that_are_wider_than_the_feed_forward_part) {
    gab_plan_sizes narrow = {.n_embd = 64,
                             .n_qkv = 192,
                             .n_ff = 64,
                             .n_up = 128,
                             .n_vocab = 32,
                             .n_layer = 2,
                             .n_head = 1,
                             .n_head_kv = 1,
                             .head_dim = 64,
                             .head_dim_least = 64,
                             .n_input = 512,
                             .context = 64};
    gab_plan_sizes wide = narrow;
    wide.n_ff = 512;
    CHECK(gab_plans_bytes(&narrow) == gab_plans_bytes(&wide));
}

GAB_TEST_MAIN()
