/*
 * gguf.c - what the header of a GGUF file says, checked on the way into the table (gguf_table.h).
 */
#include "format/gguf.h"

#include "format/gguf_make.h"
#include "format/gguf_table.h"
#include "format/reader.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    NAME_BYTES_MAX = 65535,        /* of a key, by the specification; tensor names are shorter */
    KEY_BYTES_MIN = 8 + 1 + 4 + 1, /* length, name, type, value */
    TENSOR_BYTES_MIN = 8 + 1 + 4 + 8 + 4 + 8,
    ALIGNMENT_DEFAULT = 32,
};

/* ---- names and strings ---- */

static gab_status read_string(gab_reader *r, gab_gguf_string *string) {
    GAB_TRY(gab_reader_count(r, "string length", 1, &string->n_byte));
    return gab_reader_text(r, "string", string->n_byte, &string->text);
}

/* The name of a key or tensor: a string that can be looked up. */
static gab_status read_name(gab_reader *r, const char **name) {
    uint64_t n = 0;
    GAB_TRY(gab_reader_count(r, "name length", 1, &n));
    if (n == 0 || n > NAME_BYTES_MAX)
        return gab_reader_fail(r, "name length", "is %" PRIu64 ", possible are 1 to %d: the file is damaged", n,
                               NAME_BYTES_MAX);
    GAB_TRY(gab_reader_text(r, "name", n, name));
    if (memchr(*name, 0, (size_t)n)) return gab_reader_fail(r, "name", "holds a zero byte: the file is damaged");
    return GAB_OK;
}

static gab_status read_type(gab_reader *r, const char *field, gab_gguf_type *type) {
    uint32_t number = 0;
    GAB_TRY(gab_reader_u32(r, field, &number));
    if (number >= GAB_GGUF_N_VALUE_TYPE)
        return gab_reader_fail(r, field, "is %" PRIu32 ", GGUF defines 0 to %d: the file is damaged", number,
                               GAB_GGUF_N_VALUE_TYPE - 1);
    *type = (gab_gguf_type)number;
    return GAB_OK;
}

/* ---- metadata ---- */

/* An integer or bool, signs spread over all 64 bits. */
static gab_status read_integer(gab_reader *r, gab_gguf_type type, uint64_t *bits) {
    uint32_t n_bit = gab_gguf_value_types[type].bytes * 8;
    GAB_TRY(gab_reader_number(r, "value", n_bit / 8, bits));
    if (type == GAB_GGUF_BOOL && *bits > 1)
        return gab_reader_fail(r, "value", "is %" PRIu64 ", a BOOL is 0 or 1: the file is damaged", *bits);
    if (gab_gguf_value_types[type].is_signed && n_bit < 64 && *bits >> (n_bit - 1)) *bits |= UINT64_MAX << n_bit;
    return GAB_OK;
}

static gab_status read_f32(gab_reader *r, float *value) {
    uint32_t bits = 0;
    GAB_TRY(gab_reader_u32(r, "value", &bits));
    memcpy(value, &bits, sizeof *value);
    return GAB_OK;
}

static gab_status read_f64(gab_reader *r, double *value) {
    uint64_t bits = 0;
    GAB_TRY(gab_reader_number(r, "value", 8, &bits));
    memcpy(value, &bits, sizeof *value);
    return GAB_OK;
}

static gab_status read_array_integers(gab_reader *r, gab_gguf_array *array) {
    bool wanted = true;
    int32_t *items = gab_reader_alloc(r, array->n, sizeof *items);
    if (!items) return gab_reader_out_of_memory(r);
    for (r->element = 0; r->element < array->n; r->element++) {
        uint64_t bits = 0;
        GAB_TRY(read_integer(r, array->type, &bits));
        wanted = wanted && gab_gguf_integer_fits(array->type, bits, INT32_MIN, INT32_MAX);
        if (wanted) items[r->element] = (int32_t)bits;
    }
    array->items = wanted ? items : NULL;
    return GAB_OK;
}

