/*
 * jinja_parser.c - the parser's half for statements. Those that need other files (include, extends, import, block) or
 * that no chat template has (call, autoescape) are refused by name.
 */
#include "text/jinja_parser.h"

#include <stdio.h>
#include <string.h>

typedef gab_jinja_node node;

/* ---- tokens and nodes ---- */

void gab_jinja_parse_fail(gab_jinja_parser *p, const char *expected) {
    const gab_jinja_token *token = p->token;
    char found[80];
    p->run->line = token->line;
    if (token->kind == GAB_JINJA_TOKEN_END)
        snprintf(found, sizeof found, "the end of the template");
    else if (token->kind == GAB_JINJA_TOKEN_BLOCK_END || token->kind == GAB_JINJA_TOKEN_VARIABLE_END)
        snprintf(found, sizeof found, "the end of the tag");
    else if (token->text)
        snprintf(found, sizeof found, "'%.*s'", token->text->n < 40 ? (int)token->text->n : 40, token->text->text);
    else
        snprintf(found, sizeof found, "a number");
    gab_jinja_fail(p->run, GAB_ERROR_FORMAT, "found %s, expected %s", found, expected);
}

node *gab_jinja_node_make(gab_jinja_parser *p, gab_jinja_node_kind kind) {
    node *made = gab_jinja_alloc(p->run, 1, sizeof *made);
    made->kind = kind;
    made->line = p->token->line;
    gab_jinja_step(p->run, 1);
    return made;
}

void gab_jinja_node_push(gab_jinja_parser *p, node *to, node *item, const gab_jinja_string *name) {
    if (to->n == to->capacity) {
        size_t capacity = to->capacity ? 2 * to->capacity : 4;
        node **items = gab_jinja_alloc(p->run, capacity, sizeof *items);
        const gab_jinja_string **names = gab_jinja_alloc(p->run, capacity, sizeof *names);
        gab_jinja_comparison *ops = gab_jinja_alloc(p->run, capacity, sizeof *ops);
        for (size_t i = 0; i < to->n; i++) {
            items[i] = to->items[i];
            names[i] = to->names[i];
            ops[i] = to->ops[i];
        }
        to->items = items;
        to->names = names;
        to->ops = ops;
        to->capacity = capacity;
    }
    to->items[to->n] = item;
    to->names[to->n++] = name;
}

bool gab_jinja_token_is(const gab_jinja_token *token, gab_jinja_token_kind kind, const char *text) {
    return token->kind == kind && gab_jinja_string_is(token->text, text);
}

bool gab_jinja_take(gab_jinja_parser *p, gab_jinja_token_kind kind, const char *text) {
    if (!gab_jinja_token_is(p->token, kind, text)) return false;
    p->token++;
    return true;
}

void gab_jinja_expect(gab_jinja_parser *p, gab_jinja_token_kind kind, const char *text) {
    if (!gab_jinja_take(p, kind, text)) gab_jinja_parse_fail(p, text);
}

const gab_jinja_string *gab_jinja_expect_name(gab_jinja_parser *p) {
    if (p->token->kind != GAB_JINJA_TOKEN_NAME) gab_jinja_parse_fail(p, "a name");
    return (p->token++)->text;
}

static void expect_end(gab_jinja_parser *p, gab_jinja_token_kind kind) {
    if (p->token->kind != kind) gab_jinja_parse_fail(p, "the end of the tag");
    p->token++;
}

static bool next_word_is(const gab_jinja_parser *p, const char *word) {
    return gab_jinja_token_is(p->token, GAB_JINJA_TOKEN_NAME, word);
}

static bool take_word(gab_jinja_parser *p, const char *word) {
    return gab_jinja_take(p, GAB_JINJA_TOKEN_NAME, word);
}

/* ---- statements ---- */

static node *parse_statement(gab_jinja_parser *p);

/* Up to a tag that begins with one of the words, separated by spaces, and whose word is the next token then; "": up to
 * the end of the template. */
