/* Numbers out of text, in the locale "C" and in one with a comma. */
#include "base/number.h"

#include <locale.h>
#include <math.h>
#include <stdio.h>

#include "folder_build.h"
#include "test.h"

static void check_numbers(void) {
    static const struct {
        const char *text;
        double value; /* NAN: none */
    } cases[] = {{"0", 0},          {"-1.5", -1.5}, {"0.25", 0.25}, {"1e3", 1000},
                 {"1.5e-2", 0.015}, {"", NAN},      {"1,5", NAN},   {"1.5x", NAN},
                 {"1.2.3", NAN},    {".", NAN},     {"1.5 ", NAN},  {"12345678901", 12345678901.0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        double value = 7;
        const bool good = gab_number_read(cases[i].text, strlen(cases[i].text), &value);
        if (good == (bool)isnan(cases[i].value) || (good && value != cases[i].value))
            FAIL("'%s' is %g", cases[i].text, good ? value : NAN);
    }
    double value;
    char digits[500];
    memset(digits, '1', sizeof digits);
    CHECK(gab_number_read(digits, 300, &value) && !gab_number_read(digits, 401, &value));
    CHECK(gab_number_read("2.5,", 3, &value) && value == 2.5 && !gab_number_read("1\0002", 3, &value));
}

GAB_TEST(in_the_locale_c) {
    check_numbers();
}

/* Where the system has no such locale, one is made for the test. */
static bool set_comma(void) {
    static const char *const names[] = {"de_DE.UTF-8", "de_DE.utf8", "fr_FR.UTF-8", "de_DE"};
    char command[1200];
    const char *folder = folder_build_temp();
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (setlocale(LC_NUMERIC, names[i])) return true;
    snprintf(command, sizeof command, "localedef -i de_DE -f UTF-8 --no-archive '%s/de_DE.UTF-8' >/dev/null 2>&1",
             folder);
    return system(command) == 0 && setenv("LOCPATH", folder, 1) == 0 && setlocale(LC_NUMERIC, "de_DE.UTF-8");
}

GAB_TEST(in_a_locale_with_a_comma) {
    char half[8];
    if (!set_comma()) SKIP("there is no locale with a comma, and localedef cannot make one");
    snprintf(half, sizeof half, "%.1f", 0.5);
    CHECK(half[1] == ',');
    check_numbers();
    CHECK(setlocale(LC_NUMERIC, "C"));
}

GAB_TEST_MAIN()
