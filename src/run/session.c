#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/time.h"
#include "run/engine.h"

gab_session_options gab_session_options_default(void) {
    return (gab_session_options){
        .struct_size = sizeof(gab_session_options),
        .sampling = {.temperature = 0.8f, .top_k = 40, .top_p = 0.95f, .min_p = 0.05f, .repeat_penalty = 1.0f}};
}

const char *gab_stop_text(gab_stop stop) {
    static const char *const text[] = {"none", "end", "count", "context", "cancelled"};
    return text[stop];
}

static gab_status check_sampling(const gab_sampling *s, const gab_log *log) {
    if (!(s->temperature >= 0 && s->temperature <= 1000))
        return gab_fail(log, GAB_ERROR_ARGUMENT, "temperature is %g, expected 0 to 1000", (double)s->temperature);
    if (!(s->top_p > 0 && s->top_p <= 1))
        return gab_fail(log, GAB_ERROR_ARGUMENT, "top_p is %g, expected more than 0 and at most 1", (double)s->top_p);
    if (!(s->min_p >= 0 && s->min_p <= 1))
        return gab_fail(log, GAB_ERROR_ARGUMENT, "min_p is %g, expected 0 to 1", (double)s->min_p);
    if (!(s->repeat_penalty > 0 && s->repeat_penalty <= 1000))
        return gab_fail(log, GAB_ERROR_ARGUMENT, "repeat_penalty is %g, expected more than 0 and at most 1000",
                        (double)s->repeat_penalty);
    return GAB_OK;
}

static gab_status check_options(const gab_session_options *o, const gab_log *log) {
    if (o->struct_size != sizeof *o)
        return gab_fail(log, GAB_ERROR_ARGUMENT,
                        "gab_session_options of %zu bytes, expected %zu: fill it with gab_session_options_default and "
                        "compile against this version's header",
                        o->struct_size, sizeof *o);
    return check_sampling(&o->sampling, log);
}

/* ---- making and unmaking ---- */

static void session_free(gab_session *s) {
    pthread_cond_destroy(&s->changed);
    free(s->tokens);
    free(s->pages);
    free(s->events);
    free(s);
}

gab_status gab_session_create(gab_engine *e, const gab_session_options *options, gab_session **out) {
    GAB_TRY(check_options(options, &e->log));
    gab_session *s = calloc(1, sizeof *s);
    if (!s) return gab_fail(&e->log, GAB_ERROR_HOST_MEMORY, "out of host memory for a session");
    pthread_cond_init(&s->changed, NULL);
    s->engine = e;
    s->options = *options;
    s->tokens = calloc(e->options.context, sizeof *s->tokens);
    s->pages = calloc(e->options.context / GAB_PAGE + 1, sizeof *s->pages);
    if (!s->tokens || !s->pages) {
        session_free(s);
        return gab_fail(&e->log, GAB_ERROR_HOST_MEMORY, "out of host memory for a session");
    }
    pthread_mutex_lock(&e->lock);
    bool room = e->n_session < e->options.n_session;
    if (room) {
        while (e->slots_used & (1u << s->slot)) s->slot++;
        e->slots_used |= 1u << s->slot;
        e->n_session++;
        s->next = e->sessions;
        e->sessions = s;
    }
    pthread_mutex_unlock(&e->lock);
    if (!room) {
        session_free(s);
        return gab_fail(&e->log, GAB_ERROR_LIMIT,
                        "all %u sessions of the engine are in use: destroy one, or create it with a "
                        "larger n_session",
                        e->options.n_session);
    }
    *out = s;
    return GAB_OK;
}

/* Waits until no step holds rows of the session. Under the lock. */
static void wait_out_of_steps(gab_session *s) {
    while (s->n_step > 0) pthread_cond_wait(&s->changed, &s->engine->lock);
}

void gab_session_destroy(gab_session **psession) {
    if (!psession || !*psession) return;
    gab_session *s = *psession;
    gab_engine *e = s->engine;
    pthread_mutex_lock(&e->lock);
    gab_session_stop(s);
    wait_out_of_steps(s);
    gab_session_release_pages(s, 0);
    gab_session **link = &e->sessions;
    while (*link != s) link = &(*link)->next;
    *link = s->next;
    e->slots_used &= ~(1u << s->slot);
    e->n_session--;
    pthread_mutex_unlock(&e->lock);
    session_free(s);
    *psession = NULL;
}

