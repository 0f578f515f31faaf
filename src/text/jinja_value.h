/*
 * jinja_value.h - what a template computes with: Python's values as Jinja shows them, and the memory they live in.
 *
 * One gab_jinja_run is one reading or one rendering of a template. All that it makes lies in its arena, which has a
 * bound, and nothing is freed on its own. A failure therefore needs no clean-up on its way: gab_jinja_fail says what is
 * wrong and jumps to where the run was started (gab_jinja_guard), so that functions here return values, not statuses.
 */
#ifndef GAB_TEXT_JINJA_VALUE_H
#define GAB_TEXT_JINJA_VALUE_H

#include <setjmp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "base/arena.h"
#include "base/error.h"

/* ---- a run ---- */

struct gab_jinja_scope;
struct gab_jinja_dict;
struct gab_jinja_buffer;

typedef struct gab_jinja_run {
    gab_arena arena;
    size_t bytes_left;
    uint64_t steps_left;
    unsigned depth, depth_max;      /* of nested expressions, statements, calls, values */
    int line;                       /* of the template, where it is now; 0: not in the template */
    bool immutable;                 /* lists and dictionaries cannot be changed by methods */
    const struct tm *now;           /* what strftime_now shows */
    struct gab_jinja_scope *scope;  /* of the statement being run (jinja_eval.c) */
    struct gab_jinja_dict *context; /* the variables given from outside */
    struct gab_jinja_buffer *out;   /* where text goes */
    jmp_buf *escape;
    gab_status status;
    char message[GAB_MESSAGE_MAX / 2];
} gab_jinja_run;

/* Calls fn(run, user); GAB_OK, or the status of the failure, whose sentence is in run->message. */
gab_status gab_jinja_guard(gab_jinja_run *run, void (*fn)(gab_jinja_run *run, void *user), void *user);

_Noreturn void gab_jinja_fail(gab_jinja_run *run, gab_status status, const char *format, ...) GAB_PRINTF(3, 4);
void *gab_jinja_alloc(gab_jinja_run *run, size_t count, size_t size); /* zeroed; never NULL */
void gab_jinja_step(gab_jinja_run *run, size_t n);                    /* counts work: about n items or 64 n bytes */
void gab_jinja_enter(gab_jinja_run *run);                             /* one deeper; and back */
static inline void gab_jinja_leave(gab_jinja_run *run) {
    run->depth--;
}

/* ---- values ---- */

typedef enum gab_jinja_kind {
    GAB_JINJA_MISSING, /* an argument that was not given; never seen by a template */
    GAB_JINJA_UNDEFINED,
    GAB_JINJA_NONE,
    GAB_JINJA_BOOL,
    GAB_JINJA_INT,
    GAB_JINJA_FLOAT,
    GAB_JINJA_STRING,
    GAB_JINJA_LIST,
    GAB_JINJA_TUPLE,
    GAB_JINJA_RANGE,
    GAB_JINJA_VIEW,     /* dict.keys(), .values(), .items(): a list made when asked for */
    GAB_JINJA_ITERATOR, /* a list that is gone through once: what map, select, items and others make */
    GAB_JINJA_DICT,
    GAB_JINJA_NAMESPACE,
    GAB_JINJA_LOOP,
    GAB_JINJA_MACRO,
    GAB_JINJA_FUNCTION,
    GAB_JINJA_METHOD,
} gab_jinja_kind;

typedef struct gab_jinja_value gab_jinja_value;

typedef struct gab_jinja_string {
    size_t n; /* bytes */
    const char *text;
    bool markup; /* `safe` or `escape` made it: text added to it is escaped */
} gab_jinja_string;

typedef struct gab_jinja_list {
    gab_jinja_value *items;
    size_t n, capacity;
    size_t next;         /* ITERATOR: items taken */
    const char *label;   /* RANGE: how it is printed; VIEW: dict_keys ... */
    const char *mistake; /* ITERATOR: fails with this when it is gone through */
} gab_jinja_list;

typedef struct gab_jinja_dict gab_jinja_dict;         /* in the order of insertion */
typedef struct gab_jinja_loop gab_jinja_loop;         /* jinja_eval.h */
typedef struct gab_jinja_macro gab_jinja_macro;       /* jinja_eval.h */
typedef struct gab_jinja_callable gab_jinja_callable; /* jinja_eval.h: a row of a table */
typedef struct gab_jinja_method gab_jinja_method;     /* jinja_eval.h */

