/*
 * jinja_eval.c - expressions.
 */
#include "text/jinja_eval.h"

#include <string.h>

typedef gab_jinja_value value;
typedef gab_jinja_node node;

/* ---- calls ---- */

const gab_jinja_callable *gab_jinja_row_find(const gab_jinja_callable *rows, const gab_jinja_string *name) {
    for (; rows->name; rows++)
        if (gab_jinja_string_is(name, rows->name)) return rows;
    return NULL;
}

/* The place of a name among names with spaces between; their number when it is not there. */
static size_t find_parameter(const char *parameters, const gab_jinja_string *name) {
    size_t i = 0;
    for (size_t n; *parameters; parameters += n + (parameters[n] == ' '), i++) {
        n = strcspn(parameters, " ");
        if (name && name->n == n && memcmp(name->text, parameters, n) == 0) break;
    }
    return i;
}

value gab_jinja_invoke(gab_jinja_run *run, const gab_jinja_callable *callable, value self, const gab_jinja_args *args) {
    value given[GAB_JINJA_PARAMETER_MAX] = {{GAB_JINJA_MISSING}};
    gab_jinja_call call = {.run = run, .self = self, .given = given, .args = args};
    if (!callable->call)
        gab_jinja_fail(run, GAB_ERROR_UNSUPPORTED, "'%s' of a %s is not supported", callable->name,
                       gab_jinja_type_name(self));
    if (!callable->parameters) return callable->call(&call);
    size_t n = find_parameter(callable->parameters, NULL);
    for (size_t i = 0; i < args->n; i++) {
        const gab_jinja_string *name = args->names ? args->names[i] : NULL;
        size_t k = name ? find_parameter(callable->parameters, name) : i;
        if (k >= n && name)
            gab_jinja_fail(run, GAB_ERROR_FORMAT, "'%s' has no parameter '%.*s'", callable->name, (int)name->n,
                           name->text);
        if (k >= n) gab_jinja_fail(run, GAB_ERROR_FORMAT, "'%s' takes at most %zu arguments", callable->name, n);
        if (given[k].kind != GAB_JINJA_MISSING)
            gab_jinja_fail(run, GAB_ERROR_FORMAT, "'%s' was given an argument twice", callable->name);
        given[k] = args->items[i];
    }
    for (size_t i = 0; i < callable->n_required; i++)
        if (given[i].kind == GAB_JINJA_MISSING)
            gab_jinja_fail(run, GAB_ERROR_FORMAT, "'%s' needs at least %u arguments", callable->name,
                           callable->n_required);
    return callable->call(&call);
}

bool gab_jinja_given(const gab_jinja_call *call, size_t i) {
    return call->given[i].kind != GAB_JINJA_MISSING;
}

bool gab_jinja_given_truth(const gab_jinja_call *call, size_t i, bool otherwise) {
    return gab_jinja_given(call, i) ? gab_jinja_truth(call->given[i]) : otherwise;
}

int64_t gab_jinja_given_int(const gab_jinja_call *call, size_t i, int64_t otherwise) {
    if (!gab_jinja_given(call, i)) return otherwise;
    gab_jinja_require_defined(call->run, call->given[i]);
    if (!gab_jinja_is_integer(call->given[i]))
        gab_jinja_fail(call->run, GAB_ERROR_FORMAT, "an argument must be an int, not a %s",
                       gab_jinja_type_name(call->given[i]));
    return gab_jinja_integer(call->given[i]);
}

const gab_jinja_string *gab_jinja_given_string(const gab_jinja_call *call, size_t i) {
    if (!gab_jinja_given(call, i) || call->given[i].kind == GAB_JINJA_NONE) return NULL;
    gab_jinja_require_defined(call->run, call->given[i]);
    if (call->given[i].kind != GAB_JINJA_STRING)
        gab_jinja_fail(call->run, GAB_ERROR_FORMAT, "an argument must be a str, not a %s",
                       gab_jinja_type_name(call->given[i]));
    return call->given[i].string;
}

static gab_jinja_args eval_args(gab_jinja_run *run, const node *call) {
    gab_jinja_args args = {.n = call->n, .names = call->names};
    if (call->n == 0) return args;
    value *items = gab_jinja_alloc(run, call->n, sizeof *items);
    for (size_t i = 0; i < call->n; i++) items[i] = gab_jinja_eval(run, call->items[i]);
    args.items = items;
    return args;
}

static value call_value(gab_jinja_run *run, value function, const gab_jinja_args *args) {
    switch (function.kind) {
    case GAB_JINJA_MACRO: return gab_jinja_call_macro(run, function.macro, args);
    case GAB_JINJA_FUNCTION: return gab_jinja_invoke(run, function.function, gab_jinja_none(), args);
    case GAB_JINJA_METHOD: return gab_jinja_invoke(run, function.method->callable, function.method->self, args);
    default: break;
    }
    gab_jinja_require_defined(run, function);
    gab_jinja_fail(run, GAB_ERROR_FORMAT, "a %s cannot be called", gab_jinja_type_name(function));
}

