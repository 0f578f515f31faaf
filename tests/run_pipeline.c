/* A step is queued while one runs: the order of the calls, the same text as without, and what is dropped when a turn
 * ends. The device's functions are hooked where a case must happen at an exact step. */
#include <time.h>

#include "run_test.h"

enum { VOCAB = 300 };

/* ---- hooks; called by the scheduler's thread without the engine's lock ---- */

static struct {
    gab_engine *engine;
    struct VolkDeviceTable driver;
    char order[256];                    /* S: submit, W: wait */
    unsigned n_submit, n_wait;          /* so far */
    uint32_t first_parity;              /* of the first step */
    unsigned fail_at;                   /* the submit that fails; 0: none */
    VkResult (*after_wait)(unsigned n); /* called when the n-th wait is over, 1 for the first; NULL: nothing */
} hooks;

static void note(char call) {
    size_t n = strlen(hooks.order);
    if (n + 1 < sizeof hooks.order) hooks.order[n] = call;
}

static bool is_of_parity(VkCommandBuffer command, uint32_t parity) {
    for (const gab_plan *plan = hooks.engine->plans.first; plan; plan = plan->next)
        for (uint32_t i = 0; i < plan->lists[parity].n_primary; i++)
            if (plan->lists[parity].primaries[i] == command) return true;
    return false;
}

static VkResult VKAPI_CALL on_submit(VkQueue queue, uint32_t n, const VkSubmitInfo *submits, VkFence fence) {
    note('S');
    hooks.n_submit++;
    if (hooks.n_submit == 1) hooks.first_parity = is_of_parity(submits[0].pCommandBuffers[0], 1);
    if (hooks.n_submit == hooks.fail_at) return VK_ERROR_OUT_OF_HOST_MEMORY;
    return hooks.driver.vkQueueSubmit(queue, n, submits, fence);
}

static VkResult VKAPI_CALL on_wait(VkDevice device, const VkSemaphoreWaitInfo *info, uint64_t timeout) {
    note('W');
    VkResult result = hooks.driver.vkWaitSemaphores(device, info, timeout);
    hooks.n_wait++;
    if (result == VK_SUCCESS && hooks.after_wait) result = hooks.after_wait(hooks.n_wait);
    return result;
}

static void never(void) {
    FAIL("a call of Vulkan that is neither a submit nor a wait");
}

/* For the device that is open, while nothing runs. only: all functions that tokens do not need fail the case. */
static void hook(gab_engine *engine, bool only) {
    pthread_mutex_lock(&engine->lock);
    memset(&hooks, 0, sizeof hooks);
    hooks.engine = engine;
    hooks.driver = engine->vk->fn;
    if (only) { /* the table is an array of function pointers */
        void (*trap)(void) = never;
        for (size_t i = 0; i + sizeof trap <= sizeof engine->vk->fn; i += sizeof trap)
            memcpy((char *)&engine->vk->fn + i, &trap, sizeof trap);
        engine->vk->fn.vkGetQueryPoolResults = hooks.driver.vkGetQueryPoolResults; /* at one token in 64 */
    }
    engine->vk->fn.vkQueueSubmit = on_submit;
    engine->vk->fn.vkWaitSemaphores = on_wait;
    pthread_mutex_unlock(&engine->lock);
}

/* Counts from here, while nothing runs. */
static void arm(VkResult (*after_wait)(unsigned n), unsigned fail_at) {
    pthread_mutex_lock(&hooks.engine->lock);
    hooks.n_submit = hooks.n_wait = 0;
    hooks.after_wait = after_wait;
    hooks.fail_at = fail_at;
    pthread_mutex_unlock(&hooks.engine->lock);
}

static void unhook(void) {
    pthread_mutex_lock(&hooks.engine->lock);
    hooks.engine->vk->fn = hooks.driver;
    pthread_mutex_unlock(&hooks.engine->lock);
}

