#include "cli/line_input.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/interrupt.h"
#if GAB_LIBEDIT
#include "cli/line_edit.h"
#endif

enum { MESSAGE_MAX = 1 << 26, CHUNK = 1 << 16, BLOCK_MARK = 3 };
static const char block_mark[] = "\"\"\"";

gab_status line_input_open(line_input *input, const char *path, const gab_log *log) {
    *input = (line_input){.log = log, .fd = STDIN_FILENO};
    if (path && strcmp(path, "-") != 0) {
        input->fd = open(path, O_RDONLY | O_CLOEXEC);
        if (input->fd < 0) return gab_fail(log, GAB_ERROR_FILE, "cannot open %s: %s", path, strerror(errno));
    } else {
        input->interactive = isatty(STDIN_FILENO);
    }
#if GAB_LIBEDIT
    if (input->interactive && isatty(STDERR_FILENO)) input->edit = line_edit_create();
#endif
    return GAB_OK;
}

void line_input_close(line_input *input) {
#if GAB_LIBEDIT
    line_edit_destroy(&input->edit);
#endif
    if (input->fd > STDIN_FILENO) close(input->fd);
    free(input->held);
    free(input->line);
    free(input->message);
    *input = (line_input){0};
}

/* ---- lines ------------------------------------------------------------------------------------------------------- */

static bool reserve(line_input *input, char **text, size_t *size, size_t need) {
    if (need <= *size) return true;
    char *larger = need <= MESSAGE_MAX ? realloc(*text, need * 2) : NULL;
    if (!larger) {
        gab_fail(input->log, GAB_ERROR_LIMIT, "a message of %zu bytes is too long, or memory is out", need);
        return false;
    }
    *text = larger;
    *size = need * 2;
    return true;
}

/* More into what is held; false: there is nothing more, or *result says why. */
static bool fill(line_input *input, line_result *result) {
    struct pollfd wait = {.fd = input->fd, .events = POLLIN};
    if (!reserve(input, &input->held, &input->held_size, input->n_held + CHUNK)) {
        *result = LINE_FAILED;
        return false;
    }
    for (;;) {
        if (cli_interrupt_take()) {
            *result = LINE_INTERRUPTED_EMPTY; /* what was typed, the terminal has thrown away */
            return false;
        }
        ssize_t n = poll(&wait, 1, -1) < 0 ? -1 : read(input->fd, input->held + input->n_held, CHUNK);
        if (n < 0 && (errno == EINTR || errno == EAGAIN)) continue;
        if (n < 0) {
            gab_fail(input->log, GAB_ERROR_FILE, "cannot read the next message: %s", strerror(errno));
            *result = LINE_FAILED;
        }
        if (n > 0) input->n_held += (size_t)n;
        input->at_end = n <= 0 && !input->interactive;
        if (n == 0) *result = LINE_END;
        return n > 0;
    }
}

static line_result read_plain(line_input *input, const char *prompt, const char **line, size_t *n) {
    line_result result = LINE_READ;
    char *end = NULL;
    if (input->interactive && input->n_held == 0) fputs(prompt, stderr);
    for (size_t looked = 0, n_seen;; looked = n_seen) {
        if (input->n_held > looked) end = memchr(input->held + looked, '\n', input->n_held - looked);
        n_seen = input->n_held;
        if (end || input->at_end || !fill(input, &result)) break;
    }
    if (!end && (result == LINE_FAILED || result == LINE_INTERRUPTED_EMPTY || input->n_held == 0)) {
        if (input->interactive) fputc('\n', stderr);
        return result == LINE_READ ? LINE_END : result;
    }
    size_t length = end ? (size_t)(end - input->held) : input->n_held, taken = length + (end != NULL);
    if (!reserve(input, &input->line, &input->line_size, length + 1)) return LINE_FAILED;
    memcpy(input->line, input->held, length);
    memmove(input->held, input->held + taken, input->n_held - taken);
    input->n_held -= taken;
    if (length > 0 && input->line[length - 1] == '\r') length--;
    *line = input->line;
    *n = length;
    return LINE_READ;
}

static line_result read_line(line_input *input, const char *prompt, const char **line, size_t *n) {
    fflush(stdout);
#if GAB_LIBEDIT
    if (input->edit) return line_edit_read(input->edit, prompt, line, n);
#endif
    return read_plain(input, prompt, line, n);
}

/* ---- messages ---------------------------------------------------------------------------------------------------- */

static bool append(line_input *input, size_t *n, const char *text, size_t n_text) {
    if (!reserve(input, &input->message, &input->message_size, *n + n_text + 2)) return false;
    if (n_text) memcpy(input->message + *n, text, n_text);
    for (size_t i = 0; i < n_text; i++)
        if (input->message[*n + i] == 0) input->message[*n + i] = ' ';
    *n += n_text;
    input->message[*n] = 0;
    return true;
}

/* The length of a line up to the marks that end a block; SIZE_MAX: it does not end here. */
static size_t block_end(const char *line, size_t n) {
    while (n > 0 && (line[n - 1] == ' ' || line[n - 1] == '\t')) n--;
    return n >= BLOCK_MARK && memcmp(line + n - BLOCK_MARK, block_mark, BLOCK_MARK) == 0 ? n - BLOCK_MARK : SIZE_MAX;
}

line_result line_input_read(line_input *input, const char **message, size_t *n) {
    const char *line;
    size_t n_line;
    line_result result = read_line(input, "> ", &line, &n_line);
    *n = 0;
    if (result != LINE_READ) return result;
    const bool block = n_line >= BLOCK_MARK && memcmp(line, block_mark, BLOCK_MARK) == 0;
    if (block) {
        line += BLOCK_MARK;
        n_line -= BLOCK_MARK;
    }
    for (bool first = true, more = true; more; first = false) {
        size_t end = block ? block_end(line, n_line) : SIZE_MAX;
        const bool joined = !block && n_line > 0 && line[n_line - 1] == '\\';
        more = block ? end == SIZE_MAX : joined;
        if (!append(input, n, line, joined ? n_line - 1 : end != SIZE_MAX ? end : n_line)) return LINE_FAILED;
        if (!more) break;
        if (!(block && first && n_line == 0) && !append(input, n, "\n", 1)) return LINE_FAILED;
        result = read_line(input, ". ", &line, &n_line);
        if (result == LINE_END) break; /* what there is */
        if (result != LINE_READ) return result == LINE_FAILED ? LINE_FAILED : LINE_INTERRUPTED;
    }
    /* the line end in front of marks that stand alone is theirs */
    if (block && *n > 0 && input->message[*n - 1] == '\n') input->message[--*n] = 0;
    *message = input->message;
    return LINE_READ;
}
