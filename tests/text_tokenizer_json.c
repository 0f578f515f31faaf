/*
 * tokenizer.json: what is wrong or unknown in it is named; the files beside it; the embedded model's tokenizer against
 * its GGUF; long runs in every kind. What it makes of text is checked in text_recorded.c.
 */
#include "test.h"

#include "base/time.h"
#include "format/json_text.h"
#include "gguf_build.h"
#include "text/vocabulary.h"

#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size); /* fuzz/fuzz_tokenizer_json.c */

GAB_TEST(fuzz_corpus) {
    CHECK(gab_test_corpus("corpus_tokenizer_json", LLVMFuzzerTestOneInput) >= 8);
}

static gab_status read_text(const char *json, gab_tokenizer **t) {
    gab_vocabulary v = {.file = "t.json"};
    *t = NULL;
    return gab_vocabulary_finish(&v, gab_vocabulary_read_json_text(&v, json, strlen(json)), t);
}

/* ---- errors ---- */

#define MODEL "\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":1,\"ab\":2},\"merges\":[\"a b\"]}"
#define BYTES "\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false}"

GAB_TEST(what_is_wrong_is_named) {
    static const struct {
        gab_status status;
        const char *json, *said, *also;
    } WRONG[] = {
        {GAB_ERROR_FORMAT, "", "line 1", "t.json"},
        {GAB_ERROR_FORMAT, "{\"a\":\n[1,}", "line 2", "no JSON"},
        {GAB_ERROR_FORMAT, "{\"a\":\"\xff\"}", "UTF-8", "line 1"},
        {GAB_ERROR_FORMAT, "{} x", "more behind", ""},
        {GAB_ERROR_UNSUPPORTED, "{}", "model is of type '(none)'", "BPE, Unigram"},
        {GAB_ERROR_UNSUPPORTED, "{\"model\":{\"type\":\"WordPiece\"}}", "'WordPiece'", "BPE, Unigram"},
        {GAB_ERROR_FORMAT, "{\"model\":{\"type\":\"BPE\",\"vocab\":[]}}", "model.vocab", "object"},
        {GAB_ERROR_FORMAT, "{\"model\":{\"type\":\"BPE\",\"vocab\":{},\"merges\":[]}}", "model.vocab", "no tokens"},
        {GAB_ERROR_FORMAT, "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":-1},\"merges\":[]}}", "entry 0", "its id"},
        {GAB_ERROR_FORMAT, "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":2000000000},\"merges\":[]}}",
         "ids up to 2000000000", ""},
        {GAB_ERROR_FORMAT, "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0}}}", "model.merges", "missing"},
        {GAB_ERROR_FORMAT, "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[\"ab\"]}}", "model.merges[0]",
         "two tokens"},
        {GAB_ERROR_FORMAT, "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[[\"a\",\"b\"]]}}",
         "model.merges[0]", "right part"},
        {GAB_ERROR_FORMAT, "{\"model\":{\"type\":\"Unigram\",\"vocab\":[[\"a\",\"b\"]]}}", "entry 0", "score"},
        {GAB_ERROR_FORMAT, "{\"added_tokens\":[{\"id\":1}]," MODEL "}", "added_tokens", "content"},
        {GAB_ERROR_UNSUPPORTED, "{\"normalizer\":{\"type\":\"Lowercase\"}," MODEL "}", "normalizer", "'Lowercase'"},
        {GAB_ERROR_UNSUPPORTED,
         "{\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Bert\"}]}," MODEL "}",
         "pre_tokenizer", "'Bert'"},
        {GAB_ERROR_UNSUPPORTED, "{\"decoder\":{\"type\":\"CTC\"}," MODEL "}", "decoder", "'CTC'"},
        {GAB_ERROR_UNSUPPORTED, "{\"post_processor\":{\"type\":\"X\"}," MODEL "}", "post_processor", "'X'"},
        {GAB_ERROR_UNSUPPORTED,
         "{\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"?\"}}]}," MODEL
         "}",
         "post_processor", "token that is none"},
        {GAB_ERROR_UNSUPPORTED,
         "{\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":\"(\"},\"behavior\":\"Isolated\"}," MODEL "}",
         "'('", "PCRE2"},
        {GAB_ERROR_UNSUPPORTED,
         "{\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":\"a\"},\"behavior\":\"Eaten\"}," MODEL "}",
         "pre_tokenizer", "behavior"},
        {GAB_ERROR_UNSUPPORTED, "{" BYTES ",\"model\":{\"type\":\"BPE\",\"end_of_word_suffix\":\"</w>\",\"vocab\":{}}}",
         "model.end_of_word_suffix", "t.json"},
    };
    for (size_t i = 0; i < sizeof WRONG / sizeof *WRONG; i++) {
        gab_tokenizer *t;
        gab_status status = read_text(WRONG[i].json, &t);
        const char *said = gab_last_error();
        if (status != WRONG[i].status || t || !strstr(said, WRONG[i].said) || !strstr(said, WRONG[i].also))
            FAIL("%s: %s: %s", WRONG[i].json, gab_status_text(status), said);
    }
}