/* The device draws this token for the only row of the step that has just been waited for. */
static void draw(int32_t token) {
    const uint32_t parity = hooks.first_parity ^ ((hooks.n_wait - 1) % 2);
    memcpy(hooks.engine->plans.readbacks[parity].mapped, &token, sizeof token);
}

static gab_engine *engine_of(const char *device, const char *model, bool no_pipeline) {
    gab_engine_options options = gab_test_engine_options(device, model);
    options.no_pipeline = no_pipeline;
    return gab_test_engine_with(&options);
}

/* ---- the order of calls ---- */

static void check_order(const char *device, bool no_pipeline, const char *expected) {
    const int32_t tokens[] = {1, 2, 3, 4};
    gab_engine *engine = engine_of(device, gab_test_small_model(), no_pipeline);
    gab_session *session = gab_test_session(engine, 1, 1);
    gab_test_turn(session, tokens, 4, 3); /* the plans are recorded */
    hook(engine, true);
    CHECK(gab_test_turn(session, NULL, 0, 6).n == 6);
    if (strcmp(hooks.order, expected) != 0) FAIL("the calls for 6 tokens are %s, expected %s", hooks.order, expected);
    unhook();
    gab_session_destroy(&session);
    gab_engine_destroy(&engine);
}

static void order(const char *device) {
    check_order(device, false, "SSWSWSWSWSWW");
    check_order(device, true, "SWSWSWSWSWSW");
}
GAB_TEST(next_step_is_queued_before_the_last_is_read_in_two_calls_a_token) {
    gab_test_each_engine_device(order);
}

/* ---- the same text ---- */

enum { N_SESSION = 4, N_ROUND = 4 };

typedef struct script {
    gab_engine *engine;
    uint64_t seed;
    gab_test_text texts[N_ROUND];
    size_t n_token[N_ROUND];
} script;

/* Turns of a session with forks and truncations between them, all by its seed. */
static void *play(void *arg) {
    script *s = arg;
    gab_test_random random = {s->seed};
    gab_session *session = NULL;
    gab_session_options options = gab_test_session_options(s->seed % 3 ? 1.0f : 0.0f, s->seed);
    options.sampling.repeat_penalty = s->seed % 2 ? 1.0f : 1.3f;
    options.ignore_end = s->seed % 4 == 0;
    options.context_shift = true;
    CHECK_OK(gab_session_create(s->engine, &options, &session));
    for (int i = 0; i < N_ROUND; i++) {
        int32_t tokens[100];
        const size_t n = 1 + gab_test_random_u32(&random) % 100, n_predict = 1 + gab_test_random_u32(&random) % 90;
        gab_session *copy = NULL;
        gab_test_tokens(s->seed + (uint64_t)i, VOCAB, tokens, n);
        if (n + gab_session_n_token(session) > 320) CHECK_OK(gab_session_truncate(session, 30));
        s->texts[i] = gab_test_turn(session, tokens, n, n_predict);
        s->n_token[i] = gab_session_n_token(session);
        if (gab_test_random_u32(&random) % 2) CHECK_OK(gab_session_truncate(session, s->n_token[i] / 2 + 1));
        if (gab_test_random_u32(&random) % 2) continue;
        CHECK_OK(gab_session_fork(session, &copy));
        gab_session_destroy(&session);
        session = copy;
    }
    gab_session_destroy(&session);
    return NULL;
}

