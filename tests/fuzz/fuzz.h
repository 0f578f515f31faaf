/*
 * fuzz.h - what the libFuzzer harnesses share: how a broken promise is told, and the input as a file.
 */
#ifndef GAB_FUZZ_H
#define GAB_FUZZ_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define PROMISE(condition)                                                                                             \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "%s:%d: broken promise: %s\n", __FILE__, __LINE__, #condition);                            \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

static char fuzz_path[256];

static inline void fuzz_remove_file(void) {
    remove(fuzz_path);
}

/* The path of one temporary file, which is the same for all inputs and holds this one. */
static inline const char *fuzz_file(const uint8_t *data, size_t size) {
    static int fd = -1;
    if (fd < 0) {
        const char *folder = getenv("TMPDIR");
        snprintf(fuzz_path, sizeof fuzz_path, "%s/gabbro-fuzz-XXXXXX", folder && folder[0] ? folder : "/tmp");
        fd = mkstemp(fuzz_path);
        PROMISE(fd >= 0);
        atexit(fuzz_remove_file);
    }
    PROMISE(ftruncate(fd, 0) == 0);
    PROMISE(pwrite(fd, data, size, 0) == (ssize_t)size);
    return fuzz_path;
}

#endif
