/*
 * Vocabularies made for the test: what is wrong in a file is named, what is merely odd has its documented reading;
 * special tokens; ends of turn.
 */
#include "test.h"

#include "base/time.h"
#include "gguf_build.h"
#include "text/tokenizer.h"

/* What a file says; NULL and -1 leave the key out. */
typedef struct vocabulary {
    const char *model, *pre;
    const char *const *tokens;
    size_t n_token;
    const int32_t *types;
    size_t n_type;
    const char *const *merges;
    size_t n_merge;
    int64_t bos, eos, eot;
    bool add_bos;
} vocabulary;

/* "\304\240" spells the space */
static const char *const TOKENS[] = {"a",   "b",   "c",  "ab",         "abc", "\304\240", "\304\240a", "<s>",
                                     "<e>", "<ee", "<e", "<|im_end|>", "  ",  "<",        ">",         "e"};
enum { A, B, C, AB, ABC, SPACE, SPACE_A, START, END, USER_EE, USER_E, IM_END, USER_SPACES, LESS, GREATER, E, N_TOKEN };
static const int32_t TYPES[] = {1, 1, 1, 1, 1, 1, 1, 3, 3, 4, 4, 3, 4, 1, 1, 1};
static const char *const MERGES[] = {"a b", "ab c", "\304\240 a"};

static vocabulary usual(void) {
    return (vocabulary){.model = "gpt2",
                        .pre = "gpt-2",
                        .tokens = TOKENS,
                        .n_token = N_TOKEN,
                        .types = TYPES,
                        .n_type = N_TOKEN,
                        .merges = MERGES,
                        .n_merge = 3,
                        .bos = START,
                        .eos = END,
                        .eot = -1};
}

static char log_text[4096];

static void keep_log(void *user, gab_log_level level, const char *message) {
    (void)user;
    if (level > GAB_LOG_WARNING) return;
    strncat(log_text, message, sizeof log_text - strlen(log_text) - 1);
}

static gguf_build *build(const vocabulary *v) {
    gguf_build *b = gguf_build_new(3);
    if (v->model) gguf_build_string(b, "tokenizer.ggml.model", v->model);
    if (v->pre) gguf_build_string(b, "tokenizer.ggml.pre", v->pre);
    if (v->tokens) gguf_build_strings(b, "tokenizer.ggml.tokens", v->tokens, v->n_token);
    if (v->types) gguf_build_array(b, "tokenizer.ggml.token_type", GAB_GGUF_I32, v->types, v->n_type);
    if (v->merges) gguf_build_strings(b, "tokenizer.ggml.merges", v->merges, v->n_merge);
    if (v->bos >= 0) gguf_build_u32(b, "tokenizer.ggml.bos_token_id", (uint32_t)v->bos);
    if (v->eos >= 0) gguf_build_u32(b, "tokenizer.ggml.eos_token_id", (uint32_t)v->eos);
    if (v->eot >= 0) gguf_build_u32(b, "tokenizer.ggml.eot_token_id", (uint32_t)v->eot);
    if (v->add_bos) gguf_build_bool(b, "tokenizer.ggml.add_bos_token", true);
    return b;
}

/* Takes the builder. */
static gab_status open_build(gguf_build *b, gab_tokenizer **tokenizer) {
    log_text[0] = 0;
    *tokenizer = NULL;
    gab_status status = gab_tokenizer_open(gguf_build_temp(b), keep_log, NULL, tokenizer);
    gguf_build_free(&b);
    return status;
}

static gab_tokenizer *open_good(const vocabulary *v) {
    gab_tokenizer *tokenizer;
    CHECK_OK(open_build(build(v), &tokenizer));
    return tokenizer;
}

/* Opening fails with a sentence that holds both texts. */
static void check_build_fails(gguf_build *b, gab_status expected, const char *key, const char *value) {
    gab_tokenizer *tokenizer;
    gab_status status = open_build(b, &tokenizer);
    if (status != expected || tokenizer) FAIL("%s %s: %s", key, value, gab_status_text(status));
    const char *said = gab_last_error();
    if (!strstr(said, key) || !strstr(said, value)) FAIL("'%s' names no '%s' or no '%s'", said, key, value);
    CHECK(strcmp(said, log_text) == 0); /* said once */
}

