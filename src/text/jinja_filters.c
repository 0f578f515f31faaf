/*
 * jinja_filters.c - the table of filters, and those that work on one value. Jinja's, but for tojson, which is
 * transformers' (no HTML escapes). Filters of sequences are in jinja_sequences.c.
 */
#include <math.h>
#include <string.h>

#include "text/jinja_eval.h"

#include "base/number.h"
#include "text/jinja_sequences.h"
#include "text/jinja_text.h"
#include "text/jinja_unicode.h"

typedef gab_jinja_value value;
typedef const gab_jinja_call call;

static const gab_jinja_string *self_text(call *c) {
    return gab_jinja_str(c->run, c->self).string;
}

/* ---- text ---- */

static value filter_upper(call *c) {
    return gab_jinja_change_case(c->run, self_text(c), GAB_JINJA_TO_UPPER);
}

static value filter_lower(call *c) {
    return gab_jinja_change_case(c->run, self_text(c), GAB_JINJA_TO_LOWER);
}

static value filter_title(call *c) {
    return gab_jinja_change_case(c->run, self_text(c), GAB_JINJA_TITLE_FILTER);
}

static value filter_capitalize(call *c) {
    return gab_jinja_change_case(c->run, self_text(c), GAB_JINJA_CAPITALIZE);
}

static value filter_trim(call *c) {
    return gab_jinja_strip(c->run, self_text(c), gab_jinja_given_string(c, 0), true, true);
}

static value filter_string(call *c) {
    return gab_jinja_str(c->run, c->self);
}

static value filter_safe(call *c) {
    const gab_jinja_string *text = self_text(c);
    gab_jinja_string *safe = gab_jinja_string_make(c->run, text->text, text->n);
    safe->markup = true;
    return gab_jinja_of_string(safe);
}

static value escape(call *c, bool force) {
    const gab_jinja_string *text = self_text(c);
    if (text->markup && !force) return gab_jinja_of_string(text);
    gab_jinja_buffer out = {.run = c->run};
    gab_jinja_print_escaped(&out, text);
    gab_jinja_string *escaped = gab_jinja_string_make(c->run, out.n ? out.text : "", out.n);
    escaped->markup = true;
    return gab_jinja_of_string(escaped);
}

static value filter_escape(call *c) {
    return escape(c, false);
}

static value filter_forceescape(call *c) {
    return escape(c, true);
}

static value filter_replace(call *c) {
    bool all = !gab_jinja_given(c, 2) || c->given[2].kind == GAB_JINJA_NONE;
    return gab_jinja_replace(c->run, self_text(c), gab_jinja_str(c->run, c->given[0]).string,
                             gab_jinja_str(c->run, c->given[1]).string, all ? -1 : gab_jinja_given_int(c, 2, -1));
}

static value filter_center(call *c) {
    return gab_jinja_pad(c->run, self_text(c), gab_jinja_given_int(c, 0, 80), NULL, true, true);
}

static value filter_format(call *c) {
    const gab_jinja_args *args = c->args;
    value values;
    if (args->n && args->names && args->names[0]) {
        gab_jinja_dict *dict = gab_jinja_dict_make(c->run);
        for (size_t i = 0; i < args->n; i++)
            gab_jinja_dict_set(c->run, dict, gab_jinja_of_string(args->names[i]), args->items[i]);
        values = gab_jinja_of_dict(dict);
    } else {
        gab_jinja_list *list = gab_jinja_list_make(c->run, args->n);
        for (size_t i = 0; i < args->n; i++) gab_jinja_list_push(c->run, list, args->items[i]);
        values = gab_jinja_of_list(GAB_JINJA_TUPLE, list);
    }
    return gab_jinja_format_percent(c->run, self_text(c), values);
}

