/*
 * line_input.h - what a user types, or a pipe or file brings, message by message. On a terminal with libedit lines can
 * be edited and those of earlier sessions come back (line_edit.h); everywhere else they are read plainly.
 *
 * A message is a line. A backslash at its end joins the next one to it; a line that begins with three double quotes
 * begins a block, which goes on to a line that ends with them.
 */
#ifndef GAB_CLI_LINE_INPUT_H
#define GAB_CLI_LINE_INPUT_H

#include "base/error.h"

typedef enum line_result {
    LINE_READ,
    LINE_END,         /* of the file, or Ctrl-D */
    LINE_INTERRUPTED, /* Ctrl-C, with something typed */
    LINE_INTERRUPTED_EMPTY,
    LINE_FAILED, /* said */
} line_result;

struct line_edit;

typedef struct line_input {
    const gab_log *log;
    int fd;
    bool interactive;       /* prompts */
    struct line_edit *edit; /* NULL: read plainly */
    char *held;             /* [n_held] read but not yet asked for */
    size_t n_held, held_size;
    bool at_end;
    char *line, *message; /* the last ones; zero-terminated */
    size_t line_size, message_size;
} line_input;

/* path: NULL, "-" (standard input) or a file. */
gab_status line_input_open(line_input *input, const char *path, const gab_log *log);
void line_input_close(line_input *input);

/* *message has n bytes and a zero behind them, and lives until the next call; a zero byte in it has become a space. */
line_result line_input_read(line_input *input, const char **message, size_t *n);

#endif
