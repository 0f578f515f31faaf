/*
 * chat_template.h - the text that a conversation becomes, by the Jinja template that comes with a model.
 *
 * Gives what transformers' apply_chat_template gives with the same template, for the part of Jinja2 that chat templates
 * use: all statements but those that need other files, call and recursive loops; Python's str, list and dict methods;
 * most filters and tests. What is not supported fails by name where it is reached. Integers have 64 bits.
 */
#ifndef GAB_TEXT_CHAT_TEMPLATE_H
#define GAB_TEXT_CHAT_TEMPLATE_H

#include <time.h>

#include "base/error.h"

/* A template, parsed. Immutable, safe to share between threads. */
typedef struct gab_chat_template gab_chat_template;

/* name: of the file, for errors. Fails with FORMAT or UNSUPPORTED naming the line and what is wrong there. */
gab_status gab_chat_template_create(const char *text, size_t n, const char *name, const gab_log *log,
                                    gab_chat_template **chat_template);
void gab_chat_template_destroy(gab_chat_template **chat_template);

/* What a rendering may use at most. 0: the default. */
typedef struct gab_chat_limits {
    uint64_t steps; /* evaluated expressions, statements and items, about; default 20 million: a second or two */
    size_t bytes;   /* memory; default 256 MiB */
    unsigned depth; /* of nested expressions, statements, calls and JSON; default 400 */
} gab_chat_limits;

/* What the template sees. JSON is zero-terminated text; numbers keep what they are (1 is not 1.0). */
typedef struct gab_chat_input {
    const char *messages;  /* `messages`: an array of objects with role, content (a string or a list of parts),
                              tool_calls ... */
    const char *tools;     /* `tools`: an array of JSON schemas; NULL: none, as transformers has it */
    const char *documents; /* `documents`; NULL: none */
    const char *variables; /* an object of other variables (enable_thinking ...), which come before all of
                              these; may be NULL */
    const char *bos_token; /* plain text; NULL: undefined */
    const char *eos_token;
    bool add_generation_prompt;
    bool immutable;       /* as in transformers' sandbox, no method may change a list or a dictionary; templates
                             written for other programs use append and pop */
    const struct tm *now; /* what strftime_now shows; NULL: the local time */
    gab_chat_limits limits;
} gab_chat_input;

/* *text is n bytes and a zero, to be freed with free(). Fails with ARGUMENT when the template refuses the conversation
 * (raise_exception, whose text is in the message) or an input is no valid JSON, with LIMIT beyond the limits, with
 * FORMAT or UNSUPPORTED when the template does what Jinja or this interpreter cannot. */
gab_status gab_chat_template_render(const gab_chat_template *chat_template, const gab_chat_input *input,
                                    const gab_log *log, char **text, size_t *n);

#endif
