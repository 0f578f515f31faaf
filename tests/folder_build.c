#include "folder_build.h"

#include <inttypes.h>
#include <unistd.h>

#include "tensor/quant.h"
#include "test.h"

struct safetensors_build {
    char *header;
    unsigned char *data;
    size_t n_header, n_data;
};

static void *grow(void *p, size_t size) {
    void *larger = realloc(p, size ? size : 1);
    if (!larger) abort();
    return larger;
}

safetensors_build *safetensors_build_new(void) {
    safetensors_build *b = calloc(1, sizeof *b);
    if (!b) abort();
    return b;
}

void safetensors_build_raw(safetensors_build *b, const char *name, const char *type, uint32_t n_dim,
                           const uint64_t *shape, const void *data, size_t n_byte) {
    b->header = grow(b->header, b->n_header + strlen(name) + 512);
    char *at = b->header + b->n_header;
    at += sprintf(at, "%s\"%s\":{\"dtype\":\"%s\",\"shape\":[", b->n_header ? "," : "", name, type);
    for (uint32_t d = 0; d < n_dim; d++) at += sprintf(at, "%s%" PRIu64, d ? "," : "", shape[d]);
    at += sprintf(at, "],\"data_offsets\":[%zu,%zu]}", b->n_data, b->n_data + n_byte);
    b->n_header = (size_t)(at - b->header);
    b->data = grow(b->data, b->n_data + n_byte);
    if (n_byte) memcpy(b->data + b->n_data, data, n_byte);
    b->n_data += n_byte;
}

/* To the nearest, ties to even; no NaN in tests. */
static uint16_t bf16_of(float f) {
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

void safetensors_build_tensor(safetensors_build *b, const char *name, const char *type, uint32_t n_dim,
                              const uint64_t *shape, const float *values) {
    uint64_t n = 1;
    for (uint32_t d = 0; d < n_dim; d++) n *= shape[d];
    if (strcmp(type, "F32") == 0) {
        safetensors_build_raw(b, name, type, n_dim, shape, values, n * 4);
        return;
    }
    uint16_t *halves = grow(NULL, n * 2);
    for (uint64_t i = 0; i < n; i++)
        halves[i] = strcmp(type, "F16") == 0 ? gab_f32_to_f16(values[i]) : bf16_of(values[i]);
    safetensors_build_raw(b, name, type, n_dim, shape, halves, n * 2);
    free(halves);
}

static unsigned char *put_file(const char *header, size_t n_header, const void *data, size_t n_data, size_t *n_byte) {
    unsigned char *file = grow(NULL, 8 + n_header + n_data);
    const uint64_t length = n_header;
    memcpy(file, &length, 8);
    memcpy(file + 8, header, n_header);
    if (data)
        memcpy(file + 8 + n_header, data, n_data);
    else
        memset(file + 8 + n_header, 0, n_data);
    *n_byte = 8 + n_header + n_data;
    return file;
}

unsigned char *safetensors_build_header(const char *header, size_t n_data, size_t *n_byte) {
    return put_file(header, strlen(header), NULL, n_data, n_byte);
}

unsigned char *safetensors_build_bytes(const safetensors_build *b, size_t *n_byte) {
    char *header = grow(NULL, b->n_header + 64);
    const int n = sprintf(header, "{\"__metadata__\":{\"format\":\"pt\"}%s%.*s}", b->n_header ? "," : "",
                          (int)b->n_header, b->header ? b->header : "");
    unsigned char *file = put_file(header, (size_t)n, b->data, b->n_data, n_byte);
    free(header);
    return file;
}

void safetensors_build_free(safetensors_build **build) {
    if (!*build) return;
    free((*build)->header);
    free((*build)->data);
    free(*build);
    *build = NULL;
}

void safetensors_build_write(safetensors_build **build, const char *folder, const char *name) {
    size_t n = 0;
    unsigned char *file = safetensors_build_bytes(*build, &n);
    gab_test_file_write(folder_build_path(folder, name), file, n);
    free(file);
    safetensors_build_free(build);
}

/* ---- folders ---- */

static char folders[64][128];
static size_t n_folder;

static void remove_folders(void) {
    for (size_t i = 0; i < n_folder; i++) {
        char command[192];
        snprintf(command, sizeof command, "rm -rf '%.127s'", folders[i]);
        if (system(command) != 0) fprintf(stderr, "%s is left behind\n", folders[i]);
    }
}

const char *folder_build_temp(void) {
    const char *base = getenv("TMPDIR");
    if (n_folder == sizeof folders / sizeof *folders) FAIL("too many temporary folders");
    char *path = folders[n_folder];
    snprintf(path, sizeof folders[0], "%s/gabbro-folder-XXXXXX", base && base[0] ? base : "/tmp");
    CHECK(mkdtemp(path));
    if (n_folder++ == 0) atexit(remove_folders);
    return path;
}

const char *folder_build_path(const char *folder, const char *name) {
    static char paths[4][512];
    static unsigned next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

void folder_build_text(const char *folder, const char *name, const char *text) {
    gab_test_file_write(folder_build_path(folder, name), text, strlen(text));
}
