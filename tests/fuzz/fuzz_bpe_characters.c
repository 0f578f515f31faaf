/*
 * fuzz_bpe_characters.c - libFuzzer harness of SentencePiece's BPE: a small vocabulary with scores and a text, encoded
 * with and without cutting, by scan and by heap, and by the definition applied literally. Input: the number of tokens,
 * for each its length, its score and its bytes, then the text. tests/text_bpe_characters.c replays the corpus through
 * it without libFuzzer.
 *
 *     build/fuzz_bpe_characters tests/fuzz/corpus_bpe_characters -max_len=512
 */
#include "text/bpe.h"
#include "text/characters.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"

enum { TOKEN_MAX = 32, TEXT_MAX = 200, BYTES = 256, N_MAX = TOKEN_MAX + BYTES };

typedef struct vocabulary {
    gab_gguf_string tokens[N_MAX]; /* the first 256 stand for bytes */
    double scores[N_MAX];
    uint8_t no_merge[N_MAX];
    uint32_t n;
} vocabulary;

/* The token of these bytes; -1: none. */
static int32_t find(const vocabulary *v, const char *text, size_t n) {
    for (uint32_t id = BYTES; id < v->n; id++)
        if (v->tokens[id].n_byte == n && memcmp(v->tokens[id].text, text, n) == 0) return (int32_t)id;
    return -1;
}

/* Parts end at the bytes marked in `ends`; the best pair of neighbours becomes one until there is none. */
static size_t reference(const vocabulary *v, const char *text, size_t n, int32_t *ids) {
    bool ends[TEXT_MAX + 1] = {0};
    for (size_t at = 0, length; at < n; at += length) {
        gab_character_read(text + at, n - at, &length);
        ends[at + length] = true;
    }
    for (;;) {
        size_t best = n;
        double score = 0;
        for (size_t middle = 1; middle < n; middle++) {
            if (!ends[middle]) continue;
            size_t from = middle - 1, to = middle + 1;
            while (from > 0 && !ends[from]) from--;
            while (!ends[to]) to++;
            int32_t id = find(v, text + from, to - from);
            if (id < 0 || (best < n && v->scores[id] <= score)) continue;
            best = middle;
            score = v->scores[id];
        }
        if (best == n) break;
        ends[best] = false;
    }
    size_t count = 0;
    for (size_t from = 0, to; from < n; from = to) {
        for (to = from + 1; !ends[to];) to++;
        ids[count] = find(v, text + from, to - from);
        if (ids[count] >= 0) {
            count++;
            continue;
        }
        for (size_t i = from; i < to; i++) ids[count++] = (unsigned char)text[i];
    }
    return count;
}

static gab_bpe *make(const vocabulary *v) {
    gab_bpe *bpe;
    gab_bpe_source source = {.file = "fuzz",
                             .tokens_field = "tokens",
                             .tokens = v->tokens,
                             .n_token = v->n,
                             .no_merge = v->no_merge,
                             .scores = v->scores,
                             .characters = true,
                             .unknown = -1};
    for (int b = 0; b < BYTES; b++) source.byte_tokens[b] = b;
    PROMISE(gab_bpe_create(&source, NULL, &bpe) == GAB_OK);
    return bpe;
}

static void compare(const gab_bpe *bpe, const char *text, size_t n, bool cut, uint32_t scan_max,
                    const int32_t *expected, size_t n_expected) {
    gab_bpe_work work = {.scan_max = scan_max};
    size_t at = 0, n_id;
    for (size_t done = 0, length; done < n; done += length) {
        const int32_t *ids;
        length = cut ? gab_bpe_part_bytes(bpe, text + done, n - done) : n;
        PROMISE(length > 0 && length <= n - done);
        PROMISE(gab_bpe_encode(bpe, &work, text + done, length, &ids, &n_id));
        PROMISE(n_id <= n_expected - at && memcmp(ids, expected + at, n_id * sizeof *ids) == 0);
        at += n_id;
    }
    PROMISE(at == n_expected);
    gab_bpe_work_free(&work);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static vocabulary v;
    int32_t expected[TEXT_MAX];
    memset(&v, 0, sizeof v);
    v.n = BYTES;
    memset(v.no_merge, 1, BYTES);
    for (int b = 0; b < BYTES; b++) v.tokens[b] = (gab_gguf_string){"<byte>", 6};
    size_t n_token = size ? data[0] % (TOKEN_MAX + 1) : 0, at = 1;
    for (size_t i = 0; i < n_token && at + 2 < size; i++) {
        size_t length = 1 + data[at] % 8;
        if (length > size - at - 2) length = size - at - 2;
        v.scores[v.n] = (int8_t)data[at + 1];
        v.tokens[v.n++] = (gab_gguf_string){(const char *)data + at + 2, length};
        at += 2 + length;
    }
    if (at > size) at = size;
    const char *text = (const char *)data + at;
    const size_t n = size - at < TEXT_MAX ? size - at : TEXT_MAX;
    size_t n_expected = reference(&v, text, n, expected);
    gab_bpe *bpe = make(&v);
    for (int i = 0; i < 4; i++) compare(bpe, text, n, i & 1, i & 2 ? GAB_BPE_SCAN_MAX : 0, expected, n_expected);
    gab_bpe_destroy(&bpe);
    return 0;
}
