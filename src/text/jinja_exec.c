/*
 * jinja_exec.c - statements, scopes, loops and macros.
 */
#include <string.h>

#include "text/jinja_eval.h"

typedef gab_jinja_value value;
typedef gab_jinja_node node;

/* ---- scopes ---- */

typedef struct variable {
    const gab_jinja_string *name;
    gab_jinja_value value;
} variable;

struct gab_jinja_scope {
    gab_jinja_scope *parent;
    variable *variables;
    size_t n, capacity;
    bool kept; /* a macro was defined within: it may be seen later */
};

gab_jinja_scope *gab_jinja_scope_make(gab_jinja_run *run, gab_jinja_scope *parent) {
    gab_jinja_scope *scope = gab_jinja_alloc(run, 1, sizeof *scope);
    scope->parent = parent;
    return scope;
}

static variable *find_variable(gab_jinja_run *run, gab_jinja_scope *scope, const gab_jinja_string *name) {
    gab_jinja_step(run, scope->n / 8);
    for (size_t i = 0; i < scope->n; i++)
        if (gab_jinja_string_equal(scope->variables[i].name, name)) return &scope->variables[i];
    return NULL;
}

void gab_jinja_scope_set(gab_jinja_run *run, gab_jinja_scope *scope, const gab_jinja_string *name, value v) {
    variable *known = find_variable(run, scope, name);
    if (known) {
        known->value = v;
        return;
    }
    if (scope->n == scope->capacity) {
        size_t capacity = scope->capacity ? 2 * scope->capacity : 4;
        variable *grown = gab_jinja_alloc(run, capacity, sizeof *grown);
        if (scope->n) memcpy(grown, scope->variables, scope->n * sizeof *grown);
        scope->variables = grown;
        scope->capacity = capacity;
    }
    scope->variables[scope->n++] = (variable){name, v};
}

value gab_jinja_lookup(gab_jinja_run *run, const gab_jinja_string *name) {
    for (gab_jinja_scope *scope = run->scope; scope; scope = scope->parent) {
        const variable *found = find_variable(run, scope, name);
        gab_jinja_step(run, 1);
        if (found) return found->value;
    }
    const value *given = gab_jinja_dict_get(run, run->context, gab_jinja_of_string(name));
    if (given) return *given;
    const gab_jinja_callable *function = gab_jinja_function_find(name);
    if (function) return (value){.kind = GAB_JINJA_FUNCTION, .function = function};
    return gab_jinja_undefined(run, "'%.*s' is undefined", name->n < 80 ? (int)name->n : 80, name->text);
}

/* Runs a block in a scope of its own below `parent`. */
static gab_jinja_jump exec_in(gab_jinja_run *run, gab_jinja_scope *scope, const node *block) {
    gab_jinja_scope *before = run->scope;
    run->scope = scope;
    gab_jinja_jump jump = gab_jinja_exec(run, block);
    run->scope = before;
    return jump;
}

/* The same, and what it writes becomes a string. */
static gab_jinja_jump capture(gab_jinja_run *run, gab_jinja_scope *scope, const node *block, value *text) {
    gab_jinja_buffer out = {.run = run}, *before = run->out;
    run->out = &out;
    gab_jinja_jump jump = exec_in(run, scope, block);
    run->out = before;
    *text = gab_jinja_buffer_value(&out);
    return jump;
}

/* ---- assignment ---- */

static void assign(gab_jinja_run *run, gab_jinja_scope *scope, const node *target, value v) {
    if (target->kind == GAB_JINJA_NAME) {
        gab_jinja_scope_set(run, scope, target->name, v);
        return;
    }
    if (target->kind == GAB_JINJA_MEMBER) {
        value of = gab_jinja_lookup(run, target->name);
        if (of.kind != GAB_JINJA_NAMESPACE)
            gab_jinja_fail(run, GAB_ERROR_FORMAT, "'%.*s' is no namespace: its attributes cannot be set",
                           (int)target->name->n, target->name->text);
        gab_jinja_dict_set(run, of.dict, gab_jinja_of_string(target->attribute), v);
        return;
    }
    const gab_jinja_list *items = gab_jinja_items(run, v);
    if (items->n != target->n)
        gab_jinja_fail(run, GAB_ERROR_FORMAT, "%zu values for %zu variables", items->n, target->n);
    for (size_t i = 0; i < target->n; i++) assign(run, scope, target->items[i], items->items[i]);
}

/* ---- loops ---- */

