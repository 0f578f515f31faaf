/* One session: turns, how they end, what is refused, forks and truncation. */
#include <math.h>
#include <time.h>

#include "run_test.h"

enum { VOCAB = 300 }; /* of the small model */

static gab_engine *small_engine(const char *device, uint32_t context) {
    gab_engine_options options = gab_test_engine_options(device, gab_test_small_model());
    options.context = context;
    return gab_test_engine_with(&options);
}

/* ---- prompts ---- */

static void chunks_of(const char *device, const char *model, uint32_t n_vocab, gab_kv_type kv, double limit) {
    enum { N = 150 };
    static const uint32_t sizes[] = {0, 64, 7, 1};
    static float whole[N * 4096], part[N * 4096];
    int32_t tokens[N];
    gab_engine_options options = gab_test_engine_options(device, model);
    options.kv = kv;
    gab_engine *engine = gab_test_engine_with(&options);
    const size_t n = strstr(engine->info.device, "SwiftShader") ? 40 : N; /* ten times slower than others */
    gab_test_tokens(1, n_vocab, tokens, N);
    for (int i = 0; i < 4; i++) {
        const size_t first = sizes[i] == 1 ? n - 10 : 0; /* one by one is slow */
        gab_session *session = gab_test_session(engine, 0, 0);
        float *logits = i == 0 ? whole : part;
        CHECK_OK(gab_session_logits(session, tokens, first, 0, logits));
        CHECK_OK(gab_session_logits(session, tokens + first, n - first, sizes[i], logits + first * n_vocab));
        CHECK(gab_session_n_token(session) == n);
        for (size_t r = 0; i > 0 && r < n; r++) {
            double distance = gab_test_distance(part + r * n_vocab, whole + r * n_vocab, n_vocab);
            if (distance > limit) FAIL("chunks of %u: row %zu differs by %g", sizes[i], r, distance);
        }
        gab_session_destroy(&session);
    }
    gab_engine_destroy(&engine);
}

/* An f16 cache sees a small difference as none, or as half of its last place: up to 1.3e-4 has been seen. */
static void chunks(const char *device) {
    chunks_of(device, gab_test_tales(), 4096, GAB_KV_F32, 1e-5);
    chunks_of(device, gab_test_small_model(), VOCAB, GAB_KV_F16, 1e-3);
}
GAB_TEST(chunks_of_a_prompt_agree) {
    gab_test_each_engine_device(chunks);
}

static void prompt_only(const char *device) {
    int32_t tokens[20];
    gab_engine *engine = small_engine(device, 0);
    gab_session *session = gab_test_session(engine, 1, 3);
    gab_test_tokens(2, VOCAB, tokens, 20);
    gab_test_text nothing = gab_test_turn(session, tokens, 20, 0);
    CHECK(nothing.n == 0 && nothing.stop == GAB_STOP_COUNT && nothing.stop_token == -1);
    nothing = gab_test_turn(session, NULL, 0, 0);
    CHECK(nothing.n == 0 && nothing.stop == GAB_STOP_COUNT);
    /* going on from a computed prompt is the same as doing it at once */
    gab_test_text text = gab_test_turn(session, NULL, 0, 30);
    const gab_session_options options = gab_test_session_options(1, 3);
    gab_test_text expected = gab_test_alone(engine, &options, tokens, 20, 30);
    gab_test_same_text(&text, &expected, "prompt first");
    gab_session_destroy(&session);
    gab_engine_destroy(&engine);
}
GAB_TEST(prompt_without_tokens_to_make) {
    gab_test_each_engine_device(prompt_only);
}

/* ---- the context ---- */

