/*
 * jinja_operators.c - Python's operators on values: truth, order, arithmetic, subscripts, iteration. Integers are of 64
 * bits; what does not fit is an error.
 */
#include "text/jinja_value.h"

#include <math.h>
#include <string.h>

#include "text/jinja_unicode.h"

typedef gab_jinja_value value;

const char *gab_jinja_type_name(value v) {
    static const char *const names[] = {
        "missing", "Undefined", "NoneType",  "bool", "int",       "float",       "str",   "list",     "tuple",
        "range",   "dict view", "generator", "dict", "Namespace", "LoopContext", "Macro", "function", "method",
    };
    return names[v.kind];
}

void gab_jinja_require_defined(gab_jinja_run *run, value v) {
    if (v.kind != GAB_JINJA_UNDEFINED) return;
    if (!v.string) gab_jinja_fail(run, GAB_ERROR_FORMAT, "uses an undefined value");
    gab_jinja_fail(run, GAB_ERROR_FORMAT, "%.*s", (int)v.string->n, v.string->text);
}

bool gab_jinja_truth(value v) {
    switch (v.kind) {
    case GAB_JINJA_MISSING:
    case GAB_JINJA_UNDEFINED:
    case GAB_JINJA_NONE: return false;
    case GAB_JINJA_BOOL: return v.truth;
    case GAB_JINJA_INT: return v.integer != 0;
    case GAB_JINJA_FLOAT: return v.real != 0;
    case GAB_JINJA_STRING: return v.string->n != 0;
    case GAB_JINJA_LIST:
    case GAB_JINJA_TUPLE:
    case GAB_JINJA_RANGE:
    case GAB_JINJA_VIEW: return v.list->n != 0;
    case GAB_JINJA_DICT: return gab_jinja_dict_n(v.dict) != 0;
    default: return true;
    }
}

/* ---- comparison ---- */

static bool equal_lists(gab_jinja_run *run, const gab_jinja_list *a, const gab_jinja_list *b) {
    if (a->n != b->n) return false;
    gab_jinja_step(run, a->n / 4);
    for (size_t i = 0; i < a->n; i++)
        if (!gab_jinja_equal(run, a->items[i], b->items[i])) return false;
    return true;
}

static bool equal_dicts(gab_jinja_run *run, const gab_jinja_dict *a, const gab_jinja_dict *b) {
    if (gab_jinja_dict_n(a) != gab_jinja_dict_n(b)) return false;
    gab_jinja_step(run, gab_jinja_dict_n(a));
    for (size_t i = 0; i < gab_jinja_dict_n(a); i++) {
        const gab_jinja_entry *entry = gab_jinja_dict_at(a, i);
        const value *other = gab_jinja_dict_get(run, b, entry->key);
        if (!other || !gab_jinja_equal(run, entry->value, *other)) return false;
    }
    return true;
}

bool gab_jinja_equal(gab_jinja_run *run, value a, value b) {
    if (gab_jinja_is_integer(a) && gab_jinja_is_integer(b)) return gab_jinja_integer(a) == gab_jinja_integer(b);
    if (gab_jinja_is_number(a) && gab_jinja_is_number(b)) return gab_jinja_real(a) == gab_jinja_real(b);
    if (a.kind != b.kind) return false;
    bool equal = false;
    gab_jinja_enter(run);
    gab_jinja_step(run, 1);
    switch (a.kind) {
    case GAB_JINJA_UNDEFINED:
    case GAB_JINJA_NONE: equal = true; break;
    case GAB_JINJA_STRING:
        gab_jinja_step(run, a.string->n == b.string->n ? a.string->n / 64 : 0);
        equal = gab_jinja_string_equal(a.string, b.string);
        break;
    case GAB_JINJA_LIST:
    case GAB_JINJA_TUPLE:
    case GAB_JINJA_RANGE:
    case GAB_JINJA_VIEW: equal = a.list == b.list || equal_lists(run, a.list, b.list); break;
    case GAB_JINJA_DICT: equal = a.dict == b.dict || equal_dicts(run, a.dict, b.dict); break;
    default: equal = a.list == b.list; break; /* one pointer as good as another */
    }
    gab_jinja_leave(run);
    return equal;
}

