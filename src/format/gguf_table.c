/*
 * gguf_table.c - metadata and tensors in memory: looked up by name, and made key by key for containers other than GGUF.
 */
#include "format/gguf_table.h"

#include "format/gguf_make.h"
#include "format/reader.h"

#include <float.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const gab_gguf_value_type gab_gguf_value_types[GAB_GGUF_N_VALUE_TYPE] = {
    [GAB_GGUF_U8] = {"U8", 1, true, false},          [GAB_GGUF_I8] = {"I8", 1, true, true},
    [GAB_GGUF_U16] = {"U16", 2, true, false},        [GAB_GGUF_I16] = {"I16", 2, true, true},
    [GAB_GGUF_U32] = {"U32", 4, true, false},        [GAB_GGUF_I32] = {"I32", 4, true, true},
    [GAB_GGUF_F32] = {"F32", 4, false, false},       [GAB_GGUF_BOOL] = {"BOOL", 1, false, false},
    [GAB_GGUF_STRING] = {"STRING", 8, false, false}, [GAB_GGUF_ARRAY] = {"ARRAY", 0, false, false},
    [GAB_GGUF_U64] = {"U64", 8, true, false},        [GAB_GGUF_I64] = {"I64", 8, true, true},
    [GAB_GGUF_F64] = {"F64", 8, false, false},
};

bool gab_gguf_integer_fits(gab_gguf_type type, uint64_t bits, int64_t low, int64_t high) {
    bool negative = gab_gguf_value_types[type].is_signed && bits > INT64_MAX;
    if (negative) return (int64_t)bits >= low;
    return bits <= (uint64_t)high;
}

/* ---- index ---- */

static int compare_names(const void *a, const void *b) {
    return strcmp(**(const gab_gguf_name *)a, **(const gab_gguf_name *)b);
}

gab_gguf_name *gab_gguf_index_make(gab_arena *arena, const void *entries, uint64_t n, size_t stride,
                                   const char **twice) {
    gab_gguf_name *index = n > SIZE_MAX ? NULL : gab_arena_alloc(arena, (size_t)n, sizeof *index);
    if (!index) return NULL;
    for (uint64_t i = 0; i < n; i++) index[i] = (gab_gguf_name)(const void *)((const char *)entries + i * stride);
    qsort(index, (size_t)n, sizeof *index, compare_names);
    *twice = NULL;
    for (uint64_t i = 1; i < n && !*twice; i++)
        if (strcmp(*index[i - 1], *index[i]) == 0) *twice = *index[i];
    return index;
}

