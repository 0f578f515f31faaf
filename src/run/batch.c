#include "run/batch.h"

#include <string.h>

enum { CHUNK_BESIDE_DECODE = 128 };

static uint32_t at_most(uint32_t n, uint32_t most) {
    return n < most ? n : most;
}

/* ---- a session as it will be when the steps that are queued are done ---- */

/* Tokens that will be in the cache. */
static uint32_t n_queued(const gab_session *s) {
    return s->n_computed + s->n_ahead;
}

/* Tokens of the history. */
static uint32_t n_expected(const gab_session *s) {
    return s->n_token + s->n_draw;
}

/* Is to be continued with tokens, not with logits. */
static bool wants_tokens(const gab_session *s) {
    return s->state == GAB_SESSION_RUNNING && !s->logits && n_queued(s) < n_expected(s);
}

/* Is being continued: all but its last token is computed. */
static bool is_decoding(const gab_session *s) {
    return wants_tokens(s) && n_expected(s) - n_queued(s) == 1;
}

static bool has_prompt(const gab_session *s) {
    return wants_tokens(s) && !is_decoding(s);
}

/* Will certainly be continued, if no end token is drawn: tokens are wanted, and there is a position for the last. */
static bool goes_on(const gab_engine *e, const gab_session *s) {
    return s->n_draw == 0 || (s->n_predict > s->n_draw && n_expected(s) <= e->info.context);
}

static bool any_session(const gab_engine *e, bool (*is)(const gab_session *s)) {
    const gab_session *s = e->sessions;
    while (s && !is(s)) s = s->next;
    return s != NULL;
}

/* ---- pages ---- */

/* A page used once, growing the pools where they may. */
static gab_status take_page(gab_engine *e, uint32_t *page) {
    if (gab_kv_page_take(&e->kv, page)) return GAB_OK;
    gab_status status = gab_kv_cache_grow(&e->kv);
    gab_plans_forget(&e->plans); /* also when it failed: some pools may have changed */
    GAB_TRY(status);
    return gab_kv_page_take(&e->kv, page) ? GAB_OK
                                          : gab_fail(&e->log, GAB_ERROR_LIMIT, "no page of the KV cache is free");
}

/* Makes the next n_row positions writable by this session alone. */
static gab_status prepare_pages(gab_engine *e, gab_session *s, uint32_t n_row) {
    const uint32_t first = n_queued(s) / GAB_PAGE, last = (n_queued(s) + n_row - 1) / GAB_PAGE;
    for (uint32_t i = first; i <= last; i++) {
        uint32_t page;
        if (i < s->n_page && e->kv.uses[s->pages[i]] == 1) continue;
        GAB_TRY(take_page(e, &page));
        if (i < s->n_page) { /* shared with another session: from here on apart */
            gab_status status = gab_kv_page_copy(&e->kv, s->pages[i], page);
            gab_kv_page_release(&e->kv, status == GAB_OK ? s->pages[i] : page);
            if (status != GAB_OK) return status;
            s->pages[i] = page;
        } else {
            s->pages[s->n_page++] = page;
        }
    }
    return GAB_OK;
}

/* Whether that works at once for one row, without buffers that change and pages that are copied; n_new: pages that it
 * takes. */
static bool page_is_near(const gab_engine *e, const gab_session *s, uint32_t *n_new) {
    const uint32_t i = n_queued(s) / GAB_PAGE;
    if (i < s->n_page) return e->kv.uses[s->pages[i]] == 1;
    return gab_kv_pages_free(&e->kv) >= ++*n_new;
}

/* ---- forming; under the lock ---- */

static void add_part(gab_batch *b, gab_session *s, uint32_t n_row) {
    gab_batch_part *part = &b->parts[b->n_part++];
    *part = (gab_batch_part){.session = s, .turn = s->turn, .first = n_queued(s), .n_row = n_row};
    part->draws = part->first + n_row == n_expected(s) && s->n_predict > 0;
    if (part->draws) part->out = b->n_out++;
    b->n_row += n_row;
    if (part->first + n_row > b->depth) b->depth = part->first + n_row;
}

static gab_status add_prepared(gab_engine *e, gab_batch *b, gab_session *s, uint32_t n_row) {
    gab_status status = prepare_pages(e, s, n_row);
    if (status == GAB_OK) add_part(b, s, n_row);
    if (status == GAB_OK || status == GAB_ERROR_DEVICE_LOST) return status;
    gab_session_fail(s, status, gab_last_error());
    return GAB_OK;
}

/* Rows that the next step may hold. */
static uint32_t rows_max(const gab_engine *e) {
    uint32_t depth = 0;
    for (const gab_session *s = e->sessions; s; s = s->next)
        if (s->state == GAB_SESSION_RUNNING && n_expected(s) > depth) depth = n_expected(s);
    return gab_attention_rows_max(&e->plans.set, depth);
}

/* Those that a step serves go to the end of the list: the others come first next time. */
static void rotate(gab_engine *e, const gab_session *served) {
    gab_session **link = &e->sessions;
    while (*link != served) link = &(*link)->next;
    gab_session *s = *link;
    *link = s->next;
    while (*link) link = &(*link)->next;
    *link = s;
    s->next = NULL;
}

/* The step holds its parts from here on. */
static void commit(gab_engine *e, const gab_batch *b) {
    for (uint32_t i = 0; i < b->n_part; i++) {
        gab_session *s = b->parts[i].session;
        s->n_step++;
        s->n_ahead += b->parts[i].n_row;
        s->n_draw += b->parts[i].draws;
        rotate(e, s);
    }
}