/* The lines behind the first begin with `width` spaces, or a string; `first`: that too; `blank`: empty ones too. */
static value filter_indent(call *c) {
    static const gab_jinja_string space = {.n = 1, .text = " "};
    bool by_text = gab_jinja_given(c, 0) && c->given[0].kind == GAB_JINJA_STRING;
    int64_t width = by_text ? 1 : gab_jinja_given_int(c, 0, 4);
    const gab_jinja_string *unit = by_text ? c->given[0].string : &space;
    bool first = gab_jinja_given_truth(c, 1, false), blank = gab_jinja_given_truth(c, 2, false);
    gab_jinja_require_defined(c->run, c->self);
    if (c->self.kind != GAB_JINJA_STRING)
        gab_jinja_fail(c->run, GAB_ERROR_FORMAT, "'indent' needs a str, not a %s", gab_jinja_type_name(c->self));
    value text = gab_jinja_arithmetic(c->run, '+', c->self, gab_jinja_text(c->run, "\n", 1));
    const gab_jinja_list *lines = gab_jinja_split_lines(c->run, text.string, false);
    gab_jinja_buffer out = {.run = c->run};
    for (size_t i = 0; i < lines->n; i++) {
        const gab_jinja_string *line = lines->items[i].string;
        if (i) gab_jinja_put_text(&out, "\n");
        if (i ? blank || line->n : first)
            for (int64_t k = 0; k < width; k++) gab_jinja_put(&out, unit->text, unit->n);
        gab_jinja_put(&out, line->text, line->n);
        gab_jinja_step(c->run, width > 0 ? (size_t)width / 8 : 0);
    }
    return gab_jinja_buffer_value(&out);
}

static value filter_wordcount(call *c) { /* words of letters, digits and '_' */
    const gab_jinja_string *text = self_text(c);
    int64_t n = 0;
    bool inside = false;
    for (size_t i = 0, length; i < text->n; i += length) {
        uint32_t code = gab_jinja_decode(text->text + i, text->n - i, &length);
        bool word = gab_jinja_is(code, GAB_JINJA_ALPHA) || gab_jinja_is(code, GAB_JINJA_DIGIT) || code == '_';
        n += word && !inside;
        inside = word;
    }
    gab_jinja_step(c->run, text->n / 16);
    return gab_jinja_int(n);
}

static const gab_jinja_string *indent_of(call *c, size_t i) {
    if (!gab_jinja_given(c, i) || c->given[i].kind == GAB_JINJA_NONE) return NULL;
    if (c->given[i].kind == GAB_JINJA_STRING) return c->given[i].string;
    int64_t width = gab_jinja_given_int(c, i, 0);
    if (width > 1000) gab_jinja_fail(c->run, GAB_ERROR_LIMIT, "'tojson' indents by at most 1000");
    gab_jinja_buffer out = {.run = c->run};
    for (int64_t k = 0; k < width; k++) gab_jinja_put_text(&out, " ");
    return gab_jinja_buffer_value(&out).string;
}

static value filter_tojson(call *c) {
    static const gab_jinja_string comma = {.n = 1, .text = ","}, comma_space = {.n = 2, .text = ", "},
                                  colon_space = {.n = 2, .text = ": "};
    gab_jinja_json_style style = {.ascii = gab_jinja_given_truth(c, 0, false),
                                  .indent = indent_of(c, 1),
                                  .sort_keys = gab_jinja_given_truth(c, 3, false),
                                  .key_separator = &colon_space};
    style.item_separator = style.indent ? &comma : &comma_space;
    if (gab_jinja_given(c, 2) && c->given[2].kind != GAB_JINJA_NONE) {
        const gab_jinja_list *pair = gab_jinja_items(c->run, c->given[2]);
        if (pair->n != 2 || pair->items[0].kind != GAB_JINJA_STRING || pair->items[1].kind != GAB_JINJA_STRING)
            gab_jinja_fail(c->run, GAB_ERROR_FORMAT, "'tojson' needs two strings as separators");
        style.item_separator = pair->items[0].string;
        style.key_separator = pair->items[1].string;
    }
    gab_jinja_buffer out = {.run = c->run};
    gab_jinja_json_print(&out, c->self, &style);
    return gab_jinja_buffer_value(&out);
}

/* ---- numbers ---- */

/* What Python's float() reads from a string. */
static bool read_real(gab_jinja_run *run, const gab_jinja_string *string, double *real) {
    const gab_jinja_string *text = gab_jinja_strip(run, string, NULL, true, true).string;
    char copy[400];
    size_t n = 0;
    for (size_t i = 0; i < text->n && n < sizeof copy; i++) {
        bool between = i > 0 && i + 1 < text->n && text->text[i - 1] >= '0' && text->text[i - 1] <= '9';
        if (text->text[i] == '_' && between) continue;
        if (!strchr("0123456789+-.eEinfatyINFATY", text->text[i]) || !text->text[i]) return false;
        copy[n++] = text->text[i];
    }
    return n < sizeof copy && gab_number_read(copy, n, real);
}

