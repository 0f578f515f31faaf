/*
 * scheduler.c - the thread that forms steps and runs them.
 *
 * A step holds rows of any running sessions: one row of each that is being continued, and pieces of the prompts of
 * others. What a session has computed is a number (n_computed) beside its token history, so that everything else
 * (prompts in chunks, a changed history, a lost device) is one rule: compute what is not computed yet, and draw a token
 * when the last one is.
 */
#include <stdio.h>
#include <string.h>

#include "base/time.h"
#include "run/engine.h"

enum { LOSSES_MAX = 3, CHUNK_BESIDE_DECODE = 128 };

/* A session's part of a step. */
typedef struct step_part {
    gab_session *session;
    uint32_t n_row; /* from position n_computed on */
    bool draws;     /* ends with its last token: a token is drawn */
    uint32_t out;   /* its output row */
} step_part;

typedef struct step {
    step_part parts[GAB_SLOT_MAX];
    uint32_t n_part, n_row, n_out, depth;
    bool logits; /* one part, whose rows' logits go to the host */
} step;

/* ---- ending a turn; under the lock ---- */

static void end_turn(gab_session *s, gab_stop stop, int32_t token) {
    s->state = GAB_SESSION_IDLE;
    gab_session_push(s, (gab_event){stop, stop == GAB_STOP_END ? token : -1});
}

