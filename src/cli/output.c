#include "cli/output.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>

/* ---- standard error ---------------------------------------------------------------------------------------------- */

static void print_line(cli_console *console, const char *prefix, const char *message, const char *suffix) {
    gab_progress_hide(&console->progress);
    fprintf(stderr, "%s%s%s\n", prefix, message, suffix);
    gab_progress_release(&console->progress);
}

/* Which device was taken, and with which precision, is for everyone; other information only for those who asked. */
static void print_info(cli_console *console, const char *message) {
    static const char device_line[] = "device: ";
    if (strncmp(message, device_line, sizeof device_line - 1) != 0) {
        if (console->verbose) print_line(console, "", message, "");
    } else if (!console->quiet) {
        print_line(console, "", message,
                   console->precision == GAB_PRECISION_EXACT
                       ? "; precision exact: f32 products"
                       : "; precision fast: f32 sums, narrower products where they are faster");
    }
}

static void console_log(void *user, gab_log_level level, const char *message) {
    cli_console *console = user;
    switch (level) {
    case GAB_LOG_ERROR:
        atomic_store(&console->error_said, true);
        print_line(console, "gabbro: error: ", message, "");
        break;
    case GAB_LOG_WARNING: print_line(console, "gabbro: warning: ", message, ""); break;
    case GAB_LOG_INFO: print_info(console, message); break;
    case GAB_LOG_DEBUG:
        if (console->verbose > 1) print_line(console, "", message, "");
        break;
    }
}

void cli_console_init(cli_console *console, const cli_options *options) {
    console->log = (gab_log){.fn = console_log, .user = console};
    console->verbose = options->verbose;
    console->quiet = options->quiet;
    console->precision = options->engine.precision;
    atomic_init(&console->error_said, false);
    gab_progress_init(&console->progress, stderr, options->quiet);
}

void cli_console_free(cli_console *console) {
    gab_progress_free(&console->progress);
}

void cli_console_say(cli_console *console, const char *format, ...) {
    if (console->quiet) return;
    char message[GAB_MESSAGE_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    print_line(console, "", message, "");
}

/* ---- results ----------------------------------------------------------------------------------------------------- */

static gab_status write_failed(const cli_output *output) {
    return gab_fail(output->log, GAB_ERROR_FILE, "cannot write %s: %s", output->path, strerror(errno));
}

gab_status cli_output_open(cli_output *output, const char *path, const gab_log *log) {
    struct stat info;
    *output = (cli_output){.file = stdout, .path = "standard output", .log = log};
    if (strcmp(path, "-") == 0) return GAB_OK;
    output->path = path;
    output->file = fopen(path, "wb");
    if (!output->file) return write_failed(output);
    output->is_regular = fstat(fileno(output->file), &info) == 0 && S_ISREG(info.st_mode);
    return GAB_OK;
}

gab_status cli_output_write(cli_output *output, const void *data, size_t n) {
    return fwrite(data, 1, n, output->file) == n ? GAB_OK : write_failed(output);
}

gab_status cli_output_print(cli_output *output, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int n = vfprintf(output->file, format, args);
    va_end(args);
    return n >= 0 ? GAB_OK : write_failed(output);
}

gab_status cli_output_flush(cli_output *output) {
    return fflush(output->file) == 0 ? GAB_OK : write_failed(output);
}

gab_status cli_output_close(cli_output *output, gab_status status) {
    if (!output->file) return status;
    if (status == GAB_OK) status = cli_output_flush(output);
    if (fclose(output->file) != 0 && status == GAB_OK) status = write_failed(output);
    if (status != GAB_OK && output->is_regular) remove(output->path);
    output->file = NULL;
    return status;
}

/* ---- JSON -------------------------------------------------------------------------------------------------------- */

gab_status cli_output_json(cli_output *output, cJSON *json) {
    char *text = json ? cJSON_PrintUnformatted(json) : NULL;
    cJSON_Delete(json);
    if (!text) return gab_fail(output->log, GAB_ERROR_HOST_MEMORY, "out of host memory writing JSON");
    gab_status status = cli_output_print(output, "%s\n", text);
    cJSON_free(text);
    return status;
}

void cli_json_number(cJSON *object, const char *name, double value) {
    char text[64];
    snprintf(text, sizeof text, "%.3f", value);
    cJSON_AddRawToObject(object, name, text);
}

void cli_json_engine(cJSON *object, const gab_engine_info *info) {
    cJSON_AddStringToObject(object, "model", info->model_name);
    cJSON_AddStringToObject(object, "device", info->device);
    cJSON_AddStringToObject(object, "driver", info->driver);
    cJSON_AddStringToObject(object, "variants", info->variants);
    cJSON_AddBoolToObject(object, "executes", info->executes);
}
