/*
 * kernels.c - every kernel of a model, alone, on one device: time, GB/s and GFLOP/s, beside what the device can do at
 * most, measured in the same run.
 *
 *     bench/kernels [-d DEVICE] [-k PART] [-r RUNS] [--shapes 3072x768,...] [--memory MiB] [--variant LIST]
 *                   [--all-variants] [--no-ceilings] [--json]
 *
 * -k takes the kernels whose name holds PART: "matvec", "Q4_0", "decode", "matvec Q8_0 3072x768, 1". GB/s count what
 * must move once; a column is an activation row. Weights and caches rotate through --memory (512 MiB), so that they
 * come from memory as in a model and not from a cache.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "base/progress.h"
#include "bench/cases.h"
#include "bench/ceilings.h"

typedef struct options {
    const char *device, *filter, *variant;
    bench_shape shapes[BENCH_SHAPE_MAX];
    uint32_t n_shape, n_run;
    uint64_t memory;
    bool json, all_variants, no_ceilings;
} options;

typedef struct report {
    const options *options;
    gab_vk *vk;
    gab_progress progress;
    uint32_t n_done, n_total;
    bench_ceilings ceilings;
    cJSON *rows; /* with --json */
} report;

static void print_log(void *user, gab_log_level level, const char *message) {
    gab_progress *progress = user;
    if (level > GAB_LOG_INFO) return;
    gab_progress_hide(progress);
    fprintf(stderr, "%s\n", message);
    gab_progress_release(progress);
}

/* ---- the table ---- */

/* The kernels that ran, the first one's description and the stems of the others. */
static void name_kernels(const gab_vk *vk, const bench_trace *trace, char *text, size_t size) {
    size_t at = 0;
    text[0] = 0;
    for (uint32_t i = 0; i < trace->n_dispatch && i < BENCH_TRACE_MAX; i++) {
        char one[160];
        if (i > 0 && trace->pipelines[i] == trace->pipelines[i - 1]) continue; /* shards */
        bench_trace_describe(vk, trace->pipelines[i], one, sizeof one);
        if (i > 0) one[strcspn(one, " ")] = 0;
        at += (size_t)snprintf(text + at, size - at, "%s%s", i ? " + " : "", one);
        if (at >= size) return;
    }
}

/* On a CPU driver the processor time of a kernel tells more than the clock on the wall of a busy machine. */
static bool is_cpu(const report *r) {
    return r->vk->info.kind == GAB_DEVICE_CPU;
}

static void print_head(const report *r) {
    const bench_ceilings *all = &r->ceilings;
    printf("%s, %s%s\n", r->vk->info.name, r->vk->info.driver,
           r->vk->executes ? "" : ": results invalid, this device computes nothing");
    if (!r->options->no_ceilings)
        printf("\n%-24s %10s %-8s %s\n", "the device at most", "median", "", "smallest to largest; best shape");
    for (uint32_t i = 0; i < all->n; i++) {
        const bench_ceiling *c = &all->list[i];
        char name[64] = "";
        if (c->bytes) snprintf(name, sizeof name, "%s, %.2f MiB", c->name, (double)c->bytes / (1 << 20));
        printf("%-24s %10.2f %-8s %.2f to %.2f%s%s\n", c->bytes ? name : c->name, c->value, c->unit, c->least, c->most,
               c->shape[0] ? "; " : "", c->shape);
    }
    printf("\n%-16s %-34s %10s %19s", "kernel", "shape, columns", "ms", "smallest, largest");
    if (is_cpu(r)) printf(" %10s", "CPU ms");
    printf(" %9s %6s %10s %6s  %s\n", "GB/s", "% read", "GFLOP/s", "% f32", "variant");
}

/* What a case has measured. */
typedef struct figures {
    bench_time time;
    double gb, gflop, percent_read, percent_f32; /* percent: NAN without ceilings */
    char kernels[256];
} figures;

static void print_number(const char *format, const char *without, double value) {
    if (isnan(value))
        printf("%s", without);
    else
        printf(format, value);
}

