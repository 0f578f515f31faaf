/*
 * jinja_json.c - JSON, read into values and written as Python's json.dumps does.
 *
 * Not cJSON: templates tell 1 from 1.0 and strings may hold zero bytes, and the memory is the run's, with its bound.
 */
#include "text/jinja_value.h"

#include "base/number.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "text/jinja_unicode.h"

typedef gab_jinja_value value;

/* ---- reading (RFC 8259) ---- */

typedef struct reader {
    gab_jinja_run *run;
    const char *what, *start, *at, *end;
} reader;

static _Noreturn void fail_json(const reader *r, const char *problem) {
    gab_jinja_fail(r->run, GAB_ERROR_ARGUMENT, "%s: no valid JSON at byte %zu: %s", r->what, (size_t)(r->at - r->start),
                   problem);
}

static void skip_space(reader *r) {
    while (r->at < r->end && (*r->at == ' ' || *r->at == '\t' || *r->at == '\n' || *r->at == '\r')) r->at++;
}

static bool take(reader *r, const char *text) {
    size_t n = strlen(text);
    if ((size_t)(r->end - r->at) < n || memcmp(r->at, text, n) != 0) return false;
    r->at += n;
    return true;
}

static uint32_t read_hex(reader *r) {
    uint32_t code = 0;
    if (r->end - r->at < 4) fail_json(r, "\\u needs four digits");
    for (int i = 0; i < 4; i++, r->at++) {
        char c = *r->at;
        int digit = c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
        if (digit < 0) fail_json(r, "\\u needs four digits");
        code = code << 4 | (uint32_t)digit;
    }
    return code;
}

static void read_escape(reader *r, gab_jinja_buffer *out) {
    static const char names[] = "\"\\/bfnrt", bytes[] = "\"\\/\b\f\n\r\t";
    if (r->at == r->end) fail_json(r, "the string does not end");
    const char *name = strchr(names, *r->at);
    if (*r->at && name) {
        gab_jinja_put(out, &bytes[name - names], 1);
        r->at++;
        return;
    }
    if (!take(r, "u")) fail_json(r, "an unknown escape");
    uint32_t code = read_hex(r);
    if (code >= 0xD800 && code < 0xDC00 && r->end - r->at >= 6 && r->at[0] == '\\' && r->at[1] == 'u') {
        const char *before = r->at;
        r->at += 2;
        uint32_t low = read_hex(r);
        if (low >= 0xDC00 && low < 0xE000)
            code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
        else
            r->at = before;
    }
    if (code >= 0xD800 && code < 0xE000) code = 0xFFFD; /* half a pair: no character */
    char text[4];
    gab_jinja_put(out, text, gab_jinja_encode(code, text));
}

static value read_string(reader *r) { /* behind the quote */
    gab_jinja_buffer out = {.run = r->run};
    for (const char *from = r->at;; r->at++) {
        if (r->at == r->end) fail_json(r, "the string does not end");
        if ((unsigned char)*r->at < 0x20) fail_json(r, "a control character in a string");
        if (*r->at != '"' && *r->at != '\\') continue;
        if (*r->at == '"' && !out.n) {
            r->at++;
            return gab_jinja_text(r->run, from, (size_t)(r->at - 1 - from));
        }
        gab_jinja_put(&out, from, (size_t)(r->at - from));
        if (*r->at++ == '"') return gab_jinja_buffer_value(&out);
        read_escape(r, &out);
        from = r->at--;
    }
}

static void read_digits(reader *r) {
    if (r->at == r->end || *r->at < '0' || *r->at > '9') fail_json(r, "a digit is missing");
    while (r->at < r->end && *r->at >= '0' && *r->at <= '9') r->at++;
}

static value read_number(reader *r) {
    const char *from = r->at;
    bool real = false;
    take(r, "-");
    if (!take(r, "0")) read_digits(r);
    if (take(r, ".")) {
        real = true;
        read_digits(r);
    }
    if (r->at < r->end && (*r->at | 32) == 'e') {
        real = true;
        r->at++;
        if (!take(r, "+")) take(r, "-");
        read_digits(r);
    }
    size_t n = (size_t)(r->at - from);
    if (!real) {
        bool negative = *from == '-';
        uint64_t sum = 0, bound = (uint64_t)INT64_MAX + negative;
        for (const char *c = from + negative; c < r->at; c++) {
            uint64_t digit = (uint64_t)(*c - '0');
            if (sum > (bound - digit) / 10) fail_json(r, "an integer of more than 64 bits");
            sum = 10 * sum + digit;
        }
        return gab_jinja_int(negative ? (int64_t)(0 - sum) : (int64_t)sum);
    }
    double number;
    if (!gab_number_read(from, n, &number)) fail_json(r, "a number too long");
    return gab_jinja_float(number);
}