static void fail_turn(gab_session *s, gab_status status, const char *message) {
    s->state = GAB_SESSION_IDLE;
    s->status = status;
    snprintf(s->message, sizeof s->message, "%s", message);
    pthread_cond_broadcast(&s->changed);
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

/* Makes positions n_computed..n_computed + n_row - 1 writable by this session alone. */
static gab_status prepare_pages(gab_engine *e, gab_session *s, uint32_t n_row) {
    const uint32_t first = s->n_computed / GAB_PAGE, last = (s->n_computed + n_row - 1) / GAB_PAGE;
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

/* ---- forming a step; under the lock ---- */

/* The context is full and a token is wanted: forget the oldest half, compute the rest again. */
static void shift_context(gab_session *s) {
    uint32_t keep = s->n_token / 2;
    memmove(s->tokens, s->tokens + (s->n_token - keep), keep * sizeof *s->tokens);
    s->n_token = keep;
    s->n_computed = 0;
    gab_session_release_pages(s, 0);
}

/* Fails only when the device is lost; what is wrong with the session alone ends its turn. */
static gab_status add_part(gab_engine *e, step *st, gab_session *s, uint32_t n_row) {
    step_part *part = &st->parts[st->n_part];
    gab_status status = prepare_pages(e, s, n_row);
    if (status == GAB_ERROR_DEVICE_LOST) return status;
    if (status != GAB_OK) {
        fail_turn(s, status, gab_last_error());
        return GAB_OK;
    }
    *part = (step_part){.session = s, .n_row = n_row};
    part->draws = s->n_computed + n_row == s->n_token && s->n_predict > 0;
    if (part->draws) part->out = st->n_out++;
    st->n_part++;
    st->n_row += n_row;
    if (s->n_computed + n_row > st->depth) st->depth = s->n_computed + n_row;
    s->in_step = true;
    return GAB_OK;
}

/* Rows that the next step may hold. */
static uint32_t step_rows_max(const gab_engine *e) {
    uint32_t depth = 0;
    for (const gab_session *s = e->sessions; s; s = s->next)
        if (s->state == GAB_SESSION_RUNNING && s->n_token > depth) depth = s->n_token;
    return gab_attention_rows_max(&e->plans.set, depth);
}

static uint32_t at_most(uint32_t n, uint32_t most) {
    return n < most ? n : most;
}

/* A step of one session's logits, if one is asked for. */
static gab_status form_logits_step(gab_engine *e, step *st, uint32_t rows_max) {
    for (gab_session *s = e->sessions; s && !st->logits; s = s->next) {
        if (s->state != GAB_SESSION_RUNNING || !s->logits) continue;
        uint32_t most = s->logits_chunk ? at_most(s->logits_chunk, rows_max) : rows_max;
        GAB_TRY(add_part(e, st, s, at_most(s->n_token - s->n_computed, most)));
        st->logits = st->n_part > 0;
    }
    return GAB_OK;
}

/* Is to be continued with tokens, not with logits. */
static bool wants_tokens(const gab_session *s) {
    return s->state == GAB_SESSION_RUNNING && !s->logits;
}

/* Is being continued: all but its last token is computed. */
static bool is_decoding(const gab_session *s) {
    return wants_tokens(s) && s->n_token - s->n_computed == 1;
}

static bool has_prompt(const gab_session *s) {
    return wants_tokens(s) && !is_decoding(s);
}

static bool any_session(const gab_engine *e, bool (*is)(const gab_session *s)) {
    const gab_session *s = e->sessions;
    while (s && !is(s)) s = s->next;
    return s != NULL;
}

/* Those that a step has served go to the end of the list: the others come first next time. */
static void rotate(gab_engine *e, const step *st) {
    for (uint32_t i = 0; i < st->n_part; i++) {
        gab_session **link = &e->sessions;
        while (*link && *link != st->parts[i].session) link = &(*link)->next;
        if (!*link) continue;
        *link = (*link)->next;
        while (*link) link = &(*link)->next;
        *link = st->parts[i].session;
        (*link)->next = NULL;
    }
}

/* st: the step before; one of logits does not follow another while sessions wait for tokens. */
static gab_status form_step(gab_engine *e, step *st) {
    const bool had_logits = st->logits;
    memset(st, 0, sizeof *st);
    for (gab_session *s = e->sessions; s; s = s->next)
        if (s->state == GAB_SESSION_RUNNING && s->cancelled) end_turn(s, GAB_STOP_CANCELLED, -1);
    uint32_t room = step_rows_max(e);
    if (!had_logits || !any_session(e, wants_tokens)) GAB_TRY(form_logits_step(e, st, room));
    if (st->logits) return GAB_OK;
    const uint32_t room_decoding = room > 1 && any_session(e, has_prompt) ? room - 1 : room;
    for (gab_session *s = e->sessions; s && st->n_row < room_decoding; s = s->next)
        if (is_decoding(s)) GAB_TRY(add_part(e, st, s, 1));
    if (st->n_row > 0) room = at_most(room, CHUNK_BESIDE_DECODE);
    for (gab_session *s = e->sessions; s && st->n_row < room; s = s->next)
        if (has_prompt(s)) GAB_TRY(add_part(e, st, s, at_most(s->n_token - s->n_computed, room - st->n_row)));
    return GAB_OK;
}

/* ---- running a step; without the lock ---- */

static void fill_out(const gab_session *s, uint32_t row, gab_step_out *out) {
    const gab_sampling *p = &s->options.sampling;
    const uint32_t n = s->n_token < GAB_RECENT_MAX ? s->n_token : GAB_RECENT_MAX;
    out->row = row;
    out->slot = s->slot;
    out->temperature = p->temperature;
    out->top_k = p->top_k;
    out->top_p = p->top_p;
    out->min_p = p->min_p;
    out->repeat_penalty = p->repeat_penalty;
    out->seed_low = (uint32_t)p->seed;
    out->seed_high = (uint32_t)(p->seed >> 32);
    out->position = s->n_token;
    out->n_recent = p->repeat_penalty == 1.0f ? 0 : n;
    for (uint32_t i = 0; i < out->n_recent; i++) out->recent[i] = (uint32_t)s->tokens[s->n_token - n + i];
}

/* The attention tiles of a part's rows. */
static void fill_works(gab_step *m, const step_part *part, uint32_t first_row, uint32_t tile) {
    const gab_session *s = part->session;
    for (uint32_t r = 0; r < part->n_row; r += tile)
        m->works[m->n_work++] = (gab_step_work){.slot = s->slot,
                                                .first_row = first_row + r,
                                                .n_row = part->n_row - r < tile ? part->n_row - r : tile,
                                                .first_position = s->n_computed + r};
}

static void fill_mailbox(gab_engine *e, const step *st) {
    uint32_t *tables;
    gab_step *m = gab_plan_mailbox(&e->plans, e->parity, &tables);
    const uint32_t tile = gab_attention_tile_rows(&e->plans.set, e->plans.sizes.head_dim);
    uint32_t row = 0;
    m->n_row = st->n_row;
    m->n_out = st->n_out;
    m->n_work = 0;
    for (uint32_t i = 0; i < st->n_part; i++) {
        const step_part *part = &st->parts[i];
        const gab_session *s = part->session;
        fill_works(m, part, row, tile);
        for (uint32_t r = 0; r < part->n_row; r++)
            m->rows[row + r] = (gab_step_row){
                .token = (uint32_t)s->tokens[s->n_computed + r], .slot = s->slot, .position = s->n_computed + r};
        row += part->n_row;
        if (part->draws) fill_out(s, row - 1, &m->outs[part->out]);
        memcpy(tables + s->slot * e->plans.table_stride, s->pages, s->n_page * sizeof *s->pages);
    }
}

static gab_status run_plan(gab_engine *e, const gab_plan_shape *shape) {
    gab_plan *plan;
    uint64_t value = 0;
    GAB_TRY(gab_plan_get(&e->plans, shape, &plan));
    GAB_TRY(gab_plan_submit(&e->plans, plan, e->parity, &value));
    return gab_plan_wait(&e->plans, plan, e->parity, value);
}

/* The logits of one part: its rows in one step, then the head on GAB_OUT_MAX output rows at a time. */
static gab_status run_logits_step(gab_engine *e, step *st) {
    const gab_session *s = st->parts[0].session;
    const uint32_t n_vocab = e->info.n_vocab;
    for (uint32_t r = 0; r < st->n_row; r += GAB_OUT_MAX) {
        uint32_t *tables, stride;
        st->n_out = st->n_row - r < GAB_OUT_MAX ? st->n_row - r : GAB_OUT_MAX;
        fill_mailbox(e, st);
        gab_step *m = gab_plan_mailbox(&e->plans, e->parity, &tables);
        for (uint32_t i = 0; i < st->n_out; i++) m->outs[i] = (gab_step_out){.row = r + i, .slot = s->slot};
        const gab_plan_shape shape = gab_plan_shape_for(&e->plans, r == 0 ? st->n_row : 0, st->n_out, st->depth, true);
        GAB_TRY(run_plan(e, &shape));
        const float *logits = gab_plan_logits(&e->plans, &stride);
        for (uint32_t i = 0; i < st->n_out; i++) {
            uint32_t position = s->n_computed + r + i;
            if (position < s->logits_first) continue;
            memcpy(s->logits + (size_t)(position - s->logits_first) * n_vocab, logits + (size_t)i * stride,
                   n_vocab * sizeof *logits);
        }
    }
    return GAB_OK;
}

static gab_status run_step(gab_engine *e, step *st) {
    if (st->logits) return run_logits_step(e, st);
    const gab_plan_shape shape = gab_plan_shape_for(&e->plans, st->n_row, st->n_out, st->depth, false);
    fill_mailbox(e, st);
    return run_plan(e, &shape);
}

/* ---- after a step; under the lock ---- */

static void take_token(gab_engine *e, gab_session *s, int32_t token) {
    const uint64_t now = gab_time_ns();
    if (s->first_token_ns == 0) {
        s->first_token_ns = now;
        s->stats.prompt_ms = (double)(now - s->started_ns) * 1e-6;
    }
    if (!s->options.ignore_end && gab_tokenizer_is_end(e->tokenizer, token)) {
        end_turn(s, GAB_STOP_END, token);
        return;
    }
    s->stats.n_decode++;
    s->stats.decode_ms = (double)(now - s->first_token_ns) * 1e-6;
    if (s->n_token == e->info.context && s->options.context_shift) shift_context(s);
    bool full = s->n_token == e->info.context;
    if (!full) s->tokens[s->n_token++] = token;
    gab_session_push(s, (gab_event){GAB_STOP_NONE, token});
    s->n_predict--;
    if (s->n_predict == 0)
        end_turn(s, GAB_STOP_COUNT, -1);
    else if (full)
        end_turn(s, GAB_STOP_CONTEXT, -1);
}

static void finish_part(gab_engine *e, const step_part *part, bool drawn) {
    gab_session *s = part->session;
    s->in_step = false;
    s->n_computed += part->n_row;
    if (s->n_computed == s->n_token) e->n_lost = 0;
    if (s->state == GAB_SESSION_RUNNING) {
        if (drawn && part->draws)
            take_token(e, s, (int32_t)gab_plan_tokens(&e->plans, e->parity)[part->out]);
        else if (s->n_computed == s->n_token)
            end_turn(s, GAB_STOP_COUNT, -1);
    }
    pthread_cond_broadcast(&s->changed);
}

/* ---- when it fails; under the lock ---- */

/* The device goes, and with it what sessions have computed; they keep their history. */
static void drop_device(gab_engine *e) {
    for (gab_session *s = e->sessions; s; s = s->next) {
        s->n_computed = 0;
        s->n_page = 0;
    }
    gab_engine_close_device(e);
}

static gab_status reopen_device(gab_engine *e) {
    drop_device(e);
    gab_status status = gab_file_check_unchanged(gab_gguf_file(e->gguf), &e->log);
    if (status == GAB_OK) status = gab_engine_open_device(e);
    if (status != GAB_OK) drop_device(e);
    return status;
}

/* Opens a lost device again, LOSSES_MAX times at most; else all turns fail, and the next one will try to open it. */
static void step_failed(gab_engine *e, gab_status status) {
    char message[GAB_MESSAGE_MAX];
    snprintf(message, sizeof message, "%s", gab_last_error());
    for (gab_session *s = e->sessions; s; s = s->next) {
        s->in_step = false;
        pthread_cond_broadcast(&s->changed);
    }
    while (status == GAB_ERROR_DEVICE_LOST && ++e->n_lost <= LOSSES_MAX) {
        e->submit_budget_ms = e->submit_budget_ms > 2 ? e->submit_budget_ms / 2 : 1;
        gab_log_print(&e->log, GAB_LOG_WARNING,
                      "the device was lost: loading again with submits of at most %.0f ms, the text goes on",
                      e->submit_budget_ms);
        status = reopen_device(e);
        if (status == GAB_OK) return;
        snprintf(message, sizeof message, "%s", gab_last_error());
    }
    if (status == GAB_ERROR_DEVICE_LOST) drop_device(e);
    e->n_lost = 0;
    for (gab_session *s = e->sessions; s; s = s->next)
        if (s->state == GAB_SESSION_RUNNING) fail_turn(s, status, message);
}

/* ---- the thread ---- */

static bool has_work(const gab_engine *e) {
    for (const gab_session *s = e->sessions; s; s = s->next)
        if (s->state == GAB_SESSION_RUNNING) return true;
    return false;
}

void *gab_scheduler_run(void *arg) {
    gab_engine *e = arg;
    step st = {0};
    pthread_mutex_lock(&e->lock);
    for (;;) {
        while (!e->quit && !has_work(e)) pthread_cond_wait(&e->wake, &e->lock);
        if (e->quit) break;
        gab_status status = e->vk ? GAB_OK : reopen_device(e);
        if (status == GAB_OK) status = form_step(e, &st);
        if (status == GAB_OK && st.n_part == 0) continue;
        if (status == GAB_OK) {
            pthread_mutex_unlock(&e->lock);
            status = run_step(e, &st);
            pthread_mutex_lock(&e->lock);
        }
        if (status != GAB_OK) {
            step_failed(e, status);
            continue;
        }
        for (uint32_t i = 0; i < st.n_part; i++) finish_part(e, &st.parts[i], !st.logits);
        rotate(e, &st);
        e->parity ^= 1;
    }
    pthread_mutex_unlock(&e->lock);
    return NULL;
}
