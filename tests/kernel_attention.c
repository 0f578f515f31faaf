/* Attention against its reference: decode (with its merge) and prefill, each usable variant of the family, f16 and f32
 * caches, grouped heads, shuffled pages. */
#include "kernels/attention.h"
#include "kv_check.h"

typedef struct shape {
    uint32_t head_dim, n_head, n_head_kv;
    bool f16;
    float q_scale; /* scores are about this large, times the keys' scale */
    bool outliers; /* dimension 0 is 1e6 in all queries and 0 in all keys */
    uint32_t window;
    float softcap, scale;
    bool sinks; /* each head has one */
    bool tail;  /* a page's first key scores q_scale and has no value, the others 0: small shares alone count */
} shape;

/* What the case at hand runs: one shape a case, since CPU drivers compile a kernel for seconds. */
static shape now;

/* Runs a body with each usable variant of an operation that is of the set's family. */
static void each_variant(gab_vk *vk, gab_kernel_set set, gab_operation operation, const shape *s,
                         void (*body)(gab_vk *vk, gab_kernel_set set, const gab_variant *variant, const shape *s)) {
    uint32_t n;
    const gab_variant *variants = gab_variants(operation, &n);
    for (uint32_t i = 0; i < n; i++) {
        if (!gab_test_wants_variant(vk, &set, variants, i, false)) continue;
        set.choice[operation] = (uint8_t)i;
        body(vk, set, &variants[i], s);
    }
}

static const uint32_t positions[] = {0, 1, 63, 64, 65, 255, 256, 257, 1000};
enum { N_POSITION = sizeof positions / sizeof *positions };

/* f32 sums of up to 1000 terms; exp multiplies the errors of scores, of their size times 2^-24. */
static double bound_of(const shape *s, const gab_variant *variant) {
    return (variant->error > 0 ? (double)variant->error : 2e-6) + 4e-7 * (double)s->q_scale;
}

static gab_kv_check make_kv(gab_vk *vk, const shape *s, uint32_t n_slot, uint32_t n_position, gab_test_random *random) {
    gab_kv_check kv = gab_kv_check_make(vk, s->n_head_kv, s->head_dim, s->f16, n_slot, n_position, 1, random);
    const uint32_t words = gab_head_dim_padded(s->head_dim) / (s->f16 ? 2 : 1);
    for (uint32_t i = 0; s->outliers && i < kv.n_word; i += words) kv.keys[i] &= s->f16 ? 0xffff0000u : 0;
    if (s->tail) memset(kv.keys, 0, 4ul * kv.n_word);
    for (uint32_t i = 0; s->tail && i < kv.n_word; i += words * GAB_PAGE) {
        kv.keys[i] = s->f16 ? 0x3c00u : 0x3f800000u; /* 1 */
        memset(kv.values + i, 0, 4ul * words);
    }
    gab_test_write(vk, kv.layer.keys, kv.keys, 4ul * kv.n_word);
    gab_test_write(vk, kv.layer.values, kv.values, 4ul * kv.n_word);
    return kv;
}

static float *make_queries(const shape *s, uint32_t n_row, uint32_t stride, gab_test_random *random) {
    float *q = gab_test_floats(random, (size_t)n_row * stride, s->q_scale);
    for (uint32_t r = 0; s->outliers && r < n_row; r++)
        for (uint32_t h = 0; h < s->n_head; h++) q[(size_t)r * stride + h * s->head_dim] = r % 2 ? 1e6f : -1e6f;
    for (uint32_t r = 0; s->tail && r < n_row; r++)
        for (uint32_t h = 0; h < s->n_head; h++) q[(size_t)r * stride + h * s->head_dim] = s->q_scale / s->scale;
    return q;
}

/* Below, among and far above the scores. */
static float *make_sinks(const shape *s) {
    float *sinks = gab_test_alloc(4ul * s->n_head);
    for (uint32_t h = 0; h < s->n_head; h++) sinks[h] = h == 2 ? 200.0f : (float)h * 1.5f - 1.0f;
    return sinks;
}