static void check_fails(const vocabulary *v, const char *key, const char *value) {
    check_build_fails(build(v), GAB_ERROR_FORMAT, key, value);
}

static void check_ids(const gab_tokenizer *t, const char *text, bool parse_special, const int32_t *expected, size_t n) {
    int32_t *ids;
    size_t n_id;
    CHECK_OK(gab_tokenizer_encode(t, text, strlen(text), true, parse_special, &ids, &n_id));
    for (size_t i = 0; i < n && i < n_id; i++)
        if (ids[i] != expected[i]) FAIL("'%s': token %zu is %d, not %d", text, i, ids[i], expected[i]);
    if (n_id != n) FAIL("'%s': %zu tokens, not %zu", text, n_id, n);
    gab_tokens_free(&ids);
}
#define CHECK_IDS(t, text, parse_special, ...)                                                                         \
    check_ids(t, text, parse_special, (const int32_t[]){__VA_ARGS__},                                                  \
              sizeof((const int32_t[]){__VA_ARGS__}) / sizeof(int32_t))

/* ---- errors ---- */

GAB_TEST(wrong_model) {
    vocabulary v = usual();
    v.model = "t5";
    check_build_fails(build(&v), GAB_ERROR_UNSUPPORTED, "tokenizer.ggml.model", "'t5'");
    check_build_fails(build(&v), GAB_ERROR_UNSUPPORTED, "'gpt2'", "supported");
    v.model = NULL;
    check_fails(&v, "tokenizer.ggml.model", "");
}

GAB_TEST(wrong_pre) {
    vocabulary v = usual();
    v.pre = "mart\033ian";
    check_build_fails(build(&v), GAB_ERROR_UNSUPPORTED, "tokenizer.ggml.pre", "'mart?ian'");
    v.pre = NULL;
    gguf_build *b = build(&v);
    gguf_build_u32(b, "tokenizer.ggml.pre", 3);
    check_build_fails(b, GAB_ERROR_FORMAT, "tokenizer.ggml.pre", "");
}

GAB_TEST(wrong_tokens) {
    vocabulary v = usual();
    v.tokens = NULL;
    check_fails(&v, "tokenizer.ggml.tokens", "array of");
    v.tokens = TOKENS;
    v.n_token = 0;
    check_fails(&v, "tokenizer.ggml.tokens", "array of");

    v = usual();
    v.tokens = TOKENS + START; /* only "<", ">" and "e" are bytes there */
    v.n_token = v.n_type = 6;
    v.types = TYPES + START;
    v.n_merge = 0;
    v.bos = v.eos = -1;
    check_fails(&v, "tokenizer.ggml.tokens", "no token of a single byte");
}

GAB_TEST(token_too_long) {
    char *text = malloc(GAB_TOKEN_BYTES_MAX + 2);
    CHECK(text);
    memset(text, 'a', GAB_TOKEN_BYTES_MAX + 1);
    text[GAB_TOKEN_BYTES_MAX + 1] = 0;
    const char *tokens[] = {"a", "b", text};
    vocabulary v = usual();
    v.tokens = tokens;
    v.n_token = 3;
    v.types = NULL;
    v.n_merge = 0;
    v.bos = v.eos = -1;
    check_fails(&v, "tokenizer.ggml.tokens[2]", "65537");
    text[GAB_TOKEN_BYTES_MAX] = 0;
    gab_tokenizer *t = open_good(&v);
    size_t n;
    CHECK(gab_tokenizer_piece(t, 2, false, &n) && n == GAB_TOKEN_BYTES_MAX);
    gab_tokenizer_destroy(&t);
    free(text);
}

