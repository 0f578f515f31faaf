#include "format/safetensors.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "format/json.h"
#include "format/reader.h"

enum { HEADER_BYTES_MAX = 100000000, LENGTH_BYTES = 8, NAME_BYTES_MAX = 1024 };

struct gab_safetensors {
    gab_file *file; /* NULL: taken */
    gab_arena arena;
    gab_safetensor *tensors; /* by offset */
    uint64_t n_tensor;
};

/* What is being read, for messages. */
typedef struct reading {
    const char *path;
    const gab_log *log;
    uint64_t data_start, data_bytes;
} reading;

static const struct {
    const char *name;
    uint32_t n_bit;
} types[] = {
    {"F64", 64}, {"F32", 32}, {"F16", 16},    {"BF16", 16},   {"F8_E4M3", 8}, {"F8_E5M2", 8}, {"F8_E8M0", 8},
    {"I64", 64}, {"I32", 32}, {"I16", 16},    {"I8", 8},      {"U64", 64},    {"U32", 32},    {"U16", 16},
    {"U8", 8},   {"BOOL", 8}, {"F6_E2M3", 6}, {"F6_E3M2", 6}, {"F4", 4},      {"C64", 64},
};

GAB_PRINTF(4, 5)
static gab_status entry_fail(const reading *r, const char *name, const char *field, const char *format, ...) {
    char problem[GAB_MESSAGE_MAX / 2], shown[65];
    va_list args;
    va_start(args, format);
    vsnprintf(problem, sizeof problem, format, args);
    va_end(args);
    gab_reader_show(shown, sizeof shown, name);
    return gab_fail(r->log, GAB_ERROR_FORMAT, "%s: tensor '%s': %s %s: the file is damaged, download or copy it again",
                    r->path, shown, field, problem);
}
#ifdef __clang_analyzer__ /* it cannot see that the result is never GAB_OK */
#define entry_fail(r, name, field, ...) ((void)entry_fail(r, name, field, __VA_ARGS__), GAB_ERROR_FORMAT)
#endif

/* ---- one tensor ---- */

static gab_status read_type(const reading *r, const cJSON *entry, gab_safetensor *t) {
    const cJSON *type = cJSON_GetObjectItemCaseSensitive(entry, "dtype");
    if (!cJSON_IsString(type)) return entry_fail(r, t->name, "dtype", "is missing or no text");
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (strcmp(types[i].name, type->valuestring) == 0) {
            snprintf(t->type, sizeof t->type, "%s", types[i].name);
            t->n_bit = types[i].n_bit;
            return GAB_OK;
        }
    char shown[25];
    gab_reader_show(shown, sizeof shown, type->valuestring);
    return entry_fail(r, t->name, "dtype", "is '%s', which the format does not define", shown);
}

static gab_status read_shape(const reading *r, const cJSON *entry, gab_safetensor *t) {
    const cJSON *shape = cJSON_GetObjectItemCaseSensitive(entry, "shape"), *item;
    if (!cJSON_IsArray(shape)) return entry_fail(r, t->name, "shape", "is missing or no list");
    t->n_element = 1;
    cJSON_ArrayForEach(item, shape) {
        uint64_t n = 0;
        if (t->n_dim == GAB_SAFETENSOR_DIM_MAX)
            return entry_fail(r, t->name, "shape", "has more than %d dimensions", GAB_SAFETENSOR_DIM_MAX);
        if (!gab_json_u64(item, &n))
            return entry_fail(r, t->name, "shape", "holds what is no whole number in dimension %" PRIu32, t->n_dim);
        /* no product of bits reaches 2^64, also where another dimension is 0 */
        if (n != 0 && t->n_element > INT64_MAX / 64 / n)
            return entry_fail(r, t->name, "shape", "is of more elements than any file has");
        t->shape[t->n_dim++] = n;
        t->n_element *= n;
    }
    return GAB_OK;
}

