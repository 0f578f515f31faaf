/* An engine that tunes its kernels when it is made: once, with the same text ever after, whatever is lost meanwhile. */
#include "run_test.h"

enum { VOCAB = 300, N_PROMPT = 40 };

/* What was said of tuning. */
static struct { unsigned n_tuned, n_lost; } said;

static void on_message(void *user, gab_log_level level, const char *message) {
    const gab_log log = gab_test_log();
    (void)user;
    log.fn(log.user, level, message);
    said.n_tuned += strncmp(message, "tuned ", 6) == 0;
    said.n_lost += strstr(message, "the device was lost with it") != NULL;
}

static gab_engine *engine_tuned(const char *device, bool tune) {
    gab_engine_options options = gab_test_engine_options(device, gab_test_small_model());
    options.log = on_message;
    options.tune = tune;
    said.n_tuned = said.n_lost = 0;
    return gab_test_engine_with(&options);
}

static gab_test_text text_of(gab_engine *engine) {
    int32_t tokens[N_PROMPT];
    gab_test_tokens(1, VOCAB, tokens, N_PROMPT);
    const gab_session_options options = gab_test_session_options(1, 1);
    return gab_test_alone(engine, &options, tokens, N_PROMPT, 20);
}

static void check_same_variants(const gab_engine *a, const char *variants) {
    gab_engine_info info;
    gab_engine_get_info(a, &info);
    if (strcmp(info.variants, variants) != 0) FAIL("variants %s, expected %s", info.variants, variants);
}

static void once(const char *device) {
    gab_engine_info info;
    gab_engine *engine = engine_tuned(device, true);
    CHECK(said.n_tuned == 1);
    gab_engine_get_info(engine, &info);
    const gab_test_text expected = text_of(engine);
    gab_engine_destroy(&engine);
    for (int i = 0; i < 2; i++) {
        engine = engine_tuned(device, true);
        CHECK(said.n_tuned == 0);
        check_same_variants(engine, info.variants);
        const gab_test_text text = text_of(engine);
        gab_test_same_text(&text, &expected, "at another start");
        gab_engine_destroy(&engine);
    }
}
GAB_TEST(once) {
    gab_test_each_engine_device(once);
}

static void not_asked(const char *device) {
    gab_engine *engine = engine_tuned(device, false);
    CHECK(said.n_tuned == 0);
    gab_engine_destroy(&engine);
}
GAB_TEST(not_asked) {
    gab_test_each_engine_device(not_asked);
    CHECK(setenv("GABBRO_TUNE", "1", 1) == 0);
    CHECK(gab_engine_options_default().tune);
    CHECK(setenv("GABBRO_TUNE", "0", 1) == 0);
    CHECK(!gab_engine_options_default().tune);
    CHECK(unsetenv("GABBRO_TUNE") == 0);
    CHECK(gab_engine_options_default().tune);
}

/* The kernel that costs the device is left out from then on, also at the next start. */
GAB_TEST(lost_while_tuning) {
    const gab_test_calls calls = gab_test_calls_start();
    gab_engine_info info;
    gab_vk *vk = gab_test_vk_open(NULL);
    const bool executes = vk->executes;
    gab_test_vk_close(&vk);
    if (!executes) SKIP("the device computes nothing");
    calls.lose_device_at(6); /* after the probe */
    gab_engine *engine = engine_tuned(NULL, true);
    CHECK(said.n_lost == 1 && said.n_tuned == 1);
    gab_engine_get_info(engine, &info);
    const gab_test_text expected = text_of(engine);
    gab_engine_destroy(&engine);
    engine = engine_tuned(NULL, true);
    CHECK(said.n_lost == 0 && said.n_tuned == 0);
    check_same_variants(engine, info.variants);
    const gab_test_text text = text_of(engine);
    gab_test_same_text(&text, &expected, "at another start");
    gab_engine_destroy(&engine);
}

/* The table without an engine. */
GAB_TEST(table) {
    gab_engine_options options = gab_test_engine_options(NULL, gab_test_small_model());
    gab_engine_info info;
    gab_tune_result *results = NULL;
    size_t n = 0;
    options.variant = "lane";
    CHECK_OK(gab_engine_tune(&options, &info, &results, &n));
    CHECK(n == 5 && results[0].chosen && strncmp(results[0].operation, "matvec_f32", 10) == 0);
    CHECK(info.n_layer == 2 && info.device[0] && strlen(info.variants) == 16);
    gab_tune_results_free(&results);
    CHECK(!results);
    gab_tune_results_free(&results);
    gab_tune_results_free(NULL);
    options.struct_size--;
    CHECK(gab_engine_tune(&options, &info, &results, &n) == GAB_ERROR_ARGUMENT);
}

GAB_TEST_MAIN()