value gab_jinja_eval_filter(gab_jinja_run *run, const node *filter, value input) {
    gab_jinja_args args = eval_args(run, filter);
    run->line = filter->line;
    if (!filter->callable)
        gab_jinja_fail(run, GAB_ERROR_UNSUPPORTED, "there is no filter '%.*s'", (int)filter->name->n,
                       filter->name->text);
    return gab_jinja_invoke(run, filter->callable, input, &args);
}

static value eval_test(gab_jinja_run *run, const node *test) {
    value input = gab_jinja_eval(run, test->a);
    gab_jinja_args args = eval_args(run, test);
    if (!test->callable)
        gab_jinja_fail(run, GAB_ERROR_UNSUPPORTED, "there is no test '%.*s'", (int)test->name->n, test->name->text);
    return gab_jinja_invoke(run, test->callable, input, &args);
}

/* ---- attributes ---- */

/* A method of the value, if it has one of that name. */
static bool find_method(gab_jinja_run *run, value v, const gab_jinja_string *name, value *found) {
    const gab_jinja_callable *callable = gab_jinja_method_find(v.kind, name);
    if (!callable) return false;
    if (callable->mutates && run->immutable) {
        *found = gab_jinja_undefined(run, "'%s' would change a %s, which is not allowed", callable->name,
                                     gab_jinja_type_name(v));
        return true;
    }
    gab_jinja_method *method = gab_jinja_alloc(run, 1, sizeof *method);
    method->callable = callable;
    method->self = v;
    *found = (value){.kind = GAB_JINJA_METHOD, .method = method};
    return true;
}

static value no_attribute(gab_jinja_run *run, value v, const gab_jinja_string *name) {
    return gab_jinja_undefined(run, "'%s' has no attribute '%.*s'", gab_jinja_type_name(v),
                               name->n < 80 ? (int)name->n : 80, name->text);
}

value gab_jinja_attribute(gab_jinja_run *run, value v, const gab_jinja_string *name) {
    value found;
    gab_jinja_require_defined(run, v);
    if (v.kind == GAB_JINJA_NAMESPACE) {
        const value *member = gab_jinja_dict_get(run, v.dict, gab_jinja_of_string(name));
        return member ? *member : no_attribute(run, v, name);
    }
    if (v.kind == GAB_JINJA_LOOP) return gab_jinja_loop_attribute(run, v.loop, name);
    if (v.kind == GAB_JINJA_MACRO && gab_jinja_string_is(name, "name"))
        return gab_jinja_of_string(gab_jinja_macro_name(v.macro));
    if (find_method(run, v, name, &found) || gab_jinja_item(run, v, gab_jinja_of_string(name), &found)) return found;
    return no_attribute(run, v, name);
}

value gab_jinja_subscript(gab_jinja_run *run, value v, value index) {
    value found;
    gab_jinja_require_defined(run, v);
    if (gab_jinja_item(run, v, index, &found)) return found;
    if (index.kind == GAB_JINJA_STRING && v.kind == GAB_JINJA_DICT)
        return find_method(run, v, index.string, &found) ? found : no_attribute(run, v, index.string);
    if (index.kind == GAB_JINJA_STRING) return gab_jinja_attribute(run, v, index.string);
    gab_jinja_buffer shown = {.run = run};
    gab_jinja_print_repr(&shown, index);
    return gab_jinja_undefined(run, "'%s' has no item %.*s", gab_jinja_type_name(v), shown.n < 80 ? (int)shown.n : 80,
                               shown.text);
}

/* ---- expressions ---- */

static bool compare(gab_jinja_run *run, gab_jinja_comparison op, value a, value b) {
    switch (op) {
    case GAB_JINJA_EQUAL: return gab_jinja_equal(run, a, b);
    case GAB_JINJA_UNEQUAL: return !gab_jinja_equal(run, a, b);
    case GAB_JINJA_LESS: return gab_jinja_less(run, a, b);
    case GAB_JINJA_LESS_EQUAL: return !gab_jinja_less(run, b, a);
    case GAB_JINJA_GREATER: return gab_jinja_less(run, b, a);
    case GAB_JINJA_GREATER_EQUAL: return !gab_jinja_less(run, a, b);
    case GAB_JINJA_IN: return gab_jinja_contains(run, b, a);
    case GAB_JINJA_NOT_IN: return !gab_jinja_contains(run, b, a);
    }
    return false;
}

static value eval_compare(gab_jinja_run *run, const node *chain) {
    value left = gab_jinja_eval(run, chain->items[0]);
    for (size_t i = 1; i < chain->n; i++) {
        value right = gab_jinja_eval(run, chain->items[i]);
        if (!compare(run, chain->ops[i], left, right)) return gab_jinja_bool(false);
        left = right;
    }
    return gab_jinja_bool(true);
}

