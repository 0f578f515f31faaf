#include "text/bpe.h"
#include "format/reader.h"
#include "text/utf8.h"

#include <stdlib.h>
#include <string.h>

#define NONE UINT32_MAX

/* The pair (left, right) becomes `merged`. Free slots of the table have rank NONE. */
typedef struct merge {
    int32_t left, right, merged;
    uint32_t rank;
} merge;

struct gab_bpe {
    int32_t byte_tokens[256];
    int32_t substitute[3]; /* for a byte without a token */
    size_t n_substitute;   /* 3, or 0 */
    merge *merges;         /* open addressing, 2^k slots */
    size_t mask;
};

/* A node of the list of parts of a word. rank and merged are those of the pair of this part and the next. */
typedef struct gab_bpe_part {
    int32_t id, merged;
    uint32_t rank, prev, next;
} part;

/* ---- the printable alphabet ---- */

/* -1: the code point stands for no byte. The 68 bytes that are not printable in Latin-1 are 0..32, 127..160 and 173. */
static int alphabet_byte(unsigned code) {
    if (code < 256) return (code > 32 && code < 127) || (code > 160 && code != 173) ? (int)code : -1;
    unsigned i = code - 256;
    return i < 33 ? (int)i : i < 67 ? (int)i - 33 + 127 : i == 67 ? 173 : -1;
}

size_t gab_bpe_spell_bytes(const char *text, size_t n, char *bytes) {
    size_t written = 0;
    for (size_t i = 0; i < n;) {
        gab_utf8_kind kind;
        size_t length = gab_utf8_next(text + i, n - i, &kind);
        unsigned first = (unsigned char)text[i];
        int byte = -1;
        if (length == 1) byte = first < 0x80 ? alphabet_byte(first) : -1;
        if (length == 2 && kind == GAB_UTF8_CHARACTER)
            byte = alphabet_byte((first & 0x1Fu) << 6 | ((unsigned char)text[i + 1] & 0x3Fu));
        if (byte >= 0) {
            bytes[written++] = (char)byte;
        } else {
            memcpy(bytes + written, text + i, length);
            written += length;
        }
        i += length;
    }
    return written;
}

/* ---- tokens by their text, while loading ---- */

typedef struct token_index {
    const gab_gguf_string *tokens;
    uint32_t *slots; /* token ids, NONE: free */
    size_t mask;
} token_index;

/* Slots for n entries, at most three quarters full; 0 on overflow. */
static size_t table_size(uint64_t n) {
    size_t size = 16;
    while (size / 4 * 3 < n) {
        if (size > SIZE_MAX / 2 / sizeof(merge)) return 0;
        size *= 2;
    }
    return size;
}

/* FNV-1a */
static uint64_t hash_bytes(uint64_t hash, gab_gguf_string s) {
    for (uint64_t i = 0; i < s.n_byte; i++) hash = (hash ^ (unsigned char)s.text[i]) * 0x100000001B3u;
    return hash;
}

/* The slot of the token spelled head + tail, or the free slot where it would be. */
static uint32_t *index_slot(const token_index *index, gab_gguf_string head, gab_gguf_string tail) {
    uint64_t hash = hash_bytes(hash_bytes(0xCBF29CE484222325u, head), tail);
    for (size_t i = (size_t)(hash ^ hash >> 32) & index->mask;; i = (i + 1) & index->mask) {
        uint32_t id = index->slots[i];
        if (id == NONE) return &index->slots[i];
        gab_gguf_string token = index->tokens[id];
        if (token.n_byte == head.n_byte + tail.n_byte && memcmp(token.text, head.text, head.n_byte) == 0 &&
            memcmp(token.text + head.n_byte, tail.text, tail.n_byte) == 0)
            return &index->slots[i];
    }
}

static gab_status index_fill(token_index *index, uint64_t n_token, const char *file, const gab_log *log) {
    static const gab_gguf_string nothing = {"", 0};
    size_t size = table_size(n_token);
    index->slots = size ? malloc(size * sizeof *index->slots) : NULL;
    if (!index->slots) return gab_fail(log, GAB_ERROR_HOST_MEMORY, "%s: no memory for the vocabulary", file);
    memset(index->slots, 0xFF, size * sizeof *index->slots);
    index->mask = size - 1;

    uint32_t n_double = 0, first = 0;
    for (uint32_t id = 0; id < n_token; id++) {
        uint32_t *slot = index_slot(index, index->tokens[id], nothing);
        if (*slot == NONE) {
            *slot = id;
        } else if (n_double++ == 0) {
            first = id;
        }
    }
    if (n_double)
        gab_log_print(log, GAB_LOG_WARNING,
                      "%s: tokenizer.ggml.tokens has %u tokens twice (the first is %u); text becomes the lower ids",
                      file, n_double, first);
    return GAB_OK;
}

