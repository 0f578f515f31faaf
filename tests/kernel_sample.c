/* The sampling kernel: every draw is compared with the inverse distribution function of the reference. */
#include "kernels/sample.h"

#include <math.h>

#include "vk_test.h"

/* 2^-30 units and float exp() move a boundary between two tokens by less than this. */
#define SLACK       1e-5
/* And the mass a top-p or min-p limit is compared with by less than this, relative. */
#define LIMIT_SLACK 1e-5f

static const uint32_t vocabs[] = {1, 2, 7, 8, 9, 255, 257, 4096, 50257, 200000};
enum { N_VOCAB = sizeof vocabs / sizeof *vocabs, N_BIG = 2 };

/* ---- a sampler of its own buffers ---- */

typedef struct rig {
    gab_vk *vk;
    gab_kernel_set set;
    gab_slice step;
    gab_sample op;
    uint32_t n_out; /* at most; the outs of a run may be fewer */
} rig;

static rig rig_make(gab_vk *vk, gab_kernel_set set, uint32_t n_vocab, uint32_t n_out) {
    const uint32_t stride = gab_row_stride(n_vocab);
    return (rig){.vk = vk,
                 .set = set,
                 .step = gab_test_step_of(vk, n_out, n_out),
                 .op = {.logits = gab_test_slice(vk, NULL, (size_t)n_out * stride * 4),
                        .n_vocab = n_vocab,
                        .logits_stride = stride,
                        .scratch = gab_test_slice(vk, NULL, gab_sample_scratch_bytes(n_out, n_vocab)),
                        .sampled = gab_test_slice(vk, NULL, GAB_OUT_MAX * 4),
                        .readback = gab_test_slice(vk, NULL, GAB_OUT_MAX * 4)},
                 .n_out = n_out};
}

/* Draws for n rows, the logits of row i being logits + i * distance; NULL: those of the last time. */
static void rig_draw(const rig *r, const float *logits, size_t distance, const gab_step_out *outs, uint32_t n,
                     uint32_t *tokens) {
    static gab_step step;
    static uint32_t by_slot[GAB_OUT_MAX], before[GAB_OUT_MAX];
    memset(&step, 0, sizeof step);
    step.n_out = n;
    memcpy(step.outs, outs, n * sizeof *outs);
    CHECK_OK(gab_slice_write(r->vk, r->step, 0, &step, sizeof step));
    for (uint32_t i = 0; i < n && logits; i++)
        CHECK_OK(gab_slice_write(r->vk, r->op.logits, (uint64_t)i * r->op.logits_stride * 4, logits + i * distance,
                                 r->op.n_vocab * sizeof *logits));
    memset(before, 0xee, sizeof before);
    gab_test_write(r->vk, r->op.readback, before, sizeof before);
    gab_kernel_context *context = gab_test_begin(r->vk, r->set, r->step, r->n_out, r->n_out);
    gab_sample_record(context, &r->op);
    gab_test_end(context);
    gab_test_read(r->vk, r->op.readback, tokens, n * sizeof *tokens);
    gab_test_read(r->vk, r->op.readback, before, sizeof before);
    gab_test_read(r->vk, r->op.sampled, by_slot, sizeof by_slot);
    for (uint32_t i = 0; i < GAB_OUT_MAX && r->vk->executes; i++) {
        CHECK(i >= n || by_slot[outs[i].slot] == tokens[i]);
        CHECK(i < n || before[i] == 0xeeeeeeeeu); /* rows the step does not use */
    }
}

static gab_step_out out_of(float temperature, uint32_t top_k, float top_p, float min_p) {
    return (gab_step_out){
        .temperature = temperature, .top_k = top_k, .top_p = top_p, .min_p = min_p, .repeat_penalty = 1};
}

static void out_place(gab_step_out *out, uint32_t i, uint64_t seed, uint32_t position) {
    out->row = i;
    out->slot = i;
    out->seed_low = (uint32_t)seed;
    out->seed_high = (uint32_t)(seed >> 32);
    out->position = position;
}

/* ---- what is expected ---- */

/* The reference, and the same with top-p and min-p a little lower and higher: an id at their limit may fall on either
 * side. */
typedef struct expected {
    uint32_t n_vocab;
    double *upto[3]; /* [n_vocab + 1] mass of the ids below */
} expected;

