#include "text/chat_template.h"

#include <stdlib.h>
#include <string.h>

#include "text/jinja_eval.h"

enum { DEPTH = 400 };
static const size_t BYTES = (size_t)256 << 20;
static const uint64_t STEPS = 20000000;

struct gab_chat_template {
    gab_jinja_run run; /* its memory holds the tree */
    char *name;
    gab_jinja_node *tree;
};

static gab_jinja_run start_run(const gab_chat_limits *limits) {
    return (gab_jinja_run){
        .bytes_left = limits->bytes ? limits->bytes : BYTES,
        .steps_left = limits->steps ? limits->steps : STEPS,
        .depth_max = limits->depth ? limits->depth : DEPTH,
    };
}

/* The run's failure, with the template's name and line. */
static gab_status fail(const gab_jinja_run *run, const char *name, const gab_log *log) {
    if (run->line == 0) return gab_fail(log, run->status, "%s: chat template: %s", name, run->message);
    return gab_fail(log, run->status, "%s: chat template, line %d: %s", name, run->line, run->message);
}

/* ---- reading ---- */

typedef struct source {
    gab_chat_template *made;
    const char *text, *name;
    size_t n;
} source;

static void parse(gab_jinja_run *run, void *user) {
    source *from = user;
    gab_jinja_value name = gab_jinja_text_copy(run, from->name, strlen(from->name) + 1);
    from->made->name = (char *)name.string->text;
    from->made->tree = gab_jinja_parse(run, from->text, from->n);
}

gab_status gab_chat_template_create(const char *text, size_t n, const char *name, const gab_log *log,
                                    gab_chat_template **chat_template) {
    gab_chat_template *made = calloc(1, sizeof *made);
    if (!made) return gab_fail(log, GAB_ERROR_HOST_MEMORY, "%s: out of memory for the chat template", name);
    source from = {.made = made, .text = text, .name = name, .n = n};
    made->run = start_run(&(gab_chat_limits){0});
    gab_status status = gab_jinja_guard(&made->run, parse, &from);
    if (status != GAB_OK) {
        fail(&made->run, name, log);
        gab_chat_template_destroy(&made);
        return status;
    }
    *chat_template = made;
    return GAB_OK;
}

void gab_chat_template_destroy(gab_chat_template **chat_template) {
    if (!*chat_template) return;
    gab_arena_free(&(*chat_template)->run.arena);
    free(*chat_template);
    *chat_template = NULL;
}

/* ---- rendering ---- */

typedef struct rendering {
    const gab_chat_template *of;
    const gab_chat_input *input;
    gab_jinja_buffer out;
} rendering;

static void set(gab_jinja_run *run, const char *name, gab_jinja_value value) {
    gab_jinja_dict_set(run, run->context, gab_jinja_text(run, name, strlen(name)), value);
}

static void set_text(gab_jinja_run *run, const char *name, const char *text) {
    if (text) set(run, name, gab_jinja_text(run, text, strlen(text)));
}

static gab_jinja_value read_json(gab_jinja_run *run, const char *name, const char *json, gab_jinja_kind kind,
                                 const char *expected) {
    if (!json) return gab_jinja_none();
    gab_jinja_value value = gab_jinja_json_parse(run, name, json, strlen(json));
    if (value.kind != kind && value.kind != GAB_JINJA_NONE)
        gab_jinja_fail(run, GAB_ERROR_ARGUMENT, "%s: not a JSON %s", name, expected);
    return value;
}

static void render(gab_jinja_run *run, void *user) {
    rendering *r = user;
    const gab_chat_input *input = r->input;
    run->context = gab_jinja_dict_make(run);
    run->out = &r->out;
    r->out.run = run;
    set(run, "messages", read_json(run, "messages", input->messages, GAB_JINJA_LIST, "array"));
    set(run, "tools", read_json(run, "tools", input->tools, GAB_JINJA_LIST, "array"));
    set(run, "documents", read_json(run, "documents", input->documents, GAB_JINJA_LIST, "array"));
    set(run, "add_generation_prompt", gab_jinja_bool(input->add_generation_prompt));
    set_text(run, "bos_token", input->bos_token);
    set_text(run, "eos_token", input->eos_token);
    gab_jinja_value variables = read_json(run, "variables", input->variables, GAB_JINJA_DICT, "object");
    for (size_t i = 0; variables.kind == GAB_JINJA_DICT && i < gab_jinja_dict_n(variables.dict); i++) {
        const gab_jinja_entry *entry = gab_jinja_dict_at(variables.dict, i);
        gab_jinja_dict_set(run, run->context, entry->key, entry->value);
    }
    gab_jinja_render(run, r->of->tree);
}

gab_status gab_chat_template_render(const gab_chat_template *chat_template, const gab_chat_input *input,
                                    const gab_log *log, char **text, size_t *n) {
    rendering r = {.of = chat_template, .input = input};
    gab_jinja_run run = start_run(&input->limits);
    struct tm now;
    time_t seconds = time(NULL);
    if (!input->now) localtime_r(&seconds, &now);
    run.now = input->now ? input->now : &now;
    run.immutable = input->immutable;
    gab_status status = gab_jinja_guard(&run, render, &r);
    char *copy = status == GAB_OK ? malloc(r.out.n + 1) : NULL;
    if (status != GAB_OK) {
        fail(&run, chat_template->name, log);
    } else if (!copy) {
        status = gab_fail(log, GAB_ERROR_HOST_MEMORY, "%s: out of memory for the prompt", chat_template->name);
    } else {
        if (r.out.n) memcpy(copy, r.out.text, r.out.n);
        copy[r.out.n] = 0;
        *text = copy;
        *n = r.out.n;
    }
    gab_arena_free(&run.arena);
    return status;
}