bool gab_jinja_less(gab_jinja_run *run, value a, value b) {
    gab_jinja_require_defined(run, a);
    gab_jinja_require_defined(run, b);
    if (gab_jinja_is_integer(a) && gab_jinja_is_integer(b)) return gab_jinja_integer(a) < gab_jinja_integer(b);
    if (gab_jinja_is_number(a) && gab_jinja_is_number(b)) return gab_jinja_real(a) < gab_jinja_real(b);
    if (a.kind == GAB_JINJA_STRING && b.kind == GAB_JINJA_STRING) { /* UTF-8 has the order of code points */
        size_t n = a.string->n < b.string->n ? a.string->n : b.string->n;
        int order = memcmp(a.string->text, b.string->text, n);
        gab_jinja_step(run, 1 + n / 64);
        return order ? order < 0 : a.string->n < b.string->n;
    }
    if (a.kind != b.kind || (a.kind != GAB_JINJA_LIST && a.kind != GAB_JINJA_TUPLE))
        gab_jinja_fail(run, GAB_ERROR_FORMAT, "'<' cannot compare %s and %s", gab_jinja_type_name(a),
                       gab_jinja_type_name(b));
    gab_jinja_enter(run);
    size_t i = 0, n = a.list->n < b.list->n ? a.list->n : b.list->n;
    while (i < n && gab_jinja_equal(run, a.list->items[i], b.list->items[i])) i++;
    bool less = i < n ? gab_jinja_less(run, a.list->items[i], b.list->items[i]) : a.list->n < b.list->n;
    gab_jinja_leave(run);
    return less;
}

size_t gab_jinja_find(gab_jinja_run *run, const gab_jinja_string *text, const gab_jinja_string *part, size_t from) {
    if (part->n == 0) return from <= text->n ? from : SIZE_MAX;
    while (from <= text->n && part->n <= text->n - from) {
        const char *start = text->text + from;
        const char *hit = memchr(start, part->text[0], text->n - from - part->n + 1);
        gab_jinja_step(run, (hit ? (size_t)(hit - start) : text->n - from) / 64 + part->n / 64);
        if (!hit) break;
        if (memcmp(hit, part->text, part->n) == 0) return (size_t)(hit - text->text);
        from = (size_t)(hit - text->text) + 1;
    }
    return SIZE_MAX;
}

bool gab_jinja_contains(gab_jinja_run *run, value container, value item) {
    if (container.kind == GAB_JINJA_STRING) {
        if (item.kind != GAB_JINJA_STRING)
            gab_jinja_fail(run, GAB_ERROR_FORMAT, "'in' looks for a str in a str, not for a %s",
                           gab_jinja_type_name(item));
        return gab_jinja_find(run, container.string, item.string, 0) != SIZE_MAX;
    }
    if (container.kind == GAB_JINJA_DICT) {
        if (item.kind == GAB_JINJA_LIST || item.kind == GAB_JINJA_DICT)
            gab_jinja_fail(run, GAB_ERROR_FORMAT, "a %s cannot be the key of a dictionary", gab_jinja_type_name(item));
        return gab_jinja_dict_get(run, container.dict, item) != NULL;
    }
    const gab_jinja_list *items = gab_jinja_items(run, container);
    for (size_t i = 0; i < items->n; i++)
        if (gab_jinja_equal(run, items->items[i], item)) return true;
    return false;
}

/* ---- arithmetic ---- */

static _Noreturn void fail_operands(gab_jinja_run *run, const char *op, value a, value b) {
    gab_jinja_fail(run, GAB_ERROR_FORMAT, "'%s' does not work on %s and %s", op, gab_jinja_type_name(a),
                   gab_jinja_type_name(b));
}

static value checked_multiply(gab_jinja_run *run, int64_t a, int64_t b) {
    bool negative = (a < 0) != (b < 0);
    uint64_t x = a < 0 ? 0 - (uint64_t)a : (uint64_t)a, y = b < 0 ? 0 - (uint64_t)b : (uint64_t)b;
    uint64_t bound = (uint64_t)INT64_MAX + negative;
    if (y && x > bound / y) gab_jinja_fail(run, GAB_ERROR_LIMIT, "an integer needs more than 64 bits");
    uint64_t product = x * y;
    return gab_jinja_int(negative ? (int64_t)(0 - product) : (int64_t)product);
}

static value checked_add(gab_jinja_run *run, int64_t a, int64_t b) {
    if (b > 0 ? a > INT64_MAX - b : a < INT64_MIN - b)
        gab_jinja_fail(run, GAB_ERROR_LIMIT, "an integer needs more than 64 bits");
    return gab_jinja_int(a + b);
}

static value integer_power(gab_jinja_run *run, int64_t base, int64_t exponent) {
    value result = gab_jinja_int(1);
    while (exponent > 0) {
        if (exponent & 1) result = checked_multiply(run, result.integer, base);
        exponent >>= 1;
        if (exponent) base = checked_multiply(run, base, base).integer;
    }
    return result;
}

