/* `gabbro run` with the embedded model on the default device. */
#define _XOPEN_SOURCE 700 /* pseudo-terminals */
#include "cli.h"

#include <time.h>

static void sleep_ms(long ms) {
    const struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    nanosleep(&time, NULL);
}

static void check_same_text(const cli_result *a, const cli_result *b, bool same) {
    if ((strcmp(a->out, b->out) == 0) != same)
        FAIL("'%s' and '%s' %s", a->out, b->out, same ? "differ" : "are the same");
}

GAB_TEST(echoes_prompt_and_goes_on) {
    cli_need_device();
    cli_result result = CLI("run", "-p", "Once upon a time", "-n", "8", "--temp", "0");
    CHECK_EXIT(result, 0);
    CHECK(strncmp(result.out, "Once upon a time", 16) == 0);
    CHECK(result.n_out > 24 && result.out[result.n_out - 1] == '\n');
    CHECK_SAYS(result.err, "device: ");
    CHECK_SAYS(result.err, "; precision fast: f32 sums, narrower products where they are faster");
    cli_result_free(&result);
}

GAB_TEST(no_echo) {
    cli_need_device();
    cli_result with = CLI("run", "Once upon a time", "-n", "8", "--temp", "0");
    cli_result without = CLI("run", "Once upon a time", "-n", "8", "--temp", "0", "--no-echo", "-q");
    CHECK_EXIT(with, 0);
    CHECK_EXIT(without, 0);
    CHECK(strcmp(with.out + strlen("Once upon a time"), without.out) == 0);
    CHECK(without.n_err == 0); /* --quiet */
    cli_result_free(&with);
    cli_result_free(&without);
}

GAB_TEST(json_has_all_keys) {
    static const char *const numbers[] = {"load_ms", "prompt_ms", "decode_ms", "seed", "n_prompt", "n_decode"};
    static const char *const strings[] = {"text", "stop", "device", "driver", "variants", "model"};
    cli_need_device();
    cJSON *object = cli_json(
        CLI("run", "--json", "-n", "6", "--ignore-eos", "-p", "Once upon a time", "--seed", "18446744073709551615"));
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) CHECK(cli_json_number_of(object, numbers[i]) >= 0);
    for (size_t i = 0; i < sizeof strings / sizeof *strings; i++) CHECK(cli_json_text_of(object, strings[i])[0]);
    CHECK(cJSON_GetArraySize(cJSON_GetObjectItem(object, "prompt_tokens")) == 5);
    CHECK(cJSON_GetArraySize(cJSON_GetObjectItem(object, "tokens")) == 6);
    CHECK(strcmp(cli_json_text_of(object, "stop"), "count") == 0);
    CHECK(cli_json_number_of(object, "n_prompt") == 5);
    CHECK(cli_json_number_of(object, "n_decode") == 6);
    CHECK(cli_json_number_of(object, "load_ms") > 0);
    CHECK(strlen(cli_json_text_of(object, "variants")) == 16);
    cJSON_Delete(object);
}

GAB_TEST(synthetic_model) {
    if (GAB_TEST_ASAN) SKIP("a model of real size takes minutes on lavapipe under the sanitizer");
    cli_need_device();
    /* on lavapipe where there is one: other CPU drivers take minutes for a model of this size */
    const cli_result devices = CLI("devices");
    const char *device = strstr(devices.out, "llvmpipe") ? "llvmpipe" : "0";
    cJSON *object = cli_json(
        CLI("run", "--json", "-d", device, "-m", "synth:gpt2-124m:Q4_0", "-n", "3", "--ignore-eos", "-p", "Hello"));
    CHECK(strcmp(cli_json_text_of(object, "model"), "gpt2-124m in Q4_0, random weights") == 0);
    CHECK(cli_json_number_of(object, "n_prompt") == 5); /* bytes */
    CHECK(cli_json_number_of(object, "n_decode") == 3 && cli_json_text_of(object, "text")[0]);
    cJSON_Delete(object);
}

