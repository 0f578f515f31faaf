/*
 * Byte-pair encoding of characters, as SentencePiece does it: merges by score against the definition applied literally,
 * cuts where no merge reaches, bytes for characters without a token, long runs.
 */
#include "test.h"

#include "base/time.h"
#include "text/bpe.h"
#include "text/characters.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size); /* fuzz/fuzz_bpe_characters.c */

GAB_TEST(fuzz_corpus) {
    CHECK(gab_test_corpus("corpus_bpe_characters", LLVMFuzzerTestOneInput) >= 4);
}

/* Random vocabularies of few letters, so that much merges, and texts of them. */
GAB_TEST(random_as_definition) {
    static const char *const LETTERS[] = {"a", "b", "c", "\xC3\xA9", "\xE2\x96\x81", "\xFF"};
    gab_test_random random = {17};
    for (int round = 0; round < 3000; round++) {
        uint8_t data[512];
        size_t n = 1;
        data[0] = (uint8_t)(gab_test_random_u32(&random) % 33);
        for (int i = 0; i < data[0]; i++) {
            char token[32] = "";
            for (uint32_t k = 1 + gab_test_random_u32(&random) % 3; k > 0; k--)
                strcat(token, LETTERS[gab_test_random_u32(&random) % 6]);
            if (strlen(token) > 8) token[8] = 0;
            data[n++] = (uint8_t)(strlen(token) - 1);
            data[n++] = (uint8_t)(gab_test_random_u32(&random) % 6);
            for (const char *c = token; *c; c++) data[n++] = (uint8_t)*c;
        }
        for (uint32_t k = gab_test_random_u32(&random) % 40; k > 0; k--) {
            for (const char *c = LETTERS[gab_test_random_u32(&random) % 6]; *c; c++) data[n++] = (uint8_t)*c;
        }
        LLVMFuzzerTestOneInput(data, n);
    }
}

/* ---- a vocabulary by hand ---- */

enum { UNKNOWN, A, B, AB, ABB, HIDDEN, N_TOKEN };
static const gab_gguf_string TOKENS[N_TOKEN] = {{"<unk>", 5}, {"a", 1}, {"b", 1}, {"ab", 2}, {"abb", 3}, {"az", 2}};
static const double SCORES[N_TOKEN] = {0, -5, -5, -1, -2, -3};
static const uint8_t NO_MERGE[N_TOKEN] = {[UNKNOWN] = 1};

static gab_bpe *make(bool fuse) {
    gab_bpe *bpe;
    gab_bpe_source source = {.file = "test",
                             .tokens_field = "tokens",
                             .tokens = TOKENS,
                             .n_token = N_TOKEN,
                             .no_merge = NO_MERGE,
                             .scores = SCORES,
                             .characters = true,
                             .unknown = UNKNOWN,
                             .fuse_unknown = fuse};
    for (int b = 0; b < 256; b++) source.byte_tokens[b] = -1;
    CHECK_OK(gab_bpe_create(&source, NULL, &bpe));
    return bpe;
}

static void check(const gab_bpe *bpe, const char *word, const int32_t *expected, size_t n_expected) {
    gab_bpe_work work = {.scan_max = GAB_BPE_SCAN_MAX};
    const int32_t *ids;
    size_t n;
    CHECK(gab_bpe_encode(bpe, &work, word, strlen(word), &ids, &n));
    CHECK(n == n_expected && memcmp(ids, expected, n * sizeof *ids) == 0);
    gab_bpe_work_free(&work);
}
#define CHECK_WORD(bpe, word, ...)                                                                                     \
    check(bpe, word, (const int32_t[]){__VA_ARGS__}, sizeof((const int32_t[]){__VA_ARGS__}) / sizeof(int32_t))