static value integer_arithmetic(gab_jinja_run *run, char op, int64_t a, int64_t b) {
    if ((op == '/' || op == 'D' || op == '%') && b == 0) gab_jinja_fail(run, GAB_ERROR_FORMAT, "division by zero");
    if (op == '+') return checked_add(run, a, b);
    if (op == '-')
        return b == INT64_MIN ? checked_add(run, checked_add(run, a, 1).integer, INT64_MAX) : checked_add(run, a, -b);
    if (op == '*') return checked_multiply(run, a, b);
    if (op == '/') return gab_jinja_float((double)a / (double)b);
    if (b == -1) return op == 'D' ? checked_multiply(run, a, -1) : gab_jinja_int(0); /* INT64_MIN / -1 traps */
    bool below = a % b != 0 && (a % b < 0) != (b < 0);                               /* C rounds to zero, Python down */
    return gab_jinja_int(op == 'D' ? a / b - below : a % b + (below ? b : 0));
}

static value real_arithmetic(gab_jinja_run *run, char op, double a, double b) {
    if (op == '+') return gab_jinja_float(a + b);
    if (op == '-') return gab_jinja_float(a - b);
    if (op == '*') return gab_jinja_float(a * b);
    if (op == 'P') {
        double power = pow(a, b);
        if ((a == 0 && b < 0) || (isinf(power) && isfinite(a) && isfinite(b)) ||
            (isnan(power) && !isnan(a) && !isnan(b)))
            gab_jinja_fail(run, GAB_ERROR_FORMAT, "%g ** %g is no number", a, b);
        return gab_jinja_float(power);
    }
    if (b == 0) gab_jinja_fail(run, GAB_ERROR_FORMAT, "division by zero");
    if (op == '/') return gab_jinja_float(a / b);
    double rest = fmod(a, b);
    if (rest != 0 && (rest < 0) != (b < 0)) rest += b;
    if (op == '%') return gab_jinja_float(rest == 0 ? copysign(0, b) : rest);
    return gab_jinja_float(round((a - rest) / b));
}

static const gab_jinja_string *escaped(gab_jinja_run *run, const gab_jinja_string *string) {
    gab_jinja_buffer out = {.run = run};
    if (string->markup) return string;
    gab_jinja_print_escaped(&out, string);
    return gab_jinja_buffer_value(&out).string;
}

static value add_strings(gab_jinja_run *run, const gab_jinja_string *a, const gab_jinja_string *b) {
    bool markup = a->markup || b->markup;
    if (markup) {
        a = escaped(run, a);
        b = escaped(run, b);
    }
    char *text = gab_jinja_alloc(run, a->n + b->n + 1, 1);
    memcpy(text, a->text, a->n);
    memcpy(text + a->n, b->text, b->n);
    gab_jinja_step(run, (a->n + b->n) / 64);
    gab_jinja_string *sum = gab_jinja_string_make(run, text, a->n + b->n);
    sum->markup = markup;
    return gab_jinja_of_string(sum);
}

static value add_lists(gab_jinja_run *run, value a, value b) {
    gab_jinja_list *sum = gab_jinja_list_make(run, a.list->n + b.list->n);
    for (size_t i = 0; i < a.list->n; i++) gab_jinja_list_push(run, sum, a.list->items[i]);
    for (size_t i = 0; i < b.list->n; i++) gab_jinja_list_push(run, sum, b.list->items[i]);
    return gab_jinja_of_list(a.kind, sum);
}

static value repeat(gab_jinja_run *run, value v, int64_t times) {
    size_t n = times < 0 ? 0 : (size_t)times;
    if (v.kind == GAB_JINJA_STRING) {
        gab_jinja_buffer out = {.run = run};
        if (v.string->n == 0) n = 0;
        gab_jinja_step(run, n / 64);
        for (size_t i = 0; i < n; i++) gab_jinja_put(&out, v.string->text, v.string->n);
        return gab_jinja_buffer_value(&out);
    }
    gab_jinja_list *list = gab_jinja_list_make(run, 0);
    if (v.list->n == 0) n = 0;
    for (size_t k = 0; k < n; k++)
        for (size_t i = 0; i < v.list->n; i++) gab_jinja_list_push(run, list, v.list->items[i]);
    return gab_jinja_of_list(v.kind, list);
}

static bool is_repeatable(value v) {
    return v.kind == GAB_JINJA_STRING || v.kind == GAB_JINJA_LIST || v.kind == GAB_JINJA_TUPLE;
}