struct gab_jinja_loop {
    gab_jinja_list *items;
    size_t next;              /* of items */
    const node *statement;    /* FOR */
    gab_jinja_scope *outside; /* where the loop's condition is looked at */
    int64_t index0, length;   /* length -1: not known yet */
    unsigned depth;
    value before, current, after; /* after: of kind MISSING unless it was looked at already */
    value changed;                /* arguments of the last loop.changed() */
};

/* The next item for which the loop's condition holds, taken only when it is needed: bodies may change what the
 * condition sees. */
static bool fetch(gab_jinja_run *run, gab_jinja_loop *loop, value *item) {
    while (loop->next < loop->items->n) {
        value candidate = loop->items->items[loop->next++];
        bool taken = true;
        gab_jinja_step(run, 1);
        if (loop->statement->c) {
            gab_jinja_scope *before = run->scope;
            run->scope = gab_jinja_scope_make(run, loop->outside);
            assign(run, run->scope, loop->statement->a, candidate);
            taken = gab_jinja_truth(gab_jinja_eval(run, loop->statement->c));
            run->scope = before;
        }
        if (!taken) continue;
        *item = candidate;
        return true;
    }
    return false;
}

static bool advance(gab_jinja_run *run, gab_jinja_loop *loop) {
    value item = loop->after;
    loop->after.kind = GAB_JINJA_MISSING;
    if (item.kind == GAB_JINJA_MISSING && !fetch(run, loop, &item)) return false;
    loop->index0++;
    loop->before = loop->current;
    loop->current = item;
    return true;
}

static bool peek(gab_jinja_run *run, gab_jinja_loop *loop) {
    return loop->after.kind != GAB_JINJA_MISSING || fetch(run, loop, &loop->after);
}

static int64_t loop_length(gab_jinja_run *run, gab_jinja_loop *loop) {
    if (loop->length >= 0) return loop->length;
    gab_jinja_list *rest = gab_jinja_list_make(run, 0);
    for (value item; fetch(run, loop, &item);) gab_jinja_list_push(run, rest, item);
    loop->items = rest; /* they have passed the condition, which is not asked again as the statement is replaced */
    loop->next = 0;
    node *plain = gab_jinja_alloc(run, 1, sizeof *plain);
    *plain = *loop->statement;
    plain->c = NULL;
    loop->statement = plain;
    loop->length = (int64_t)rest->n + loop->index0 + 1 + (loop->after.kind != GAB_JINJA_MISSING);
    return loop->length;
}

static value call_cycle(const gab_jinja_call *call) {
    if (call->args->n == 0) gab_jinja_fail(call->run, GAB_ERROR_FORMAT, "loop.cycle needs values");
    return call->args->items[(uint64_t)call->self.loop->index0 % call->args->n];
}

static value call_changed(const gab_jinja_call *call) {
    gab_jinja_loop *loop = call->self.loop;
    gab_jinja_list *list = gab_jinja_list_make(call->run, call->args->n);
    for (size_t i = 0; i < call->args->n; i++) gab_jinja_list_push(call->run, list, call->args->items[i]);
    value now = gab_jinja_of_list(GAB_JINJA_TUPLE, list);
    bool changed = !gab_jinja_equal(call->run, loop->changed, now);
    loop->changed = now;
    return gab_jinja_bool(changed);
}

value gab_jinja_loop_attribute(gab_jinja_run *run, gab_jinja_loop *loop, const gab_jinja_string *name) {
    static const gab_jinja_callable methods[] = {
        {"cycle", NULL, 0, call_cycle, false}, {"changed", NULL, 0, call_changed, false}, {NULL, NULL, 0, NULL, false}};
    const gab_jinja_callable *callable = gab_jinja_row_find(methods, name);
    if (callable) {
        gab_jinja_method *method = gab_jinja_alloc(run, 1, sizeof *method);
        method->callable = callable;
        method->self = (value){.kind = GAB_JINJA_LOOP, .loop = loop};
        return (value){.kind = GAB_JINJA_METHOD, .method = method};
    }
    if (gab_jinja_string_is(name, "index")) return gab_jinja_int(loop->index0 + 1);
    if (gab_jinja_string_is(name, "index0")) return gab_jinja_int(loop->index0);
    if (gab_jinja_string_is(name, "first")) return gab_jinja_bool(loop->index0 == 0);
    if (gab_jinja_string_is(name, "last")) return gab_jinja_bool(!peek(run, loop));
    if (gab_jinja_string_is(name, "length")) return gab_jinja_int(loop_length(run, loop));
    if (gab_jinja_string_is(name, "revindex")) return gab_jinja_int(loop_length(run, loop) - loop->index0);
    if (gab_jinja_string_is(name, "revindex0")) return gab_jinja_int(loop_length(run, loop) - loop->index0 - 1);
    if (gab_jinja_string_is(name, "depth")) return gab_jinja_int(1);
    if (gab_jinja_string_is(name, "depth0")) return gab_jinja_int(0);
    if (gab_jinja_string_is(name, "previtem"))
        return loop->index0 > 0 ? loop->before : gab_jinja_undefined(run, "there is no previous item");
    if (gab_jinja_string_is(name, "nextitem"))
        return peek(run, loop) ? loop->after : gab_jinja_undefined(run, "there is no next item");
    return gab_jinja_undefined(run, "'loop' has no attribute '%.*s'", name->n < 80 ? (int)name->n : 80, name->text);
}