static void print_row(const report *r, const bench_case *c, const figures *f) {
    printf("%-16s %-34s %10.4f %9.4f %9.4f", c->kernel, c->shape, f->time.ms, f->time.least, f->time.most);
    if (is_cpu(r)) printf(" %10.4f", f->time.cpu_ms);
    printf(" %9.2f", f->gb);
    print_number(" %6.1f", "      -", f->percent_read);
    print_number(" %10.1f", "          -", c->flops > 0 ? f->gflop : NAN);
    print_number(" %6.1f", "      -", c->flops > 0 ? f->percent_f32 : NAN);
    printf("  %s\n", f->kernels);
    fflush(stdout);
}

static cJSON *json_of_row(const bench_case *c, const figures *f) {
    const bench_time *t = &f->time;
    const struct {
        const char *name;
        double value; /* NAN becomes null */
    } numbers[] = {{"ms", t->ms},
                   {"ms_least", t->least},
                   {"ms_most", t->most},
                   {"cpu_ms", t->cpu_ms},
                   {"runs", t->n_run},
                   {"times_a_run", t->n_repeat},
                   {"gb_s", f->gb},
                   {"gflop_s", f->gflop},
                   {"percent_read", f->percent_read},
                   {"percent_f32", f->percent_f32}};
    cJSON *row = cJSON_CreateObject();
    cJSON_AddStringToObject(row, "kernel", c->kernel);
    cJSON_AddStringToObject(row, "shape", c->shape);
    cJSON_AddStringToObject(row, "variant", f->kernels);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        cJSON_AddNumberToObject(row, numbers[i].name, numbers[i].value);
    return row;
}

static gab_status run_case(void *user, const bench_case *c) {
    report *r = user;
    const bench_work work = {bench_case_record, c};
    const double read = bench_ceiling_of(&r->ceilings, BENCH_CEILING_READ, UINT64_MAX);
    const double f32 = bench_ceiling_of(&r->ceilings, BENCH_CEILING_F32, 0);
    figures f;
    gab_progress_report(&r->progress, "kernels", r->n_done++, r->n_total);
    GAB_TRY(bench_measure(r->vk, &work, r->options->n_run, &f.time));
    f.gb = c->bytes / f.time.ms * 1e-6;
    f.gflop = c->flops / f.time.ms * 1e-6;
    f.percent_read = read > 0 ? 100 * f.gb / read : NAN;
    f.percent_f32 = f32 > 0 ? 100 * f.gflop / f32 : NAN;
    const int at = c->variant ? snprintf(f.kernels, sizeof f.kernels, "%s: ", c->variant->name) : 0;
    name_kernels(r->vk, &f.time.trace, f.kernels + at, sizeof f.kernels - (size_t)at);
    if (r->rows) {
        cJSON_AddItemToArray(r->rows, json_of_row(c, &f));
        return GAB_OK;
    }
    gab_progress_hide(&r->progress);
    print_row(r, c, &f);
    gab_progress_release(&r->progress);
    return GAB_OK;
}

static bool print_json(const report *r) {
    cJSON *all = cJSON_CreateObject(), *ceilings = cJSON_AddArrayToObject(all, "ceilings");
    cJSON_AddStringToObject(all, "device", r->vk->info.name);
    cJSON_AddStringToObject(all, "driver", r->vk->info.driver);
    cJSON_AddBoolToObject(all, "executes", r->vk->executes);
    for (uint32_t i = 0; i < r->ceilings.n; i++) {
        const bench_ceiling *c = &r->ceilings.list[i];
        cJSON *one = cJSON_CreateObject();
        cJSON_AddStringToObject(one, "name", c->name);
        cJSON_AddStringToObject(one, "unit", c->unit);
        if (c->bytes) cJSON_AddNumberToObject(one, "bytes", (double)c->bytes);
        cJSON_AddNumberToObject(one, "value", c->value);
        cJSON_AddNumberToObject(one, "least", c->least);
        cJSON_AddNumberToObject(one, "most", c->most);
        cJSON_AddStringToObject(one, "shape", c->shape);
        cJSON_AddItemToArray(ceilings, one);
    }
    cJSON_AddItemToObject(all, "kernels", r->rows);
    char *text = cJSON_PrintUnformatted(all);
    if (text) puts(text);
    cJSON_free(text);
    cJSON_Delete(all);
    return text != NULL;
}

/* ---- options ---- */