static gab_status read_array_strings(gab_reader *r, gab_gguf_array *array) {
    gab_gguf_string *items = gab_reader_alloc(r, array->n, sizeof *items);
    if (!items) return gab_reader_out_of_memory(r);
    for (r->element = 0; r->element < array->n; r->element++) GAB_TRY(read_string(r, &items[r->element]));
    array->items = items;
    return GAB_OK;
}

static gab_status read_array_f32(gab_reader *r, gab_gguf_array *array) {
    float *items = gab_reader_alloc(r, array->n, sizeof *items);
    if (!items) return gab_reader_out_of_memory(r);
    for (r->element = 0; r->element < array->n; r->element++) GAB_TRY(read_f32(r, &items[r->element]));
    array->items = items;
    return GAB_OK;
}

static gab_status read_array(gab_reader *r, gab_gguf_array *array) {
    gab_status status = GAB_OK;
    GAB_TRY(read_type(r, "element type", &array->type));
    if (array->type == GAB_GGUF_ARRAY)
        return gab_reader_fail(r, "element type", "is 9 (ARRAY): arrays of arrays are not supported");
    GAB_TRY(gab_reader_count(r, "element count", gab_gguf_value_types[array->type].bytes, &array->n));
    array->items = NULL;
    r->in_array = true;
    switch (array->type) {
    case GAB_GGUF_STRING: status = read_array_strings(r, array); break;
    case GAB_GGUF_F32: status = read_array_f32(r, array); break;
    case GAB_GGUF_F64: r->pos += array->n * gab_gguf_value_types[GAB_GGUF_F64].bytes; break;
    default: status = read_array_integers(r, array); break;
    }
    r->in_array = false;
    return status;
}

static gab_status read_key(gab_reader *r, uint64_t number, gab_gguf_key *key) {
    float number_f32 = 0;
    gab_reader_enter(r, "key", number, NULL);
    GAB_TRY(read_name(r, &key->name));
    gab_reader_enter(r, "key", number, key->name);
    GAB_TRY(read_type(r, "value type", &key->type));
    switch (key->type) {
    case GAB_GGUF_STRING: return read_string(r, &key->value.string);
    case GAB_GGUF_ARRAY: return read_array(r, &key->value.array);
    case GAB_GGUF_F64: return read_f64(r, &key->value.number);
    case GAB_GGUF_F32:
        GAB_TRY(read_f32(r, &number_f32));
        key->value.number = (double)number_f32;
        return GAB_OK;
    default: return read_integer(r, key->type, &key->value.bits);
    }
}

/* Sorts the names of n entries of `stride` bytes; one that is there twice is an error. */
static gab_status index_entries(gab_reader *r, const char *kind, const void *entries, uint64_t n, size_t stride,
                                gab_gguf_name **index) {
    const char *twice = NULL;
    r->entry[0] = 0;
    *index = gab_gguf_index_make(r->arena, entries, n, stride, &twice);
    if (!*index) return gab_reader_out_of_memory(r);
    if (!twice) return GAB_OK;
    gab_reader_enter(r, kind, 0, twice);
    return gab_reader_fail(r, "name", "is there twice: the file is damaged or was written wrongly, convert it again");
}

/* ---- tensors ---- */

