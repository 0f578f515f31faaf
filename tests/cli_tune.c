/* `gabbro tune`: the table and its JSON, and that `gabbro run` then uses what it has chosen. */
#include "cli.h"

static char cache_home[64];

static void remove_cache(void) {
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", cache_home);
    if (system(command) != 0) fprintf(stderr, "%s is left behind\n", cache_home);
}

/* A cache folder of our own, with Mesa's where it was, and tuning on. */
static void setup(void) {
    cli_need_device();
    const char *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    char mesa[512];
    snprintf(mesa, sizeof mesa, xdg ? "%s" : "%s/.cache", xdg ? xdg : home ? home : "/tmp");
    CHECK(setenv("MESA_SHADER_CACHE_DIR", mesa, 0) == 0);
    snprintf(cache_home, sizeof cache_home, "/tmp/gabbro-cli-tune-XXXXXX");
    CHECK(mkdtemp(cache_home));
    atexit(remove_cache);
    CHECK(setenv("XDG_CACHE_HOME", cache_home, 1) == 0);
    CHECK(setenv("GABBRO_TUNE", "1", 1) == 0);
}

/* The row of an operation that is chosen. */
static const cJSON *chosen_of(const cJSON *json, const char *operation) {
    const cJSON *row, *found = NULL;
    cJSON_ArrayForEach(row, cJSON_GetObjectItemCaseSensitive(json, "results")) {
        if (strcmp(cli_json_text_of(row, "operation"), operation) != 0) continue;
        if (!cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(row, "chosen"))) continue;
        CHECK(!found);
        found = row;
    }
    if (!found) FAIL("no variant of %s is chosen", operation);
    return found;
}

GAB_TEST(json_then_run) {
    static const char *const operations[] = {"matvec_q8_0", "matmul_small_q8_0", "matmul_q8_0", "attention_decode",
                                             "attention_prefill"};
    setup();
    cJSON *json = cli_json(CLI("tune", "--json"));
    CHECK(cli_json_text_of(json, "device")[0] && cli_json_text_of(json, "driver")[0]);
    CHECK(strlen(cli_json_text_of(json, "variants")) == 16);
    const bool executes = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(json, "executes"));
    for (size_t i = 0; i < sizeof operations / sizeof *operations; i++) {
        const cJSON *row = chosen_of(json, operations[i]);
        if (!executes) continue;
        CHECK(strcmp(cli_json_text_of(row, "verdict"), "right") == 0);
        CHECK(cli_json_number_of(row, "ms") > 0 && cli_json_number_of(row, "gb_s") > 0);
        CHECK(cli_json_number_of(row, "error") <= cli_json_number_of(row, "error_max"));
    }
    /* The same set is used, and nothing is tuned. */
    if (executes) {
        cli_result run = CLI("run", "-p", "Once", "-n", "3", "--temp", "0", "-v", "--json");
        CHECK_EXIT(run, 0);
        CHECK_SAYS(run.err, cli_json_text_of(json, "variants"));
        CHECK_SAYS(run.err, "variants: matvec_q8_0=");
        CHECK(!strstr(run.err, "tuned"));
        cli_result_free(&run);
    }
    cJSON_Delete(json);
}

/* With all forced there is nothing to measure: the table says what is used. */
GAB_TEST(table) {
    setup();
    cli_result result = CLI("tune", "--variant", "group");
    CHECK_EXIT(result, 0);
    CHECK_SAYS(result.out, "GB/s");
    CHECK_SAYS(result.out, "matvec_q8_0: ");
    CHECK_SAYS(result.out, "attention_prefill: ");
    CHECK_SAYS(result.out, "\n* group");
    CHECK_SAYS(result.err, "* is used");
    cli_result_free(&result);
}

/* Without tuning nothing is written to the cache. */
GAB_TEST(no_tune) {
    setup();
    cli_result result = CLI("run", "-p", "Once", "-n", "3", "--temp", "0", "--no-tune", "-v");
    CHECK_EXIT(result, 0);
    CHECK(!strstr(result.err, "tuned"));
    CHECK_SAYS(result.err, "variants: matvec_q8_0=");
    cli_result_free(&result);
    char command[160];
    snprintf(command, sizeof command, "ls %s/gabbro | grep -q tuning", cache_home);
    CHECK(system(command) != 0);
}

GAB_TEST(failures) {
    cli_result result = CLI("tune", "-m", "/nonexistent.gguf");
    CHECK_EXIT(result, 1);
    CHECK_SAYS(result.err, "/nonexistent.gguf");
    CHECK(result.n_out == 0);
    cli_result_free(&result);
    result = CLI("tune", "-d", "no such device");
    CHECK_EXIT(result, 1);
    cli_result_free(&result);
}

/* What could not run there need not be tuned; and no advice to do what is done. */
GAB_TEST(too_large_a_model) {
    static const struct {
        const char *model, *remedy;
    } cases[] = {{"synth:gpt3-175b:f16", "try a smaller model or one quantized to Q8_0 or Q4_0\n"},
                 {"synth:gpt3-175b:q8_0", "try a smaller model or one quantized to Q4_0\n"},
                 {"synth:gpt3-175b:q4_0", "try a smaller model\n"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cli_result result = CLI("tune", "-m", cases[i].model);
        CHECK_EXIT(result, 1);
        CHECK_SAYS(result.err, cases[i].remedy);
        CHECK(result.n_out == 0);
        cli_result_free(&result);
    }
}

GAB_TEST_MAIN()
