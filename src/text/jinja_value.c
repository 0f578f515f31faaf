#include "text/jinja_value.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/hash.h"

/* ---- a run ---- */

gab_status gab_jinja_guard(gab_jinja_run *run, void (*fn)(gab_jinja_run *run, void *user), void *user) {
    jmp_buf escape;
    run->escape = &escape;
    run->status = GAB_OK;
    if (setjmp(escape) == 0) fn(run, user);
    run->escape = NULL;
    return run->status;
}

void gab_jinja_fail(gab_jinja_run *run, gab_status status, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(run->message, sizeof run->message, format, args);
    va_end(args);
    run->status = status;
    longjmp(*run->escape, 1);
}

void *gab_jinja_alloc(gab_jinja_run *run, size_t count, size_t size) {
    if (size && count > run->bytes_left / size)
        gab_jinja_fail(run, GAB_ERROR_LIMIT, "needs more memory than a template may use");
    run->bytes_left -= count * size;
    void *data = gab_arena_alloc(&run->arena, count, size);
    if (!data) gab_jinja_fail(run, GAB_ERROR_HOST_MEMORY, "out of memory");
    return data;
}

void gab_jinja_step(gab_jinja_run *run, size_t n) {
    if (n > run->steps_left) gab_jinja_fail(run, GAB_ERROR_LIMIT, "takes more steps than a template may");
    run->steps_left -= n;
}

void gab_jinja_enter(gab_jinja_run *run) {
    if (run->depth >= run->depth_max)
        gab_jinja_fail(run, GAB_ERROR_LIMIT, "nested more than %u deep (recursion without an end?)", run->depth_max);
    run->depth++;
}

/* ---- strings ---- */

gab_jinja_string *gab_jinja_string_make(gab_jinja_run *run, const char *text, size_t n) {
    gab_jinja_string *string = gab_jinja_alloc(run, 1, sizeof *string);
    string->text = text;
    string->n = n;
    return string;
}

gab_jinja_value gab_jinja_text(gab_jinja_run *run, const char *text, size_t n) {
    return gab_jinja_of_string(gab_jinja_string_make(run, text, n));
}

gab_jinja_value gab_jinja_text_copy(gab_jinja_run *run, const char *text, size_t n) {
    char *copy = gab_jinja_alloc(run, n ? n : 1, 1);
    memcpy(copy, text, n);
    return gab_jinja_text(run, copy, n);
}

gab_jinja_value gab_jinja_undefined(gab_jinja_run *run, const char *format, ...) {
    char text[160];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    size_t n_text = n < 0 ? 0 : (size_t)n < sizeof text ? (size_t)n : sizeof text - 1;
    gab_jinja_value why = gab_jinja_text_copy(run, text, n_text);
    return (gab_jinja_value){.kind = GAB_JINJA_UNDEFINED, .string = why.string};
}

bool gab_jinja_string_equal(const gab_jinja_string *a, const gab_jinja_string *b) {
    return a == b || (a->n == b->n && memcmp(a->text, b->text, a->n) == 0);
}

bool gab_jinja_string_is(const gab_jinja_string *string, const char *text) {
    return string->n == strlen(text) && memcmp(string->text, text, string->n) == 0;
}

void gab_jinja_put(gab_jinja_buffer *buffer, const char *text, size_t n) {
    if (n > buffer->capacity - buffer->n) {
        size_t capacity = buffer->capacity < 128 ? 256 : 2 * buffer->capacity;
        if (capacity - buffer->n < n) capacity = buffer->n + n;
        char *grown = gab_jinja_alloc(buffer->run, capacity, 1);
        if (buffer->n) memcpy(grown, buffer->text, buffer->n);
        buffer->text = grown;
        buffer->capacity = capacity;
    }
    if (n) memcpy(buffer->text + buffer->n, text, n);
    buffer->n += n;
    gab_jinja_step(buffer->run, n / 64);
}