/* ---- merges ---- */

static merge *merge_slot(const gab_bpe *bpe, int32_t left, int32_t right) {
    uint64_t hash = ((uint64_t)(uint32_t)left << 32 | (uint32_t)right) * 0x9E3779B97F4A7C15u;
    for (size_t i = (size_t)(hash >> 32) & bpe->mask;; i = (i + 1) & bpe->mask) {
        merge *m = &bpe->merges[i];
        if (m->rank == NONE || (m->left == left && m->right == right)) return m;
    }
}

/* Where the text of a merge is cut: at its first space that is not its first byte; 0: nowhere. */
static size_t merge_cut(gab_gguf_string text) {
    for (size_t i = 1; i + 1 < text.n_byte; i++)
        if (text.text[i] == ' ') return i;
    return 0;
}

static gab_status add_merge(gab_bpe *bpe, const token_index *index, gab_gguf_string text, uint32_t rank,
                            const char *file, const gab_log *log) {
    size_t cut = merge_cut(text);
    char shown[65];
    gab_reader_show(shown, sizeof shown, text.text);
    if (!cut)
        return gab_fail(
            log, GAB_ERROR_FORMAT,
            "%s: tokenizer.ggml.merges[%u] is '%s', not two tokens with a space between; the file is damaged", file,
            rank, shown);
    const gab_gguf_string nothing = {"", 0}, left = {text.text, cut};
    const gab_gguf_string right = {text.text + cut + 1, text.n_byte - cut - 1};
    uint32_t left_id = *index_slot(index, left, nothing), right_id = *index_slot(index, right, nothing);
    uint32_t merged_id = *index_slot(index, left, right);
    if (left_id == NONE || right_id == NONE || merged_id == NONE)
        return gab_fail(
            log, GAB_ERROR_FORMAT,
            "%s: tokenizer.ggml.merges[%u] is '%s', but %s is not in tokenizer.ggml.tokens; the file is damaged", file,
            rank, shown,
            left_id == NONE    ? "its left part"
            : right_id == NONE ? "its right part"
                               : "what it makes");
    merge *slot = merge_slot(bpe, (int32_t)left_id, (int32_t)right_id);
    if (slot->rank == NONE) *slot = (merge){(int32_t)left_id, (int32_t)right_id, (int32_t)merged_id, rank};
    return GAB_OK;
}

gab_status gab_bpe_create(const int32_t byte_tokens[256], const gab_gguf_string *tokens, uint64_t n_token,
                          const gab_gguf_string *merges, uint64_t n_merge, const char *file, const gab_log *log,
                          gab_bpe **bpe) {
    token_index index = {tokens, NULL, 0};
    gab_status status = GAB_OK;
    gab_bpe *made = calloc(1, sizeof *made);
    size_t size = n_merge < NONE ? table_size(n_merge) : 0;
    if (made && size) made->merges = malloc(size * sizeof *made->merges);
    if (!made || !made->merges) {
        status =
            gab_fail(log, GAB_ERROR_HOST_MEMORY, "%s: no memory for %llu merges", file, (unsigned long long)n_merge);
        goto error;
    }
    memset(made->merges, 0xFF, size * sizeof *made->merges);
    made->mask = size - 1;
    memcpy(made->byte_tokens, byte_tokens, sizeof made->byte_tokens);
    made->n_substitute = 3;
    for (int i = 0; i < 3; i++) {
        made->substitute[i] = byte_tokens[(unsigned char)GAB_UTF8_REPLACEMENT[i]];
        if (made->substitute[i] < 0) made->n_substitute = 0;
    }

    GAB_TRY_GOTO(index_fill(&index, n_token, file, log), error);
    for (uint32_t rank = 0; rank < n_merge; rank++)
        GAB_TRY_GOTO(add_merge(made, &index, merges[rank], rank, file, log), error);
    free(index.slots);
    *bpe = made;
    return GAB_OK;
error:
    free(index.slots);
    gab_bpe_destroy(&made);
    return status;
}

void gab_bpe_destroy(gab_bpe **bpe) {
    if (!*bpe) return;
    free((*bpe)->merges);
    free(*bpe);
    *bpe = NULL;
}

/* ---- encoding ---- */

void gab_bpe_work_free(gab_bpe_work *work) {
    free(work->parts);
    free(work->heap);
    free(work->ids);
    work->parts = NULL;
    work->heap = NULL;
    work->ids = NULL;
    work->n_max = 0;
}

