/* A device that is lost while it works: the text goes on as if nothing had been, or the turn fails; nothing hangs. */
#include <stdatomic.h>

#include "run_test.h"

enum { VOCAB = 300 };

static gab_test_calls calls;

/* Counts the warnings of a loss, and may cause the next one at once. */
static struct {
    atomic_uint n_lost;
    atomic_uint again_at; /* submit after the warning; 0: none */
    unsigned n_again;     /* how often; the scheduler's thread */
} losses;

static void on_message(void *user, gab_log_level level, const char *message) {
    const gab_log log = gab_test_log();
    (void)user;
    log.fn(log.user, level, message);
    if (level != GAB_LOG_WARNING || !strstr(message, "the device was lost")) return;
    losses.n_lost++;
    if (losses.again_at > 0 && losses.n_again > 0) {
        losses.n_again--;
        calls.lose_device_at(losses.again_at);
    }
}

static void arm(uint64_t submit, unsigned again_at, unsigned n_again) {
    losses.n_lost = 0;
    losses.again_at = again_at;
    losses.n_again = n_again;
    calls.lose_device_at(submit);
}

static gab_engine *engine_on(const char *device, const char *model) {
    gab_engine_options options = gab_test_engine_options(device, model);
    options.log = on_message;
    return gab_test_engine_with(&options);
}

static void each_device(void (*body)(const char *device)) {
    calls = gab_test_calls_start();
    gab_test_each_engine_device(body);
}

/* ---- once ---- */

static void once(const char *device) {
    int32_t tokens[100];
    gab_engine *engine = engine_on(device, gab_test_small_model());
    const gab_session_options options = gab_test_session_options(1, 1);
    gab_test_tokens(1, VOCAB, tokens, 100);
    gab_test_text expected = gab_test_alone(engine, &options, tokens, 100, 40);
    static const unsigned at[] = {1, 2, 17}; /* in the prompt, at the first tokens, later */
    for (int i = 0; i < 3; i++) {
        arm(at[i], 0, 0);
        gab_test_text text = gab_test_alone(engine, &options, tokens, 100, 40);
        gab_test_same_text(&text, &expected, "after a loss");
        CHECK(losses.n_lost == 1);
    }
    arm(0, 0, 0);
    gab_test_text text = gab_test_alone(engine, &options, tokens, 100, 40);
    gab_test_same_text(&text, &expected, "without a loss again");
    CHECK(losses.n_lost == 0);
    gab_engine_destroy(&engine);
}
GAB_TEST(text_goes_on_after_a_loss) {
    each_device(once);
}

static void real_weights(const char *device) {
    const int32_t tokens[] = {100, 200, 300, 400};
    gab_engine *engine = engine_on(device, gab_test_tales());
    const gab_session_options options = gab_test_session_options(0, 0);
    gab_test_text expected = gab_test_alone(engine, &options, tokens, 4, 16);
    arm(9, 0, 0);
    gab_test_text text = gab_test_alone(engine, &options, tokens, 4, 16);
    gab_test_same_text(&text, &expected, "after a loss");
    CHECK(losses.n_lost == 1);
    gab_engine_destroy(&engine);
}
GAB_TEST(text_goes_on_with_real_weights) {
    each_device(real_weights);
}

/* Every session finds its pages again, those that are idle too. */
static void several(const char *device) {
    int32_t tokens[100];
    gab_engine *engine = engine_on(device, gab_test_small_model());
    const gab_session_options options = gab_test_session_options(1, 2);
    gab_test_tokens(2, VOCAB, tokens, 100);
    gab_test_text first = gab_test_alone(engine, &options, tokens, 70, 10);
    memcpy(tokens + 70, first.tokens, 10 * sizeof *tokens);
    gab_test_text expected = gab_test_alone(engine, &options, tokens, 80, 30);

    gab_session *a = gab_test_session(engine, 1, 2), *b = NULL, *c = NULL;
    gab_test_turn(a, tokens, 70, 10);
    CHECK_OK(gab_session_fork(a, &b));
    CHECK_OK(gab_session_fork(a, &c));
    arm(6, 0, 0);
    CHECK_OK(gab_session_feed(a, NULL, 0, 30));
    CHECK_OK(gab_session_feed(b, NULL, 0, 30));
    gab_test_text of_a = gab_test_take(a), of_b = gab_test_take(b);
    gab_test_text of_c = gab_test_turn(c, NULL, 0, 30);
    CHECK(losses.n_lost == 1);
    gab_test_same_text(&of_a, &expected, "the original");
    gab_test_same_text(&of_b, &expected, "the copy");
    gab_test_same_text(&of_c, &expected, "the copy that was idle");
    gab_session_destroy(&a);
    gab_session_destroy(&b);
    gab_session_destroy(&c);
    CHECK(gab_kv_pages_free(&engine->kv) == engine->kv.n_page);
    gab_engine_destroy(&engine);
}
GAB_TEST(all_sessions_go_on_after_a_loss) {
    each_device(several);
}