static void check_text(const gab_tokenizer *t, const char *text, bool special, const int32_t *expected, size_t n) {
    int32_t *ids;
    size_t n_id;
    CHECK_OK(gab_tokenizer_encode(t, text, strlen(text), true, special, &ids, &n_id));
    for (size_t i = 0; i < n && i < n_id; i++)
        if (ids[i] != expected[i]) FAIL("'%s': token %zu is %d, not %d", text, i, ids[i], expected[i]);
    if (n_id != n) FAIL("'%s': %zu tokens, not %zu", text, n_id, n);
    gab_tokens_free(&ids);
}
#define CHECK_TEXT(t, text, special, ...)                                                                              \
    check_text(t, text, special, (const int32_t[]){__VA_ARGS__},                                                       \
               sizeof((const int32_t[]){__VA_ARGS__}) / sizeof(int32_t))

/* Escapes, holes between ids, a pattern that matches nothing at all. */
GAB_TEST(odd_but_good) {
    gab_tokenizer *t;
    size_t n;
    CHECK_OK(
        read_text("{\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":\"x*\"},\"behavior\":\"Isolated\"},"
                  "\"model\":{\"vocab\":{\"\\u0061\":0,\"\\ud83d\\ude00\":5,\"\\ud83d\":7,\"x\":2},\"merges\":[]}}",
                  &t));
    CHECK(gab_tokenizer_n_vocab(t) == 8);
    CHECK_TEXT(t, "axxa\xF0\x9F\x98\x80\xEF\xBF\xBD", false, 0, 2, 2, 0, 5, 7);
    CHECK(gab_tokenizer_piece(t, 1, true, &n) && n == 0); /* a hole */
    gab_tokenizer_destroy(&t);
}

/* Of a family that shares the file, a smaller model has no row for the last ones. */
GAB_TEST(tokens_beyond_the_model) {
    static const char json[] = "{\"added_tokens\":[{\"id\":3,\"content\":\"<s>\",\"special\":true},"
                               "{\"id\":4,\"content\":\"<image>\",\"special\":true}]," MODEL "}";
    for (uint32_t n_row = 3; n_row <= 5; n_row++) {
        gab_vocabulary v = {.file = "t.json", .n_row = n_row};
        gab_tokenizer *t = NULL;
        CHECK_OK(gab_vocabulary_finish(&v, gab_vocabulary_read_json_text(&v, json, strlen(json)), &t));
        CHECK(gab_tokenizer_n_vocab(t) == n_row);
        if (n_row == 4) CHECK_TEXT(t, "<s>ab", true, 3, 2);
        gab_tokenizer_destroy(&t);
    }
}

/* ---- the files beside it ---- */

static void write_file(const char *folder, const char *name, const char *text) {
    char path[512];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    gab_test_file_write(path, text, strlen(text));
}

