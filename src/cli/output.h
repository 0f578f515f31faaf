/*
 * output.h - where the program's words go: results to standard output or a file (cli_output), talk to standard error
 * (cli_console). Every write is checked, so that a full disk or a closed pipe is an error and not a silent loss.
 */
#ifndef GAB_CLI_OUTPUT_H
#define GAB_CLI_OUTPUT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>

#include <cjson/cJSON.h>

#include "base/error.h"
#include "base/progress.h"
#include "cli/options.h"

typedef struct cli_console {
    gab_log log; /* for gab_fail: prints to this console */
    gab_progress progress;
    uint32_t verbose;
    bool quiet;
    gab_precision precision; /* told with the device */
    atomic_bool error_said;  /* an error has been printed: the exit needs no more words */
} cli_console;

void cli_console_init(cli_console *console, const cli_options *options);
void cli_console_free(cli_console *console);

/* A line on standard error unless --quiet. */
void cli_console_say(cli_console *console, const char *format, ...) GAB_PRINTF(2, 3);
/* The same, in faint letters where `faint`. */
void cli_console_say_faintly(cli_console *console, bool faint, const char *format, ...) GAB_PRINTF(3, 4);

/* Whether what is written there may be coloured: a terminal, not a dumb one, and no NO_COLOR (https://no-color.org). */
bool cli_is_styled(int fd);

typedef struct cli_output {
    FILE *file;
    const char *path; /* for messages */
    char part[4096];  /* where it is written until it is complete, beside path; "": in place */
    const gab_log *log;
} cli_output;

/* path "-": standard output. A file of that name stays as it is until the new one is complete. */
gab_status cli_output_open(cli_output *output, const char *path, const gab_log *log);
/* Fails, as writing would, where nothing can be written there; leaves all as it is. */
gab_status cli_output_check(const char *path, const gab_log *log);
gab_status cli_output_write(cli_output *output, const void *data, size_t n);
gab_status cli_output_print(cli_output *output, const char *format, ...) GAB_PRINTF(2, 3);
gab_status cli_output_flush(cli_output *output);
/* Flushes and closes when status is OK; else removes what was written of a file. Returns status, or the failure to
 * write. Does nothing when the output was never opened. */
gab_status cli_output_close(cli_output *output, gab_status status);

/* One line of JSON; deletes json, NULL means that memory ran out while it was made. */
gab_status cli_output_json(cli_output *output, cJSON *json);
/* A number with three decimals (cJSON would print seventeen digits). */
void cli_json_number(cJSON *object, const char *name, double value);
/* What a result was made with: model, device, driver, variants, executes. */
void cli_json_engine(cJSON *object, const gab_engine_info *info);

#endif
