/*
 * gguf.h - what the files of a model hold: metadata and tensors, under the names and in the order that GGUF gives them.
 * Bytes and names only, no knowledge of models.
 *
 * A gab_gguf comes from a GGUF file (v2, v3) or from all the files of one that was split (gguf_split.c), and these
 * names are the program's own: whatever reads another container (model/folder.h) makes a gab_gguf that says the same
 * (gguf_make.h). What binds weights or reads metadata sees no difference. Format:
 * https://github.com/ggml-org/ggml/blob/master/docs/gguf.md (little-endian; big-endian files are refused).
 *
 * Opening checks everything once: magic, version, counts against the file's size, every string and array length, value
 * types, unique keys and tensor names, tensor dimensions (1 to 4, none zero, no overflow), known or unknown type
 * numbers, row length a multiple of the block size, alignment (a power of two, general.alignment), every tensor's bytes
 * inside the file. Errors name the file, the field and the value. Memory used is bounded by the size of the file. After
 * that nothing is checked again.
 */
#ifndef GAB_FORMAT_GGUF_H
#define GAB_FORMAT_GGUF_H

#include "base/file.h"
#include "tensor/dtype.h"

typedef struct gab_gguf gab_gguf;

/* GGUF's value types, by their numbers in the file. */
typedef enum gab_gguf_type {
    GAB_GGUF_U8,
    GAB_GGUF_I8,
    GAB_GGUF_U16,
    GAB_GGUF_I16,
    GAB_GGUF_U32,
    GAB_GGUF_I32,
    GAB_GGUF_F32,
    GAB_GGUF_BOOL,
    GAB_GGUF_STRING,
    GAB_GGUF_ARRAY,
    GAB_GGUF_U64,
    GAB_GGUF_I64,
    GAB_GGUF_F64
} gab_gguf_type;

typedef struct gab_gguf_tensor {
    const char *name;      /* zero-terminated */
    uint32_t n_dim;        /* 1..4 */
    uint64_t shape[4];     /* GGUF order: shape[0] is the row length (the fastest); unused ones are 1 */
    uint32_t gguf_type;    /* type number in a GGUF file */
    const char *type_name; /* "Q5_K", known or not */
    bool known;            /* `type` is valid; unknown types can be listed but not loaded */
    gab_dtype type;
    uint64_t n_row;     /* product of shape[1..3] */
    uint64_t row_bytes; /* of rows as gab_gguf_read_rows gives them; 0 when not known */
    const gab_file *file;
    uint64_t offset; /* of the first row, from the start of the file */
    uint64_t bytes;  /* n_row * row_bytes; 0 when not known */
    const struct gab_gguf_layout
        *layout; /* how rows come from the file (gguf_make.h); NULL: they lie there as they are */
} gab_gguf_tensor;

/* A string in the file's metadata: bytes, any of them, zero-terminated besides. */
typedef struct gab_gguf_string {
    const char *text;
    uint64_t n_byte;
} gab_gguf_string;

/* Opens a GGUF file; of one that was split (split.count above 1, PREFIX-00001-of-0000N.gguf), whichever part the path
 * names, all. Experts that have a tensor each, as in files of early 2024, are one tensor here (gguf_stack.c). *gguf is
 * NULL before, and on failure. */
gab_status gab_gguf_open(const char *path, const gab_log *log, gab_gguf **gguf);
/* One open file alone, which goes with the gguf, also when this fails. */
gab_status gab_gguf_open_file(gab_file *file, const gab_log *log, gab_gguf **gguf);
void gab_gguf_close(gab_gguf **gguf);

const char *gab_gguf_path(const gab_gguf *gguf); /* as it was opened: a file or a folder */
uint32_t gab_gguf_version(const gab_gguf *gguf); /* of the container; 0: it is not GGUF */

/* The files of the weights, the first one first; i < n_file. */
uint32_t gab_gguf_n_file(const gab_gguf *gguf);
const gab_file *gab_gguf_file_at(const gab_gguf *gguf, uint32_t i);
/* Fails when one of them is no longer what it was when it was opened. */
gab_status gab_gguf_check_unchanged(const gab_gguf *gguf, const gab_log *log);

/* Rows first..first + n - 1 of a tensor of known type, n * row_bytes bytes. From several threads at once. */
gab_status gab_gguf_read_rows(const gab_gguf_tensor *tensor, uint64_t first, uint64_t n, void *rows,
                              const gab_log *log);

/* The keys in file order, for listings; i < n_key. */
uint64_t gab_gguf_n_key(const gab_gguf *gguf);
const char *gab_gguf_key_at(const gab_gguf *gguf, uint64_t i, gab_gguf_type *type);

/* Optional scalars: false when the key is missing. Integers of any width convert when the value fits; a key of another
 * type or an out-of-range value reads as missing here, and as an error in the require forms, which name key, type and
 * value. */
bool gab_gguf_get_u32(const gab_gguf *gguf, const char *key, uint32_t *value);
bool gab_gguf_get_f32(const gab_gguf *gguf, const char *key, float *value);
bool gab_gguf_get_bool(const gab_gguf *gguf, const char *key, bool *value);
bool gab_gguf_get_string(const gab_gguf *gguf, const char *key, gab_gguf_string *value);
gab_status gab_gguf_require_u32(const gab_gguf *gguf, const char *key, const gab_log *log, uint32_t *value);
gab_status gab_gguf_require_f32(const gab_gguf *gguf, const char *key, const gab_log *log, float *value);
gab_status gab_gguf_require_string(const gab_gguf *gguf, const char *key, const gab_log *log, gab_gguf_string *value);

/* Arrays: the element count, or false when missing or of another element type. Strings are owned by the gguf. i32
 * arrays may be stored as any integer type whose values fit, or as BOOL. */
bool gab_gguf_get_strings(const gab_gguf *gguf, const char *key, const gab_gguf_string **items, uint64_t *n);
bool gab_gguf_get_f32s(const gab_gguf *gguf, const char *key, const float **items, uint64_t *n);
bool gab_gguf_get_i32s(const gab_gguf *gguf, const char *key, const int32_t **items, uint64_t *n);

uint64_t gab_gguf_n_tensor(const gab_gguf *gguf);
const gab_gguf_tensor *gab_gguf_tensor_at(const gab_gguf *gguf, uint64_t i);
const gab_gguf_tensor *gab_gguf_tensor_find(const gab_gguf *gguf, const char *name); /* NULL: none */

#endif
