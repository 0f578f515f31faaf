#include "format/reader.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

gab_status(gab_reader_fail)(const gab_reader *r, const char *field, const char *format, ...) {
    char problem[GAB_MESSAGE_MAX / 2], element[40] = "";
    va_list args;
    va_start(args, format);
    vsnprintf(problem, sizeof problem, format, args);
    va_end(args);
    if (r->in_array) snprintf(element, sizeof element, "element %" PRIu64 " ", r->element);
    return gab_fail(r->log, GAB_ERROR_FORMAT, "%s: %s%s%s %s", gab_file_path(r->file), r->entry, element, field,
                    problem);
}

gab_status gab_reader_out_of_memory(const gab_reader *r) {
    return gab_fail(r->log, GAB_ERROR_HOST_MEMORY, "%s: %sdoes not fit host memory: close other programs",
                    gab_file_path(r->file), r->entry);
}

void gab_reader_show(char *out, size_t size, const char *text) {
    snprintf(out, size, "%s", text);
    for (; *out; out++)
        if (*out < 32 || *out > 126) *out = '?';
}

void gab_reader_show_bytes(char *out, size_t size, const char *bytes, size_t n) {
    size_t length = n < size - 1 ? n : size - 1;
    for (size_t i = 0; i < length; i++) out[i] = bytes[i] < 32 || bytes[i] > 126 ? '?' : bytes[i];
    out[length] = 0;
}

void gab_reader_enter(gab_reader *r, const char *kind, uint64_t number, const char *name) {
    char shown[65];
    if (!name) {
        snprintf(r->entry, sizeof r->entry, "%s %" PRIu64 ": ", kind, number);
        return;
    }
    gab_reader_show(shown, sizeof shown, name);
    snprintf(r->entry, sizeof r->entry, "%s '%s': ", kind, shown);
}

void *gab_reader_alloc(gab_reader *r, uint64_t count, size_t size) {
    return count > SIZE_MAX ? NULL : gab_arena_alloc(r->arena, (size_t)count, size);
}

gab_status gab_reader_take(gab_reader *r, const char *field, void *data, uint64_t n) {
    unsigned char *out = data;
    if (n > r->size - r->pos)
        return gab_reader_fail(r, field,
                               "takes %" PRIu64 " bytes from byte %" PRIu64 ", but the file ends at byte %" PRIu64
                               ": it was cut off, download or copy it again",
                               n, r->pos, r->size);
    while (n > 0) {
        uint64_t at = r->pos - r->window_start;
        if (r->pos < r->window_start || at >= r->window_n) {
            at = 0;
            r->window_start = r->pos;
            r->window_n = r->size - r->pos < GAB_READER_WINDOW_BYTES ? r->size - r->pos : GAB_READER_WINDOW_BYTES;
            gab_status status = gab_file_read_at(r->file, r->pos, r->window, (size_t)r->window_n, r->log);
            if (status != GAB_OK) return status;
        }
        uint64_t part = r->window_n - at < n ? r->window_n - at : n;
        memcpy(out, r->window + at, (size_t)part);
        out += part;
        r->pos += part;
        n -= part;
    }
    return GAB_OK;
}

gab_status gab_reader_number(gab_reader *r, const char *field, uint32_t bytes, uint64_t *value) {
    unsigned char raw[8];
    GAB_TRY(gab_reader_take(r, field, raw, bytes));
    *value = 0;
    for (uint32_t i = 0; i < bytes; i++) *value |= (uint64_t)raw[i] << 8 * i;
    return GAB_OK;
}

gab_status gab_reader_u32(gab_reader *r, const char *field, uint32_t *value) {
    uint64_t number = 0;
    GAB_TRY(gab_reader_number(r, field, 4, &number));
    *value = (uint32_t)number;
    return GAB_OK;
}

gab_status gab_reader_count(gab_reader *r, const char *field, uint32_t least, uint64_t *n) {
    GAB_TRY(gab_reader_number(r, field, 8, n));
    uint64_t left = r->size - r->pos;
    if (*n > left / least)
        return gab_reader_fail(r, field,
                               "is %" PRIu64 ", which takes at least %" PRIu32 " bytes each, but only %" PRIu64
                               " bytes are left in the file: it is damaged, download or copy it again",
                               *n, least, left);
    return GAB_OK;
}

gab_status gab_reader_text(gab_reader *r, const char *field, uint64_t n, const char **text) {
    char *copy = gab_reader_alloc(r, n + 1, 1); /* zeroed */
    if (!copy) return gab_reader_out_of_memory(r);
    *text = copy;
    return gab_reader_take(r, field, copy, n);
}