GAB_TEST(synthetic_model_too_large) {
    cli_need_device();
    cli_result result = CLI("run", "--json", "-m", "synth:gpt3-175b", "-p", "Hello");
    CHECK_EXIT(result, 1);
    CHECK(result.n_out == 0);
    CHECK_SAYS(result.err, "gabbro: error: synth:gpt3-175b needs 32");
    CHECK_SAYS(result.err, "try a smaller model");
    cli_result_free(&result);
}

/* Ends before the first of the texts, which may begin and end inside tokens; nothing behind it is printed. */
GAB_TEST(stop_string_ends_the_text) {
    cli_need_device();
    cli_result whole = CLI("run", "--temp", "0", "-n", "30", "--no-echo", "-q", "Once upon a time");
    CHECK_EXIT(whole, 0);
    CHECK(whole.n_out > 40);
    for (size_t at = 9; at < 40; at += 16) {
        char stop[8], expected[64];
        snprintf(stop, sizeof stop, "%.5s", whole.out + at);
        snprintf(expected, sizeof expected, "%.*s\n", (int)(strstr(whole.out, stop) - whole.out), whole.out);
        cli_result result = CLI("run", "--temp", "0", "-n", "30", "--no-echo", "-q", "--stop", "not in the text",
                                "--stop", stop, "Once upon a time");
        CHECK_EXIT(result, 0);
        if (strcmp(result.out, expected) != 0) FAIL("'%s' up to '%s' is '%s'", whole.out, stop, result.out);
        cli_result_free(&result);
    }
    cli_result_free(&whole);
    cJSON *object = cli_json(CLI("run", "--json", "--temp", "0", "--stop", "time", "-n", "4", "Once upon a time"));
    CHECK(strcmp(cli_json_text_of(object, "stop"), "count") == 0); /* the prompt's words do not count */
    cJSON_Delete(object);
    object = cli_json(CLI("run", "--json", "--temp", "0", "-n", "-1", "--context-shift", "--ignore-eos", "--stop", ".",
                          "Once upon a time"));
    CHECK(strcmp(cli_json_text_of(object, "stop"), "string") == 0);
    CHECK(!strchr(cli_json_text_of(object, "text"), '.'));
    CHECK(cJSON_GetArraySize(cJSON_GetObjectItem(object, "tokens")) == (int)cli_json_number_of(object, "n_decode"));
    cJSON_Delete(object);
}

/* What another implementation makes of the same weights. */
GAB_TEST(golden_text) {
    FILE *f = fopen(gab_test_model("tales-6m-hf/golden.json"), "rb");
    size_t n;
    if (!f) SKIP("no tales-6m-hf/golden.json");
    cli_need_device();
    char *text = cli_read_all(f, &n);
    cJSON *golden = cJSON_Parse(text);
    free(text);
    CHECK(golden);
    const cJSON *entry = cJSON_GetArrayItem(golden, 0);
    cJSON *made = cli_json(CLI("run", "--json", "--temp", "0", "-n", "64", "--precision", "exact", "--kv", "f32", "-p",
                               cli_json_text_of(entry, "prompt")));
    CHECK(cJSON_Compare(cJSON_GetObjectItem(made, "prompt_tokens"), cJSON_GetObjectItem(entry, "prompt_ids"), true));
    CHECK(cJSON_Compare(cJSON_GetObjectItem(made, "tokens"), cJSON_GetObjectItem(entry, "ids_q8"), true));
    CHECK(strcmp(cli_json_text_of(made, "text"), cli_json_text_of(entry, "text_q8")) == 0);
    cJSON_Delete(made);
    cJSON_Delete(golden);
}

GAB_TEST(same_seed_same_text) {
    cli_need_device();
    cli_result a = CLI("run", "-n", "32", "--temp", "1.5", "--seed", "7", "Once upon a time");
    cli_result b = CLI("run", "-n", "32", "--temp", "1.5", "--seed", "7", "Once upon a time");
    cli_result c = CLI("run", "-n", "32", "--temp", "1.5", "--seed", "8", "Once upon a time");
    CHECK_EXIT(a, 0);
    CHECK_EXIT(b, 0);
    CHECK_EXIT(c, 0);
    check_same_text(&a, &b, true);
    check_same_text(&a, &c, false);
    cli_result_free(&a);
    cli_result_free(&b);
    cli_result_free(&c);
}