value gab_jinja_arithmetic(gab_jinja_run *run, char op, value a, value b) {
    if (op == '%' && a.kind == GAB_JINJA_STRING) return gab_jinja_format_percent(run, a.string, b);
    gab_jinja_require_defined(run, a);
    gab_jinja_require_defined(run, b);
    if (op == '+') {
        if (a.kind == GAB_JINJA_STRING && b.kind == GAB_JINJA_STRING) return add_strings(run, a.string, b.string);
        if (a.kind == b.kind && (a.kind == GAB_JINJA_LIST || a.kind == GAB_JINJA_TUPLE)) return add_lists(run, a, b);
    }
    if (op == '*' && is_repeatable(a) && gab_jinja_is_integer(b)) return repeat(run, a, gab_jinja_integer(b));
    if (op == '*' && is_repeatable(b) && gab_jinja_is_integer(a)) return repeat(run, b, gab_jinja_integer(a));
    if (!gab_jinja_is_number(a) || !gab_jinja_is_number(b)) {
        char name[] = {op == 'D' ? '/' : op == 'P' ? '*' : op, op == 'D' ? '/' : op == 'P' ? '*' : 0, 0};
        fail_operands(run, name, a, b);
    }
    if (!gab_jinja_is_integer(a) || !gab_jinja_is_integer(b))
        return real_arithmetic(run, op, gab_jinja_real(a), gab_jinja_real(b));
    int64_t x = gab_jinja_integer(a), y = gab_jinja_integer(b);
    if (op != 'P') return integer_arithmetic(run, op, x, y);
    return y < 0 ? real_arithmetic(run, op, (double)x, (double)y) : integer_power(run, x, y);
}

value gab_jinja_negative(gab_jinja_run *run, value v, bool negate) {
    gab_jinja_require_defined(run, v);
    if (!gab_jinja_is_number(v)) gab_jinja_fail(run, GAB_ERROR_FORMAT, "a %s has no sign", gab_jinja_type_name(v));
    if (v.kind == GAB_JINJA_FLOAT) return gab_jinja_float(negate ? -v.real : v.real);
    int64_t integer = gab_jinja_integer(v);
    return negate ? integer_arithmetic(run, '-', 0, integer) : gab_jinja_int(integer);
}

/* ---- subscripts ---- */

static value character(gab_jinja_run *run, const gab_jinja_string *string, size_t at, bool markup) {
    size_t length;
    gab_jinja_decode(string->text + at, string->n - at, &length);
    gab_jinja_string *one = gab_jinja_string_make(run, string->text + at, length);
    one->markup = markup;
    return gab_jinja_of_string(one);
}

bool gab_jinja_length(gab_jinja_run *run, value v, size_t *n) {
    *n = 0;
    switch (v.kind) {
    case GAB_JINJA_UNDEFINED: return true;
    case GAB_JINJA_STRING:
        gab_jinja_step(run, v.string->n / 64);
        *n = gab_jinja_count(v.string->text, v.string->n);
        return true;
    case GAB_JINJA_LIST:
    case GAB_JINJA_TUPLE:
    case GAB_JINJA_RANGE:
    case GAB_JINJA_VIEW: *n = v.list->n; return true;
    case GAB_JINJA_DICT: *n = gab_jinja_dict_n(v.dict); return true;
    default: return false;
    }
}

static bool is_sequence(value v) {
    return v.kind == GAB_JINJA_STRING || (v.kind >= GAB_JINJA_LIST && v.kind <= GAB_JINJA_RANGE);
}

bool gab_jinja_item(gab_jinja_run *run, value v, value index, value *item) {
    if (v.kind == GAB_JINJA_DICT) {
        const value *found = gab_jinja_dict_get(run, v.dict, index);
        if (found) *item = *found;
        return found;
    }
    size_t n;
    if (!is_sequence(v) || !gab_jinja_is_integer(index) || !gab_jinja_length(run, v, &n)) return false;
    int64_t i = gab_jinja_integer(index);
    if (i < 0) i += (int64_t)n;
    if (i < 0 || (uint64_t)i >= n) return false;
    *item = v.kind == GAB_JINJA_STRING
                ? character(run, v.string, gab_jinja_offset(v.string->text, v.string->n, (size_t)i), v.string->markup)
                : v.list->items[i];
    return true;
}