gab_status gab_session_fork(gab_session *s, gab_session **out) {
    gab_engine *e = s->engine;
    gab_session *copy = NULL;
    GAB_TRY(gab_session_create(e, &s->options, &copy));
    pthread_mutex_lock(&e->lock);
    bool idle = s->state == GAB_SESSION_IDLE; /* a running turn is not waited for: its steps follow one another */
    if (idle) {
        wait_out_of_steps(s);
        memcpy(copy->tokens, s->tokens, s->n_token * sizeof *s->tokens);
        memcpy(copy->pages, s->pages, s->n_page * sizeof *s->pages);
        copy->n_token = s->n_token;
        copy->n_computed = s->n_computed;
        copy->n_page = s->n_page;
        for (uint32_t i = 0; i < s->n_page; i++) gab_kv_page_share(&e->kv, s->pages[i]);
    }
    pthread_mutex_unlock(&e->lock);
    if (!idle) {
        gab_session_destroy(&copy);
        return gab_fail(&e->log, GAB_ERROR_ARGUMENT, "a session cannot be forked while its turn is running");
    }
    *out = copy;
    return GAB_OK;
}

void gab_session_release_pages(gab_session *s, uint32_t n_keep) {
    while (s->n_page > n_keep) gab_kv_page_release(&s->engine->kv, s->pages[--s->n_page]);
}

/* ---- turns ---- */

void gab_session_push(gab_session *s, gab_event event) {
    if (s->n_event == s->event_capacity) {
        uint32_t capacity = s->event_capacity ? 2 * s->event_capacity : 64;
        gab_event *events = calloc(capacity, sizeof *events);
        if (!events) {
            gab_session_fail(s, GAB_ERROR_HOST_MEMORY, "out of host memory for the session's events");
            return;
        }
        for (uint32_t i = 0; i < s->n_event; i++) events[i] = s->events[(s->first_event + i) % s->event_capacity];
        free(s->events);
        s->events = events;
        s->first_event = 0;
        s->event_capacity = capacity;
    }
    s->events[(s->first_event + s->n_event++) % s->event_capacity] = event;
    pthread_cond_broadcast(&s->changed);
}

void gab_session_stop(gab_session *s) {
    s->state = GAB_SESSION_IDLE;
    s->turn++;
    s->n_ahead = s->n_draw = 0;
}

void gab_session_end(gab_session *s, gab_stop stop, int32_t token) {
    gab_session_stop(s);
    gab_session_push(s, (gab_event){stop, stop == GAB_STOP_END ? token : -1});
}

void gab_session_fail(gab_session *s, gab_status status, const char *message) {
    gab_session_stop(s);
    s->status = status;
    snprintf(s->message, sizeof s->message, "%s", message);
    pthread_cond_broadcast(&s->changed);
}

/* Checks and appends tokens, and starts the turn. Under the lock. */
static gab_status start_turn(gab_session *s, const int32_t *tokens, size_t n_token) {
    gab_engine *e = s->engine;
    if (s->state != GAB_SESSION_IDLE)
        return gab_fail(&e->log, GAB_ERROR_ARGUMENT,
                        "the session's turn is still running: take its events, or cancel it");
    if (n_token > e->info.context - s->n_token)
        return gab_fail(&e->log, GAB_ERROR_CONTEXT_FULL,
                        "%zu tokens do not fit: the session holds %u of %u positions; shorten the text%s", n_token,
                        s->n_token, e->info.context,
                        e->info.context < e->info.n_ctx_train ? " or use a larger --context"
                                                              : ", the model was trained for no more");
    for (size_t i = 0; i < n_token; i++)
        if (tokens[i] < 0 || (uint32_t)tokens[i] >= e->info.n_vocab)
            return gab_fail(&e->log, GAB_ERROR_ARGUMENT, "token %d is outside the vocabulary of %u", tokens[i],
                            e->info.n_vocab);
    if (n_token > 0) memcpy(s->tokens + s->n_token, tokens, n_token * sizeof *tokens);
    s->n_token += (uint32_t)n_token;
    s->status = GAB_OK;
    s->cancelled = false;
    s->stats = (gab_session_stats){.n_prompt = s->n_token - s->n_computed};
    s->started_ns = gab_time_ns();
    s->first_token_ns = 0;
    return GAB_OK;
}

static void set_running(gab_session *s) {
    s->state = GAB_SESSION_RUNNING;
    pthread_cond_signal(&s->engine->wake);
}

gab_status gab_session_feed(gab_session *s, const int32_t *tokens, size_t n_token, size_t n_predict) {
    gab_engine *e = s->engine;
    pthread_mutex_lock(&e->lock);
    gab_status status = start_turn(s, tokens, n_token);
    if (status == GAB_OK && s->n_token == 0)
        status = gab_fail(&e->log, GAB_ERROR_ARGUMENT, "nothing to continue: feed at least one token");
    if (status == GAB_OK) {
        s->n_predict = n_predict;
        if (s->n_computed < s->n_token)
            set_running(s);
        else if (n_predict > 0) { /* all is computed: the last token once more, for its logits */
            s->n_computed--;
            set_running(s);
        } else
            gab_session_push(s, (gab_event){GAB_STOP_COUNT, -1});
    }
    pthread_mutex_unlock(&e->lock);
    return status;
}

