/*
 * cli.h - runs the program named by $GABBRO_PROGRAM as a user would and keeps what it printed.
 */
#ifndef GAB_TEST_CLI_H
#define GAB_TEST_CLI_H

#include <cjson/cJSON.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "test.h"

/* What is connected to the program; NULL or 0: nothing in (an empty file), and out is kept. */
typedef struct cli_streams {
    const char *in;      /* text for standard input */
    const char *in_path; /* or a file */
    const char *out_path;
} cli_streams;

typedef struct cli_result {
    int exit_status; /* 128 + signal when one ended it */
    char *out, *err; /* zero-terminated */
    size_t n_out, n_err;
} cli_result;

static inline const char *cli_program(void) {
    const char *program = getenv("GABBRO_PROGRAM");
    if (!program) SKIP("GABBRO_PROGRAM does not name the program");
    CHECK(setenv("GABBRO_TUNE", "0", 0) == 0); /* the same kernels in every run; tests of tuning ask for it */
    return program;
}

/* arguments: up to a NULL, without the program's name. Signals are as for a program started by hand. */
static inline pid_t cli_start(const char *const *arguments, int in, int out, int err) {
    const char *argv[64] = {cli_program()};
    size_t n = 1;
    while (arguments[n - 1]) {
        CHECK(n + 1 < sizeof argv / sizeof *argv);
        argv[n] = arguments[n - 1];
        n++;
    }
    argv[n] = NULL;
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid > 0) return pid;
    signal(SIGINT, SIG_DFL);
    signal(SIGPIPE, SIG_DFL);
    if (dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(err, 2) < 0) _exit(126);
    for (int fd = 3; fd < 64; fd++) close(fd);
    execv(argv[0], (char *const *)(uintptr_t)argv);
    _exit(127);
}

static inline int cli_wait(pid_t pid) {
    int status;
    CHECK(waitpid(pid, &status, 0) == pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static inline char *cli_read_all(FILE *f, size_t *n) {
    CHECK(fseek(f, 0, SEEK_END) == 0);
    long size = ftell(f);
    CHECK(size >= 0);
    rewind(f);
    char *text = malloc((size_t)size + 1);
    CHECK(text && fread(text, 1, (size_t)size, f) == (size_t)size);
    text[size] = 0;
    *n = (size_t)size;
    fclose(f);
    return text;
}

static inline cli_result cli_call(cli_streams streams, const char *const *arguments) {
    cli_result result = {0};
    FILE *in = streams.in_path ? fopen(streams.in_path, "rb") : tmpfile();
    FILE *out = streams.out_path ? fopen(streams.out_path, "wb") : tmpfile();
    FILE *err = tmpfile();
    CHECK(in && out && err);
    if (streams.in) {
        CHECK(fwrite(streams.in, 1, strlen(streams.in), in) == strlen(streams.in) && fflush(in) == 0);
        rewind(in);
    }
    result.exit_status = cli_wait(cli_start(arguments, fileno(in), fileno(out), fileno(err)));
    fclose(in);
    if (streams.out_path)
        fclose(out);
    else
        result.out = cli_read_all(out, &result.n_out);
    result.err = cli_read_all(err, &result.n_err);
    return result;
}

/* CLI("run", "-p", "Once") */
#define CLI(...)               cli_call((cli_streams){0}, (const char *const[]){__VA_ARGS__, NULL})
#define CLI_WITH(streams, ...) cli_call((cli_streams)streams, (const char *const[]){__VA_ARGS__, NULL})

static inline void cli_result_free(cli_result *result) {
    free(result->out);
    free(result->err);
    *result = (cli_result){0};
}

#define CHECK_EXIT(result, status)                                                                                     \
    do {                                                                                                               \
        if ((result).exit_status != (status))                                                                          \
            FAIL("exit status %d, not %d; stderr: %s", (result).exit_status, (status), (result).err);                  \
    } while (0)
#define CHECK_SAYS(text, word)                                                                                         \
    do {                                                                                                               \
        if (!strstr(text, word)) FAIL("'%s' is not in: %s", word, text);                                               \
    } while (0)

/* The output of a call that must succeed, as JSON; frees the result. */
static inline cJSON *cli_json(cli_result result) {
    CHECK_EXIT(result, 0);
    cJSON *json = cJSON_Parse(result.out);
    if (!json) FAIL("not JSON: %s", result.out);
    cli_result_free(&result);
    return json;
}

static inline double cli_json_number_of(const cJSON *object, const char *name) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);
    if (!cJSON_IsNumber(item)) FAIL("no number '%s' in the JSON", name);
    return item->valuedouble;
}

static inline const char *cli_json_text_of(const cJSON *object, const char *name) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);
    if (!cJSON_IsString(item)) FAIL("no text '%s' in the JSON", name);
    return item->valuestring;
}

/* The path of a new empty file, to be removed by the caller. */
static inline const char *cli_temporary(void) {
    static char path[64];
    snprintf(path, sizeof path, "/tmp/gabbro-test-XXXXXX");
    int fd = mkstemp(path);
    CHECK(fd >= 0);
    close(fd);
    return path;
}

/* Cases that compute need a device. */
static inline void cli_need_device(void) {
    cli_result result = CLI("devices");
    if (result.exit_status == 1) SKIP("no Vulkan device: %s", result.err);
    CHECK_EXIT(result, 0);
    cli_result_free(&result);
}

#endif
