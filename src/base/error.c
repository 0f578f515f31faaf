#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/threads.h"

static _Thread_local char last_error[GAB_MESSAGE_MAX];

/* One call of a log callback at a time, whichever thread it comes from. */
static gab_mutex log_lock = PTHREAD_MUTEX_INITIALIZER;

static void send_line(const gab_log *log, gab_log_level level, const char *message) {
    if (!log || !log->fn) return;
    pthread_mutex_lock(&log_lock);
    log->fn(log->user, level, message);
    pthread_mutex_unlock(&log_lock);
}

const char *gab_status_text(gab_status status) {
    static const char *const text[] = {
#define STATUS_TEXT(name, words) words,
        GAB_STATUS_LIST(STATUS_TEXT)
#undef STATUS_TEXT
    };
    size_t i = (size_t)status;
    return i < sizeof text / sizeof *text ? text[i] : "unknown status";
}

const char *gab_last_error(void) {
    return last_error;
}

const char *gab_version(void) {
#define STRINGIFY(x)     #x
#define VERSION(a, b, c) STRINGIFY(a) "." STRINGIFY(b) "." STRINGIFY(c)
    return VERSION(GAB_VERSION_MAJOR, GAB_VERSION_MINOR, GAB_VERSION_PATCH);
}

void gab_text_tame(char *text) {
    char *to = text;
    for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
        const bool c1 = c[0] == 0xC2 && c[1] >= 0x80 && c[1] < 0xA0;
        *to++ = c1 || (*c < 0x20 && *c != '\t' && *c != '\n') || *c == 0x7F ? '?' : (char)*c;
        c += c1;
    }
    *to = 0;
}

static void write_message(char message[GAB_MESSAGE_MAX], const char *format, va_list args) {
    vsnprintf(message, GAB_MESSAGE_MAX, format, args);
    gab_text_tame(message);
}

void gab_error_set(const char *message) {
    snprintf(last_error, sizeof last_error, "%s", message);
}

gab_status(gab_fail)(const gab_log *log, gab_status status, const char *format, ...) {
    char message[GAB_MESSAGE_MAX];
    va_list args;
    va_start(args, format);
    write_message(message, format, args);
    va_end(args);
    gab_error_set(message);
    send_line(log, GAB_LOG_ERROR, message);
    return status;
}

void gab_log_print(const gab_log *log, gab_log_level level, const char *format, ...) {
    char message[GAB_MESSAGE_MAX];
    va_list args;
    if (!log || !log->fn) return;
    va_start(args, format);
    write_message(message, format, args);
    va_end(args);
    send_line(log, level, message);
}
