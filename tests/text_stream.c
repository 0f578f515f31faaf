/*
 * Streaming UTF-8: never half a character, one U+FFFD for each maximal subpart, however the bytes are split.
 */
#include "test.h"

#include "gabbro.h"
#include "base/utf8.h"

enum { TEXT_MAX = 4096 };

typedef struct fixture {
    gab_tokenizer *tokenizer;
    gab_text_stream *stream;
    int32_t byte_tokens[256];
    char text[3 * TEXT_MAX]; /* all that came out */
} fixture;

static fixture setup(void) {
    fixture f = {0};
    CHECK_OK(gab_tokenizer_open(gab_test_source("models/tales.gguf"), NULL, NULL, &f.tokenizer));
    CHECK_OK(gab_text_stream_create(f.tokenizer, &f.stream));
    for (int b = 0; b < 256; b++) {
        char byte = (char)b;
        int32_t *ids;
        size_t n;
        CHECK_OK(gab_tokenizer_encode(f.tokenizer, &byte, 1, false, false, &ids, &n));
        CHECK(n == 1);
        f.byte_tokens[b] = ids[0];
        gab_tokens_free(&ids);
    }
    return f;
}

static void teardown(fixture *f) {
    gab_text_stream_destroy(&f->stream);
    gab_text_stream_destroy(&f->stream);
    gab_tokenizer_destroy(&f->tokenizer);
}

/* Takes what the stream returned: whole characters only. */
static void take(fixture *f, const char *part) {
    size_t n = strlen(part);
    for (size_t i = 0; i < n;) {
        gab_utf8_kind kind;
        i += gab_utf8_next(part + i, n - i, &kind);
        CHECK(kind == GAB_UTF8_CHARACTER);
    }
    CHECK(strlen(f->text) + n < sizeof f->text);
    strcat(f->text, part);
}

static void push_bytes(fixture *f, const char *bytes, size_t n) {
    for (size_t i = 0; i < n; i++) take(f, gab_text_stream_push(f->stream, f->byte_tokens[(unsigned char)bytes[i]]));
}

static void push_text(fixture *f, const char *bytes, size_t n) {
    int32_t *ids;
    size_t n_id;
    CHECK_OK(gab_tokenizer_encode(f->tokenizer, bytes, n, false, false, &ids, &n_id));
    for (size_t i = 0; i < n_id; i++) take(f, gab_text_stream_push(f->stream, ids[i]));
    gab_tokens_free(&ids);
}

static void finish(fixture *f, const char *expected) {
    take(f, gab_text_stream_finish(f->stream));
    if (strcmp(f->text, expected) != 0) FAIL("'%s' instead of '%s'", f->text, expected);
    f->text[0] = 0;
}

/* ---- a reference that shares nothing with the code: by the value of the code point ---- */

static bool reference_character(const unsigned char *b, size_t length) {
    static const unsigned LEAST[] = {0, 0, 0x80, 0x800, 0x10000};
    static const unsigned char LEAD[] = {0, 0, 0xC0, 0xE0, 0xF0}, LEAD_MASK[] = {0, 0, 0xE0, 0xF0, 0xF8};
    if (length == 1) return b[0] < 0x80;
    if ((b[0] & LEAD_MASK[length]) != LEAD[length]) return false;
    unsigned code = b[0] & (unsigned char)~LEAD_MASK[length];
    for (size_t i = 1; i < length; i++) {
        if ((b[i] & 0xC0) != 0x80) return false;
        code = code << 6 | (b[i] & 0x3Fu);
    }
    return code >= LEAST[length] && code <= 0x10FFFF && (code < 0xD800 || code > 0xDFFF);
}

/* Can the first n bytes be the beginning of a character? The smallest or the largest continuation will do if any does.
 */
static bool reference_beginning(const unsigned char *b, size_t n) {
    for (size_t length = n + 1; length <= 4; length++) {
        unsigned char low[4], high[4];
        memset(low, 0x80, 4);
        memset(high, 0xBF, 4);
        memcpy(low, b, n);
        memcpy(high, b, n);
        if (reference_character(low, length) || reference_character(high, length)) return true;
    }
    return false;
}

static void reference_decode(const char *text, size_t n, char *out) {
    const unsigned char *b = (const unsigned char *)text;
    for (size_t i = 0; i < n;) {
        size_t length = 1, left = n - i < 4 ? n - i : 4;
        while (length <= left && !reference_character(b + i, length)) length++;
        if (length <= left && b[i] != 0) {
            memcpy(out, b + i, length);
            out += length;
        } else {
            length = 1;
            for (size_t k = 2; k < 4 && k <= left; k++)
                if (reference_beginning(b + i, k)) length = k;
            memcpy(out, GAB_UTF8_REPLACEMENT, 3);
            out += 3;
        }
        i += length;
    }
    *out = 0;
}

/* ---- cases ---- */

#define R GAB_UTF8_REPLACEMENT