GAB_TEST(wrong_types) {
    vocabulary v = usual();
    v.n_type = N_TOKEN - 1;
    check_fails(&v, "tokenizer.ggml.token_type has 15", "tokens 16");
    int32_t types[N_TOKEN];
    memcpy(types, TYPES, sizeof types);
    v = usual();
    v.types = types;
    types[4] = 7;
    check_fails(&v, "tokenizer.ggml.token_type[4]", "7");
    types[4] = -1;
    check_fails(&v, "tokenizer.ggml.token_type[4]", "-1");
    v.types = NULL;
    gguf_build *b = build(&v);
    gguf_build_array(b, "tokenizer.ggml.token_type", GAB_GGUF_F32, types, N_TOKEN);
    check_build_fails(b, GAB_ERROR_FORMAT, "tokenizer.ggml.token_type", "integers");
}

/* A token that there is not is as good as none; the file says so, and is used. */
static void check_unused(const vocabulary *v, const char *key, const char *value) {
    gab_tokenizer *t = open_good(v);
    if (!strstr(log_text, key) || !strstr(log_text, value)) FAIL("'%s' names no '%s' or no '%s'", log_text, key, value);
    CHECK(gab_tokenizer_bos(t) < N_TOKEN && gab_tokenizer_eos(t) < N_TOKEN);
    gab_tokenizer_destroy(&t);
}

GAB_TEST(wrong_ids) {
    vocabulary v = usual();
    v.bos = N_TOKEN;
    check_unused(&v, "tokenizer.ggml.bos_token_id", "16");
    v = usual();
    v.eos = UINT32_MAX;
    check_unused(&v, "tokenizer.ggml.eos_token_id", "4294967295");
    v = usual();
    v.eot = 1 << 20;
    check_unused(&v, "tokenizer.ggml.eot_token_id", "1048576");
    v = usual();
    v.bos = -1;
    gguf_build *b = build(&v);
    gguf_build_string(b, "tokenizer.ggml.bos_token_id", "<s>");
    check_build_fails(b, GAB_ERROR_FORMAT, "tokenizer.ggml.bos_token_id", "");
}

GAB_TEST(wrong_merges) {
    static const struct {
        const char *merge, *said;
    } WRONG[] = {{"x a", "left part"}, {"a x", "right part"}, {"b a", "what it makes"}, {"ab", "two tokens"},
                 {"", "two tokens"},   {" ", "two tokens"},   {"a ", "two tokens"},     {" a", "two tokens"}};
    vocabulary v = usual();
    for (size_t i = 0; i < sizeof WRONG / sizeof *WRONG; i++) {
        const char *merges[] = {"a b", WRONG[i].merge};
        v.merges = merges;
        v.n_merge = 2;
        char value[64];
        snprintf(value, sizeof value, "'%s'", WRONG[i].merge);
        check_fails(&v, "tokenizer.ggml.merges[1]", value);
        CHECK(strstr(gab_last_error(), WRONG[i].said));
    }
    v.merges = NULL;
    check_fails(&v, "tokenizer.ggml.merges", "missing");
}

/* ---- what is merely odd ---- */

GAB_TEST(usual_vocabulary) {
    vocabulary v = usual();
    gab_tokenizer *t = open_good(&v);
    CHECK_IDS(t, "abc a abab", false, ABC, SPACE_A, SPACE, AB, AB);
    CHECK(log_text[0] == 0);
    CHECK(gab_tokenizer_bos(t) == START && gab_tokenizer_eos(t) == END && gab_tokenizer_n_vocab(t) == N_TOKEN);
    gab_tokenizer_destroy(&t);
    v.pre = NULL;
    v.bos = v.eos = -1;
    t = open_good(&v);
    CHECK_IDS(t, "abc a", false, ABC, SPACE_A);
    CHECK(gab_tokenizer_bos(t) == -1 && gab_tokenizer_eos(t) == -1);
    CHECK(strstr(log_text, "tokenizer.ggml.pre is missing"));
    gab_tokenizer_destroy(&t);
}

/* Files from before there was tokenizer.ggml.pre: the architecture tells. GPT-NeoX composes letters (NFC). */
GAB_TEST(old_files) {
    static const char *const tokens[] = {"\303\203", "\302\251", "\303\203\302\251"}; /* the bytes of e with acute */
    static const char *const merges[] = {"\303\203 \302\251"};
    vocabulary v = usual();
    v.tokens = tokens;
    v.n_token = 3;
    v.types = NULL;
    v.merges = merges;
    v.n_merge = 1;
    v.pre = NULL;
    v.bos = v.eos = -1;
    gguf_build *b = build(&v);
    gguf_build_string(b, "general.architecture", "gptneox");
    gab_tokenizer *t;
    CHECK_OK(open_build(b, &t));
    CHECK_IDS(t, "e\314\201", false, 2);
    CHECK(log_text[0] == 0);
    gab_tokenizer_destroy(&t);
}

