/*
 * jinja_expression.c - the parser's half for expressions, by Jinja's grammar: what binds how, and what may follow what.
 */
#include <string.h>

#include "text/jinja_eval.h"
#include "text/jinja_parser.h"

typedef gab_jinja_node node;

static bool next_is_operator(const gab_jinja_parser *p, const char *text) {
    return gab_jinja_token_is(p->token, GAB_JINJA_TOKEN_OPERATOR, text);
}

static bool next_is_name(const gab_jinja_parser *p, const char *text) {
    return gab_jinja_token_is(p->token, GAB_JINJA_TOKEN_NAME, text);
}

static bool take_operator(gab_jinja_parser *p, const char *text) {
    return gab_jinja_take(p, GAB_JINJA_TOKEN_OPERATOR, text);
}

static bool take_name(gab_jinja_parser *p, const char *text) {
    return gab_jinja_take(p, GAB_JINJA_TOKEN_NAME, text);
}

static node *make_constant(gab_jinja_parser *p, gab_jinja_value constant) {
    node *made = gab_jinja_node_make(p, GAB_JINJA_CONSTANT);
    made->constant = constant;
    return made;
}

/* ---- primary expressions ---- */

static node *parse_name(gab_jinja_parser *p) {
    static const struct {
        const char *name;
        gab_jinja_kind kind;
        bool truth;
    } constants[] = {{"true", GAB_JINJA_BOOL, true},   {"True", GAB_JINJA_BOOL, true},
                     {"false", GAB_JINJA_BOOL, false}, {"False", GAB_JINJA_BOOL, false},
                     {"none", GAB_JINJA_NONE, false},  {"None", GAB_JINJA_NONE, false}};
    node *made = gab_jinja_node_make(p, GAB_JINJA_NAME);
    made->name = gab_jinja_expect_name(p);
    for (size_t i = 0; i < sizeof constants / sizeof *constants; i++) {
        if (!gab_jinja_string_is(made->name, constants[i].name)) continue;
        made->kind = GAB_JINJA_CONSTANT;
        made->constant = (gab_jinja_value){.kind = constants[i].kind, .truth = constants[i].truth};
    }
    return made;
}

static node *parse_strings(gab_jinja_parser *p) { /* next to each other, they are one */
    gab_jinja_value first = gab_jinja_of_string(p->token->text);
    node *made = make_constant(p, first);
    p->token++;
    while (p->token->kind == GAB_JINJA_TOKEN_STRING) {
        made->constant = gab_jinja_arithmetic(p->run, '+', made->constant, gab_jinja_of_string(p->token->text));
        p->token++;
    }
    return made;
}

/* Items up to the bracket, with or without a comma at the end. */
static node *parse_list(gab_jinja_parser *p) {
    node *made = gab_jinja_node_make(p, GAB_JINJA_MAKE_LIST);
    while (!take_operator(p, "]")) {
        if (made->n) {
            gab_jinja_expect(p, GAB_JINJA_TOKEN_OPERATOR, ",");
            if (take_operator(p, "]")) break;
        }
        gab_jinja_node_push(p, made, gab_jinja_parse_expression(p, true), NULL);
    }
    return made;
}

static node *parse_dict(gab_jinja_parser *p) {
    node *made = gab_jinja_node_make(p, GAB_JINJA_MAKE_DICT);
    while (!take_operator(p, "}")) {
        if (made->n) {
            gab_jinja_expect(p, GAB_JINJA_TOKEN_OPERATOR, ",");
            if (take_operator(p, "}")) break;
        }
        gab_jinja_node_push(p, made, gab_jinja_parse_expression(p, true), NULL);
        gab_jinja_expect(p, GAB_JINJA_TOKEN_OPERATOR, ":");
        gab_jinja_node_push(p, made, gab_jinja_parse_expression(p, true), NULL);
    }
    return made;
}

