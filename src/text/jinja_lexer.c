#include "text/jinja_lexer.h"

#include "base/number.h"

#include <string.h>

#include "text/jinja_unicode.h"

typedef struct lexer {
    gab_jinja_run *run;
    const char *text; /* newlines are \n */
    size_t n, at;
    size_t counted; /* newlines before here are in run->line */
    gab_jinja_token *tokens;
    size_t n_token, capacity;
    char open[64]; /* brackets within a tag */
    size_t n_open;
} lexer;

/* ---- tokens ---- */

static void count_lines(lexer *l, size_t at) {
    for (; l->counted < at; l->counted++) l->run->line += l->text[l->counted] == '\n';
}

static gab_jinja_token *add_token(lexer *l, gab_jinja_token_kind kind) {
    if (l->n_token == l->capacity) {
        size_t capacity = l->capacity ? 2 * l->capacity : 256;
        gab_jinja_token *grown = gab_jinja_alloc(l->run, capacity, sizeof *grown);
        if (l->n_token) memcpy(grown, l->tokens, l->n_token * sizeof *grown);
        l->tokens = grown;
        l->capacity = capacity;
    }
    count_lines(l, l->at);
    l->tokens[l->n_token].kind = kind;
    l->tokens[l->n_token].line = l->run->line;
    gab_jinja_step(l->run, 1);
    return &l->tokens[l->n_token++];
}

static void add_text(lexer *l, gab_jinja_token_kind kind, size_t from, size_t n) {
    add_token(l, kind)->text = gab_jinja_string_make(l->run, l->text + from, n);
}

static void add_data(lexer *l, size_t from, size_t end) {
    if (end > from) add_text(l, GAB_JINJA_TOKEN_DATA, from, end - from);
}

/* ---- places ---- */

static bool is_at(const lexer *l, size_t at, const char *what) {
    size_t n = strlen(what);
    return at <= l->n && n <= l->n - at && memcmp(l->text + at, what, n) == 0;
}

/* The next place where `what` is, or n. */
static size_t find(const lexer *l, size_t at, const char *what) {
    while (at < l->n && !is_at(l, at, what)) at++;
    return at < l->n ? at : l->n;
}

static size_t skip_space(const lexer *l, size_t at) {
    for (size_t length; at < l->n; at += length)
        if (!gab_jinja_is(gab_jinja_decode(l->text + at, l->n - at, &length), GAB_JINJA_SPACE)) break;
    return at;
}

static size_t skip_space_back(const lexer *l, size_t from, size_t end) {
    while (end > from) {
        size_t before = gab_jinja_back(l->text, end), length;
        if (!gab_jinja_is(gab_jinja_decode(l->text + before, end - before, &length), GAB_JINJA_SPACE)) break;
        end = before;
    }
    return end;
}

static bool is_sign(const lexer *l, size_t at) {
    return at < l->n && (l->text[at] == '-' || l->text[at] == '+');
}

/* Where the text from..tag ends that stands before a tag. */
static size_t strip_before(const lexer *l, size_t from, size_t tag, bool is_variable) {
    char sign = tag + 2 < l->n ? l->text[tag + 2] : 0;
    if (sign == '-') return skip_space_back(l, from, tag);
    if (sign == '+' || is_variable) return tag;
    size_t line = tag;
    while (line > from && l->text[line - 1] != '\n') line--;
    bool begins_line = line == 0 || l->text[line - 1] == '\n';
    return begins_line && skip_space(l, line) >= tag ? line : tag;
}

/* If a tag ends at `at` with "%}" or the like, the place behind it and what it takes away; else 0. */
static size_t end_of_tag(const lexer *l, size_t at, const char *close, bool is_variable) {
    if (is_at(l, at, close)) return at + 2 + (!is_variable && is_at(l, at + 2, "\n"));
    if (!is_sign(l, at) || !is_at(l, at + 1, close) || (is_variable && l->text[at] == '+')) return 0;
    return l->text[at] == '-' ? skip_space(l, at + 3) : at + 3;
}

