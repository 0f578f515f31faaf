#include "text/jinja_sequences.h"

#include <string.h>

#include "text/jinja_text.h"

typedef gab_jinja_value value;
typedef const gab_jinja_call call;

static value iterator(gab_jinja_list *list) {
    return gab_jinja_of_list(GAB_JINJA_ITERATOR, list);
}

/* ---- keys ---- */

/* item.a.b.0 for the path "a.b.0"; the item itself without a path. */
static value follow(gab_jinja_run *run, value item, value path) {
    static const gab_jinja_string dot = {.n = 1, .text = "."};
    if (path.kind == GAB_JINJA_MISSING || path.kind == GAB_JINJA_NONE) return item;
    if (path.kind != GAB_JINJA_STRING) return gab_jinja_subscript(run, item, path);
    const gab_jinja_list *parts = gab_jinja_split(run, path.string, &dot, -1).list;
    for (size_t i = 0; i < parts->n; i++) {
        const gab_jinja_string *part = parts->items[i].string;
        int64_t number = 0;
        size_t k = 0;
        for (; k < part->n && k < 10 && part->text[k] >= '0' && part->text[k] <= '9'; k++)
            number = 10 * number + part->text[k] - '0';
        bool is_number = part->n && k == part->n;
        item = gab_jinja_subscript(run, item, is_number ? gab_jinja_int(number) : parts->items[i]);
    }
    return item;
}

/* What items are ordered by: strings in lower case unless case_sensitive. */
static value key_of(gab_jinja_run *run, value item, value path, bool case_sensitive) {
    value key = follow(run, item, path);
    if (key.kind == GAB_JINJA_STRING && !case_sensitive)
        return gab_jinja_change_case(run, key.string, GAB_JINJA_TO_LOWER);
    return key;
}

typedef struct keyed {
    value key, item;
} keyed;

/* Jinja compares lists of keys: equal ones are not asked which is less, also where that would fail. */
static bool key_less(gab_jinja_run *run, value a, value b) {
    return !gab_jinja_equal(run, a, b) && gab_jinja_less(run, a, b);
}

/* Merges the sorted halves of n items, equal ones in their order. */
static void merge(gab_jinja_run *run, keyed *items, keyed *space, size_t n, bool down) {
    size_t half = n / 2, i = 0, k = half, out = 0;
    while (i < half || k < n) {
        bool right = i == half;
        if (i < half && k < n)
            right = down ? key_less(run, items[i].key, items[k].key) : key_less(run, items[k].key, items[i].key);
        space[out++] = right ? items[k++] : items[i++];
    }
    memcpy(items, space, n * sizeof *items);
    gab_jinja_step(run, n);
}

static void sort(gab_jinja_run *run, keyed *items, keyed *space, size_t n, bool down) {
    if (n < 2) return;
    sort(run, items, space, n / 2, down);
    sort(run, items + n / 2, space, n - n / 2, down);
    merge(run, items, space, n, down);
}

static keyed *make_keyed(gab_jinja_run *run, const gab_jinja_list *items, value path, bool case_sensitive) {
    keyed *made = gab_jinja_alloc(run, items->n + 1, sizeof *made);
    for (size_t i = 0; i < items->n; i++)
        made[i] = (keyed){key_of(run, items->items[i], path, case_sensitive), items->items[i]};
    return made;
}

static value sorted(gab_jinja_run *run, keyed *items, size_t n, bool down) {
    gab_jinja_list *list = gab_jinja_list_make(run, n);
    sort(run, items, gab_jinja_alloc(run, n + 1, sizeof *items), n, down);
    for (size_t i = 0; i < n; i++) gab_jinja_list_push(run, list, items[i].item);
    return gab_jinja_of_list(GAB_JINJA_LIST, list);
}

