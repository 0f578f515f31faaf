/* tune.c - `gabbro tune`: which kernels a device uses for a model, and why. */
#include <stdio.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/setup.h"

/* Four digits: figures range from a CPU driver's to a large card's. */
static void add_figure(cJSON *object, const char *name, double value) {
    char text[64];
    snprintf(text, sizeof text, "%.4g", value);
    cJSON_AddRawToObject(object, name, text);
}

static cJSON *result_json(const gab_tune_result *r) {
    cJSON *object = cJSON_CreateObject();
    cJSON_AddStringToObject(object, "operation", r->operation);
    cJSON_AddStringToObject(object, "shape", r->shape);
    cJSON_AddStringToObject(object, "variant", r->variant);
    cJSON_AddBoolToObject(object, "chosen", r->chosen);
    cJSON_AddStringToObject(object, "verdict", gab_tune_verdict_text(r->verdict));
    if (r->reason[0]) cJSON_AddStringToObject(object, "reason", r->reason);
    if (r->error_max > 0) {
        add_figure(object, "error", r->error);
        add_figure(object, "error_max", r->error_max);
    }
    if (r->ms > 0) {
        add_figure(object, "ms", r->ms);
        add_figure(object, "gb_s", r->gb_s);
        add_figure(object, "gflop_s", r->gflop_s);
    }
    return object;
}

static gab_status print_json(cli_output *output, const gab_engine_info *info, const gab_tune_result *results,
                             size_t n) {
    cJSON *object = cJSON_CreateObject();
    cli_json_engine(object, info);
    cJSON *array = cJSON_AddArrayToObject(object, "results");
    for (size_t i = 0; i < n; i++) cJSON_AddItemToArray(array, result_json(&results[i]));
    return cli_output_json(output, object);
}

/* One variant: a line, and one more where it was put aside or put off. */
static gab_status print_result(cli_output *output, const gab_tune_result *r) {
    char error[24] = "", times[64] = "";
    if (r->verdict == GAB_VERDICT_RIGHT || r->verdict == GAB_VERDICT_WRONG)
        snprintf(error, sizeof error, "%.1e", r->error);
    if (r->ms > 0) snprintf(times, sizeof times, "%10.4f %9.2f %10.1f", r->ms, r->gb_s, r->gflop_s);
    GAB_TRY(cli_output_print(output, "%c %-20s %-16s %-8s%s%s\n", r->chosen ? '*' : ' ', r->variant,
                             gab_tune_verdict_text(r->verdict), error, times[0] ? " " : "", times));
    return r->reason[0] ? cli_output_print(output, "      %s\n", r->reason) : GAB_OK;
}

static gab_status print_table(cli_output *output, const gab_tune_result *results, size_t n) {
    GAB_TRY(cli_output_print(output, "  %-20s %-16s %-8s %10s %9s %10s\n", "variant", "verdict", "error", "ms", "GB/s",
                             "GFLOP/s"));
    for (size_t i = 0; i < n; i++) {
        const gab_tune_result *r = &results[i];
        if (i == 0 || strcmp(r->operation, results[i - 1].operation) != 0)
            GAB_TRY(cli_output_print(output, "%s: %s\n", r->operation, r->shape));
        GAB_TRY(print_result(output, r));
    }
    return GAB_OK;
}

gab_status cli_tune(const cli_options *options, cli_console *console) {
    gab_engine_options engine = options->engine;
    gab_engine_info info;
    gab_tune_result *results = NULL;
    size_t n = 0;
    cli_output output = {0};
    cli_engine_console(&engine, console);
    GAB_TRY(gab_engine_tune(&engine, &info, &results, &n));
    gab_status status = cli_output_open(&output, "-", &console->log);
    if (status == GAB_OK)
        status = options->json ? print_json(&output, &info, results, n) : print_table(&output, results, n);
    status = cli_output_close(&output, status);
    gab_tune_results_free(&results);
    if (status == GAB_OK && !options->json)
        cli_console_say(console, "* is used%s; error: relative, the largest seen.",
                        info.executes ? "" : ", by rule: the device computes nothing");
    return status;
}
