/*
 * gguf_rows.c - reads rows of a tensor, and undoes on the way what its layout says: parts, transposition, order of
 * rows, type. Only what is asked for is read, by positioned reads.
 */
#include <stdlib.h>
#include <string.h>

#include "format/gguf_make.h"
#include "tensor/quant.h"

/* Rows of a tensor as they lie in its files. */
typedef struct stored_rows {
    const gab_gguf_tensor *tensor;
    const gab_gguf_layout *layout;
    uint64_t n_row;     /* of a part */
    uint64_t row_bytes; /* in the file */
    const gab_log *log;
} stored_rows;

static gab_status out_of_memory(const gab_gguf_tensor *t, const gab_log *log) {
    return gab_fail(log, GAB_ERROR_HOST_MEMORY, "out of host memory reading '%s' of %s", t->name,
                    gab_file_path(t->file));
}

/* ---- as stored ---- */

/* Where in a part the i-th unit of the tensor's order lies. */
static uint64_t place_of(const gab_gguf_order *o, uint64_t i) {
    if (o->n[0] == 0) return i;
    return o->first + i / (o->n[1] * o->n[2]) * o->step[0] + i / o->n[2] % o->n[1] * o->step[1] +
           i % o->n[2] * o->step[2];
}

/* n units of unit_bytes each, a read for each run of those that follow each other in the file. */
static gab_status read_units(const stored_rows *s, const gab_gguf_part *part, uint64_t unit_bytes, uint64_t first,
                             uint64_t n, char *out) {
    const gab_gguf_order *order = &s->layout->order;
    for (uint64_t i = 0, run; i < n; i += run) {
        const uint64_t place = place_of(order, first + i);
        for (run = 1; i + run < n && place_of(order, first + i + run) == place + run;) run++;
        GAB_TRY(gab_file_read_at(part->file, part->offset + place * unit_bytes, out + i * unit_bytes,
                                 (size_t)(run * unit_bytes), s->log));
    }
    return GAB_OK;
}

static void put_column(char *out, uint64_t row_bytes, const char *column, uint64_t n, uint64_t bytes) {
    if (bytes == 2) /* the common sizes, for the compiler to unroll */
        for (uint64_t i = 0; i < n; i++) memcpy(out + i * row_bytes, column + i * 2, 2);
    else
        for (uint64_t i = 0; i < n; i++) memcpy(out + i * row_bytes, column + i * 4, 4);
}

/* Columns first..first + n - 1 of [n_col][n_row], which are our rows. All of them are read at once, else a strip of
 * each stored row. */
static gab_status read_transposed(const stored_rows *s, const gab_gguf_part *part, uint64_t first, uint64_t n,
                                  char *out) {
    enum { BUFFER_BYTES = 256 * 1024 };
    const uint64_t n_col = s->tensor->shape[0], bytes = s->row_bytes / n_col;
    const uint64_t strip = n * bytes, step = s->n_row * bytes;
    const bool whole = n == s->n_row;
    const uint64_t at_once = whole && strip < BUFFER_BYTES ? BUFFER_BYTES / strip : 1;
    char *buffer = malloc((size_t)(strip * at_once));
    gab_status status = buffer ? GAB_OK : out_of_memory(s->tensor, s->log);
    for (uint64_t c = 0; c < n_col && status == GAB_OK; c += at_once) {
        const uint64_t n_strip = n_col - c < at_once ? n_col - c : at_once;
        status = gab_file_read_at(part->file, part->offset + c * step + first * bytes, buffer,
                                  (size_t)(n_strip * strip), s->log);
        for (uint64_t i = 0; i < n_strip && status == GAB_OK; i++)
            put_column(out + (c + i) * bytes, s->row_bytes, buffer + i * strip, n, bytes);
    }
    free(buffer);
    return status;
}

/* Blocks of GGUF's MXFP4, a scale and 16 bytes whose low halves are the first 16 numbers, of scales and numbers that
 * lie apart, two neighbours a byte. */
