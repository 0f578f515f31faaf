/*
 * jinja_methods.c - the tables of Python's methods of str, list and dict. Names that Python has and this interpreter
 * does not are there too: they hide an entry of a dictionary, and fail when they are called.
 */
#include "text/jinja_eval.h"
#include "text/jinja_text.h"
#include "text/jinja_unicode.h"

#include <string.h>

typedef gab_jinja_value value;
typedef const gab_jinja_call call;

static const gab_jinja_string *self(call *c) {
    return c->self.string;
}

/* A string argument that must be there. */
static const gab_jinja_string *need_string(call *c, size_t i) {
    const gab_jinja_string *string = gab_jinja_given_string(c, i);
    if (!string) gab_jinja_fail(c->run, GAB_ERROR_FORMAT, "an argument must be a str, not a NoneType");
    return string;
}

/* ---- str ---- */

static value str_strip(call *c) {
    return gab_jinja_strip(c->run, self(c), gab_jinja_given_string(c, 0), true, true);
}

static value str_lstrip(call *c) {
    return gab_jinja_strip(c->run, self(c), gab_jinja_given_string(c, 0), true, false);
}

static value str_rstrip(call *c) {
    return gab_jinja_strip(c->run, self(c), gab_jinja_given_string(c, 0), false, true);
}

static value str_split(call *c) {
    return gab_jinja_split(c->run, self(c), gab_jinja_given_string(c, 0), gab_jinja_given_int(c, 1, -1));
}

static value str_rsplit(call *c) {
    return gab_jinja_split_right(c->run, self(c), gab_jinja_given_string(c, 0), gab_jinja_given_int(c, 1, -1));
}

static value str_splitlines(call *c) {
    return gab_jinja_of_list(GAB_JINJA_LIST,
                             gab_jinja_split_lines(c->run, self(c), gab_jinja_given_truth(c, 0, false)));
}

static bool has_affix(const gab_jinja_string *text, const gab_jinja_string *affix, bool at_end) {
    if (affix->n > text->n) return false;
    return memcmp(text->text + (at_end ? text->n - affix->n : 0), affix->text, affix->n) == 0;
}

/* An affix, or a tuple of some. */
static value with_affix(call *c, bool at_end) {
    gab_jinja_step(c->run, self(c)->n / 64);
    if (c->given[0].kind != GAB_JINJA_TUPLE) return gab_jinja_bool(has_affix(self(c), need_string(c, 0), at_end));
    for (size_t i = 0; i < c->given[0].list->n; i++) {
        value affix = c->given[0].list->items[i];
        if (affix.kind != GAB_JINJA_STRING) gab_jinja_fail(c->run, GAB_ERROR_FORMAT, "a tuple of str was expected");
        if (has_affix(self(c), affix.string, at_end)) return gab_jinja_bool(true);
    }
    return gab_jinja_bool(false);
}

static value str_startswith(call *c) {
    return with_affix(c, false);
}

static value str_endswith(call *c) {
    return with_affix(c, true);
}

static value str_removeprefix(call *c) {
    const gab_jinja_string *affix = need_string(c, 0);
    return gab_jinja_part(c->run, self(c), has_affix(self(c), affix, false) ? affix->n : 0, self(c)->n);
}

static value str_removesuffix(call *c) {
    const gab_jinja_string *affix = need_string(c, 0);
    return gab_jinja_part(c->run, self(c), 0, self(c)->n - (has_affix(self(c), affix, true) ? affix->n : 0));
}

static value str_upper(call *c) {
    return gab_jinja_change_case(c->run, self(c), GAB_JINJA_TO_UPPER);
}

static value str_lower(call *c) {
    return gab_jinja_change_case(c->run, self(c), GAB_JINJA_TO_LOWER);
}

static value str_title(call *c) {
    return gab_jinja_change_case(c->run, self(c), GAB_JINJA_TITLE);
}

static value str_capitalize(call *c) {
    return gab_jinja_change_case(c->run, self(c), GAB_JINJA_CAPITALIZE);
}

static value str_swapcase(call *c) {
    return gab_jinja_change_case(c->run, self(c), GAB_JINJA_SWAP);
}

static value str_replace(call *c) {
    return gab_jinja_replace(c->run, self(c), need_string(c, 0), need_string(c, 1), gab_jinja_given_int(c, 2, -1));
}