static expected expect(const float *logits, uint32_t n_vocab, const gab_step_out *out) {
    expected e = {.n_vocab = n_vocab};
    double *p = malloc(n_vocab * sizeof *p);
    CHECK(p);
    for (int k = 0; k < 3; k++) {
        gab_step_out moved = *out;
        const float factor = 1 + (float)(k == 0 ? 0 : 2 * k - 3) * LIMIT_SLACK;
        const bool limits = out->top_p < 1 || out->min_p > 0;
        if (k > 0 && !limits) continue;
        moved.top_p = out->top_p < 1 ? out->top_p * factor : 1;
        moved.min_p *= factor;
        CHECK(e.upto[k] = malloc((n_vocab + 1) * sizeof *e.upto[k]));
        CHECK(gab_sample_reference(logits, n_vocab, &moved, p));
        e.upto[k][0] = 0;
        for (uint32_t i = 0; i < n_vocab; i++) e.upto[k][i + 1] = e.upto[k][i] + p[i];
    }
    free(p);
    return e;
}

static void expected_free(expected *e) {
    for (int k = 0; k < 3; k++) free(e->upto[k]);
}

static void check_token(const rig *r, const expected *e, const gab_step_out *out, uint32_t token, const char *what) {
    const double u = gab_sample_uniform((uint64_t)out->seed_high << 32 | out->seed_low, out->position);
    if (!r->vk->executes) return;
    if (token >= e->n_vocab) FAIL("%s: token %u of %u", what, token, e->n_vocab);
    for (int k = 0; k < 3; k++) {
        const double *upto = e->upto[k];
        if (upto && upto[token + 1] > upto[token] && u >= upto[token] - SLACK && u < upto[token + 1] + SLACK) return;
    }
    FAIL("%s, %s: n_vocab %u, temperature %g, top_k %u, top_p %g, min_p %g, penalty %g: token %u covers %.7f to %.7f, "
         "drawn was %.7f",
         r->set.lane ? "lane" : "group", what, e->n_vocab, (double)out->temperature, out->top_k, (double)out->top_p,
         (double)out->min_p, (double)out->repeat_penalty, token, e->upto[0][token], e->upto[0][token + 1], u);
}

/* Draws n times from the same logits, all with the filters of `like`, at positions 0..n-1, and checks every token. */
static void check_draws(const rig *r, const float *logits, const gab_step_out *like, uint32_t n, uint64_t seed,
                        const char *what) {
    gab_step_out outs[GAB_OUT_MAX];
    uint32_t tokens[GAB_OUT_MAX];
    expected e = expect(logits, r->op.n_vocab, like);
    for (uint32_t at = 0; at < n; at += r->n_out) {
        uint32_t count = n - at < r->n_out ? n - at : r->n_out;
        for (uint32_t i = 0; i < count; i++) {
            outs[i] = *like;
            out_place(&outs[i], i, seed, at + i);
        }
        rig_draw(r, at == 0 ? logits : NULL, 0, outs, count, tokens);
        for (uint32_t i = 0; i < count; i++) check_token(r, &e, &outs[i], tokens[i], what);
    }
    expected_free(&e);
}

static uint32_t argmax(const float *logits, uint32_t n) {
    uint32_t best = 0;
    for (uint32_t i = 1; i < n; i++)
        if (logits[i] > logits[best]) best = i;
    return best;
}

static float uniform(gab_test_random *random) {
    return (float)gab_test_random_u32(random) * 0x1p-32f;
}

/* ---- random numbers ---- */

/* Known answers of the paper's implementation (Random123, kat_vectors). */
GAB_TEST(philox_known_answers) {
    static const uint32_t cases[3][10] = {
        {0, 0, 0, 0, 0, 0, 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8},
        {~0u, ~0u, ~0u, ~0u, ~0u, ~0u, 0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd},
        {0xa4093822, 0x299f31d0, 0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344, 0xd16cfe09, 0x94fdcceb, 0x5001e420,
         0x24126ea1}};
    for (int i = 0; i < 3; i++) {
        uint32_t random[4];
        gab_sample_philox(cases[i], cases[i] + 2, random);
        CHECK(memcmp(random, cases[i] + 6, sizeof random) == 0);
    }
    CHECK(gab_sample_uniform(0, 0) == 0x6627e8d5 / 4294967296.0);
    CHECK(gab_sample_uniform(1, 0) != gab_sample_uniform((uint64_t)1 << 32, 0));
}

