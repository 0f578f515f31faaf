#include "cli/output.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/utf8.h"

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

static void say(cli_console *console, bool faint, const char *format, va_list args) {
    char message[GAB_MESSAGE_MAX];
    if (console->quiet) return;
    vsnprintf(message, sizeof message, format, args);
    gab_text_tame(message);
    print_line(console, faint ? "\033[2m" : "", message, faint ? "\033[0m" : "");
}

void cli_console_say(cli_console *console, const char *format, ...) {
    va_list args;
    va_start(args, format);
    say(console, false, format, args);
    va_end(args);
}

void cli_console_say_faintly(cli_console *console, bool faint, const char *format, ...) {
    va_list args;
    va_start(args, format);
    say(console, faint, format, args);
    va_end(args);
}

bool cli_is_styled(int fd) {
    const char *no_color = getenv("NO_COLOR");
    return gab_terminal_obeys(fd) && !(no_color && no_color[0]);
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
    /* what a link names (/dev/stdout), a device, a file in a folder that takes no new ones: in place */
    const bool beside = lstat(path, &info) != 0 || S_ISREG(info.st_mode);
    output->file = beside ? gab_file_create_beside(path, output->part, sizeof output->part) : NULL;
    if (output->file) return GAB_OK;
    output->part[0] = 0;
    output->file = fopen(path, "wb");
    return output->file ? GAB_OK : write_failed(output);
}

gab_status cli_output_check(const char *path, const gab_log *log) {
    const cli_output output = {.path = path, .log = log};
    char part[sizeof output.part];
    struct stat info;
    if (strcmp(path, "-") == 0) return GAB_OK;
    if (stat(path, &info) == 0) {
        errno = EISDIR;
        return !S_ISDIR(info.st_mode) && access(path, W_OK) == 0 ? GAB_OK : write_failed(&output);
    }
    FILE *file = gab_file_create_beside(path, part, sizeof part);
    if (!file) return write_failed(&output);
    fclose(file);
    remove(part);
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
    /* standard output may get more */
    if (output->file != stdout && fclose(output->file) != 0 && status == GAB_OK) status = write_failed(output);
    if (status == GAB_OK && output->part[0] && rename(output->part, output->path) != 0) status = write_failed(output);
    if (status != GAB_OK && output->part[0]) remove(output->part);
    output->file = NULL;
    return status;
}

/* ---- JSON -------------------------------------------------------------------------------------------------------- */

gab_status cli_output_json(cli_output *output, cJSON *json) {
    char *text = json ? cJSON_PrintUnformatted(json) : NULL;
    cJSON_Delete(json);
    char *clean = text ? gab_utf8_clean(text) : NULL; /* names of files are any bytes, JSON is UTF-8 */
    cJSON_free(text);
    if (!clean) return gab_fail(output->log, GAB_ERROR_HOST_MEMORY, "out of host memory writing JSON");
    gab_status status = cli_output_print(output, "%s\n", clean);
    free(clean);
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
