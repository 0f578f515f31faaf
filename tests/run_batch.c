/* Several sessions of one engine: the same text as alone, nobody waits for another's prompt, pages for all. */
#include <time.h>

#include "run_test.h"

enum { VOCAB = 300, N_SESSION = 4 };

/* ---- the same as alone ---- */

typedef struct job {
    gab_engine *engine;
    gab_session_options options;
    const int32_t *tokens;
    size_t n_token, n_predict;
    gab_test_text text;
} job;

static void *run_job(void *arg) {
    job *j = arg;
    j->text = gab_test_alone(j->engine, &j->options, j->tokens, j->n_token, j->n_predict);
    return NULL;
}

/* Sessions with prompts of several lengths, every other one greedy, first one after the other, then from threads. */
static void compare_with_alone(gab_engine *engine, uint32_t n_vocab, size_t n_longest, size_t n_predict) {
    static job alone[N_SESSION], together[N_SESSION];
    static int32_t tokens[N_SESSION][320];
    gab_thread threads[N_SESSION];
    for (size_t i = 0; i < N_SESSION; i++) {
        size_t n = n_longest / (i + 1);
        gab_test_tokens(20 + i, n_vocab, tokens[i], n);
        alone[i] = (job){.engine = engine,
                         .options = gab_test_session_options(i % 2 ? 1.0f : 0.0f, 30 + i),
                         .tokens = tokens[i],
                         .n_token = n,
                         .n_predict = n_predict};
        together[i] = alone[i];
        run_job(&alone[i]);
    }
    for (size_t i = 0; i < N_SESSION; i++) CHECK(gab_thread_start(&threads[i], run_job, &together[i]));
    for (size_t i = 0; i < N_SESSION; i++) {
        char what[64];
        gab_thread_join(threads[i]);
        snprintf(what, sizeof what, "session %zu beside others", i);
        gab_test_same_text(&together[i].text, &alone[i].text, what);
    }
}

static void threads_small(const char *device) {
    gab_engine *engine = gab_test_engine(device, gab_test_small_model());
    compare_with_alone(engine, VOCAB, 100, 40);
    gab_engine_destroy(&engine);
}
GAB_TEST(sessions_from_threads_say_what_they_say_alone) {
    gab_test_each_engine_device(threads_small);
}

static void threads_tales(const char *device) {
    gab_engine *engine = gab_test_engine(device, gab_test_tales());
    compare_with_alone(engine, 4096, 24, 8);
    gab_engine_destroy(&engine);
}
GAB_TEST(sessions_from_threads_with_real_weights) {
    gab_test_each_engine_device(threads_tales);
}

/* ---- memory ---- */

static void growth(const char *device) {
    gab_engine_info before, after;
    gab_engine *engine = gab_test_engine(device, gab_test_small_model());
    gab_engine_get_info(engine, &before);
    CHECK(engine->kv.n_page == 5); /* of one session: 320 positions; four with 260 need 20 */
    compare_with_alone(engine, VOCAB, 240, 20);
    compare_with_alone(engine, VOCAB, 160, 60);
    gab_engine_get_info(engine, &after);
    CHECK(after.kv_bytes > before.kv_bytes && engine->kv.n_page > 5);
    CHECK(gab_kv_pages_free(&engine->kv) == engine->kv.n_page);
    gab_engine_destroy(&engine);
}
GAB_TEST(pools_grow_and_results_stay) {
    gab_test_each_engine_device(growth);
}

/* When no page is left, the turn that needs one fails; the others go on, and so does it when pages come back. */
static void pool_full(const char *device) {
    int32_t tokens[300];
    gab_engine *engine = gab_test_engine(device, gab_test_small_model());
    gab_session *a = gab_test_session(engine, 1, 1), *b = gab_test_session(engine, 1, 2);
    const gab_session_options options = gab_test_session_options(1, 2);
    gab_event event;
    gab_test_tokens(40, VOCAB, tokens, 300);
    pthread_mutex_lock(&engine->lock);
    engine->kv.n_page_max = engine->kv.n_page;
    pthread_mutex_unlock(&engine->lock);
    gab_test_text expected = gab_test_alone(engine, &options, tokens, 70, 20);
    gab_test_turn(a, tokens, 250, 1); /* 4 pages of 5 */
    CHECK_OK(gab_session_feed(b, tokens, 70, 20));
    gab_test_fails(gab_session_next(b, &event), GAB_ERROR_LIMIT, "5 pages", "--context", NULL);
    gab_test_fails(gab_session_next(b, &event), GAB_ERROR_LIMIT, NULL); /* still */
    CHECK(gab_test_turn(a, tokens, 1, 2).n == 2);
    gab_session_destroy(&a);
    gab_test_text text = gab_test_turn(b, NULL, 0, 20);
    gab_test_same_text(&text, &expected, "when there are pages again");
    gab_session_destroy(&b);
    gab_engine_destroy(&engine);
}
GAB_TEST(full_pool_ends_only_the_turn_that_needs_a_page) {
    gab_test_each_engine_device(pool_full);
}

