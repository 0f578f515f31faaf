/*
 * jinja_functions.c - the table of functions that templates call by name: Jinja's, and transformers' raise_exception
 * and strftime_now.
 */
#include <stdio.h>

#include "text/jinja_eval.h"

typedef gab_jinja_value value;
typedef const gab_jinja_call call;

enum { RANGE_MAX = 100000 }; /* as Jinja's sandbox */

static value function_range(call *c) {
    int64_t start = 0, stop = gab_jinja_given_int(c, 0, 0), step = gab_jinja_given_int(c, 2, 1);
    if (gab_jinja_given(c, 1)) {
        start = stop;
        stop = gab_jinja_given_int(c, 1, 0);
    }
    if (step == 0) gab_jinja_fail(c->run, GAB_ERROR_FORMAT, "the step of a range must not be 0");
    gab_jinja_list *list = gab_jinja_list_make(c->run, 0);
    gab_jinja_buffer label = {.run = c->run};
    gab_jinja_put_format(&label, "range(%lld, %lld", (long long)start, (long long)stop);
    if (step != 1) gab_jinja_put_format(&label, ", %lld", (long long)step);
    gab_jinja_put(&label, ")", 2); /* with its zero */
    list->label = label.text;
    uint64_t distance = step > 0 ? (uint64_t)stop - (uint64_t)start : (uint64_t)start - (uint64_t)stop;
    uint64_t stride = step > 0 ? (uint64_t)step : 0 - (uint64_t)step;
    bool empty = step > 0 ? start >= stop : start <= stop;
    uint64_t n = empty ? 0 : (distance - 1) / stride + 1;
    if (n > RANGE_MAX) gab_jinja_fail(c->run, GAB_ERROR_LIMIT, "a range has more than %d numbers", RANGE_MAX);
    for (uint64_t i = 0; i < n; i++)
        gab_jinja_list_push(c->run, list, gab_jinja_int((int64_t)((uint64_t)start + i * (uint64_t)step)));
    return gab_jinja_of_list(GAB_JINJA_RANGE, list);
}

/* From a mapping or a sequence of pairs, and named values. */
static value function_dict(call *c) {
    gab_jinja_dict *dict = gab_jinja_dict_make(c->run);
    for (size_t i = 0; i < c->args->n; i++) {
        value from = c->args->items[i];
        if (c->args->names && c->args->names[i]) {
            gab_jinja_dict_set(c->run, dict, gab_jinja_of_string(c->args->names[i]), from);
            continue;
        }
        if (i > 0) gab_jinja_fail(c->run, GAB_ERROR_FORMAT, "dict takes one argument without a name");
        gab_jinja_require_defined(c->run, from);
        for (size_t k = 0; from.kind == GAB_JINJA_DICT && k < gab_jinja_dict_n(from.dict); k++) {
            const gab_jinja_entry *entry = gab_jinja_dict_at(from.dict, k);
            gab_jinja_dict_set(c->run, dict, entry->key, entry->value);
        }
        if (from.kind == GAB_JINJA_DICT) continue;
        const gab_jinja_list *pairs = gab_jinja_items(c->run, from);
        for (size_t k = 0; k < pairs->n; k++) {
            const gab_jinja_list *pair = gab_jinja_items(c->run, pairs->items[k]);
            if (pair->n != 2) gab_jinja_fail(c->run, GAB_ERROR_FORMAT, "dict needs pairs");
            gab_jinja_dict_set(c->run, dict, pair->items[0], pair->items[1]);
        }
    }
    return gab_jinja_of_dict(dict);
}

static value function_namespace(call *c) {
    value made = function_dict(c);
    made.kind = GAB_JINJA_NAMESPACE;
    return made;
}

static value function_raise_exception(call *c) {
    const gab_jinja_string *text = gab_jinja_str(c->run, c->given[0]).string;
    gab_jinja_fail(c->run, GAB_ERROR_ARGUMENT, "%.*s", (int)text->n, text->text);
}

static value function_strftime_now(call *c) {
    gab_jinja_buffer out = {.run = c->run};
    const gab_jinja_string *format = gab_jinja_given_string(c, 0);
    if (!format) gab_jinja_fail(c->run, GAB_ERROR_FORMAT, "strftime_now needs a str");
    gab_jinja_format_time(&out, format, c->run->now);
    return gab_jinja_buffer_value(&out);
}

const gab_jinja_callable *gab_jinja_function_find(const gab_jinja_string *name) {
    static const gab_jinja_callable functions[] = {
        {"dict", NULL, 0, function_dict, false},
        {"namespace", NULL, 0, function_namespace, false},
        {"raise_exception", "message", 1, function_raise_exception, false},
        {"range", "start stop step", 1, function_range, false},
        {"strftime_now", "format", 1, function_strftime_now, false},
        {NULL, NULL, 0, NULL, false},
    };
    return gab_jinja_row_find(functions, name);
}
