#include <math.h>
#include <stdio.h>

#include "plan/trial.h"

enum {
    SLOTS = 3,
    POSITIONS = 600,
    PAGES_A_SLOT = POSITIONS / GAB_PAGE + 1,
    DECODE_ROWS = 4,
    PREFILL_ROWS = 72,
    WINDOW = 70
};

typedef struct attention_case {
    gab_kv_layer kv;
    uint32_t n_head;
    uint32_t *page_tables; /* [SLOTS][PAGES_A_SLOT] */
    gab_step *step;
    gab_slice step_slice;
} attention_case;

/* Heads as the model shares them, but few: filled pools, and page tables that go through them backwards. */
static bool make_cache(gab_trial *t, attention_case *c, uint64_t *random) {
    const gab_workload *w = t->workload;
    const uint32_t share = w->n_head / w->n_head_kv, n_kv = w->n_head_kv > 1 && w->head_dim <= 128 ? 2 : 1;
    const uint32_t padded = gab_head_dim_padded(w->head_dim), n_page = SLOTS * PAGES_A_SLOT;
    const uint64_t words = (uint64_t)n_page * n_kv * GAB_PAGE * (w->kv_f16 ? padded / 2 : padded);
    c->n_head = n_kv * share;
    c->kv = (gab_kv_layer){.keys = gab_trial_shared(t, 4 * words),
                           .values = gab_trial_shared(t, 4 * words),
                           .n_head_kv = n_kv,
                           .head_dim = w->head_dim,
                           .f16 = w->kv_f16};
    c->step_slice = gab_trial_shared(t, sizeof(gab_step) + 4ull * n_page);
    float *k = gab_trial_host(t, (size_t)n_kv * w->head_dim, sizeof *k),
          *v = gab_trial_host(t, (size_t)n_kv * w->head_dim, sizeof *v);
    if (t->full) return false;
    c->step = c->step_slice.mapped;
    c->step->table_stride = PAGES_A_SLOT;
    c->page_tables = (uint32_t *)(c->step + 1);
    for (uint32_t i = 0; i < n_page; i++) c->page_tables[i] = n_page - 1 - i;
    for (uint32_t p = 0; p < SLOTS * POSITIONS; p++) {
        for (uint32_t i = 0; i < n_kv * w->head_dim; i++) {
            k[i] = gab_selftest_number(random);
            v[i] = gab_selftest_number(random);
        }
        gab_kv_write_reference(&c->kv, k, v, c->page_tables + p / POSITIONS * PAGES_A_SLOT, p % POSITIONS,
                               c->kv.keys.mapped, c->kv.values.mapped);
    }
    return true;
}

static void add_run(gab_step *step, uint32_t slot, uint32_t position, uint32_t n, uint32_t tile) {
    gab_attention_add_tiles(step, slot, step->n_row, n, position, tile);
    for (uint32_t i = 0; i < n; i++) step->rows[step->n_row++] = (gab_step_row){.slot = slot, .position = position + i};
}

/* The rows of a step: at the edges of pages and pieces. */
static void fill_step(const gab_trial *t, attention_case *c, uint32_t turn) {
    static const uint32_t positions[] = {0, 63, GAB_PIECE - 1, 300, GAB_PIECE, POSITIONS - 1};
    gab_step *step = c->step;
    const uint32_t tile = gab_attention_tile_rows(t->set, c->kv.head_dim);
    step->n_row = step->n_work = 0;
    if (t->workload->operation == GAB_OP_ATTENTION_DECODE) {
        step->n_row = DECODE_ROWS - 1;
        for (uint32_t r = 0; r < step->n_row; r++)
            step->rows[r] = (gab_step_row){.slot = (r + turn) % SLOTS, .position = positions[r + 3 * turn]};
        return;
    }
    add_run(step, 0, 0, turn ? 20 : 41, tile);
    add_run(step, 1, POSITIONS - 1, 1, tile);
    add_run(step, 2, turn ? 250 : 60, 21, tile);
}