/* The examples of the Unicode Standard, chapter 3.9, on U+FFFD substitution of maximal subparts. */
GAB_TEST(unicode_standard_examples) {
    static const struct {
        const char *bytes, *expected;
    } EXAMPLES[] = {
        {"\xC0\xAF\xE0\x80\xBF\xF0\x81\x82\x41", R R R R R R R R "A"},
        {"\xED\xA0\x80\xED\xBF\xBF\xED\xAF\x41", R R R R R R R R "A"},
        {"\xF4\x91\x92\x93\xFF\x41\x80\xBF\x42", R R R R R "A" R R "B"},
        {"\xE1\x80\xE2\xF0\x91\x92\xF1\xBF\x41", R R R R "A"},
    };
    fixture f = setup();
    for (size_t i = 0; i < sizeof EXAMPLES / sizeof *EXAMPLES; i++) {
        char reference[TEXT_MAX];
        reference_decode(EXAMPLES[i].bytes, strlen(EXAMPLES[i].bytes), reference);
        CHECK(strcmp(reference, EXAMPLES[i].expected) == 0);
        push_bytes(&f, EXAMPLES[i].bytes, strlen(EXAMPLES[i].bytes));
        finish(&f, EXAMPLES[i].expected);
    }
    teardown(&f);
}

GAB_TEST(every_split) {
    static const char TEXT[] = "na\xC3\xAFve \xE2\x80\x9Cquotes\xE2\x80\x9D \xE0\xA4\xB9\xE0\xA4\xBF \xF0\x9F\xA6\x99"
                               "\xF0\x9F\x98\xB6\xE2\x80\x8D\xF0\x9F\x8C\xAB\xEF\xB8\x8F \xF4\x8F\xBF\xBF.";
    size_t n = sizeof TEXT - 1;
    fixture f = setup();
    push_bytes(&f, TEXT, n);
    finish(&f, TEXT);
    for (size_t a = 0; a <= n; a++) {
        for (size_t b = a; b <= n; b++) {
            push_text(&f, TEXT, a);
            push_text(&f, TEXT + a, b - a);
            push_text(&f, TEXT + b, n - b);
            finish(&f, TEXT);
        }
    }
    teardown(&f);
}

/* A character's last byte releases it at once; what is cut off at the end is one U+FFFD. */
GAB_TEST(holds_back_and_flushes) {
    fixture f = setup();
    static const char LLAMA[] = "\xF0\x9F\xA6\x99";
    for (int i = 0; i < 3; i++) {
        CHECK(*gab_text_stream_push(f.stream, f.byte_tokens[(unsigned char)LLAMA[i]]) == 0);
    }
    CHECK(strcmp(gab_text_stream_push(f.stream, f.byte_tokens[(unsigned char)LLAMA[3]]), LLAMA) == 0);
    CHECK(*gab_text_stream_finish(f.stream) == 0);
    for (size_t cut = 1; cut < 4; cut++) {
        push_bytes(&f, LLAMA, cut);
        CHECK(f.text[0] == 0);
        finish(&f, R);
    }
    push_bytes(&f, "x", 1);
    finish(&f, "x");
    teardown(&f);
}

GAB_TEST(random_bytes_as_reference) {
    static const unsigned char EDGES[] = {0x00, 0x41, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xC1, 0xC2, 0xDF,
                                          0xE0, 0xE1, 0xEC, 0xED, 0xEE, 0xEF, 0xF0, 0xF1, 0xF3, 0xF4, 0xF5, 0xFF};
    fixture f = setup();
    gab_test_random random = {11};
    for (int round = 0; round < 2000; round++) {
        char text[64], expected[TEXT_MAX];
        size_t n = gab_test_random_u32(&random) % sizeof text;
        for (size_t i = 0; i < n; i++) text[i] = (char)EDGES[gab_test_random_u32(&random) % sizeof EDGES];
        reference_decode(text, n, expected);
        push_bytes(&f, text, n);
        finish(&f, expected);
        push_text(&f, text, n);
        finish(&f, expected);
    }
    teardown(&f);
}

/* Every sequence of four bytes out of the edges of the table. */
GAB_TEST(table_edges_as_reference) {
    static const unsigned char EDGES[] = {0x41, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC1, 0xC2,
                                          0xE0, 0xE1, 0xED, 0xEF, 0xF0, 0xF1, 0xF4, 0xF5};
    enum { N = sizeof EDGES };
    fixture f = setup();
    for (int i = 0; i < N * N * N * N; i++) {
        char text[4] = {(char)EDGES[i % N], (char)EDGES[i / N % N], (char)EDGES[i / N / N % N],
                        (char)EDGES[i / N / N / N]};
        char expected[64];
        reference_decode(text, 4, expected);
        push_bytes(&f, text, 4);
        finish(&f, expected);
    }
    teardown(&f);
}