static void compare(const gab_kv_check *kv, const shape *s, const gab_variant *variant, const float *q,
                    uint32_t q_stride, const float *y, uint32_t y_stride, const gab_step_row *rows, uint32_t n_row,
                    const char *what) {
    double *expected = gab_test_alloc(8ul * s->n_head * s->head_dim);
    const float *sinks = s->sinks ? make_sinks(s) : NULL;
    const gab_attention op = {
        .kv = kv->layer, .n_head = s->n_head, .scale = s->scale, .softcap = s->softcap, .window = s->window};
    for (uint32_t r = 0; r < n_row; r++) {
        gab_attention_reference(&op, q + (size_t)r * q_stride, gab_kv_check_table(kv, rows[r].slot), rows[r].position,
                                sinks, kv->keys, kv->values, expected);
        gab_test_close(y + (size_t)r * y_stride, expected, s->n_head * s->head_dim, bound_of(s, variant),
                       bound_of(s, variant) * 2, "%s %s head_dim %u heads %u/%u f16 %d scale %g: row %u position %u",
                       what, variant->name, s->head_dim, s->n_head, s->n_head_kv, s->f16, (double)s->q_scale, r,
                       rows[r].position);
    }
}

enum { PIECES = 5 }; /* one more than 1001 positions need */

/* Records and runs attention over the rows of the step; y: n_plan rows. */
static void run(gab_vk *vk, gab_kernel_set set, const gab_kv_check *kv, const shape *s, gab_step *step, uint32_t n_plan,
                uint32_t n_piece, const float *q, uint32_t q_stride, float *y, uint32_t y_stride) {
    uint64_t piece_bytes = gab_attention_pieces_bytes(n_plan, s->n_head, s->head_dim, n_piece);
    const gab_slice sinks = s->sinks ? gab_test_slice(vk, make_sinks(s), 4ul * s->n_head) : (gab_slice){0};
    const gab_attention op = {.kv = kv->layer,
                              .q = gab_test_slice(vk, q, 4ul * n_plan * q_stride),
                              .y = gab_test_slice(vk, NULL, 4ul * n_plan * y_stride),
                              .q_stride = q_stride,
                              .y_stride = y_stride,
                              .n_head = s->n_head,
                              .scale = s->scale,
                              .softcap = s->softcap,
                              .window = s->window,
                              .sinks = s->sinks ? &sinks : NULL,
                              .n_piece = n_piece,
                              .n_work = step->n_work + 2,
                              .pieces = gab_test_slice(vk, NULL, piece_bytes)};
    gab_kernel_context *context = gab_test_begin(vk, set, gab_kv_check_step(vk, kv, step), n_plan, 0);
    gab_attention_record(context, &op);
    gab_test_end(context);
    gab_test_read(vk, op.y, y, 4ul * n_plan * y_stride);
}

/* ---- decode ---- */

/* Rows of a plan of 4, each at its own position of its own slot, until all positions have been used. */
static void decode_variant(gab_vk *vk, gab_kernel_set set, const gab_variant *variant, const shape *s) {
    enum { PLAN = 4, USED = 3, SLOTS = 2 };
    gab_test_random random = {s->head_dim * 3u + s->n_head};
    const uint32_t n = s->n_head * s->head_dim, q_stride = gab_row_stride(n) + 32, y_stride = gab_row_stride(n);
    gab_kv_check kv = make_kv(vk, s, SLOTS, 1001, &random);
    float *q = make_queries(s, PLAN, q_stride, &random), *y = gab_test_alloc(4ul * PLAN * y_stride);
    float *zeros = gab_test_alloc(4ul * y_stride);
    gab_step *step = gab_test_alloc(sizeof *step);
    step->n_row = USED;
    for (uint32_t first = 0; first < N_POSITION; first += USED) {
        for (uint32_t r = 0; r < USED; r++)
            step->rows[r] = (gab_step_row){.slot = (first + r) % SLOTS, .position = positions[first + r]};
        run(vk, set, &kv, s, step, PLAN, PIECES, q, q_stride, y, y_stride);
        compare(&kv, s, variant, q, q_stride, y, y_stride, step->rows, USED, "decode");
        gab_test_same(y + USED * y_stride, zeros, y_stride, "decode beyond the step's rows");
    }
    gab_test_release(vk);
}

static void decode(gab_vk *vk, gab_kernel_set set, const shape *s) {
    each_variant(vk, set, GAB_OP_ATTENTION_DECODE, s, decode_variant);
}

static void decode_now(gab_vk *vk, gab_kernel_set set) {
    decode(vk, set, &now);
}