static node *parse_block(gab_jinja_parser *p, const char *ends) {
    node *block = gab_jinja_node_make(p, GAB_JINJA_BLOCK);
    gab_jinja_enter(p->run);
    for (;;) {
        node *made = gab_jinja_node_make(p, GAB_JINJA_DATA);
        gab_jinja_token_kind kind = p->token->kind;
        if (kind == GAB_JINJA_TOKEN_END) break;
        if (kind == GAB_JINJA_TOKEN_DATA) {
            made->constant = gab_jinja_of_string((p->token++)->text);
        } else if (kind == GAB_JINJA_TOKEN_VARIABLE_BEGIN) {
            made->kind = GAB_JINJA_PRINT;
            p->token++;
            made->a = gab_jinja_parse_tuple(p, true);
            expect_end(p, GAB_JINJA_TOKEN_VARIABLE_END);
        } else {
            p->token++;
            for (const char *word = ends; *word; word += strcspn(word, " "), word += *word == ' ') {
                size_t n = strcspn(word, " ");
                if (p->token->kind != GAB_JINJA_TOKEN_NAME || p->token->text->n != n ||
                    memcmp(p->token->text->text, word, n) != 0)
                    continue;
                gab_jinja_leave(p->run);
                return block;
            }
            made = parse_statement(p);
            expect_end(p, GAB_JINJA_TOKEN_BLOCK_END);
        }
        gab_jinja_node_push(p, block, made, NULL);
    }
    if (*ends) gab_jinja_parse_fail(p, ends);
    gab_jinja_leave(p->run);
    return block;
}

/* Behind a statement's opening tag: its body, up to and with the end's word. */
static node *parse_body(gab_jinja_parser *p, const char *end) {
    expect_end(p, GAB_JINJA_TOKEN_BLOCK_END);
    node *block = parse_block(p, end);
    p->token++;
    return block;
}

static node *parse_if(gab_jinja_parser *p) {
    node *made = gab_jinja_node_make(p, GAB_JINJA_IF);
    do {
        gab_jinja_node_push(p, made, gab_jinja_parse_tuple(p, false), NULL);
        expect_end(p, GAB_JINJA_TOKEN_BLOCK_END);
        gab_jinja_node_push(p, made, parse_block(p, "elif else endif"), NULL);
    } while (take_word(p, "elif"));
    if (take_word(p, "else"))
        gab_jinja_node_push(p, made, parse_body(p, "endif"), NULL);
    else
        p->token++;
    return made;
}

static void check_target(gab_jinja_parser *p, const node *target) {
    if (target->kind != GAB_JINJA_NAME && target->kind != GAB_JINJA_MAKE_TUPLE)
        gab_jinja_fail(p->run, GAB_ERROR_FORMAT, "something that is no variable is assigned to");
    for (size_t i = 0; i < target->n; i++) check_target(p, target->items[i]);
}

/* A name, or names with commas between them; where `in_set`, also name.attribute. */
static node *parse_target(gab_jinja_parser *p, bool in_set) {
    node *first = NULL, *made = NULL;
    do {
        if (made && (next_word_is(p, "in") || p->token->kind == GAB_JINJA_TOKEN_BLOCK_END)) break;
        p->run->line = p->token->line;
        first = gab_jinja_parse_primary(p);
        check_target(p, first);
        if (in_set && first->kind == GAB_JINJA_NAME && gab_jinja_take(p, GAB_JINJA_TOKEN_OPERATOR, ".")) {
            first->kind = GAB_JINJA_MEMBER;
            first->attribute = gab_jinja_expect_name(p);
        }
        if (!made && gab_jinja_token_is(p->token, GAB_JINJA_TOKEN_OPERATOR, ","))
            made = gab_jinja_node_make(p, GAB_JINJA_MAKE_TUPLE);
        if (made) gab_jinja_node_push(p, made, first, NULL);
    } while (gab_jinja_take(p, GAB_JINJA_TOKEN_OPERATOR, ","));
    return made ? made : first;
}

static node *parse_for(gab_jinja_parser *p) {
    node *made = gab_jinja_node_make(p, GAB_JINJA_FOR);
    made->a = parse_target(p, false);
    if (!take_word(p, "in")) gab_jinja_parse_fail(p, "'in'");
    made->b = gab_jinja_parse_tuple(p, false);
    if (take_word(p, "if")) made->c = gab_jinja_parse_expression(p, true);
    if (next_word_is(p, "recursive"))
        gab_jinja_fail(p->run, GAB_ERROR_UNSUPPORTED, "recursive loops are not supported");
    expect_end(p, GAB_JINJA_TOKEN_BLOCK_END);
    p->n_loop++;
    gab_jinja_node_push(p, made, parse_block(p, "else endfor"), NULL);
    p->n_loop--;
    bool has_else = take_word(p, "else");
    if (!has_else) p->token++;
    gab_jinja_node_push(p, made, has_else ? parse_body(p, "endfor") : NULL, NULL);
    return made;
}