static void same_text(const char *device) {
    static script with[N_SESSION], without[N_SESSION];
    gab_thread threads[N_SESSION];
    for (int no_pipeline = 0; no_pipeline < 2; no_pipeline++) {
        script *scripts = no_pipeline ? without : with;
        gab_engine *engine = engine_of(device, gab_test_small_model(), no_pipeline);
        for (int i = 0; i < N_SESSION; i++) {
            scripts[i] = (script){.engine = engine, .seed = 100 + (uint64_t)i};
            if (no_pipeline) /* one after the other */
                play(&scripts[i]);
            else
                CHECK(gab_thread_start(&threads[i], play, &scripts[i]));
        }
        for (int i = 0; !no_pipeline && i < N_SESSION; i++) gab_thread_join(threads[i]);
        CHECK(gab_kv_pages_free(&engine->kv) == engine->kv.n_page);
        gab_engine_destroy(&engine);
    }
    for (int i = 0; i < N_SESSION; i++)
        for (int r = 0; r < N_ROUND; r++) {
            char what[64];
            snprintf(what, sizeof what, "session %d, turn %d", i, r);
            gab_test_same_text(&with[i].texts[r], &without[i].texts[r], what);
            CHECK(with[i].n_token[r] == without[i].n_token[r]);
            CHECK(with[i].texts[r].stop_token == without[i].texts[r].stop_token);
        }
}
GAB_TEST(several_sessions_say_the_same_without_pipelining) {
    gab_test_each_engine_device(same_text);
}

/* Greedy with a strong penalty: each token depends on those just drawn, which the list of a queued step has as
 * GAB_TOKEN_SAMPLED. */
static void penalty(const char *device) {
    const int32_t tokens[] = {7, 8, 9};
    gab_test_text texts[2];
    for (int i = 0; i < 2; i++) {
        gab_engine *engine = engine_of(device, gab_test_small_model(), i);
        gab_session_options options = gab_test_session_options(0, 0);
        options.sampling.repeat_penalty = 3;
        texts[i] = gab_test_alone(engine, &options, tokens, 3, 100);
        gab_engine_destroy(&engine);
    }
    gab_test_same_text(&texts[0], &texts[1], "greedy with a penalty");
    for (size_t i = 0; i < texts[0].n; i++) /* and works: nothing comes twice in a row */
        CHECK(i == 0 || texts[0].tokens[i] != texts[0].tokens[i - 1]);
}
GAB_TEST(penalty_sees_the_token_that_is_being_drawn) {
    gab_test_each_engine_device(penalty);
}

/* No step is queued behind the last position, which lies inside a page here. */
static void context_full(const char *device) {
    int32_t tokens[60];
    gab_test_text texts[2][2];
    gab_test_tokens(32, VOCAB, tokens, 60);
    for (int i = 0; i < 2; i++) {
        gab_engine_options options = gab_test_engine_options(device, gab_test_small_model());
        options.context = 100;
        options.no_pipeline = i;
        gab_engine *engine = gab_test_engine_with(&options);
        gab_session_options turns = gab_test_session_options(1, 7);
        for (int shift = 0; shift < 2; shift++) {
            turns.context_shift = shift;
            texts[i][shift] = gab_test_alone(engine, &turns, tokens, 60, 200);
            CHECK(texts[i][shift].stop == (shift ? GAB_STOP_COUNT : GAB_STOP_CONTEXT));
        }
        gab_engine_destroy(&engine);
    }
    gab_test_same_text(&texts[0][0], &texts[1][0], "until the context is full");
    gab_test_same_text(&texts[0][1], &texts[1][1], "with shifts of the context");
}
GAB_TEST(full_context_ends_or_shifts_as_without_pipelining) {
    gab_test_each_engine_device(context_full);
}

/* ---- a turn ends with a step queued ---- */

enum { PROMPT = 60, END = 299 };
static unsigned end_at; /* wait after which the end token has been drawn */

static VkResult draw_end(unsigned n) {
    if (n == end_at) draw(END);
    return VK_SUCCESS;
}

static gab_session *cancelled;

static VkResult cancel_session(unsigned n) {
    if (n == end_at) gab_session_cancel(cancelled);
    return VK_SUCCESS;
}

static uint32_t pages_in_use(gab_engine *engine) {
    pthread_mutex_lock(&engine->lock);
    uint32_t n = engine->kv.n_page - gab_kv_pages_free(&engine->kv);
    pthread_mutex_unlock(&engine->lock);
    return n;
}

