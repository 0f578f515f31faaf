#include "cli/chat_answer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct answer {
    chat *chat;
    gab_text_stream *stream, *thoughts;
    gab_chat_place place;
    gab_chat_part part;       /* of what was printed last */
    int32_t *prompt, *tokens; /* tokens: made */
    size_t n_prompt, n_token, tokens_size;
    char *text;
    size_t n_text, text_size;
    size_t n_kept; /* of the prompt, not computed again */
    uint64_t n_computed;
    double prompt_ms, decode_ms;
    gab_stop stop;
} answer;

static gab_status fail_memory(const answer *a) {
    return gab_fail(&a->chat->console->log, GAB_ERROR_HOST_MEMORY, "out of host memory");
}

static gab_status grow(const answer *a, void **array, size_t *size, size_t need, size_t item) {
    if (need <= *size) return GAB_OK;
    void *larger = realloc(*array, need * 2 * item);
    if (!larger) return fail_memory(a);
    *array = larger;
    *size = need * 2;
    return GAB_OK;
}

/* ---- the prompt -------------------------------------------------------------------------------------------------- */

/* The conversation and what there is of the answer, as tokens. */
static gab_status render(answer *a) {
    const chat *c = a->chat;
    gab_tokens_free(&a->prompt);
    GAB_TRY(gab_chat_render(c->format, c->messages.items, c->messages.n, true, &a->prompt, &a->n_prompt));
    if (a->n_token == 0) {
        gab_chat_begin(c->format, a->prompt, a->n_prompt, &a->place);
        return GAB_OK;
    }
    int32_t *longer = realloc(a->prompt, (a->n_prompt + a->n_token) * sizeof *longer);
    if (!longer) return fail_memory(a);
    memcpy(longer + a->n_prompt, a->tokens, a->n_token * sizeof *longer);
    a->prompt = longer;
    a->n_prompt += a->n_token;
    return GAB_OK;
}

/* Whether the system prompt and the last message fit without any other: else nothing is forgotten in vain. */
static gab_status fits_alone(const answer *a, bool *fits) {
    const chat *c = a->chat;
    gab_chat_message both[2];
    size_t n = 0, n_token;
    int32_t *tokens;
    if (c->messages.n > 1 && chat_messages_system(&c->messages)) both[n++] = c->messages.items[0];
    both[n++] = c->messages.items[c->messages.n - 1];
    GAB_TRY(gab_chat_render(c->format, both, n, true, &tokens, &n_token));
    gab_tokens_free(&tokens);
    *fits = n_token + a->n_token < c->info.context;
    return GAB_OK;
}

/* Drops turns until a quarter of the context is free; *fits says whether there is any room at all. */
static gab_status make_room(answer *a, bool *fits) {
    chat *c = a->chat;
    const size_t context = c->info.context, enough = context - context / 4;
    size_t n_before = c->messages.n;
    GAB_TRY(fits_alone(a, fits));
    while (*fits && a->n_prompt > enough && chat_messages_drop_oldest(&c->messages)) {
        if (cli_interrupt_seen()) return gab_fail(&c->console->log, GAB_ERROR_CANCELLED, "cancelled");
        GAB_TRY(render(a));
    }
    if (c->messages.n < n_before)
        cli_console_say(c->console, "the context of %zu tokens is full: the oldest %zu messages are forgotten", context,
                        n_before - c->messages.n);
    *fits = a->n_prompt < context;
    return GAB_OK;
}

static gab_status feed(answer *a) {
    chat *c = a->chat;
    const int64_t asked = c->options->n_predict;
    const size_t n_predict = asked < 0 ? (size_t)INT32_MAX : (size_t)asked - a->n_token;
    size_t n_kept;
    GAB_TRY(gab_session_keep_common(c->session, a->prompt, a->n_prompt, &n_kept));
    if (a->n_token == 0) a->n_kept = n_kept;
    return gab_session_feed(c->session, a->prompt + n_kept, a->n_prompt - n_kept, n_predict);
}

/* ---- the answer -------------------------------------------------------------------------------------------------- */

static gab_status emit(answer *a, const char *text) {
    const size_t n = strlen(text);
    if (n == 0) return GAB_OK;
    GAB_TRY(grow(a, (void **)&a->text, &a->text_size, a->n_text + n + 1, 1));
    memcpy(a->text + a->n_text, text, n + 1);
    a->n_text += n;
    if (a->chat->options->json) return GAB_OK;
    GAB_TRY(cli_output_write(&a->chat->output, text, n));
    return cli_output_flush(&a->chat->output);
}