void gab_jinja_put_text(gab_jinja_buffer *buffer, const char *text) {
    gab_jinja_put(buffer, text, strlen(text));
}

void gab_jinja_put_format(gab_jinja_buffer *buffer, const char *format, ...) {
    char text[512];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (n > 0) gab_jinja_put(buffer, text, (size_t)n < sizeof text ? (size_t)n : sizeof text - 1);
}

gab_jinja_value gab_jinja_buffer_value(const gab_jinja_buffer *buffer) {
    return gab_jinja_text(buffer->run, buffer->n ? buffer->text : "", buffer->n);
}

/* ---- lists ---- */

gab_jinja_list *gab_jinja_list_make(gab_jinja_run *run, size_t capacity) {
    gab_jinja_list *list = gab_jinja_alloc(run, 1, sizeof *list);
    if (capacity) list->items = gab_jinja_alloc(run, capacity, sizeof *list->items);
    list->capacity = capacity;
    return list;
}

void gab_jinja_list_push(gab_jinja_run *run, gab_jinja_list *list, gab_jinja_value item) {
    if (list->n == list->capacity) {
        size_t capacity = list->capacity < 4 ? 8 : 2 * list->capacity;
        gab_jinja_value *grown = gab_jinja_alloc(run, capacity, sizeof *grown);
        if (list->n) memcpy(grown, list->items, list->n * sizeof *grown);
        list->items = grown;
        list->capacity = capacity;
    }
    list->items[list->n++] = item;
    gab_jinja_step(run, 1);
}

gab_jinja_value gab_jinja_tuple2(gab_jinja_run *run, gab_jinja_value a, gab_jinja_value b) {
    gab_jinja_list *list = gab_jinja_list_make(run, 2);
    gab_jinja_list_push(run, list, a);
    gab_jinja_list_push(run, list, b);
    return gab_jinja_of_list(GAB_JINJA_TUPLE, list);
}

/* ---- dictionaries ---- */

/* Up to so many entries are looked through one by one. */
enum { SCAN_MAX = 8 };

struct gab_jinja_dict {
    gab_jinja_entry *entries;
    size_t n, capacity;
    uint32_t *slots; /* open addressing, 1 + entry, twice the capacity, which is a power of two; NULL while small */
};

gab_jinja_dict *gab_jinja_dict_make(gab_jinja_run *run) {
    return gab_jinja_alloc(run, 1, sizeof(gab_jinja_dict));
}

size_t gab_jinja_dict_n(const gab_jinja_dict *dict) {
    return dict->n;
}

const gab_jinja_entry *gab_jinja_dict_at(const gab_jinja_dict *dict, size_t i) {
    return &dict->entries[i];
}

static bool is_hashable(gab_jinja_value v) {
    if (v.kind == GAB_JINJA_TUPLE) {
        for (size_t i = 0; i < v.list->n; i++)
            if (v.list->items[i].kind > GAB_JINJA_STRING) return false; /* tuples in tuples are not needed */
        return true;
    }
    return v.kind <= GAB_JINJA_STRING;
}

/* Equal values have equal hashes: numbers by their value as a double. */
static uint64_t hash_value(uint64_t hash, gab_jinja_value v) {
    if (gab_jinja_is_number(v)) {
        double real = gab_jinja_real(v) + 0.0; /* -0 is 0 */
        return gab_hash_bytes(hash, &real, sizeof real);
    }
    if (v.kind == GAB_JINJA_STRING) return gab_hash_bytes(hash, v.string->text, v.string->n);
    if (v.kind == GAB_JINJA_TUPLE)
        for (size_t i = 0; i < v.list->n; i++) hash = hash_value(hash, v.list->items[i]);
    return gab_hash_bytes(hash, &v.kind, sizeof v.kind);
}

