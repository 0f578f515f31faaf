/*
 * Normalization form C: the examples of Unicode Standard Annex #15, Hangul, order of marks, bytes that are not UTF-8,
 * long rows of marks.
 */
#include "test.h"

#include "base/time.h"
#include "text/nfc.h"

static void check(const char *text, const char *expected) {
    size_t n;
    char *made = gab_nfc_make(text, strlen(text), &n);
    CHECK(made);
    if (n != strlen(expected) || memcmp(made, expected, n) != 0) FAIL("'%s' becomes '%.*s'", text, (int)n, made);
    if (gab_nfc_is_plain(text, strlen(text))) CHECK(strcmp(text, expected) == 0);
    free(made);
}

GAB_TEST(composes) {
    check("", "");
    check("plain text", "plain text");
    check("caf\xC3\xA9 \xE4\xB8\xAD \xF0\x9F\xA6\x99", "caf\xC3\xA9 \xE4\xB8\xAD \xF0\x9F\xA6\x99");
    check("e\xCC\x81", "\xC3\xA9");
    check("\xE2\x84\xAB", "\xC3\x85");                             /* angstrom sign */
    check("\xE2\x84\xA6", "\xCE\xA9");                             /* ohm sign */
    check("A\xCC\x8A", "\xC3\x85");                                /* A, ring */
    check("o\xCC\x82\xCC\xA3", "\xE1\xBB\x99");                    /* circumflex, dot below: reordered, then both */
    check("\xC3\xB4\xCC\xA3", "\xE1\xBB\x99");                     /* the same, half composed */
    check("a\xCC\x81\xCC\x81", "\xC3\xA1\xCC\x81");                /* one of two */
    check("\xE0\xA5\x98", "\xE0\xA4\x95\xE0\xA4\xBC");             /* an excluded one stays apart */
    check("\xCD\x84", "\xCC\x88\xCC\x81");                         /* a mark of two marks */
    check("\xE0\xA7\x87\xE0\xA6\xBE", "\xE0\xA7\x8B");             /* a second one of class 0 */
    check("\xF0\x9D\x85\x9E", "\xF0\x9D\x85\x97\xF0\x9D\x85\xA5"); /* half note */
    check("\xE1\xBE\x82", "\xE1\xBE\x82");                         /* three marks, all composed */
}

GAB_TEST(hangul) {
    check("\xE1\x84\x80\xE1\x85\xA1", "\xEA\xB0\x80");             /* L V */
    check("\xE1\x84\x80\xE1\x85\xA1\xE1\x86\xA8", "\xEA\xB0\x81"); /* L V T */
    check("\xEA\xB0\x80\xE1\x86\xA8", "\xEA\xB0\x81");             /* LV T */
    check("\xEA\xB0\x81\xE1\x86\xA8", "\xEA\xB0\x81\xE1\x86\xA8"); /* LVT T */
}

GAB_TEST(bytes_that_are_not_utf8) {
    check("e\xFF\xCC\x81", "e\xFF\xCC\x81");
    check("\xCC\x81\xFF", "\xCC\x81\xFF");
    check("e\xCC\x81\xE2\x80", "\xC3\xA9\xE2\x80");
    check("e\xCC", "e\xCC");
}

/* A million marks behind one letter, in the wrong order. */
GAB_TEST(long_row_of_marks) {
    enum { N = 500000 };
    char *text = malloc(4 * N + 2), *made;
    size_t n;
    CHECK(text);
    text[0] = 'q';
    for (size_t i = 0; i < N; i++) memcpy(text + 1 + 4 * i, "\xCC\x81\xCC\xA3", 5);
    uint64_t start = gab_time_ns();
    made = gab_nfc_make(text, 4 * N + 1, &n);
    CHECK(made && n == 4 * N + 1 && memcmp(made + 1, "\xCC\xA3\xCC\xA3", 4) == 0);
    CHECK(memcmp(made + n - 4, "\xCC\x81\xCC\x81", 4) == 0);
    CHECK(gab_time_ms_since(start) < 20e3);
    free(made);
    free(text);
}

GAB_TEST_MAIN()