/* Thoughts are shown quietly where a user looks on, and are no part of the answer. */
static void show_thought(const answer *a, const char *text) {
    const bool dim = a->chat->dim;
    if (text[0] && a->chat->interactive && !a->chat->options->json)
        fprintf(stderr, "%s%s%s", dim ? "\033[2m" : "", text, dim ? "\033[0m" : "");
}

static gab_status show(answer *a, int32_t token) {
    const gab_chat_part part = gab_chat_follow(a->chat->format, token, &a->place);
    if (part == GAB_CHAT_FRAME) return GAB_OK;
    if (a->part == GAB_CHAT_THOUGHT && part == GAB_CHAT_SAID) show_thought(a, "\n");
    a->part = part;
    if (part == GAB_CHAT_SAID) return emit(a, gab_text_stream_push(a->stream, token));
    show_thought(a, gab_text_stream_push(a->thoughts, token));
    return GAB_OK;
}

/* Takes tokens until the session's turn is over. */
static gab_status take(answer *a) {
    chat *c = a->chat;
    if (cli_interrupt_seen()) gab_session_cancel(c->session); /* before there was a turn */
    for (;;) {
        gab_event event;
        gab_session_stats stats;
        GAB_TRY(gab_session_next(c->session, &event));
        if (event.stop != GAB_STOP_NONE) {
            a->stop = event.stop;
            gab_session_get_stats(c->session, &stats);
            a->n_computed += stats.n_prompt;
            a->prompt_ms += stats.prompt_ms;
            a->decode_ms += stats.decode_ms;
            return GAB_OK;
        }
        if (gab_text_stream_stopped(a->stream)) continue;
        GAB_TRY(grow(a, (void **)&a->tokens, &a->tokens_size, a->n_token + 1, sizeof *a->tokens));
        a->tokens[a->n_token++] = event.token;
        GAB_TRY(show(a, event.token));
        if (gab_text_stream_stopped(a->stream)) gab_session_cancel(c->session);
    }
}

/* The tokens of the answer; while the context is full and turns may be dropped, with fewer of them. */
static gab_status make(answer *a) {
    chat *c = a->chat;
    bool fits = true;
    GAB_TRY(render(a));
    if (a->n_prompt >= c->info.context && c->options->session.context_shift) GAB_TRY(make_room(a, &fits));
    if (a->n_prompt >= c->info.context)
        return gab_fail(&c->console->log, GAB_ERROR_CONTEXT_FULL,
                        "the conversation has %zu tokens, the context holds %u: /undo takes back the last turn, "
                        "--context-shift forgets the oldest ones%s",
                        a->n_prompt, c->info.context,
                        c->info.context < c->info.n_ctx_train ? ", -c N makes it larger" : "");
    for (;;) {
        gab_status status = feed(a);
        if (status == GAB_OK) status = take(a);
        if (status != GAB_OK) {
            gab_session_cancel(c->session);
            return status;
        }
        if (a->stop != GAB_STOP_CONTEXT || !c->options->session.context_shift) return GAB_OK;
        const size_t n_message = c->messages.n;
        GAB_TRY(render(a));
        GAB_TRY(make_room(a, &fits));
        if (!fits || c->messages.n == n_message) return GAB_OK;
    }
}

/* ---- what is said of it ------------------------------------------------------------------------------------------ */

static const char *stop_text(const answer *a) {
    return gab_text_stream_stopped(a->stream) ? "string" : gab_stop_text(a->stop);
}

static size_t context_left(const chat *c) {
    return c->info.context - gab_session_n_token(c->session);
}

