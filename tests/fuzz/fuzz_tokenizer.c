/*
 * fuzz_tokenizer.c - libFuzzer harness of the tokenizer: any bytes are encoded with the embedded model's vocabulary and
 * decoded again, cut by every family of patterns, and searched for special tokens; aborts when a promise is broken. The
 * first byte chooses, the rest is the text. tests/text_tokenizer.c replays the corpus through it without libFuzzer.
 *
 *     build/fuzz_tokenizer tests/fuzz/corpus_tokenizer -max_len=4096
 */
#include "gabbro.h"
#include "text/families.h"
#include "text/special.h"
#include "base/utf8.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"

static const char *const FAMILIES[] = {"gpt-2",     "starcoder", "falcon",       "deepseek-coder",
                                       "llama-bpe", "gpt-4o",    "deepseek-llm", "deepseek-v3"};
enum { FAMILY_COUNT = sizeof FAMILIES / sizeof *FAMILIES };

static gab_tokenizer *tokenizer;
static gab_pretokenizer *pretokenizers[FAMILY_COUNT][2]; /* interpreted, compiled */

static void setup(void) {
    if (tokenizer) return;
    PROMISE(gab_tokenizer_open(GAB_TEST_SOURCE_DIR "/models/tales.gguf", NULL, NULL, &tokenizer) == GAB_OK);
    for (int f = 0; f < FAMILY_COUNT; f++) {
        const gab_family *family;
        size_t n = 0;
        PROMISE(gab_family_find(FAMILIES[f], "fuzz", NULL, &family) == GAB_OK);
        while (n < GAB_FAMILY_STEP_MAX && family->steps[n].pattern) n++;
        for (int jit = 0; jit < 2; jit++)
            PROMISE(gab_pretokenizer_create(family->steps, n, jit, "fuzz", NULL, &pretokenizers[f][jit]) == GAB_OK);
    }
}

/* ---- words ---- */

typedef struct pieces {
    const char *next;
    uint64_t hash; /* of the lengths */
} pieces;

static bool take_piece(void *user, const char *piece, size_t n) {
    pieces *p = user;
    PROMISE(piece == p->next && n > 0);
    p->next += n;
    p->hash = (p->hash ^ n) * 0x100000001B3u;
    return true;
}

static void cut(const char *text, size_t n, int family) {
    pieces p[2] = {{text, 1}, {text, 1}};
    for (int jit = 0; jit < 2; jit++) {
        PROMISE(gab_pretokenize(pretokenizers[family][jit], text, n, take_piece, &p[jit]) == GAB_OK);
        PROMISE(p[jit].next == text + n);
    }
    PROMISE(p[0].hash == p[1].hash);
}

/* ---- special tokens ---- */

static void find_specials(const char *text, size_t n, bool all) {
    gab_special items[] = {{"<e>", 3, 0, .always = false},
                           {"<e", 2, 1, .always = true},
                           {"<", 1, 2, .always = false},
                           {"e>>", 3, 3, .always = true},
                           {"  ", 2, 4, .always = true}};
    enum { N_ITEM = sizeof items / sizeof *items };
    gab_special_set set = {.items = items, .n = N_ITEM};
    gab_special_set_sort(&set);
    size_t at = 0, end = 0;
    const gab_special *found = gab_special_find(&set, all, text, n, 0, &at, &end);
    PROMISE(!found || end == at + found->n_byte);
    for (size_t i = 0; i < (found ? at + 1 : n); i++) {
        const gab_special *best = NULL;
        for (int k = 0; k < N_ITEM; k++) {
            bool fits = items[k].n_byte <= n - i && memcmp(text + i, items[k].text, items[k].n_byte) == 0;
            if (fits && (all || items[k].always) && (!best || items[k].n_byte > best->n_byte)) best = &items[k];
        }
        PROMISE(found && i == at ? best == found : !best);
    }
}

/* ---- there and back ---- */

/* `shown` is what the stream must make of the bytes. */
static size_t show(const char *text, size_t n, char *shown) {
    size_t out = 0;
    for (size_t i = 0; i < n;) {
        gab_utf8_kind kind;
        size_t length = gab_utf8_next(text + i, n - i, &kind);
        bool whole = kind == GAB_UTF8_CHARACTER && text[i] != 0;
        PROMISE(length >= 1 && length <= n - i);
        memcpy(shown + out, whole ? text + i : GAB_UTF8_REPLACEMENT, whole ? length : 3);
        out += whole ? length : 3;
        i += length;
    }
    return out;
}

static void there_and_back(const char *text, size_t n, bool parse_special) {
    int32_t *ids;
    size_t n_id, at = 0, n_bytes = 0, n_shown = 0, n_piece;
    char *bytes = malloc(n + 1), *shown = malloc(3 * n + 1), *expected = malloc(3 * n + 1);
    gab_text_stream *stream;
    PROMISE(bytes && shown && expected);
    PROMISE(gab_tokenizer_encode(tokenizer, text, n, true, parse_special, &ids, &n_id) == GAB_OK && n_id <= n);
    PROMISE(gab_text_stream_create(tokenizer, &stream) == GAB_OK);
    for (size_t i = 0; i <= n_id; i++) {
        if (i < n_id) {
            const char *piece = gab_tokenizer_piece(tokenizer, ids[i], true, &n_piece);
            PROMISE(piece && n_piece > 0 && n_piece <= n - at && memcmp(piece, text + at, n_piece) == 0);
            at += n_piece;
            piece = gab_tokenizer_piece(tokenizer, ids[i], false, &n_piece);
            memcpy(bytes + n_bytes, piece, n_piece);
            n_bytes += n_piece;
        }
        const char *part = i < n_id ? gab_text_stream_push(stream, ids[i]) : gab_text_stream_finish(stream);
        PROMISE(strlen(part) <= 3 * n - n_shown);
        memcpy(shown + n_shown, part, strlen(part));
        n_shown += strlen(part);
    }
    PROMISE(at == n);
    PROMISE(show(bytes, n_bytes, expected) == n_shown && memcmp(shown, expected, n_shown) == 0);
    gab_text_stream_destroy(&stream);
    gab_tokens_free(&ids);
    free(bytes);
    free(shown);
    free(expected);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0) return 0;
    setup();
    const char *text = (const char *)data + 1;
    cut(text, size - 1, (data[0] % 4 + (data[0] >> 4) % 2 * 4) % FAMILY_COUNT);
    find_specials(text, size - 1, data[0] & 4);
    there_and_back(text, size - 1, data[0] & 8);
    return 0;
}
