/*
 * fuzz_tokenizer_json.c - libFuzzer harness of tokenizer.json: the input up to its first zero byte is one, the rest a
 * text, which is encoded and decoded where the file is good; aborts when a promise is broken.
 * tests/text_tokenizer_json.c replays the corpus through it without libFuzzer.
 *
 *     build/fuzz_tokenizer_json tests/fuzz/corpus_tokenizer_json -max_len=4096
 */
#include "text/vocabulary.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"

static void use(const gab_tokenizer *t, const char *text, size_t n) {
    gab_text_stream *stream;
    PROMISE(gab_text_stream_create(t, &stream) == GAB_OK);
    for (int special = 0; special < 2; special++) {
        int32_t *ids;
        size_t n_id, n_byte;
        gab_status status = gab_tokenizer_encode(t, text, n, special, special, &ids, &n_id);
        PROMISE(status == GAB_OK || status == GAB_ERROR_LIMIT || status == GAB_ERROR_HOST_MEMORY);
        if (status != GAB_OK) continue; /* a pattern that tries too much */
        for (size_t i = 0; i < n_id; i++) {
            PROMISE(ids[i] >= 0 && (uint32_t)ids[i] < gab_tokenizer_n_vocab(t));
            PROMISE(gab_tokenizer_piece(t, ids[i], true, &n_byte));
            gab_text_stream_push(stream, ids[i]);
        }
        gab_tokens_free(&ids);
    }
    gab_text_stream_finish(stream);
    gab_text_stream_destroy(&stream);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const uint8_t *zero = size ? memchr(data, 0, size) : NULL;
    size_t n = zero ? (size_t)(zero - data) : size;
    char *json = malloc(n + 1); /* exactly as long: the sanitizer sees reads beyond it */
    gab_tokenizer *t = NULL;
    PROMISE(json);
    if (n) memcpy(json, data, n);
    json[n] = 0;
    gab_vocabulary v = {.file = "fuzz"};
    gab_status status = gab_vocabulary_finish(&v, gab_vocabulary_read_json_text(&v, json, n), &t);
    free(json);
    PROMISE((status == GAB_OK) == (t != NULL));
    if (t) use(t, zero ? (const char *)zero + 1 : "", zero ? size - n - 1 : 0);
    gab_tokenizer_destroy(&t);
    return 0;
}
