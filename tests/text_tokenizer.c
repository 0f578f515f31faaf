/*
 * The tokenizer with real vocabularies: ids against those of the models' own tokenizers, decoding, any bytes, threads.
 */
#include "test.h"

#include "base/file.h"
#include "base/threads.h"
#include "base/time.h"
#include "gabbro.h"
#include "text/nfc.h"

#include <cjson/cJSON.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size); /* fuzz/fuzz_tokenizer.c */

static gab_tokenizer *open_vocabulary(const char *path) {
    gab_tokenizer *tokenizer;
    CHECK_OK(gab_tokenizer_open(path, NULL, NULL, &tokenizer));
    return tokenizer;
}

static gab_tokenizer *open_tales(void) {
    return open_vocabulary(gab_test_source("models/tales.gguf"));
}

static gab_tokenizer *open_real(const char *name) {
    char file[256];
    snprintf(file, sizeof file, "vocab/ggml-vocab-%s.gguf", name);
    return open_vocabulary(gab_test_model(file));
}

/* The bytes of all tokens joined, malloc'ed, with a zero behind. */
static char *decode(const gab_tokenizer *tokenizer, const int32_t *ids, size_t n, bool with_special, size_t *n_byte) {
    size_t total = 0, piece_bytes;
    for (size_t i = 0; i < n; i++) {
        CHECK(gab_tokenizer_piece(tokenizer, ids[i], with_special, &piece_bytes));
        total += piece_bytes;
    }
    char *text = malloc(total + 1);
    CHECK(text);
    *n_byte = 0;
    for (size_t i = 0; i < n; i++) {
        const char *piece = gab_tokenizer_piece(tokenizer, ids[i], with_special, &piece_bytes);
        memcpy(text + *n_byte, piece, piece_bytes);
        *n_byte += piece_bytes;
    }
    text[total] = 0;
    return text;
}

static void check_decodes_to(const gab_tokenizer *tokenizer, const char *text, size_t n, const char *expected,
                             size_t n_expected) {
    int32_t *ids;
    size_t n_id, n_byte;
    CHECK_OK(gab_tokenizer_encode(tokenizer, text, n, false, true, &ids, &n_id));
    char *back = decode(tokenizer, ids, n_id, true, &n_byte);
    CHECK(n_byte == n_expected && memcmp(back, expected, n_byte) == 0);
    free(back);
    gab_tokens_free(&ids);
    CHECK(ids == NULL);
}

/* ---- texts and ids of real vocabularies ---- */

static size_t parse_ids(char **cursor, int32_t *ids, size_t n_max) {
    size_t n = 0;
    char *end = strchr(*cursor, '\n');
    CHECK(end);
    *end = 0;
    for (char *at = *cursor;; n++) {
        char *next;
        long id = strtol(at, &next, 10);
        if (next == at) break;
        CHECK(n < n_max);
        ids[n] = (int32_t)id;
        at = next;
    }
    *cursor = end + 1;
    return n;
}

/* What the stream makes of the tokens is the text, which is UTF-8. */
static void check_streams_to(const gab_tokenizer *tokenizer, const int32_t *ids, size_t n_id, const char *text,
                             size_t n) {
    gab_text_stream *stream;
    size_t at = 0;
    CHECK_OK(gab_text_stream_create(tokenizer, &stream));
    for (size_t i = 0; i <= n_id; i++) {
        const char *part = i < n_id ? gab_text_stream_push(stream, ids[i]) : gab_text_stream_finish(stream);
        const size_t length = strlen(part);
        if (length > n - at || memcmp(part, text + at, length) != 0)
            FAIL("'%.*s': '%s' at %zu", (int)n, text, part, at);
        at += length;
    }
    CHECK(at == n);
    gab_text_stream_destroy(&stream);
}

static void check_ids(const gab_tokenizer *tokenizer, const char *text, size_t n, const int32_t *expected,
                      size_t n_expected) {
    int32_t *ids;
    size_t n_id;
    CHECK_OK(gab_tokenizer_encode(tokenizer, text, n, false, false, &ids, &n_id));
    for (size_t i = 0; i < n_id && i < n_expected; i++)
        if (ids[i] != expected[i]) FAIL("'%.*s': token %zu is %d, not %d", (int)n, text, i, ids[i], expected[i]);
    if (n_id != n_expected) FAIL("'%.*s': %zu tokens, not %zu", (int)n, text, n_id, n_expected);
    check_streams_to(tokenizer, ids, n_id, text, n);
    gab_tokens_free(&ids);
}