/* What int() reads from a string of that base (2 to 36, or 10). */
static bool read_integer(gab_jinja_run *run, const gab_jinja_string *string, int64_t base, int64_t *integer) {
    const gab_jinja_string *text = gab_jinja_strip(run, string, NULL, true, true).string;
    size_t i = text->n && (text->text[0] == '-' || text->text[0] == '+');
    bool negative = text->n && text->text[0] == '-';
    if (base < 2 || base > 36 || i == text->n) return false;
    if (base == 16 && text->n > i + 2 && text->text[i] == '0' && (text->text[i + 1] | 32) == 'x') i += 2;
    *integer = 0;
    gab_jinja_step(run, text->n / 64);
    for (size_t from = i; i < text->n; i++) {
        char c = text->text[i];
        int64_t digit = c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'z' ? (c | 32) - 'a' + 10 : 99;
        if (c == '_' && i > from && text->text[i - 1] != '_' && i + 1 < text->n) continue;
        if (digit >= base) return false;
        if (*integer > (INT64_MAX - digit) / base)
            gab_jinja_fail(run, GAB_ERROR_LIMIT, "an integer needs more than 64 bits");
        *integer = *integer * base + digit;
    }
    if (negative) *integer = -*integer;
    return true;
}

static value filter_int(call *c) {
    int64_t integer;
    double real = 0;
    gab_jinja_require_defined(c->run, c->self);
    if (gab_jinja_is_integer(c->self)) return gab_jinja_int(gab_jinja_integer(c->self));
    value otherwise = gab_jinja_given(c, 0) ? c->given[0] : gab_jinja_int(0);
    if (c->self.kind == GAB_JINJA_STRING) {
        if (read_integer(c->run, c->self.string, gab_jinja_given_int(c, 1, 10), &integer))
            return gab_jinja_int(integer);
        if (!read_real(c->run, c->self.string, &real) || isnan(real) || isinf(real)) return otherwise;
    } else if (c->self.kind != GAB_JINJA_FLOAT) {
        return otherwise;
    } else {
        real = c->self.real;
    }
    if (isnan(real)) return otherwise;
    if (!(real > -9.2e18 && real < 9.2e18))
        gab_jinja_fail(c->run, GAB_ERROR_LIMIT, "an integer needs more than 64 bits");
    return gab_jinja_int((int64_t)real);
}

static value filter_float(call *c) {
    double real;
    gab_jinja_require_defined(c->run, c->self);
    if (gab_jinja_is_number(c->self)) return gab_jinja_float(gab_jinja_real(c->self));
    if (c->self.kind == GAB_JINJA_STRING && read_real(c->run, c->self.string, &real)) return gab_jinja_float(real);
    return gab_jinja_given(c, 0) ? c->given[0] : gab_jinja_float(0);
}

static value filter_abs(call *c) {
    value v = gab_jinja_negative(c->run, c->self, false);
    return gab_jinja_real(v) < 0 ? gab_jinja_negative(c->run, v, true) : v;
}

static value filter_round(call *c) {
    int64_t precision = gab_jinja_given_int(c, 0, 0);
    const gab_jinja_string *method = gab_jinja_given_string(c, 1);
    bool common = !method || gab_jinja_string_is(method, "common");
    gab_jinja_require_defined(c->run, c->self);
    if (!gab_jinja_is_number(c->self))
        gab_jinja_fail(c->run, GAB_ERROR_FORMAT, "'round' needs a number, not a %s", gab_jinja_type_name(c->self));
    if (precision < 0 || precision > 300)
        gab_jinja_fail(c->run, GAB_ERROR_UNSUPPORTED, "'round' to %lld digits is not supported", (long long)precision);
    double real = gab_jinja_real(c->self), scale = pow(10, (double)precision);
    if (common && gab_jinja_is_integer(c->self)) return gab_jinja_int(gab_jinja_integer(c->self));
    if (common) { /* half to even, of the exact value: what printf does */
        gab_jinja_buffer out = {.run = c->run};
        if (isnan(real) || isinf(real)) return gab_jinja_float(real);
        gab_jinja_put_fixed(&out, real, (int)precision);
        if (!gab_number_read(out.text, out.n, &real)) return c->self;
        return gab_jinja_float(real);
    }
    if (gab_jinja_string_is(method, "ceil")) return gab_jinja_float(ceil(real * scale) / scale);
    if (gab_jinja_string_is(method, "floor")) return gab_jinja_float(floor(real * scale) / scale);
    gab_jinja_fail(c->run, GAB_ERROR_FORMAT, "'round' knows common, ceil and floor");
}