static gab_status print_json(answer *a) {
    chat *c = a->chat;
    char seed[24];
    snprintf(seed, sizeof seed, "%llu", (unsigned long long)c->sampling.seed);
    cJSON *object = cJSON_CreateObject();
    cJSON_AddStringToObject(object, "role", "assistant");
    cJSON_AddStringToObject(object, "content", a->text ? a->text : "");
    cJSON_AddStringToObject(object, "stop", stop_text(a));
    cJSON_AddRawToObject(object, "seed", seed);
    cJSON_AddNumberToObject(object, "n_kept", (double)a->n_kept);
    cJSON_AddNumberToObject(object, "n_prompt", (double)a->n_computed);
    cJSON_AddNumberToObject(object, "n_decode", (double)a->n_token);
    cJSON_AddNumberToObject(object, "n_message", (double)c->messages.n);
    cJSON_AddNumberToObject(object, "context_left", (double)context_left(c));
    cli_json_number(object, "prompt_ms", a->prompt_ms);
    cli_json_number(object, "decode_ms", a->decode_ms);
    cli_json_engine(object, &c->info);
    GAB_TRY(cli_output_json(&c->output, object));
    return cli_output_flush(&c->output);
}

static void say_summary(const answer *a) {
    const chat *c = a->chat;
    if (a->stop == GAB_STOP_CONTEXT)
        cli_console_say(c->console,
                        "the context of %u tokens is full: /undo takes back the last turn, --context-shift forgets the "
                        "oldest ones",
                        c->info.context);
    if (!c->interactive && !c->options->verbose) return;
    const double speed = a->decode_ms > 0 && a->n_token > 1 ? ((double)a->n_token - 1) * 1000 / a->decode_ms : 0;
    cli_console_say_faintly(c->console, c->dim, "%zu tokens, %.1f tokens/s; %zu of %u left", a->n_token, speed,
                            context_left(c), c->info.context);
    if (c->options->verbose)
        cli_console_say(c->console, "prompt: %zu tokens kept, %llu computed in %.1f ms; stop: %s", a->n_kept,
                        (unsigned long long)a->n_computed, a->prompt_ms, stop_text(a));
}

/* There is no answer: as before. */
static gab_status take_back(const answer *a) {
    chat *c = a->chat;
    if (c->before && !chat_messages_add(&c->messages, "assistant", c->before, strlen(c->before))) return fail_memory(a);
    if (c->asked) chat_messages_drop_last(&c->messages);
    return GAB_OK;
}

static gab_status finish(answer *a) {
    chat *c = a->chat;
    gab_status status = emit(a, gab_text_stream_finish(a->stream));
    if (!c->options->json && (c->interactive || a->n_text == 0 || a->text[a->n_text - 1] != '\n')) {
        gab_status newline = cli_output_print(&c->output, "\n");
        if (newline == GAB_OK) newline = cli_output_flush(&c->output);
        if (status == GAB_OK) status = newline;
    }
    GAB_TRY(status);
    if (a->n_text > 0) {
        if (!chat_messages_add(&c->messages, "assistant", a->text, a->n_text)) return fail_memory(a);
    } else { /* templates refuse empty answers, and messages without one */
        GAB_TRY(take_back(a));
        cli_console_say(c->console, "nothing was said: %s",
                        c->before  ? "the answer of before stays"
                        : c->asked ? "the message is taken back"
                                   : "/retry asks again");
    }
    say_summary(a);
    return c->options->json ? print_json(a) : GAB_OK;
}

static gab_status open_stream(answer *a) {
    const chat *c = a->chat;
    const char *stop = gab_chat_stop_string(c->format);
    GAB_TRY(gab_text_stream_create(gab_engine_tokenizer(c->engine), &a->stream));
    GAB_TRY(gab_text_stream_create(gab_engine_tokenizer(c->engine), &a->thoughts));
    if (stop) GAB_TRY(gab_text_stream_add_stop(a->stream, stop));
    for (uint32_t i = 0; i < c->options->stop.n; i++)
        GAB_TRY(gab_text_stream_add_stop(a->stream, c->options->stop.items[i]));
    return GAB_OK;
}

gab_status chat_answer(chat *c, bool *cancelled) {
    answer a = {.chat = c};
    *cancelled = false;
    cli_interrupt_take();
    gab_status status = open_stream(&a);
    if (status == GAB_OK) status = make(&a);
    if (status == GAB_OK) {
        status = finish(&a);
        *cancelled = cli_interrupt_take();
    } else {
        if (a.n_text > 0 && !c->options->json) cli_output_print(&c->output, "\n");
        take_back(&a); /* what has failed is the answer */
    }
    gab_text_stream_destroy(&a.stream);
    gab_text_stream_destroy(&a.thoughts);
    gab_tokens_free(&a.prompt);
    free(a.tokens);
    free(a.text);
    return status;
}