GAB_TEST(files_beside_it) {
    char folder[] = "/tmp/gabbro-tokenizer-XXXXXX", path[512];
    static const char *const NAMES[] = {"tokenizer.json", "tokenizer_config.json", "generation_config.json"};
    gab_tokenizer *t;
    CHECK(mkdtemp(folder));
    write_file(folder, "tokenizer.json",
               "{\"added_tokens\":[{\"id\":3,\"content\":\"<s>\",\"special\":true},{\"id\":4,\"content\":\"</"
               "s>\",\"special\":true}],"
               "\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"<s>\"}},"
               "{\"Sequence\":{\"id\":\"A\"}}]}," MODEL "}");
    CHECK_OK(gab_tokenizer_open(folder, NULL, NULL, &t));
    CHECK_TEXT(t, "ab<s>", true, 3, 2, 3);
    CHECK(gab_tokenizer_bos(t) == -1 && gab_tokenizer_eos(t) == -1);
    gab_tokenizer_destroy(&t);

    write_file(
        folder, "tokenizer_config.json",
        "{\"bos_token\":{\"content\":\"<s>\"},\"eos_token\":\"</s>\",\"add_bos_token\":false,\"add_eos_token\":true,"
        "\"added_tokens_decoder\":{\"1\":{\"content\":\"b\",\"special\":true},\"99\":{\"content\":\"no token\"}}}");
    write_file(folder, "generation_config.json", "{\"eos_token_id\":[4,0,77]}");
    snprintf(path, sizeof path, "%s/tokenizer.json", folder);
    CHECK_OK(gab_tokenizer_open(path, NULL, NULL, &t));
    CHECK_TEXT(t, "ab", false, 2, 4);
    CHECK_TEXT(t, "ab", true, 0, 1, 4); /* "b" is a special token now */
    CHECK(gab_tokenizer_bos(t) == 3 && gab_tokenizer_eos(t) == 4 && gab_tokenizer_n_vocab(t) == 5);
    CHECK(gab_tokenizer_is_end(t, 4) && gab_tokenizer_is_end(t, 0) && !gab_tokenizer_is_end(t, 3));
    gab_tokenizer_destroy(&t);

    write_file(folder, "tokenizer_config.json", "{");
    CHECK(gab_tokenizer_open(folder, NULL, NULL, &t) == GAB_ERROR_FORMAT);
    CHECK(strstr(gab_last_error(), "tokenizer_config.json"));
    for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, NAMES[i]);
        unlink(path);
    }
    CHECK(gab_tokenizer_open(folder, NULL, NULL, &t) == GAB_ERROR_FILE);
    CHECK(strstr(gab_last_error(), "/tokenizer.json"));
    rmdir(folder);
}

/* The same ids from tokenizer.json and from GGUF, on whole books. */
GAB_TEST(tales_as_gguf) {
    static const char *const TEXTS[] = {"texts/tinyshakespeare.txt", "texts/tinystories_val_sample.txt"};
    gab_tokenizer *json, *gguf;
    CHECK_OK(gab_tokenizer_open(gab_test_model("tales-6m-hf"), NULL, NULL, &json));
    CHECK_OK(gab_tokenizer_open(gab_test_source("models/tales.gguf"), NULL, NULL, &gguf));
    CHECK(gab_tokenizer_n_vocab(json) == gab_tokenizer_n_vocab(gguf));
    CHECK(gab_tokenizer_eos(json) == gab_tokenizer_eos(gguf) && gab_tokenizer_bos(json) == gab_tokenizer_bos(gguf));
    for (size_t i = 0; i < sizeof TEXTS / sizeof *TEXTS; i++) {
        size_t n, n_a, n_b;
        int32_t *a, *b;
        char *text = gab_test_file_read(gab_test_model(TEXTS[i]), &n);
        CHECK_OK(gab_tokenizer_encode(json, text, n, true, true, &a, &n_a));
        CHECK_OK(gab_tokenizer_encode(gguf, text, n, true, true, &b, &n_b));
        CHECK(n_a == n_b && memcmp(a, b, n_a * sizeof *a) == 0);
        gab_tokens_free(&a);
        gab_tokens_free(&b);
        free(text);
    }
    gab_tokenizer_destroy(&json);
    gab_tokenizer_destroy(&gguf);
}

/* Long runs of equal characters, in every kind: quadratic work would take minutes. */
GAB_TEST(long_runs) {
    enum { N = 240000 };
    static const char *const NAMES[] = {"llama", "llama3", "qwen2", "falcon", "unigram-bytes"};
    static const char *const UNITS[] = {"a",         " ",        "\n", "=",   "7",  "\xE4\xB8\xAD",
                                        "e\xCC\x81", "\xCC\x81", " a", "<s>", " \n"};
    char *text = malloc(N);
    CHECK(text);
    for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++) {
        char path[256];
        gab_tokenizer *t;
        snprintf(path, sizeof path, "tests/tokenizers/%s", NAMES[i]);
        CHECK_OK(gab_tokenizer_open(gab_test_source(path), NULL, NULL, &t));
        for (size_t u = 0; u < sizeof UNITS / sizeof *UNITS; u++) {
            size_t length = strlen(UNITS[u]), n;
            int32_t *ids;
            for (size_t k = 0; k < N; k++) text[k] = UNITS[u][k % length];
            uint64_t start = gab_time_ns();
            CHECK_OK(gab_tokenizer_encode(t, text, N / length * length, true, true, &ids, &n));
            double ms = gab_time_ms_since(start);
            if (ms > 20e3) FAIL("%s: %.0f ms for a run of '%s'", NAMES[i], ms, UNITS[u]);
            gab_tokens_free(&ids);
        }
        gab_tokenizer_destroy(&t);
    }
    free(text);
}

GAB_TEST_MAIN()