/* ---- cases on the device ---- */

static void greedy(gab_vk *vk, gab_kernel_set set) {
    gab_test_random random = {1};
    for (int v = 0; v < N_VOCAB; v++) {
        const uint32_t n = vocabs[v];
        rig r = rig_make(vk, set, n, 4);
        float *logits = gab_test_floats(&random, 4 * (size_t)n, 5);
        gab_step_out outs[4];
        uint32_t tokens[4], expect_tokens[4];
        for (uint32_t i = 0; i < 4; i++) {
            outs[i] = i == 3 ? out_of(0.7f, 1, 1, 0) : out_of(0, 40, 0.9f, 0.1f); /* top_k 1 is greedy too */
            out_place(&outs[i], i, 5, i);
        }
        logits[n + n / 2] = logits[n + n - 1] = 100; /* a tie */
        logits[2 * n] = NAN;
        logits[2 * n + n - 1] = INFINITY;
        for (uint32_t i = 0; i < 4; i++) expect_tokens[i] = argmax(logits + i * n, n);
        expect_tokens[2] = n - 1;
        rig_draw(&r, logits, n, outs, 4, tokens);
        gab_test_same(tokens, expect_tokens, 4, "greedy of %u", n);
        gab_test_release(vk);
    }
}
GAB_TEST(greedy_takes_the_largest) {
    gab_test_each_device(greedy);
}

/* Every filter alone, then all. Large vocabularies: fewer draws. */
static void filters(gab_vk *vk, gab_kernel_set set) {
    static const char *const names[] = {"temperature", "top_k", "top_p", "min_p", "all", "off"};
    gab_test_random random = {2};
    for (int v = 0; v < N_VOCAB; v++) {
        const uint32_t n = vocabs[v], n_row = v < N_VOCAB - N_BIG ? 6 : 1;
        rig r = rig_make(vk, set, n, n_row);
        float *logits = gab_test_floats(&random, n, 2);
        for (uint32_t i = 0; i < n; i++) logits[i] -= 40; /* as models have them: far from 0 */
        for (uint32_t i = 0; i < 20; i++) logits[gab_test_random_u32(&random) % n] += 8;
        for (int f = 0; f < 6; f++) {
            const gab_step_out outs[6] = {out_of(0.2f + 2 * uniform(&random), 0, 1, 0),
                                          out_of(0.8f, 1 + gab_test_random_u32(&random) % (n < 100 ? n : 100), 1, 0),
                                          out_of(0.8f, 0, uniform(&random), 0),
                                          out_of(0.8f, 0, 1, 0.3f * uniform(&random)),
                                          out_of(0.2f + 2 * uniform(&random), 40, 0.95f, 0.05f),
                                          out_of(1, n + 5, 1.5f, -1)};
            check_draws(&r, logits, &outs[f], n_row, 100 + (uint64_t)f, names[f]);
        }
        gab_test_release(vk);
    }
}
GAB_TEST(filters_of_all_vocabularies) {
    gab_test_each_device(filters);
}

/* Many random combinations on small vocabularies, 32 different rows a dispatch. */
static void mixed(gab_vk *vk, gab_kernel_set set) {
    gab_test_random random = {3};
    for (int round = 0; round < 16; round++) {
        const uint32_t n = 1 + gab_test_random_u32(&random) % 600,
                       n_out = 1 + gab_test_random_u32(&random) % GAB_OUT_MAX;
        rig r = rig_make(vk, set, n, GAB_OUT_MAX);
        float *logits = gab_test_floats(&random, (size_t)n * n_out, 3);
        gab_step_out outs[GAB_OUT_MAX];
        uint32_t tokens[GAB_OUT_MAX];
        for (uint32_t i = 0; i < n_out; i++) {
            const uint32_t choice = gab_test_random_u32(&random);
            outs[i] = out_of(choice & 1 ? 0.05f + 3 * uniform(&random) : 1,
                             choice & 2 ? gab_test_random_u32(&random) % (n + 2) : 0, choice & 4 ? uniform(&random) : 1,
                             choice & 8 ? uniform(&random) : 0);
            out_place(&outs[i], i, (uint64_t)round << 33 | i, 1000 * i);
            for (uint32_t k = 0; k < n && choice & 16; k++) /* many ties */
                logits[i * n + k] = rintf(logits[i * n + k]);
        }
        rig_draw(&r, logits, n, outs, n_out, tokens);
        for (uint32_t i = 0; i < n_out; i++) {
            expected e = expect(logits + i * n, n, &outs[i]);
            check_token(&r, &e, &outs[i], tokens[i], "mixed");
            expected_free(&e);
        }
        gab_test_release(vk);
    }
}
GAB_TEST(rows_of_different_filters) {
    gab_test_each_device(mixed);
}

