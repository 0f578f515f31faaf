#include "text/bpe.h"

#include "base/hash.h"
#include "base/utf8.h"
#include "format/reader.h"
#include "text/characters.h"
#include "text/token_index.h"

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
    bool by_characters, fuse_unknown, all_bytes;
    int32_t unknown;
    gab_characters characters;
    merge *merges; /* open addressing, 2^k slots */
    size_t mask, n_merge;
};

/* A node of the list of parts of a word. rank and merged are those of the pair of this part and the next. */
typedef struct gab_bpe_part {
    int32_t id, merged;
    uint32_t rank, prev, next;
} part;

/* ---- merges ---- */

static merge *merge_slot(const gab_bpe *bpe, int32_t left, int32_t right) {
    uint64_t hash = ((uint64_t)(uint32_t)left << 32 | (uint32_t)right) * 0x9E3779B97F4A7C15u;
    for (size_t i = (size_t)(hash >> 32) & bpe->mask;; i = (i + 1) & bpe->mask) {
        merge *m = &bpe->merges[i];
        if (m->rank == NONE || (m->left == left && m->right == right)) return m;
    }
}

static bool merges_reserve(gab_bpe *bpe, uint64_t n) {
    size_t size = gab_table_size(n, sizeof *bpe->merges);
    merge *grown = size ? malloc(size * sizeof *grown) : NULL, *old = bpe->merges;
    if (!grown) return false;
    const size_t n_old = old ? bpe->mask + 1 : 0;
    memset(grown, 0xFF, size * sizeof *grown);
    bpe->merges = grown;
    bpe->mask = size - 1;
    for (size_t i = 0; i < n_old; i++)
        if (old[i].rank != NONE) *merge_slot(bpe, old[i].left, old[i].right) = old[i];
    free(old);
    return true;
}

/* Of equal pairs the first counts. */
static bool add_merge(gab_bpe *bpe, int32_t left, int32_t right, int32_t merged, uint32_t rank) {
    if (bpe->n_merge >= bpe->mask / 4 * 3 && !merges_reserve(bpe, 2 * bpe->n_merge + 16)) return false;
    merge *slot = merge_slot(bpe, left, right);
    if (slot->rank != NONE) return true;
    *slot = (merge){left, right, merged, rank};
    bpe->n_merge++;
    return true;
}

static gab_status fail_memory(const gab_bpe_source *s, const gab_log *log) {
    return gab_fail(log, GAB_ERROR_HOST_MEMORY, "%s: no memory for a vocabulary of %u tokens", s->file, s->n_token);
}

static gab_status index_fill(const gab_bpe_source *s, const gab_log *log, gab_token_index *index) {
    if (!gab_token_index_reserve(index, s->tokens, s->n_token)) return fail_memory(s, log);
    uint32_t n_double = 0, first = 0;
    for (uint32_t id = 0; id < s->n_token; id++) {
        if ((s->no_merge && s->no_merge[id]) || s->tokens[id].n_byte == 0) continue;
        if (!gab_token_index_add(index, id) && n_double++ == 0) first = id;
    }
    if (n_double)
        gab_log_print(log, GAB_LOG_WARNING, "%s: %s has %u tokens twice (the first is %u); text becomes the lower ids",
                      s->file, s->tokens_field, n_double, first);
    return GAB_OK;
}

static gab_status take_merges(gab_bpe *bpe, const gab_bpe_source *s, const gab_token_index *index, const gab_log *log) {
    const gab_gguf_string nothing = {"", 0};
    for (uint32_t rank = 0; rank < s->n_merge; rank++) {
        const gab_bpe_merge *m = &s->merges[rank];
        int32_t left = gab_token_index_find(index, m->left, nothing),
                right = gab_token_index_find(index, m->right, nothing);
        int32_t merged = gab_token_index_find(index, m->left, m->right);
        if (left >= 0 && right >= 0 && merged >= 0) {
            if (!add_merge(bpe, left, right, merged, rank)) return fail_memory(s, log);
            continue;
        }
        char shown[2][33];
        gab_reader_show_bytes(shown[0], sizeof shown[0], m->left.text, m->left.n_byte);
        gab_reader_show_bytes(shown[1], sizeof shown[1], m->right.text, m->right.n_byte);
        return gab_fail(log, GAB_ERROR_FORMAT, "%s: %s[%u] is '%s %s', but %s is not in %s; the file is damaged",
                        s->file, s->merges_field, rank, shown[0], shown[1],
                        left < 0    ? "its left part"
                        : right < 0 ? "its right part"
                                    : "what it makes",
                        s->tokens_field);
    }
    return GAB_OK;
}