GAB_TEST(decode_16_f16) {
    now = (shape){16, 4, 4, true, 1};
    gab_test_each_device(decode_now);
}
GAB_TEST(decode_32_f16) {
    now = (shape){32, 17, 1, true, 1};
    gab_test_each_device(decode_now);
}
GAB_TEST(decode_48_f16) {
    now = (shape){48, 3, 1, true, 1};
    gab_test_each_device(decode_now);
}
GAB_TEST(decode_64_f16) {
    now = (shape){64, 12, 12, true, 1};
    gab_test_each_device(decode_now);
}
GAB_TEST(decode_80_f16) {
    now = (shape){80, 5, 5, true, 1};
    gab_test_each_device(decode_now);
}
GAB_TEST(decode_96_f16) {
    now = (shape){96, 9, 3, true, 1};
    gab_test_each_device(decode_now);
}
GAB_TEST(decode_128_f16) {
    now = (shape){128, 8, 2, true, 1};
    gab_test_each_device(decode_now);
}
GAB_TEST(decode_groups) { /* 1 to 8 query heads a head of keys, a head_dim of 1 */
    static const shape shapes[] = {{1, 8, 1, true, 1}, {64, 7, 1, true, 1}, {64, 10, 2, true, 1}, {16, 6, 1, false, 1}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        now = shapes[i];
        gab_test_each_device(decode_now);
    }
}
GAB_TEST(decode_256_f16) {
    now = (shape){256, 2, 1, true, 1};
    gab_test_each_device(decode_now);
}
GAB_TEST(decode_7_f32) {
    now = (shape){7, 5, 1, false, 1};
    gab_test_each_device(decode_now);
}
GAB_TEST(decode_64_f32) {
    now = (shape){64, 3, 3, false, 1};
    gab_test_each_device(decode_now);
}
GAB_TEST(decode_512_f32) { /* heads that the kernels of the LANE family leave to those of the other */
    now = (shape){512, 1, 1, false, 1};
    gab_test_each_device(decode_now);
}
GAB_TEST(decode_128_f32) {
    now = (shape){128, 2, 2, false, 1};
    gab_test_each_device(decode_now);
}

/* Scores of +-80 and +-1e4, all equal, far below the largest, and of queries with one large value that does not matter.
 */
static void decode_scores(gab_vk *vk, gab_kernel_set set) {
    decode(vk, set, &(shape){64, 3, 3, true, 15, .scale = 0.25f, .tail = true});
    decode(vk, set, &(shape){64, 3, 3, true, 80});
    decode(vk, set, &(shape){64, 3, 3, true, 1e4f});
    decode(vk, set, &(shape){64, 3, 3, true, 0});
    decode(vk, set, &(shape){64, 3, 3, true, 1, .outliers = true});
}
GAB_TEST(decode_scores) {
    gab_test_each_device(decode_scores);
}

/* A row has the same bits alone and among others, at any index. */
static void independent_variant(gab_vk *vk, gab_kernel_set set, const gab_variant *variant, const shape *of) {
    enum { SLOTS = 3, MOST = 8 };
    const shape s = *of;
    gab_test_random random = {11};
    const uint32_t n = s.n_head * s.head_dim, stride = gab_row_stride(n);
    gab_kv_check kv = gab_kv_check_make(vk, s.n_head_kv, s.head_dim, s.f16, SLOTS, 600, 1, &random);
    float *own = gab_test_floats(&random, stride, 1), *q = gab_test_alloc(4ul * MOST * stride);
    float *y = gab_test_alloc(4ul * MOST * stride), *alone = gab_test_alloc(4ul * stride);
    gab_step *step = gab_test_alloc(sizeof *step);
    for (uint32_t n_row = 1; n_row <= MOST; n_row *= 2) {
        const uint32_t at = n_row - 1;
        step->n_row = n_row;
        for (uint32_t r = 0; r < n_row; r++)
            step->rows[r] = (gab_step_row){.slot = r % SLOTS, .position = gab_test_random_u32(&random) % 600};
        for (uint32_t i = 0; i < n_row * stride; i++) q[i] = gab_test_random_normal(&random);
        step->rows[at] = (gab_step_row){.slot = 1, .position = 555};
        memcpy(q + (size_t)at * stride, own, 4ul * stride);
        run(vk, set, &kv, &s, step, n_row, PIECES, q, stride, y, stride);
        if (n_row == 1) memcpy(alone, y, 4ul * stride);
        gab_test_same(y + (size_t)at * stride, alone, n, "%s: attention of a row among %u", variant->name, n_row);
    }
    gab_test_release(vk);
}
static void decode_independent(gab_vk *vk, gab_kernel_set set) {
    each_variant(vk, set, GAB_OP_ATTENTION_DECODE, &(shape){64, 3, 3, true, 1}, independent_variant);
    each_variant(vk, set, GAB_OP_ATTENTION_DECODE, &(shape){64, 6, 2, true, 1}, independent_variant);
}
GAB_TEST(decode_independent) {
    gab_test_each_device(decode_independent);
}