/* The slot of the key, or the empty one where it would be. */
static uint32_t *find_slot(gab_jinja_run *run, const gab_jinja_dict *dict, gab_jinja_value key) {
    size_t mask = 2 * dict->capacity - 1;
    uint64_t hash = hash_value(GAB_HASH_START, key);
    for (size_t i = (size_t)(hash ^ hash >> 32) & mask;; i = (i + 1) & mask) {
        uint32_t *slot = &dict->slots[i];
        if (*slot == 0 || gab_jinja_equal(run, dict->entries[*slot - 1].key, key)) return slot;
        gab_jinja_step(run, 1);
    }
}

static size_t find_entry(gab_jinja_run *run, const gab_jinja_dict *dict, gab_jinja_value key) {
    if (!is_hashable(key)) return SIZE_MAX;
    if (key.kind == GAB_JINJA_STRING) gab_jinja_step(run, key.string->n / 64);
    if (dict->slots) return (size_t)*find_slot(run, dict, key) - 1;
    for (size_t i = 0; i < dict->n; i++)
        if (gab_jinja_equal(run, dict->entries[i].key, key)) return i;
    return SIZE_MAX;
}

const gab_jinja_value *gab_jinja_dict_get(gab_jinja_run *run, const gab_jinja_dict *dict, gab_jinja_value key) {
    size_t i = find_entry(run, dict, key);
    return i == SIZE_MAX ? NULL : &dict->entries[i].value;
}

const gab_jinja_value *gab_jinja_dict_get_text(gab_jinja_run *run, const gab_jinja_dict *dict, const char *key) {
    gab_jinja_string string = {.n = strlen(key), .text = key};
    return gab_jinja_dict_get(run, dict, gab_jinja_of_string(&string));
}

static void fill_slots(gab_jinja_run *run, gab_jinja_dict *dict) {
    memset(dict->slots, 0, 2 * dict->capacity * sizeof *dict->slots);
    for (size_t i = 0; i < dict->n; i++) *find_slot(run, dict, dict->entries[i].key) = (uint32_t)i + 1;
}

static void grow_dict(gab_jinja_run *run, gab_jinja_dict *dict) {
    size_t capacity = dict->capacity ? 2 * dict->capacity : SCAN_MAX;
    gab_jinja_entry *grown = gab_jinja_alloc(run, capacity, sizeof *grown);
    if (dict->n) memcpy(grown, dict->entries, dict->n * sizeof *grown);
    dict->entries = grown;
    dict->capacity = capacity;
    if (capacity <= SCAN_MAX) return;
    if (capacity > UINT32_MAX / 4) gab_jinja_fail(run, GAB_ERROR_LIMIT, "a dictionary has too many entries");
    dict->slots = gab_jinja_alloc(run, 2 * capacity, sizeof *dict->slots);
    fill_slots(run, dict);
}

void gab_jinja_dict_set(gab_jinja_run *run, gab_jinja_dict *dict, gab_jinja_value key, gab_jinja_value value) {
    if (!is_hashable(key))
        gab_jinja_fail(run, GAB_ERROR_FORMAT, "a %s cannot be the key of a dictionary", gab_jinja_type_name(key));
    size_t i = find_entry(run, dict, key);
    if (i == SIZE_MAX) {
        if (dict->n == dict->capacity) grow_dict(run, dict);
        i = dict->n++;
        dict->entries[i].key = key;
        if (dict->slots) *find_slot(run, dict, key) = (uint32_t)i + 1;
    }
    dict->entries[i].value = value;
    gab_jinja_step(run, 1);
}

bool gab_jinja_dict_remove(gab_jinja_run *run, gab_jinja_dict *dict, gab_jinja_value key) {
    size_t i = find_entry(run, dict, key);
    if (i == SIZE_MAX) return false;
    dict->n--;
    memmove(dict->entries + i, dict->entries + i + 1, (dict->n - i) * sizeof *dict->entries);
    gab_jinja_step(run, dict->n);
    if (dict->slots) fill_slots(run, dict);
    return true;
}