/* One final newline of a piped prompt is not part of it. */
GAB_TEST(prompt_from_stdin_and_file) {
    cli_need_device();
    const char *path = cli_temporary();
    FILE *f = fopen(path, "wb");
    CHECK(f && fputs("Once upon a time\n", f) >= 0 && fclose(f) == 0);
    cli_result option = CLI("run", "-n", "8", "--temp", "0", "-p", "Once upon a time");
    cli_result piped = CLI_WITH({.in = "Once upon a time\n"}, "run", "-n", "8", "--temp", "0");
    cli_result file = CLI("run", "-n", "8", "--temp", "0", "-f", path);
    CHECK_EXIT(option, 0);
    CHECK_EXIT(piped, 0);
    CHECK_EXIT(file, 0);
    check_same_text(&option, &piped, true);
    check_same_text(&option, &file, true);
    remove(path);
    cli_result_free(&option);
    cli_result_free(&piped);
    cli_result_free(&file);
}

GAB_TEST(empty_prompt_starts_from_start_token) {
    cli_need_device();
    cJSON *object = cli_json(CLI("run", "--json", "-n", "4", "--ignore-eos"));
    CHECK(cJSON_GetArraySize(cJSON_GetObjectItem(object, "prompt_tokens")) == 1);
    CHECK(cJSON_GetArraySize(cJSON_GetObjectItem(object, "tokens")) == 4);
    cJSON_Delete(object);
}

GAB_TEST(no_tokens_asked_for) {
    cli_need_device();
    cli_result result = CLI("run", "-n", "0", "Once");
    CHECK_EXIT(result, 0);
    CHECK(strcmp(result.out, "Once\n") == 0);
    cli_result_free(&result);
}

GAB_TEST(context_full_is_said) {
    cli_need_device();
    cli_result result = CLI("run", "-c", "64", "-n", "-1", "--ignore-eos", "Once upon a time");
    CHECK_EXIT(result, 0);
    CHECK_SAYS(result.err, "context of 64 tokens is full; --context-shift");
    cli_result_free(&result);
    cJSON *object = cli_json(CLI("run", "--json", "-c", "64", "-n", "100", "--ignore-eos", "Once upon a time"));
    CHECK(strcmp(cli_json_text_of(object, "stop"), "context") == 0);
    cJSON_Delete(object);
}

GAB_TEST(prompt_longer_than_context) {
    cli_need_device();
    cli_result result = CLI("run", "-c", "8", "The cat and the dog and the bird and the fish went to the sea.");
    CHECK_EXIT(result, 1);
    CHECK(result.n_out == 0);
    CHECK_SAYS(result.err, "gabbro: error: ");
    CHECK_SAYS(result.err, "8 positions");
    cli_result_free(&result);
}

GAB_TEST(context_shift_goes_on) {
    cli_need_device();
    cJSON *object =
        cli_json(CLI("run", "--json", "-c", "64", "-n", "100", "--ignore-eos", "--context-shift", "Once upon a time"));
    CHECK(strcmp(cli_json_text_of(object, "stop"), "count") == 0);
    CHECK(cJSON_GetArraySize(cJSON_GetObjectItem(object, "tokens")) == 100);
    cJSON_Delete(object);
}

GAB_TEST(unknown_device_lists_what_exists) {
    cli_need_device();
    cJSON *devices = cli_json(CLI("devices", "--json"));
    const char *name = cli_json_text_of(cJSON_GetArrayItem(devices, 0), "name");
    cli_result result = CLI("run", "-d", "no-such-card", "Once");
    CHECK_EXIT(result, 1);
    CHECK(result.n_out == 0);
    CHECK_SAYS(result.err, "gabbro: error: ");
    CHECK_SAYS(result.err, "no-such-card");
    CHECK_SAYS(result.err, name);
    cli_result_free(&result);
    cJSON_Delete(devices);
}

