/*
 * chat.c - `gabbro chat`: a conversation. Each message is answered as it comes; lines that begin with a slash and a
 * word are commands. On a terminal it goes on until the user ends it; from a file or a pipe, one turn a line, until
 * that ends or something fails.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cjson/cJSON.h>

#include "cli/chat_answer.h"
#include "cli/commands.h"
#include "cli/line_input.h"
#include "cli/setup.h"

typedef struct chat_command {
    const char *name, *argument, *help;
    gab_status (*run)(chat *chat, const char *argument); /* NULL: ends the conversation */
} chat_command;

static gab_status run_system(chat *c, const char *text);
static gab_status run_retry(chat *c, const char *argument);
static gab_status run_undo(chat *c, const char *argument);
static gab_status run_save(chat *c, const char *path);
static gab_status run_load(chat *c, const char *path);
static gab_status run_help(chat *c, const char *argument);

static const chat_command commands[] = {
    {"system", "TEXT", "tell the model TEXT before everything else; without TEXT, nothing", run_system},
    {"retry", "", "another answer to the last message", run_retry},
    {"undo", "", "take back the last message and its answer", run_undo},
    {"save", "FILE", "write the conversation as JSON", run_save},
    {"load", "FILE", "go on with a conversation that was saved", run_load},
    {"quit", "", "end; so do Ctrl-D, and Ctrl-C twice", NULL},
    {"help", "", "this list", run_help},
};
enum { N_COMMAND = sizeof commands / sizeof *commands };

/* ---- turns ------------------------------------------------------------------------------------------------------- */

static gab_status fail_memory(chat *c) {
    return gab_fail(&c->console->log, GAB_ERROR_HOST_MEMORY, "out of host memory");
}

static gab_status say(chat *c, const char *text, size_t n, bool *cancelled) {
    if (!chat_messages_add(&c->messages, "user", text, n)) return fail_memory(c);
    c->asked = true;
    gab_status status = chat_answer(c, cancelled);
    c->asked = false;
    return status;
}

/* ---- commands ---------------------------------------------------------------------------------------------------- */

static gab_status run_system(chat *c, const char *text) {
    if (!chat_messages_set_system(&c->messages, text)) return fail_memory(c);
    if (c->interactive) cli_console_say(c->console, text[0] ? "system prompt set" : "no system prompt");
    return GAB_OK;
}

static gab_status run_retry(chat *c, const char *argument) {
    (void)argument;
    bool cancelled;
    chat_messages *m = &c->messages;
    const bool answered =
        m->n > 1 && chat_messages_last_is(m, "assistant") && strcmp(m->items[m->n - 2].role, "user") == 0;
    if (!answered && !chat_messages_last_is(m, "user"))
        return gab_fail(&c->console->log, GAB_ERROR_ARGUMENT, "/retry: there is no message to answer");
    c->sampling.seed++; /* the same one would give the same answer */
    GAB_TRY(gab_session_set_sampling(c->session, &c->sampling));
    char *before = answered ? strdup(m->items[m->n - 1].content) : NULL;
    if (answered && !before) return fail_memory(c);
    if (answered) chat_messages_drop_last(m);
    c->before = before;
    gab_status status = chat_answer(c, &cancelled);
    c->before = NULL;
    free(before);
    return status;
}

static gab_status run_undo(chat *c, const char *argument) {
    (void)argument;
    const size_t n = c->messages.n;
    while (chat_messages_last_is(&c->messages, "assistant")) chat_messages_drop_last(&c->messages);
    if (chat_messages_last_is(&c->messages, "user")) chat_messages_drop_last(&c->messages);
    if (c->messages.n == n)
        return gab_fail(&c->console->log, GAB_ERROR_ARGUMENT, "/undo: there is nothing to take back");
    if (c->interactive) cli_console_say(c->console, "%zu messages are left", c->messages.n);
    return GAB_OK;
}

static gab_status run_save(chat *c, const char *path) {
    if (!path[0]) return gab_fail(&c->console->log, GAB_ERROR_ARGUMENT, "/save needs the name of a file");
    GAB_TRY(chat_messages_save(path, &c->console->log, &c->messages));
    if (c->interactive) cli_console_say(c->console, "%zu messages written to %s", c->messages.n, path);
    return GAB_OK;
}

