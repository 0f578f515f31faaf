/*
 * fuzz_safetensors.c - libFuzzer harness of the safetensors reader: opens the bytes as a file and looks at every
 * tensor; aborts when an opened file breaks a promise of safetensors.h. tests/format_safetensors.c replays the corpus,
 * and its own damaged files, through it without libFuzzer.
 *
 *     build/fuzz_safetensors tests/fuzz/corpus_safetensors -max_len=4096 -malloc_limit_mb=64
 */
#include "format/safetensors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    gab_safetensors *s = NULL;
    const char *path = fuzz_file(data, size);
    if (gab_safetensors_open(path, NULL, &s) != GAB_OK) {
        PROMISE(!s && strncmp(gab_last_error(), path, strlen(path)) == 0);
        return 0;
    }
    const uint64_t n = gab_safetensors_n(s);
    uint64_t end = size;
    for (uint64_t i = n; i-- > 0;) {
        const gab_safetensor *t = gab_safetensors_at(s, i);
        uint64_t n_element = 1;
        PROMISE(t->name[0] && strlen(t->name) < size && t->type[0] && t->n_dim <= GAB_SAFETENSOR_DIM_MAX);
        for (uint32_t d = 0; d < t->n_dim; d++) n_element *= t->shape[d];
        PROMISE(n_element == t->n_element && t->bytes * 8 == t->n_element * t->n_bit);
        PROMISE(t->offset + t->bytes == end && t->offset >= 8); /* each reaches to the next, the last to the end */
        end = t->offset;
    }
    PROMISE(gab_file_size(gab_safetensors_file(s)) == size);
    gab_safetensors_close(&s);
    PROMISE(!s);
    return 0;
}
