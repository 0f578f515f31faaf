/*
 * Byte-pair merging on a small vocabulary of its own: the printable alphabet, the order of merges, scan against heap.
 */
#include "test.h"

#include "text/alphabet.h"
#include "text/bpe.h"

enum { TOKEN_MAX = 2000 };

/* A byte-level vocabulary: ids 0..255 are the bytes, then what the merges make. */
typedef struct vocabulary {
    gab_gguf_string tokens[TOKEN_MAX], merges[TOKEN_MAX];
    size_t n_token, n_merge;
    int32_t byte_tokens[256];
} vocabulary;

static gab_gguf_string copy(const char *text, size_t n) {
    char *made = malloc(n + 1);
    CHECK(made);
    memcpy(made, text, n);
    made[n] = 0;
    return (gab_gguf_string){made, n};
}

/* The printable spelling of a byte, written out from GPT-2's description: printable Latin-1 is itself, the others
 * follow from U+0100 on. */
static size_t spell(int byte, char out[2]) {
    unsigned code = 0x100;
    for (int b = 0; b <= byte; b++) {
        bool printable = (b >= '!' && b <= '~') || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE;
        if (b == byte && printable) code = (unsigned)b;
        if (b < byte && !printable) code++;
    }
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    out[0] = (char)(0xC0 | code >> 6);
    out[1] = (char)(0x80 | (code & 0x3F));
    return 2;
}

static vocabulary *new_vocabulary(void) {
    vocabulary *v = calloc(1, sizeof *v);
    CHECK(v);
    for (int b = 0; b < 256; b++) {
        char text[2];
        size_t n = spell(b, text);
        v->tokens[v->n_token++] = copy(text, n);
        v->byte_tokens[b] = b;
    }
    return v;
}

static void free_vocabulary(vocabulary *v) {
    for (size_t i = 0; i < v->n_token; i++) free((void *)v->tokens[i].text);
    for (size_t i = 0; i < v->n_merge; i++) free((void *)v->merges[i].text);
    free(v);
}

/* Adds the merge of two tokens, and the token it makes unless it is there. Returns that token's id. */
static int32_t add_merge(vocabulary *v, int32_t left, int32_t right) {
    char text[512];
    gab_gguf_string a = v->tokens[left], b = v->tokens[right];
    snprintf(text, sizeof text, "%s %s", a.text, b.text);
    v->merges[v->n_merge++] = copy(text, a.n_byte + 1 + b.n_byte);
    snprintf(text, sizeof text, "%s%s", a.text, b.text);
    for (size_t i = 0; i < v->n_token; i++)
        if (strcmp(v->tokens[i].text, text) == 0) return (int32_t)i;
    v->tokens[v->n_token] = copy(text, a.n_byte + b.n_byte);
    return (int32_t)v->n_token++;
}

static gab_bpe *make(const vocabulary *v) {
    gab_bpe *bpe;
    gab_bpe_merge *merges = calloc(v->n_merge + 1, sizeof *merges);
    gab_bpe_source source = {.file = "test",
                             .tokens = v->tokens,
                             .n_token = (uint32_t)v->n_token,
                             .merges = merges,
                             .n_merge = v->n_merge,
                             .unknown = -1};
    CHECK(merges);
    for (size_t i = 0; i < v->n_merge; i++) {
        const gab_gguf_string text = v->merges[i];
        const size_t cut = (size_t)(strchr(text.text + 1, ' ') - text.text);
        merges[i] = (gab_bpe_merge){{text.text, cut}, {text.text + cut + 1, text.n_byte - cut - 1}};
    }
    memcpy(source.byte_tokens, v->byte_tokens, sizeof source.byte_tokens);
    CHECK_OK(gab_bpe_create(&source, NULL, &bpe));
    free(merges);
    return bpe;
}

static void check_ids(const gab_bpe *bpe, const char *word, size_t n, const int32_t *expected, size_t n_expected) {
    for (uint32_t scan_max = 0; scan_max <= GAB_BPE_SCAN_MAX; scan_max += GAB_BPE_SCAN_MAX) {
        gab_bpe_work work = {.scan_max = scan_max};
        const int32_t *ids;
        size_t n_id;
        CHECK(gab_bpe_encode(bpe, &work, word, n, &ids, &n_id));
        CHECK(n_id == n_expected && (n_id == 0 || memcmp(ids, expected, n_id * sizeof *ids) == 0));
        gab_bpe_work_free(&work);
    }
}

GAB_TEST(alphabet) {
    for (int b = 0; b < 256; b++) {
        char text[2], back[2], written[2];
        size_t n = spell(b, text);
        CHECK(gab_alphabet_read(text, n, back) == 1 && (unsigned char)back[0] == b);
        CHECK(gab_alphabet_write(back, 1, written) == n && memcmp(written, text, n) == 0);
    }
    /* "Ġ" is the space, the newline is "Ċ"; what is outside stays: U+0144, a llama, a byte that is no UTF-8, a raw
     * space */
    static const char TEXT[] = "a\xC4\xA0\xC4\x8A\xC5\x84\xF0\x9F\xA6\x99\xFF \xC4",
                      EXPECTED[] = "a \n\xC5\x84\xF0\x9F\xA6\x99\xFF \xC4";
    char bytes[sizeof TEXT];
    CHECK(gab_alphabet_read(TEXT, sizeof TEXT - 1, bytes) == sizeof EXPECTED - 1);
    CHECK(memcmp(bytes, EXPECTED, sizeof EXPECTED - 1) == 0);
}