static gab_status run_load(chat *c, const char *path) {
    chat_messages loaded = {0};
    if (!path[0]) return gab_fail(&c->console->log, GAB_ERROR_ARGUMENT, "/load needs the name of a file");
    GAB_TRY(chat_messages_load(path, &c->console->log, &loaded));
    chat_messages_free(&c->messages);
    c->messages = loaded;
    if (c->interactive)
        cli_console_say(c->console, "%zu messages read%s", loaded.n,
                        chat_messages_last_is(&loaded, "user") ? "; /retry answers the last one" : "");
    return GAB_OK;
}

static gab_status run_help(chat *c, const char *argument) {
    (void)argument;
    for (size_t i = 0; i < N_COMMAND; i++)
        fprintf(stderr, "  /%s %-*s%s\n", commands[i].name, 13 - (int)strlen(commands[i].name), commands[i].argument,
                commands[i].help);
    fputs("  A \\ at the end of a line goes on with the next one; \"\"\" begins and ends a\n"
          "  text of many lines. //word says \"/word\" to the model. Ctrl-C stops an answer.\n",
          stderr);
    (void)c;
    return GAB_OK;
}

/* "/word", and nothing but letters in it: paths are text. */
static bool is_command(const char *text, size_t *n_name) {
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz";
    if (text[0] != '/') return false;
    *n_name = strspn(text + 1, letters);
    return *n_name > 0 && (text[1 + *n_name] == 0 || strchr(" \t\n", text[1 + *n_name]));
}

static gab_status fail_unknown(chat *c, const char *name, size_t n) {
    char list[256] = "";
    for (size_t i = 0; i < N_COMMAND; i++) {
        const size_t used = strlen(list);
        snprintf(list + used, sizeof list - used, "%s/%s%s%s", i ? " " : "", commands[i].name,
                 commands[i].argument[0] ? " " : "", commands[i].argument);
    }
    return gab_fail(&c->console->log, GAB_ERROR_ARGUMENT,
                    "there is no command /%.*s; there are %s. To say /%.*s to the model, begin with //",
                    (int)(n < 40 ? n : 40), name, list, (int)(n < 40 ? n : 40), name);
}

static gab_status run_command(chat *c, const char *text, size_t n_name, bool *quit) {
    const char *argument = text + 1 + n_name;
    argument += strspn(argument, " \t\n");
    for (size_t i = 0; i < N_COMMAND; i++) {
        const chat_command *command = &commands[i];
        if (strlen(command->name) != n_name || memcmp(command->name, text + 1, n_name) != 0) continue;
        *quit = !command->run;
        return command->run ? command->run(c, argument) : GAB_OK;
    }
    return fail_unknown(c, text + 1, n_name);
}

/* ---- the conversation -------------------------------------------------------------------------------------------- */

/* One message or command. */
static gab_status handle(chat *c, const char *text, size_t n, bool *quit) {
    size_t n_name;
    bool cancelled = false;
    if (text[strspn(text, " \t\r\n")] == 0) return GAB_OK;
    const size_t skip = text[0] == '/' && is_command(text + 1, &n_name); /* "//word" says "/word" */
    gab_status status =
        is_command(text, &n_name) ? run_command(c, text, n_name, quit) : say(c, text + skip, n - skip, &cancelled);
    if (status == GAB_OK && cancelled && !c->interactive) return GAB_ERROR_CANCELLED;
    if (status == GAB_OK || !c->interactive) return status;
    /* said already; what cannot be written, and lost memory, end it */
    return ferror(stdout) || status == GAB_ERROR_HOST_MEMORY ? status : GAB_OK;
}

static gab_status talk(chat *c, line_input *input) {
    bool quit = false;
    unsigned n_interrupt = 0;
    while (!quit) {
        const char *text;
        size_t n;
        line_result result = line_input_read(input, &text, &n);
        if (result == LINE_END) return GAB_OK;
        if (result == LINE_FAILED) return GAB_ERROR_FILE;
        if (result == LINE_READ) {
            n_interrupt = 0;
            GAB_TRY(handle(c, text, n, &quit));
            continue;
        }
        n_interrupt = result == LINE_INTERRUPTED_EMPTY ? n_interrupt + 1 : 0;
        if (n_interrupt == 2 || !c->interactive) return GAB_OK;
        if (n_interrupt == 1) cli_console_say(c->console, "Ctrl-C again ends the conversation");
    }
    return GAB_OK;
}

