/* bench.c - `gabbro bench`: measures devices, and puts what was measured side by side. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/bench.h"
#include "cli/commands.h"
#include "cli/setup.h"

static gab_status write_text(const char *path, char *text, cli_console *console) {
    cli_output output = {0};
    if (!text) return gab_fail(&console->log, GAB_ERROR_HOST_MEMORY, "out of host memory");
    gab_status status = cli_output_open(&output, path, &console->log);
    if (status == GAB_OK) status = cli_output_write(&output, text, strlen(text));
    free(text);
    return cli_output_close(&output, status);
}

static gab_status write_json(const char *path, const cJSON *document, cli_console *console) {
    cli_output output = {0};
    GAB_TRY(cli_output_open(&output, path, &console->log));
    gab_status status = cli_output_json(&output, cJSON_Duplicate(document, true));
    return cli_output_close(&output, status);
}

static gab_status first_of(gab_status before, gab_status now) {
    return before == GAB_OK ? now : before;
}

/* Results that go to standard output. */
static int n_on_stdout(const cli_options *o) {
    return (o->json_path && strcmp(o->json_path, "-") == 0) + (o->html_path && strcmp(o->html_path, "-") == 0) +
           o->markdown + o->csv;
}

/* Before minutes of measuring. */
static gab_status check_outputs(const cli_options *o, cli_console *console) {
    if (n_on_stdout(o) > 1)
        return gab_fail(&console->log, GAB_ERROR_ARGUMENT,
                        "of --json -, --html -, --markdown and --csv one alone can go to standard output: give the "
                        "others a FILE, or run 'gabbro bench' again");
    if (o->json_path) GAB_TRY(cli_output_check(o->json_path, &console->log));
    return o->html_path ? cli_output_check(o->html_path, &console->log) : GAB_OK;
}

/* What the options ask for; with another result on standard output, no table of ours. A file that cannot be written
 * does not keep the rest, minutes of measuring, from being said. */
static gab_status write_all(const cli_options *o, cli_console *console, cJSON *document) {
    gab_status status = GAB_OK;
    if (o->json_path) status = first_of(status, write_json(o->json_path, document, console));
    if (o->html_path) status = first_of(status, write_text(o->html_path, bench_render_html(&document, 1), console));
    if (o->markdown) status = first_of(status, write_text("-", bench_render_markdown(document), console));
    if (o->csv) status = first_of(status, write_text("-", bench_render_csv(document), console));
    if (n_on_stdout(o) == 0)
        status = first_of(status, write_text("-", bench_render_table(document, cli_is_styled(STDOUT_FILENO)), console));
    return status;
}

static gab_status measure(const cli_options *o, cli_console *console) {
    bench_options options = {.engine = o->engine,
                             .devices = o->all_devices ? "*" : o->devices,
                             .mode = o->quick  ? BENCH_QUICK
                                     : o->full ? BENCH_FULL
                                               : BENCH_NORMAL,
                             .prompts = o->prompt_sizes,
                             .depths = o->depths,
                             .batch = o->batch,
                             .n_run = o->runs,
                             .smoke = o->smoke,
                             .program = "/proc/self/exe"};
    cli_options named = *o; /* as other commands take names of models */
    cJSON *document = NULL;
    bench_outcome outcome;
    GAB_TRY(check_outputs(o, console));
    if (o->engine.model_path) GAB_TRY(cli_model_find(&named, console));
    options.engine.model_path = named.engine.model_path;
    cli_engine_console(&options.engine, console);
    GAB_TRY(bench_run(&options, &document, &outcome));
    gab_status status = write_all(o, console, document);
    cJSON_Delete(document);
    if (status != GAB_OK) return status;
    if (outcome.n_failed > 0)
        return gab_fail(&console->log, GAB_ERROR_UNSUPPORTED,
                        "%u of the devices could not be measured; the results say why", outcome.n_failed);
    if (outcome.right) return GAB_OK;
    return gab_fail(&console->log, GAB_ERROR_UNSUPPORTED,
                    "a kernel computes wrong numbers on this device: its figures were refused. Update the driver");
}

static gab_status compare(const cli_options *o, cli_console *console) {
    const uint32_t n = o->arguments.n - 1;
    cJSON *documents[BENCH_DOCUMENT_MAX] = {NULL};
    gab_status status = GAB_OK;
    if (o->json_path || o->markdown || o->csv)
        return gab_fail(
            &console->log, GAB_ERROR_ARGUMENT,
            "bench compare prints a table, and with --html FILE a page: it has no --json, --markdown or --csv");
    for (uint32_t i = 0; status == GAB_OK && i < n; i++)
        status = bench_read(o->arguments.items[i + 1], &console->log, &documents[i]);
    if (status == GAB_OK && o->html_path) status = write_text(o->html_path, bench_render_html(documents, n), console);
    if (status == GAB_OK && n_on_stdout(o) == 0) status = write_text("-", bench_render_compare(documents, n), console);
    for (uint32_t i = 0; i < n; i++) cJSON_Delete(documents[i]);
    return status;
}

gab_status cli_bench(const cli_options *options, cli_console *console) {
    return options->arguments.n > 0 ? compare(options, console) : measure(options, console);
}
