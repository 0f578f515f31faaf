/*
 * jinja_eval.h - runs the tree of a template, and the tables of what it can call: filters, tests, methods, functions.
 *
 * Scopes are Jinja's: the body of a loop, macro, with or block set is one, an `if` is none; `set` writes to the
 * innermost; a macro sees the scopes around its definition. Names that no scope has come from the context, then from
 * the table of functions.
 */
#ifndef GAB_TEXT_JINJA_EVAL_H
#define GAB_TEXT_JINJA_EVAL_H

#include "text/jinja_parser.h"

/* ---- calls ---- */

/* Positional ones first, names[i] NULL for them. */
typedef struct gab_jinja_args {
    size_t n;
    const gab_jinja_value *items;
    const gab_jinja_string *const *names;
} gab_jinja_args;

enum { GAB_JINJA_PARAMETER_MAX = 5 };

typedef struct gab_jinja_call {
    gab_jinja_run *run;
    gab_jinja_value self;         /* what is filtered or tested, or whose method it is */
    const gab_jinja_value *given; /* one for each parameter of the row, of kind MISSING when not given */
    const gab_jinja_args *args;   /* as they were written */
} gab_jinja_call;

/* A row of a table. */
struct gab_jinja_callable {
    const char *name;
    const char *parameters; /* their names with spaces between; NULL: any arguments */
    unsigned n_required;
    gab_jinja_value (*call)(const gab_jinja_call *call); /* NULL: Python has it, this interpreter does not */
    bool mutates;                                        /* changes what it is a method of */
};

struct gab_jinja_method {
    const gab_jinja_callable *callable;
    gab_jinja_value self;
};

const gab_jinja_callable *gab_jinja_filter_find(const gab_jinja_string *name); /* NULL: there is none */
const gab_jinja_callable *gab_jinja_test_find(const gab_jinja_string *name);
const gab_jinja_callable *gab_jinja_function_find(const gab_jinja_string *name);
const gab_jinja_callable *gab_jinja_method_find(gab_jinja_kind kind, const gab_jinja_string *name);
/* Rows of a table whose last has no name. */
const gab_jinja_callable *gab_jinja_row_find(const gab_jinja_callable *rows, const gab_jinja_string *name);

/* Binds the arguments to the row's parameters and calls it. */
gab_jinja_value gab_jinja_invoke(gab_jinja_run *run, const gab_jinja_callable *callable, gab_jinja_value self,
                                 const gab_jinja_args *args);

/* Arguments of a call by the place of their parameter; they fail when they are of another type. */
bool gab_jinja_given(const gab_jinja_call *call, size_t i);
bool gab_jinja_given_truth(const gab_jinja_call *call, size_t i, bool otherwise);
int64_t gab_jinja_given_int(const gab_jinja_call *call, size_t i, int64_t otherwise);
const gab_jinja_string *gab_jinja_given_string(const gab_jinja_call *call, size_t i); /* NULL: not given or none */

/* ---- attributes ---- */

gab_jinja_value gab_jinja_attribute(gab_jinja_run *run, gab_jinja_value v, const gab_jinja_string *name); /* v.name */
gab_jinja_value gab_jinja_subscript(gab_jinja_run *run, gab_jinja_value v, gab_jinja_value index);        /* v[index] */
gab_jinja_value gab_jinja_loop_attribute(gab_jinja_run *run, gab_jinja_loop *loop, const gab_jinja_string *name);
const gab_jinja_string *gab_jinja_macro_name(const gab_jinja_macro *macro);

/* ---- running ---- */

/* What a statement leaves behind it. */
typedef enum gab_jinja_jump { GAB_JINJA_ON, GAB_JINJA_BROKEN, GAB_JINJA_CONTINUED } gab_jinja_jump;

gab_jinja_value gab_jinja_eval(gab_jinja_run *run, const gab_jinja_node *node);
gab_jinja_value gab_jinja_eval_filter(gab_jinja_run *run, const gab_jinja_node *filter, gab_jinja_value input);
gab_jinja_jump gab_jinja_exec(gab_jinja_run *run, const gab_jinja_node *node);
gab_jinja_value gab_jinja_call_macro(gab_jinja_run *run, const gab_jinja_macro *macro, const gab_jinja_args *args);

/* ---- scopes ---- */

typedef struct gab_jinja_scope gab_jinja_scope;

gab_jinja_scope *gab_jinja_scope_make(gab_jinja_run *run, gab_jinja_scope *parent);
void gab_jinja_scope_set(gab_jinja_run *run, gab_jinja_scope *scope, const gab_jinja_string *name,
                         gab_jinja_value value);
gab_jinja_value gab_jinja_lookup(gab_jinja_run *run, const gab_jinja_string *name);

/* Writes the rendering of a tree with the run's context to the run's buffer. */
void gab_jinja_render(gab_jinja_run *run, const gab_jinja_node *tree);

#endif
