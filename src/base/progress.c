#include "base/progress.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/time.h"

enum { BAR_WIDTH = 30, BAR_WIDTH_WITH_DETAIL = 10 };
static const uint64_t first_draw_ns = 250000000, next_draw_ns = 100000000;

bool gab_terminal_obeys(int fd) {
    const char *term = getenv("TERM");
    return isatty(fd) && term && term[0] && strcmp(term, "dumb") != 0;
}

void gab_progress_init(gab_progress *progress, FILE *out, bool quiet) {
    *progress = (gab_progress){.out = out, .enabled = !quiet && gab_terminal_obeys(fileno(out))};
    pthread_mutex_init(&progress->mutex, NULL);
}

static void erase(gab_progress *progress) {
    if (!progress->visible) return;
    fputs("\r\033[K", progress->out);
    fflush(progress->out);
    progress->visible = false;
}

void gab_progress_free(gab_progress *progress) {
    erase(progress);
    pthread_mutex_destroy(&progress->mutex);
}

/* Of the terminal; at least 2. */
static int columns_of(FILE *out) {
    struct winsize size;
    if (ioctl(fileno(out), TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return 80;
    return size.ws_col < 2 ? 2 : size.ws_col;
}

static void draw(gab_progress *progress, const char *detail, uint64_t done, uint64_t total) {
    char bar[BAR_WIDTH + 1];
    double part = (double)done / (double)total;
    int width = detail ? BAR_WIDTH_WITH_DETAIL : BAR_WIDTH, filled = (int)(part * width);
    for (int i = 0; i < width; i++) bar[i] = i < filled ? '#' : '.';
    bar[width] = 0;
    char line[256];
    const int n_column = columns_of(progress->out);
    int n = snprintf(line, sizeof line, "%.*s [%s] %3d%%", detail ? 22 : 44, progress->stage, bar, (int)(part * 100));
    if (detail && n + 1 + (int)strlen(detail) < n_column) snprintf(line + n, sizeof line - (size_t)n, " %.38s", detail);
    fprintf(progress->out, "\r%.*s\033[K", n_column - 1, line); /* what is wider would go on in the next line */
    fflush(progress->out);
    progress->visible = true;
}

void gab_progress_report(void *user, const char *stage, uint64_t done, uint64_t total) {
    gab_progress_detail(user, stage, NULL, done, total);
}

void gab_progress_detail(gab_progress *progress, const char *stage, const char *detail, uint64_t done, uint64_t total) {
    if (!progress->enabled || total == 0) return;
    pthread_mutex_lock(&progress->mutex);
    uint64_t now = gab_time_ns();
    if (strncmp(stage, progress->stage, sizeof progress->stage - 1) != 0) {
        snprintf(progress->stage, sizeof progress->stage, "%s", stage);
        progress->start_ns = now;
    }
    if (done >= total) {
        erase(progress);
        progress->stage[0] = 0;
    } else if (now - progress->start_ns >= first_draw_ns && now - progress->drawn_ns >= next_draw_ns) {
        draw(progress, detail, done, total);
        progress->drawn_ns = now;
    }
    pthread_mutex_unlock(&progress->mutex);
}

void gab_progress_hide(gab_progress *progress) {
    pthread_mutex_lock(&progress->mutex);
    erase(progress);
}

void gab_progress_release(gab_progress *progress) {
    pthread_mutex_unlock(&progress->mutex);
}