/* Which ids can be drawn at all: 96 draws find each of at most 8 that are about as likely as each other. */
static void check_support(const rig *r, const float *logits, const gab_step_out *like, const char *kept) {
    gab_step_out outs[GAB_OUT_MAX];
    uint32_t tokens[GAB_OUT_MAX];
    char seen[16] = "";
    memset(seen, '.', r->op.n_vocab);
    for (uint32_t at = 0; at < 96; at += r->n_out) {
        for (uint32_t i = 0; i < r->n_out; i++) {
            outs[i] = *like;
            out_place(&outs[i], i, 77, at + i);
        }
        rig_draw(r, at == 0 ? logits : NULL, 0, outs, r->n_out, tokens);
        if (!r->vk->executes) return;
        for (uint32_t i = 0; i < r->n_out; i++) {
            CHECK(tokens[i] < r->op.n_vocab);
            seen[tokens[i]] = 'x';
        }
    }
    if (strcmp(seen, kept) != 0)
        FAIL("%s: top_k %u, top_p %g, min_p %g keeps %s, expected %s", r->set.lane ? "lane" : "group", like->top_k,
             (double)like->top_p, (double)like->min_p, seen, kept);
}

static void ties(gab_vk *vk, gab_kernel_set set) {
    static const float two_levels[8] = {1, 2, 1, 1, 2, 1, 1, 1}, flat[8] = {-3, -3, -3, -3, -3, -3, -3, -3};
    static const float zeros[8] = {-0.0f, 0, -0.0f, 0, -9, -9, -9, -9};
    const struct {
        const float *logits;
        gab_step_out out;
        const char *kept;
    } cases[] = {
        {two_levels, out_of(1, 1, 1, 0), ".x......"},    {two_levels, out_of(1, 2, 1, 0), ".x..x..."},
        {two_levels, out_of(1, 4, 1, 0), "xxx.x..."},    {two_levels, out_of(1, 7, 1, 0), "xxxxxxx."},
        {two_levels, out_of(1, 8, 1, 0), "xxxxxxxx"},    {two_levels, out_of(1, 4, 0.9f, 0), "xxx.x..."},
        {two_levels, out_of(1, 4, 0.8f, 0), "xx..x..."}, {two_levels, out_of(1, 0, 0.1f, 0), ".x......"},
        {two_levels, out_of(1, 0, 0, 0), ".x......"},    {two_levels, out_of(1, 0, 1, 0.5f), ".x..x..."},
        {two_levels, out_of(1, 0, 1, 0.3f), "xxxxxxxx"}, {two_levels, out_of(1, 0, 1, 1), ".x..x..."},
        {flat, out_of(0.5f, 3, 1, 0), "xxx....."},       {flat, out_of(0.5f, 0, 0.5f, 0), "xxxx...."},
        {flat, out_of(0.5f, 0, 0.505f, 0), "xxxxx..."},  {flat, out_of(0.5f, 6, 0.5f, 0), "xxx....."},
        {flat, out_of(0.5f, 0, 1, 1), "xxxxxxxx"},       {zeros, out_of(0.1f, 3, 1, 0), "xxx....."},
        {zeros, out_of(0.1f, 0, 0.6f, 0), "xxx....."},
    };
    rig r = rig_make(vk, set, 8, GAB_OUT_MAX);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        check_support(&r, cases[i].logits, &cases[i].out, cases[i].kept);
}
GAB_TEST(ties_go_to_the_lower_ids) {
    gab_test_each_device(ties);
}