/* If `word` stands alone in a block tag at `tag`, the place behind it, else 0. */
static size_t end_of_word_tag(const lexer *l, size_t tag, const char *word, bool trims) {
    if (!is_at(l, tag, "{%")) return 0;
    size_t at = skip_space(l, tag + 2 + is_sign(l, tag + 2));
    if (!is_at(l, at, word)) return 0;
    at = skip_space(l, at + strlen(word));
    if (trims) return end_of_tag(l, at, "%}", false);
    return is_at(l, at, "%}") ? at + 2 : is_at(l, at, "-%}") ? skip_space(l, at + 3) : 0;
}

/* ---- what stands in tags ---- */

static int digit_of(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    return (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : 99;
}

static int octal_length(const char *text, size_t n) {
    int length = 0;
    while (length < 3 && (size_t)length < n && digit_of(text[length]) < 8) length++;
    return length;
}

/* An escape of Python at text[0] == '\\', n > 1 bytes; the bytes it takes. */
static size_t unescape(lexer *l, const char *text, size_t n, gab_jinja_buffer *out) {
    static const char names[] = "\\'\"abfnrtv", bytes[] = "\\'\"\a\b\f\n\r\t\v";
    static const struct {
        char name;
        size_t digits;
    } codes[] = {{'x', 2}, {'u', 4}, {'U', 8}};
    char encoded[4];
    uint32_t code = 0;
    const char *name = text[1] ? strchr(names, text[1]) : NULL;
    if (name) {
        gab_jinja_put(out, &bytes[name - names], 1);
        return 2;
    }
    if (text[1] == '\n') return 2;
    int octal = octal_length(text + 1, n - 1);
    if (octal) {
        for (int i = 1; i <= octal; i++) code = code << 3 | (uint32_t)digit_of(text[i]);
        gab_jinja_put(out, encoded, gab_jinja_encode(code, encoded));
        return 1 + (size_t)octal;
    }
    for (size_t k = 0; k < sizeof codes / sizeof *codes; k++) {
        if (text[1] != codes[k].name) continue;
        for (size_t i = 0; i < codes[k].digits; i++) {
            if (2 + i >= n || digit_of(text[2 + i]) > 15)
                gab_jinja_fail(l->run, GAB_ERROR_FORMAT, "\\%c in a string needs %zu hexadecimal digits", text[1],
                               codes[k].digits);
            code = code << 4 | (uint32_t)digit_of(text[2 + i]);
        }
        if (code > 0x10FFFF) gab_jinja_fail(l->run, GAB_ERROR_FORMAT, "\\U in a string names no character");
        gab_jinja_put(out, encoded, gab_jinja_encode(code, encoded));
        return 2 + codes[k].digits;
    }
    if (text[1] == 'N') gab_jinja_fail(l->run, GAB_ERROR_UNSUPPORTED, "\\N in a string is not supported");
    gab_jinja_put(out, text, 2); /* no escape: Python keeps the backslash */
    return 2;
}

static void lex_string(lexer *l) {
    char quote = l->text[l->at];
    size_t from = l->at + 1, end = from;
    while (end < l->n && l->text[end] != quote) end += l->text[end] == '\\' ? 2 : 1;
    if (end >= l->n) gab_jinja_fail(l->run, GAB_ERROR_FORMAT, "a string does not end");
    if (!memchr(l->text + from, '\\', end - from)) {
        add_text(l, GAB_JINJA_TOKEN_STRING, from, end - from);
    } else {
        gab_jinja_buffer out = {.run = l->run};
        for (size_t i = from; i < end;) {
            size_t length = 1;
            if (l->text[i] == '\\')
                length = unescape(l, l->text + i, end - i, &out);
            else
                gab_jinja_put(&out, l->text + i, 1);
            i += length;
        }
        add_token(l, GAB_JINJA_TOKEN_STRING)->text = gab_jinja_buffer_value(&out).string;
    }
    l->at = end + 1;
}

static size_t skip_digits(const lexer *l, size_t at, int base) { /* 1_000: '_' between digits */
    size_t from = at;
    while (at < l->n && (digit_of(l->text[at]) < base ||
                         (l->text[at] == '_' && at > from && at + 1 < l->n && digit_of(l->text[at + 1]) < base)))
        at++;
    return at;
}

static void lex_number(lexer *l) {
    size_t from = l->at, end, digits = from;
    int base = 10;
    bool real = false;
    if (l->text[from] == '0' && from + 1 < l->n) {
        char mark = (char)(l->text[from + 1] | 32);
        base = mark == 'x' ? 16 : mark == 'o' ? 8 : mark == 'b' ? 2 : 10;
        if (base != 10) digits = from + 2;
    }
    end = skip_digits(l, digits, base);
    if (base == 10 && (from == 0 || l->text[from - 1] != '.')) {
        size_t part = end;
        if (part < l->n && l->text[part] == '.') part = skip_digits(l, part + 1, 10);
        if (part > end + 1) {
            end = part;
            real = true;
        }
        if (end < l->n && (l->text[end] | 32) == 'e') {
            size_t sign = end + 1 + is_sign(l, end + 1);
            part = skip_digits(l, sign, 10);
            if (part > sign) {
                end = part;
                real = true;
            }
        }
    }
    char copy[64];
    size_t n = 0;
    uint64_t sum = 0;
    for (size_t i = digits; i < end; i++) {
        if (l->text[i] == '_') continue;
        if (n == sizeof copy) gab_jinja_fail(l->run, GAB_ERROR_LIMIT, "a number has too many digits");
        copy[n++] = l->text[i];
        if (real) continue;
        uint64_t digit = (uint64_t)digit_of(l->text[i]);
        if (sum > (INT64_MAX - digit) / (uint64_t)base)
            gab_jinja_fail(l->run, GAB_ERROR_LIMIT, "an integer needs more than 64 bits");
        sum = sum * (uint64_t)base + digit;
    }
    gab_jinja_token *token = add_token(l, GAB_JINJA_TOKEN_NUMBER);
    token->number = gab_jinja_int((int64_t)sum);
    if (real) {
        token->number.kind = GAB_JINJA_FLOAT;
        gab_number_read(copy, n, &token->number.real);
    }
    l->at = end;
}

static void balance(lexer *l, char c) {
    static const char opening[] = "([{", closing[] = ")]}";
    if (strchr(opening, c)) {
        if (l->n_open == sizeof l->open) gab_jinja_fail(l->run, GAB_ERROR_LIMIT, "brackets nested too deep");
        l->open[l->n_open++] = c;
        return;
    }
    const char *close = strchr(closing, c);
    if (close && (l->n_open == 0 || l->open[--l->n_open] != opening[close - closing]))
        gab_jinja_fail(l->run, GAB_ERROR_FORMAT, "unexpected '%c'", c);
}

static void lex_operator(lexer *l) {
    static const char *const twos[] = {"//", "**", "==", "!=", ">=", "<="};
    char c = l->text[l->at];
    for (size_t i = 0; i < sizeof twos / sizeof *twos; i++) {
        if (!is_at(l, l->at, twos[i])) continue;
        add_text(l, GAB_JINJA_TOKEN_OPERATOR, l->at, 2);
        l->at += 2;
        return;
    }
    if (!c || !strchr("+-/*%~[](){}<>=.:|,;", c))
        gab_jinja_fail(l->run, GAB_ERROR_FORMAT, "unexpected character '%.*s'", (int)strcspn(l->text + l->at, " \n%}"),
                       l->text + l->at);
    balance(l, c);
    add_text(l, GAB_JINJA_TOKEN_OPERATOR, l->at, 1);
    l->at++;
}

static bool is_name(char c, bool first) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (unsigned char)c >= 0x80 ||
           (!first && c >= '0' && c <= '9');
}