struct gab_jinja_value {
    gab_jinja_kind kind;
    union {
        bool truth;
        int64_t integer;
        double real;
        const gab_jinja_string *string; /* UNDEFINED: why, for an error; may be NULL */
        gab_jinja_list *list;           /* LIST to ITERATOR */
        gab_jinja_dict *dict;           /* DICT, NAMESPACE */
        gab_jinja_loop *loop;
        gab_jinja_macro *macro;
        const gab_jinja_callable *function;
        gab_jinja_method *method;
    };
};

static inline gab_jinja_value gab_jinja_none(void) {
    return (gab_jinja_value){.kind = GAB_JINJA_NONE};
}
static inline gab_jinja_value gab_jinja_bool(bool truth) {
    return (gab_jinja_value){.kind = GAB_JINJA_BOOL, .truth = truth};
}
static inline gab_jinja_value gab_jinja_int(int64_t integer) {
    return (gab_jinja_value){.kind = GAB_JINJA_INT, .integer = integer};
}
static inline gab_jinja_value gab_jinja_float(double real) {
    return (gab_jinja_value){.kind = GAB_JINJA_FLOAT, .real = real};
}
static inline gab_jinja_value gab_jinja_of_string(const gab_jinja_string *string) {
    return (gab_jinja_value){.kind = GAB_JINJA_STRING, .string = string};
}
static inline gab_jinja_value gab_jinja_of_list(gab_jinja_kind kind, gab_jinja_list *list) {
    return (gab_jinja_value){.kind = kind, .list = list};
}
static inline gab_jinja_value gab_jinja_of_dict(gab_jinja_dict *dict) {
    return (gab_jinja_value){.kind = GAB_JINJA_DICT, .dict = dict};
}
static inline bool gab_jinja_has_items(gab_jinja_value v) { /* has a gab_jinja_list */
    return v.kind >= GAB_JINJA_LIST && v.kind <= GAB_JINJA_ITERATOR;
}
static inline bool gab_jinja_is_number(gab_jinja_value v) { /* as Python: True is 1 */
    return v.kind >= GAB_JINJA_BOOL && v.kind <= GAB_JINJA_FLOAT;
}
static inline bool gab_jinja_is_integer(gab_jinja_value v) {
    return v.kind == GAB_JINJA_BOOL || v.kind == GAB_JINJA_INT;
}
static inline int64_t gab_jinja_integer(gab_jinja_value v) { /* of what is_integer */
    return v.kind == GAB_JINJA_BOOL ? v.truth : v.integer;
}
static inline double gab_jinja_real(gab_jinja_value v) { /* of what is_number */
    return v.kind == GAB_JINJA_FLOAT ? v.real : (double)gab_jinja_integer(v);
}

/* ---- strings ---- */

gab_jinja_string *gab_jinja_string_make(gab_jinja_run *run, const char *text, size_t n); /* refers to the text */
gab_jinja_value gab_jinja_text(gab_jinja_run *run, const char *text, size_t n);          /* the same as a value */
gab_jinja_value gab_jinja_text_copy(gab_jinja_run *run, const char *text, size_t n);
gab_jinja_value gab_jinja_undefined(gab_jinja_run *run, const char *format, ...) GAB_PRINTF(2, 3);
bool gab_jinja_string_equal(const gab_jinja_string *a, const gab_jinja_string *b);
bool gab_jinja_string_is(const gab_jinja_string *string, const char *text);

/* Text that grows. */
typedef struct gab_jinja_buffer gab_jinja_buffer;
struct gab_jinja_buffer {
    gab_jinja_run *run;
    char *text;
    size_t n, capacity;
};
void gab_jinja_put(gab_jinja_buffer *buffer, const char *text, size_t n);
void gab_jinja_put_text(gab_jinja_buffer *buffer, const char *text);                           /* zero-terminated */
void gab_jinja_put_format(gab_jinja_buffer *buffer, const char *format, ...) GAB_PRINTF(2, 3); /* short ones */
gab_jinja_value gab_jinja_buffer_value(const gab_jinja_buffer *buffer);

/* ---- lists and dictionaries ---- */

gab_jinja_list *gab_jinja_list_make(gab_jinja_run *run, size_t capacity);
void gab_jinja_list_push(gab_jinja_run *run, gab_jinja_list *list, gab_jinja_value item);
gab_jinja_value gab_jinja_tuple2(gab_jinja_run *run, gab_jinja_value a, gab_jinja_value b);

typedef struct gab_jinja_entry {
    gab_jinja_value key, value;
} gab_jinja_entry;