/* A step of one session's logits, if one is asked for. */
static gab_status form_logits(gab_engine *e, gab_batch *b, uint32_t room) {
    for (gab_session *s = e->sessions; s && !b->logits; s = s->next) {
        if (s->state != GAB_SESSION_RUNNING || !s->logits) continue;
        uint32_t most = s->logits_chunk ? at_most(s->logits_chunk, room) : room;
        GAB_TRY(add_prepared(e, b, s, at_most(s->n_token - s->n_computed, most)));
        b->logits = b->n_part > 0;
    }
    return GAB_OK;
}

static gab_status form_tokens(gab_engine *e, gab_batch *b, uint32_t room) {
    const uint32_t room_decoding = room > 1 && any_session(e, has_prompt) ? room - 1 : room;
    for (gab_session *s = e->sessions; s && b->n_row < room_decoding; s = s->next)
        if (is_decoding(s)) GAB_TRY(add_prepared(e, b, s, 1));
    if (b->n_row > 0) room = at_most(room, CHUNK_BESIDE_DECODE);
    for (gab_session *s = e->sessions; s && b->n_row < room; s = s->next)
        if (has_prompt(s)) GAB_TRY(add_prepared(e, b, s, at_most(s->n_token - s->n_computed, room - b->n_row)));
    return GAB_OK;
}

gab_status gab_batch_form(gab_engine *e, bool after_logits, gab_batch *b) {
    *b = (gab_batch){0};
    for (gab_session *s = e->sessions; s; s = s->next)
        if (s->state == GAB_SESSION_RUNNING && s->cancelled) gab_session_end(s, GAB_STOP_CANCELLED, -1);
    const uint32_t room = rows_max(e);
    if (!after_logits || !any_session(e, wants_tokens)) GAB_TRY(form_logits(e, b, room));
    if (!b->logits) GAB_TRY(form_tokens(e, b, room));
    commit(e, b);
    return GAB_OK;
}

bool gab_batch_form_ahead(gab_engine *e, gab_batch *b) {
    const uint32_t room = rows_max(e);
    uint32_t n_new_page = 0;
    *b = (gab_batch){0};
    for (gab_session *s = e->sessions; s; s = s->next) {
        if (s->state != GAB_SESSION_RUNNING) continue;
        if (s->logits || s->cancelled || has_prompt(s)) return false;
        if (b->n_row == room || !is_decoding(s) || !goes_on(e, s)) continue;
        if (!page_is_near(e, s, &n_new_page)) return false;
        add_part(b, s, 1);
    }
    if (b->n_part == 0) return false;
    const gab_plan_shape shape = gab_plan_shape_for(&e->plans, b->n_row, b->n_out, b->depth, false);
    b->plan = gab_plan_find(&e->plans, &shape);
    if (!b->plan) return false;
    for (uint32_t i = 0; i < b->n_part; i++)
        if (prepare_pages(e, b->parts[i].session, 1) != GAB_OK) return false;
    commit(e, b);
    return true;
}

/* ---- the mailbox ---- */

/* The i-th token of the history, or the one that is being drawn. */
static uint32_t token_at(const gab_session *s, uint32_t i) {
    return i < s->n_token ? (uint32_t)s->tokens[i] : GAB_TOKEN_SAMPLED;
}

static void fill_out(const gab_batch_part *part, uint32_t row, gab_step_out *out) {
    const gab_session *s = part->session;
    const gab_sampling *p = &s->options.sampling;
    const uint32_t n_token = part->first + part->n_row;
    const uint32_t n = at_most(n_token, GAB_RECENT_MAX);
    out->row = row;
    out->slot = s->slot;
    out->temperature = p->temperature;
    out->top_k = p->top_k;
    out->top_p = p->top_p;
    out->min_p = p->min_p;
    out->repeat_penalty = p->repeat_penalty;
    out->seed_low = (uint32_t)p->seed;
    out->seed_high = (uint32_t)(p->seed >> 32);
    out->position = n_token;
    out->n_recent = p->repeat_penalty == 1.0f ? 0 : n;
    for (uint32_t i = 0; i < out->n_recent; i++) out->recent[i] = token_at(s, n_token - n + i);
}

void gab_batch_fill(gab_engine *e, const gab_batch *b, uint32_t parity) {
    uint32_t *tables;
    gab_step *m = gab_plan_mailbox(&e->plans, parity, &tables);
    const uint32_t tile = gab_plan_tile_rows(&e->plans);
    uint32_t row = 0;
    m->n_row = b->n_row;
    m->n_out = b->n_out;
    m->n_work = 0;
    for (uint32_t i = 0; i < b->n_part; i++) {
        const gab_batch_part *part = &b->parts[i];
        const gab_session *s = part->session;
        gab_attention_add_tiles(m, s->slot, row, part->n_row, part->first, tile);
        for (uint32_t r = 0; r < part->n_row; r++)
            m->rows[row + r] =
                (gab_step_row){.token = token_at(s, part->first + r), .slot = s->slot, .position = part->first + r};
        row += part->n_row;
        if (part->draws) fill_out(part, row - 1, &m->outs[part->out]);
        memcpy(tables + s->slot * e->plans.table_stride, s->pages, s->n_page * sizeof *s->pages);
    }
}
