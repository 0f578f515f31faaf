/*
 * fuzz_chat_template.c - libFuzzer harness of chat templates: the bytes up to the first zero are a template, those
 * behind it JSON for `variables`; a fixed conversation and small limits. Aborts when a promise of chat_template.h is
 * broken; a rendering that outgrows its memory is seen by -malloc_limit_mb, one without an end by -timeout.
 * tests/text_chat_template.c replays the corpus through it without libFuzzer.
 *
 *     build/fuzz_chat_template tests/fuzz/corpus_chat_template -max_len=4096 -malloc_limit_mb=64 -timeout=10
 */
#include "text/chat_template.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"

enum { BYTES_MAX = 4 << 20 };

static const char MESSAGES[] = "[{\"role\":\"system\",\"content\":\"Be brief.\"},"
                               "{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"h\\u00e9\"}]},"
                               "{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"id\":\"a\",\"function\":"
                               "{\"name\":\"f\",\"arguments\":{\"x\":[1,2.5,true,null]}}}]}]";
static const char TOOLS[] =
    "[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"parameters\":{\"properties\":{}}}}]";

/* An error says in which template. */
static void check_failed(gab_status status) {
    PROMISE(status != GAB_OK && status != GAB_ERROR_HOST_MEMORY);
    PROMISE(strncmp(gab_last_error(), "fuzz: chat template", 19) == 0);
}

static void render(const gab_chat_template *chat_template, const char *variables, bool immutable) {
    const struct tm now = {.tm_year = 126, .tm_mon = 2, .tm_mday = 7, .tm_wday = 6, .tm_yday = 65};
    const gab_chat_input input = {.messages = MESSAGES,
                                  .tools = immutable ? TOOLS : NULL,
                                  .variables = variables,
                                  .bos_token = "<s>",
                                  .add_generation_prompt = immutable,
                                  .immutable = immutable,
                                  .now = &now,
                                  .limits = {.steps = 200000, .bytes = BYTES_MAX, .depth = 200}};
    char *text = NULL, *again = NULL;
    size_t n = 0, n_again = 0;
    gab_status status = gab_chat_template_render(chat_template, &input, NULL, &text, &n);
    gab_status second = gab_chat_template_render(chat_template, &input, NULL, &again, &n_again);
    PROMISE(status == second);
    if (status != GAB_OK) {
        check_failed(status);
        return;
    }
    PROMISE(n <= BYTES_MAX && text[n] == 0);
    PROMISE(n == n_again && memcmp(text, again, n) == 0);
    free(text);
    free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *copy = malloc(size + 1);
    gab_chat_template *chat_template = NULL;
    PROMISE(copy);
    if (size) memcpy(copy, data, size);
    copy[size] = 0;
    size_t n = strlen(copy);
    const char *variables = n < size ? copy + n + 1 : NULL;
    char *source = malloc(n ? n : 1); /* without a zero behind it, for the sanitizer to see */
    PROMISE(source);
    memcpy(source, copy, n);
    gab_status status = gab_chat_template_create(source, n, "fuzz", NULL, &chat_template);
    free(source);
    if (status == GAB_OK) {
        render(chat_template, variables, false);
        render(chat_template, variables, true);
        gab_chat_template_destroy(&chat_template);
    } else {
        check_failed(status);
    }
    PROMISE(!chat_template);
    free(copy);
    return 0;
}