static const void *index_find(const gab_gguf_name *index, uint64_t n, const char *name) {
    uint64_t low = 0;
    while (low < n) {
        uint64_t middle = low + (n - low) / 2;
        int order = strcmp(name, *index[middle]);
        if (order == 0) return index[middle];
        if (order < 0)
            n = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

const gab_gguf_key *gab_gguf_key_find(const gab_gguf *gguf, const char *name) {
    return index_find(gguf->key_index, gguf->n_key, name);
}

/* ---- making ---- */

gab_status gab_gguf_new(const char *path, const gab_log *log, gab_gguf **gguf) {
    gab_gguf *g = calloc(1, sizeof *g);
    if (g) g->path = gab_arena_copy_text(&g->arena, path, strlen(path));
    if (!g || !g->path) {
        gab_gguf_close(&g);
        return gab_fail(log, GAB_ERROR_HOST_MEMORY, "out of host memory opening %s", path);
    }
    *gguf = g;
    return GAB_OK;
}

void gab_gguf_close(gab_gguf **gguf) {
    if (!gguf || !*gguf) return;
    for (uint32_t i = 0; i < (*gguf)->n_file; i++) gab_file_close(&(*gguf)->files[i]);
    free((*gguf)->files);
    gab_arena_free(&(*gguf)->arena);
    free(*gguf);
    *gguf = NULL;
}

gab_arena *gab_gguf_arena(gab_gguf *gguf) {
    return &gguf->arena;
}

gab_status gab_gguf_add_file(gab_gguf *gguf, gab_file *file, const gab_log *log) {
    gab_file **files = realloc(gguf->files, (gguf->n_file + 1u) * sizeof *files);
    if (!files) {
        gab_status status = gab_fail(log, GAB_ERROR_HOST_MEMORY, "out of host memory opening %s", gab_file_path(file));
        gab_file_close(&file);
        return status;
    }
    files[gguf->n_file++] = file;
    gguf->files = files;
    return GAB_OK;
}

/* Room for one more of `size` bytes behind n in `items`; NULL, and out_of_memory set, when there is none. */
static void *add_item(gab_gguf *gguf, void **items, uint64_t *n, uint64_t *n_max, size_t size) {
    if (*n == *n_max) {
        const uint64_t larger = *n_max ? 2 * *n_max : 64;
        void *copy = gab_arena_alloc(&gguf->arena, (size_t)larger, size);
        if (!copy) {
            gguf->out_of_memory = true;
            return NULL;
        }
        if (*n) memcpy(copy, *items, (size_t)*n * size);
        *items = copy;
        *n_max = larger;
    }
    return (char *)*items + (*n)++ * size;
}

static const char *keep_text(gab_gguf *gguf, const char *text, size_t n) {
    const char *copy = gab_arena_copy_text(&gguf->arena, text, n);
    if (!copy) gguf->out_of_memory = true;
    return copy ? copy : "";
}

static void add_key(gab_gguf *gguf, const char *name, const gab_gguf_key *value) {
    void *keys = gguf->keys;
    gab_gguf_key *key = add_item(gguf, &keys, &gguf->n_key, &gguf->n_key_max, sizeof *key);
    gguf->keys = keys;
    if (!key) return;
    *key = *value;
    key->name = keep_text(gguf, name, strlen(name));
}

void gab_gguf_add_u32(gab_gguf *gguf, const char *key, uint32_t value) {
    add_key(gguf, key, &(gab_gguf_key){.type = GAB_GGUF_U32, .value.bits = value});
}

void gab_gguf_add_f32(gab_gguf *gguf, const char *key, float value) {
    add_key(gguf, key, &(gab_gguf_key){.type = GAB_GGUF_F32, .value.number = (double)value});
}

void gab_gguf_add_bool(gab_gguf *gguf, const char *key, bool value) {
    add_key(gguf, key, &(gab_gguf_key){.type = GAB_GGUF_BOOL, .value.bits = value});
}

void gab_gguf_add_text(gab_gguf *gguf, const char *key, const char *text) {
    const size_t n = strlen(text);
    add_key(gguf, key,
            &(gab_gguf_key){.type = GAB_GGUF_STRING, .value.string = {keep_text(gguf, text, n), (uint64_t)n}});
}

void gab_gguf_add_i32s(gab_gguf *gguf, const char *key, const int32_t *items, uint64_t n) {
    int32_t *copy = gab_arena_alloc(&gguf->arena, (size_t)n + 1, sizeof *copy);
    if (copy)
        memcpy(copy, items, (size_t)n * sizeof *copy);
    else
        gguf->out_of_memory = true;
    add_key(gguf, key, &(gab_gguf_key){.type = GAB_GGUF_ARRAY, .value.array = {GAB_GGUF_I32, n, copy}});
}

gab_gguf_tensor *gab_gguf_add_tensor(gab_gguf *gguf, const char *name) {
    void *tensors = gguf->tensors;
    gab_gguf_tensor *tensor = add_item(gguf, &tensors, &gguf->n_tensor, &gguf->n_tensor_max, sizeof *tensor);
    gguf->tensors = tensors;
    if (tensor) *tensor = (gab_gguf_tensor){.name = keep_text(gguf, name, strlen(name))};
    return tensor;
}

gab_status gab_gguf_finish(gab_gguf *gguf, const gab_log *log) {
    const char *twice = NULL, *twice_key = NULL;
    gguf->tensor_index =
        gab_gguf_index_make(&gguf->arena, gguf->tensors, gguf->n_tensor, sizeof *gguf->tensors, &twice);
    gguf->key_index = gab_gguf_index_make(&gguf->arena, gguf->keys, gguf->n_key, sizeof *gguf->keys, &twice_key);
    if (gguf->out_of_memory || !gguf->tensor_index || !gguf->key_index)
        return gab_fail(log, GAB_ERROR_HOST_MEMORY, "out of host memory opening %s", gguf->path);
    if (!twice) twice = twice_key;
    if (!twice) return GAB_OK;
    char shown[65];
    gab_reader_show(shown, sizeof shown, twice);
    return gab_fail(log, GAB_ERROR_FORMAT, "%s: '%s' is there twice in its files: they do not belong together",
                    gguf->path, shown);
}

/* ---- getters ---- */

const char *gab_gguf_path(const gab_gguf *gguf) {
    return gguf->path;
}

uint32_t gab_gguf_version(const gab_gguf *gguf) {
    return gguf->version;
}

uint32_t gab_gguf_n_file(const gab_gguf *gguf) {
    return gguf->n_file;
}

const gab_file *gab_gguf_file_at(const gab_gguf *gguf, uint32_t i) {
    return gguf->files[i];
}

gab_status gab_gguf_check_unchanged(const gab_gguf *gguf, const gab_log *log) {
    for (uint32_t i = 0; i < gguf->n_file; i++) GAB_TRY(gab_file_check_unchanged(gguf->files[i], log));
    return GAB_OK;
}

uint64_t gab_gguf_n_key(const gab_gguf *gguf) {
    return gguf->n_key;
}

const char *gab_gguf_key_at(const gab_gguf *gguf, uint64_t i, gab_gguf_type *type) {
    *type = gguf->keys[i].type;
    return gguf->keys[i].name;
}

bool gab_gguf_get_u32(const gab_gguf *gguf, const char *name, uint32_t *value) {
    const gab_gguf_key *key = gab_gguf_key_find(gguf, name);
    if (!key || !gab_gguf_value_types[key->type].is_integer ||
        !gab_gguf_integer_fits(key->type, key->value.bits, 0, UINT32_MAX))
        return false;
    *value = (uint32_t)key->value.bits;
    return true;
}

bool gab_gguf_get_f32(const gab_gguf *gguf, const char *name, float *value) {
    const gab_gguf_key *key = gab_gguf_key_find(gguf, name);
    if (!key || (key->type != GAB_GGUF_F32 && key->type != GAB_GGUF_F64)) return false;
    if (key->type == GAB_GGUF_F64 && (key->value.number > FLT_MAX || key->value.number < -FLT_MAX)) return false;
    *value = (float)key->value.number;
    return true;
}

bool gab_gguf_get_bool(const gab_gguf *gguf, const char *name, bool *value) {
    const gab_gguf_key *key = gab_gguf_key_find(gguf, name);
    if (!key || key->type != GAB_GGUF_BOOL) return false;
    *value = key->value.bits != 0;
    return true;
}

bool gab_gguf_get_string(const gab_gguf *gguf, const char *name, gab_gguf_string *value) {
    const gab_gguf_key *key = gab_gguf_key_find(gguf, name);
    if (!key || key->type != GAB_GGUF_STRING) return false;
    *value = key->value.string;
    return true;
}

/* Why a require form found nothing. */
static gab_status require_fail(const gab_gguf *gguf, const char *name, const char *needed, const gab_log *log) {
    const gab_gguf_key *key = gab_gguf_key_find(gguf, name);
    const char *path = gab_gguf_path(gguf);
    char value[96] = "", shown[41];
    if (!key)
        return gab_fail(log, GAB_ERROR_FORMAT, "%s: key '%s' is missing (%s): convert the model again", path, name,
                        needed);
    if (gab_gguf_value_types[key->type].is_signed)
        snprintf(value, sizeof value, " and value %" PRId64, (int64_t)key->value.bits);
    else if (gab_gguf_value_types[key->type].is_integer || key->type == GAB_GGUF_BOOL)
        snprintf(value, sizeof value, " and value %" PRIu64, key->value.bits);
    else if (key->type == GAB_GGUF_F32 || key->type == GAB_GGUF_F64)
        snprintf(value, sizeof value, " and value %g", key->value.number);
    else if (key->type == GAB_GGUF_STRING) {
        gab_reader_show(shown, sizeof shown, key->value.string.text);
        snprintf(value, sizeof value, " and value \"%s\"", shown);
    } else
        snprintf(value, sizeof value, " of %" PRIu64 " elements", key->value.array.n);
    return gab_fail(log, GAB_ERROR_FORMAT, "%s: key '%s' has type %s%s, needed is %s: convert the model again", path,
                    name, gab_gguf_value_types[key->type].name, value, needed);
}

gab_status gab_gguf_require_u32(const gab_gguf *gguf, const char *key, const gab_log *log, uint32_t *value) {
    return gab_gguf_get_u32(gguf, key, value) ? GAB_OK
                                              : require_fail(gguf, key, "an integer from 0 to 4294967295", log);
}

gab_status gab_gguf_require_f32(const gab_gguf *gguf, const char *key, const gab_log *log, float *value) {
    return gab_gguf_get_f32(gguf, key, value) ? GAB_OK : require_fail(gguf, key, "a floating-point number", log);
}

gab_status gab_gguf_require_string(const gab_gguf *gguf, const char *key, const gab_log *log, gab_gguf_string *value) {
    return gab_gguf_get_string(gguf, key, value) ? GAB_OK : require_fail(gguf, key, "a string", log);
}

/* The array under a name when its elements are of this type (I32 stands for every integer type). */
static const void *array_find(const gab_gguf *gguf, const char *name, gab_gguf_type type, uint64_t *n) {
    const gab_gguf_key *key = gab_gguf_key_find(gguf, name);
    if (!key || key->type != GAB_GGUF_ARRAY) return NULL;
    const gab_gguf_array *array = &key->value.array;
    const bool integers = gab_gguf_value_types[array->type].is_integer || array->type == GAB_GGUF_BOOL;
    if (type == GAB_GGUF_I32 ? !integers : array->type != type) return NULL;
    if (array->items) *n = array->n;
    return array->items;
}

bool gab_gguf_get_strings(const gab_gguf *gguf, const char *key, const gab_gguf_string **items, uint64_t *n) {
    const gab_gguf_string *found = array_find(gguf, key, GAB_GGUF_STRING, n);
    if (found) *items = found;
    return found != NULL;
}

bool gab_gguf_get_f32s(const gab_gguf *gguf, const char *key, const float **items, uint64_t *n) {
    const float *found = array_find(gguf, key, GAB_GGUF_F32, n);
    if (found) *items = found;
    return found != NULL;
}

bool gab_gguf_get_i32s(const gab_gguf *gguf, const char *key, const int32_t **items, uint64_t *n) {
    const int32_t *found = array_find(gguf, key, GAB_GGUF_I32, n);
    if (found) *items = found;
    return found != NULL;
}

uint64_t gab_gguf_n_tensor(const gab_gguf *gguf) {
    return gguf->n_tensor;
}

const gab_gguf_tensor *gab_gguf_tensor_at(const gab_gguf *gguf, uint64_t i) {
    return &gguf->tensors[i];
}

const gab_gguf_tensor *gab_gguf_tensor_find(const gab_gguf *gguf, const char *name) {
    return index_find(gguf->tensor_index, gguf->n_tensor, name);
}