/* `texts` names the vocabulary whose .inp and .out files are used. */
static void check_real(const char *name, const char *texts) {
    static const char SEPARATOR[] = "\n__ggml_vocab_test__\n";
    gab_tokenizer *tokenizer = open_real(name);
    char path[256], *input, *output;
    size_t n_input, n_output, n_text = 0;
    snprintf(path, sizeof path, "vocab/ggml-vocab-%s.gguf.inp", texts);
    CHECK_OK(gab_file_read_all(gab_test_model(path), 1 << 20, NULL, &input, &n_input));
    snprintf(path, sizeof path, "vocab/ggml-vocab-%s.gguf.out", texts);
    CHECK_OK(gab_file_read_all(gab_test_model(path), 1 << 20, NULL, &output, &n_output));
    char *ids_at = output;
    for (char *text = input, *end; (end = strstr(text, SEPARATOR)) != NULL;
         text = end + sizeof SEPARATOR - 1, n_text++) {
        int32_t expected[1024];
        size_t n_expected = parse_ids(&ids_at, expected, 1024);
        check_ids(tokenizer, text, (size_t)(end - text), expected, n_expected);
    }
    CHECK(n_text > 40 && *ids_at == 0);
    free(input);
    free(output);
    gab_tokenizer_destroy(&tokenizer);
    CHECK(tokenizer == NULL);
}

GAB_TEST(real_gpt_2) {
    check_real("gpt-2", "gpt-2");
}
GAB_TEST(real_mpt) {
    check_real("mpt", "mpt");
}
GAB_TEST(real_gpt_neox) {
    check_real("gpt-neox", "mpt"); /* MPT took its vocabulary from GPT-NeoX */
}
GAB_TEST(real_starcoder) {
    check_real("starcoder", "starcoder");
}
GAB_TEST(real_falcon) {
    check_real("falcon", "falcon");
}
GAB_TEST(real_deepseek_coder) {
    check_real("deepseek-coder", "deepseek-coder");
}
GAB_TEST(real_llama_spm) {
    check_real("llama-spm", "llama-spm");
}
GAB_TEST(real_phi_3) {
    check_real("phi-3", "phi-3");
}

GAB_TEST(golden_ids) {
    char *json, *text;
    size_t n, n_byte;
    CHECK_OK(gab_file_read_all(gab_test_model("tales-6m-hf/golden.json"), 1 << 24, NULL, &json, &n));
    cJSON *entries = cJSON_Parse(json), *entry;
    CHECK(cJSON_GetArraySize(entries) > 0);
    gab_tokenizer *tokenizer = open_tales();
    cJSON_ArrayForEach(entry, entries) {
        static const char *const PAIRS[][2] = {
            {"prompt", "prompt_ids"}, {"text_f32", "ids_f32"}, {"text_q8", "ids_q8"}};
        for (size_t k = 0; k < 3; k++) {
            const char *expected = cJSON_GetObjectItem(entry, PAIRS[k][0])->valuestring;
            const cJSON *array = cJSON_GetObjectItem(entry, PAIRS[k][1]), *item;
            int32_t ids[4096];
            size_t n_id = 0;
            cJSON_ArrayForEach(item, array) ids[n_id++] = item->valueint;
            CHECK(n_id > 0);
            if (k == 0) check_ids(tokenizer, expected, strlen(expected), ids, n_id);
            text = decode(tokenizer, ids, n_id, true, &n_byte);
            CHECK(strcmp(text, expected) == 0);
            free(text);
        }
    }
    cJSON_Delete(entries);
    free(json);
    gab_tokenizer_destroy(&tokenizer);
}