/* ---- merges by scores ---- */

typedef struct scored {
    double score;
    uint32_t id;
} scored;

/* The largest score first. */
static int compare_scores(const void *a, const void *b) {
    const scored *x = a, *y = b;
    if (x->score != y->score) return x->score > y->score ? -1 : 1;
    return x->id < y->id ? -1 : 1;
}

/* A token, or a character that is only part of some; -1: neither. */
static int32_t part_id(const gab_bpe *bpe, const gab_token_index *index, gab_gguf_string text, uint64_t hash) {
    size_t length;
    uint32_t code = gab_character_read(text.text, text.n_byte, &length);
    if (length == text.n_byte) return gab_characters_id(&bpe->characters, code);
    return gab_token_index_find_hashed(index, text, hash);
}

/* Every way to put a token together from two parts. The hash of the left one grows with it, and the right one is looked
 * at only beside a left one that there is: a token may be long. */
static bool add_splits(gab_bpe *bpe, const gab_token_index *index, gab_gguf_string token, int32_t id, uint32_t rank) {
    uint64_t hash = GAB_HASH_START;
    for (size_t at = 0, length; at < token.n_byte; at += length) {
        const uint64_t left_hash = hash;
        gab_character_read(token.text + at, token.n_byte - at, &length);
        hash = gab_hash_bytes(hash, token.text + at, length);
        if (at == 0) continue;
        const gab_gguf_string left = {token.text, at}, right = {token.text + at, token.n_byte - at};
        const int32_t left_id = part_id(bpe, index, left, left_hash);
        if (left_id < 0) continue;
        const int32_t right_id = part_id(bpe, index, right, gab_hash_bytes(GAB_HASH_START, right.text, right.n_byte));
        if (right_id >= 0 && !add_merge(bpe, left_id, right_id, id, rank)) return false;
    }
    return true;
}

static gab_status make_merges(gab_bpe *bpe, const gab_bpe_source *s, const gab_token_index *index, const gab_log *log) {
    scored *order = malloc((s->n_token + (size_t)1) * sizeof *order);
    uint32_t n = 0, rank = 0;
    bool good = order != NULL;
    for (uint32_t id = 0; good && id < s->n_token; id++)
        if (!s->no_merge[id] && s->tokens[id].n_byte > 0) order[n++] = (scored){s->scores[id], id};
    if (good && n > 0) qsort(order, n, sizeof *order, compare_scores);
    for (uint32_t i = 0; good && i < n; i++) {
        if (i > 0 && order[i].score != order[i - 1].score) rank = i; /* equal scores: the leftmost pair first */
        const gab_gguf_string token = s->tokens[order[i].id];
        if (gab_token_index_find(index, token, (gab_gguf_string){"", 0}) == (int32_t)order[i].id)
            good = add_splits(bpe, index, token, (int32_t)order[i].id, rank);
    }
    free(order);
    return good ? GAB_OK : fail_memory(s, log);
}

/* ---- making ---- */

static void take_bytes(gab_bpe *bpe, const gab_bpe_source *s) {
    memcpy(bpe->byte_tokens, s->byte_tokens, sizeof bpe->byte_tokens);
    bpe->n_substitute = 3;
    for (int i = 0; i < 3; i++) {
        bpe->substitute[i] = s->byte_tokens[(unsigned char)GAB_UTF8_REPLACEMENT[i]];
        if (bpe->substitute[i] < 0) bpe->n_substitute = 0;
    }
    bpe->all_bytes = true;
    for (int b = 0; b < 256; b++) bpe->all_bytes = bpe->all_bytes && s->byte_tokens[b] >= 0;
}

gab_status gab_bpe_create(const gab_bpe_source *s, const gab_log *log, gab_bpe **bpe) {
    gab_token_index index = {0};
    gab_status status = GAB_OK;
    gab_bpe *made = calloc(1, sizeof *made);
    if (!made || s->n_merge >= NONE || !merges_reserve(made, s->n_merge)) {
        status = fail_memory(s, log);
        goto error;
    }
    take_bytes(made, s);
    made->by_characters = s->characters;
    made->unknown = s->unknown;
    made->fuse_unknown = s->fuse_unknown;
    if (s->characters && !gab_characters_make(&made->characters, s->tokens, s->n_token, s->no_merge)) {
        status = fail_memory(s, log);
        goto error;
    }
    GAB_TRY_GOTO(index_fill(s, log, &index), error);
    GAB_TRY_GOTO(s->merges ? take_merges(made, s, &index, log) : make_merges(made, s, &index, log), error);
    gab_token_index_free(&index);
    *bpe = made;
    return GAB_OK;
error:
    gab_token_index_free(&index);
    gab_bpe_destroy(&made);
    return status;
}