static value str_join(call *c) {
    const gab_jinja_list *items = gab_jinja_items(c->run, c->given[0]);
    for (size_t i = 0; i < items->n; i++)
        if (items->items[i].kind != GAB_JINJA_STRING)
            gab_jinja_fail(c->run, GAB_ERROR_FORMAT, "join: item %zu is a %s, not a str", i,
                           gab_jinja_type_name(items->items[i]));
    return gab_jinja_join(c->run, self(c), items);
}

/* Where the argument is within characters start..end (arguments 1 and 2), as a byte. */
static size_t find_in(call *c, bool last) {
    const gab_jinja_string *text = self(c), *part = need_string(c, 0);
    value bounds[3] = {gab_jinja_int(gab_jinja_given_int(c, 1, 0)), gab_jinja_none(), gab_jinja_none()};
    if (gab_jinja_given(c, 2)) bounds[1] = c->given[2];
    const gab_jinja_string *within = gab_jinja_slice(c->run, c->self, bounds).string;
    size_t from = (size_t)(within->text - text->text);
    size_t at = last ? gab_jinja_find_last(c->run, within, part, within->n) : gab_jinja_find(c->run, within, part, 0);
    return at == SIZE_MAX ? at : from + at;
}

static value found_at(call *c, size_t at, bool must) {
    if (at == SIZE_MAX && must) gab_jinja_fail(c->run, GAB_ERROR_FORMAT, "the substring is not there");
    return gab_jinja_int(at == SIZE_MAX ? -1 : (int64_t)gab_jinja_count(self(c)->text, at));
}

static value str_find(call *c) {
    return found_at(c, find_in(c, false), false);
}

static value str_rfind(call *c) {
    return found_at(c, find_in(c, true), false);
}

static value str_index(call *c) {
    return found_at(c, find_in(c, false), true);
}

static value str_rindex(call *c) {
    return found_at(c, find_in(c, true), true);
}

static value str_count(call *c) {
    const gab_jinja_string *part = need_string(c, 0);
    int64_t n = 0;
    if (part->n == 0) return gab_jinja_int((int64_t)gab_jinja_count(self(c)->text, self(c)->n) + 1);
    for (size_t at = 0; (at = gab_jinja_find(c->run, self(c), part, at)) != SIZE_MAX; at += part->n) n++;
    return gab_jinja_int(n);
}

static value partition(call *c, bool last) {
    const gab_jinja_string *text = self(c), *part = need_string(c, 0);
    if (part->n == 0) gab_jinja_fail(c->run, GAB_ERROR_FORMAT, "the separator is empty");
    size_t at = last ? gab_jinja_find_last(c->run, text, part, text->n) : gab_jinja_find(c->run, text, part, 0);
    bool found = at != SIZE_MAX;
    size_t left = found ? at : last ? 0 : text->n, right = found ? at + part->n : left;
    gab_jinja_list *list = gab_jinja_list_make(c->run, 3);
    gab_jinja_list_push(c->run, list, gab_jinja_part(c->run, text, 0, left));
    gab_jinja_list_push(c->run, list, gab_jinja_part(c->run, text, left, right));
    gab_jinja_list_push(c->run, list, gab_jinja_part(c->run, text, right, text->n));
    return gab_jinja_of_list(GAB_JINJA_TUPLE, list);
}

static value str_partition(call *c) {
    return partition(c, false);
}

static value str_rpartition(call *c) {
    return partition(c, true);
}

static value str_center(call *c) {
    return gab_jinja_pad(c->run, self(c), gab_jinja_given_int(c, 0, 0), gab_jinja_given_string(c, 1), true, true);
}

static value str_ljust(call *c) {
    return gab_jinja_pad(c->run, self(c), gab_jinja_given_int(c, 0, 0), gab_jinja_given_string(c, 1), false, true);
}

static value str_rjust(call *c) {
    return gab_jinja_pad(c->run, self(c), gab_jinja_given_int(c, 0, 0), gab_jinja_given_string(c, 1), true, false);
}

static value str_zfill(call *c) {
    static const gab_jinja_string zero = {.n = 1, .text = "0"};
    const gab_jinja_string *text = self(c);
    bool sign = text->n && (text->text[0] == '-' || text->text[0] == '+');
    const gab_jinja_string *digits = gab_jinja_part(c->run, text, sign, text->n).string;
    value filled = gab_jinja_pad(c->run, digits, gab_jinja_given_int(c, 0, 0) - sign, &zero, true, false);
    return sign ? gab_jinja_arithmetic(c->run, '+', gab_jinja_part(c->run, text, 0, 1), filled) : filled;
}