static void context_full(const char *device) {
    int32_t tokens[60];
    gab_engine *engine = small_engine(device, 64);
    gab_session *session = gab_test_session(engine, 1, 5);
    gab_test_tokens(3, VOCAB, tokens, 60);
    gab_test_text text = gab_test_turn(session, tokens, 60, 100);
    CHECK(text.stop == GAB_STOP_CONTEXT && text.n == 64 - 60 + 1); /* the last needs no position */
    CHECK(gab_session_n_token(session) == 64);
    gab_test_fails(gab_session_feed(session, tokens, 1, 1), GAB_ERROR_CONTEXT_FULL, "1 token", "64 of 64", "context",
                   NULL);
    text = gab_test_turn(session, NULL, 0, 10); /* the last position's token again */
    CHECK(text.stop == GAB_STOP_CONTEXT && text.n == 1);
    gab_session_destroy(&session);

    session = gab_test_session(engine, 1, 5);
    text = gab_test_turn(session, tokens, 60, 5);
    CHECK(text.stop == GAB_STOP_COUNT && text.n == 5);
    gab_session_destroy(&session);
    gab_engine_destroy(&engine);
}
GAB_TEST(context_full_stops_after_the_right_number) {
    gab_test_each_engine_device(context_full);
}

static void too_much(const char *device) {
    int32_t tokens[70];
    gab_engine *engine = small_engine(device, 64);
    gab_session *session = gab_test_session(engine, 1, 5);
    gab_test_tokens(3, VOCAB, tokens, 70);
    gab_test_fails(gab_session_feed(session, tokens, 65, 1), GAB_ERROR_CONTEXT_FULL, "65 tokens", "0 of 64", NULL);
    CHECK(gab_session_n_token(session) == 0);
    gab_test_text text = gab_test_turn(session, tokens, 50, 1);
    CHECK(text.stop == GAB_STOP_COUNT);
    gab_test_fails(gab_session_feed(session, tokens, 14, 1), GAB_ERROR_CONTEXT_FULL, "14 tokens", "51 of 64", NULL);
    float logits[1];
    gab_test_fails(gab_session_logits(session, tokens, 14, 0, logits), GAB_ERROR_CONTEXT_FULL, "14 tokens", NULL);
    text = gab_test_turn(session, tokens, 13, 1);
    CHECK(text.n == 1);
    gab_session_destroy(&session);
    gab_engine_destroy(&engine);
}
GAB_TEST(feeding_too_much_names_both_numbers) {
    gab_test_each_engine_device(too_much);
}

static void shift(const char *device) {
    int32_t history[65];
    gab_engine *engine = small_engine(device, 64);
    gab_session_options options = gab_test_session_options(0.9f, 6);
    options.context_shift = true;
    gab_test_tokens(4, VOCAB, history, 60);
    gab_test_text text = gab_test_alone(engine, &options, history, 60, 100);
    CHECK(text.stop == GAB_STOP_COUNT && text.n == 100);
    memcpy(history + 60, text.tokens, 5 * sizeof *history); /* the fifth did not fit: 32 of 64 were kept, then it */
    gab_test_text expected = {.n = 95, .stop = GAB_STOP_COUNT};
    memcpy(expected.tokens, text.tokens + 5, 95 * sizeof *text.tokens);
    gab_test_text fresh = gab_test_alone(engine, &options, history + 32, 33, 95);
    gab_test_same_text(&fresh, &expected, "after the shift");
    gab_engine_destroy(&engine);
}
GAB_TEST(context_shift_goes_on_from_the_kept_half) {
    gab_test_each_engine_device(shift);
}

/* ---- cancelling ---- */

static void *cancel_later(void *session) {
    const struct timespec some = {.tv_nsec = 20 * 1000 * 1000};
    nanosleep(&some, NULL);
    gab_session_cancel(session);
    return NULL;
}

static void cancel(const char *device) {
    int32_t tokens[10];
    gab_thread thread;
    gab_engine *engine = small_engine(device, 64);
    gab_session_options options = gab_test_session_options(1, 7);
    options.context_shift = true;
    gab_session *session = NULL;
    CHECK_OK(gab_session_create(engine, &options, &session));
    gab_test_tokens(5, VOCAB, tokens, 10);
    gab_session_cancel(session); /* before a turn: nothing */
    gab_test_text text = gab_test_turn(session, tokens, 10, 3);
    CHECK(text.stop == GAB_STOP_COUNT && text.n == 3);

    CHECK_OK(gab_session_feed(session, tokens, 2, 1000 * 1000));
    CHECK(gab_thread_start(&thread, cancel_later, session));
    gab_event event = {0};
    while (event.stop == GAB_STOP_NONE) CHECK_OK(gab_session_next(session, &event));
    CHECK(event.stop == GAB_STOP_CANCELLED && event.token == -1);
    gab_thread_join(thread);

    text = gab_test_turn(session, tokens, 1, 4); /* and it goes on */
    CHECK(text.stop == GAB_STOP_COUNT && text.n == 4);
    gab_session_destroy(&session);
    gab_engine_destroy(&engine);
}
GAB_TEST(cancel_from_another_thread) {
    gab_test_each_engine_device(cancel);
}