GAB_TEST(unknown_characters) {
    gab_bpe *bpe = make(false);
    CHECK_WORD(bpe, "abab", AB, AB);
    CHECK_WORD(bpe, "abbb", ABB, B);
    CHECK_WORD(bpe, "x\xC3\xA9", UNKNOWN, UNKNOWN);
    CHECK_WORD(bpe, "az", HIDDEN);     /* "z" is no token, but a part of one */
    CHECK_WORD(bpe, "zb", UNKNOWN, B); /* which does not show where it is alone */
    CHECK(gab_bpe_part_bytes(bpe, "abab", 4) == 2 && gab_bpe_part_bytes(bpe, "abb", 3) == 3);
    gab_bpe_destroy(&bpe);
    bpe = make(true);
    CHECK_WORD(bpe, "axyzb", A, UNKNOWN, B);
    CHECK(gab_bpe_part_bytes(bpe, "abxab", 5) == 5); /* a cut would part what is one unknown token */
    gab_bpe_destroy(&bpe);
}

/* A vocabulary in which nothing is cut and all merges: 2^k letters. Quadratic work would take minutes. */
GAB_TEST(long_runs) {
    enum { N = 1 << 20, LEVELS = 5 };
    static char text[N];
    gab_gguf_string tokens[LEVELS];
    double scores[LEVELS];
    uint8_t no_merge[LEVELS] = {0};
    memset(text, 'a', N);
    for (int i = 0; i < LEVELS; i++) {
        tokens[i] = (gab_gguf_string){text, (uint64_t)1 << i};
        scores[i] = -i;
    }
    gab_bpe_source source = {.file = "test",
                             .tokens_field = "tokens",
                             .tokens = tokens,
                             .n_token = LEVELS,
                             .no_merge = no_merge,
                             .scores = scores,
                             .characters = true,
                             .unknown = -1};
    gab_bpe *bpe;
    gab_bpe_work work = {.scan_max = GAB_BPE_SCAN_MAX};
    const int32_t *ids;
    size_t n;
    CHECK_OK(gab_bpe_create(&source, NULL, &bpe));
    uint64_t start = gab_time_ns();
    CHECK(gab_bpe_part_bytes(bpe, text, N) == N);
    CHECK(gab_bpe_encode(bpe, &work, text, N, &ids, &n));
    CHECK(n == N >> (LEVELS - 1));
    for (size_t i = 0; i < n; i++) CHECK(ids[i] == LEVELS - 1);
    CHECK(gab_time_ms_since(start) < 20e3);
    gab_bpe_work_free(&work);
    gab_bpe_destroy(&bpe);
}

/* A token of 300000 letters has as many ways to be put together: looking at both parts of each took a minute. */
GAB_TEST(long_tokens_are_taken_apart_in_time) {
    enum { LONG = 300000 };
    static char letters[LONG];
    memset(letters, 'a', LONG);
    const gab_gguf_string tokens[] = {{"a", 1}, {"aa", 2}, {letters, LONG}};
    const double scores[] = {-3, -1, -2};
    gab_bpe_work work = {.scan_max = GAB_BPE_SCAN_MAX};
    const int32_t *ids;
    size_t n;
    gab_bpe *bpe;
    gab_bpe_source source = {.file = "test",
                             .tokens_field = "tokens",
                             .tokens = tokens,
                             .n_token = 3,
                             .scores = scores,
                             .characters = true,
                             .unknown = -1};
    for (int b = 0; b < 256; b++) source.byte_tokens[b] = -1;
    static const uint8_t no_merge[3];
    source.no_merge = no_merge;
    const uint64_t start = gab_time_ns();
    CHECK_OK(gab_bpe_create(&source, NULL, &bpe));
    CHECK(gab_time_ms_since(start) < 3000);
    CHECK(gab_bpe_encode(bpe, &work, "aaa", 3, &ids, &n) && n == 2 && ids[0] == 1 && ids[1] == 0);
    gab_bpe_work_free(&work);
    gab_bpe_destroy(&bpe);
}

GAB_TEST_MAIN()