/* A bound of a slice of n items, as Python counts it: from the end when negative, cut to what there is. */
static int64_t slice_bound(gab_jinja_run *run, value v, int64_t n, int64_t step, int64_t otherwise) {
    if (v.kind == GAB_JINJA_NONE) return otherwise;
    if (!gab_jinja_is_integer(v))
        gab_jinja_fail(run, GAB_ERROR_FORMAT, "a slice needs integers, not a %s", gab_jinja_type_name(v));
    int64_t i = gab_jinja_integer(v), low = step < 0 ? -1 : 0, high = step < 0 ? n - 1 : n;
    if (i < 0) i = i < -n ? low : i + n;
    return i < low ? low : i > high ? high : i;
}

value gab_jinja_slice(gab_jinja_run *run, value v, const value bounds[3]) {
    size_t n;
    gab_jinja_require_defined(run, v);
    if (!is_sequence(v)) gab_jinja_fail(run, GAB_ERROR_FORMAT, "a %s has no slices", gab_jinja_type_name(v));
    gab_jinja_length(run, v, &n);
    int64_t step = 1, count = (int64_t)n;
    if (bounds[2].kind != GAB_JINJA_NONE) {
        if (!gab_jinja_is_integer(bounds[2]) || gab_jinja_integer(bounds[2]) == 0)
            gab_jinja_fail(run, GAB_ERROR_FORMAT, "the step of a slice must be an integer other than 0");
        step = gab_jinja_integer(bounds[2]);
        if (step > count) step = count + 1; /* no further than all, and nothing overflows */
        if (step < -count) step = -count - 1;
    }
    int64_t start = slice_bound(run, bounds[0], count, step, step < 0 ? count - 1 : 0);
    int64_t stop = slice_bound(run, bounds[1], count, step, step < 0 ? -1 : count);
    if (v.kind == GAB_JINJA_STRING && step == 1) { /* refers to the text */
        size_t from = gab_jinja_offset(v.string->text, v.string->n, (size_t)start);
        size_t length =
            stop > start ? gab_jinja_offset(v.string->text + from, v.string->n - from, (size_t)(stop - start)) : 0;
        gab_jinja_string *part = gab_jinja_string_make(run, v.string->text + from, length);
        part->markup = v.string->markup;
        return gab_jinja_of_string(part);
    }
    const gab_jinja_list *items = gab_jinja_items(run, v);
    gab_jinja_list *list = gab_jinja_list_make(run, 0);
    gab_jinja_buffer text = {.run = run};
    for (int64_t i = start; step < 0 ? i > stop : i < stop; i += step) {
        if (v.kind == GAB_JINJA_STRING)
            gab_jinja_put(&text, items->items[i].string->text, items->items[i].string->n);
        else
            gab_jinja_list_push(run, list, items->items[i]);
    }
    if (v.kind == GAB_JINJA_STRING) {
        gab_jinja_string *part = gab_jinja_string_make(run, text.n ? text.text : "", text.n);
        part->markup = v.string->markup;
        return gab_jinja_of_string(part);
    }
    return gab_jinja_of_list(v.kind == GAB_JINJA_RANGE ? GAB_JINJA_LIST : v.kind, list);
}

/* ---- iteration ---- */

bool gab_jinja_is_iterable(value v) {
    return v.kind == GAB_JINJA_UNDEFINED || v.kind == GAB_JINJA_STRING || v.kind == GAB_JINJA_DICT ||
           v.kind == GAB_JINJA_LOOP || gab_jinja_has_items(v);
}

gab_jinja_list *gab_jinja_items(gab_jinja_run *run, value v) {
    if (v.kind >= GAB_JINJA_LIST && v.kind <= GAB_JINJA_VIEW) {
        gab_jinja_step(run, v.list->n / 4); /* they are about to be gone through */
        return v.list;
    }
    gab_jinja_list *list = gab_jinja_list_make(run, 0);
    switch (v.kind) {
    case GAB_JINJA_UNDEFINED: break;
    case GAB_JINJA_ITERATOR:
        if (v.list->mistake) gab_jinja_fail(run, GAB_ERROR_FORMAT, "%s", v.list->mistake);
        while (v.list->next < v.list->n) gab_jinja_list_push(run, list, v.list->items[v.list->next++]);
        break;
    case GAB_JINJA_STRING:
        for (size_t at = 0; at < v.string->n;) {
            gab_jinja_list_push(run, list, character(run, v.string, at, false)); /* as markupsafe */
            at += list->items[list->n - 1].string->n;
        }
        break;
    case GAB_JINJA_DICT:
        for (size_t i = 0; i < gab_jinja_dict_n(v.dict); i++)
            gab_jinja_list_push(run, list, gab_jinja_dict_at(v.dict, i)->key);
        break;
    default: gab_jinja_fail(run, GAB_ERROR_FORMAT, "a %s cannot be gone through", gab_jinja_type_name(v));
    }
    return list;
}