/* The stories of a small Llama model; their ids end where the model's context does. */
GAB_TEST(stories_ids) {
    size_t n, n_story = 0;
    char *json = gab_test_file_read(gab_test_model("stories260K/golden_ppl_20_stories.json"), &n);
    cJSON *whole = cJSON_Parse(json), *story;
    gab_tokenizer *tokenizer = open_vocabulary(gab_test_model("stories260K/stories260K-f32.gguf"));
    cJSON_ArrayForEach(story, cJSON_GetObjectItem(whole, "stories")) {
        const char *text = cJSON_GetObjectItem(story, "text")->valuestring;
        const cJSON *item;
        int32_t *ids;
        size_t n_id, i = 0;
        CHECK_OK(gab_tokenizer_encode(tokenizer, text, strlen(text), true, false, &ids, &n_id));
        cJSON_ArrayForEach(item, cJSON_GetObjectItem(story, "ids")) {
            if (i >= n_id || ids[i] != item->valueint)
                FAIL("story %zu: token %zu is not %d", n_story, i, item->valueint);
            i++;
        }
        CHECK(i == n_id || i >= 512);
        CHECK(ids[0] == gab_tokenizer_bos(tokenizer));
        check_streams_to(tokenizer, ids, n_id, text, strlen(text));
        gab_tokens_free(&ids);
        n_story++;
    }
    CHECK(n_story == 20);
    gab_tokenizer_destroy(&tokenizer);
    cJSON_Delete(whole);
    free(json);
}

/* ---- any bytes ---- */

/* Bytes that the vocabulary has no token for become U+FFFD; all others come back. */
static void check_random_bytes(gab_tokenizer *tokenizer, bool complete) {
    enum { N = 600 };
    bool missing[256];
    for (int b = 0; b < 256; b++) {
        char byte = (char)b;
        int32_t *ids;
        size_t n_id, n_byte;
        CHECK_OK(gab_tokenizer_encode(tokenizer, &byte, 1, false, false, &ids, &n_id));
        char *back = decode(tokenizer, ids, n_id, false, &n_byte);
        missing[b] = n_byte != 1;
        CHECK(missing[b] ? strcmp(back, "\xEF\xBF\xBD") == 0 : *back == byte);
        CHECK(!missing[b] || !complete);
        free(back);
        gab_tokens_free(&ids);
    }
    gab_test_random random = {7};
    for (int round = 0; round < 50; round++) {
        char text[N], expected[3 * N];
        size_t n = gab_test_random_u32(&random) % N, n_expected = 0;
        for (size_t i = 0; i < n; i++) {
            uint32_t r = gab_test_random_u32(&random);
            text[i] = (char)(r & 0x300 ? r : r >> 24 & 0x7F);
            if (missing[(unsigned char)text[i]]) {
                memcpy(expected + n_expected, "\xEF\xBF\xBD", 3);
                n_expected += 3;
            } else {
                expected[n_expected++] = text[i];
            }
        }
        /* MPT's vocabulary brings text to form NFC: what that changes does not come back */
        if (gab_nfc_is_plain(text, n)) check_decodes_to(tokenizer, text, n, expected, n_expected);
    }
    gab_tokenizer_destroy(&tokenizer);
}

GAB_TEST(random_bytes_tales) {
    check_random_bytes(open_tales(), true);
}
GAB_TEST(random_bytes_real) {
    static const char *const NAMES[] = {"mpt", "gpt-neox", "starcoder", "falcon", "deepseek-coder"};
    check_random_bytes(open_real("gpt-2"), true);
    for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++) check_random_bytes(open_real(NAMES[i]), false);
}

/* A word met again in the same text has the same tokens as alone, whether it is remembered or not. */
GAB_TEST(long_text_is_its_words) {
    enum { N = 40000 };
    static const char *const WORDS[] = {" the",     " princess", " of",          " Zanzibar", "\n\n",
                                        " 1234567", "!",         " caf\xC3\xA9", " \xFF"};
    gab_tokenizer *tokenizer = open_tales();
    gab_test_random random = {3};
    char *text = malloc(N + 64);
    int32_t *expected = malloc(sizeof *expected * (N + 64)), *ids;
    size_t n = 0, n_expected = 0, n_id;
    CHECK(text && expected);
    while (n < N) {
        const char *word = WORDS[gab_test_random_u32(&random) % (sizeof WORDS / sizeof *WORDS)];
        size_t length = strlen(word);
        if (n > 0 && (text[n - 1] == '\n' || text[n - 1] == '!') && (*word == '\n' || *word == '!')) continue;
        CHECK_OK(gab_tokenizer_encode(tokenizer, word, length, false, false, &ids, &n_id));
        memcpy(text + n, word, length);
        memcpy(expected + n_expected, ids, n_id * sizeof *ids);
        n += length;
        n_expected += n_id;
        gab_tokens_free(&ids);
    }
    CHECK_OK(gab_tokenizer_encode(tokenizer, text, n, false, false, &ids, &n_id));
    CHECK(n_id == n_expected && memcmp(ids, expected, n_id * sizeof *ids) == 0);
    gab_tokens_free(&ids);
    free(text);
    free(expected);
    gab_tokenizer_destroy(&tokenizer);
}