/* Plans of one piece write the result at once: the same bits as through the merge. */
static void one_piece_variant(gab_vk *vk, gab_kernel_set set, const gab_variant *variant, const shape *s) {
    enum { ROWS = 3 };
    gab_test_random random = {s->head_dim};
    const uint32_t n = s->n_head * s->head_dim, stride = gab_row_stride(n);
    gab_kv_check kv = make_kv(vk, s, 1, GAB_PIECE, &random);
    float *q = make_queries(s, ROWS, stride, &random);
    float *whole = gab_test_alloc(4ul * ROWS * stride), *merged = gab_test_alloc(4ul * ROWS * stride);
    gab_step *step = gab_test_alloc(sizeof *step);
    step->n_row = ROWS;
    for (uint32_t r = 0; r < ROWS; r++) step->rows[r].position = r == 0 ? 0 : r == 1 ? 100 : GAB_PIECE - 1;
    run(vk, set, &kv, s, step, ROWS, 1, q, stride, whole, stride);
    run(vk, set, &kv, s, step, ROWS, PIECES, q, stride, merged, stride);
    compare(&kv, s, variant, q, stride, whole, stride, step->rows, ROWS, "decode in one piece");
    for (uint32_t r = 0; r < ROWS; r++)
        gab_test_same(whole + (size_t)r * stride, merged + (size_t)r * stride, n, "%s: one piece, row %u",
                      variant->name, r);
    gab_test_release(vk);
}

static void decode_one_piece(gab_vk *vk, gab_kernel_set set) {
    each_variant(vk, set, GAB_OP_ATTENTION_DECODE, &(shape){64, 6, 2, true, 1}, one_piece_variant);
    each_variant(vk, set, GAB_OP_ATTENTION_DECODE, &(shape){7, 5, 5, false, 1}, one_piece_variant);
}
GAB_TEST(decode_one_piece) {
    gab_test_each_device(decode_one_piece);
}

static void decode_sinks(gab_vk *vk, gab_kernel_set set) {
    each_variant(vk, set, GAB_OP_ATTENTION_DECODE, &(shape){64, 6, 2, true, 1, .sinks = true}, one_piece_variant);
}
GAB_TEST(decode_sinks) {
    gab_test_each_device(decode_sinks);
}

/* ---- prefill ---- */

/* Rows of one slot from a position on, cut into tiles as the plan does. */
static void add_run(gab_step *step, uint32_t slot, uint32_t first_position, uint32_t n, uint32_t tile_rows) {
    gab_attention_add_tiles(step, slot, step->n_row, n, first_position, tile_rows);
    for (uint32_t i = 0; i < n; i++)
        step->rows[step->n_row++] = (gab_step_row){.slot = slot, .position = first_position + i};
}

/* Three slots: from the start over a page's edge, one row alone far out, and a run over the edge of a piece. */
static void prefill_variant(gab_vk *vk, gab_kernel_set set, const gab_variant *variant, const shape *s) {
    enum { PLAN = 120, SLOTS = 3 };
    gab_test_random random = {s->head_dim * 5u + s->n_head};
    const uint32_t n = s->n_head * s->head_dim, q_stride = gab_row_stride(n) + 32, y_stride = gab_row_stride(n);
    const uint32_t tile_rows = gab_attention_tile_rows(&set, s->head_dim);
    gab_kv_check kv = make_kv(vk, s, SLOTS, 301, &random);
    float *q = make_queries(s, PLAN, q_stride, &random);
    float *y = gab_test_alloc(4ul * PLAN * y_stride), *zeros = gab_test_alloc(4ul * y_stride);
    gab_step *step = gab_test_alloc(sizeof *step);
    add_run(step, 0, 0, 67, tile_rows);
    add_run(step, 1, 300, 1, tile_rows);
    add_run(step, 2, 243, 21, tile_rows);
    run(vk, set, &kv, s, step, PLAN, PIECES, q, q_stride, y, y_stride);
    compare(&kv, s, variant, q, q_stride, y, y_stride, step->rows, step->n_row, "prefill");
    for (uint32_t r = step->n_row; r < PLAN; r++)
        gab_test_same(y + (size_t)r * y_stride, zeros, y_stride, "prefill beyond the step's rows");
    gab_test_release(vk);
}

