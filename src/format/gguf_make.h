/*
 * gguf_make.h - makes a gab_gguf of what other files hold, so that a model in another container is bound and loaded
 * like one in GGUF: its metadata become GGUF's keys, its tensors get GGUF's names, shapes and order of rows. What
 * differs in the file (a transposed matrix, rows in another order, another type) is said in the tensor's layout and
 * undone where rows are read, so that nothing is converted beforehand and memory stays bounded.
 */
#ifndef GAB_FORMAT_GGUF_MAKE_H
#define GAB_FORMAT_GGUF_MAKE_H

#include "base/arena.h"
#include "format/gguf.h"

/* Where a part of a tensor begins. */
typedef struct gab_gguf_part {
    const gab_file *file;
    uint64_t offset;
} gab_gguf_part;

/* A permutation of rows: row ((i0 * n[1]) + i1) * n[2] + i2 is number first + i0 * step[0] + i1 * step[1] + i2 *
 * step[2] in the file. All zero: the rows are in order. */
typedef struct gab_gguf_order {
    uint64_t n[3], step[3], first;
} gab_gguf_order;

/* How the rows of a tensor come from files. Applied from top to bottom. */
typedef struct gab_gguf_layout {
    const gab_gguf_part *parts; /* [n_part] of n_row / n_part rows each, one behind the other (experts) */
    uint32_t n_part;
    gab_dtype stored;     /* type of the elements in the file: no quantized one where anything below is asked for */
    bool transposed;      /* a part is stored [n_col][rows] */
    gab_gguf_order order; /* of the rows of a part; of a vector's elements */
    float add;            /* to each element */
    bool convert;         /* from `stored` to the tensor's type, which may be a quantized one */
    const gab_gguf_part *mx_scales; /* where the scales of a single part of MXFP4 lie apart, [n_row][n_col / 32] bytes,
                                       and its numbers are in pairs of neighbours, [n_row][n_col / 2]; else NULL */
} gab_gguf_layout;

/* An empty one; path is what messages call it. */
gab_status gab_gguf_new(const char *path, const gab_log *log, gab_gguf **gguf);

/* Lives as long as the gguf; for layouts. */
gab_arena *gab_gguf_arena(gab_gguf *gguf);

/* The file goes with the gguf, also when this fails. */
gab_status gab_gguf_add_file(gab_gguf *gguf, gab_file *file, const gab_log *log);

/* Names, texts and items are copied. Memory that runs out is reported by gab_gguf_finish. */
void gab_gguf_add_u32(gab_gguf *gguf, const char *key, uint32_t value);
void gab_gguf_add_f32(gab_gguf *gguf, const char *key, float value);
void gab_gguf_add_bool(gab_gguf *gguf, const char *key, bool value);
void gab_gguf_add_text(gab_gguf *gguf, const char *key, const char *text);
void gab_gguf_add_i32s(gab_gguf *gguf, const char *key, const int32_t *items, uint64_t n);

/* Zero but for its name, for the caller to fill in before the next call; NULL: out of memory. */
gab_gguf_tensor *gab_gguf_add_tensor(gab_gguf *gguf, const char *name);

/* After the last addition: nothing can be looked up before. Fails on a name that is there twice. */
gab_status gab_gguf_finish(gab_gguf *gguf, const gab_log *log);

/* From now on the rows of the tensor are given in another type: it must be of known type, and its rows a multiple of
 * the new type's block. */
gab_status gab_gguf_convert(gab_gguf *gguf, const gab_gguf_tensor *tensor, gab_dtype type, const gab_log *log);

#endif