GAB_TEST(devices_json) {
    static const char *const strings[] = {"name", "kind", "driver", "uuid", "vulkan"};
    int n_default = 0;
    cli_need_device();
    cJSON *devices = cli_json(CLI("devices", "--json"));
    CHECK(cJSON_IsArray(devices) && cJSON_GetArraySize(devices) > 0);
    const cJSON *device;
    cJSON_ArrayForEach(device, devices) {
        for (size_t i = 0; i < sizeof strings / sizeof *strings; i++) CHECK(cli_json_text_of(device, strings[i])[0]);
        CHECK(cli_json_number_of(device, "memory_total") > 0);
        CHECK(strlen(cli_json_text_of(device, "uuid")) == 36);
        n_default += cJSON_IsTrue(cJSON_GetObjectItem(device, "default"));
    }
    CHECK(n_default == 1);
    cJSON_Delete(devices);
}

GAB_TEST(device_by_name_and_uuid) {
    cli_need_device();
    cJSON *devices = cli_json(CLI("devices", "--json"));
    const cJSON *device;
    cJSON_ArrayForEach(device, devices) if (cJSON_IsTrue(cJSON_GetObjectItem(device, "default"))) break;
    CHECK(device);
    const char *const keys[] = {"name", "uuid"};
    for (int i = 0; i < 2; i++) {
        cJSON *made = cli_json(CLI("run", "--json", "-n", "1", "-d", cli_json_text_of(device, keys[i]), "Once"));
        CHECK(strcmp(cli_json_text_of(made, "device"), cli_json_text_of(device, "name")) == 0);
        cJSON_Delete(made);
    }
    cJSON_Delete(devices);
}

GAB_TEST(full_disk) {
    if (access("/dev/full", W_OK) != 0) SKIP("no /dev/full");
    cli_need_device();
    cli_result text = CLI_WITH({.out_path = "/dev/full"}, "run", "-n", "8", "Once");
    CHECK_EXIT(text, 1);
    CHECK_SAYS(text.err, "gabbro: error: cannot write standard output: No space left");
    cli_result json = CLI_WITH({.out_path = "/dev/full"}, "run", "-n", "8", "--json", "Once");
    CHECK_EXIT(json, 1);
    CHECK_SAYS(json.err, "gabbro: error: cannot write standard output: No space left");
    cli_result_free(&text);
    cli_result_free(&json);
}

/* ---- runs that are watched while they go on ---------------------------------------------------------------------- */

typedef struct watched_run {
    pid_t pid;
    int out; /* read end */
    FILE *err;
} watched_run;

static watched_run watch(const char *const *arguments) {
    int ends[2];
    watched_run run = {.err = tmpfile()};
    FILE *in = tmpfile();
    CHECK(run.err && in && pipe(ends) == 0);
    run.pid = cli_start(arguments, fileno(in), ends[1], fileno(run.err));
    run.out = ends[0];
    fclose(in);
    close(ends[1]);
    return run;
}

/* Reads at least n bytes, or all there is; returns how many came. */
static size_t read_some(int fd, char *text, size_t n, size_t size) {
    size_t used = 0;
    while (used < n && used + 1 < size) {
        ssize_t got = read(fd, text + used, size - 1 - used);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) break;
        used += (size_t)got;
    }
    text[used] = 0;
    return used;
}

GAB_TEST(interrupt_keeps_text) {
    static char text[1 << 20];
    const char prompt[] = "Once upon a time";
    cli_need_device();
    watched_run run =
        watch((const char *const[]){"run", "-n", "-1", "--ignore-eos", "--context-shift", "-v", "-p", prompt, NULL});
    size_t n = read_some(run.out, text, sizeof prompt + 20, sizeof text);
    CHECK(n >= sizeof prompt + 20);
    CHECK(kill(run.pid, SIGINT) == 0);
    n += read_some(run.out, text + n, sizeof text, sizeof text - n);
    cli_result result = {.exit_status = cli_wait(run.pid)};
    result.err = cli_read_all(run.err, &result.n_err);
    CHECK_EXIT(result, 130);
    CHECK(strncmp(text, prompt, strlen(prompt)) == 0 && text[n - 1] == '\n');
    CHECK_SAYS(result.err, "stop: cancelled");
    close(run.out);
    cli_result_free(&result);
}