static void too_many(const char *device) {
    gab_engine_options options = gab_test_engine_options(device, gab_test_small_model());
    gab_session *sessions[3] = {0}, *more = NULL;
    const gab_session_options s = gab_test_session_options(1, 1);
    options.n_session = 3;
    gab_engine *engine = gab_test_engine_with(&options);
    for (int i = 0; i < 3; i++) sessions[i] = gab_test_session(engine, 1, 1);
    gab_test_fails(gab_session_create(engine, &s, &more), GAB_ERROR_LIMIT, "3 sessions", "destroy one", NULL);
    gab_test_fails(gab_session_fork(sessions[0], &more), GAB_ERROR_LIMIT, "3 sessions", NULL);
    CHECK(!more);
    gab_session_destroy(&sessions[1]);
    CHECK_OK(gab_session_create(engine, &s, &more));
    const int32_t token = 3;
    gab_test_text expected = gab_test_turn(sessions[0], &token, 1, 10);
    gab_test_text text = gab_test_turn(more, &token, 1, 10); /* in the slot that came back */
    gab_test_same_text(&text, &expected, "the fourth session");
    gab_session_destroy(&more);
    gab_session_destroy(&sessions[0]);
    gab_session_destroy(&sessions[2]);
    gab_engine_destroy(&engine);
}
GAB_TEST(more_sessions_than_asked_for_are_refused) {
    gab_test_each_engine_device(too_many);
}

/* ---- beside each other ---- */

/* A prompt of 1900 tokens takes many steps; a session that generates gets a token from each of them. */
static void long_prompt(const char *device) {
    enum { N = 1900 };
    static int32_t tokens[N];
    const gguf_build_gpt2_config config = {
        .n_vocab = 64, .n_ctx = 2048, .n_embd = 32, .n_head = 2, .n_layer = 1, .seed = 12};
    gguf_build *b = gguf_build_new(3);
    gguf_build_gpt2(b, &config);
    gab_engine *engine = gab_test_engine(device, gguf_build_temp(b));
    gguf_build_free(&b);
    gab_session *writer = gab_test_session(engine, 1, 1), *reader = gab_test_session(engine, 1, 2);
    const gab_session_options options = gab_test_session_options(1, 2);
    gab_test_tokens(50, 64, tokens, N);
    gab_test_text expected = gab_test_alone(engine, &options, tokens, N, 1);

    CHECK_OK(gab_session_feed(writer, tokens, 5, 2000));
    gab_event event;
    CHECK_OK(gab_session_next(writer, &event)); /* it runs */
    size_t before = gab_session_n_token(writer);
    gab_test_text text = gab_test_turn(reader, tokens, N, 1);
    size_t made = gab_session_n_token(writer) - before;
    gab_test_same_text(&text, &expected, "the long prompt beside a writer");
    if (made < N / 128) FAIL("only %zu tokens were made while a prompt of %d was read", made, N);
    if (made > 1000) FAIL("the prompt had to wait: %zu tokens were made meanwhile", made);
    gab_session_cancel(writer);
    while (event.stop == GAB_STOP_NONE) CHECK_OK(gab_session_next(writer, &event));
    gab_session_destroy(&writer);
    gab_session_destroy(&reader);
    gab_engine_destroy(&engine);
}
GAB_TEST(long_prompt_does_not_stop_another_session) {
    gab_test_each_engine_device(long_prompt);
}

static void logits_beside(const char *device) {
    enum { N = 100 };
    static float expected[N * VOCAB], logits[N * VOCAB];
    int32_t tokens[N];
    gab_engine *engine = gab_test_engine(device, gab_test_small_model());
    gab_session *writer = gab_test_session(engine, 1, 1);
    gab_test_tokens(60, VOCAB, tokens, N);
    gab_test_text alone = gab_test_turn(writer, tokens, 5, 150);
    CHECK_OK(gab_session_truncate(writer, 0));
    for (int i = 0; i < 2; i++) {
        gab_session *session = gab_test_session(engine, 0, 0);
        if (i == 1) CHECK_OK(gab_session_feed(writer, tokens, 5, 150));
        CHECK_OK(gab_session_logits(session, tokens, N, 10, i ? logits : expected));
        gab_session_destroy(&session);
    }
    size_t made = gab_session_n_token(writer) - 5; /* in turns with the ten steps of the logits */
    if (made < 8) FAIL("only %zu tokens were made while ten steps of logits ran", made);
    gab_test_same(logits, expected, N * VOCAB, "logits beside a writer");
    gab_test_text text = gab_test_take(writer);
    gab_test_same_text(&text, &alone, "the writer");
    gab_session_destroy(&writer);
    gab_engine_destroy(&engine);
}
GAB_TEST(logits_while_another_session_generates) {
    gab_test_each_engine_device(logits_beside);
}

/* ---- going away in the middle ---- */

static void destroyed(const char *device) {
    int32_t tokens[200];
    gab_engine *engine = gab_test_engine(device, gab_test_small_model());
    const gab_session_options options = gab_test_session_options(1, 3);
    gab_test_tokens(70, VOCAB, tokens, 200);
    gab_test_text expected = gab_test_alone(engine, &options, tokens, 20, 60);
    gab_session *stays = gab_test_session(engine, 1, 3);
    CHECK_OK(gab_session_feed(stays, tokens, 20, 60));
    for (int i = 0; i < 8; i++) { /* while a prompt is read, while tokens are made, before anything */
        const struct timespec some = {.tv_nsec = i * 3 * 1000 * 1000};
        gab_session *goes = gab_test_session(engine, 1, 4);
        if (i % 3 > 0) CHECK_OK(gab_session_feed(goes, tokens, i % 3 == 1 ? 200 : 3, 100));
        nanosleep(&some, NULL);
        gab_session_destroy(&goes);
        CHECK(!goes);
    }
    gab_test_text text = gab_test_take(stays);
    gab_test_same_text(&text, &expected, "the session that stayed");
    CHECK(engine->n_session == 1);
    gab_session_destroy(&stays);
    gab_engine_destroy(&engine);
}
GAB_TEST(sessions_destroyed_while_running) {
    gab_test_each_engine_device(destroyed);
}

GAB_TEST_MAIN()