static value str_format(call *c) {
    return gab_jinja_format_braces(c->run, self(c), c->args);
}

/* Whether there are characters, and all of them are in one of the classes. */
static value all_in(call *c, gab_jinja_class class, gab_jinja_class or_class) {
    const gab_jinja_string *text = self(c);
    gab_jinja_step(c->run, text->n / 16);
    for (size_t i = 0, length; i < text->n; i += length) {
        uint32_t code = gab_jinja_decode(text->text + i, text->n - i, &length);
        if (!gab_jinja_is(code, class) && !gab_jinja_is(code, or_class)) return gab_jinja_bool(false);
    }
    return gab_jinja_bool(text->n > 0);
}

static value str_isalpha(call *c) {
    return all_in(c, GAB_JINJA_ALPHA, GAB_JINJA_ALPHA);
}

static value str_isdigit(call *c) {
    return all_in(c, GAB_JINJA_DIGIT, GAB_JINJA_DIGIT);
}

static value str_isalnum(call *c) {
    return all_in(c, GAB_JINJA_ALPHA, GAB_JINJA_DIGIT);
}

static value str_isspace(call *c) {
    return all_in(c, GAB_JINJA_SPACE, GAB_JINJA_SPACE);
}

/* islower, isupper: the tests of those names. */
static value str_case_test(call *c, const char *test) {
    const gab_jinja_string name = {.n = strlen(test), .text = test};
    const gab_jinja_args none = {.n = 0};
    return gab_jinja_invoke(c->run, gab_jinja_test_find(&name), c->self, &none);
}

static value str_islower(call *c) {
    return str_case_test(c, "lower");
}

static value str_isupper(call *c) {
    return str_case_test(c, "upper");
}

/* ---- dict ---- */

static value dict_get(call *c) {
    const value *found = gab_jinja_dict_get(c->run, c->self.dict, c->given[0]);
    if (found) return *found;
    return gab_jinja_given(c, 1) ? c->given[1] : gab_jinja_none();
}

static value view(call *c, bool keys, bool values, const char *label) {
    const gab_jinja_dict *dict = c->self.dict;
    gab_jinja_list *list = gab_jinja_list_make(c->run, gab_jinja_dict_n(dict));
    list->label = label;
    for (size_t i = 0; i < gab_jinja_dict_n(dict); i++) {
        const gab_jinja_entry *entry = gab_jinja_dict_at(dict, i);
        bool both = keys && values;
        gab_jinja_list_push(c->run, list,
                            both   ? gab_jinja_tuple2(c->run, entry->key, entry->value)
                            : keys ? entry->key
                                   : entry->value);
    }
    return gab_jinja_of_list(GAB_JINJA_VIEW, list);
}

static value dict_items(call *c) {
    return view(c, true, true, "dict_items");
}

static value dict_keys(call *c) {
    return view(c, true, false, "dict_keys");
}

static value dict_values(call *c) {
    return view(c, false, true, "dict_values");
}

static value dict_copy(call *c) {
    gab_jinja_dict *copy = gab_jinja_dict_make(c->run);
    for (size_t i = 0; i < gab_jinja_dict_n(c->self.dict); i++) {
        const gab_jinja_entry *entry = gab_jinja_dict_at(c->self.dict, i);
        gab_jinja_dict_set(c->run, copy, entry->key, entry->value);
    }
    return gab_jinja_of_dict(copy);
}

static value dict_pop(call *c) {
    const value *found = gab_jinja_dict_get(c->run, c->self.dict, c->given[0]);
    if (!found && !gab_jinja_given(c, 1)) gab_jinja_fail(c->run, GAB_ERROR_FORMAT, "pop: the key is not there");
    value popped = found ? *found : c->given[1];
    gab_jinja_dict_remove(c->run, c->self.dict, c->given[0]);
    return popped;
}

static value dict_setdefault(call *c) {
    const value *found = gab_jinja_dict_get(c->run, c->self.dict, c->given[0]);
    if (found) return *found;
    value otherwise = gab_jinja_given(c, 1) ? c->given[1] : gab_jinja_none();
    gab_jinja_dict_set(c->run, c->self.dict, c->given[0], otherwise);
    return otherwise;
}