static node *parse_set(gab_jinja_parser *p) {
    node *made = gab_jinja_node_make(p, GAB_JINJA_SET);
    made->a = parse_target(p, true);
    if (gab_jinja_take(p, GAB_JINJA_TOKEN_OPERATOR, "=")) {
        made->b = gab_jinja_parse_tuple(p, true);
    } else {
        made->kind = GAB_JINJA_SET_BLOCK;
        made->c = gab_jinja_parse_filters(p, NULL, false);
        made->b = parse_body(p, "endset");
    }
    return made;
}

/* A body that is called, not run where it stands: break and continue cannot leave it. */
static node *parse_function_body(gab_jinja_parser *p, const char *end) {
    unsigned n_loop = p->n_loop;
    p->n_loop = 0;
    node *body = parse_body(p, end);
    p->n_loop = n_loop;
    return body;
}

static node *parse_macro(gab_jinja_parser *p) {
    node *made = gab_jinja_node_make(p, GAB_JINJA_MAKE_MACRO);
    made->name = gab_jinja_expect_name(p);
    gab_jinja_expect(p, GAB_JINJA_TOKEN_OPERATOR, "(");
    bool has_default = false;
    while (!gab_jinja_take(p, GAB_JINJA_TOKEN_OPERATOR, ")")) {
        if (made->n) gab_jinja_expect(p, GAB_JINJA_TOKEN_OPERATOR, ",");
        const gab_jinja_string *name = gab_jinja_expect_name(p);
        node *value = NULL;
        if (gab_jinja_take(p, GAB_JINJA_TOKEN_OPERATOR, "="))
            value = gab_jinja_parse_expression(p, true);
        else if (has_default)
            gab_jinja_parse_fail(p, "a default, as the parameter before has one");
        has_default = value;
        gab_jinja_node_push(p, made, value, name);
    }
    made->a = parse_function_body(p, "endmacro");
    return made;
}

static node *parse_with(gab_jinja_parser *p) {
    node *made = gab_jinja_node_make(p, GAB_JINJA_WITH);
    while (p->token->kind != GAB_JINJA_TOKEN_BLOCK_END) {
        if (made->n) gab_jinja_expect(p, GAB_JINJA_TOKEN_OPERATOR, ",");
        node *target = gab_jinja_parse_primary(p);
        check_target(p, target);
        gab_jinja_expect(p, GAB_JINJA_TOKEN_OPERATOR, "=");
        gab_jinja_node_push(p, made, target, NULL);
        gab_jinja_node_push(p, made, gab_jinja_parse_expression(p, true), NULL);
    }
    made->a = parse_body(p, "endwith");
    return made;
}

static node *parse_filter_block(gab_jinja_parser *p) {
    node *made = gab_jinja_node_make(p, GAB_JINJA_FILTER_BLOCK);
    made->c = gab_jinja_parse_filters(p, NULL, true);
    made->a = parse_body(p, "endfilter");
    return made;
}

/* transformers marks with it what the model itself has written. */
static node *parse_generation(gab_jinja_parser *p) {
    node *made = gab_jinja_node_make(p, GAB_JINJA_SCOPE);
    made->a = parse_function_body(p, "endgeneration");
    return made;
}

static node *parse_jump(gab_jinja_parser *p, gab_jinja_node_kind kind) {
    if (p->n_loop == 0) gab_jinja_parse_fail(p, "it in a loop");
    return gab_jinja_node_make(p, kind);
}

static node *parse_break(gab_jinja_parser *p) {
    return parse_jump(p, GAB_JINJA_BREAK);
}

static node *parse_continue(gab_jinja_parser *p) {
    return parse_jump(p, GAB_JINJA_CONTINUE);
}

static node *parse_statement(gab_jinja_parser *p) {
    static const struct {
        const char *word;
        node *(*parse)(gab_jinja_parser *p);
    } statements[] = {
        {"if", parse_if},       {"for", parse_for},           {"set", parse_set},
        {"macro", parse_macro}, {"with", parse_with},         {"filter", parse_filter_block},
        {"break", parse_break}, {"continue", parse_continue}, {"generation", parse_generation},
    };
    const gab_jinja_string *word = gab_jinja_expect_name(p);
    p->run->line = p->token->line;
    for (size_t i = 0; i < sizeof statements / sizeof *statements; i++)
        if (gab_jinja_string_is(word, statements[i].word)) return statements[i].parse(p);
    gab_jinja_fail(p->run, GAB_ERROR_UNSUPPORTED, "{%% %.*s %%} is not supported in chat templates",
                   word->n < 40 ? (int)word->n : 40, word->text);
}

node *gab_jinja_parse(gab_jinja_run *run, const char *text, size_t n) {
    gab_jinja_parser p = {.run = run, .token = gab_jinja_lex(run, text, n)};
    return parse_block(&p, "");
}