/* Control tokens and ids outside the vocabulary have no text, and a waiting character survives them. */
GAB_TEST(tokens_without_text) {
    fixture f = setup();
    push_bytes(&f, "\xC3", 1);
    CHECK(*gab_text_stream_push(f.stream, gab_tokenizer_eos(f.tokenizer)) == 0);
    CHECK(*gab_text_stream_push(f.stream, -1) == 0);
    CHECK(*gab_text_stream_push(f.stream, INT32_MAX) == 0);
    push_bytes(&f, "\xA9\0z", 3);
    finish(&f, "\xC3\xA9" R "z");
    teardown(&f);
}

/* ---- stop strings ---- */

static void set_stops(fixture *f, const char *const *stops, size_t n) {
    gab_text_stream_destroy(&f->stream);
    CHECK_OK(gab_text_stream_create(f->tokenizer, &f->stream));
    for (size_t i = 0; i < n; i++) CHECK_OK(gab_text_stream_add_stop(f->stream, stops[i]));
    f->text[0] = 0;
}

/* Held back as long as it may be the beginning, released when it is not, never printed when it is. */
GAB_TEST(stop_string_is_held_back) {
    static const char *const STOPS[] = {"END", "\n\n"};
    fixture f = setup();
    set_stops(&f, STOPS, 2);
    push_bytes(&f, "aE", 2);
    CHECK(strcmp(f.text, "a") == 0);
    push_bytes(&f, "N", 1);
    CHECK(strcmp(f.text, "a") == 0);
    push_bytes(&f, "E", 1); /* no, but perhaps from here */
    CHECK(strcmp(f.text, "aEN") == 0);
    push_bytes(&f, "x\n", 2);
    CHECK(strcmp(f.text, "aENEx") == 0 && !gab_text_stream_stopped(f.stream));
    push_bytes(&f, "\n", 1);
    CHECK(gab_text_stream_stopped(f.stream));
    push_bytes(&f, "more END", 8);
    CHECK(gab_text_stream_stopped(f.stream));
    finish(&f, "aENEx");

    set_stops(&f, STOPS, 2);
    push_bytes(&f, "aEN", 3);
    CHECK(strcmp(f.text, "a") == 0);
    finish(&f, "aEN"); /* the text is over: it was none */
    CHECK(!gab_text_stream_stopped(f.stream));
    teardown(&f);
}

GAB_TEST(stop_string_must_be_text) {
    fixture f = setup();
    CHECK(gab_text_stream_add_stop(f.stream, "") == GAB_ERROR_ARGUMENT);
    CHECK(strstr(gab_last_error(), "empty"));
    CHECK(gab_text_stream_add_stop(f.stream, "\x80") == GAB_ERROR_ARGUMENT); /* would cut characters in two */
    CHECK(gab_text_stream_add_stop(f.stream, "a\xC3") == GAB_ERROR_ARGUMENT);
    CHECK(strstr(gab_last_error(), "UTF-8"));
    push_bytes(&f, "a\xC3\xA4", 3);
    finish(&f, "a\xC3\xA4");
    teardown(&f);
}

/* The text ends before the string that is whole first, whatever the tokens are; what can be no beginning is out at
 * once.
 */
GAB_TEST(random_stop_strings) {
    static const char *const LETTERS[] = {"a", "b", "\xC3\xA4", "\xF0\x9F\xA6\x99"};
    fixture f = setup();
    gab_test_random random = {12};
    for (int round = 0; round < 2000; round++) {
        char text[256] = "", stops[3][32] = {{0}};
        const char *list[3] = {stops[0], stops[1], stops[2]};
        const size_t n_stop = 1 + gab_test_random_u32(&random) % 3;
        size_t longest = 0;
        for (size_t i = gab_test_random_u32(&random) % 40; i > 0; i--)
            strcat(text, LETTERS[gab_test_random_u32(&random) % 4]);
        for (size_t s = 0; s < n_stop; s++) {
            for (size_t i = 1 + gab_test_random_u32(&random) % 5; i > 0; i--)
                strcat(stops[s], LETTERS[gab_test_random_u32(&random) % 4]);
            if (strlen(stops[s]) > longest) longest = strlen(stops[s]);
        }
        size_t n_kept = strlen(text); /* grown byte by byte until one of the strings is its end */
        bool stops_here = false;
        for (size_t n = 1; n <= strlen(text) && !stops_here; n++)
            for (size_t s = 0; s < n_stop; s++) {
                const size_t n_string = strlen(stops[s]);
                if (n < n_string || memcmp(text + n - n_string, stops[s], n_string) != 0) continue;
                if (!stops_here || n - n_string < n_kept) n_kept = n - n_string;
                stops_here = true;
            }
        for (int by_bytes = 0; by_bytes < 2; by_bytes++) {
            char expected[256];
            snprintf(expected, sizeof expected, "%.*s", (int)n_kept, text);
            set_stops(&f, list, n_stop);
            if (by_bytes)
                push_bytes(&f, text, strlen(text));
            else
                push_text(&f, text, strlen(text));
            CHECK(gab_text_stream_stopped(f.stream) == stops_here);
            if (!stops_here) CHECK(strlen(f.text) + longest > strlen(text));
            finish(&f, expected);
        }
    }
    teardown(&f);
}

GAB_TEST_MAIN()
