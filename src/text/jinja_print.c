/*
 * jinja_print.c - values as text: Python's str() and repr().
 */
#include "text/jinja_value.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text/jinja_eval.h"
#include "text/jinja_unicode.h"

typedef gab_jinja_value value;

/* ---- numbers ---- */

void gab_jinja_print_real(gab_jinja_buffer *out, double real) {
    char digits[40]; /* d.ddde+xx */
    if (isnan(real) || isinf(real)) {
        gab_jinja_put_text(out, isnan(real) ? "nan" : real < 0 ? "-inf" : "inf");
        return;
    }
    for (int precision = 0; precision <= 16; precision++) {
        snprintf(digits, sizeof digits, "%.*e", precision, real);
        if (strtod(digits, NULL) == real) break;
    }
    char *e = strchr(digits, 'e'), *mantissa = digits + (digits[0] == '-');
    int exponent = (int)strtol(e + 1, NULL, 10);
    char figures[40];
    int n = 0;
    for (const char *c = mantissa; c < e; c++)
        if (*c >= '0' && *c <= '9') figures[n++] = *c;
    while (n > 1 && figures[n - 1] == '0') n--;
    if (digits[0] == '-') gab_jinja_put_text(out, "-");
    if (exponent < -4 || exponent >= 16) {
        gab_jinja_put(out, figures, 1);
        if (n > 1) gab_jinja_put_format(out, ".%.*s", n - 1, figures + 1);
        gab_jinja_put_format(out, "e%c%02d", exponent < 0 ? '-' : '+', abs(exponent));
    } else if (exponent < 0) {
        gab_jinja_put_format(out, "0.%.*s%.*s", -exponent - 1, "0000", n, figures);
    } else {
        for (int i = 0; i <= exponent; i++) gab_jinja_put(out, i < n ? &figures[i] : "0", 1);
        gab_jinja_put_text(out, ".");
        gab_jinja_put(out, n > exponent + 1 ? figures + exponent + 1 : "0",
                      n > exponent + 1 ? (size_t)(n - exponent - 1) : 1);
    }
}

/* ---- strings ---- */

void gab_jinja_print_escaped(gab_jinja_buffer *out, const gab_jinja_string *string) {
    for (size_t i = 0; i < string->n; i++) {
        switch (string->text[i]) {
        case '&': gab_jinja_put_text(out, "&amp;"); break;
        case '<': gab_jinja_put_text(out, "&lt;"); break;
        case '>': gab_jinja_put_text(out, "&gt;"); break;
        case '\'': gab_jinja_put_text(out, "&#39;"); break;
        case '"': gab_jinja_put_text(out, "&#34;"); break;
        default: gab_jinja_put(out, &string->text[i], 1); break;
        }
    }
}

static void print_quoted(gab_jinja_buffer *out, const gab_jinja_string *string) {
    bool single = memchr(string->text, '\'', string->n), twice = memchr(string->text, '"', string->n);
    char quote = single && !twice ? '"' : '\'';
    gab_jinja_put(out, &quote, 1);
    for (size_t i = 0, length; i < string->n; i += length) {
        const char *text = string->text + i;
        uint32_t code = gab_jinja_decode(text, string->n - i, &length);
        if (*text == quote || *text == '\\') {
            gab_jinja_put_format(out, "\\%c", *text);
        } else if (code == '\n' || code == '\r' || code == '\t') {
            gab_jinja_put_text(out, code == '\n' ? "\\n" : code == '\r' ? "\\r" : "\\t");
        } else if (gab_jinja_is(code, GAB_JINJA_PRINTABLE)) {
            gab_jinja_put(out, text, length);
        } else {
            gab_jinja_put_format(out, code < 0x100 ? "\\x%02x" : code < 0x10000 ? "\\u%04x" : "\\U%08x", code);
        }
    }
    gab_jinja_put(out, &quote, 1);
}

/* ---- containers ---- */

static void print_items(gab_jinja_buffer *out, const char *open, const gab_jinja_list *list, const char *close) {
    gab_jinja_put_text(out, open);
    for (size_t i = 0; i < list->n; i++) {
        if (i) gab_jinja_put_text(out, ", ");
        gab_jinja_print_repr(out, list->items[i]);
    }
    gab_jinja_put_text(out, close);
}

static void print_dict(gab_jinja_buffer *out, const gab_jinja_dict *dict) {
    gab_jinja_put_text(out, "{");
    for (size_t i = 0; i < gab_jinja_dict_n(dict); i++) {
        const gab_jinja_entry *entry = gab_jinja_dict_at(dict, i);
        if (i) gab_jinja_put_text(out, ", ");
        gab_jinja_print_repr(out, entry->key);
        gab_jinja_put_text(out, ": ");
        gab_jinja_print_repr(out, entry->value);
    }
    gab_jinja_put_text(out, "}");
}

void gab_jinja_print_repr(gab_jinja_buffer *out, value v) {
    gab_jinja_enter(out->run);
    gab_jinja_step(out->run, 1);
    switch (v.kind) {
    case GAB_JINJA_MISSING: break;
    case GAB_JINJA_UNDEFINED: gab_jinja_put_text(out, "Undefined"); break;
    case GAB_JINJA_NONE: gab_jinja_put_text(out, "None"); break;
    case GAB_JINJA_BOOL: gab_jinja_put_text(out, v.truth ? "True" : "False"); break;
    case GAB_JINJA_INT: gab_jinja_put_format(out, "%lld", (long long)v.integer); break;
    case GAB_JINJA_FLOAT: gab_jinja_print_real(out, v.real); break;
    case GAB_JINJA_STRING:
        if (v.string->markup) gab_jinja_put_text(out, "Markup(");
        print_quoted(out, v.string);
        if (v.string->markup) gab_jinja_put_text(out, ")");
        break;
    case GAB_JINJA_LIST: print_items(out, "[", v.list, "]"); break;
    case GAB_JINJA_TUPLE: print_items(out, "(", v.list, v.list->n == 1 ? ",)" : ")"); break;
    case GAB_JINJA_RANGE: gab_jinja_put_text(out, v.list->label); break;
    case GAB_JINJA_VIEW:
        gab_jinja_put_text(out, v.list->label);
        print_items(out, "([", v.list, "])");
        break;
    case GAB_JINJA_DICT: print_dict(out, v.dict); break;
    case GAB_JINJA_NAMESPACE:
        gab_jinja_put_text(out, "<Namespace ");
        print_dict(out, v.dict);
        gab_jinja_put_text(out, ">");
        break;
    case GAB_JINJA_MACRO:
        gab_jinja_put_text(out, "<Macro ");
        print_quoted(out, gab_jinja_macro_name(v.macro));
        gab_jinja_put_text(out, ">");
        break;
    default: gab_jinja_put_format(out, "<%s>", gab_jinja_type_name(v)); break; /* Python prints an address too */
    }
    gab_jinja_leave(out->run);
}

void gab_jinja_print(gab_jinja_buffer *out, value v) {
    if (v.kind == GAB_JINJA_STRING)
        gab_jinja_put(out, v.string->text, v.string->n);
    else if (v.kind != GAB_JINJA_UNDEFINED)
        gab_jinja_print_repr(out, v);
}

value gab_jinja_str(gab_jinja_run *run, value v) {
    if (v.kind == GAB_JINJA_STRING) return v;
    gab_jinja_buffer out = {.run = run};
    gab_jinja_print(&out, v);
    return gab_jinja_buffer_value(&out);
}