static gab_jinja_jump exec_for(gab_jinja_run *run, const node *statement) {
    static const gab_jinja_string loop_name = {.n = 4, .text = "loop"};
    value over = gab_jinja_eval(run, statement->b);
    gab_jinja_loop *loop = gab_jinja_alloc(run, 1, sizeof *loop);
    loop->items = gab_jinja_items(run, over);
    loop->statement = statement;
    loop->outside = run->scope;
    loop->index0 = -1;
    loop->length = statement->c || over.kind == GAB_JINJA_ITERATOR ? -1 : (int64_t)loop->items->n;
    gab_jinja_scope *scope = NULL;
    while (advance(run, loop)) {
        if (!scope || scope->kept) scope = gab_jinja_scope_make(run, run->scope);
        scope->n = 0;
        gab_jinja_scope_set(run, scope, &loop_name, (value){.kind = GAB_JINJA_LOOP, .loop = loop});
        assign(run, scope, statement->a, loop->current);
        if (exec_in(run, scope, statement->items[0]) == GAB_JINJA_BROKEN) break;
    }
    if (loop->index0 < 0 && statement->items[1])
        return exec_in(run, gab_jinja_scope_make(run, run->scope), statement->items[1]);
    return GAB_JINJA_ON;
}

/* ---- macros ---- */

struct gab_jinja_macro {
    const node *statement;
    gab_jinja_scope *scope; /* around its definition */
};

const gab_jinja_string *gab_jinja_macro_name(const gab_jinja_macro *macro) {
    return macro->statement->name;
}

static void make_macro(gab_jinja_run *run, const node *statement) {
    gab_jinja_macro *macro = gab_jinja_alloc(run, 1, sizeof *macro);
    macro->statement = statement;
    macro->scope = run->scope;
    gab_jinja_scope_set(run, run->scope, statement->name, (value){.kind = GAB_JINJA_MACRO, .macro = macro});
    for (gab_jinja_scope *scope = run->scope; scope; scope = scope->parent) scope->kept = true;
}

/* The parameter that argument i is for. */
static size_t macro_parameter(gab_jinja_run *run, const node *statement, const gab_jinja_args *args, size_t i) {
    const gab_jinja_string *name = args->names ? args->names[i] : NULL;
    size_t k = i;
    if (name)
        for (k = 0; k < statement->n && !gab_jinja_string_equal(statement->names[k], name);) k++;
    if (k < statement->n) return k;
    gab_jinja_fail(run, GAB_ERROR_FORMAT, "macro '%.*s' takes %zu arguments%s%.*s", (int)statement->name->n,
                   statement->name->text, statement->n, name ? ", none of them named " : "", name ? (int)name->n : 0,
                   name ? name->text : "");
}

value gab_jinja_call_macro(gab_jinja_run *run, const gab_jinja_macro *macro, const gab_jinja_args *args) {
    const node *statement = macro->statement;
    gab_jinja_scope *scope = gab_jinja_scope_make(run, macro->scope), *before = run->scope;
    value text;
    gab_jinja_enter(run);
    for (size_t i = 0; i < args->n; i++) {
        size_t k = macro_parameter(run, statement, args, i);
        if (find_variable(run, scope, statement->names[k]))
            gab_jinja_fail(run, GAB_ERROR_FORMAT, "macro '%.*s' was given '%.*s' twice", (int)statement->name->n,
                           statement->name->text, (int)statement->names[k]->n, statement->names[k]->text);
        gab_jinja_scope_set(run, scope, statement->names[k], args->items[i]);
    }
    run->scope = scope;
    for (size_t k = 0; k < statement->n; k++) {
        const gab_jinja_string *name = statement->names[k];
        if (find_variable(run, scope, name)) continue;
        value missing = statement->items[k] ? gab_jinja_eval(run, statement->items[k])
                                            : gab_jinja_undefined(run, "parameter '%.*s' was not provided",
                                                                  name->n < 80 ? (int)name->n : 80, name->text);
        gab_jinja_scope_set(run, scope, name, missing);
    }
    run->scope = before;
    capture(run, scope, statement->a, &text);
    gab_jinja_leave(run);
    return text;
}