void gab_bpe_destroy(gab_bpe **bpe) {
    if (!*bpe) return;
    gab_characters_free(&(*bpe)->characters);
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
static size_t split_bytes(const gab_bpe *bpe, const char *word, size_t n, int32_t *ids) {
    size_t count = 0;
    for (size_t i = 0; i < n; i++) {
        const int32_t *id = &bpe->byte_tokens[(unsigned char)word[i]];
        size_t n_id = *id >= 0 ? 1 : bpe->n_substitute;
        if (ids) memcpy(ids + count, *id >= 0 ? id : bpe->substitute, n_id * sizeof *ids);
        count += n_id;
    }
    return count;
}

/* A character that is no token: its bytes, or the unknown one. Fewer ids than bytes, or as many. */
static size_t encode_unknown(const gab_bpe *bpe, const char *bytes, size_t n, int32_t last, int32_t *ids) {
    bool all = true;
    for (size_t i = 0; i < n; i++) all = all && bpe->byte_tokens[(unsigned char)bytes[i]] >= 0;
    for (size_t i = 0; all && i < n; i++) ids[i] = bpe->byte_tokens[(unsigned char)bytes[i]];
    if (all) return n;
    if (bpe->unknown < 0 || (bpe->fuse_unknown && last == bpe->unknown)) return 0;
    *ids = bpe->unknown;
    return 1;
}

static size_t split_characters(const gab_bpe *bpe, const char *word, size_t n, int32_t *ids) {
    size_t count = 0;
    for (size_t i = 0, length; i < n; i += length) {
        int32_t id = gab_characters_id(&bpe->characters, gab_character_read(word + i, n - i, &length));
        if (id >= 0)
            ids[count++] = id;
        else
            count += encode_unknown(bpe, word + i, length, count > 0 ? ids[count - 1] : -1, ids + count);
    }
    return count;
}

/* The parts that are left, in order. Characters that only stand in longer tokens have become part of none. */
static size_t collect(const gab_bpe *bpe, const part *parts, int32_t *ids) {
    size_t count = 0;
    for (uint32_t i = 0; i != NONE; i = parts[i].next) {
        const int32_t id = parts[i].id;
        if (!bpe->by_characters || (uint32_t)id < bpe->characters.n_token) {
            ids[count++] = id;
            continue;
        }
        char bytes[4];
        size_t n = gab_character_write(bpe->characters.codes[(uint32_t)id - bpe->characters.n_token], bytes);
        count += encode_unknown(bpe, bytes, n, count > 0 ? ids[count - 1] : -1, ids + count);
    }
    return count;
}

size_t gab_bpe_part_bytes(const gab_bpe *bpe, const char *word, size_t n) {
    if (!bpe->by_characters || (bpe->fuse_unknown && !bpe->all_bytes)) return n;
    size_t length;
    uint32_t last = gab_character_read(word, n, &length);
    for (size_t i = length; i < n; i += length) {
        uint32_t code = gab_character_read(word + i, n - i, &length);
        if (!gab_characters_pair(&bpe->characters, last, code)) return i;
        last = code;
    }
    return n;
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
    if (!reserve(work, bpe->by_characters ? n : split_bytes(bpe, word, n, NULL))) return false;
    *ids = work->ids;
    uint32_t count = (uint32_t)(bpe->by_characters ? split_characters(bpe, word, n, work->ids)
                                                   : split_bytes(bpe, word, n, work->ids));
    part *parts = work->parts;
    *n_id = count;
    if (count == 0) return true;
    for (uint32_t i = 0; i < count; i++)
        parts[i] = (part){.id = work->ids[i], .prev = i > 0 ? i - 1 : NONE, .next = i + 1 < count ? i + 1 : NONE};
    for (uint32_t i = 0; i < count; i++) rank_pair(bpe, parts, i);
    if (count <= work->scan_max) {
        merge_by_scan(bpe, parts);
    } else {
        merge_by_heap(bpe, parts, count, work->heap);
    }
    *n_id = collect(bpe, parts, work->ids);
    return true;
}