static gab_status attend(gab_trial *t, attention_case *c, uint32_t turn, uint32_t window, float q_scale, double l2_max,
                         uint64_t *random) {
    const bool decode = t->workload->operation == GAB_OP_ATTENTION_DECODE;
    const uint32_t n_plan = decode ? DECODE_ROWS : PREFILL_ROWS, n = c->n_head * c->kv.head_dim;
    const uint32_t stride = gab_row_stride(n);
    const uint32_t n_piece = decode && turn == 0 ? 1 : (POSITIONS + GAB_PIECE - 1) / GAB_PIECE;
    const uint64_t kept = t->used;
    const gab_slice q = gab_trial_shared(t, 4ull * n_plan * stride), y = gab_trial_shared(t, 4ull * n_plan * stride);
    const gab_slice pieces =
        gab_trial_shared(t, gab_attention_pieces_bytes(n_plan, c->n_head, c->kv.head_dim, n_piece));
    const gab_slice sinks = gab_trial_shared(t, 4ull * c->n_head);
    double *expected = gab_trial_host(t, n, sizeof *expected);
    if (t->full) return gab_trial_out_of_memory(t);
    for (uint32_t h = 0; h < c->n_head; h++) ((float *)sinks.mapped)[h] = 3 * gab_selftest_number(random);
    fill_step(t, c, turn);
    for (uint32_t i = 0; i < n_plan * stride; i++) {
        ((float *)q.mapped)[i] = gab_selftest_number(random) * q_scale;
        ((float *)y.mapped)[i] = gab_trial_untouched;
    }
    const gab_attention op = {.kv = c->kv,
                              .q = q,
                              .y = y,
                              .q_stride = stride,
                              .y_stride = stride,
                              .n_head = c->n_head,
                              .softcap = t->workload->softcap,
                              .sinks = t->workload->sinks ? &sinks : NULL,
                              .window = window,
                              .n_piece = n_piece,
                              .n_work = c->step->n_work + 1,
                              .pieces = pieces};
    GAB_TRY(gab_trial_run(t, c->step_slice, n_plan, NULL, &op));
    for (uint32_t r = 0; r < n_plan; r++) {
        const float *got = (const float *)y.mapped + (size_t)r * stride;
        const gab_step_row *row = &c->step->rows[r];
        const uint32_t n_written = r < c->step->n_row ? n : 0;
        double size = 0;
        char what[96];
        snprintf(what, sizeof what, "row %u of %u, position %u, scores of %.0f", r, n_plan, row->position,
                 (double)q_scale);
        gab_trial_judge_untouched(t, got + n_written, stride - n_written, what);
        if (n_written == 0) continue;
        gab_attention_reference(&op, (const float *)q.mapped + (size_t)r * stride,
                                c->page_tables + row->slot * PAGES_A_SLOT, row->position,
                                op.sinks ? sinks.mapped : NULL, c->kv.keys.mapped, c->kv.values.mapped, expected);
        for (uint32_t i = 0; i < n; i++) size += expected[i] * expected[i] / n;
        size = sqrt(size);
        gab_trial_judge(t, got, expected, &size, false, n, l2_max, gab_trial_value_max(t, l2_max), what);
    }
    t->used = kept;
    return GAB_OK;
}

uint64_t gab_trial_attention_bytes(const gab_workload *w) {
    const uint64_t room = 4 << 20, share = w->n_head_kv ? w->n_head / w->n_head_kv : 0;
    const uint64_t padded = gab_head_dim_padded(w->head_dim), n_kv = 2, n_page = SLOTS * PAGES_A_SLOT;
    const uint64_t cache = 2 * n_page * n_kv * GAB_PAGE * padded * sizeof(float);
    return room + cache + 4 * PREFILL_ROWS * n_kv * share * padded * sizeof(float) * 2;
}

gab_status gab_trial_attention(gab_trial *t) {
    const double error = (double)t->variant->error;
    uint64_t random = t->workload->head_dim;
    attention_case c = {0};
    gab_trial_begin(t);
    if (!make_cache(t, &c, &random)) return gab_trial_out_of_memory(t);
    for (uint32_t turn = 0; turn < 2; turn++) GAB_TRY(attend(t, &c, turn, 0, 1, gab_trial_l2_max(t), &random));
    for (uint32_t turn = 0; turn < 2 && t->workload->window > 0; turn++)
        GAB_TRY(attend(t, &c, turn, turn ? WINDOW : 1, 1, gab_trial_l2_max(t), &random));
    /* Scores of +-80: exp multiplies their errors of 80 x 2^-24. */
    if (error > 0) return GAB_OK;
    return attend(t, &c, 1, 0, 40, 3e-5, &random);
}
