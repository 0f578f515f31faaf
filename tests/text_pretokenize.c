/*
 * Cutting text into words: each family's pieces, invalid UTF-8, PCRE2's compiled code against its interpreter.
 */
#include "test.h"

#include "base/file.h"
#include "text/families.h"

static const char *const FAMILIES[] = {"gpt-2",  "starcoder",    "falcon",         "llama-bpe",   "qwen2",  "qwen35",
                                       "gpt-4o", "deepseek-llm", "deepseek-coder", "deepseek-v3", "tekken", "bloom"};
enum { FAMILY_COUNT = sizeof FAMILIES / sizeof *FAMILIES };

static gab_pretokenizer *make(const char *name, bool jit) {
    gab_pretokenizer *made;
    const gab_family *family;
    size_t n = 0;
    CHECK_OK(gab_family_find(name, "test", NULL, &family));
    while (n < GAB_FAMILY_STEP_MAX && family->steps[n].pattern) n++;
    CHECK_OK(gab_pretokenizer_create(family->steps, n, jit, "test", NULL, &made));
    return made;
}

/* Pieces as one string with '|' between. */
static bool join(void *user, const char *piece, size_t n) {
    char *out = user;
    size_t used = strlen(out);
    CHECK(n > 0 && used + n + 2 < 1024);
    if (used) out[used++] = '|';
    memcpy(out + used, piece, n);
    out[used + n] = 0;
    return true;
}

static void check_pieces(const char *name, const char *text, const char *expected) {
    for (int jit = 0; jit < 2; jit++) {
        char out[1024] = "";
        gab_pretokenizer *p = make(name, jit);
        CHECK_OK(gab_pretokenize(p, text, strlen(text), join, out));
        if (strcmp(out, expected) != 0) FAIL("%s: '%s' instead of '%s'", name, out, expected);
        gab_pretokenizer_destroy(&p);
    }
}

GAB_TEST(gpt_2_pieces) {
    check_pieces("gpt-2", "", "");
    check_pieces("gpt-2", "Hello, world!", "Hello|,| world|!");
    check_pieces("gpt-2", "we're I'll 'S don'tx", "we|'re| I|'ll| '|S| don|'t|x");
    check_pieces("gpt-2", "a  b   ", "a| | b|   ");
    check_pieces("gpt-2", "a\n\n b\t\tc", "a|\n\n| b|\t|\t|c");
    check_pieces("gpt-2", "x 12345 a1b", "x| 12345| a|1|b");
    check_pieces("gpt-2", "caf\xC3\xA9 \xE2\x80\x9Cno\xE2\x80\x9D \xD9\xA3",
                 "caf\xC3\xA9| \xE2\x80\x9C|no|\xE2\x80\x9D| \xD9\xA3");
    check_pieces("default", "one 22", "one| 22");
}

GAB_TEST(families_pieces) {
    check_pieces("starcoder", "x 123 ab", "x| |1|2|3| ab");
    check_pieces("llama-bpe", "It'S 12345\n\n x  y_z!!\n", "It|'S| |123|45|\n\n| x| | y|_z|!!\n");
    check_pieces("qwen2", "a 12\n \nb", "a| |1|2|\n \n|b");
    check_pieces("gpt-4o", "helloWorld's HTTPServer/\n", "hello|World's| HTTPServer|/\n");
    check_pieces("tekken", "helloWorld's 12", "hello|World|'s| |1|2");
    check_pieces("deepseek-v3", "#abc 1234\xE4\xB8\x80z", "#abc| |123|4|\xE4\xB8\x80|z");
    check_pieces("falcon", "a==b 12345, (z)", "a|==|b| |123|45|,| |(|z|)");
    check_pieces("deepseek-coder", "a\n\n b 12\xE4\xB8\x80!", "a|\n|\n| b| |1|2|\xE4\xB8\x80|!");
}

GAB_TEST(bytes_that_are_not_utf8) {
    check_pieces("gpt-2",
                 "ab\xFF\xC0"
                 "cd",
                 "ab|\xFF\xC0|cd");
    check_pieces("gpt-2", "a  \xE2\x80", "a|  |\xE2\x80");
    check_pieces("gpt-2", "\xED\xA0\x80 x\xF0\x9F\xA6", "\xED\xA0\x80| x|\xF0\x9F\xA6");
    check_pieces("falcon", "\x80", "\x80");
}

GAB_TEST(unknown_family) {
    const gab_family *family = NULL;
    CHECK(gab_family_find("martian", "m.gguf", NULL, &family) == GAB_ERROR_UNSUPPORTED && !family);
    CHECK(strstr(gab_last_error(), "m.gguf") && strstr(gab_last_error(), "martian"));
    CHECK(strstr(gab_last_error(), "tokenizer.ggml.pre") && strstr(gab_last_error(), "gpt-2, "));
    CHECK(strstr(gab_last_error(), "viking")); /* the last one: none is cut off */
}

static bool stop(void *user, const char *piece, size_t n) {
    (void)piece, (void)n;
    return --*(int *)user > 0;
}

