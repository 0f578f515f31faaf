/*
 * safetensors.h - reads the header of a safetensors file: the names, types, shapes and places of its tensors. Bytes and
 * names only. Format: https://github.com/huggingface/safetensors#format (8 bytes length, a JSON object, the data;
 * little-endian).
 *
 * Opening checks everything once: the header's length against the file and the format's limit, its JSON, every name,
 * type and shape, that each tensor takes the bytes that its shape asks for, that the tensors cover the data without a
 * hole or an overlap. Errors name the file, the tensor and the value. After that nothing is checked again.
 */
#ifndef GAB_FORMAT_SAFETENSORS_H
#define GAB_FORMAT_SAFETENSORS_H

#include "base/file.h"

enum { GAB_SAFETENSOR_DIM_MAX = 8 };

typedef struct gab_safetensor {
    const char *name;                       /* zero-terminated */
    char type[12];                          /* as the file names it: "BF16" */
    uint32_t n_bit;                         /* of an element */
    uint32_t n_dim;                         /* 0 for a scalar */
    uint64_t shape[GAB_SAFETENSOR_DIM_MAX]; /* in the file's order: the last one is the fastest */
    uint64_t n_element;                     /* may be 0 */
    uint64_t offset, bytes;                 /* in the file */
} gab_safetensor;

typedef struct gab_safetensors gab_safetensors;

gab_status gab_safetensors_open(const char *path, const gab_log *log, gab_safetensors **safetensors);
void gab_safetensors_close(gab_safetensors **safetensors);

const gab_file *gab_safetensors_file(const gab_safetensors *safetensors);
/* The file to keep when the rest is closed; once. */
gab_file *gab_safetensors_take_file(gab_safetensors *safetensors);

/* In the order of their bytes; i < n. */
uint64_t gab_safetensors_n(const gab_safetensors *safetensors);
const gab_safetensor *gab_safetensors_at(const gab_safetensors *safetensors, uint64_t i);

#endif