GAB_TEST(lowest_rank_first) {
    vocabulary *v = new_vocabulary();
    int32_t bc = add_merge(v, 'b', 'c'), ab = add_merge(v, 'a', 'b'), abc = add_merge(v, 'a', bc),
            cc = add_merge(v, 'c', 'c');
    gab_bpe *bpe = make(v);
    check_ids(bpe, "abc", 3, (int32_t[]){abc}, 1);
    check_ids(bpe, "abd", 3, (int32_t[]){ab, 'd'}, 2);
    check_ids(bpe, "abcc", 4, (int32_t[]){abc, 'c'}, 2);
    check_ids(bpe, "ccc", 3, (int32_t[]){cc, 'c'}, 2); /* the leftmost of equal ones */
    check_ids(bpe, "cccc", 4, (int32_t[]){cc, cc}, 2);
    check_ids(bpe, "x", 1, (int32_t[]){'x'}, 1);
    check_ids(bpe, "", 0, NULL, 0);
    gab_bpe_destroy(&bpe);
    free_vocabulary(v);
}

/* Merges made of random tokens, in random order: the definition, applied literally, is the reference. */
static size_t reference_encode(const vocabulary *v, const char *word, size_t n, int32_t *ids) {
    for (size_t i = 0; i < n; i++) ids[i] = (unsigned char)word[i];
    for (size_t rank = 0; rank < v->n_merge; rank++) {
        for (size_t i = 0; i + 1 < n; i++) {
            char text[512], joined[512];
            snprintf(text, sizeof text, "%s %s", v->tokens[ids[i]].text, v->tokens[ids[i + 1]].text);
            if (strcmp(text, v->merges[rank].text) != 0) continue;
            snprintf(joined, sizeof joined, "%s%s", v->tokens[ids[i]].text, v->tokens[ids[i + 1]].text);
            int32_t id = 0;
            while (strcmp(v->tokens[id].text, joined) != 0) id++;
            ids[i] = id;
            memmove(ids + i + 1, ids + i + 2, (n - i - 2) * sizeof *ids);
            n--;
            rank = (size_t)-1; /* a new pair may have a lower rank: look from the first again */
            break;
        }
    }
    return n;
}

GAB_TEST(random_merges_as_reference) {
    gab_test_random random = {5};
    for (int round = 0; round < 40; round++) {
        vocabulary *v = new_vocabulary();
        int32_t known[40] = {'a', 'b', ' ', 0xC3};
        for (size_t n_known = 4; n_known < 24;) {
            int32_t left = known[gab_test_random_u32(&random) % n_known],
                    right = known[gab_test_random_u32(&random) % n_known];
            if (v->tokens[left].n_byte + v->tokens[right].n_byte > 12) continue;
            known[n_known++] = add_merge(v, left, right);
        }
        for (size_t i = v->n_merge; i > 1; i--) { /* any order: also what no training makes */
            size_t k = gab_test_random_u32(&random) % i;
            gab_gguf_string other = v->merges[k];
            v->merges[k] = v->merges[i - 1];
            v->merges[i - 1] = other;
        }
        gab_bpe *bpe = make(v);
        for (int w = 0; w < 30; w++) {
            char word[60];
            int32_t expected[60];
            size_t n = 1 + gab_test_random_u32(&random) % sizeof word;
            for (size_t i = 0; i < n; i++) word[i] = "ab \xC3"[gab_test_random_u32(&random) % 4];
            check_ids(bpe, word, n, expected, reference_encode(v, word, n, expected));
        }
        gab_bpe_destroy(&bpe);
        free_vocabulary(v);
    }
}

/* Long words by the heap against the scan. */
GAB_TEST(heap_as_scan) {
    enum { N = 3000 };
    vocabulary *v = new_vocabulary();
    gab_test_random random = {9};
    for (int i = 0; i < 300; i++) {
        int32_t left = (int32_t)(gab_test_random_u32(&random) % v->n_token),
                right = "abcd"[gab_test_random_u32(&random) % 4];
        if (left < 256) left = "abcd"[left % 4];
        if (v->tokens[left].n_byte < 100) add_merge(v, left, right);
    }
    gab_bpe *bpe = make(v);
    gab_bpe_work scan = {.scan_max = UINT32_MAX}, heap = {.scan_max = 0};
    for (int round = 0; round < 5; round++) {
        char word[N];
        const int32_t *a, *b;
        size_t n_a, n_b;
        for (size_t i = 0; i < N; i++) word[i] = "abcd"[gab_test_random_u32(&random) % (round ? 4 : 1)];
        CHECK(gab_bpe_encode(bpe, &scan, word, N, &a, &n_a) && gab_bpe_encode(bpe, &heap, word, N, &b, &n_b));
        CHECK(n_a == n_b && n_a < N && memcmp(a, b, n_a * sizeof *a) == 0);
    }
    gab_bpe_work_free(&scan);
    gab_bpe_work_free(&heap);
    gab_bpe_destroy(&bpe);
    free_vocabulary(v);
}

GAB_TEST(missing_bytes) {
    vocabulary *v = new_vocabulary();
    v->byte_tokens[0xC0] = -1;
    gab_bpe *bpe = make(v);
    check_ids(bpe, "a\xC0z", 3, (int32_t[]){'a', 0xEF, 0xBF, 0xBD, 'z'}, 5); /* U+FFFD */
    gab_bpe_destroy(&bpe);
    v->byte_tokens[0xBF] = -1;
    bpe = make(v);
    check_ids(bpe, "a\xC0z", 3, (int32_t[]){'a', 'z'}, 2);
    check_ids(bpe, "\xC0\xC0", 2, NULL, 0);
    gab_bpe_destroy(&bpe);
    free_vocabulary(v);
}

GAB_TEST_MAIN()