GAB_TEST(stops_when_told) {
    gab_pretokenizer *p = make("gpt-2", true);
    int left = 2;
    CHECK(gab_pretokenize(p, "a b c d", 7, stop, &left) == GAB_ERROR_CANCELLED && left == 0);
    gab_pretokenizer_destroy(&p);
}

/* ---- compiled code against interpreter ---- */

typedef struct ends {
    const char *text;
    size_t n, at, *list;
} ends;

static bool note_end(void *user, const char *piece, size_t n) {
    ends *e = user;
    CHECK(piece == e->text + e->at && n > 0); /* in order, without a gap */
    e->at += n;
    e->list[e->n++] = e->at;
    return true;
}

static void check_same(const char *text, size_t n) {
    size_t *memory = malloc(2 * n * sizeof *memory);
    CHECK(memory);
    for (int f = 0; f < FAMILY_COUNT; f++) {
        gab_pretokenizer *compiled = make(FAMILIES[f], true), *interpreted = make(FAMILIES[f], false);
        ends a = {text, 0, 0, memory}, b = {text, 0, 0, memory + n};
        CHECK_OK(gab_pretokenize(compiled, text, n, note_end, &a));
        CHECK_OK(gab_pretokenize(interpreted, text, n, note_end, &b));
        CHECK(a.at == n && a.n == b.n && memcmp(a.list, b.list, a.n * sizeof *a.list) == 0);
        gab_pretokenizer_destroy(&compiled);
        gab_pretokenizer_destroy(&interpreted);
    }
    free(memory);
}

static size_t write_utf8(unsigned code, char *out) {
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    size_t n = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (size_t i = n - 1; i > 0; i--, code >>= 6) out[i] = (char)(0x80 | (code & 0x3F));
    out[0] = (char)((n == 2 ? 0xC0 : n == 3 ? 0xE0 : 0xF0) | code);
    return n;
}

/* Every code point, surrogates' bytes too, each between letters and spaces. */
GAB_TEST(all_code_points_jit_as_interpreter) {
    char *text = malloc(0x110000 / 7 * 12 + 64);
    size_t n = 0;
    CHECK(text);
    for (unsigned code = 0; code < 0x110000; code += code < 0x3100 ? 1 : 7) {
        n += write_utf8(code, text + n);
        if (code % 3 == 0) text[n++] = ' ';
        if (code % 5 == 0) text[n++] = 'a';
    }
    check_same(text, n);
    free(text);
}

GAB_TEST(random_text_jit_as_interpreter) {
    static const char *const UNITS[] = {" ",
                                        " ",
                                        "a",
                                        "Z",
                                        "'",
                                        "'s",
                                        "'ll",
                                        "1",
                                        "22",
                                        "\n",
                                        "\r",
                                        "\t",
                                        "=",
                                        ".",
                                        "\xC2\xA0",
                                        "\xC3\xA9",
                                        "\xE4\xB8\x80",
                                        "\xF0\x9F\xA6\x99",
                                        "\xE2\x80\xA8",
                                        "\xC2\x85",
                                        "\xFF",
                                        "\xC2",
                                        "\xD9\xA3",
                                        "_"};
    gab_test_random random = {21};
    char text[2000];
    for (int round = 0; round < 200; round++) {
        size_t n = 0, length = 1 + gab_test_random_u32(&random) % 1900;
        while (n < length) {
            const char *unit = UNITS[gab_test_random_u32(&random) % (sizeof UNITS / sizeof *UNITS)];
            memcpy(text + n, unit, strlen(unit));
            n += strlen(unit);
        }
        check_same(text, n);
    }
}

/* Of two equal characters between letters, the second is apart only where they are spaces: all of Unicode's White_Space
 * and no other. */
GAB_TEST(white_space) {
    static const unsigned SPACES[] = {9,      10,     11,     12,     13,     32,     0x85,   0xA0,   0x1680,
                                      0x2000, 0x2001, 0x2002, 0x2003, 0x2004, 0x2005, 0x2006, 0x2007, 0x2008,
                                      0x2009, 0x200A, 0x2028, 0x2029, 0x202F, 0x205F, 0x3000};
    gab_pretokenizer *p = make("gpt-2", true);
    size_t n_space = 0;
    for (unsigned code = 0; code < 0x11000; code++) {
        if (code >= 0xD800 && code < 0xE000) continue;
        char text[16] = "a";
        size_t length = write_utf8(code, text + 1), n = 1 + 2 * length + 1, list[16];
        memcpy(text + 1 + length, text + 1, length);
        text[n - 1] = 'b';
        ends e = {text, 0, 0, list};
        CHECK_OK(gab_pretokenize(p, text, n, note_end, &e));
        bool apart = false, space = n_space < sizeof SPACES / sizeof *SPACES && SPACES[n_space] == code;
        for (size_t i = 0; i < e.n; i++) apart = apart || list[i] == 1 + length;
        n_space += space;
        if (apart != space) FAIL("U+%04X is taken for %s space", code, apart ? "a" : "no");
    }
    CHECK(n_space == sizeof SPACES / sizeof *SPACES);
    gab_pretokenizer_destroy(&p);
}

GAB_TEST_MAIN()
