/* While tokens are made, nothing is recorded, written or allocated, and a token of a small model is one submit. */
#include "run_test.h"

static const char *const quiet[] = {"vkBeginCommandBuffer",   "vkAllocateCommandBuffers", "vkAllocateDescriptorSets",
                                    "vkUpdateDescriptorSets", "vkAllocateMemory",         "vkMapMemory",
                                    "vkCreateBuffer",         "vkCreateComputePipelines", "vkCmdDispatch",
                                    "vkCmdDispatchBase",      "vkCmdDispatchIndirect"};

enum { N_QUIET = sizeof quiet / sizeof *quiet };

static gab_test_calls calls;

static void note(uint64_t counts[N_QUIET]) {
    for (int i = 0; i < N_QUIET; i++) {
        counts[i] = calls.get(quiet[i]);
        CHECK(counts[i] != UINT64_MAX);
    }
}

static void check_quiet(const uint64_t before[N_QUIET], const char *what) {
    for (int i = 0; i < N_QUIET; i++) {
        uint64_t n = calls.get(quiet[i]) - before[i];
        if (n > 0) FAIL("%s: %llu calls of %s", what, (unsigned long long)n, quiet[i]);
    }
}

/* A CPU driver runs a token of this model in a few milliseconds; the others' first submits may be cut in pieces. */
static bool one_submit(const gab_engine *engine) {
    return strstr(engine->info.device, "llvmpipe") != NULL;
}

static void tales(const char *device) {
    enum { N = 20 };
    uint64_t before[N_QUIET];
    const int32_t tokens[] = {100, 200, 300, 400};
    gab_engine *engine = gab_test_engine(device, gab_test_tales());
    gab_session *session = gab_test_session(engine, 0.7f, 1);
    gab_test_turn(session, tokens, 4, 3); /* the shapes: 4 rows, 1 row */
    note(before);
    uint64_t n_submit = calls.get("vkQueueSubmit");
    CHECK(n_submit > 0);
    CHECK(gab_test_turn(session, NULL, 0, N).n == N);
    n_submit = calls.get("vkQueueSubmit") - n_submit;
    check_quiet(before, "20 tokens");
    if (one_submit(engine) ? n_submit != N : n_submit < N)
        FAIL("%llu submits for %d tokens", (unsigned long long)n_submit, N);
    CHECK(calls.get("vkQueueSubmit2") == 0);

    note(before);
    CHECK(gab_test_turn(session, tokens, 3, 5).n == 5); /* a prompt of a known shape: 3 and the last token */
    check_quiet(before, "a second prompt");
    gab_session_destroy(&session);
    gab_engine_destroy(&engine);
}
GAB_TEST(a_token_records_nothing_and_is_one_submit) {
    calls = gab_test_calls_start();
    gab_test_each_engine_device(tales);
}

/* Two sessions that say the same prompt one after the other; then both go on, together or apart by chance of timing, or
 * with `apart` surely apart. */
static void two_sessions(gab_engine *engine, const int32_t *tokens, uint32_t n_token, uint32_t n, bool apart) {
    enum { N_SESSION = 2 };
    gab_session *sessions[N_SESSION];
    for (int i = 0; i < N_SESSION; i++) sessions[i] = gab_test_session(engine, 1, 1);
    for (int i = 0; i < N_SESSION; i++) gab_test_turn(sessions[i], tokens, n_token, 1);
    for (int i = 0; i < N_SESSION; i++) {
        CHECK_OK(gab_session_feed(sessions[i], NULL, 0, n));
        if (apart) CHECK(gab_test_take(sessions[i]).n == n);
    }
    for (int i = 0; i < N_SESSION && !apart; i++) CHECK(gab_test_take(sessions[i]).n == n);
    for (int i = 0; i < N_SESSION; i++) gab_session_destroy(&sessions[i]);
}

/* A step of two rows, whose shape sessions that go on together need. */
static void prepare_two_rows(gab_engine *engine, uint32_t depth) {
    gab_plan *plan;
    pthread_mutex_lock(&engine->lock);
    const gab_plan_shape two = gab_plan_shape_for(&engine->plans, 2, 2, depth, false);
    CHECK_OK(gab_plan_get(&engine->plans, &two, &plan));
    pthread_mutex_unlock(&engine->lock);
}

/* Several sessions, once their shapes have been seen: pages are taken and given back, nothing else happens. A prompt
 * that took far longer or less than those before it (another program had the processor) has the plans cut again, on
 * purpose: then what was seen is forgotten, and the round says nothing. */
static void several(const char *device) {
    enum { N_TOKEN = 100, N = 120, ROUNDS_MAX = 8 };
    uint64_t before[N_QUIET];
    int32_t tokens[N_TOKEN];
    double speed = 0;
    gab_engine *engine = gab_test_engine(device, gab_test_small_model());
    gab_test_tokens(1, 300, tokens, N_TOKEN);
    for (int round = 0; round < ROUNDS_MAX && engine->plans.cost_per_ms != speed; round++) {
        speed = engine->plans.cost_per_ms;
        for (int i = 0; i < 2; i++) two_sessions(engine, tokens, N_TOKEN, N, true); /* the pools grow in the first */
        prepare_two_rows(engine, N_TOKEN + N);
        note(before);
        two_sessions(engine, tokens, N_TOKEN, N, false);
        if (engine->plans.cost_per_ms == speed) check_quiet(before, "two sessions");
    }
    CHECK(engine->plans.cost_per_ms == speed);
    gab_engine_destroy(&engine);
}
GAB_TEST(several_sessions_record_nothing) {
    calls = gab_test_calls_start();
    gab_test_each_engine_device(several);
}

/* With a budget below what a token takes, a token is several submits, and the text the same. */
static void small_budget(const char *device) {
    enum { N = 6 };
    const int32_t tokens[] = {100, 200, 300, 400};
    gab_engine_options options = gab_test_engine_options(device, gab_test_tales());
    const gab_session_options greedy = gab_test_session_options(0, 0);
    gab_engine *engine = gab_test_engine_with(&options);
    const gab_test_text expected = gab_test_alone(engine, &greedy, tokens, 4, N);
    gab_engine_destroy(&engine);
    options.submit_budget_ms = 1;
    engine = gab_test_engine_with(&options);
    uint64_t n_submit = calls.get("vkQueueSubmit");
    const gab_test_text text = gab_test_alone(engine, &greedy, tokens, 4, N);
    n_submit = calls.get("vkQueueSubmit") - n_submit;
    gab_test_same_text(&text, &expected, "a small budget");
    if (n_submit < 2 * N) FAIL("%llu submits for %d tokens of several milliseconds", (unsigned long long)n_submit, N);
    gab_engine_destroy(&engine);
}
GAB_TEST(a_small_budget_cuts_a_token_into_submits) {
    calls = gab_test_calls_start();
    gab_test_each_engine_device(small_budget);
}

GAB_TEST_MAIN()