/* `first`, or with commas behind it a tuple, up to what can begin no expression. */
static node *parse_rest_of_tuple(gab_jinja_parser *p, node *first, bool with_condition) {
    if (!next_is_operator(p, ",")) return first;
    node *made = gab_jinja_node_make(p, GAB_JINJA_MAKE_TUPLE);
    gab_jinja_node_push(p, made, first, NULL);
    while (take_operator(p, ",")) {
        bool ends = p->token->kind == GAB_JINJA_TOKEN_VARIABLE_END || p->token->kind == GAB_JINJA_TOKEN_BLOCK_END ||
                    next_is_operator(p, ")");
        if (ends) break;
        gab_jinja_node_push(p, made, gab_jinja_parse_expression(p, with_condition), NULL);
    }
    return made;
}

node *gab_jinja_parse_tuple(gab_jinja_parser *p, bool with_condition) {
    return parse_rest_of_tuple(p, gab_jinja_parse_expression(p, with_condition), with_condition);
}

node *gab_jinja_parse_primary(gab_jinja_parser *p) {
    if (p->token->kind == GAB_JINJA_TOKEN_NAME) return parse_name(p);
    if (p->token->kind == GAB_JINJA_TOKEN_STRING) return parse_strings(p);
    if (p->token->kind == GAB_JINJA_TOKEN_NUMBER) return make_constant(p, (p->token++)->number);
    if (take_operator(p, "[")) return parse_list(p);
    if (take_operator(p, "{")) return parse_dict(p);
    if (!take_operator(p, "(")) gab_jinja_parse_fail(p, "an expression");
    if (take_operator(p, ")")) return gab_jinja_node_make(p, GAB_JINJA_MAKE_TUPLE);
    node *made = gab_jinja_parse_tuple(p, true);
    gab_jinja_expect(p, GAB_JINJA_TOKEN_OPERATOR, ")");
    return made;
}

/* ---- what follows them ---- */

static void parse_arguments(gab_jinja_parser *p, node *call) { /* behind the parenthesis */
    bool named = false;
    while (!take_operator(p, ")")) {
        const gab_jinja_string *name = NULL;
        if (call->n) {
            gab_jinja_expect(p, GAB_JINJA_TOKEN_OPERATOR, ",");
            if (take_operator(p, ")")) break;
        }
        if (next_is_operator(p, "*") || next_is_operator(p, "**"))
            gab_jinja_fail(p->run, GAB_ERROR_UNSUPPORTED, "arguments with * or ** are not supported");
        if (p->token->kind == GAB_JINJA_TOKEN_NAME && gab_jinja_token_is(p->token + 1, GAB_JINJA_TOKEN_OPERATOR, "=")) {
            name = gab_jinja_expect_name(p);
            p->token++;
        }
        if (named && !name) gab_jinja_parse_fail(p, "a named argument");
        named = name;
        gab_jinja_node_push(p, call, gab_jinja_parse_expression(p, true), name);
    }
}

static node *parse_call(gab_jinja_parser *p, node *function) {
    node *made = gab_jinja_node_make(p, GAB_JINJA_CALL);
    p->token++;
    made->a = function;
    parse_arguments(p, made);
    return made;
}

static bool at_slice_end(const gab_jinja_parser *p) {
    return next_is_operator(p, "]") || next_is_operator(p, ":");
}

static node *parse_subscript(gab_jinja_parser *p, node *of) { /* behind the bracket */
    node *made = gab_jinja_node_make(p, GAB_JINJA_SUBSCRIPT);
    made->a = of;
    node *first = at_slice_end(p) ? NULL : gab_jinja_parse_expression(p, true);
    if (next_is_operator(p, ":")) {
        made->kind = GAB_JINJA_MAKE_SLICE;
        gab_jinja_node_push(p, made, first, NULL);
        for (int i = 0; i < 2; i++) {
            bool given = take_operator(p, ":") && !at_slice_end(p);
            gab_jinja_node_push(p, made, given ? gab_jinja_parse_expression(p, true) : NULL, NULL);
        }
    } else {
        made->b = first ? parse_rest_of_tuple(p, first, true) : gab_jinja_node_make(p, GAB_JINJA_MAKE_TUPLE);
    }
    gab_jinja_expect(p, GAB_JINJA_TOKEN_OPERATOR, "]");
    return made;
}

