/*
 * render_template.c - a chat template and a conversation on the command line, the text on standard output, for
 * check.py templates.
 *
 *     render_template FILE [NAME=TEXT]...
 *
 * NAME: messages, tools, documents, variables (JSON), bos_token, eos_token (text), generation (0 or 1), immutable (0 or
 * 1), now (YYYY-MM-DD HH:MM:SS). Exit status 1 and the error on standard error when it cannot be rendered.
 */
#include "text/chat_template.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"

static void print_error(void *user, gab_log_level level, const char *message) {
    (void)user;
    if (level == GAB_LOG_ERROR) fprintf(stderr, "%s\n", message);
}

/* Fills in weekday and day of the year. */
static bool read_time(const char *text, struct tm *t) {
    *t = (struct tm){0};
    if (sscanf(text, "%d-%d-%d %d:%d:%d", &t->tm_year, &t->tm_mon, &t->tm_mday, &t->tm_hour, &t->tm_min, &t->tm_sec) !=
        6)
        return false;
    t->tm_year -= 1900;
    t->tm_mon--;
    t->tm_isdst = -1;
    return mktime(t) != (time_t)-1;
}

int main(int argc, char **argv) {
    const gab_log log = {.fn = print_error};
    gab_chat_input input = {0};
    struct tm now;
    const struct {
        const char *name, **to;
    } texts[] = {{"messages=", &input.messages},   {"tools=", &input.tools},         {"documents=", &input.documents},
                 {"variables=", &input.variables}, {"bos_token=", &input.bos_token}, {"eos_token=", &input.eos_token}};
    char *source, *text;
    size_t n_source, n;
    if (argc < 2) {
        fprintf(stderr, "usage: render_template FILE [NAME=TEXT]...\n");
        return 2;
    }
    for (int i = 2; i < argc; i++) {
        const char *value = strchr(argv[i], '=');
        for (size_t k = 0; k < sizeof texts / sizeof *texts; k++)
            if (strncmp(argv[i], texts[k].name, strlen(texts[k].name)) == 0) *texts[k].to = value + 1;
        if (strcmp(argv[i], "generation=1") == 0) input.add_generation_prompt = true;
        if (strcmp(argv[i], "immutable=1") == 0) input.immutable = true;
        if (strncmp(argv[i], "now=", 4) == 0 && read_time(value + 1, &now)) input.now = &now;
    }
    if (gab_file_read_all(argv[1], (size_t)64 << 20, &log, &source, &n_source) != GAB_OK) return 1;
    gab_chat_template *chat_template;
    gab_status status = gab_chat_template_create(source, n_source, argv[1], &log, &chat_template);
    free(source);
    if (status != GAB_OK) return 1;
    status = gab_chat_template_render(chat_template, &input, &log, &text, &n);
    if (status == GAB_OK) {
        fwrite(text, 1, n, stdout);
        free(text);
    }
    gab_chat_template_destroy(&chat_template);
    return status != GAB_OK;
}