gab_status gab_session_next(gab_session *s, gab_event *event) {
    gab_engine *e = s->engine;
    pthread_mutex_lock(&e->lock);
    while (s->n_event == 0 && s->state == GAB_SESSION_RUNNING) pthread_cond_wait(&s->changed, &e->lock);
    gab_status status = GAB_OK;
    if (s->n_event > 0) {
        *event = s->events[s->first_event];
        s->first_event = (s->first_event + 1) % s->event_capacity;
        s->n_event--;
    } else if (s->status != GAB_OK) {
        status = s->status;
        gab_error_set(s->message);
    } else {
        status = gab_fail(&e->log, GAB_ERROR_ARGUMENT, "the session has no turn running: feed it first");
    }
    pthread_mutex_unlock(&e->lock);
    return status;
}

void gab_session_cancel(gab_session *s) {
    pthread_mutex_lock(&s->engine->lock);
    if (s->state == GAB_SESSION_RUNNING) s->cancelled = true;
    pthread_mutex_unlock(&s->engine->lock);
}

gab_status gab_session_logits(gab_session *s, const int32_t *tokens, size_t n_token, uint32_t chunk, float *logits) {
    gab_engine *e = s->engine;
    if (n_token == 0) return GAB_OK;
    pthread_mutex_lock(&e->lock);
    const uint32_t first = s->n_token;
    gab_status status = start_turn(s, tokens, n_token);
    if (status == GAB_OK) {
        s->logits = logits;
        s->logits_first = first;
        s->logits_chunk = chunk;
        s->n_predict = 0;
        set_running(s);
        while (s->state == GAB_SESSION_RUNNING) pthread_cond_wait(&s->changed, &e->lock);
        s->logits = NULL;
        status = s->status;
        if (status == GAB_OK && s->n_event > 0) s->n_event--; /* the end of the turn */
        if (status != GAB_OK) gab_error_set(s->message);
        if (status == GAB_OK && s->cancelled) status = gab_fail(&e->log, GAB_ERROR_CANCELLED, "cancelled");
    }
    pthread_mutex_unlock(&e->lock);
    return status;
}

/* ---- between turns ---- */

/* Under the lock. */
static gab_status check_idle(const gab_session *s, const char *what) {
    if (s->state == GAB_SESSION_IDLE) return GAB_OK;
    return gab_fail(&s->engine->log, GAB_ERROR_ARGUMENT, "a session cannot be %s while its turn is running", what);
}

static void truncate_to(gab_session *s, size_t n_token) {
    if (n_token >= s->n_token) return;
    wait_out_of_steps(s);
    s->n_token = (uint32_t)n_token;
    if (s->n_computed > s->n_token) s->n_computed = s->n_token;
    gab_session_release_pages(s, (s->n_computed + GAB_PAGE - 1) / GAB_PAGE);
}

gab_status gab_session_truncate(gab_session *s, size_t n_token) {
    gab_engine *e = s->engine;
    pthread_mutex_lock(&e->lock);
    gab_status status = check_idle(s, "truncated");
    if (status == GAB_OK) truncate_to(s, n_token);
    pthread_mutex_unlock(&e->lock);
    return status;
}

gab_status gab_session_keep_common(gab_session *s, const int32_t *tokens, size_t n_token, size_t *n_kept) {
    gab_engine *e = s->engine;
    size_t n = 0;
    pthread_mutex_lock(&e->lock);
    gab_status status = check_idle(s, "truncated");
    if (status == GAB_OK) {
        while (n < n_token && n < s->n_token && tokens[n] == s->tokens[n]) n++;
        truncate_to(s, n);
        *n_kept = n;
    }
    pthread_mutex_unlock(&e->lock);
    return status;
}

gab_status gab_session_set_sampling(gab_session *s, const gab_sampling *sampling) {
    gab_engine *e = s->engine;
    GAB_TRY(check_sampling(sampling, &e->log));
    pthread_mutex_lock(&e->lock);
    gab_status status = check_idle(s, "given another sampler");
    if (status == GAB_OK) s->options.sampling = *sampling;
    pthread_mutex_unlock(&e->lock);
    return status;
}

size_t gab_session_n_token(const gab_session *s) {
    pthread_mutex_lock(&s->engine->lock);
    size_t n = s->n_token;
    pthread_mutex_unlock(&s->engine->lock);
    return n;
}

void gab_session_get_stats(const gab_session *s, gab_session_stats *stats) {
    pthread_mutex_lock(&s->engine->lock);
    *stats = s->stats;
    pthread_mutex_unlock(&s->engine->lock);
}