static void ties_of_many(gab_vk *vk, gab_kernel_set set) {
    const uint32_t n = 50257;
    const gab_step_out outs[] = {out_of(0.8f, 0, 1, 0), out_of(0.8f, 1000, 1, 0), out_of(0.8f, 0, 0.3f, 0),
                                 out_of(0.8f, 20001, 0.7f, 0.5f)};
    rig r = rig_make(vk, set, n, 2);
    float *logits = gab_test_alloc(n * sizeof *logits);
    for (uint32_t i = 0; i < n; i++) logits[i] = -12.5f;
    for (size_t i = 0; i < sizeof outs / sizeof *outs; i++) check_draws(&r, logits, &outs[i], 4, i, "all equal");
}
GAB_TEST(a_large_vocabulary_of_equals) {
    gab_test_each_device(ties_of_many);
}

static void values(gab_vk *vk, gab_kernel_set set) {
    const float inf = INFINITY, big = 3e38f, tiny = 1e-42f;
    const float logits[][6] = {{-inf, -inf, -inf, -inf, -inf, -inf}, {NAN, NAN, NAN, NAN, NAN, NAN},
                               {0, inf, NAN, inf, -inf, 7},          {NAN, 1, -inf, 1.5f, NAN, -NAN},
                               {-inf, -inf, 5, -inf, -inf, -inf},    {0, 0, 0, 90, 0, 0},
                               {big, -big, big, 0, -big, 1},         {tiny, -tiny, 0, -0.0f, 2 * tiny, -5},
                               {-big, -inf, -big, NAN, -big, -big}};
    static const char *const kept[] = {"xxxxxx", "xxxxxx", ".x.x..", ".x.x..", "..x...",
                                       "...x..", "x.x...", "xxxxxx", "x.x.xx"};
    const gab_step_out outs[] = {out_of(2, 0, 1, 0), out_of(2, 6, 1, 0), out_of(2, 5, 0.999f, 0),
                                 out_of(2, 0, 1, 1e-4f)};
    rig r = rig_make(vk, set, 6, GAB_OUT_MAX);
    for (size_t i = 0; i < sizeof logits / sizeof *logits; i++) {
        check_support(&r, logits[i], &outs[0], kept[i]);
        for (size_t f = 1; f < sizeof outs / sizeof *outs; f++)
            if (i != 7) check_draws(&r, logits[i], &outs[f], 16, i, "unusual values");
    }
    const gab_step_out cold = out_of(1e-30f, 0, 1, 0), hot = out_of(1e30f, 0, 1, 0);
    check_support(&r, (const float[]){1, 2, 3, 2.999f, -inf, 0}, &cold, "..x...");
    check_support(&r, (const float[]){1, 2, 3, 2.999f, -inf, 0}, &hot, "xxxx.x");
}
GAB_TEST(infinities_and_nan) {
    gab_test_each_device(values);
}

static void penalties(gab_vk *vk, gab_kernel_set set) {
    const uint32_t n = 300, last = 17;
    gab_test_random random = {4};
    rig r = rig_make(vk, set, n, GAB_OUT_MAX);
    float *logits = gab_test_floats(&random, (size_t)n * GAB_OUT_MAX, 3);
    gab_step_out outs[GAB_OUT_MAX];
    uint32_t tokens[GAB_OUT_MAX], sampled[GAB_OUT_MAX];
    for (uint32_t i = 0; i < GAB_OUT_MAX; i++) {
        outs[i] = out_of(i % 2 ? 1 : 0, i % 3 ? 0 : 40, 1, 0);
        out_place(&outs[i], i, 9, i);
        outs[i].repeat_penalty = i % 8 == 7 ? 1 : 0.5f + 2 * uniform(&random);
        outs[i].n_recent = i < 3 ? i : gab_test_random_u32(&random) % (GAB_RECENT_MAX + 1);
        for (uint32_t k = 0; k < GAB_RECENT_MAX; k++) outs[i].recent[k] = gab_test_random_u32(&random) % (n + 20);
        outs[i].recent[1] = outs[i].recent[0];
        outs[i].recent[2] = r.op.logits_stride + last + i + 1; /* no id: the likely one of the next row */
        if (i % 4 == 2) outs[i].recent[i % 2 + 1] = outs[i].recent[40] = GAB_TOKEN_SAMPLED;
        logits[i * n + outs[i].recent[0] % n] = 11; /* likely, and so seen when penalized wrongly */
        logits[i * n + last + i] = 10.5f;
        sampled[i] = i % 16 == 10 ? n + 1 : last + i;
        for (uint32_t k = 0; k < n && i % 8 >= 4; k++) logits[i * n + k] -= 30; /* all negative */
    }
    gab_test_write(vk, r.op.sampled, sampled, sizeof sampled);
    rig_draw(&r, logits, n, outs, GAB_OUT_MAX, tokens);
    for (uint32_t i = 0; i < GAB_OUT_MAX; i++) {
        gab_step_out known = outs[i];
        for (uint32_t k = 0; k < GAB_RECENT_MAX; k++)
            if (known.recent[k] == GAB_TOKEN_SAMPLED) known.recent[k] = sampled[i];
        expected e = expect(logits + i * n, n, &known);
        check_token(&r, &e, &known, tokens[i], "penalty");
        expected_free(&e);
    }
}
GAB_TEST(penalties_count_an_id_once) {
    gab_test_each_device(penalties);
}