static gab_status read_place(const reading *r, const cJSON *entry, gab_safetensor *t) {
    const cJSON *offsets = cJSON_GetObjectItemCaseSensitive(entry, "data_offsets");
    uint64_t begin = 0, end = 0;
    if (!cJSON_IsArray(offsets) || cJSON_GetArraySize(offsets) != 2 ||
        !gab_json_u64(cJSON_GetArrayItem(offsets, 0), &begin) || !gab_json_u64(cJSON_GetArrayItem(offsets, 1), &end))
        return entry_fail(r, t->name, "data_offsets", "is missing or no list of two whole numbers");
    if (begin > end || end > r->data_bytes)
        return entry_fail(r, t->name, "data_offsets",
                          "is %" PRIu64 " to %" PRIu64 ", but the file has %" PRIu64 " bytes of data", begin, end,
                          r->data_bytes);
    const uint64_t n_bit = t->n_element * t->n_bit;
    if (n_bit % 8 != 0 || n_bit / 8 != end - begin)
        return entry_fail(r, t->name, "data_offsets",
                          "is %" PRIu64 " to %" PRIu64 ", but %" PRIu64 " elements of %s take %" PRIu64 " bytes", begin,
                          end, t->n_element, t->type, (n_bit + 7) / 8);
    t->offset = r->data_start + begin;
    t->bytes = end - begin;
    return GAB_OK;
}

static gab_status read_entry(const reading *r, const cJSON *entry, gab_arena *arena, gab_safetensor *t) {
    const size_t n = strlen(entry->string);
    t->name = gab_arena_copy_text(arena, entry->string, n);
    if (!t->name) return gab_fail(r->log, GAB_ERROR_HOST_MEMORY, "%s: out of host memory for its header", r->path);
    if (n == 0 || n > NAME_BYTES_MAX)
        return entry_fail(r, t->name, "name", "has %zu bytes, possible are 1 to %d", n, NAME_BYTES_MAX);
    if (!cJSON_IsObject(entry)) return entry_fail(r, t->name, "entry", "is no object");
    GAB_TRY(read_type(r, entry, t));
    GAB_TRY(read_shape(r, entry, t));
    return read_place(r, entry, t);
}

/* ---- all of them ---- */

static int compare_places(const void *a, const void *b) {
    const gab_safetensor *s = a, *t = b;
    if (s->offset != t->offset) return s->offset < t->offset ? -1 : 1;
    return s->bytes < t->bytes ? -1 : s->bytes > t->bytes;
}

