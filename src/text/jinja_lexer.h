/*
 * jinja_lexer.h - cuts a template into tokens, as Jinja does with trim_blocks and lstrip_blocks, which transformers
 * turns on: the newline behind a block tag goes, and so does the space before one that begins its line.
 */
#ifndef GAB_TEXT_JINJA_LEXER_H
#define GAB_TEXT_JINJA_LEXER_H

#include "text/jinja_value.h"

typedef enum gab_jinja_token_kind {
    GAB_JINJA_TOKEN_END,
    GAB_JINJA_TOKEN_DATA,           /* text between tags */
    GAB_JINJA_TOKEN_BLOCK_BEGIN,    /* {% */
    GAB_JINJA_TOKEN_BLOCK_END,      /* %} */
    GAB_JINJA_TOKEN_VARIABLE_BEGIN, /* {{ */
    GAB_JINJA_TOKEN_VARIABLE_END,   /* }} */
    GAB_JINJA_TOKEN_NAME,
    GAB_JINJA_TOKEN_STRING,
    GAB_JINJA_TOKEN_NUMBER,
    GAB_JINJA_TOKEN_OPERATOR,
} gab_jinja_token_kind;

typedef struct gab_jinja_token {
    gab_jinja_token_kind kind;
    int line;
    const gab_jinja_string *text; /* DATA, NAME, STRING, OPERATOR */
    gab_jinja_value number;       /* INT or FLOAT */
} gab_jinja_token;

/* All tokens, END last, in the run's memory; they refer to a copy of the text there. */
gab_jinja_token *gab_jinja_lex(gab_jinja_run *run, const char *text, size_t n);

#endif