static void seeds(gab_vk *vk, gab_kernel_set set) {
    const uint32_t n = 257;
    gab_test_random random = {5};
    rig r = rig_make(vk, set, n, GAB_OUT_MAX);
    float *logits = gab_test_floats(&random, n, 1);
    gab_step_out outs[GAB_OUT_MAX];
    uint32_t first[GAB_OUT_MAX], again[GAB_OUT_MAX], n_same = 0;
    for (uint32_t i = 0; i < GAB_OUT_MAX; i++) {
        outs[i] = out_of(1, 100, 0.95f, 0.01f);
        out_place(&outs[i], i, 42, i);
    }
    rig_draw(&r, logits, 0, outs, GAB_OUT_MAX, first);
    rig_draw(&r, logits, 0, outs, GAB_OUT_MAX, again);
    gab_test_same(again, first, GAB_OUT_MAX, "the same seed");
    for (uint32_t i = 0; i < GAB_OUT_MAX; i++) outs[i].seed_high = 1;
    rig_draw(&r, logits, 0, outs, GAB_OUT_MAX - 5, again); /* fewer rows than the plan holds */
    for (uint32_t i = 0; i < GAB_OUT_MAX - 5; i++) n_same += again[i] == first[i];
    CHECK(!vk->executes || n_same < 10);
}
GAB_TEST(same_seed_same_tokens) {
    gab_test_each_device(seeds);
}

/* Many draws against the reference, each exactly and all by a chi-square test (Pearson 1900). */
static void distribution(gab_vk *vk, gab_kernel_set set) {
    enum { N = 16 };
    const uint32_t n_draw = set.lane ? 2048 : 1024;
    static const float logits[N] = {0, 1, 2, 3, -1, 0.5f, 1.5f, 2.5f, 0, 3, 2, 1, 0.25f, -3, 1, 2};
    const gab_step_out like = out_of(1.3f, 14, 0.97f, 0.06f);
    double p[N], chi = 0;
    uint32_t counts[N] = {0}, tokens[GAB_OUT_MAX], n_kept = 0;
    gab_step_out outs[GAB_OUT_MAX];
    rig r = rig_make(vk, set, N, GAB_OUT_MAX);
    expected e = expect(logits, N, &like);
    CHECK(gab_sample_reference(logits, N, &like, p));
    for (uint32_t at = 0; at < n_draw; at += GAB_OUT_MAX) {
        for (uint32_t i = 0; i < GAB_OUT_MAX; i++) {
            outs[i] = like;
            out_place(&outs[i], i, 0x123456789abcdef0u, at + i);
        }
        rig_draw(&r, at == 0 ? logits : NULL, 0, outs, GAB_OUT_MAX, tokens);
        for (uint32_t i = 0; i < GAB_OUT_MAX; i++) {
            check_token(&r, &e, &outs[i], tokens[i], "distribution");
            if (vk->executes) counts[tokens[i]]++;
        }
    }
    expected_free(&e);
    if (!vk->executes) return;
    for (uint32_t i = 0; i < N; i++) {
        CHECK(p[i] > 0 || counts[i] == 0);
        if (p[i] > 0) chi += (counts[i] - p[i] * n_draw) * (counts[i] - p[i] * n_draw) / (p[i] * n_draw), n_kept++;
    }
    printf("chi-square %.1f, %u ids kept\n", chi, n_kept);
    CHECK(n_kept > 8 && chi < 36); /* exceeded by chance once in 1000 at 14 degrees of freedom */
}
GAB_TEST(draws_follow_the_distribution) {
    gab_test_each_device(distribution);
}

GAB_TEST_MAIN()