static value read_value(reader *r);

static value read_array(reader *r) { /* behind the bracket */
    gab_jinja_list *list = gab_jinja_list_make(r->run, 0);
    skip_space(r);
    if (take(r, "]")) return gab_jinja_of_list(GAB_JINJA_LIST, list);
    for (;;) {
        gab_jinja_list_push(r->run, list, read_value(r));
        if (take(r, "]")) return gab_jinja_of_list(GAB_JINJA_LIST, list);
        if (!take(r, ",")) fail_json(r, "a ',' or ']' is missing");
    }
}

static value read_object(reader *r) { /* behind the brace */
    gab_jinja_dict *dict = gab_jinja_dict_make(r->run);
    skip_space(r);
    if (take(r, "}")) return gab_jinja_of_dict(dict);
    for (;;) {
        skip_space(r);
        if (!take(r, "\"")) fail_json(r, "a name in quotes is missing");
        value key = read_string(r);
        skip_space(r);
        if (!take(r, ":")) fail_json(r, "a ':' is missing");
        gab_jinja_dict_set(r->run, dict, key, read_value(r));
        if (take(r, "}")) return gab_jinja_of_dict(dict);
        if (!take(r, ",")) fail_json(r, "a ',' or '}' is missing");
    }
}

/* With the space on both sides. */
static value read_value(reader *r) {
    value v;
    gab_jinja_enter(r->run);
    skip_space(r);
    if (r->at == r->end) fail_json(r, "a value is missing");
    if (take(r, "{"))
        v = read_object(r);
    else if (take(r, "["))
        v = read_array(r);
    else if (take(r, "\""))
        v = read_string(r);
    else if (take(r, "null"))
        v = gab_jinja_none();
    else if (take(r, "true"))
        v = gab_jinja_bool(true);
    else if (take(r, "false"))
        v = gab_jinja_bool(false);
    else
        v = read_number(r);
    skip_space(r);
    gab_jinja_leave(r->run);
    return v;
}

value gab_jinja_json_parse(gab_jinja_run *run, const char *what, const char *text, size_t n) {
    reader r = {.run = run, .what = what, .start = text, .at = text, .end = text + n};
    value v = read_value(&r);
    if (r.at != r.end) fail_json(&r, "something follows the value");
    return v;
}

/* ---- writing ---- */

static void print_json_string(gab_jinja_buffer *out, const gab_jinja_string *string, bool ascii) {
    gab_jinja_put_text(out, "\"");
    for (size_t i = 0, length; i < string->n; i += length) {
        static const char bytes[] = "\"\\\b\f\n\r\t", names[] = "\"\\bfnrt";
        const char *text = string->text + i, *byte = *text ? strchr(bytes, *text) : NULL;
        uint32_t code = gab_jinja_decode(text, string->n - i, &length);
        if (byte) {
            gab_jinja_put_format(out, "\\%c", names[byte - bytes]);
        } else if (code >= 0x10000 && ascii) {
            gab_jinja_put_format(out, "\\u%04x\\u%04x", 0xD800 + ((code - 0x10000) >> 10), 0xDC00 + (code & 0x3FF));
        } else if (code < 0x20 || (code >= 0x7F && ascii)) {
            gab_jinja_put_format(out, "\\u%04x", code);
        } else {
            gab_jinja_put(out, text, length);
        }
    }
    gab_jinja_put_text(out, "\"");
}

static void print_json_real(gab_jinja_buffer *out, double real) {
    if (isnan(real) || isinf(real))
        gab_jinja_put_text(out, isnan(real) ? "NaN" : real < 0 ? "-Infinity" : "Infinity");
    else
        gab_jinja_print_real(out, real);
}

static void print_json(gab_jinja_buffer *out, value v, const gab_jinja_json_style *style, size_t level);