static int compare_names(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Sorted by place they must follow each other from the first byte of data to the last. */
static gab_status check_cover(const reading *r, gab_safetensors *s) {
    uint64_t end = r->data_start;
    qsort(s->tensors, (size_t)s->n_tensor, sizeof *s->tensors, compare_places);
    for (uint64_t i = 0; i < s->n_tensor; i++) {
        const gab_safetensor *t = &s->tensors[i];
        if (t->offset != end)
            return entry_fail(r, t->name, "data_offsets",
                              "begins at byte %" PRIu64 " of the data, the tensor before it ends at %" PRIu64,
                              t->offset - r->data_start, end - r->data_start);
        end += t->bytes;
    }
    if (end == r->data_start + r->data_bytes) return GAB_OK;
    return gab_fail(r->log, GAB_ERROR_FORMAT,
                    "%s: its tensors end at byte %" PRIu64 ", the file at %" PRIu64
                    ": the file is damaged, download or copy it again",
                    r->path, end, r->data_start + r->data_bytes);
}

static gab_status check_names(const reading *r, const gab_safetensors *s) {
    const char **names = malloc((size_t)(s->n_tensor + 1) * sizeof *names);
    if (!names) return gab_fail(r->log, GAB_ERROR_HOST_MEMORY, "%s: out of host memory for its header", r->path);
    gab_status status = GAB_OK;
    for (uint64_t i = 0; i < s->n_tensor; i++) names[i] = s->tensors[i].name;
    qsort(names, (size_t)s->n_tensor, sizeof *names, compare_names);
    for (uint64_t i = 1; i < s->n_tensor && status == GAB_OK; i++)
        if (strcmp(names[i - 1], names[i]) == 0) status = entry_fail(r, names[i], "name", "is there twice");
    free(names);
    return status;
}

static gab_status read_header(const reading *r, const cJSON *header, gab_safetensors *s) {
    const cJSON *entry;
    uint64_t n = 0;
    cJSON_ArrayForEach(entry, header) n++;
    s->tensors = gab_arena_alloc(&s->arena, (size_t)n + 1, sizeof *s->tensors);
    if (!s->tensors) return gab_fail(r->log, GAB_ERROR_HOST_MEMORY, "%s: out of host memory for its header", r->path);
    cJSON_ArrayForEach(entry, header) {
        if (strcmp(entry->string, "__metadata__") == 0) continue; /* of the writer, for people */
        GAB_TRY(read_entry(r, entry, &s->arena, &s->tensors[s->n_tensor]));
        s->n_tensor++;
    }
    GAB_TRY(check_cover(r, s));
    return check_names(r, s);
}

/* ---- opening ---- */

static gab_status read_length(const gab_file *file, const gab_log *log, uint64_t *n) {
    unsigned char raw[LENGTH_BYTES];
    const char *path = gab_file_path(file);
    const uint64_t size = gab_file_size(file);
    if (size < LENGTH_BYTES)
        return gab_fail(log, GAB_ERROR_FORMAT,
                        "%s has %" PRIu64 " bytes, too few for a safetensors file: download or copy it again", path,
                        size);
    GAB_TRY(gab_file_read_at(file, 0, raw, sizeof raw, log));
    *n = 0;
    for (int i = 0; i < LENGTH_BYTES; i++) *n |= (uint64_t)raw[i] << 8 * i;
    if (*n > HEADER_BYTES_MAX)
        return gab_fail(log, GAB_ERROR_FORMAT,
                        "%s: header length is %" PRIu64 ", at most %d is possible: this is no safetensors file", path,
                        *n, HEADER_BYTES_MAX);
    if (*n > size - LENGTH_BYTES)
        return gab_fail(log, GAB_ERROR_FORMAT,
                        "%s: header length is %" PRIu64 ", but the file ends at byte %" PRIu64
                        ": it was cut off, download or copy it again",
                        path, *n, size);
    return GAB_OK;
}

static gab_status read_file(gab_safetensors *s, const gab_log *log) {
    uint64_t n = 0;
    GAB_TRY(read_length(s->file, log, &n));
    reading r = {.path = gab_file_path(s->file),
                 .log = log,
                 .data_start = LENGTH_BYTES + n,
                 .data_bytes = gab_file_size(s->file) - LENGTH_BYTES - n};
    cJSON *header = NULL;
    char *text = malloc((size_t)n + 1);
    if (!text) return gab_fail(log, GAB_ERROR_HOST_MEMORY, "%s: out of host memory for its header", r.path);
    gab_status status = gab_file_read_at(s->file, LENGTH_BYTES, text, (size_t)n, log);
    if (status == GAB_OK) status = gab_json_parse(r.path, text, (size_t)n, log, &header);
    if (status == GAB_OK) status = read_header(&r, header, s);
    cJSON_Delete(header);
    free(text);
    return status;
}

gab_status gab_safetensors_open(const char *path, const gab_log *log, gab_safetensors **safetensors) {
    gab_safetensors *s = calloc(1, sizeof *s);
    if (!s) return gab_fail(log, GAB_ERROR_HOST_MEMORY, "out of host memory opening %s", path);
    gab_status status = gab_file_open(path, log, &s->file);
    if (status == GAB_OK) status = read_file(s, log);
    if (status == GAB_OK)
        *safetensors = s;
    else
        gab_safetensors_close(&s);
    return status;
}

void gab_safetensors_close(gab_safetensors **safetensors) {
    if (!safetensors || !*safetensors) return;
    gab_file_close(&(*safetensors)->file);
    gab_arena_free(&(*safetensors)->arena);
    free(*safetensors);
    *safetensors = NULL;
}

const gab_file *gab_safetensors_file(const gab_safetensors *safetensors) {
    return safetensors->file;
}

gab_file *gab_safetensors_take_file(gab_safetensors *safetensors) {
    gab_file *file = safetensors->file;
    safetensors->file = NULL;
    return file;
}

uint64_t gab_safetensors_n(const gab_safetensors *safetensors) {
    return safetensors->n_tensor;
}

const gab_safetensor *gab_safetensors_at(const gab_safetensors *safetensors, uint64_t i) {
    return &safetensors->tensors[i];
}