value gab_jinja_filter_sort(call *c) {
    const gab_jinja_list *items = gab_jinja_items(c->run, c->self);
    keyed *made = make_keyed(c->run, items, c->given[2], gab_jinja_given_truth(c, 1, false));
    return sorted(c->run, made, items->n, gab_jinja_given_truth(c, 0, false));
}

value gab_jinja_filter_dictsort(call *c) {
    const gab_jinja_string *by = gab_jinja_given_string(c, 1);
    bool by_value = by && gab_jinja_string_is(by, "value");
    gab_jinja_require_defined(c->run, c->self);
    if (c->self.kind != GAB_JINJA_DICT) gab_jinja_fail(c->run, GAB_ERROR_FORMAT, "'dictsort' works on mappings alone");
    if (by && !by_value && !gab_jinja_string_is(by, "key"))
        gab_jinja_fail(c->run, GAB_ERROR_FORMAT, "'dictsort' sorts by key or value");
    gab_jinja_list *items = gab_jinja_list_make(c->run, 0);
    for (size_t i = 0; i < gab_jinja_dict_n(c->self.dict); i++) {
        const gab_jinja_entry *entry = gab_jinja_dict_at(c->self.dict, i);
        gab_jinja_list_push(c->run, items, gab_jinja_tuple2(c->run, entry->key, entry->value));
    }
    keyed *made = make_keyed(c->run, items, gab_jinja_int(by_value), gab_jinja_given_truth(c, 0, false));
    return sorted(c->run, made, items->n, gab_jinja_given_truth(c, 2, false));
}

value gab_jinja_filter_unique(call *c) {
    const gab_jinja_list *items = gab_jinja_items(c->run, c->self);
    gab_jinja_list *list = gab_jinja_list_make(c->run, 0);
    gab_jinja_dict *seen = gab_jinja_dict_make(c->run);
    for (size_t i = 0; i < items->n; i++) {
        value key = key_of(c->run, items->items[i], c->given[1], gab_jinja_given_truth(c, 0, false));
        if (gab_jinja_dict_get(c->run, seen, key)) continue;
        gab_jinja_dict_set(c->run, seen, key, key);
        gab_jinja_list_push(c->run, list, items->items[i]);
    }
    return iterator(list);
}

static value extreme(call *c, bool greatest) {
    const gab_jinja_list *items = gab_jinja_items(c->run, c->self);
    if (items->n == 0) return gab_jinja_undefined(c->run, "the sequence was empty");
    const keyed *made = make_keyed(c->run, items, c->given[1], gab_jinja_given_truth(c, 0, false));
    size_t best = 0;
    for (size_t i = 1; i < items->n; i++) {
        bool better = greatest ? gab_jinja_less(c->run, made[best].key, made[i].key)
                               : gab_jinja_less(c->run, made[i].key, made[best].key);
        if (better) best = i;
    }
    return made[best].item;
}

value gab_jinja_filter_max(call *c) {
    return extreme(c, true);
}

value gab_jinja_filter_min(call *c) {
    return extreme(c, false);
}

/* ---- from sequences ---- */

value gab_jinja_filter_sum(call *c) {
    const gab_jinja_list *items = gab_jinja_items(c->run, c->self);
    value sum = gab_jinja_given(c, 1) ? c->given[1] : gab_jinja_int(0);
    for (size_t i = 0; i < items->n; i++)
        sum = gab_jinja_arithmetic(c->run, '+', sum, follow(c->run, items->items[i], c->given[0]));
    return sum;
}

value gab_jinja_filter_join(call *c) {
    const gab_jinja_list *items = gab_jinja_items(c->run, c->self);
    if (gab_jinja_given(c, 1) && gab_jinja_truth(c->given[1])) {
        gab_jinja_list *found = gab_jinja_list_make(c->run, items->n);
        for (size_t i = 0; i < items->n; i++)
            gab_jinja_list_push(c->run, found, follow(c->run, items->items[i], c->given[1]));
        items = found;
    }
    value separator = gab_jinja_given(c, 0) ? gab_jinja_str(c->run, c->given[0]) : gab_jinja_text(c->run, "", 0);
    return gab_jinja_join(c->run, separator.string, items);
}