static void print_json_key(gab_jinja_buffer *out, value key, const gab_jinja_json_style *style) {
    if (key.kind == GAB_JINJA_STRING) {
        print_json_string(out, key.string, style->ascii);
        return;
    }
    if (key.kind < GAB_JINJA_NONE || key.kind > GAB_JINJA_FLOAT)
        gab_jinja_fail(out->run, GAB_ERROR_FORMAT, "tojson: a %s cannot be a key", gab_jinja_type_name(key));
    gab_jinja_put_text(out, "\"");
    print_json(out, key, style, 0);
    gab_jinja_put_text(out, "\"");
}

static void new_line(gab_jinja_buffer *out, const gab_jinja_json_style *style, size_t level) {
    if (!style->indent) return;
    gab_jinja_put_text(out, "\n");
    for (size_t i = 0; i < level; i++) gab_jinja_put(out, style->indent->text, style->indent->n);
}

static void print_json_list(gab_jinja_buffer *out, const gab_jinja_list *list, const gab_jinja_json_style *style,
                            size_t level) {
    gab_jinja_put_text(out, "[");
    for (size_t i = 0; i < list->n; i++) {
        if (i) gab_jinja_put(out, style->item_separator->text, style->item_separator->n);
        new_line(out, style, level + 1);
        print_json(out, list->items[i], style, level + 1);
    }
    if (list->n) new_line(out, style, level);
    gab_jinja_put_text(out, "]");
}

/* Entries in the order of their keys, which Python must be able to compare. */
static const gab_jinja_entry **sort_entries(gab_jinja_run *run, const gab_jinja_dict *dict) {
    size_t n = gab_jinja_dict_n(dict);
    const gab_jinja_entry **entries = gab_jinja_alloc(run, n + 1, sizeof *entries);
    for (size_t i = 0; i < n; i++) {
        size_t k = i;
        for (const gab_jinja_entry *entry = gab_jinja_dict_at(dict, i);; k--) {
            entries[k] = entry;
            gab_jinja_step(run, 1);
            if (k == 0 || !gab_jinja_less(run, entry->key, entries[k - 1]->key)) break;
            entries[k] = entries[k - 1];
        }
    }
    return entries;
}

static void print_json_dict(gab_jinja_buffer *out, const gab_jinja_dict *dict, const gab_jinja_json_style *style,
                            size_t level) {
    size_t n = gab_jinja_dict_n(dict);
    const gab_jinja_entry **sorted = style->sort_keys ? sort_entries(out->run, dict) : NULL;
    gab_jinja_put_text(out, "{");
    for (size_t i = 0; i < n; i++) {
        const gab_jinja_entry *entry = sorted ? sorted[i] : gab_jinja_dict_at(dict, i);
        if (i) gab_jinja_put(out, style->item_separator->text, style->item_separator->n);
        new_line(out, style, level + 1);
        print_json_key(out, entry->key, style);
        gab_jinja_put(out, style->key_separator->text, style->key_separator->n);
        print_json(out, entry->value, style, level + 1);
    }
    if (n) new_line(out, style, level);
    gab_jinja_put_text(out, "}");
}

static void print_json(gab_jinja_buffer *out, value v, const gab_jinja_json_style *style, size_t level) {
    gab_jinja_enter(out->run);
    gab_jinja_step(out->run, 1);
    switch (v.kind) {
    case GAB_JINJA_NONE: gab_jinja_put_text(out, "null"); break;
    case GAB_JINJA_BOOL: gab_jinja_put_text(out, v.truth ? "true" : "false"); break;
    case GAB_JINJA_INT: gab_jinja_put_format(out, "%lld", (long long)v.integer); break;
    case GAB_JINJA_FLOAT: print_json_real(out, v.real); break;
    case GAB_JINJA_STRING: print_json_string(out, v.string, style->ascii); break;
    case GAB_JINJA_LIST:
    case GAB_JINJA_TUPLE: print_json_list(out, v.list, style, level); break;
    case GAB_JINJA_DICT: print_json_dict(out, v.dict, style, level); break;
    default:
        gab_jinja_fail(out->run, GAB_ERROR_FORMAT, "tojson cannot write a value of type %s", gab_jinja_type_name(v));
    }
    gab_jinja_leave(out->run);
}

void gab_jinja_json_print(gab_jinja_buffer *out, value v, const gab_jinja_json_style *style) {
    print_json(out, v, style, 0);
}