/* A prompt that was cancelled is still the history: the next turn computes what was not. */
static void cancel_prompt(const char *device) {
    enum { N = 250 };
    int32_t tokens[N];
    gab_engine *engine = small_engine(device, 0);
    const gab_session_options options = gab_test_session_options(1, 8);
    gab_test_tokens(6, VOCAB, tokens, N);
    gab_test_text expected = gab_test_alone(engine, &options, tokens, N, 10);
    gab_session *session = gab_test_session(engine, 1, 8);
    CHECK_OK(gab_session_feed(session, tokens, N, 0));
    gab_session_cancel(session);
    gab_test_text text = gab_test_take(session);
    CHECK(text.n == 0 && (text.stop == GAB_STOP_CANCELLED || text.stop == GAB_STOP_COUNT));
    text = gab_test_turn(session, NULL, 0, 10);
    gab_test_same_text(&text, &expected, "after a cancelled prompt");
    gab_session_destroy(&session);
    gab_engine_destroy(&engine);
}
GAB_TEST(cancelled_prompt_goes_on) {
    gab_test_each_engine_device(cancel_prompt);
}

/* ---- history ---- */

static void truncate_history(const char *device) {
    enum { N = 130, KEEP = 72, CHUNK = 8 }; /* whole chunks, so that both times the rows lie in the same plans */
    static float first[N * VOCAB], again[N * VOCAB];
    int32_t tokens[N];
    gab_engine *engine = small_engine(device, 0);
    gab_session *session = gab_test_session(engine, 0, 0);
    gab_test_tokens(7, VOCAB, tokens, N);
    CHECK_OK(gab_session_logits(session, tokens, N, CHUNK, first));
    CHECK_OK(gab_session_truncate(session, 1000)); /* more than there is: nothing */
    CHECK(gab_session_n_token(session) == N);
    for (int i = 0; i < 2; i++) {
        CHECK_OK(gab_session_truncate(session, KEEP));
        CHECK(gab_session_n_token(session) == KEEP);
        CHECK_OK(gab_session_logits(session, tokens + KEEP, N - KEEP, CHUNK, again));
        gab_test_same(again, first + KEEP * VOCAB, (N - KEEP) * VOCAB, "logits after truncation");
    }
    CHECK_OK(gab_session_truncate(session, 0));
    CHECK(gab_session_n_token(session) == 0);
    CHECK(gab_kv_pages_free(&engine->kv) == engine->kv.n_page);
    CHECK_OK(gab_session_logits(session, tokens, KEEP, CHUNK, again));
    gab_test_same(again, first, (N - KEEP) * VOCAB, "logits from the start");
    gab_session_destroy(&session);
    gab_engine_destroy(&engine);
}
GAB_TEST(truncate_and_feed_again_gives_the_same_bits) {
    gab_test_each_engine_device(truncate_history);
}

/* Only what is not common is computed, and what is made then is what a session of its own makes. */
static void keep_common(const char *device) {
    enum { N = 90, COMMON = 70 };
    int32_t tokens[N], other[N];
    size_t n_kept = 0;
    gab_session_stats stats;
    gab_engine *engine = small_engine(device, 0);
    gab_session *session = gab_test_session(engine, 0, 0);
    const gab_session_options options = gab_test_session_options(0, 0);
    gab_test_tokens(7, VOCAB, tokens, N);
    memcpy(other, tokens, sizeof other);
    other[COMMON] = (other[COMMON] + 1) % VOCAB;
    const gab_test_text first = gab_test_turn(session, tokens, N, 9);
    CHECK_OK(gab_session_keep_common(session, other, N, &n_kept));
    CHECK(n_kept == COMMON && gab_session_n_token(session) == COMMON);
    gab_test_text text = gab_test_turn(session, other + n_kept, N - n_kept, 9);
    gab_session_get_stats(session, &stats);
    CHECK(stats.n_prompt == N - COMMON);
    gab_test_text expected = gab_test_alone(engine, &options, other, N, 9);
    gab_test_same_text(&text, &expected, "after a common beginning");
    CHECK_OK(gab_session_keep_common(session, other, N, &n_kept)); /* all of them, to be answered once more */
    CHECK(n_kept == N);
    text = gab_test_turn(session, NULL, 0, 9);
    gab_test_same_text(&text, &expected, "again");
    CHECK_OK(gab_session_keep_common(session, tokens, 0, &n_kept)); /* nothing */
    CHECK(n_kept == 0 && gab_session_n_token(session) == 0);
    text = gab_test_turn(session, tokens, N, 9);
    gab_test_same_text(&text, &first, "from the start");
    gab_session_destroy(&session);
    gab_engine_destroy(&engine);
}
GAB_TEST(keep_common_computes_the_rest_only) {
    gab_test_each_engine_device(keep_common);
}