static value dict_update(call *c) {
    for (size_t i = 0; i < c->args->n; i++) {
        value from = c->args->items[i];
        if (c->args->names && c->args->names[i]) {
            gab_jinja_dict_set(c->run, c->self.dict, gab_jinja_of_string(c->args->names[i]), from);
            continue;
        }
        if (from.kind != GAB_JINJA_DICT || i > 0)
            gab_jinja_fail(c->run, GAB_ERROR_FORMAT, "update needs one dict, and named values");
        for (size_t k = 0; k < gab_jinja_dict_n(from.dict); k++) {
            const gab_jinja_entry *entry = gab_jinja_dict_at(from.dict, k);
            gab_jinja_dict_set(c->run, c->self.dict, entry->key, entry->value);
        }
    }
    return gab_jinja_none();
}

/* ---- list ---- */

static value list_append(call *c) {
    gab_jinja_list_push(c->run, c->self.list, c->given[0]);
    return gab_jinja_none();
}

static value list_extend(call *c) {
    const gab_jinja_list *items = gab_jinja_items(c->run, c->given[0]);
    for (size_t i = 0, n = items->n; i < n; i++) gab_jinja_list_push(c->run, c->self.list, items->items[i]);
    return gab_jinja_none();
}

static value list_insert(call *c) {
    gab_jinja_list *list = c->self.list;
    int64_t n = (int64_t)list->n, at = gab_jinja_given_int(c, 0, 0);
    at = at < -n ? 0 : at < 0 ? at + n : at > n ? n : at;
    gab_jinja_list_push(c->run, list, c->given[1]);
    memmove(list->items + at + 1, list->items + at, (size_t)(n - at) * sizeof *list->items);
    list->items[at] = c->given[1];
    gab_jinja_step(c->run, (size_t)(n - at) / 8);
    return gab_jinja_none();
}

static value list_pop(call *c) {
    gab_jinja_list *list = c->self.list;
    int64_t n = (int64_t)list->n, at = gab_jinja_given_int(c, 0, -1);
    if (at < 0) at += n;
    if (at < 0 || at >= n) gab_jinja_fail(c->run, GAB_ERROR_FORMAT, "pop: there is no such item");
    value popped = list->items[at];
    memmove(list->items + at, list->items + at + 1, (size_t)(n - at - 1) * sizeof *list->items);
    gab_jinja_step(c->run, (size_t)(n - at) / 8);
    list->n--;
    return popped;
}

static size_t find_item(call *c, bool must) {
    const gab_jinja_list *list = c->self.list;
    gab_jinja_step(c->run, list->n / 4);
    for (size_t i = 0; i < list->n; i++)
        if (gab_jinja_equal(c->run, list->items[i], c->given[0])) return i;
    if (must) gab_jinja_fail(c->run, GAB_ERROR_FORMAT, "the item is not in the list");
    return SIZE_MAX;
}

static value list_index(call *c) {
    return gab_jinja_int((int64_t)find_item(c, true));
}

static value list_count(call *c) {
    int64_t n = 0;
    gab_jinja_step(c->run, c->self.list->n / 4);
    for (size_t i = 0; i < c->self.list->n; i++) n += gab_jinja_equal(c->run, c->self.list->items[i], c->given[0]);
    return gab_jinja_int(n);
}

static value list_copy(call *c) {
    gab_jinja_list *copy = gab_jinja_list_make(c->run, c->self.list->n);
    for (size_t i = 0; i < c->self.list->n; i++) gab_jinja_list_push(c->run, copy, c->self.list->items[i]);
    return gab_jinja_of_list(GAB_JINJA_LIST, copy);
}

static value list_reverse(call *c) {
    gab_jinja_list *list = c->self.list;
    for (size_t i = 0, k = list->n; i + 1 < k; i++) {
        value item = list->items[i];
        list->items[i] = list->items[--k];
        list->items[k] = item;
    }
    gab_jinja_step(c->run, list->n / 8);
    return gab_jinja_none();
}

/* ---- the tables ---- */