value gab_jinja_filter_first(call *c) {
    gab_jinja_list *list = c->self.list;
    if (c->self.kind == GAB_JINJA_ITERATOR && !list->mistake && list->next < list->n) return list->items[list->next++];
    const gab_jinja_list *items = gab_jinja_items(c->run, c->self);
    return items->n ? items->items[0] : gab_jinja_undefined(c->run, "there is no first item: the sequence was empty");
}

value gab_jinja_filter_last(call *c) {
    if (c->self.kind == GAB_JINJA_ITERATOR)
        gab_jinja_fail(c->run, GAB_ERROR_FORMAT, "'last' cannot see the end of a generator; make it a list");
    const gab_jinja_list *items = gab_jinja_items(c->run, c->self);
    return items->n ? items->items[items->n - 1]
                    : gab_jinja_undefined(c->run, "there is no last item: the sequence was empty");
}

static gab_jinja_list *copy_items(call *c) {
    const gab_jinja_list *items = gab_jinja_items(c->run, c->self);
    gab_jinja_list *list = gab_jinja_list_make(c->run, items->n);
    for (size_t i = 0; i < items->n; i++) gab_jinja_list_push(c->run, list, items->items[i]);
    return list;
}

value gab_jinja_filter_list(call *c) {
    return gab_jinja_of_list(GAB_JINJA_LIST, copy_items(c));
}

value gab_jinja_filter_reverse(call *c) {
    gab_jinja_list *list = copy_items(c);
    for (size_t i = 0, k = list->n; i + 1 < k; i++) {
        value item = list->items[i];
        list->items[i] = list->items[--k];
        list->items[k] = item;
    }
    static const gab_jinja_string nothing = {.n = 0, .text = ""};
    if (c->self.kind == GAB_JINJA_STRING) return gab_jinja_join(c->run, &nothing, list);
    return gab_jinja_of_list(c->self.kind == GAB_JINJA_ITERATOR ? GAB_JINJA_LIST : GAB_JINJA_ITERATOR, list);
}

value gab_jinja_filter_batch(call *c) {
    const gab_jinja_list *items = gab_jinja_items(c->run, c->self);
    int64_t size = gab_jinja_given_int(c, 0, 1);
    gab_jinja_list *batches = gab_jinja_list_make(c->run, 0), *batch = NULL;
    for (size_t i = 0; i < items->n; i++) {
        if (!batch || (int64_t)batch->n == size) {
            batch = gab_jinja_list_make(c->run, 0);
            gab_jinja_list_push(c->run, batches, gab_jinja_of_list(GAB_JINJA_LIST, batch));
        }
        gab_jinja_list_push(c->run, batch, items->items[i]);
    }
    bool fills = batch && gab_jinja_given(c, 1) && c->given[1].kind != GAB_JINJA_NONE;
    while (fills && (int64_t)batch->n < size) gab_jinja_list_push(c->run, batch, c->given[1]);
    return iterator(batches);
}

/* ---- map, select, reject ---- */

/* The arguments from i on. */
static gab_jinja_args rest_of(const gab_jinja_args *args, size_t i) {
    return (gab_jinja_args){args->n - i, args->items + i, args->names ? args->names + i : NULL};
}

static const gab_jinja_string *positional_string(call *c, size_t i, const char *what) {
    const gab_jinja_args *args = c->args;
    if (i >= args->n || (args->names && args->names[i]) || args->items[i].kind != GAB_JINJA_STRING)
        gab_jinja_fail(c->run, GAB_ERROR_FORMAT, "the name of %s is missing", what);
    return args->items[i].string;
}