/* Waits until the dropped step is done: then the session has the pages of what it has computed, no more. */
static void check_settles(gab_engine *engine, const gab_session *session) {
    for (uint32_t n_step = 1; n_step > 0;) {
        const struct timespec some = {.tv_nsec = 1000 * 1000};
        nanosleep(&some, NULL);
        pthread_mutex_lock(&engine->lock);
        n_step = session->n_step;
        if (n_step == 0) CHECK(session->n_page == (session->n_computed + GAB_PAGE - 1) / GAB_PAGE);
        pthread_mutex_unlock(&engine->lock);
    }
    CHECK(pages_in_use(engine) == session->n_page);
}

typedef enum after { GOES_ON, WAITS, FORKS, TRUNCATES, GOES_AWAY, AFTERS } after;

/* The turn has ended after `made` tokens: the session is what one without pipelining would be. */
static void check_after(gab_engine *engine, gab_session *session, const int32_t *prompt, const gab_test_text *whole,
                        size_t made, after what) {
    const gab_session_options options = gab_test_session_options(1, 5);
    const int32_t more[] = {11, 12, 13};
    int32_t history[PROMPT + 64];
    size_t n = PROMPT + made;
    memcpy(history, prompt, PROMPT * sizeof *history);
    memcpy(history + PROMPT, whole->tokens, made * sizeof *history);
    CHECK(gab_session_n_token(session) == n);
    gab_session *copy = NULL;
    if (what == GOES_AWAY) { /* another session gets the slot and the pages at once */
        gab_session_destroy(&session);
        session = gab_test_session(engine, 1, 5);
        CHECK_OK(gab_session_feed(session, history, n, 0));
        CHECK(gab_test_take(session).n == 0);
    }
    if (what == WAITS) check_settles(engine, session);
    if (what == TRUNCATES) CHECK_OK(gab_session_truncate(session, n -= 3));
    if (what == FORKS) {
        CHECK_OK(gab_session_fork(session, &copy));
        gab_test_turn(copy, more + 1, 1, 5);
        gab_session_destroy(&copy);
    }
    memcpy(history + n, more, sizeof more);
    gab_test_text text = gab_test_turn(session, more, 3, 20);
    CHECK(pages_in_use(engine) == (n + 3 + 19 + GAB_PAGE - 1) / GAB_PAGE); /* none is left over */
    gab_session_destroy(&session);
    CHECK(pages_in_use(engine) == 0);
    gab_test_text expected = gab_test_alone(engine, &options, history, n + 3, 20);
    gab_test_same_text(&text, &expected, "the next turn");
}

/* The queued step, which is dropped, writes the last position of a page, the first of a new one, the second. */
static void ends(const char *device, bool by_cancelling) {
    int32_t prompt[PROMPT];
    gab_test_text whole;
    gab_engine *engine = engine_of(device, gab_test_small_model(), false);
    CHECK(gab_tokenizer_is_end(gab_engine_tokenizer(engine), END));
    gab_session_options options = gab_test_session_options(1, 5);
    gab_test_tokens(30, VOCAB - 1, prompt, PROMPT);
    whole = gab_test_alone(engine, &options, prompt, PROMPT, 20);
    options.ignore_end = by_cancelling;
    hook(engine, false);
    for (end_at = 4; end_at <= 6; end_at++)
        for (int what = 0; what < AFTERS; what++) {
            const size_t made = by_cancelling ? end_at : end_at - 1; /* tokens that are not the end */
            gab_session *session = NULL;
            CHECK_OK(gab_session_create(engine, &options, &session));
            cancelled = session;
            arm(by_cancelling ? cancel_session : draw_end, 0);
            gab_test_text text = gab_test_turn(session, prompt, PROMPT, 20);
            CHECK(text.stop == (by_cancelling ? GAB_STOP_CANCELLED : GAB_STOP_END) && text.n == made);
            CHECK(memcmp(text.tokens, whole.tokens, made * sizeof *text.tokens) == 0);
            check_after(engine, session, prompt, &whole, made, what);
        }
    gab_engine_destroy(&engine);
}

