/* The progress line: drawn on a terminal, erased at the end, and never seen anywhere else. */
#define _XOPEN_SOURCE 700 /* pseudo-terminals */
#include "base/progress.h"

#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include "test.h"

static void sleep_ms(long ms) {
    const struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    nanosleep(&time, NULL);
}

static void work_a_while(gab_progress *progress) {
    for (uint64_t i = 0; i <= 10; i++) {
        gab_progress_report(progress, "loading weights", i, 10);
        sleep_ms(50);
    }
}

GAB_TEST(silent_in_file) {
    gab_progress progress;
    FILE *f = tmpfile();
    CHECK(f);
    setenv("TERM", "xterm", 1);
    gab_progress_init(&progress, f, false);
    work_a_while(&progress);
    CHECK(fflush(f) == 0 && ftell(f) == 0);
    gab_progress_free(&progress);
    fclose(f);
}

typedef struct terminal {
    int master;
    FILE *out;
} terminal;

static terminal open_terminal(void) {
    terminal t = {.master = posix_openpt(O_RDWR | O_NOCTTY)};
    if (t.master < 0 || grantpt(t.master) != 0 || unlockpt(t.master) != 0) SKIP("no pseudo-terminal");
    t.out = fopen(ptsname(t.master), "r+");
    CHECK(t.out);
    setenv("TERM", "xterm", 1);
    return t;
}

/* What is on the terminal behind a mark written now. */
static void read_terminal(terminal *t, char *text, size_t size) {
    size_t used = 0;
    CHECK(fputs("$", t->out) >= 0 && fflush(t->out) == 0);
    do {
        ssize_t n = read(t->master, text + used, size - 1 - used);
        CHECK(n > 0);
        used += (size_t)n;
        text[used] = 0;
    } while (!strchr(text, '$'));
}

GAB_TEST(drawn_and_erased_on_terminal) {
    char text[65536];
    gab_progress progress;
    terminal t = open_terminal();
    gab_progress_init(&progress, t.out, false);
    work_a_while(&progress);
    read_terminal(&t, text, sizeof text);
    CHECK(strstr(text, "loading weights [") && strstr(text, "0%"));
    CHECK(strcmp(text + strlen(text) - 5, "\r\033[K$") == 0);
    gab_progress_free(&progress);
}

GAB_TEST(nothing_for_short_work) {
    char text[65536];
    gab_progress progress;
    terminal t = open_terminal();
    gab_progress_init(&progress, t.out, false);
    for (uint64_t i = 0; i <= 10; i++) gab_progress_report(&progress, "loading weights", i, 10);
    gab_progress_report(&progress, "nothing to do", 0, 0);
    read_terminal(&t, text, sizeof text);
    CHECK(strcmp(text, "$") == 0);
    gab_progress_free(&progress);
}

GAB_TEST(quiet_or_dumb_terminal) {
    char text[65536];
    gab_progress progress;
    terminal t = open_terminal();
    gab_progress_init(&progress, t.out, true);
    work_a_while(&progress);
    gab_progress_free(&progress);
    setenv("TERM", "dumb", 1);
    gab_progress_init(&progress, t.out, false);
    work_a_while(&progress);
    read_terminal(&t, text, sizeof text);
    CHECK(strcmp(text, "$") == 0);
    gab_progress_free(&progress);
}

GAB_TEST(other_output_hides_it) {
    char text[65536];
    gab_progress progress;
    terminal t = open_terminal();
    gab_progress_init(&progress, t.out, false);
    gab_progress_report(&progress, "loading weights", 0, 10);
    sleep_ms(300);
    gab_progress_report(&progress, "loading weights", 5, 10);
    gab_progress_hide(&progress);
    fputs("a warning", t.out);
    gab_progress_release(&progress);
    read_terminal(&t, text, sizeof text);
    CHECK(strstr(text, " 50%\033[K\r\033[Ka warning$"));
    gab_progress_free(&progress);
}

GAB_TEST_MAIN()