static void prefill(gab_vk *vk, gab_kernel_set set, const shape *s) {
    each_variant(vk, set, GAB_OP_ATTENTION_PREFILL, s, prefill_variant);
}

static void prefill_now(gab_vk *vk, gab_kernel_set set) {
    prefill(vk, set, &now);
}

GAB_TEST(prefill_16_f16) {
    now = (shape){16, 4, 4, true, 1};
    gab_test_each_device(prefill_now);
}
GAB_TEST(prefill_32_f16) {
    now = (shape){32, 2, 1, true, 1};
    gab_test_each_device(prefill_now);
}
GAB_TEST(prefill_48_f16) {
    now = (shape){48, 3, 1, true, 1};
    gab_test_each_device(prefill_now);
}
GAB_TEST(prefill_64_f16) {
    now = (shape){64, 3, 3, true, 1};
    gab_test_each_device(prefill_now);
}
GAB_TEST(prefill_80_f16) {
    now = (shape){80, 4, 2, true, 1};
    gab_test_each_device(prefill_now);
}
GAB_TEST(prefill_96_f16) {
    now = (shape){96, 3, 3, true, 1};
    gab_test_each_device(prefill_now);
}
GAB_TEST(prefill_128_f16) {
    now = (shape){128, 2, 1, true, 1};
    gab_test_each_device(prefill_now);
}
GAB_TEST(prefill_sinks) {
    now = (shape){64, 4, 2, true, 1, .window = 50, .sinks = true};
    gab_test_each_device(prefill_now);
}
GAB_TEST(prefill_groups) { /* 1 to 8 query heads a head of keys, a head_dim of 1 */
    static const shape shapes[] = {{1, 8, 1, true, 1}, {64, 7, 1, true, 1}, {64, 10, 2, true, 1}, {16, 6, 1, false, 1}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        now = shapes[i];
        gab_test_each_device(prefill_now);
    }
}
GAB_TEST(prefill_256_f16) {
    now = (shape){256, 2, 1, true, 1};
    gab_test_each_device(prefill_now);
}
GAB_TEST(prefill_512_f32) {
    now = (shape){512, 1, 1, false, 1};
    gab_test_each_device(prefill_now);
}
GAB_TEST(prefill_7_f32) {
    now = (shape){7, 5, 1, false, 1};
    gab_test_each_device(prefill_now);
}
GAB_TEST(prefill_64_f32) {
    now = (shape){64, 3, 3, false, 1};
    gab_test_each_device(prefill_now);
}
GAB_TEST(prefill_128_f32) {
    now = (shape){128, 2, 2, false, 1};
    gab_test_each_device(prefill_now);
}

/* As decode_scores. */
static void prefill_scores(gab_vk *vk, gab_kernel_set set) {
    prefill(vk, set, &(shape){64, 3, 3, true, 15, .scale = 0.25f, .tail = true});
    prefill(vk, set, &(shape){64, 3, 3, true, 80});
    prefill(vk, set, &(shape){64, 3, 3, true, 1e4f});
    prefill(vk, set, &(shape){64, 3, 3, true, 0});
    prefill(vk, set, &(shape){64, 3, 3, true, 1, .outliers = true});
}
GAB_TEST(prefill_scores) {
    gab_test_each_device(prefill_scores);
}

/* ---- windows, limited scores, other scales ---- */

static const shape limits[] = {
    {32, 4, 2, true, 1, .window = 1},
    {32, 4, 2, true, 1, .window = 60},
    {32, 4, 2, true, 1, .window = 64},
    {32, 4, 2, true, 1, .window = 300},
    {16, 2, 1, false, 20, .window = 70, .softcap = 5, .scale = 0.25f},
};

static void limits_of(gab_vk *vk, gab_kernel_set set, void (*body)(gab_vk *, gab_kernel_set, const shape *)) {
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) body(vk, set, &limits[i]);
}

static void decode_limits(gab_vk *vk, gab_kernel_set set) {
    limits_of(vk, set, decode);
}
GAB_TEST(decode_limits) {
    gab_test_each_device(decode_limits);
}

static void prefill_limits(gab_vk *vk, gab_kernel_set set) {
    limits_of(vk, set, prefill);
}
GAB_TEST(prefill_limits) {
    gab_test_each_device(prefill_limits);
}

GAB_TEST_MAIN()