/* NAME=VALUE, where VALUE is JSON or else a text; the last one of a name counts. */
static gab_status add_variable(chat *c, cJSON *variables, const char *text) {
    const char *equals = strchr(text, '=');
    char name[128];
    if (!equals || equals == text || (size_t)(equals - text) >= sizeof name)
        return gab_fail(&c->console->log, GAB_ERROR_ARGUMENT,
                        "--template-set %s: NAME=VALUE is wanted, as in enable_thinking=false", text);
    snprintf(name, sizeof name, "%.*s", (int)(equals - text), text);
    cJSON *value = cJSON_ParseWithOpts(equals + 1, NULL, true);
    if (!value) value = cJSON_CreateString(equals + 1);
    cJSON_DeleteItemFromObjectCaseSensitive(variables, name);
    return value && cJSON_AddItemToObject(variables, name, value) ? GAB_OK : fail_memory(c);
}

/* What the template is told beside the conversation, as JSON, to be freed; before anything is loaded, for it may be
 * wrong. */
static gab_status make_variables(chat *c, char **text) {
    cJSON *variables = cJSON_CreateObject();
    gab_status status = variables ? GAB_OK : fail_memory(c);
    for (uint32_t i = 0; status == GAB_OK && i < c->options->template_set.n; i++)
        status = add_variable(c, variables, c->options->template_set.items[i]);
    if (status == GAB_OK && !(*text = cJSON_PrintUnformatted(variables))) status = fail_memory(c);
    cJSON_Delete(variables);
    return status;
}

static gab_status open_all(chat *c, const char *variables) {
    const cli_options *options = c->options;
    gab_session_options session = options->session;
    session.context_shift = false; /* whole turns are dropped instead, and never the system prompt */
    GAB_TRY(cli_engine_open(options, c->console, &c->engine));
    c->sampling = session.sampling = cli_sampling(options, c->engine);
    gab_engine_get_info(c->engine, &c->info);
    GAB_TRY(gab_chat_create(c->engine, variables, &c->format));
    if (!gab_chat_has_template(c->format))
        cli_console_say(c->console,
                        "the model has no chat template: turns are written as \"User:\" and \"Assistant:\"");
    GAB_TRY(gab_session_create(c->engine, &session, &c->session));
    if (options->system && !chat_messages_set_system(&c->messages, options->system)) return fail_memory(c);
    return cli_output_open(&c->output, "-", &c->console->log);
}

static gab_status run_all(chat *c, line_input *input, const char *variables) {
    bool quit = false;
    const char *prompt = c->options->prompt;
    GAB_TRY(line_input_open(input, c->options->file, &c->console->log));
    c->interactive = input->interactive;
    c->dim = c->interactive && cli_is_styled(STDERR_FILENO);
    GAB_TRY(open_all(c, variables));
    if (c->interactive) cli_console_say(c->console, "%s; /help lists the commands", c->info.model_name);
    cli_interrupt_start_lasting(&c->interrupt, c->session);
    gab_status status = prompt ? handle(c, prompt, strlen(prompt), &quit) : GAB_OK;
    if (status == GAB_OK && !quit && (c->interactive || !prompt)) status = talk(c, input);
    cli_interrupt_stop(&c->interrupt);
    return status;
}

gab_status cli_chat(const cli_options *options, cli_console *console) {
    chat c = {.options = options, .console = console};
    line_input input = {0};
    char *variables = NULL;
    gab_status status = make_variables(&c, &variables);
    if (status == GAB_OK) status = run_all(&c, &input, variables);
    cJSON_free(variables);
    line_input_close(&input);
    status = cli_output_close(&c.output, status);
    gab_session_destroy(&c.session);
    gab_chat_destroy(&c.format);
    gab_engine_destroy(&c.engine);
    chat_messages_free(&c.messages);
    return status;
}
