/*
 * folder_build.h - writes small Hugging Face folders for tests: safetensors files and texts, in a temporary folder that
 * is removed when the program ends. It aborts on misuse.
 *
 *     const char *folder = folder_build_temp();
 *     safetensors_build *b = safetensors_build_new();
 *     safetensors_build_tensor(b, "wte.weight", "F16", 2, (uint64_t[]){n_vocab, n_embd}, values);
 *     safetensors_build_write(&b, folder, "model.safetensors");
 *     folder_build_text(folder, "config.json", "{...}");
 */
#ifndef GAB_TEST_FOLDER_BUILD_H
#define GAB_TEST_FOLDER_BUILD_H

#include <stddef.h>
#include <stdint.h>

typedef struct safetensors_build safetensors_build;

safetensors_build *safetensors_build_new(void);
/* shape in the order of the file, the fastest last; "F32", "F16" or "BF16", rounded from `values`. */
void safetensors_build_tensor(safetensors_build *build, const char *name, const char *type, uint32_t n_dim,
                              const uint64_t *shape, const float *values);
/* Bytes of any type. */
void safetensors_build_raw(safetensors_build *build, const char *name, const char *type, uint32_t n_dim,
                           const uint64_t *shape, const void *data, size_t n_byte);
/* The file; to be freed. */
unsigned char *safetensors_build_bytes(const safetensors_build *build, size_t *n_byte);
void safetensors_build_free(safetensors_build **build);
/* Into a file of a folder, and frees it. */
void safetensors_build_write(safetensors_build **build, const char *folder, const char *name);

/* A new empty folder; the path lives as long as the program. */
const char *folder_build_temp(void);
void folder_build_text(const char *folder, const char *name, const char *text);
/* folder/name; the last four live. */
const char *folder_build_path(const char *folder, const char *name);

/* A whole file of safetensors from a header and n bytes of data, all zero. */
unsigned char *safetensors_build_header(const char *header, size_t n_data, size_t *n_byte);

#endif
