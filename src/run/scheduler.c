/*
 * scheduler.c - the thread that runs steps.
 *
 * What a session has computed is a number (n_computed) beside its token history, so that everything else (prompts in
 * chunks, a changed history, a lost device) is one rule: compute what is not computed yet, and draw a token when the
 * last one is.
 *
 * While a step runs, the next one is formed from what the first will have done, and queued behind it; only then is the
 * first waited for. When a turn ends with the first one's token, its part of the queued step is dropped: the result is
 * not looked at, and the keys and values that it writes lie behind the session's last position. Steps follow one
 * another on the device, so that whoever gets such a page next writes it later.
 *
 * A step of many submits, a long prompt on a slow device, is broken off between two of them when nobody waits for it
 * any more.
 */
#include <stdio.h>
#include <string.h>

#include "base/time.h"
#include "run/batch.h"

enum { LOSSES_MAX = 3 };

/* Steps that are queued or running, by parity. */
typedef struct flight {
    gab_batch batches[2];
    uint32_t first, n; /* the one that is done first, and how many there are */
    bool after_logits; /* the last one done was of logits */
} flight;

/* ---- running a step; without the lock ---- */

/* A step that is going on. */
typedef struct going_on {
    gab_engine *engine;
    const gab_batch *batch;
} going_on;

/* Whether nobody waits for it any more. */
static bool is_unwanted(void *user) {
    const going_on *r = user;
    bool wanted = false;
    pthread_mutex_lock(&r->engine->lock);
    for (uint32_t i = 0; i < r->batch->n_part && !wanted; i++) {
        const gab_batch_part *part = &r->batch->parts[i];
        wanted = part->turn == part->session->turn && !part->session->cancelled;
    }
    wanted = wanted && !r->engine->quit;
    pthread_mutex_unlock(&r->engine->lock);
    return !wanted;
}

/* The logits of one part: its rows in one step, then the head on GAB_OUT_MAX output rows at a time. */
static gab_status run_logits(gab_engine *e, gab_batch *b, uint32_t parity, const gab_plan_stop *stop) {
    const gab_session *s = b->parts[0].session;
    const uint32_t n_vocab = e->info.n_vocab;
    for (uint32_t r = 0; r < b->n_row; r += GAB_OUT_MAX) {
        uint32_t *tables, stride;
        b->n_out = b->n_row - r < GAB_OUT_MAX ? b->n_row - r : GAB_OUT_MAX;
        gab_batch_fill(e, b, parity);
        gab_step *m = gab_plan_mailbox(&e->plans, parity, &tables);
        for (uint32_t i = 0; i < b->n_out; i++) m->outs[i] = (gab_step_out){.row = r + i, .slot = s->slot};
        const gab_plan_shape shape = gab_plan_shape_for(&e->plans, r == 0 ? b->n_row : 0, b->n_out, b->depth, true);
        GAB_TRY(gab_plan_get(&e->plans, &shape, &b->plan));
        GAB_TRY(gab_plan_submit(&e->plans, b->plan, parity, stop, &b->value));
        GAB_TRY(gab_plan_wait(&e->plans, b->plan, parity, b->value));
        const float *logits = gab_plan_logits(&e->plans, &stride);
        for (uint32_t i = 0; i < b->n_out; i++) {
            uint32_t position = b->parts[0].first + r + i;
            if (position < s->logits_first) continue;
            memcpy(s->logits + (size_t)(position - s->logits_first) * n_vocab, logits + (size_t)i * stride,
                   n_vocab * sizeof *logits);
        }
    }
    return GAB_OK;
}

/* A step while none is queued or running: all of one of logits, else until its last submits are queued. CANCELLED:
 * nobody waits for it any more, and nothing of it is left on the device. */
static gab_status start(gab_engine *e, gab_batch *b, uint32_t parity) {
    going_on r = {e, b};
    const gab_plan_stop stop = {is_unwanted, &r};
    if (b->logits) return run_logits(e, b, parity, &stop);
    const gab_plan_shape shape = gab_plan_shape_for(&e->plans, b->n_row, b->n_out, b->depth, false);
    GAB_TRY(gab_plan_get(&e->plans, &shape, &b->plan));
    gab_batch_fill(e, b, parity);
    return gab_plan_submit(&e->plans, b->plan, parity, &stop, &b->value);
}

/* One behind another, whole: the first is not to wait for it. */
static gab_status queue(gab_engine *e, gab_batch *b, uint32_t parity) {
    gab_batch_fill(e, b, parity);
    return gab_plan_submit(&e->plans, b->plan, parity, NULL, &b->value);
}

/* ---- after a step; under the lock ---- */

/* The context is full and a token is wanted: forget the oldest half, compute the rest again. */
static void shift_context(gab_session *s) {
    uint32_t keep = s->n_token / 2;
    memmove(s->tokens, s->tokens + (s->n_token - keep), keep * sizeof *s->tokens);
    s->n_token = keep;
    s->n_computed = 0;
    gab_session_release_pages(s, 0);
}