static void end_token(const char *device) {
    ends(device, false);
}
GAB_TEST(end_token_drops_the_queued_step) {
    gab_test_each_engine_device(end_token);
}

static void cancel(const char *device) {
    ends(device, true);
}
GAB_TEST(cancelling_drops_the_queued_step) {
    gab_test_each_engine_device(cancel);
}

/* A prompt of many submits: cancelling is seen between two of them, and the next turn computes what was not. */
static void break_off(const char *device) {
    enum { LONG = 250 };
    int32_t prompt[LONG];
    gab_engine_options options = gab_test_engine_options(device, gab_test_small_model());
    options.submit_budget_ms = 1;
    gab_engine *engine = gab_test_engine_with(&options);
    const gab_session_options session_options = gab_test_session_options(1, 5);
    gab_test_tokens(30, VOCAB - 1, prompt, LONG);
    const gab_test_text expected = gab_test_alone(engine, &session_options, prompt, LONG, 10);
    hook(engine, false);
    gab_session *session = gab_test_session(engine, 1, 5);
    arm(NULL, 0);
    CHECK_OK(gab_session_feed(session, prompt, LONG, 0));
    CHECK(gab_test_take(session).n == 0);
    const unsigned n_submit = hooks.n_submit;
    printf("%u submits\n", n_submit);
    gab_session_destroy(&session);
    end_at = 1;
    session = cancelled = gab_test_session(engine, 1, 5);
    arm(cancel_session, 0);
    gab_test_text text = gab_test_turn(session, prompt, LONG, 10);
    CHECK(text.n == 0 && text.stop == GAB_STOP_CANCELLED);
    if (n_submit > 4) CHECK(hooks.n_submit < n_submit && hooks.n_submit <= 4 && session->n_computed == 0);
    check_settles(engine, session);
    arm(NULL, 0);
    text = gab_test_turn(session, NULL, 0, 10);
    gab_test_same_text(&text, &expected, "after a prompt that was broken off");
    gab_session_destroy(&session);
    CHECK(pages_in_use(engine) == 0);
    gab_engine_destroy(&engine);
}
GAB_TEST(cancelling_breaks_a_prompt_off) {
    gab_test_each_engine_device(break_off);
}

/* Another session's tokens go on where one ends. */
static void one_of_two(const char *device) {
    int32_t tokens[20];
    gab_engine *engine = engine_of(device, gab_test_small_model(), false);
    gab_session_options options = gab_test_session_options(1, 6);
    gab_test_tokens(31, VOCAB - 1, tokens, 20);
    gab_test_text expected = gab_test_alone(engine, &options, tokens, 20, 150);
    gab_session *stays = gab_test_session(engine, 1, 6);
    CHECK_OK(gab_session_feed(stays, tokens, 20, 150));
    options.ignore_end = false;
    options.sampling.temperature = 1000; /* ends soon, by the end token or by cancelling */
    for (int i = 0; i < 12; i++) {
        gab_session *other = NULL;
        options.sampling.seed = (uint64_t)i;
        CHECK_OK(gab_session_create(engine, &options, &other));
        CHECK_OK(gab_session_feed(other, tokens, 1 + (size_t)i, 300));
        gab_event event;
        for (int n = 0; n <= i % 4; n++) CHECK_OK(gab_session_next(other, &event));
        if (i % 3 == 0) gab_session_cancel(other);
        gab_session_destroy(&other);
    }
    gab_test_text text = gab_test_take(stays);
    gab_test_same_text(&text, &expected, "the session that stays");
    gab_session_destroy(&stays);
    CHECK(pages_in_use(engine) == 0);
    gab_engine_destroy(&engine);
}
GAB_TEST(sessions_that_end_leave_the_others_alone) {
    gab_test_each_engine_device(one_of_two);
}

/* ---- a prompt is taken up ---- */

enum { FED_AT = 5 };
static gab_session *joining;
static bool joined;