/* "3072x768,4096x4096": rows up to 16384, columns too and multiples of 32, as activations are padded to. */
static bool parse_shapes(const char *text, options *o) {
    const unsigned long most = 16384;
    for (o->n_shape = 0; *text; o->n_shape++) {
        char *end;
        const unsigned long n_row = strtoul(text, &end, 10);
        if (o->n_shape == BENCH_SHAPE_MAX || end == text || *end != 'x') return false;
        text = end + 1;
        const unsigned long n_col = strtoul(text, &end, 10);
        if (end == text || (*end && *end != ',') || n_row < 1 || n_row > most || n_col < 32 || n_col > most ||
            n_col % 32)
            return false;
        o->shapes[o->n_shape] = (bench_shape){(uint32_t)n_row, (uint32_t)n_col};
        text = *end ? end + 1 : end;
    }
    return o->n_shape > 0;
}

static bool parse(int argc, char **argv, options *o) {
    const struct {
        const char *name;
        bool *value;
    } flags[] = {{"--json", &o->json}, {"--all-variants", &o->all_variants}, {"--no-ceilings", &o->no_ceilings}};
    bool good = parse_shapes("3072x768,768x3072,4096x4096", o);
    for (int i = 1; i < argc && good; i++) {
        size_t f = 0;
        while (f < 3 && strcmp(argv[i], flags[f].name) != 0) f++;
        if (f < 3) {
            *flags[f].value = true;
            continue;
        }
        const char *option = argv[i], *value = i + 1 < argc ? argv[++i] : "";
        if (strcmp(option, "-d") == 0)
            o->device = value;
        else if (strcmp(option, "-k") == 0)
            o->filter = value;
        else if (strcmp(option, "-r") == 0)
            o->n_run = (uint32_t)strtoul(value, NULL, 10);
        else if (strcmp(option, "--memory") == 0)
            o->memory = strtoull(value, NULL, 10) << 20;
        else if (strcmp(option, "--variant") == 0)
            o->variant = value;
        else
            good = strcmp(option, "--shapes") == 0 && parse_shapes(value, o);
    }
    return good && o->n_run >= 1 && o->n_run <= BENCH_RUN_MAX && o->memory >= 1 << 20 && o->memory >> 20 < 1 << 20;
}

static gab_status bench(const options *o, report *r) {
    gab_kernel_set set;
    bench_data data = {0};
    gab_status status;
    const gab_log log = {print_log, &r->progress};
    GAB_TRY(gab_vk_create(o->device, &log, &r->vk));
    GAB_TRY(gab_kernel_set_choose(r->vk, o->variant, false, &set));
    GAB_TRY_GOTO(bench_data_create(r->vk, &set, o->all_variants, o->memory, &data), error);
    GAB_TRY_GOTO(bench_cases_each(&data, o->shapes, o->n_shape, o->filter, NULL, NULL, &r->n_total), error);
    if (r->n_total == 0) {
        status = gab_fail(&log, GAB_ERROR_ARGUMENT, "no kernel's name holds '%s'", o->filter);
        goto error;
    }
    const bench_ceiling_options limits = {.n_run = o->n_run};
    if (!o->no_ceilings) GAB_TRY_GOTO(bench_ceilings_measure(r->vk, &data.pool, &limits, &r->ceilings), error);
    if (o->json)
        r->rows = cJSON_CreateArray();
    else
        print_head(r);
    GAB_TRY_GOTO(bench_cases_each(&data, o->shapes, o->n_shape, o->filter, run_case, r, &r->n_total), error);
    if (o->json && !print_json(r)) status = GAB_ERROR_HOST_MEMORY;
error:
    bench_data_destroy(&data);
    return status;
}

int main(int argc, char **argv) {
    options o = {.n_run = 5, .memory = 512 << 20};
    report r = {.options = &o};
    if (!parse(argc, argv, &o)) {
        fprintf(stderr,
                "usage: kernels [-d DEVICE] [-k PART OF A NAME] [-r RUNS, 5] [--shapes ROWSxCOLS,...: columns a "
                "multiple of 32]\n               [--memory MiB, 512] [--variant lane|group|OPERATION=NAME,...] "
                "[--all-variants] [--no-ceilings] [--json]\n");
        return 2;
    }
    gab_progress_init(&r.progress, stderr, false);
    gab_status status = bench(&o, &r);
    gab_progress_free(&r.progress);
    gab_vk_destroy(&r.vk);
    return status == GAB_OK ? 0 : 1;
}