static bool reserve(gab_bpe_work *work, size_t n) {
    if (n <= work->n_max) return true;
    gab_bpe_work_free(work);
    n = n < 256 ? 256 : n;
    work->parts = malloc(n * sizeof *work->parts);
    work->heap = malloc(n * 2 * sizeof *work->heap); /* every merge takes one pair out and puts at most two in */
    work->ids = malloc(n * sizeof *work->ids);
    if (!work->parts || !work->heap || !work->ids) {
        gab_bpe_work_free(work);
        return false;
    }
    work->n_max = (uint32_t)n;
    return true;
}

/* The tokens of single bytes, into `ids` (NULL: only counts them). */
static size_t encode_bytes(const gab_bpe *bpe, const char *word, size_t n, int32_t *ids) {
    size_t count = 0;
    for (size_t i = 0; i < n; i++) {
        const int32_t *id = &bpe->byte_tokens[(unsigned char)word[i]];
        size_t n_id = *id >= 0 ? 1 : bpe->n_substitute;
        if (ids) memcpy(ids + count, *id >= 0 ? id : bpe->substitute, n_id * sizeof *ids);
        count += n_id;
    }
    return count;
}

static void rank_pair(const gab_bpe *bpe, part *parts, uint32_t i) {
    part *p = &parts[i];
    p->rank = NONE;
    if (p->next == NONE) return;
    const merge *m = merge_slot(bpe, p->id, parts[p->next].id);
    p->rank = m->rank;
    p->merged = m->merged;
}

/* Merges part i with the next one, which leaves the list. */
static void merge_pair(const gab_bpe *bpe, part *parts, uint32_t i) {
    part *p = &parts[i];
    parts[p->next].rank = NONE;
    p->id = p->merged;
    p->next = parts[p->next].next;
    if (p->next != NONE) parts[p->next].prev = i;
    rank_pair(bpe, parts, i);
    if (p->prev != NONE) rank_pair(bpe, parts, p->prev);
}

static void merge_by_scan(const gab_bpe *bpe, part *parts) {
    for (;;) {
        uint32_t best = 0;
        for (uint32_t i = parts[0].next; i != NONE; i = parts[i].next)
            if (parts[i].rank < parts[best].rank) best = i;
        if (parts[best].rank == NONE) return;
        merge_pair(bpe, parts, best);
    }
}

/* Entries are rank << 32 | part, so that the smallest is the leftmost of the lowest rank. */
static void heap_push(uint64_t *heap, size_t *n, const part *parts, uint32_t i) {
    if (parts[i].rank == NONE) return;
    uint64_t entry = (uint64_t)parts[i].rank << 32 | i;
    size_t at = (*n)++;
    for (; at > 0 && heap[(at - 1) / 2] > entry; at = (at - 1) / 2) heap[at] = heap[(at - 1) / 2];
    heap[at] = entry;
}

static uint64_t heap_pop(uint64_t *heap, size_t *n) {
    uint64_t top = heap[0], last = heap[--*n];
    size_t at = 0;
    for (size_t child = 1; child < *n; at = child, child = 2 * at + 1) {
        if (child + 1 < *n && heap[child + 1] < heap[child]) child++;
        if (heap[child] >= last) break;
        heap[at] = heap[child];
    }
    heap[at] = last;
    return top;
}

static void merge_by_heap(const gab_bpe *bpe, part *parts, uint32_t count, uint64_t *heap) {
    size_t n = 0;
    for (uint32_t i = 0; i < count; i++) heap_push(heap, &n, parts, i);
    while (n > 0) {
        uint64_t entry = heap_pop(heap, &n);
        uint32_t i = (uint32_t)entry;
        if (parts[i].rank != entry >> 32) continue; /* an older pair: one of the two has been merged since */
        uint32_t prev = parts[i].prev;
        merge_pair(bpe, parts, i);
        heap_push(heap, &n, parts, i);
        if (prev != NONE) heap_push(heap, &n, parts, prev);
    }
}

bool gab_bpe_encode(const gab_bpe *bpe, gab_bpe_work *work, const char *word, size_t n, const int32_t **ids,
                    size_t *n_id) {
    if (!reserve(work, encode_bytes(bpe, word, n, NULL))) return false;
    *ids = work->ids;
    uint32_t count = (uint32_t)encode_bytes(bpe, word, n, work->ids);
    *n_id = count;
    if (count < 2) return true;

    part *parts = work->parts;
    for (uint32_t i = 0; i < count; i++)
        parts[i] = (part){.id = work->ids[i], .prev = i > 0 ? i - 1 : NONE, .next = i + 1 < count ? i + 1 : NONE};
    for (uint32_t i = 0; i < count; i++) rank_pair(bpe, parts, i);
    if (count <= work->scan_max) {
        merge_by_scan(bpe, parts);
    } else {
        merge_by_heap(bpe, parts, count, work->heap);
    }
    count = 0;
    for (uint32_t i = 0; i != NONE; i = parts[i].next) work->ids[count++] = parts[i].id;
    *n_id = count;
    return true;
}