/* A million equal characters are one word: quadratic work would take hours. */
GAB_TEST(long_words) {
    enum { N = 1000000 };
    static const char *const UNITS[] = {"a", " ", "\n", "=", "7", "\xFF", "\xC3\xA9", "ab"};
    gab_tokenizer *tokenizer = open_tales();
    char *text = malloc(N);
    CHECK(text);
    for (size_t u = 0; u < sizeof UNITS / sizeof *UNITS; u++) {
        size_t length = strlen(UNITS[u]);
        for (size_t i = 0; i < N; i++) text[i] = UNITS[u][i % length];
        uint64_t start = gab_time_ns();
        check_decodes_to(tokenizer, text, N, text, N);
        CHECK(gab_time_ms_since(start) < 20e3);
    }
    free(text);
    gab_tokenizer_destroy(&tokenizer);
}

/* ---- the rest of the interface ---- */

GAB_TEST(tales_facts) {
    gab_tokenizer *tokenizer = open_tales();
    size_t n;
    CHECK(gab_tokenizer_n_vocab(tokenizer) == 4096);
    CHECK(gab_tokenizer_bos(tokenizer) == 0 && gab_tokenizer_eos(tokenizer) == 0);
    CHECK(gab_tokenizer_is_end(tokenizer, 0) && !gab_tokenizer_is_end(tokenizer, 1));
    CHECK(!gab_tokenizer_is_end(tokenizer, -1) && !gab_tokenizer_is_end(tokenizer, 4096));
    CHECK(!gab_tokenizer_piece(tokenizer, -1, true, &n) && n == 0);
    CHECK(!gab_tokenizer_piece(tokenizer, 4096, true, &n) && n == 0);
    CHECK(gab_tokenizer_piece(tokenizer, 0, false, &n) && n == 0);
    const char *end = gab_tokenizer_piece(tokenizer, 0, true, &n);
    CHECK(n == 13 && memcmp(end, "<|endoftext|>", n) == 0);
    gab_tokenizer_destroy(&tokenizer);
    gab_tokenizer_destroy(&tokenizer);
    gab_tokenizer_destroy(NULL);
}

GAB_TEST(empty_and_wrong_arguments) {
    gab_tokenizer *tokenizer = open_tales();
    int32_t *ids = NULL;
    size_t n;
    CHECK_OK(gab_tokenizer_encode(tokenizer, NULL, 0, true, true, &ids, &n));
    CHECK(n == 0);
    gab_tokens_free(&ids);
    gab_tokens_free(&ids);
    CHECK(gab_tokenizer_encode(tokenizer, NULL, 1, true, true, &ids, &n) == GAB_ERROR_ARGUMENT);
    CHECK(gab_tokenizer_encode(tokenizer, "", (size_t)1 << 40, true, true, &ids, &n) == GAB_ERROR_LIMIT);
    CHECK(ids == NULL);
    gab_tokenizer_destroy(&tokenizer);
    CHECK(gab_tokenizer_open("no/such/file.gguf", NULL, NULL, &tokenizer) == GAB_ERROR_FILE);
    CHECK(tokenizer == NULL);
}

static bool encode_again(void *user, size_t i) {
    const gab_tokenizer *tokenizer = user;
    char text[20000];
    gab_test_random random = {i / 2}; /* each text twice */
    for (size_t k = 0; k < sizeof text; k++) text[k] = (char)(' ' + gab_test_random_u32(&random) % 95);
    check_decodes_to(tokenizer, text, sizeof text, text, sizeof text);
    return true;
}

GAB_TEST(shared_by_threads) {
    gab_tokenizer *tokenizer = open_tales();
    CHECK(gab_parallel_for(64, 4, encode_again, tokenizer));
    gab_tokenizer_destroy(&tokenizer);
}

GAB_TEST(fuzz_corpus) {
    CHECK(gab_test_corpus("corpus_tokenizer", LLVMFuzzerTestOneInput) >= 12);
}

GAB_TEST_MAIN()