static gab_status read_tensor(gab_reader *r, uint64_t number, gab_gguf_tensor *tensor) {
    uint64_t n_weight = 1;
    gab_reader_enter(r, "tensor", number, NULL);
    GAB_TRY(read_name(r, &tensor->name));
    gab_reader_enter(r, "tensor", number, tensor->name);
    GAB_TRY(gab_reader_u32(r, "n_dim", &tensor->n_dim));
    if (tensor->n_dim < 1 || tensor->n_dim > 4)
        return gab_reader_fail(r, "n_dim", "is %" PRIu32 ", possible are 1 to 4: the file is damaged", tensor->n_dim);
    for (uint32_t d = 0; d < 4; d++) {
        char field[] = "shape[0]";
        field[6] = (char)('0' + d);
        tensor->shape[d] = 1;
        if (d < tensor->n_dim) GAB_TRY(gab_reader_number(r, field, 8, &tensor->shape[d]));
        if (tensor->shape[d] == 0 || tensor->shape[d] > INT64_MAX / n_weight)
            return gab_reader_fail(r, field,
                                   "is %" PRIu64
                                   ", but a dimension is at least 1 and a tensor below 2^63 weights: the file "
                                   "is damaged",
                                   tensor->shape[d]);
        n_weight *= tensor->shape[d];
    }
    GAB_TRY(gab_reader_u32(r, "type", &tensor->gguf_type));
    tensor->type_name = gab_dtype_gguf_name(tensor->gguf_type);
    if (!tensor->type_name)
        return gab_reader_fail(r, "type",
                               "is %" PRIu32
                               ", a number that GGUF does not define: the file is damaged or newer than this "
                               "program",
                               tensor->gguf_type);
    tensor->known = gab_dtype_from_gguf(tensor->gguf_type, &tensor->type);
    tensor->n_row = n_weight / tensor->shape[0];
    return gab_reader_number(r, "offset", 8, &tensor->offset);
}

/* From an offset in the data to one in the file; the bytes must be there. */
static gab_status place_tensor(gab_reader *r, uint64_t data_start, uint64_t alignment, gab_gguf_tensor *tensor) {
    const uint64_t *shape = tensor->shape;
    const char *type = tensor->type_name;
    gab_reader_enter(r, "tensor", 0, tensor->name);
    tensor->file = r->file;
    if (tensor->offset % alignment != 0)
        return gab_reader_fail(r, "offset",
                               "is %" PRIu64 ", not a multiple of general.alignment (%" PRIu64 "): the file is damaged",
                               tensor->offset, alignment);
    if (tensor->offset > r->size - data_start)
        return gab_reader_fail(r, "offset",
                               "is %" PRIu64 " from byte %" PRIu64 ", but the file ends at byte %" PRIu64
                               ": it was cut off, download or copy it again",
                               tensor->offset, data_start, r->size);
    tensor->offset += data_start;
    if (!tensor->known) return GAB_OK;
    uint32_t block_size = gab_dtype_get(tensor->type)->block_size;
    if (shape[0] % block_size != 0)
        return gab_reader_fail(r, "shape[0]",
                               "is %" PRIu64 ", but rows of type %s are multiples of %" PRIu32 ": the file is damaged",
                               shape[0], type, block_size);
    if (!gab_dtype_row_bytes(tensor->type, shape[0], &tensor->row_bytes) ||
        tensor->n_row > (r->size - tensor->offset) / tensor->row_bytes)
        return gab_reader_fail(r, "shape",
                               "[%" PRIu64 ", %" PRIu64 ", %" PRIu64 ", %" PRIu64 "] of type %s at offset %" PRIu64
                               " reaches beyond the file, which ends at byte %" PRIu64
                               ": it was cut off, download or copy it again",
                               shape[0], shape[1], shape[2], shape[3], type, tensor->offset, r->size);
    tensor->bytes = tensor->n_row * tensor->row_bytes;
    return GAB_OK;
}

static gab_status find_data(gab_reader *r, const gab_gguf *gguf, uint64_t *alignment, uint64_t *data_start) {
    const gab_gguf_key *key = gab_gguf_key_find(gguf, "general.alignment");
    uint32_t value = ALIGNMENT_DEFAULT;
    r->entry[0] = 0;
    if (key && !gab_gguf_get_u32(gguf, key->name, &value))
        return gab_reader_fail(r, key->name, "has type %s or is out of range, a U32 is needed: convert the file again",
                               gab_gguf_value_types[key->type].name);
    if (value == 0 || (value & (value - 1)) != 0)
        return gab_reader_fail(r, "general.alignment",
                               "is %" PRIu32 ", a power of two is needed: convert the file again", value);
    *alignment = value;
    *data_start = (r->pos + value - 1) / value * value;
    if (gguf->n_tensor > 0 && *data_start > r->size)
        return gab_reader_fail(r, "general.alignment",
                               "is %" PRIu32 ", so that tensor data would begin at byte %" PRIu64
                               ", but the file ends at byte %" PRIu64 ": it was cut off, download or copy it again",
                               value, *data_start, r->size);
    return GAB_OK;
}