gab_jinja_dict *gab_jinja_dict_make(gab_jinja_run *run);
size_t gab_jinja_dict_n(const gab_jinja_dict *dict);
const gab_jinja_entry *gab_jinja_dict_at(const gab_jinja_dict *dict, size_t i);
/* NULL: not there, or the key is of a kind that cannot be one. */
const gab_jinja_value *gab_jinja_dict_get(gab_jinja_run *run, const gab_jinja_dict *dict, gab_jinja_value key);
const gab_jinja_value *gab_jinja_dict_get_text(gab_jinja_run *run, const gab_jinja_dict *dict, const char *key);
void gab_jinja_dict_set(gab_jinja_run *run, gab_jinja_dict *dict, gab_jinja_value key, gab_jinja_value value);
bool gab_jinja_dict_remove(gab_jinja_run *run, gab_jinja_dict *dict, gab_jinja_value key);

/* ---- operators (jinja_operators.c) ---- */

const char *gab_jinja_type_name(gab_jinja_value v); /* Python's: str, int, NoneType ... */
bool gab_jinja_truth(gab_jinja_value v);
bool gab_jinja_equal(gab_jinja_run *run, gab_jinja_value a, gab_jinja_value b);
bool gab_jinja_less(gab_jinja_run *run, gab_jinja_value a, gab_jinja_value b); /* fails where Python does */
/* Where `part` begins at or after byte `from`; SIZE_MAX: nowhere. */
size_t gab_jinja_find(gab_jinja_run *run, const gab_jinja_string *text, const gab_jinja_string *part, size_t from);
bool gab_jinja_contains(gab_jinja_run *run, gab_jinja_value container, gab_jinja_value item);
/* Fails, naming it, when it is undefined. */
void gab_jinja_require_defined(gab_jinja_run *run, gab_jinja_value v);
gab_jinja_value gab_jinja_arithmetic(gab_jinja_run *run, char op, gab_jinja_value a,
                                     gab_jinja_value b);                                /* + - * / D(//) % P(**) */
gab_jinja_value gab_jinja_negative(gab_jinja_run *run, gab_jinja_value v, bool negate); /* -v, +v */
/* v[index], without methods: false where Python has LookupError or TypeError. */
bool gab_jinja_item(gab_jinja_run *run, gab_jinja_value v, gab_jinja_value index, gab_jinja_value *item);
/* v[start:stop:step], each of them NONE or an integer. */
gab_jinja_value gab_jinja_slice(gab_jinja_run *run, gab_jinja_value v, const gab_jinja_value bounds[3]);
/* How many; false where Python's len() fails. */
bool gab_jinja_length(gab_jinja_run *run, gab_jinja_value v, size_t *n);
bool gab_jinja_is_iterable(gab_jinja_value v);
/* All items in a list that is not to be changed; takes what is left of an iterator; fails where Python's iter() does.
 */
gab_jinja_list *gab_jinja_items(gab_jinja_run *run, gab_jinja_value v);

/* ---- text of values (jinja_print.c, jinja_json.c) ---- */

void gab_jinja_print(gab_jinja_buffer *out, gab_jinja_value v);       /* str() */
gab_jinja_value gab_jinja_str(gab_jinja_run *run, gab_jinja_value v); /* str(); keeps markup */
void gab_jinja_print_repr(gab_jinja_buffer *out, gab_jinja_value v);  /* repr() */
void gab_jinja_print_real(gab_jinja_buffer *out, double real);        /* the shortest that reads back the same */
void gab_jinja_print_escaped(gab_jinja_buffer *out, const gab_jinja_string *string); /* for HTML, as markupsafe */

typedef struct gab_jinja_json_style {
    bool ascii, sort_keys;
    const gab_jinja_string *indent, *item_separator, *key_separator; /* indent may be NULL: all in one line */
} gab_jinja_json_style;
void gab_jinja_json_print(gab_jinja_buffer *out, gab_jinja_value v, const gab_jinja_json_style *style);
/* `what` names the text in errors. Strings are copied where they have escapes, else they refer to the text. */
gab_jinja_value gab_jinja_json_parse(gab_jinja_run *run, const char *what, const char *text, size_t n);

/* jinja_format.c: format % values, str.format(), time.strftime() */
struct gab_jinja_args;
gab_jinja_value gab_jinja_format_percent(gab_jinja_run *run, const gab_jinja_string *format, gab_jinja_value values);
gab_jinja_value gab_jinja_format_braces(gab_jinja_run *run, const gab_jinja_string *format,
                                        const struct gab_jinja_args *args);
void gab_jinja_put_fixed(gab_jinja_buffer *out, double real, int precision); /* "%.*f", with a point */
void gab_jinja_format_time(gab_jinja_buffer *out, const gab_jinja_string *format, const struct tm *time);

#endif