GAB_TEST(no_merges_means_bytes) {
    vocabulary v = usual();
    v.n_merge = 0;
    gab_tokenizer *t = open_good(&v);
    CHECK_IDS(t, "abc a", false, A, B, C, SPACE, A);
    gab_tokenizer_destroy(&t);
}

GAB_TEST(double_tokens_and_merges) {
    static const char *const twice[] = {"b", "a", "a", "ab", "ab", "b"};
    static const char *const merges[] = {"a b", "a b"};
    vocabulary v = {.model = "gpt2",
                    .tokens = twice,
                    .n_token = 6,
                    .merges = merges,
                    .n_merge = 2,
                    .bos = -1,
                    .eos = -1,
                    .eot = -1};
    gab_tokenizer *t = open_good(&v);
    CHECK_IDS(t, "abba", false, 3, 0, 1);
    CHECK(strstr(log_text, "tokenizer.ggml.tokens") && strstr(log_text, "3 tokens twice") && strstr(log_text, "is 2"));
    size_t n;
    const char *piece = gab_tokenizer_piece(t, 4, false, &n);
    CHECK(n == 2 && memcmp(piece, "ab", 2) == 0);
    gab_tokenizer_destroy(&t);
}

GAB_TEST(start_token) {
    vocabulary v = usual();
    v.add_bos = true;
    gab_tokenizer *t = open_good(&v);
    CHECK_IDS(t, "abc", false, START, ABC);
    CHECK_IDS(t, "", false, START);
    int32_t *ids;
    size_t n;
    CHECK_OK(gab_tokenizer_encode(t, "abc", 3, false, false, &ids, &n));
    CHECK(n == 1 && ids[0] == ABC);
    gab_tokens_free(&ids);
    gab_tokenizer_destroy(&t);
    v.bos = -1;
    t = open_good(&v);
    CHECK(strstr(log_text, "tokenizer.ggml.add_bos_token"));
    CHECK_IDS(t, "abc", false, ABC);
    gab_tokenizer_destroy(&t);
}

/* Without types the special ids and the ends of turn are control tokens. */
GAB_TEST(no_types) {
    vocabulary v = usual();
    v.types = NULL;
    gab_tokenizer *t = open_good(&v);
    size_t n;
    CHECK_IDS(t, "<s><|im_end|>  a", true, START, IM_END, SPACE, SPACE_A);
    CHECK(gab_tokenizer_piece(t, START, false, &n) && n == 0);
    CHECK(gab_tokenizer_piece(t, IM_END, false, &n) && n == 0);
    CHECK(gab_tokenizer_piece(t, USER_EE, false, &n) && n == 3);
    gab_tokenizer_destroy(&t);
}

/* Gemma 4's kind: BPE of characters by a list of merges, spaces escaped, rows of line ends whole. */
GAB_TEST(gemma4_vocabulary) {
    static const char *const tokens[] = {"<bos>", "\xE2\x96\x81", "a",      "\xE2\x96\x81\x61",
                                         "\n",    "\n\n",         "<0xC3>", "<0xA9>"};
    static const int32_t types[] = {3, 1, 1, 1, 1, 1, 6, 6};
    static const char *const merges[] = {"\xE2\x96\x81 a"};
    vocabulary v = {.model = "gemma4",
                    .tokens = tokens,
                    .n_token = 8,
                    .types = types,
                    .n_type = 8,
                    .merges = merges,
                    .n_merge = 1,
                    .bos = 0,
                    .eos = -1,
                    .eot = -1};
    gab_tokenizer *t = open_good(&v);
    size_t n;
    CHECK_IDS(t, "a a\n\n\xC3\xA9\n\n\n", false, 0, 2, 3, 5, 6, 7, 4, 4, 4);
    CHECK(*gab_tokenizer_piece(t, 3, false, &n) == ' ' && n == 2);
    CHECK(*gab_tokenizer_piece(t, 6, false, &n) == '\xC3' && n == 1);
    gab_tokenizer_destroy(&t);
}

