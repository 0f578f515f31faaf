#include "format/json_text.h"

#include "base/number.h"

#include <stdlib.h>
#include <string.h>

/* ---- checking ---- */

typedef struct checker {
    const char *at, *end, *wrong; /* wrong: what is; NULL: nothing yet */
} checker;

static const char *skip_space(const char *at) {
    while (*at == ' ' || *at == '\n' || *at == '\t' || *at == '\r') at++;
    return at;
}

static bool fail(checker *c, const char *wrong) {
    if (!c->wrong) c->wrong = wrong;
    return false;
}

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

static int hex_value(char c) {
    if (is_digit(c)) return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* The bytes of the well-formed character at `at` (Unicode Standard, table 3-7), 0: there is none. */
static size_t character_bytes(const unsigned char *at, const unsigned char *end) {
    static const struct {
        unsigned char first_min, first_max, second_min, second_max, n;
    } FORMS[] = {
        {0xC2, 0xDF, 0x80, 0xBF, 2}, {0xE0, 0xE0, 0xA0, 0xBF, 3}, {0xE1, 0xEC, 0x80, 0xBF, 3},
        {0xED, 0xED, 0x80, 0x9F, 3}, {0xEE, 0xEF, 0x80, 0xBF, 3}, {0xF0, 0xF0, 0x90, 0xBF, 4},
        {0xF1, 0xF3, 0x80, 0xBF, 4}, {0xF4, 0xF4, 0x80, 0x8F, 4},
    };
    if (at[0] < 0x80) return 1;
    for (size_t i = 0; i < sizeof FORMS / sizeof *FORMS; i++) {
        if (at[0] < FORMS[i].first_min || at[0] > FORMS[i].first_max) continue;
        bool ok = (size_t)(end - at) >= FORMS[i].n && at[1] >= FORMS[i].second_min && at[1] <= FORMS[i].second_max;
        for (size_t k = 2; ok && k < FORMS[i].n; k++) ok = at[k] >= 0x80 && at[k] <= 0xBF;
        return ok ? FORMS[i].n : 0;
    }
    return 0;
}

/* At the character behind the backslash. */
static bool check_escape(checker *c) {
    if (*c->at == 'u') {
        for (int i = 1; i <= 4; i++)
            if (hex_value(c->at[i]) < 0) return fail(c, "\\u without four hexadecimal digits");
        c->at += 5;
        return true;
    }
    if (*c->at == 0 || !strchr("\"\\/bfnrt", *c->at)) return fail(c, "a backslash before what is no escape");
    c->at++;
    return true;
}

static bool check_string(checker *c) {
    if (*c->at != '"') return fail(c, "a string is missing");
    c->at++;
    while (*c->at != '"') {
        if (c->at >= c->end) return fail(c, "a string without its end");
        if ((unsigned char)*c->at < 0x20) return fail(c, "a control character in a string");
        if (*c->at == '\\') {
            c->at++;
            if (!check_escape(c)) return false;
            continue;
        }
        size_t n = character_bytes((const unsigned char *)c->at, (const unsigned char *)c->end);
        if (n == 0) return fail(c, "bytes in a string that are not UTF-8");
        c->at += n;
    }
    c->at++;
    return true;
}

static bool check_number(checker *c) {
    const char *at = c->at + (*c->at == '-');
    if (!is_digit(*at)) return fail(c, "what is no value");
    if (*at == '0' && is_digit(at[1])) return fail(c, "a number that begins with 0");
    while (is_digit(*at)) at++;
    if (*at == '.') {
        if (!is_digit(*++at)) return fail(c, "a number without digits behind its point");
        while (is_digit(*at)) at++;
    }
    if (*at == 'e' || *at == 'E') {
        at++;
        if (*at == '+' || *at == '-') at++;
        if (!is_digit(*at)) return fail(c, "a number without digits in its exponent");
        while (is_digit(*at)) at++;
    }
    c->at = at;
    return true;
}

static bool check_word(checker *c, const char *word) {
    if (strncmp(c->at, word, strlen(word)) != 0) return fail(c, "what is no value");
    c->at += strlen(word);
    return true;
}

static bool check_scalar(checker *c) {
    switch (*c->at) {
    case '"': return check_string(c);
    case 't': return check_word(c, "true");
    case 'f': return check_word(c, "false");
    case 'n': return check_word(c, "null");
    default: return check_number(c);
    }
}

/* Behind a member's key: the colon. */
static bool check_key(checker *c) {
    if (!check_string(c)) return false;
    c->at = skip_space(c->at);
    if (*c->at != ':') return fail(c, "a key without a colon");
    c->at = skip_space(c->at + 1);
    return true;
}

/* One value; without recursion: `closing` holds what ends each array or object around here. */
static bool check_value(checker *c) {
    char closing[GAB_JSON_DEPTH_MAX];
    size_t depth = 0;
    for (;;) {
        bool opened = *c->at == '[' || *c->at == '{';
        if (opened) {
            if (depth == GAB_JSON_DEPTH_MAX) return fail(c, "more than 64 values inside each other");
            closing[depth++] = *c->at == '[' ? ']' : '}';
            c->at = skip_space(c->at + 1);
        } else if (!check_scalar(c)) {
            return false;
        }
        for (;; opened = false) {
            if (depth == 0) return true;
            c->at = skip_space(c->at);
            if (*c->at == closing[depth - 1]) {
                c->at++;
                depth--;
                continue;
            }
            if (!opened && *c->at != ',') return fail(c, "neither a comma nor the end of an array or object");
            if (!opened) c->at = skip_space(c->at + 1);
            if (closing[depth - 1] == '}' && !check_key(c)) return false;
            break;
        }
    }
}

gab_status gab_json_check(const char *text, size_t n, const char *file, const gab_log *log, gab_json *value) {
    checker c = {skip_space(text), text + n, NULL};
    const char *start = c.at;
    if (check_value(&c)) {
        c.at = skip_space(c.at);
        if (c.at != c.end) fail(&c, "more behind the value");
    }
    if (!c.wrong) {
        *value = start;
        return GAB_OK;
    }
    size_t line = 1;
    for (const char *at = text; at < c.at; at++) line += *at == '\n';
    return gab_fail(log, GAB_ERROR_FORMAT,
                    "%s: no JSON: line %zu has %s; the file is damaged, download or copy it again", file, line,
                    c.wrong);
}

/* ---- walking ---- */

static const char *skip_string(const char *at) {
    for (at++; *at != '"'; at++) at += *at == '\\';
    return at + 1;
}

static const char *skip_value(const char *at) {
    size_t depth = 0;
    do {
        switch (*at) {
        case '"': at = skip_string(at); break;
        case '[':
        case '{':
            depth++;
            at++;
            break;
        case ']':
        case '}':
            depth--;
            at++;
            break;
        case ',':
        case ':':
        case ' ':
        case '\n':
        case '\r':
        case '\t': at++; break;
        default: at += strcspn(at, ",]} \n\r\t"); /* a number or a word */
        }
    } while (depth > 0);
    return at;
}

bool gab_json_is_object(gab_json value) {
    return value && *value == '{';
}

bool gab_json_is_array(gab_json value) {
    return value && *value == '[';
}

bool gab_json_is_string(gab_json value) {
    return value && *value == '"';
}

bool gab_json_is_null(gab_json value) {
    return !value || *value == 'n';
}

bool gab_json_bool(gab_json value, bool otherwise) {
    return value && (*value == 't' || *value == 'f') ? *value == 't' : otherwise;
}

bool gab_json_number(gab_json value, double *number) {
    if (!value || (*value != '-' && !is_digit(*value))) return false;
    return gab_number_read(value, strspn(value, "+-.0123456789eE"), number);
}

bool gab_json_index(gab_json value, int32_t *index) {
    double number;
    if (!gab_json_number(value, &number) || !(number >= 0 && number <= INT32_MAX) || number != (int32_t)number)
        return false;
    *index = (int32_t)number;
    return true;
}

gab_json_items gab_json_each(gab_json value) {
    bool object = gab_json_is_object(value);
    gab_json_items items = {.at = object || gab_json_is_array(value) ? skip_space(value + 1) : "]", .object = object};
    return items;
}

bool gab_json_next(gab_json_items *items) {
    if (items->value) items->at = skip_space(skip_value(items->value));
    if (*items->at == ',') items->at = skip_space(items->at + 1);
    if (*items->at == ']' || *items->at == '}') return false;
    items->value = items->at;
    if (items->object) {
        items->key = items->at;
        items->value = skip_space(skip_space(skip_string(items->key)) + 1);
    }
    return true;
}

gab_json gab_json_get(gab_json object, const char *key) {
    gab_json found = NULL;
    if (!gab_json_is_object(object)) return NULL;
    gab_json_items items = gab_json_each(object);
    while (gab_json_next(&items))
        if (gab_json_string_is(items.key, key)) found = items.value;
    return found;
}

/* ---- strings ---- */

size_t gab_json_string_max(gab_json string) {
    return (size_t)(skip_string(string) - string) - 2;
}

static size_t write_character(unsigned code, char *out) {
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    size_t n = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (size_t i = n - 1; i > 0; i--, code >>= 6) out[i] = (char)(0x80 | (code & 0x3F));
    out[0] = (char)((n == 2 ? 0xC0 : n == 3 ? 0xE0 : 0xF0) | code);
    return n;
}

static unsigned read_hex(const char *at) {
    unsigned code = 0;
    for (int i = 0; i < 4; i++) code = code << 4 | (unsigned)hex_value(at[i]);
    return code;
}

/* Behind "\u": the code point, and *at behind what spells it. */
static unsigned read_unicode(const char **at) {
    unsigned code = read_hex(*at), low;
    *at += 4;
    if (code < 0xD800 || code > 0xDFFF) return code;
    if (code < 0xDC00 && (*at)[0] == '\\' && (*at)[1] == 'u' && (low = read_hex(*at + 2)) >= 0xDC00 && low <= 0xDFFF) {
        *at += 6;
        return 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
    }
    return 0xFFFD;
}

size_t gab_json_string(gab_json string, char *out) {
    static const char LETTERS[] = "bfnrt", MEANT[] = "\b\f\n\r\t";
    size_t n = 0;
    for (const char *at = string + 1; *at != '"';) {
        if (*at != '\\') {
            out[n++] = *at++;
            continue;
        }
        char escape = at[1];
        at += 2;
        const char *letter = strchr(LETTERS, escape);
        if (escape == 'u')
            n += write_character(read_unicode(&at), out + n);
        else
            out[n++] = letter ? MEANT[letter - LETTERS] : escape;
    }
    return n;
}

bool gab_json_string_is(gab_json value, const char *text) {
    if (!gab_json_is_string(value)) return false;
    char spelled[64];
    const size_t n = strlen(text), n_max = gab_json_string_max(value);
    if (n == n_max && memcmp(value + 1, text, n) == 0) return !memchr(text, '\\', n);
    if (n_max > sizeof spelled || !memchr(value + 1, '\\', n_max)) return false;
    return gab_json_string(value, spelled) == n && memcmp(spelled, text, n) == 0;
}