static value map_attribute(call *c) {
    value path = {.kind = GAB_JINJA_MISSING}, otherwise = path;
    for (size_t i = 0; i < c->args->n; i++) {
        const gab_jinja_string *name = c->args->names[i];
        if (gab_jinja_string_is(name, "attribute"))
            path = c->args->items[i];
        else if (gab_jinja_string_is(name, "default"))
            otherwise = c->args->items[i];
        else
            gab_jinja_fail(c->run, GAB_ERROR_FORMAT, "'map' has no parameter '%.*s'", (int)name->n, name->text);
    }
    if (path.kind == GAB_JINJA_MISSING)
        gab_jinja_fail(c->run, GAB_ERROR_FORMAT, "'map' needs a filter or an attribute");
    const gab_jinja_list *items = gab_jinja_items(c->run, c->self);
    gab_jinja_list *list = gab_jinja_list_make(c->run, items->n);
    for (size_t i = 0; i < items->n; i++) {
        value found = follow(c->run, items->items[i], path);
        bool replaced = found.kind == GAB_JINJA_UNDEFINED && otherwise.kind > GAB_JINJA_NONE;
        gab_jinja_list_push(c->run, list, replaced ? otherwise : found);
    }
    return iterator(list);
}

value gab_jinja_filter_map(call *c) {
    if (!gab_jinja_truth(c->self)) return iterator(gab_jinja_list_make(c->run, 0));
    if (c->args->n && c->args->names && c->args->names[0]) return map_attribute(c);
    const gab_jinja_string *name = positional_string(c, 0, "the filter of 'map'");
    const gab_jinja_callable *filter = gab_jinja_filter_find(name);
    if (!filter) gab_jinja_fail(c->run, GAB_ERROR_UNSUPPORTED, "there is no filter '%.*s'", (int)name->n, name->text);
    gab_jinja_args args = rest_of(c->args, 1);
    const gab_jinja_list *items = gab_jinja_items(c->run, c->self);
    gab_jinja_list *list = gab_jinja_list_make(c->run, items->n);
    gab_jinja_enter(c->run);
    for (size_t i = 0; i < items->n; i++)
        gab_jinja_list_push(c->run, list, gab_jinja_invoke(c->run, filter, items->items[i], &args));
    gab_jinja_leave(c->run);
    return iterator(list);
}

/* Items, or their attribute, for which the test says `wanted`. */
static value choose(call *c, bool by_attribute, bool wanted) {
    gab_jinja_list *list = gab_jinja_list_make(c->run, 0);
    size_t i_test = by_attribute;
    value path = {.kind = GAB_JINJA_MISSING};
    if (by_attribute) {
        if (c->args->n == 0) gab_jinja_fail(c->run, GAB_ERROR_FORMAT, "the name of the attribute is missing");
        path = c->args->items[0];
    }
    const gab_jinja_callable *test = NULL;
    gab_jinja_args args = {.n = 0};
    if (c->args->n > i_test) {
        const gab_jinja_string *name = positional_string(c, i_test, "the test");
        test = gab_jinja_test_find(name);
        args = rest_of(c->args, i_test + 1);
        if (!test) gab_jinja_fail(c->run, GAB_ERROR_UNSUPPORTED, "there is no test '%.*s'", (int)name->n, name->text);
    }
    if (!gab_jinja_truth(c->self)) return iterator(list);
    const gab_jinja_list *items = gab_jinja_items(c->run, c->self);
    for (size_t i = 0; i < items->n; i++) {
        value tested = follow(c->run, items->items[i], path);
        if (test) tested = gab_jinja_invoke(c->run, test, tested, &args);
        if (gab_jinja_truth(tested) == wanted) gab_jinja_list_push(c->run, list, items->items[i]);
    }
    return iterator(list);
}

value gab_jinja_filter_select(call *c) {
    return choose(c, false, true);
}

value gab_jinja_filter_reject(call *c) {
    return choose(c, false, false);
}

value gab_jinja_filter_selectattr(call *c) {
    return choose(c, true, true);
}

value gab_jinja_filter_rejectattr(call *c) {
    return choose(c, true, false);
}
