/*
 * jinja_tests.c - the table of what can stand behind `is`.
 */
#include "text/jinja_eval.h"
#include "text/jinja_text.h"
#include "text/jinja_unicode.h"

typedef gab_jinja_value value;
typedef const gab_jinja_call call;

static value test_defined(call *c) {
    return gab_jinja_bool(c->self.kind != GAB_JINJA_UNDEFINED);
}

static value test_undefined(call *c) {
    return gab_jinja_bool(c->self.kind == GAB_JINJA_UNDEFINED);
}

static value test_none(call *c) {
    return gab_jinja_bool(c->self.kind == GAB_JINJA_NONE);
}

static value test_string(call *c) {
    return gab_jinja_bool(c->self.kind == GAB_JINJA_STRING);
}

static value test_mapping(call *c) {
    return gab_jinja_bool(c->self.kind == GAB_JINJA_DICT);
}

static value test_sequence(call *c) { /* has a length and subscripts */
    gab_jinja_kind kind = c->self.kind;
    return gab_jinja_bool(kind == GAB_JINJA_UNDEFINED || kind == GAB_JINJA_STRING || kind == GAB_JINJA_DICT ||
                          (kind >= GAB_JINJA_LIST && kind <= GAB_JINJA_RANGE));
}

static value test_iterable(call *c) {
    return gab_jinja_bool(gab_jinja_is_iterable(c->self));
}

static value test_number(call *c) {
    return gab_jinja_bool(gab_jinja_is_number(c->self));
}

static value test_integer(call *c) {
    return gab_jinja_bool(c->self.kind == GAB_JINJA_INT);
}

static value test_float(call *c) {
    return gab_jinja_bool(c->self.kind == GAB_JINJA_FLOAT);
}

static value test_boolean(call *c) {
    return gab_jinja_bool(c->self.kind == GAB_JINJA_BOOL);
}

static value test_true(call *c) {
    return gab_jinja_bool(c->self.kind == GAB_JINJA_BOOL && c->self.truth);
}

static value test_false(call *c) {
    return gab_jinja_bool(c->self.kind == GAB_JINJA_BOOL && !c->self.truth);
}

static value test_callable(call *c) {
    return gab_jinja_bool(c->self.kind >= GAB_JINJA_MACRO || c->self.kind == GAB_JINJA_UNDEFINED);
}

static value test_sameas(call *c) {
    return gab_jinja_bool(c->self.kind == c->given[0].kind && gab_jinja_equal(c->run, c->self, c->given[0]));
}

static value test_eq(call *c) {
    return gab_jinja_bool(gab_jinja_equal(c->run, c->self, c->given[0]));
}

static value test_ne(call *c) {
    return gab_jinja_bool(!gab_jinja_equal(c->run, c->self, c->given[0]));
}

static value test_lt(call *c) {
    return gab_jinja_bool(gab_jinja_less(c->run, c->self, c->given[0]));
}

static value test_le(call *c) {
    return gab_jinja_bool(!gab_jinja_less(c->run, c->given[0], c->self));
}

static value test_gt(call *c) {
    return gab_jinja_bool(gab_jinja_less(c->run, c->given[0], c->self));
}

static value test_ge(call *c) {
    return gab_jinja_bool(!gab_jinja_less(c->run, c->self, c->given[0]));
}

static value test_in(call *c) {
    return gab_jinja_bool(gab_jinja_contains(c->run, c->given[0], c->self));
}

/* Whether the rest of the division by n is `rest`. */
static value has_rest(call *c, value n, int64_t rest) {
    value found = gab_jinja_arithmetic(c->run, '%', c->self, n);
    return gab_jinja_bool(gab_jinja_equal(c->run, found, gab_jinja_int(rest)));
}

static value test_odd(call *c) {
    return has_rest(c, gab_jinja_int(2), 1);
}

static value test_even(call *c) {
    return has_rest(c, gab_jinja_int(2), 0);
}

static value test_divisibleby(call *c) {
    return has_rest(c, c->given[0], 0);
}

/* Letters that have a case have this one, and there are some. */
static value has_case(call *c, gab_jinja_class wanted, gab_jinja_class other) {
    const gab_jinja_string *text = gab_jinja_str(c->run, c->self).string;
    bool some = false;
    gab_jinja_step(c->run, text->n / 16);
    for (size_t i = 0, length; i < text->n; i += length) {
        uint32_t code = gab_jinja_decode(text->text + i, text->n - i, &length);
        if (gab_jinja_is(code, other)) return gab_jinja_bool(false);
        some = some || gab_jinja_is(code, wanted);
    }
    return gab_jinja_bool(some);
}

static value test_lower(call *c) {
    return has_case(c, GAB_JINJA_LOWER, GAB_JINJA_UPPER);
}

static value test_upper(call *c) {
    return has_case(c, GAB_JINJA_UPPER, GAB_JINJA_LOWER);
}

static value test_escaped(call *c) {
    return gab_jinja_bool(c->self.kind == GAB_JINJA_STRING && c->self.string->markup);
}

static value find_name(call *c, const gab_jinja_callable *(*find)(const gab_jinja_string *name)) {
    return gab_jinja_bool(c->self.kind == GAB_JINJA_STRING && find(c->self.string));
}

static value test_filter(call *c) {
    return find_name(c, gab_jinja_filter_find);
}

static value test_test(call *c) {
    return find_name(c, gab_jinja_test_find);
}

const gab_jinja_callable *gab_jinja_test_find(const gab_jinja_string *name) {
    static const gab_jinja_callable tests[] = {
        {"boolean", "", 0, test_boolean, false},
        {"callable", "", 0, test_callable, false},
        {"defined", "", 0, test_defined, false},
        {"divisibleby", "num", 1, test_divisibleby, false},
        {"eq", "b", 1, test_eq, false},
        {"equalto", "b", 1, test_eq, false},
        {"escaped", "", 0, test_escaped, false},
        {"even", "", 0, test_even, false},
        {"false", "", 0, test_false, false},
        {"filter", "", 0, test_filter, false},
        {"float", "", 0, test_float, false},
        {"ge", "b", 1, test_ge, false},
        {"greaterthan", "b", 1, test_gt, false},
        {"gt", "b", 1, test_gt, false},
        {"in", "seq", 1, test_in, false},
        {"integer", "", 0, test_integer, false},
        {"iterable", "", 0, test_iterable, false},
        {"le", "b", 1, test_le, false},
        {"lessthan", "b", 1, test_lt, false},
        {"lower", "", 0, test_lower, false},
        {"lt", "b", 1, test_lt, false},
        {"mapping", "", 0, test_mapping, false},
        {"ne", "b", 1, test_ne, false},
        {"none", "", 0, test_none, false},
        {"number", "", 0, test_number, false},
        {"odd", "", 0, test_odd, false},
        {"sameas", "other", 1, test_sameas, false},
        {"sequence", "", 0, test_sequence, false},
        {"string", "", 0, test_string, false},
        {"test", "", 0, test_test, false},
        {"true", "", 0, test_true, false},
        {"undefined", "", 0, test_undefined, false},
        {"upper", "", 0, test_upper, false},
        {NULL, NULL, 0, NULL, false},
    };
    return gab_jinja_row_find(tests, name);
}