/* ---- other statements ---- */

static gab_jinja_jump exec_if(gab_jinja_run *run, const node *statement) {
    size_t i = 0;
    for (; i + 1 < statement->n; i += 2)
        if (gab_jinja_truth(gab_jinja_eval(run, statement->items[i])))
            return gab_jinja_exec(run, statement->items[i + 1]);
    return i < statement->n ? gab_jinja_exec(run, statement->items[i]) : GAB_JINJA_ON;
}

/* filter is the last of the chain; its first has no input of its own. */
static value filter_text(gab_jinja_run *run, const node *filter, value text) {
    if (!filter) return text;
    gab_jinja_enter(run);
    text = gab_jinja_eval_filter(run, filter, filter_text(run, filter->a, text));
    gab_jinja_leave(run);
    return text;
}

static gab_jinja_jump exec_with(gab_jinja_run *run, const node *statement) {
    gab_jinja_scope *scope = gab_jinja_scope_make(run, run->scope);
    for (size_t i = 0; i + 1 < statement->n; i += 2) /* the values are of the scope around */
        assign(run, scope, statement->items[i], gab_jinja_eval(run, statement->items[i + 1]));
    return exec_in(run, scope, statement->a);
}

static gab_jinja_jump exec_captured(gab_jinja_run *run, const node *statement) {
    bool sets = statement->kind == GAB_JINJA_SET_BLOCK;
    value text;
    gab_jinja_jump jump =
        capture(run, gab_jinja_scope_make(run, run->scope), sets ? statement->b : statement->a, &text);
    if (jump != GAB_JINJA_ON) return jump;
    text = filter_text(run, statement->c, text);
    if (sets)
        assign(run, run->scope, statement->a, text);
    else
        gab_jinja_print(run->out, text);
    return GAB_JINJA_ON;
}

static gab_jinja_jump exec_block(gab_jinja_run *run, const node *block) {
    gab_jinja_jump jump = GAB_JINJA_ON;
    for (size_t i = 0; i < block->n && jump == GAB_JINJA_ON; i++) jump = gab_jinja_exec(run, block->items[i]);
    return jump;
}

static gab_jinja_jump exec_kind(gab_jinja_run *run, const node *statement) {
    switch (statement->kind) {
    case GAB_JINJA_BLOCK: return exec_block(run, statement);
    case GAB_JINJA_DATA: gab_jinja_print(run->out, statement->constant); return GAB_JINJA_ON;
    case GAB_JINJA_PRINT: gab_jinja_print(run->out, gab_jinja_eval(run, statement->a)); return GAB_JINJA_ON;
    case GAB_JINJA_IF: return exec_if(run, statement);
    case GAB_JINJA_FOR: return exec_for(run, statement);
    case GAB_JINJA_SET: assign(run, run->scope, statement->a, gab_jinja_eval(run, statement->b)); return GAB_JINJA_ON;
    case GAB_JINJA_SET_BLOCK:
    case GAB_JINJA_FILTER_BLOCK: return exec_captured(run, statement);
    case GAB_JINJA_MAKE_MACRO: make_macro(run, statement); return GAB_JINJA_ON;
    case GAB_JINJA_WITH: return exec_with(run, statement);
    case GAB_JINJA_SCOPE: return exec_in(run, gab_jinja_scope_make(run, run->scope), statement->a);
    case GAB_JINJA_BREAK: return GAB_JINJA_BROKEN;
    case GAB_JINJA_CONTINUE: return GAB_JINJA_CONTINUED;
    default: return GAB_JINJA_ON; /* the parser makes no others */
    }
}

gab_jinja_jump gab_jinja_exec(gab_jinja_run *run, const node *statement) {
    gab_jinja_enter(run);
    gab_jinja_step(run, 1);
    run->line = statement->line;
    gab_jinja_jump jump = exec_kind(run, statement);
    gab_jinja_leave(run);
    return jump;
}

void gab_jinja_render(gab_jinja_run *run, const node *tree) {
    run->scope = gab_jinja_scope_make(run, NULL);
    gab_jinja_exec(run, tree);
}