/* ---- any value ---- */

static value filter_default(call *c) {
    bool replaced =
        c->self.kind == GAB_JINJA_UNDEFINED || (gab_jinja_given_truth(c, 1, false) && !gab_jinja_truth(c->self));
    if (!replaced) return c->self;
    return gab_jinja_given(c, 0) ? c->given[0] : gab_jinja_text(c->run, "", 0);
}

static value filter_length(call *c) {
    size_t n;
    if (!gab_jinja_length(c->run, c->self, &n))
        gab_jinja_fail(c->run, GAB_ERROR_FORMAT, "a %s has no length", gab_jinja_type_name(c->self));
    return gab_jinja_int((int64_t)n);
}

static value filter_items(call *c) {
    value v = c->self;
    gab_jinja_list *list = gab_jinja_list_make(c->run, 0);
    if (v.kind == GAB_JINJA_DICT)
        for (size_t i = 0; i < gab_jinja_dict_n(v.dict); i++) {
            const gab_jinja_entry *entry = gab_jinja_dict_at(v.dict, i);
            gab_jinja_list_push(c->run, list, gab_jinja_tuple2(c->run, entry->key, entry->value));
        }
    else if (v.kind != GAB_JINJA_UNDEFINED)
        list->mistake = "'items' works on mappings alone";
    return gab_jinja_of_list(GAB_JINJA_ITERATOR, list);
}

/* ---- the table ---- */

const gab_jinja_callable *gab_jinja_filter_find(const gab_jinja_string *name) {
    static const gab_jinja_callable filters[] = {
        {"abs", "", 0, filter_abs, false},
        {"batch", "linecount fill_with", 1, gab_jinja_filter_batch, false},
        {"capitalize", "", 0, filter_capitalize, false},
        {"center", "width", 0, filter_center, false},
        {"count", "", 0, filter_length, false},
        {"d", "default_value boolean", 0, filter_default, false},
        {"default", "default_value boolean", 0, filter_default, false},
        {"dictsort", "case_sensitive by reverse", 0, gab_jinja_filter_dictsort, false},
        {"e", "", 0, filter_escape, false},
        {"escape", "", 0, filter_escape, false},
        {"first", "", 0, gab_jinja_filter_first, false},
        {"float", "default", 0, filter_float, false},
        {"forceescape", "", 0, filter_forceescape, false},
        {"format", NULL, 0, filter_format, false},
        {"indent", "width first blank", 0, filter_indent, false},
        {"int", "default base", 0, filter_int, false},
        {"items", "", 0, filter_items, false},
        {"join", "d attribute", 0, gab_jinja_filter_join, false},
        {"last", "", 0, gab_jinja_filter_last, false},
        {"length", "", 0, filter_length, false},
        {"list", "", 0, gab_jinja_filter_list, false},
        {"lower", "", 0, filter_lower, false},
        {"map", NULL, 0, gab_jinja_filter_map, false},
        {"max", "case_sensitive attribute", 0, gab_jinja_filter_max, false},
        {"min", "case_sensitive attribute", 0, gab_jinja_filter_min, false},
        {"reject", NULL, 0, gab_jinja_filter_reject, false},
        {"rejectattr", NULL, 0, gab_jinja_filter_rejectattr, false},
        {"replace", "old new count", 2, filter_replace, false},
        {"reverse", "", 0, gab_jinja_filter_reverse, false},
        {"round", "precision method", 0, filter_round, false},
        {"safe", "", 0, filter_safe, false},
        {"select", NULL, 0, gab_jinja_filter_select, false},
        {"selectattr", NULL, 0, gab_jinja_filter_selectattr, false},
        {"sort", "reverse case_sensitive attribute", 0, gab_jinja_filter_sort, false},
        {"string", "", 0, filter_string, false},
        {"sum", "attribute start", 0, gab_jinja_filter_sum, false},
        {"title", "", 0, filter_title, false},
        {"tojson", "ensure_ascii indent separators sort_keys", 0, filter_tojson, false},
        {"trim", "chars", 0, filter_trim, false},
        {"unique", "case_sensitive attribute", 0, gab_jinja_filter_unique, false},
        {"upper", "", 0, filter_upper, false},
        {"wordcount", "", 0, filter_wordcount, false},
        {NULL, NULL, 0, NULL, false},
    };
    return gab_jinja_row_find(filters, name);
}
