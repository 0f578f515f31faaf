/*
 * error.h - one way to fail, and the log.
 *
 * gab_fail() is called once, where something fails: it formats the sentence, keeps it for gab_last_error() of this
 * thread, sends it to the log and returns the status, so that a failing function ends in `return gab_fail(log, GAB_...,
 * "...")`. Callers pass statuses on with GAB_TRY or an `error:` label and say nothing more.
 */
#ifndef GAB_BASE_ERROR_H
#define GAB_BASE_ERROR_H

#include "gabbro.h"

#if defined(__GNUC__)
#define GAB_PRINTF(fmt_index, first) __attribute__((format(printf, fmt_index, first)))
#else
#define GAB_PRINTF(fmt_index, first)
#endif

/* Where messages go. NULL pointers to it and NULL callbacks are silent. */
typedef struct gab_log {
    gab_log_fn fn;
    void *user;
} gab_log;

/* Longest message kept, bytes with the final zero; longer ones are cut. */
#define GAB_MESSAGE_MAX 1024

gab_status gab_fail(const gab_log *log, gab_status status, const char *format, ...) GAB_PRINTF(3, 4);
#ifdef __clang_analyzer__ /* it cannot see that the result is the status, hence never GAB_OK */
#define gab_fail(log, status, ...) ((void)gab_fail(log, status, __VA_ARGS__), (status))
#endif
void gab_log_print(const gab_log *log, gab_log_level level, const char *format, ...) GAB_PRINTF(3, 4);

/* Messages may quote files and servers: what would command a terminal (C0 but tab and line end, DEL, C1 as UTF-8)
 * becomes '?'. gab_fail and gab_log_print have done so. */
void gab_text_tame(char *text);

/* Sets this thread's gab_last_error() without logging: for an error that another thread has already logged. */
void gab_error_set(const char *message);

#define GAB_TRY(call)                                                                                                  \
    do {                                                                                                               \
        gab_status try_status = (call);                                                                                \
        if (try_status != GAB_OK) return try_status;                                                                   \
    } while (0)

/* The same with a clean-up label; needs a local `gab_status status`. */
#define GAB_TRY_GOTO(call, label)                                                                                      \
    do {                                                                                                               \
        status = (call);                                                                                               \
        if (status != GAB_OK) goto label;                                                                              \
    } while (0)

#endif