static node *parse_attribute(gab_jinja_parser *p, node *of) { /* behind the dot */
    node *made = gab_jinja_node_make(p, GAB_JINJA_ATTRIBUTE);
    made->a = of;
    if (p->token->kind == GAB_JINJA_TOKEN_NUMBER && p->token->number.kind == GAB_JINJA_INT) {
        made->kind = GAB_JINJA_SUBSCRIPT;
        made->b = make_constant(p, (p->token++)->number);
    } else {
        made->name = gab_jinja_expect_name(p);
    }
    return made;
}

static node *parse_postfix(gab_jinja_parser *p, node *made) {
    for (;;) {
        if (take_operator(p, "."))
            made = parse_attribute(p, made);
        else if (take_operator(p, "["))
            made = parse_subscript(p, made);
        else if (next_is_operator(p, "("))
            made = parse_call(p, made);
        else
            return made;
    }
}

node *gab_jinja_parse_filters(gab_jinja_parser *p, node *made, bool first_without_bar) {
    while (first_without_bar || take_operator(p, "|")) {
        node *filter = gab_jinja_node_make(p, GAB_JINJA_FILTER);
        first_without_bar = false;
        filter->a = made;
        filter->name = gab_jinja_expect_name(p);
        filter->callable = gab_jinja_filter_find(filter->name);
        if (take_operator(p, "(")) parse_arguments(p, filter);
        made = filter;
    }
    return made;
}

static node *parse_test(gab_jinja_parser *p, node *of) { /* behind "is" */
    node *made = gab_jinja_node_make(p, GAB_JINJA_TEST);
    bool negated = take_name(p, "not");
    made->a = of;
    made->name = gab_jinja_expect_name(p);
    made->callable = gab_jinja_test_find(made->name);
    gab_jinja_token_kind next = p->token->kind;
    bool argument = next == GAB_JINJA_TOKEN_NAME || next == GAB_JINJA_TOKEN_STRING || next == GAB_JINJA_TOKEN_NUMBER ||
                    next_is_operator(p, "[") || next_is_operator(p, "{");
    if (take_operator(p, "(")) {
        parse_arguments(p, made);
    } else if (argument && !next_is_name(p, "else") && !next_is_name(p, "or") && !next_is_name(p, "and")) {
        if (next_is_name(p, "is")) gab_jinja_parse_fail(p, "no second test");
        gab_jinja_node_push(p, made, parse_postfix(p, gab_jinja_parse_primary(p)), NULL);
    }
    if (!negated) return made;
    node *inverse = gab_jinja_node_make(p, GAB_JINJA_NOT);
    inverse->a = made;
    return inverse;
}

static node *parse_filters_and_tests(gab_jinja_parser *p, node *made) {
    for (;;) {
        if (next_is_operator(p, "|"))
            made = gab_jinja_parse_filters(p, made, false);
        else if (take_name(p, "is"))
            made = parse_test(p, made);
        else if (next_is_operator(p, "("))
            made = parse_call(p, made);
        else
            return made;
    }
}

/* ---- operators, from what binds most to what binds least ---- */

static node *parse_unary(gab_jinja_parser *p, bool with_filters) {
    node *made;
    gab_jinja_enter(p->run);
    if (next_is_operator(p, "-") || next_is_operator(p, "+")) {
        made = gab_jinja_node_make(p, GAB_JINJA_SIGN);
        made->op = (p->token++)->text->text[0];
        made->a = parse_unary(p, false);
    } else {
        made = gab_jinja_parse_primary(p);
    }
    made = parse_postfix(p, made);
    if (with_filters) made = parse_filters_and_tests(p, made);
    gab_jinja_leave(p->run);
    return made;
}

/* Levels of binary operators that bind to the left: power, product, (concatenation), sum. */
enum { POWER, PRODUCT, CONCATENATION, SUM };

