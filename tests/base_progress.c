/* The progress line: drawn on a terminal, erased at the end, and never seen anywhere else. */
#define _XOPEN_SOURCE 700 /* pseudo-terminals */
#include "base/progress.h"

#include <fcntl.h>
#include <sys/ioctl.h>
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

/* Never wider than the terminal, where it would go on in the next line; what comes behind the bar goes first. */
GAB_TEST(keeps_to_the_width) {
    static const struct {
        unsigned short n_column;
        bool has_detail;
    } rows[] = {{20, false}, {50, false}, {80, true}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char text[65536];
        gab_progress progress;
        terminal t = open_terminal();
        const struct winsize size = {.ws_row = 20, .ws_col = rows[i].n_column};
        size_t widest = 0;
        CHECK(ioctl(t.master, TIOCSWINSZ, &size) == 0);
        gab_progress_init(&progress, t.out, false);
        for (uint64_t k = 0; k <= 10; k++) {
            gab_progress_detail(&progress, "downloading", "1.2 GB of 4.6 GB 35 MB/s", k, 10);
            sleep_ms(50);
        }
        read_terminal(&t, text, sizeof text);
        CHECK(strstr(text, "downloading ["));
        CHECK((strstr(text, "1.2 GB") != NULL) == rows[i].has_detail);
        for (const char *at = text; *at; at += strcspn(at, "\r"), at += *at == '\r') {
            const size_t n = strcspn(at, "\r\033");
            if (n > widest) widest = n;
        }
        if (widest >= rows[i].n_column) FAIL("%zu columns of %u", widest, rows[i].n_column);
        gab_progress_free(&progress);
        fclose(t.out);
        close(t.master);
    }
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