/* SIGINT ms after the start; returns the JSON, NULL when it came before the turn had begun and so ended the program. */
static cJSON *interrupt_json_after(long ms) {
    static char text[1 << 20];
    watched_run run = watch(
        (const char *const[]){"run", "-n", "-1", "--ignore-eos", "--context-shift", "--json", "-p", "Once", NULL});
    sleep_ms(ms);
    CHECK(kill(run.pid, SIGINT) == 0);
    const size_t n = read_some(run.out, text, sizeof text, sizeof text);
    cli_result result = {.exit_status = cli_wait(run.pid)};
    result.err = cli_read_all(run.err, &result.n_err);
    close(run.out);
    CHECK_EXIT(result, 130); /* also of a signal that ends it */
    cJSON *object = n > 0 ? cJSON_ParseWithLength(text, n) : NULL;
    CHECK(object || n == 0);
    cli_result_free(&result);
    return object;
}

GAB_TEST(interrupt_with_json) {
    cJSON *object = NULL;
    cli_need_device();
    for (long ms = 500; !object && ms < 60000; ms *= 2) object = interrupt_json_after(ms);
    CHECK(object);
    CHECK(strcmp(cli_json_text_of(object, "stop"), "cancelled") == 0);
    CHECK(cJSON_GetArraySize(cJSON_GetObjectItem(object, "tokens")) == (int)cli_json_number_of(object, "n_decode"));
    cJSON_Delete(object);
}

GAB_TEST(closed_pipe) {
    char text[64];
    cli_need_device();
    watched_run run =
        watch((const char *const[]){"run", "-n", "-1", "--ignore-eos", "--context-shift", "-p", "Once", NULL});
    CHECK(read_some(run.out, text, 8, sizeof text) >= 8);
    close(run.out);
    cli_result result = {.exit_status = cli_wait(run.pid)};
    result.err = cli_read_all(run.err, &result.n_err);
    CHECK_EXIT(result, 1);
    CHECK_SAYS(result.err, "cannot write standard output: Broken pipe");
    cli_result_free(&result);
}

/* On a terminal without a prompt: a story begins, and the program says so. */
GAB_TEST(opening_on_terminal) {
    char text[4096];
    size_t n = 0;
    cli_need_device();
    int master = posix_openpt(O_RDWR | O_NOCTTY);
    if (master < 0 || grantpt(master) != 0 || unlockpt(master) != 0) SKIP("no pseudo-terminal");
    int terminal = open(ptsname(master), O_RDWR | O_NOCTTY);
    FILE *out = tmpfile(), *err = tmpfile();
    CHECK(terminal >= 0 && out && err);
    const char *const arguments[] = {"run", "-n", "4", "--ignore-eos", NULL};
    cli_result result = {.exit_status = cli_wait(cli_start(arguments, terminal, fileno(out), fileno(err)))};
    result.out = cli_read_all(out, &n);
    result.err = cli_read_all(err, &result.n_err);
    CHECK_EXIT(result, 0);
    CHECK(strncmp(result.out, "Once upon a time", 16) == 0);
    CHECK_SAYS(result.err, "no prompt given");
    cli_result_free(&result);
    /* Another model has no opening of its own; other commands have none at all. */
    const char *const others[][4] = {{"run", "-m", "x.gguf", NULL}, {"tokenize", NULL}, {"detokenize", NULL}};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        CHECK(cli_wait(cli_start(others[i], terminal, terminal, terminal)) == 2);
    CHECK(read(master, text, sizeof text) > 0);
    close(master);
    close(terminal);
}

GAB_TEST_MAIN()