static void set_sampling(const char *device) {
    int32_t tokens[20];
    gab_engine *engine = small_engine(device, 0);
    gab_session *session = gab_test_session(engine, 1, 1);
    const gab_session_options options = gab_test_session_options(1, 2);
    gab_sampling wrong = options.sampling;
    wrong.top_p = 0;
    gab_test_tokens(7, VOCAB, tokens, 20);
    gab_test_fails(gab_session_set_sampling(session, &wrong), GAB_ERROR_ARGUMENT, "top_p", NULL);
    CHECK_OK(gab_session_set_sampling(session, &options.sampling));
    gab_test_text text = gab_test_turn(session, tokens, 20, 20);
    gab_test_text expected = gab_test_alone(engine, &options, tokens, 20, 20);
    gab_test_same_text(&text, &expected, "another seed");
    gab_session_destroy(&session);
    gab_engine_destroy(&engine);
}
GAB_TEST(another_sampler) {
    gab_test_each_engine_device(set_sampling);
}

static uint32_t pages_in_use(gab_engine *engine) {
    pthread_mutex_lock(&engine->lock);
    uint32_t n = engine->kv.n_page - gab_kv_pages_free(&engine->kv);
    pthread_mutex_unlock(&engine->lock);
    return n;
}

/* What a session says after its tokens, beside what a fresh one says that was fed with all its history. */
static void check_goes_on(gab_engine *engine, gab_session *session, const int32_t *tokens, size_t n, int32_t *history,
                          size_t *n_history, const char *what) {
    gab_test_text text = gab_test_turn(session, tokens, n, 12);
    for (size_t i = 0; i < n; i++) history[*n_history + i] = tokens[i];
    *n_history += n;
    const gab_session_options options = gab_test_session_options(1, 9);
    gab_test_text expected = gab_test_alone(engine, &options, history, *n_history, 12);
    gab_test_same_text(&text, &expected, what);
    memcpy(history + *n_history, text.tokens, text.n * sizeof *history);
    *n_history += text.n;
}

static void fork_session(const char *device) {
    enum { N = 100 }; /* one whole page and a part */
    int32_t tokens[N], of_a[320], of_b[320], more[2][7];
    gab_engine *engine = small_engine(device, 0);
    gab_session *a = gab_test_session(engine, 1, 9), *b = NULL;
    gab_test_tokens(8, VOCAB, tokens, N);
    gab_test_tokens(9, VOCAB, more[0], 7);
    gab_test_tokens(10, VOCAB, more[1], 7);
    gab_test_turn(a, tokens, N, 0);
    CHECK(pages_in_use(engine) == 2);
    CHECK_OK(gab_session_fork(a, &b));
    CHECK(gab_session_n_token(b) == N && pages_in_use(engine) == 2);

    memcpy(of_a, tokens, sizeof tokens);
    memcpy(of_b, tokens, sizeof tokens);
    size_t n_a = N, n_b = N;
    check_goes_on(engine, a, NULL, 0, of_a, &n_a, "the original");
    CHECK(pages_in_use(engine) == 3); /* the part of a page is copied, the whole one is still shared */
    check_goes_on(engine, b, NULL, 0, of_b, &n_b, "the copy");
    CHECK(pages_in_use(engine) == 3);
    CHECK(memcmp(of_a, of_b, n_a * sizeof *of_a) == 0);
    for (int i = 0; i < 2; i++) { /* apart, in turns */
        check_goes_on(engine, a, more[0], 7, of_a, &n_a, "the original, fed otherwise");
        check_goes_on(engine, b, more[1], 7, of_b, &n_b, "the copy, fed otherwise");
    }
    CHECK_OK(gab_session_truncate(a, 10)); /* writes into the page that is shared */
    n_a = 10;
    check_goes_on(engine, a, more[0], 7, of_a, &n_a, "the original, truncated");
    check_goes_on(engine, b, more[0], 7, of_b, &n_b, "the copy after that");
    gab_session_destroy(&a);
    check_goes_on(engine, b, more[1], 7, of_b, &n_b, "the copy alone");
    gab_session_destroy(&b);
    CHECK(pages_in_use(engine) == 0);
    gab_engine_destroy(&engine);
}
GAB_TEST(fork_shares_pages_and_goes_apart) {
    gab_test_each_engine_device(fork_session);
}