/* ---- opening ---- */

static gab_status read_start(gab_reader *r, gab_gguf *gguf) {
    char magic[4];
    GAB_TRY(gab_reader_take(r, "magic", magic, sizeof magic));
    if (memcmp(magic, "GGUF", 4) != 0)
        return gab_reader_fail(r, "magic", "is not 'GGUF': this is no GGUF file, name a model file (.gguf)");
    GAB_TRY(gab_reader_u32(r, "version", &gguf->version));
    if (gguf->version == 0x02000000 || gguf->version == 0x03000000)
        return gab_reader_fail(r, "version", "is byte-swapped: big-endian files are not supported, convert it again");
    if (gguf->version != 2 && gguf->version != 3)
        return gab_reader_fail(r, "version", "is %" PRIu32 ", supported are 2 and 3: convert the file again",
                               gguf->version);
    GAB_TRY(gab_reader_count(r, "tensor count", TENSOR_BYTES_MIN, &gguf->n_tensor));
    return gab_reader_count(r, "key count", KEY_BYTES_MIN, &gguf->n_key);
}

static gab_status read_header(gab_reader *r, gab_gguf *gguf) {
    uint64_t alignment = 0, data_start = 0;
    GAB_TRY(read_start(r, gguf));
    gguf->n_key_max = gguf->n_key;
    gguf->n_tensor_max = gguf->n_tensor;
    gguf->keys = gab_reader_alloc(r, gguf->n_key, sizeof *gguf->keys);
    gguf->tensors = gab_reader_alloc(r, gguf->n_tensor, sizeof *gguf->tensors);
    if (!gguf->keys || !gguf->tensors) return gab_reader_out_of_memory(r);
    for (uint64_t i = 0; i < gguf->n_key; i++) GAB_TRY(read_key(r, i, &gguf->keys[i]));
    GAB_TRY(index_entries(r, "key", gguf->keys, gguf->n_key, sizeof *gguf->keys, &gguf->key_index));
    for (uint64_t i = 0; i < gguf->n_tensor; i++) GAB_TRY(read_tensor(r, i, &gguf->tensors[i]));
    GAB_TRY(index_entries(r, "tensor", gguf->tensors, gguf->n_tensor, sizeof *gguf->tensors, &gguf->tensor_index));
    GAB_TRY(find_data(r, gguf, &alignment, &data_start));
    for (uint64_t i = 0; i < gguf->n_tensor; i++) GAB_TRY(place_tensor(r, data_start, alignment, &gguf->tensors[i]));
    return GAB_OK;
}

gab_status gab_gguf_open_file(gab_file *file, const gab_log *log, gab_gguf **gguf) {
    gab_status status = GAB_ERROR_HOST_MEMORY;
    gab_gguf *g = NULL;
    gab_reader *r = calloc(1, sizeof *r);
    if (!r) {
        gab_fail(log, status, "out of host memory opening %s", gab_file_path(file));
        gab_file_close(&file);
        return status;
    }
    r->file = file;
    r->log = log;
    r->size = gab_file_size(file);
    status = gab_gguf_new(gab_file_path(file), log, &g);
    if (status != GAB_OK)
        gab_file_close(&file);
    else
        status = gab_gguf_add_file(g, file, log);
    if (status == GAB_OK) {
        r->arena = &g->arena;
        status = read_header(r, g);
    }
    free(r);
    if (status == GAB_OK)
        *gguf = g;
    else
        gab_gguf_close(&g);
    return status;
}