static const gab_jinja_callable STR_METHODS[] = {
    {"capitalize", "", 0, str_capitalize, false},
    {"casefold", "", 0, str_lower, false},
    {"center", "width fillchar", 1, str_center, false},
    {"count", "sub", 1, str_count, false},
    {"encode", NULL, 0, NULL, false},
    {"endswith", "suffix", 1, str_endswith, false},
    {"expandtabs", NULL, 0, NULL, false},
    {"find", "sub start end", 1, str_find, false},
    {"format", NULL, 0, str_format, false},
    {"format_map", NULL, 0, NULL, false},
    {"index", "sub start end", 1, str_index, false},
    {"isalnum", "", 0, str_isalnum, false},
    {"isalpha", "", 0, str_isalpha, false},
    {"isascii", NULL, 0, NULL, false},
    {"isdecimal", "", 0, str_isdigit, false},
    {"isdigit", "", 0, str_isdigit, false},
    {"isidentifier", NULL, 0, NULL, false},
    {"islower", "", 0, str_islower, false},
    {"isnumeric", "", 0, str_isdigit, false},
    {"isprintable", NULL, 0, NULL, false},
    {"isspace", "", 0, str_isspace, false},
    {"istitle", NULL, 0, NULL, false},
    {"isupper", "", 0, str_isupper, false},
    {"join", "iterable", 1, str_join, false},
    {"ljust", "width fillchar", 1, str_ljust, false},
    {"lower", "", 0, str_lower, false},
    {"lstrip", "chars", 0, str_lstrip, false},
    {"maketrans", NULL, 0, NULL, false},
    {"partition", "sep", 1, str_partition, false},
    {"removeprefix", "prefix", 1, str_removeprefix, false},
    {"removesuffix", "suffix", 1, str_removesuffix, false},
    {"replace", "old new count", 2, str_replace, false},
    {"rfind", "sub start end", 1, str_rfind, false},
    {"rindex", "sub start end", 1, str_rindex, false},
    {"rjust", "width fillchar", 1, str_rjust, false},
    {"rpartition", "sep", 1, str_rpartition, false},
    {"rsplit", "sep maxsplit", 0, str_rsplit, false},
    {"rstrip", "chars", 0, str_rstrip, false},
    {"split", "sep maxsplit", 0, str_split, false},
    {"splitlines", "keepends", 0, str_splitlines, false},
    {"startswith", "prefix", 1, str_startswith, false},
    {"strip", "chars", 0, str_strip, false},
    {"swapcase", "", 0, str_swapcase, false},
    {"title", "", 0, str_title, false},
    {"translate", NULL, 0, NULL, false},
    {"upper", "", 0, str_upper, false},
    {"zfill", "width", 1, str_zfill, false},
    {NULL, NULL, 0, NULL, false},
};

static const gab_jinja_callable DICT_METHODS[] = {
    {"clear", NULL, 0, NULL, true},
    {"copy", "", 0, dict_copy, false},
    {"fromkeys", NULL, 0, NULL, false},
    {"get", "key default", 1, dict_get, false},
    {"items", "", 0, dict_items, false},
    {"keys", "", 0, dict_keys, false},
    {"pop", "key default", 1, dict_pop, true},
    {"popitem", NULL, 0, NULL, true},
    {"setdefault", "key default", 1, dict_setdefault, true},
    {"update", NULL, 0, dict_update, true},
    {"values", "", 0, dict_values, false},
    {NULL, NULL, 0, NULL, false},
};

static const gab_jinja_callable LIST_METHODS[] = {
    {"append", "object", 1, list_append, true},
    {"clear", NULL, 0, NULL, true},
    {"copy", "", 0, list_copy, false},
    {"count", "value", 1, list_count, false},
    {"extend", "iterable", 1, list_extend, true},
    {"index", "value", 1, list_index, false},
    {"insert", "index object", 2, list_insert, true},
    {"pop", "index", 0, list_pop, true},
    {"remove", NULL, 0, NULL, true},
    {"reverse", "", 0, list_reverse, true},
    {"sort", NULL, 0, NULL, true},
    {NULL, NULL, 0, NULL, false},
};

static const gab_jinja_callable TUPLE_METHODS[] = {
    /* and of range */
    {"count", "value", 1, list_count, false},
    {"index", "value", 1, list_index, false},
    {NULL, NULL, 0, NULL, false},
};

const gab_jinja_callable *gab_jinja_method_find(gab_jinja_kind kind, const gab_jinja_string *name) {
    switch (kind) {
    case GAB_JINJA_STRING: return gab_jinja_row_find(STR_METHODS, name);
    case GAB_JINJA_DICT: return gab_jinja_row_find(DICT_METHODS, name);
    case GAB_JINJA_LIST: return gab_jinja_row_find(LIST_METHODS, name);
    case GAB_JINJA_TUPLE:
    case GAB_JINJA_RANGE: return gab_jinja_row_find(TUPLE_METHODS, name);
    default: return NULL;
    }
}