/* ---- what is refused ---- */

static void wrong_options(const char *device) {
    gab_engine *engine = small_engine(device, 64);
    gab_session *session = NULL;
    const gab_session_options good = gab_session_options_default();
    gab_session_options bad[16];
    for (int i = 0; i < 16; i++) bad[i] = good;
    bad[0].struct_size--;
    bad[1].sampling.temperature = NAN;
    bad[2].sampling.temperature = -1;
    bad[3].sampling.temperature = INFINITY;
    bad[4].sampling.top_p = 0;
    bad[5].sampling.top_p = 1.01f;
    bad[6].sampling.top_p = NAN;
    bad[7].sampling.min_p = -0.1f;
    bad[8].sampling.min_p = 2;
    bad[9].sampling.min_p = NAN;
    bad[10].sampling.repeat_penalty = 0;
    bad[11].sampling.repeat_penalty = NAN;
    bad[12].sampling.repeat_penalty = INFINITY;
    static const char *const names[13] = {"gab_session_options",
                                          "temperature",
                                          "temperature",
                                          "temperature",
                                          "top_p",
                                          "top_p",
                                          "top_p",
                                          "min_p",
                                          "min_p",
                                          "min_p",
                                          "repeat_penalty",
                                          "repeat_penalty",
                                          "repeat_penalty"};
    for (int i = 0; i < 13; i++) {
        gab_test_fails(gab_session_create(engine, &bad[i], &session), GAB_ERROR_ARGUMENT, names[i], "expected", NULL);
        CHECK(!session);
    }
    const int32_t token = 1;
    gab_test_text text = gab_test_alone(engine, &good, &token, 1, 3);
    CHECK(text.n > 0 || text.stop == GAB_STOP_END);
    gab_engine_destroy(&engine);
}
GAB_TEST(wrong_options_are_refused) {
    gab_test_each_engine_device(wrong_options);
}

static void wrong_calls(const char *device) {
    int32_t tokens[3] = {1, 2, 3};
    gab_event event;
    gab_engine *engine = small_engine(device, 64);
    gab_session_options options = gab_test_session_options(1, 10);
    options.context_shift = true;
    gab_session *session = NULL, *copy = NULL;
    float logits[3 * VOCAB];
    CHECK_OK(gab_session_create(engine, &options, &session));
    gab_test_fails(gab_session_next(session, &event), GAB_ERROR_ARGUMENT, "no turn", "feed", NULL);
    gab_test_fails(gab_session_feed(session, NULL, 0, 5), GAB_ERROR_ARGUMENT, "at least one token", NULL);
    tokens[1] = VOCAB;
    gab_test_fails(gab_session_feed(session, tokens, 3, 5), GAB_ERROR_ARGUMENT, "token 300", "vocabulary of 300", NULL);
    tokens[1] = -1;
    gab_test_fails(gab_session_feed(session, tokens, 3, 5), GAB_ERROR_ARGUMENT, "token -1", NULL);
    gab_test_fails(gab_session_logits(session, tokens, 3, 0, logits), GAB_ERROR_ARGUMENT, "token -1", NULL);
    CHECK(gab_session_n_token(session) == 0);
    tokens[1] = 2;

    CHECK_OK(gab_session_feed(session, tokens, 3, 1000 * 1000));
    gab_test_fails(gab_session_feed(session, tokens, 3, 1), GAB_ERROR_ARGUMENT, "still running", NULL);
    gab_test_fails(gab_session_logits(session, tokens, 3, 0, logits), GAB_ERROR_ARGUMENT, "still running", NULL);
    gab_test_fails(gab_session_fork(session, &copy), GAB_ERROR_ARGUMENT, "forked while", NULL);
    gab_test_fails(gab_session_truncate(session, 1), GAB_ERROR_ARGUMENT, "truncated while", NULL);
    CHECK(!copy);
    gab_session_cancel(session);
    event.stop = GAB_STOP_NONE;
    while (event.stop == GAB_STOP_NONE) CHECK_OK(gab_session_next(session, &event));
    CHECK(event.stop == GAB_STOP_CANCELLED);
    gab_test_text text = gab_test_turn(session, tokens, 3, 4);
    CHECK(text.n == 4);
    gab_session_destroy(&session);
    gab_session_destroy(&session); /* NULL by now */
    gab_session_destroy(NULL);
    gab_engine_destroy(&engine);
}
GAB_TEST(wrong_calls_are_refused_and_the_engine_goes_on) {
    gab_test_each_engine_device(wrong_calls);
}

