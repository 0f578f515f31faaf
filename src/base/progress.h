/*
 * progress.h - one line on a terminal that says how far long work has come. On anything else than a terminal it is
 * silent. Thread safe: other output to the same terminal goes between gab_progress_hide and gab_progress_release.
 */
#ifndef GAB_BASE_PROGRESS_H
#define GAB_BASE_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/threads.h"

/* Whether it is a terminal that can erase a line and knows colours: no dumb one ($TERM). */
bool gab_terminal_obeys(int fd);

typedef struct gab_progress {
    FILE *out;
    gab_mutex mutex;
    bool enabled;      /* out is a terminal that can erase a line */
    bool visible;      /* the line is on the screen now */
    char stage[64];    /* the work under way */
    uint64_t start_ns; /* when its first report came */
    uint64_t drawn_ns;
} gab_progress;

/* quiet: never show anything. */
void gab_progress_init(gab_progress *progress, FILE *out, bool quiet);
void gab_progress_free(gab_progress *progress); /* erases the line */

/* A gab_progress_fn; user is a gab_progress. Draws at most ten times a second, and nothing for work that is over at
 * once; erases the line when done reaches total. */
void gab_progress_report(void *user, const char *stage, uint64_t done, uint64_t total);

/* The same with a shorter bar and a text behind it, as "1.2 GB of 4.6 GB 35 MB/s 1:37" for what comes slowly. */
void gab_progress_detail(gab_progress *progress, const char *stage, const char *detail, uint64_t done, uint64_t total);

/* Erases the line and holds it back until released. */
void gab_progress_hide(gab_progress *progress);
void gab_progress_release(gab_progress *progress);

#endif