static void in_logits(const char *device) {
    enum { N = 60 };
    static float expected[N * VOCAB], logits[N * VOCAB];
    int32_t tokens[N];
    gab_engine *engine = engine_on(device, gab_test_small_model());
    gab_test_tokens(3, VOCAB, tokens, N);
    for (int i = 0; i < 2; i++) {
        gab_session *session = gab_test_session(engine, 0, 0);
        arm(i ? 4 : 0, 0, 0);
        CHECK_OK(gab_session_logits(session, tokens, N, 10, i ? logits : expected));
        CHECK(losses.n_lost == (unsigned)i);
        gab_session_destroy(&session);
    }
    gab_test_same(logits, expected, N * VOCAB, "logits after a loss");
    gab_engine_destroy(&engine);
}
GAB_TEST(logits_go_on_after_a_loss) {
    each_device(in_logits);
}

/* ---- too often ---- */

static void some_in_a_row(const char *device) {
    int32_t tokens[20];
    gab_engine *engine = engine_on(device, gab_test_small_model());
    const gab_session_options options = gab_test_session_options(1, 4);
    gab_test_tokens(4, VOCAB, tokens, 20);
    gab_test_text expected = gab_test_alone(engine, &options, tokens, 20, 10);
    arm(3, 1, 2); /* the device is lost again while it is opened, twice */
    gab_test_text text = gab_test_alone(engine, &options, tokens, 20, 10);
    gab_test_same_text(&text, &expected, "after three losses");
    CHECK(losses.n_lost == 3);
    gab_engine_destroy(&engine);
}
GAB_TEST(lost_again_while_opening) {
    each_device(some_in_a_row);
}

static void too_often_at(const char *device, unsigned again_at) {
    int32_t tokens[20];
    gab_engine *engine = engine_on(device, gab_test_small_model());
    const gab_session_options options = gab_test_session_options(1, 5);
    gab_event event = {0};
    gab_test_tokens(5, VOCAB, tokens, 20);
    gab_test_text expected = gab_test_alone(engine, &options, tokens, 20, 10);
    gab_session *session = gab_test_session(engine, 1, 5), *idle = gab_test_session(engine, 1, 5);
    gab_test_turn(idle, tokens, 20, 0);
    arm(1, again_at, 100);
    CHECK_OK(gab_session_feed(session, tokens, 20, 10));
    gab_test_fails(gab_session_next(session, &event), GAB_ERROR_DEVICE_LOST, "lost", NULL);
    CHECK(losses.n_lost == 3);
    /* It is not the end of the engine: the next turn opens the device again. */
    arm(0, 0, 0);
    gab_test_text text = gab_test_turn(session, NULL, 0, 10);
    gab_test_same_text(&text, &expected, "the turn after that");
    text = gab_test_turn(idle, NULL, 0, 10);
    gab_test_same_text(&text, &expected, "the idle session's turn");
    /* And a session and an engine can go when there is no device. */
    arm(1, again_at, 100);
    CHECK_OK(gab_session_feed(session, NULL, 0, 10));
    gab_test_fails(gab_session_next(session, &event), GAB_ERROR_DEVICE_LOST, NULL);
    CHECK_OK(gab_session_truncate(session, 5));
    arm(0, 0, 0);
    gab_session_destroy(&session);
    gab_session_destroy(&idle);
    gab_engine_destroy(&engine);
}

static void while_opening(const char *device) {
    too_often_at(device, 1);
}
GAB_TEST(lost_too_often_while_opening_is_an_error) {
    each_device(while_opening);
}

/* Opening works, and every first step loses the device: submits are counted while opening. */
static void while_working(const char *device) {
    gab_engine *engine = gab_test_engine(device, gab_test_small_model());
    uint64_t before = calls.get("vkQueueSubmit");
    gab_engine_destroy(&engine);
    engine = gab_test_engine(device, gab_test_small_model());
    uint64_t to_open = calls.get("vkQueueSubmit") - before;
    gab_engine_destroy(&engine);
    too_often_at(device, (unsigned)to_open + 1);
}
GAB_TEST(lost_too_often_while_working_is_an_error) {
    each_device(while_working);
}

GAB_TEST_MAIN()