static gab_status read_mx(const stored_rows *s, const gab_gguf_part *part, uint64_t first, uint64_t n, char *out) {
    enum { BLOCK = 32, HALF = BLOCK / 2 };
    const uint64_t n_block = s->tensor->shape[0] / BLOCK, n_all = n * n_block;
    const gab_gguf_part *scales = s->layout->mx_scales;
    unsigned char *numbers = malloc((size_t)(n_all * HALF)), *scale = malloc((size_t)n_all), *to = (unsigned char *)out;
    gab_status status = numbers && scale ? GAB_OK : out_of_memory(s->tensor, s->log);
    if (status == GAB_OK)
        status = gab_file_read_at(part->file, part->offset + first * n_block * HALF, numbers, (size_t)(n_all * HALF),
                                  s->log);
    if (status == GAB_OK)
        status = gab_file_read_at(scales->file, scales->offset + first * n_block, scale, (size_t)n_all, s->log);
    for (uint64_t b = 0; b < n_all && status == GAB_OK; b++, to += 1 + HALF) {
        const unsigned char *pairs = numbers + b * HALF;
        to[0] = scale[b];
        for (int i = 0; i < HALF; i++) {
            const int low = pairs[i / 2] >> i % 2 * 4 & 15, high = pairs[HALF / 2 + i / 2] >> i % 2 * 4 & 15;
            to[1 + i] = (unsigned char)(low | high << 4);
        }
    }
    free(numbers);
    free(scale);
    return status;
}

/* Rows first..first + n - 1 of one part. */
static gab_status read_part(const stored_rows *s, const gab_gguf_part *part, uint64_t first, uint64_t n, char *out) {
    const uint64_t n_col = s->tensor->shape[0];
    if (s->layout->transposed) return read_transposed(s, part, first, n, out);
    if (s->layout->mx_scales) return read_mx(s, part, first, n, out);
    if (s->tensor->n_dim > 1) return read_units(s, part, s->row_bytes, first, n, out);
    return read_units(s, part, s->row_bytes / n_col, 0, n_col, out);
}

static gab_status read_stored(const stored_rows *s, uint64_t first, uint64_t n, char *out) {
    while (n > 0) {
        const uint64_t row = first % s->n_row, left = s->n_row - row, count = n < left ? n : left;
        GAB_TRY(read_part(s, &s->layout->parts[first / s->n_row], row, count, out));
        out += count * s->row_bytes;
        first += count;
        n -= count;
    }
    return GAB_OK;
}

/* ---- as wanted ---- */

static void convert_row(const gab_gguf_layout *layout, gab_dtype type, const char *stored, uint64_t n, float *values,
                        char *row) {
    gab_dequantize_row(layout->stored, stored, n, values);
    for (uint64_t i = 0; layout->add != 0 && i < n; i++) values[i] += layout->add;
    gab_quantize_row(type, values, n, row);
}

static gab_status read_converted(const stored_rows *s, uint64_t first, uint64_t n, char *rows) {
    const gab_gguf_tensor *t = s->tensor;
    const uint64_t n_col = t->shape[0];
    float *values = malloc((size_t)n_col * sizeof *values);
    char *stored = malloc((size_t)(n * s->row_bytes));
    gab_status status = values && stored ? read_stored(s, first, n, stored) : out_of_memory(t, s->log);
    for (uint64_t i = 0; i < n && status == GAB_OK; i++)
        convert_row(s->layout, t->type, stored + i * s->row_bytes, n_col, values, rows + i * t->row_bytes);
    free(values);
    free(stored);
    return status;
}

gab_status gab_gguf_read_rows(const gab_gguf_tensor *t, uint64_t first, uint64_t n, void *rows, const gab_log *log) {
    const gab_gguf_layout *layout = t->layout;
    if (!layout)
        return gab_file_read_at(t->file, t->offset + first * t->row_bytes, rows, (size_t)(n * t->row_bytes), log);
    stored_rows s = {.tensor = t, .layout = layout, .n_row = t->n_row / layout->n_part, .log = log};
    gab_dtype_row_bytes(layout->stored, t->shape[0], &s.row_bytes);
    return layout->convert ? read_converted(&s, first, n, rows) : read_stored(&s, first, n, rows);
}

gab_status gab_gguf_convert(gab_gguf *gguf, const gab_gguf_tensor *tensor, gab_dtype type, const gab_log *log) {
    gab_arena *arena = gab_gguf_arena(gguf);
    gab_gguf_tensor *t = (gab_gguf_tensor *)tensor; /* one of its own */
    gab_gguf_layout *layout = gab_arena_alloc(arena, 1, sizeof *layout);
    gab_gguf_part *part = gab_arena_alloc(arena, 1, sizeof *part);
    if (!layout || !part) return out_of_memory(t, log);
    *part = (gab_gguf_part){t->file, t->offset};
    if (t->layout)
        *layout = *t->layout;
    else
        *layout = (gab_gguf_layout){.parts = part, .n_part = 1, .stored = t->type};
    layout->convert = true;
    t->layout = layout;
    t->type = type;
    t->gguf_type = gab_dtype_get(type)->gguf_id;
    t->type_name = gab_dtype_get(type)->name;
    gab_dtype_row_bytes(type, t->shape[0], &t->row_bytes);
    t->bytes = t->n_row * t->row_bytes;
    return GAB_OK;
}