static void take_token(gab_engine *e, gab_session *s, int32_t token) {
    const uint64_t now = gab_time_ns();
    if (s->first_token_ns == 0) {
        s->first_token_ns = now;
        s->stats.prompt_ms = (double)(now - s->started_ns) * 1e-6;
    }
    if (!s->options.ignore_end && gab_engine_is_end(e, token)) {
        gab_session_end(s, GAB_STOP_END, token);
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
        gab_session_end(s, GAB_STOP_COUNT, -1);
    else if (full)
        gab_session_end(s, GAB_STOP_CONTEXT, -1);
}

/* Has every session that goes on come to where it was? One whose steps keep losing the device never does. */
static bool all_caught_up(const gab_engine *e) {
    for (const gab_session *s = e->sessions; s; s = s->next)
        if (s->state == GAB_SESSION_RUNNING && s->n_computed + 1 < s->n_token) return false;
    return true;
}

static void take_results(gab_engine *e, const gab_batch_part *part, const uint32_t *tokens) {
    gab_session *s = part->session;
    s->n_computed += part->n_row;
    if (s->n_computed == s->n_token && all_caught_up(e)) e->n_lost = 0;
    if (part->draws)
        take_token(e, s, (int32_t)tokens[part->out]);
    else if (s->n_computed == s->n_token)
        gab_session_end(s, GAB_STOP_COUNT, -1);
}

/* tokens: NULL where the step was broken off, and nothing is computed. */
static void finish_part(gab_engine *e, const gab_batch_part *part, const uint32_t *tokens) {
    gab_session *s = part->session;
    const bool awaited = part->turn == s->turn;
    s->n_step--;
    if (awaited) {
        s->n_ahead -= part->n_row;
        s->n_draw -= part->draws;
        if (tokens) take_results(e, part, tokens);
        if (s->state == GAB_SESSION_RUNNING && s->cancelled) gab_session_end(s, GAB_STOP_CANCELLED, -1);
    }
    if (!awaited || !tokens) /* dropped, with the pages that it may have needed */
        gab_session_release_pages(s, (s->n_computed + s->n_ahead + GAB_PAGE - 1) / GAB_PAGE);
    if (s->n_step == 0) pthread_cond_broadcast(&s->changed);
}

static void finish(gab_engine *e, flight *f) {
    const gab_batch *b = &f->batches[f->first];
    const uint32_t *tokens = gab_plan_tokens(&e->plans, f->first);
    for (uint32_t i = 0; i < b->n_part; i++) finish_part(e, &b->parts[i], tokens);
    f->after_logits = b->logits;
    f->first ^= 1;
    f->n--;
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
    gab_status status = gab_gguf_check_unchanged(e->gguf, &e->log);
    if (status == GAB_OK) status = gab_engine_open_device(e);
    if (status != GAB_OK) drop_device(e);
    return status;
}

/* Opens a lost device again, LOSSES_MAX times at most; else all turns fail, and the next one will try to open it. */
static void step_failed(gab_engine *e, gab_status status) {
    char message[GAB_MESSAGE_MAX];
    snprintf(message, sizeof message, "%s", gab_last_error());
    for (gab_session *s = e->sessions; s; s = s->next) {
        s->n_step = s->n_ahead = s->n_draw = 0;
        pthread_cond_broadcast(&s->changed);
    }
    if (e->vk) e->vk->fn.vkDeviceWaitIdle(e->vk->device); /* a step may still run that another was queued behind */
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
        if (s->state == GAB_SESSION_RUNNING) gab_session_fail(s, status, message);
}

/* ---- the thread ---- */

static bool has_work(const gab_engine *e) {
    for (const gab_session *s = e->sessions; s; s = s->next)
        if (s->state == GAB_SESSION_RUNNING) return true;
    return false;
}

/* Sees to it that a step runs and, where it can be said already, that the next one is queued; then takes the results
 * of the first. Called and left under the lock, which is given up while the device works. */
static gab_status advance(gab_engine *e, flight *f) {
    gab_status status = GAB_OK;
    if (f->n == 0) {
        gab_batch *b = &f->batches[f->first];
        if (!e->vk) GAB_TRY(reopen_device(e));
        GAB_TRY(gab_batch_form(e, f->after_logits, b));
        f->after_logits = false;
        if (b->n_part == 0) return GAB_OK;
        f->n = 1;
        pthread_mutex_unlock(&e->lock);
        status = start(e, b, f->first);
        pthread_mutex_lock(&e->lock);
        if (status == GAB_ERROR_CANCELLED) {
            for (uint32_t i = 0; i < b->n_part; i++) finish_part(e, &b->parts[i], NULL);
            f->n = 0;
            return GAB_OK;
        }
        GAB_TRY(status);
    }
    gab_batch *running = &f->batches[f->first], *next = &f->batches[f->first ^ 1];
    const bool ahead = f->n == 1 && !running->logits && !e->options.no_pipeline && gab_batch_form_ahead(e, next);
    f->n += ahead;
    pthread_mutex_unlock(&e->lock);
    if (ahead) status = queue(e, next, f->first ^ 1);
    if (status == GAB_OK && !running->logits)
        status = gab_plan_wait(&e->plans, running->plan, f->first, running->value);
    pthread_mutex_lock(&e->lock);
    if (status == GAB_OK) finish(e, f);
    return status;
}

void *gab_scheduler_run(void *arg) {
    gab_engine *e = arg;
    flight f = {0};
    pthread_mutex_lock(&e->lock);
    for (;;) {
        while (!e->quit && f.n == 0 && !has_work(e)) pthread_cond_wait(&e->wake, &e->lock);
        if (e->quit) break;
        const gab_status status = advance(e, &f);
        if (status == GAB_OK) continue;
        f.n = 0;
        step_failed(e, status);
    }
    pthread_mutex_unlock(&e->lock);
    return NULL;
}