static value eval_list(gab_jinja_run *run, const node *made, gab_jinja_kind kind) {
    gab_jinja_list *list = gab_jinja_list_make(run, made->n);
    for (size_t i = 0; i < made->n; i++) gab_jinja_list_push(run, list, gab_jinja_eval(run, made->items[i]));
    return gab_jinja_of_list(kind, list);
}

static value eval_dict(gab_jinja_run *run, const node *made) {
    gab_jinja_dict *dict = gab_jinja_dict_make(run);
    for (size_t i = 0; i + 1 < made->n; i += 2) {
        value key = gab_jinja_eval(run, made->items[i]);
        gab_jinja_dict_set(run, dict, key, gab_jinja_eval(run, made->items[i + 1]));
    }
    return gab_jinja_of_dict(dict);
}

static value eval_slice(gab_jinja_run *run, const node *slice) {
    value of = gab_jinja_eval(run, slice->a), bounds[3];
    for (int i = 0; i < 3; i++) bounds[i] = slice->items[i] ? gab_jinja_eval(run, slice->items[i]) : gab_jinja_none();
    return gab_jinja_slice(run, of, bounds);
}

static value eval_concat(gab_jinja_run *run, const node *parts) {
    gab_jinja_buffer out = {.run = run};
    for (size_t i = 0; i < parts->n; i++) gab_jinja_print(&out, gab_jinja_eval(run, parts->items[i]));
    return gab_jinja_buffer_value(&out);
}

static value eval_call(gab_jinja_run *run, const node *call) {
    value function = gab_jinja_eval(run, call->a);
    gab_jinja_args args = eval_args(run, call);
    run->line = call->line;
    return call_value(run, function, &args);
}

static value eval_condition(gab_jinja_run *run, const node *condition) {
    if (gab_jinja_truth(gab_jinja_eval(run, condition->b))) return gab_jinja_eval(run, condition->a);
    if (condition->c) return gab_jinja_eval(run, condition->c);
    return gab_jinja_undefined(run, "an inline 'if' without 'else' had no value");
}

static value eval_binary(gab_jinja_run *run, const node *binary) {
    value left = gab_jinja_eval(run, binary->a), right = gab_jinja_eval(run, binary->b);
    run->line = binary->line;
    return gab_jinja_arithmetic(run, binary->op, left, right);
}

static value eval_kind(gab_jinja_run *run, const node *made) {
    value left;
    switch (made->kind) {
    case GAB_JINJA_CONSTANT: return made->constant;
    case GAB_JINJA_NAME: return gab_jinja_lookup(run, made->name);
    case GAB_JINJA_MAKE_LIST: return eval_list(run, made, GAB_JINJA_LIST);
    case GAB_JINJA_MAKE_TUPLE: return eval_list(run, made, GAB_JINJA_TUPLE);
    case GAB_JINJA_MAKE_DICT: return eval_dict(run, made);
    case GAB_JINJA_ATTRIBUTE: return gab_jinja_attribute(run, gab_jinja_eval(run, made->a), made->name);
    case GAB_JINJA_SUBSCRIPT:
        left = gab_jinja_eval(run, made->a);
        return gab_jinja_subscript(run, left, gab_jinja_eval(run, made->b));
    case GAB_JINJA_MAKE_SLICE: return eval_slice(run, made);
    case GAB_JINJA_CALL: return eval_call(run, made);
    case GAB_JINJA_FILTER: return gab_jinja_eval_filter(run, made, gab_jinja_eval(run, made->a));
    case GAB_JINJA_TEST: return eval_test(run, made);
    case GAB_JINJA_NOT: return gab_jinja_bool(!gab_jinja_truth(gab_jinja_eval(run, made->a)));
    case GAB_JINJA_SIGN: return gab_jinja_negative(run, gab_jinja_eval(run, made->a), made->op == '-');
    case GAB_JINJA_AND:
        left = gab_jinja_eval(run, made->a);
        return gab_jinja_truth(left) ? gab_jinja_eval(run, made->b) : left;
    case GAB_JINJA_OR:
        left = gab_jinja_eval(run, made->a);
        return gab_jinja_truth(left) ? left : gab_jinja_eval(run, made->b);
    case GAB_JINJA_BINARY: return eval_binary(run, made);
    case GAB_JINJA_CONCAT: return eval_concat(run, made);
    case GAB_JINJA_COMPARE: return eval_compare(run, made);
    case GAB_JINJA_CONDITION: return eval_condition(run, made);
    default: return gab_jinja_undefined(run, "no expression"); /* the parser makes no others */
    }
}

value gab_jinja_eval(gab_jinja_run *run, const node *made) {
    gab_jinja_enter(run);
    gab_jinja_step(run, 1);
    run->line = made->line;
    value result = eval_kind(run, made);
    gab_jinja_leave(run);
    return result;
}