/* A tag's inside, up to behind its end. */
static void lex_tag(lexer *l, bool is_variable) {
    l->n_open = 0;
    for (;;) {
        l->at = skip_space(l, l->at);
        count_lines(l, l->at);
        if (l->at >= l->n) return; /* the parser misses the end */
        size_t end = l->n_open ? 0 : end_of_tag(l, l->at, is_variable ? "}}" : "%}", is_variable);
        char c = l->text[l->at];
        if (end) {
            add_token(l, is_variable ? GAB_JINJA_TOKEN_VARIABLE_END : GAB_JINJA_TOKEN_BLOCK_END);
            l->at = end;
            return;
        }
        if (is_name(c, true)) {
            size_t from = l->at;
            while (l->at < l->n && is_name(l->text[l->at], false)) l->at++;
            add_text(l, GAB_JINJA_TOKEN_NAME, from, l->at - from);
        } else if (c >= '0' && c <= '9') {
            lex_number(l);
        } else if (c == '\'' || c == '"') {
            lex_string(l);
        } else {
            lex_operator(l);
        }
    }
}

static void lex_comment(lexer *l, size_t tag) {
    size_t at = tag + 2 + is_sign(l, tag + 2);
    while (at < l->n && !end_of_tag(l, at, "#}", false)) at++;
    if (at >= l->n) gab_jinja_fail(l->run, GAB_ERROR_FORMAT, "a comment does not end");
    l->at = end_of_tag(l, at, "#}", false);
}