/* ---- special tokens ---- */

GAB_TEST(special_tokens) {
    vocabulary v = usual();
    gab_tokenizer *t = open_good(&v);
    CHECK_IDS(t, "<s>a<e>", true, START, A, END);
    CHECK_IDS(t, "<e><e><ee>", true, END, END, USER_EE, GREATER); /* the longest at each place */
    CHECK_IDS(t, "<e<ee<e", true, USER_E, USER_EE, USER_E);
    CHECK_IDS(t, "<<e>", true, LESS, END);
    CHECK_IDS(t, "ab<s", true, AB, LESS); /* no token for "s": dropped, as there is none for U+FFFD either */
    CHECK_IDS(t, "<e>", false, USER_E, GREATER);
    CHECK_IDS(t, "a   b", false, A, USER_SPACES, SPACE, B);
    size_t n;
    CHECK(gab_tokenizer_piece(t, END, false, &n) && n == 0);
    CHECK(gab_tokenizer_piece(t, END, true, &n) && n == 3);
    CHECK(gab_tokenizer_piece(t, USER_SPACES, false, &n) && n == 2);
    gab_tokenizer_destroy(&t);
}

GAB_TEST(ends_of_turn) {
    static const bool END_OF[N_TOKEN] = {[END] = true, [IM_END] = true, [C] = true};
    vocabulary v = usual();
    v.eot = C;
    gab_tokenizer *t = open_good(&v);
    for (int32_t id = -1; id <= N_TOKEN; id++)
        CHECK(gab_tokenizer_is_end(t, id) == (id >= 0 && id < N_TOKEN && END_OF[id]));
    gab_tokenizer_destroy(&t);
}

/* ---- size ---- */

/* 300,000 tokens and as many merges: byte tokens, all pairs and triples of lower-case letters, then pairs of triples.
 */
GAB_TEST(large_vocabulary) {
    enum { N = 300000, LETTERS = 26 };
    char(*text)[8] = calloc(N, sizeof *text), (*merge_text)[8] = calloc(N, sizeof *merge_text);
    const char **tokens = calloc(N, sizeof *tokens), **merges = calloc(N, sizeof *merges);
    CHECK(text && merge_text && tokens && merges);
    size_t n = 0, n_merge = 0;
    for (; n < LETTERS; n++) text[n][0] = (char)('a' + n);
    for (size_t i = 0; n < N; i++) { /* token i and a letter, the letters in turn */
        char letter = (char)('a' + i % LETTERS), first[8];
        memcpy(first, text[i / LETTERS], sizeof first);
        snprintf(text[n++], 8, "%.6s%c", first, letter);
        snprintf(merge_text[n_merge++], 8, "%.5s %c", first, letter);
    }
    for (size_t i = 0; i < N; i++) {
        tokens[i] = text[i];
        merges[i] = merge_text[i];
    }
    vocabulary v = {.model = "gpt2",
                    .tokens = tokens,
                    .n_token = n,
                    .merges = merges,
                    .n_merge = n_merge,
                    .bos = -1,
                    .eos = -1,
                    .eot = -1};
    gguf_build *b = build(&v);
    const char *path = gguf_build_temp(b);
    gab_tokenizer *t;
    uint64_t start = gab_time_ns();
    CHECK_OK(gab_tokenizer_open(path, NULL, NULL, &t));
    double ms = gab_time_ms_since(start);
    printf("%zu tokens, %zu merges: %.0f ms\n", n, n_merge, ms);
    CHECK(ms < 5000); /* a slow machine with sanitizers */
    CHECK(gab_tokenizer_n_vocab(t) == N);
    CHECK_IDS(t, "aba", false, LETTERS + LETTERS * (LETTERS + 1));
    gab_tokenizer_destroy(&t);
    gguf_build_free(&b);
    free(text);
    free(merge_text);
    free(tokens);
    free(merges);
}

GAB_TEST_MAIN()