static VkResult feed_another(unsigned n) {
    const int32_t tokens[] = {1, 2, 3, 4, 5};
    if (n == FED_AT) CHECK_OK(gab_session_feed(joining, tokens, 5, 1));
    if (n != FED_AT + 3) return VK_SUCCESS;
    pthread_mutex_lock(&hooks.engine->lock);
    joined = joining->n_event > 0;
    pthread_mutex_unlock(&hooks.engine->lock);
    return VK_SUCCESS;
}

/* Fed while step 5 runs and 6 is queued, it is in step 7. */
static void joins(const char *device) {
    const int32_t token = 17;
    gab_engine *engine = engine_of(device, gab_test_small_model(), false);
    gab_session *session = gab_test_session(engine, 1, 1);
    joining = gab_test_session(engine, 1, 2);
    joined = false;
    hook(engine, false);
    arm(feed_another, 0);
    CHECK(gab_test_turn(session, &token, 1, 20).n == 20);
    CHECK(gab_test_take(joining).n == 1);
    CHECK(joined);
    gab_session_destroy(&joining);
    gab_session_destroy(&session);
    gab_engine_destroy(&engine);
}
GAB_TEST(prompt_waits_for_one_queued_step_at_most) {
    gab_test_each_engine_device(joins);
}

/* ---- failures with a step queued ---- */

static VkResult lose(unsigned n) {
    return n == FED_AT ? VK_ERROR_DEVICE_LOST : VK_SUCCESS;
}

static void lost(const char *device) {
    const int32_t tokens[] = {21, 22, 23};
    gab_engine *engine = engine_of(device, gab_test_small_model(), false);
    const gab_session_options options = gab_test_session_options(1, 3);
    gab_test_text expected = gab_test_alone(engine, &options, tokens, 3, 30);
    hook(engine, false); /* the device that is opened then has none */
    arm(lose, 0);
    gab_test_text text = gab_test_alone(engine, &options, tokens, 3, 30);
    CHECK(hooks.n_wait == FED_AT);
    gab_test_same_text(&text, &expected, "after a loss");
    CHECK(pages_in_use(engine) == 0);
    gab_engine_destroy(&engine);
}
GAB_TEST(device_lost_with_a_step_queued) {
    gab_test_each_engine_device(lost);
}

/* The submit of the queued step fails for another reason: the turn does, and the next one goes on. */
static void submit_fails(const char *device) {
    const int32_t tokens[] = {21, 22, 23};
    gab_engine *engine = engine_of(device, gab_test_small_model(), false);
    const gab_session_options options = gab_test_session_options(1, 4);
    gab_test_text expected = gab_test_alone(engine, &options, tokens, 3, 30);
    gab_session *session = gab_test_session(engine, 1, 4);
    hook(engine, false);
    arm(NULL, FED_AT);
    size_t n = 0;
    gab_event event = {0};
    CHECK_OK(gab_session_feed(session, tokens, 3, 30));
    gab_status status = gab_session_next(session, &event);
    for (; status == GAB_OK; status = gab_session_next(session, &event)) {
        CHECK(event.stop == GAB_STOP_NONE && event.token == expected.tokens[n]);
        n++;
    }
    gab_test_fails(status, GAB_ERROR_HOST_MEMORY, "vkQueueSubmit", NULL);
    CHECK(n == FED_AT - 2); /* the step that ran was not read */
    gab_test_text text = gab_test_turn(session, NULL, 0, 30 - n);
    expected.n -= n;
    memmove(expected.tokens, expected.tokens + n, expected.n * sizeof *expected.tokens);
    gab_test_same_text(&text, &expected, "the turn after the failure");
    gab_session_destroy(&session);
    CHECK(pages_in_use(engine) == 0);
    gab_engine_destroy(&engine);
}
GAB_TEST(failing_to_queue_a_step_ends_the_turn_only) {
    gab_test_each_engine_device(submit_fails);
}

GAB_TEST_MAIN()