static char binary_operator(const gab_jinja_parser *p, int level) {
    static const struct {
        const char *text;
        char op;
        int level;
    } operators[] = {{"**", 'P', POWER},  {"*", '*', PRODUCT}, {"/", '/', PRODUCT}, {"//", 'D', PRODUCT},
                     {"%", '%', PRODUCT}, {"+", '+', SUM},     {"-", '-', SUM}};
    for (size_t i = 0; i < sizeof operators / sizeof *operators; i++)
        if (operators[i].level == level && next_is_operator(p, operators[i].text)) return operators[i].op;
    return 0;
}

static node *parse_binary(gab_jinja_parser *p, int level) {
    if (level < POWER) return parse_unary(p, true);
    node *left = parse_binary(p, level - 1);
    if (level == CONCATENATION) {
        if (!next_is_operator(p, "~")) return left;
        node *made = gab_jinja_node_make(p, GAB_JINJA_CONCAT);
        gab_jinja_node_push(p, made, left, NULL);
        while (take_operator(p, "~")) gab_jinja_node_push(p, made, parse_binary(p, level - 1), NULL);
        return made;
    }
    for (char op; (op = binary_operator(p, level));) {
        node *made = gab_jinja_node_make(p, GAB_JINJA_BINARY);
        p->token++;
        made->op = op;
        made->a = left;
        made->b = parse_binary(p, level - 1);
        left = made;
    }
    return left;
}

static bool take_comparison(gab_jinja_parser *p, gab_jinja_comparison *op) {
    static const char *const texts[] = {"==", "!=", "<", "<=", ">", ">="};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        *op = (gab_jinja_comparison)i;
        if (take_operator(p, texts[i])) return true;
    }
    *op = GAB_JINJA_IN;
    if (take_name(p, "in")) return true;
    if (!next_is_name(p, "not") || !gab_jinja_token_is(p->token + 1, GAB_JINJA_TOKEN_NAME, "in")) return false;
    p->token += 2;
    *op = GAB_JINJA_NOT_IN;
    return true;
}

static node *parse_comparison(gab_jinja_parser *p) {
    node *left = parse_binary(p, SUM), *made = NULL;
    for (gab_jinja_comparison op; take_comparison(p, &op);) {
        if (!made) {
            made = gab_jinja_node_make(p, GAB_JINJA_COMPARE);
            gab_jinja_node_push(p, made, left, NULL);
        }
        gab_jinja_node_push(p, made, parse_binary(p, SUM), NULL);
        made->ops[made->n - 1] = op;
    }
    return made ? made : left;
}

static node *parse_not(gab_jinja_parser *p) {
    if (!next_is_name(p, "not")) return parse_comparison(p);
    gab_jinja_enter(p->run);
    node *made = gab_jinja_node_make(p, GAB_JINJA_NOT);
    p->token++;
    made->a = parse_not(p);
    gab_jinja_leave(p->run);
    return made;
}

static node *parse_and_or(gab_jinja_parser *p, bool is_or) {
    node *left = is_or ? parse_and_or(p, false) : parse_not(p);
    while (take_name(p, is_or ? "or" : "and")) {
        node *made = gab_jinja_node_make(p, is_or ? GAB_JINJA_OR : GAB_JINJA_AND);
        made->a = left;
        made->b = is_or ? parse_and_or(p, false) : parse_not(p);
        left = made;
    }
    return left;
}

node *gab_jinja_parse_expression(gab_jinja_parser *p, bool with_condition) {
    gab_jinja_enter(p->run);
    node *left = parse_and_or(p, true);
    while (with_condition && take_name(p, "if")) {
        node *made = gab_jinja_node_make(p, GAB_JINJA_CONDITION);
        made->a = left;
        made->b = parse_and_or(p, true);
        if (take_name(p, "else")) made->c = gab_jinja_parse_expression(p, true);
        left = made;
    }
    gab_jinja_leave(p->run);
    return left;
}