static void lex_raw(lexer *l, size_t from) {
    size_t tag = find(l, from, "{%");
    while (tag < l->n && !end_of_word_tag(l, tag, "endraw", true)) tag = find(l, tag + 2, "{%");
    if (tag >= l->n) gab_jinja_fail(l->run, GAB_ERROR_FORMAT, "{%% raw %%} does not end");
    l->at = from;
    add_data(l, from, strip_before(l, from, tag, false));
    l->at = end_of_word_tag(l, tag, "endraw", true);
}

/* ---- the whole ---- */

/* One \n for each kind of newline; a single one at the end goes. */
static void copy_text(lexer *l, const char *text, size_t n) {
    char *copy = gab_jinja_alloc(l->run, n + 1, 1);
    for (size_t i = 0; i < n; i++) {
        if (text[i] == '\r' && i + 1 < n && text[i + 1] == '\n') continue;
        copy[l->n++] = (char)(text[i] == '\r' ? '\n' : text[i]);
    }
    if (l->n && copy[l->n - 1] == '\n') l->n--;
    copy[l->n] = 0;
    l->text = copy;
}

gab_jinja_token *gab_jinja_lex(gab_jinja_run *run, const char *text, size_t n) {
    lexer l = {.run = run};
    run->line = 1;
    copy_text(&l, text, n);
    while (l.at < l.n) {
        size_t tag = l.at;
        while (tag < l.n && !(l.text[tag] == '{' && tag + 1 < l.n && strchr("{%#", l.text[tag + 1]) && l.text[tag + 1]))
            tag++;
        if (tag == l.n) {
            add_data(&l, l.at, l.n);
            break;
        }
        bool is_variable = l.text[tag + 1] == '{';
        add_data(&l, l.at, strip_before(&l, l.at, tag, is_variable));
        count_lines(&l, tag);
        size_t raw = end_of_word_tag(&l, tag, "raw", false);
        if (raw) {
            lex_raw(&l, raw);
        } else if (l.text[tag + 1] == '#') {
            lex_comment(&l, tag);
        } else {
            l.at = tag;
            add_token(&l, is_variable ? GAB_JINJA_TOKEN_VARIABLE_BEGIN : GAB_JINJA_TOKEN_BLOCK_BEGIN);
            l.at = tag + 2 + is_sign(&l, tag + 2);
            lex_tag(&l, is_variable);
        }
    }
    add_token(&l, GAB_JINJA_TOKEN_END);
    return l.tokens;
}
