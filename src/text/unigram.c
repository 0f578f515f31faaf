#include "text/unigram.h"
#include "base/utf8.h"

#include <stdlib.h>
#include <string.h>

typedef struct entry {
    const char *text;
    uint32_t n_byte;
    int32_t id;
    double score;
} entry;

struct gab_unigram {
    entry *entries; /* sorted by text, a text before its continuations */
    size_t n_entry;
    size_t first[257]; /* entries whose text begins with byte b: first[b] to first[b + 1] */
    char *texts;
    double unknown_score;
    int32_t unknown, byte_tokens[256];
};

/* The best way to the place in front of a byte. */
typedef struct gab_unigram_node {
    double score;
    int32_t id;    /* of the token that ends here; -1: of a character in no token */
    uint32_t from; /* where that token begins; UINT32_MAX: no way here */
} node;

static int compare(const void *a, const void *b) {
    const entry *x = a, *y = b;
    int order = memcmp(x->text, y->text, x->n_byte < y->n_byte ? x->n_byte : y->n_byte);
    if (order != 0) return order;
    if (x->n_byte != y->n_byte) return x->n_byte < y->n_byte ? -1 : 1;
    return x->id < y->id ? -1 : 1;
}

gab_status gab_unigram_create(const gab_unigram_source *s, const gab_log *log, gab_unigram **unigram) {
    const double unknown_penalty = 10; /* SentencePiece's */
    size_t n_byte = 0;
    double least = 0;
    gab_unigram *made = calloc(1, sizeof *made);
    for (uint32_t id = 0; id < s->n_token; id++) n_byte += s->tokens[id].n_byte;
    if (made) made->entries = calloc(s->n_token + (size_t)1, sizeof *made->entries);
    if (made) made->texts = malloc(n_byte + 1);
    if (!made || !made->entries || !made->texts) {
        gab_unigram_destroy(&made);
        return gab_fail(log, GAB_ERROR_HOST_MEMORY, "%s: no memory for a vocabulary of %u tokens", s->file, s->n_token);
    }
    char *next = made->texts;
    for (uint32_t id = 0; id < s->n_token; id++) {
        const gab_gguf_string text = s->tokens[id];
        if (s->scores[id] < least) least = s->scores[id];
        if ((s->skip && s->skip[id]) || text.n_byte == 0) continue;
        memcpy(next, text.text, text.n_byte);
        made->entries[made->n_entry++] = (entry){next, (uint32_t)text.n_byte, (int32_t)id, s->scores[id]};
        next += text.n_byte;
    }
    if (made->n_entry) qsort(made->entries, made->n_entry, sizeof *made->entries, compare);
    for (size_t i = 0; i < made->n_entry; i++) made->first[(unsigned char)made->entries[i].text[0] + 1]++;
    for (int b = 0; b < 256; b++) made->first[b + 1] += made->first[b];
    made->unknown_score = least - unknown_penalty;
    made->unknown = s->unknown;
    memcpy(made->byte_tokens, s->byte_tokens, sizeof made->byte_tokens);
    *unigram = made;
    return GAB_OK;
}

void gab_unigram_destroy(gab_unigram **unigram) {
    if (!*unigram) return;
    free((*unigram)->entries);
    free((*unigram)->texts);
    free(*unigram);
    *unigram = NULL;
}

void gab_unigram_work_free(gab_unigram_work *work) {
    free(work->nodes);
    free(work->ids);
    *work = (gab_unigram_work){0};
}

static bool reserve(gab_unigram_work *work, size_t n) {
    if (n <= work->n_max) return true;
    gab_unigram_work_free(work);
    work->nodes = malloc(n * sizeof *work->nodes);
    work->ids = malloc(n * sizeof *work->ids);
    if (!work->nodes || !work->ids) {
        gab_unigram_work_free(work);
        return false;
    }
    work->n_max = n;
    return true;
}

/* The first of entries low..high whose byte at `depth` is at least `byte`. All of them are longer than that. */
static size_t lower_bound(const entry *entries, size_t low, size_t high, size_t depth, unsigned byte) {
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if ((unsigned char)entries[middle].text[depth] < byte)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void reach(node *to, double score, int32_t id, size_t from) {
    if (to->from == UINT32_MAX || score > to->score) *to = (node){score, id, (uint32_t)from};
}

/* All tokens that begin at `at`; true when one of them is the single character there. */
static bool try_tokens(const gab_unigram *u, node *nodes, const char *text, size_t n, size_t at, size_t character) {
    bool single = false;
    size_t low = u->first[(unsigned char)text[at]], high = u->first[(unsigned char)text[at] + 1];
    for (size_t depth = 1; low < high; depth++) {
        for (bool first = true; low < high && u->entries[low].n_byte == depth; low++, first = false) {
            if (!first) continue; /* of equal tokens the first counts */
            reach(&nodes[at + depth], nodes[at].score + u->entries[low].score, u->entries[low].id, at);
            single = single || depth == character;
        }
        if (at + depth == n) break;
        unsigned byte = (unsigned char)text[at + depth];
        low = lower_bound(u->entries, low, high, depth, byte);
        high = lower_bound(u->entries, low, high, depth, byte + 1);
    }
    return single;
}

/* From the back, so that the ids come out reversed. */
static size_t walk_back(const gab_unigram *u, const node *nodes, const char *text, size_t n, int32_t *ids) {
    size_t count = 0;
    bool was_unknown = false;
    for (size_t end = n, from; end > 0; end = from) {
        from = nodes[end].from;
        if (nodes[end].id >= 0) {
            ids[count++] = nodes[end].id;
            was_unknown = false;
            continue;
        }
        bool bytes = true;
        for (size_t i = from; i < end; i++) bytes = bytes && u->byte_tokens[(unsigned char)text[i]] >= 0;
        for (size_t i = end; bytes && i > from; i--) ids[count++] = u->byte_tokens[(unsigned char)text[i - 1]];
        if (!bytes && !was_unknown && u->unknown >= 0) ids[count++] = u->unknown;
        was_unknown = !bytes;
    }
    return count;
}

bool gab_unigram_encode(const gab_unigram *u, gab_unigram_work *work, const char *text, size_t n, const int32_t **ids,
                        size_t *n_id) {
    if (!reserve(work, n + 1)) return false;
    node *nodes = work->nodes;
    for (size_t i = 0; i <= n; i++) nodes[i].from = UINT32_MAX;
    nodes[0] = (node){0, -1, 0};
    for (size_t at = 0, character; at < n; at += character) {
        gab_utf8_kind kind;
        character = gab_utf8_next(text + at, n - at, &kind);
        if (!try_tokens(u, nodes, text, n, at, character))
            reach(&nodes[at + character], nodes[at].score + u->unknown_score, -1, at);
    }
    size_t count = walk_back(u, nodes, text, n, work->ids);
    for (size_t i = 0; i < count / 2; i++) {
        int32_t id = work->ids[i];
        work->ids[i] = work->ids[count - 1 - i];
        work->ids[count - 1 - i] = id;
    }
    *ids = work->ids;
    *n_id = count;
    return true;
}