/* ---- ends and figures ---- */

static void end_token(const char *device) {
    const gguf_build_gpt2_config config = {
        .n_vocab = 32, .n_ctx = 256, .n_embd = 32, .n_head = 2, .n_layer = 1, .seed = 12};
    gguf_build *b = gguf_build_new(3);
    gguf_build_gpt2(b, &config);
    gab_engine *engine = gab_test_engine(device, gguf_build_temp(b));
    gguf_build_free(&b);
    const int32_t token = 1, end = 31;
    CHECK(gab_tokenizer_is_end(gab_engine_tokenizer(engine), end));
    gab_session_options options = gab_test_session_options(1000, 13); /* all tokens alike */
    gab_test_text ignored = gab_test_alone(engine, &options, &token, 1, 200);
    CHECK(ignored.n == 200 && ignored.stop == GAB_STOP_COUNT);
    size_t first = 0;
    while (first < 200 && ignored.tokens[first] != end) first++;
    CHECK(first > 0 && first < 199); /* made, and gone on from */

    options.ignore_end = false;
    gab_session *session = NULL;
    CHECK_OK(gab_session_create(engine, &options, &session));
    gab_test_text text = gab_test_turn(session, &token, 1, 200);
    CHECK(text.stop == GAB_STOP_END && text.stop_token == end && text.n == first);
    CHECK(memcmp(text.tokens, ignored.tokens, first * sizeof *text.tokens) == 0);
    CHECK(gab_session_n_token(session) == 1 + first);
    gab_session_destroy(&session);
    gab_engine_destroy(&engine);
}
GAB_TEST(end_token_stops_unless_ignored) {
    gab_test_each_engine_device(end_token);
}

static void stats(const char *device) {
    int32_t tokens[40];
    gab_session_stats s;
    gab_engine *engine = small_engine(device, 0);
    gab_session *session = gab_test_session(engine, 1, 14);
    gab_test_tokens(15, VOCAB, tokens, 40);
    gab_session_get_stats(session, &s);
    CHECK(s.n_prompt == 0 && s.n_decode == 0 && s.prompt_ms == 0 && s.decode_ms == 0);
    gab_test_turn(session, tokens, 40, 20);
    gab_session_get_stats(session, &s);
    CHECK(s.n_prompt == 40 && s.n_decode == 20);
    CHECK(s.prompt_ms > 0 && s.decode_ms > 0 && s.prompt_ms < 1e5 && s.decode_ms < 1e5);
    gab_test_turn(session, tokens, 5, 1); /* the last token made was not computed yet */
    gab_session_get_stats(session, &s);
    CHECK(s.n_prompt == 6 && s.n_decode == 1 && s.decode_ms == 0 && s.prompt_ms > 0);
    gab_session_destroy(&session);
    gab_engine_destroy(&engine);
}
GAB_TEST(stats_are_sane) {
    gab_test_each_engine_device(stats);
}

GAB_TEST_MAIN()
