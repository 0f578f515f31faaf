/*
 * jinja_parser.h - the tree of a template. It is not changed once it is made: many runs, also at once, may render it.
 */
#ifndef GAB_TEXT_JINJA_PARSER_H
#define GAB_TEXT_JINJA_PARSER_H

#include "text/jinja_lexer.h"

typedef enum gab_jinja_node_kind {
    /* expressions */
    GAB_JINJA_CONSTANT,  /* constant */
    GAB_JINJA_NAME,      /* name */
    GAB_JINJA_MAKE_LIST, /* items */
    GAB_JINJA_MAKE_TUPLE,
    GAB_JINJA_MAKE_DICT,  /* items: key, value, key, value ... */
    GAB_JINJA_ATTRIBUTE,  /* a.name */
    GAB_JINJA_SUBSCRIPT,  /* a[b] */
    GAB_JINJA_MAKE_SLICE, /* a[items[0]:items[1]:items[2]], each may be NULL */
    GAB_JINJA_CALL,       /* a(items), names[i] is NULL for a positional one; so for the next two */
    GAB_JINJA_FILTER,     /* a | name(items); a is NULL in a filter block */
    GAB_JINJA_TEST,       /* a is name(items) */
    GAB_JINJA_NOT,        /* not a */
    GAB_JINJA_SIGN,       /* op a */
    GAB_JINJA_AND,        /* a and b */
    GAB_JINJA_OR,
    GAB_JINJA_BINARY,    /* a op b: gab_jinja_arithmetic's letters */
    GAB_JINJA_CONCAT,    /* items[0] ~ items[1] ~ ... */
    GAB_JINJA_COMPARE,   /* items[0] ops[0] items[1] ops[1] ... */
    GAB_JINJA_CONDITION, /* a if b else c; c may be NULL */
    GAB_JINJA_MEMBER,    /* name.attribute, only as the target of set */
    /* statements */
    GAB_JINJA_BLOCK,        /* items */
    GAB_JINJA_DATA,         /* constant, as it is */
    GAB_JINJA_PRINT,        /* a */
    GAB_JINJA_IF,           /* items: condition, block, condition, block ..., and the block of else if n is odd */
    GAB_JINJA_FOR,          /* a: target, b: what is gone through, c: condition or NULL, items: block, else or NULL */
    GAB_JINJA_SET,          /* a: target, b */
    GAB_JINJA_SET_BLOCK,    /* a: target, b: block, c: filters or NULL */
    GAB_JINJA_MAKE_MACRO,   /* name, names: parameters, items: their defaults or NULL, a: block */
    GAB_JINJA_WITH,         /* items: target, value, target, value ..., a: block */
    GAB_JINJA_FILTER_BLOCK, /* a: block, c: filters */
    GAB_JINJA_SCOPE,        /* a: block (generation) */
    GAB_JINJA_BREAK,
    GAB_JINJA_CONTINUE,
} gab_jinja_node_kind;

/* Of COMPARE. */
typedef enum gab_jinja_comparison {
    GAB_JINJA_EQUAL,
    GAB_JINJA_UNEQUAL,
    GAB_JINJA_LESS,
    GAB_JINJA_LESS_EQUAL,
    GAB_JINJA_GREATER,
    GAB_JINJA_GREATER_EQUAL,
    GAB_JINJA_IN,
    GAB_JINJA_NOT_IN,
} gab_jinja_comparison;

typedef struct gab_jinja_node gab_jinja_node;
struct gab_jinja_node {
    gab_jinja_node_kind kind;
    int line;
    char op;
    const gab_jinja_string *name, *attribute;
    gab_jinja_value constant;
    gab_jinja_node *a, *b, *c;
    gab_jinja_node **items;
    const gab_jinja_string **names;
    gab_jinja_comparison *ops;
    size_t n, capacity;                 /* of items, names and ops */
    const gab_jinja_callable *callable; /* FILTER, TEST: NULL when there is none of that name */
};

/* The tree, in the run's memory. */
gab_jinja_node *gab_jinja_parse(gab_jinja_run *run, const char *text, size_t n);

/* ---- between the files of the parser ---- */

typedef struct gab_jinja_parser {
    gab_jinja_run *run;
    const gab_jinja_token *token; /* the next one */
    unsigned n_loop;              /* loops around it, in this macro */
} gab_jinja_parser;

_Noreturn void gab_jinja_parse_fail(gab_jinja_parser *p, const char *expected);
gab_jinja_node *gab_jinja_node_make(gab_jinja_parser *p, gab_jinja_node_kind kind);
void gab_jinja_node_push(gab_jinja_parser *p, gab_jinja_node *node, gab_jinja_node *item, const gab_jinja_string *name);
bool gab_jinja_token_is(const gab_jinja_token *token, gab_jinja_token_kind kind, const char *text);
bool gab_jinja_take(gab_jinja_parser *p, gab_jinja_token_kind kind, const char *text); /* if it is the next */
void gab_jinja_expect(gab_jinja_parser *p, gab_jinja_token_kind kind, const char *text);
const gab_jinja_string *gab_jinja_expect_name(gab_jinja_parser *p);

/* with_condition: "a if b" belongs to it. */
gab_jinja_node *gab_jinja_parse_expression(gab_jinja_parser *p, bool with_condition);
/* The same, or a tuple without parentheses. */
gab_jinja_node *gab_jinja_parse_tuple(gab_jinja_parser *p, bool with_condition);
gab_jinja_node *gab_jinja_parse_primary(gab_jinja_parser *p);
/* Any number of | filter, of a node or (a filter block) of NULL. */
gab_jinja_node *gab_jinja_parse_filters(gab_jinja_parser *p, gab_jinja_node *node, bool first_without_bar);

#endif
