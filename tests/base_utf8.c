/* UTF-8: what is none becomes U+FFFD. What is well-formed and what is cut, text_stream.c shows of every sequence. */
#include "base/utf8.h"

#include <stdlib.h>

#include "test.h"

GAB_TEST(clean_text) {
    static const char *const rows[][2] = {
        {"", ""},
        {"plain \xC3\xA9 \xE2\x82\xAC \xF0\x9F\x98\x80", "plain \xC3\xA9 \xE2\x82\xAC \xF0\x9F\x98\x80"},
        {"a\xFFz", "a\xEF\xBF\xBDz"},
        {"\xE2\x82", "\xEF\xBF\xBD"},   /* cut at the end */
        {"\xE2\x82x", "\xEF\xBF\xBDx"}, /* and within */
        {"\xC0\xAF\xED\xA0\x80", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char *clean = gab_utf8_clean(rows[i][0]);
        CHECK(clean);
        if (strcmp(clean, rows[i][1]) != 0) FAIL("row %zu: '%s'", i, clean);
        free(clean);
    }
}

GAB_TEST_MAIN()
