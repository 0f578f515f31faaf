/*
 * read.c - stored documents. Those of llama-bench (llama.cpp, tools/llama-bench, -o json: an array of tests, each with
 * n_prompt, n_gen, n_depth and samples_ts in tokens/s) become ours with the figures that they have.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "bench/bench.h"
#include "bench/document.h"
#include "bench/report.h"
#include "bench/text.h"

enum { DOCUMENT_BYTES_MAX = 64 << 20 };

/* The model of a test in the document, made at the first; again for a figure that it has already: with other settings,
 * or from another file. */
static cJSON *model_of(cJSON *models, const cJSON *test, const char *id) {
    cJSON *m;
    const char *type = bench_json_text(test, "model_type");
    char label[128];
    int n = 1;
    snprintf(label, sizeof label, "%.100s", type);
    cJSON_ArrayForEach(m, models) {
        if (strcmp(bench_json_text(m, "name"), type) != 0) continue;
        if (!bench_figure_of(m, id)) return m;
        snprintf(label, sizeof label, "%.100s (%d)", type, ++n);
    }
    m = cJSON_CreateObject();
    cJSON_AddStringToObject(m, "label", label);
    cJSON_AddStringToObject(m, "name", type);
    cJSON_AddStringToObject(m, "path", bench_json_text(test, "model_filename"));
    cJSON_AddNumberToObject(m, "weight_bytes", bench_json_number(test, "model_size"));
    cJSON_AddArrayToObject(m, "figures");
    cJSON_AddItemToArray(models, m);
    return m;
}

static void add_test(cJSON *models, const cJSON *test) {
    const double n_prompt = bench_json_number(test, "n_prompt"), n_gen = bench_json_number(test, "n_gen");
    const double depth = bench_json_number(test, "n_depth"), rate = bench_json_number(test, "avg_ts");
    const cJSON *sample, *samples = bench_json_item(test, "samples_ts");
    double ts[BENCH_RUN_MAX] = {rate};
    uint32_t n = 0;
    char id[64], name[96], at[48] = "";
    if ((n_prompt > 0) == (n_gen > 0) || rate <= 0) return; /* prompt and text together have no figure of ours */
    cJSON_ArrayForEach(sample, samples) if (n < BENCH_RUN_MAX && cJSON_IsNumber(sample)) ts[n++] = sample->valuedouble;
    const bench_time t = bench_time_of(ts, n ? n : 1, 1);
    if (depth > 0) snprintf(at, sizeof at, " at depth %.0f", depth);
    if (n_gen > 0) {
        snprintf(id, sizeof id, "decode.%.0f", depth);
        snprintf(name, sizeof name, "text%s", at);
    } else {
        snprintf(id, sizeof id, depth > 0 ? "prefill.%.0f.%.0f" : "prefill.%.0f", n_prompt, depth);
        snprintf(name, sizeof name, "prompt of %.0f tokens%s", n_prompt, at);
    }
    cJSON *f = cJSON_CreateObject();
    cJSON_AddStringToObject(f, "id", id);
    cJSON_AddStringToObject(f, "kind", n_gen > 0 ? "decode" : "prefill");
    cJSON_AddStringToObject(f, "name", name);
    cJSON_AddStringToObject(f, "unit", "tokens/s");
    cJSON_AddNumberToObject(f, "size", n_gen > 0 ? 1 : n_prompt);
    cJSON_AddNumberToObject(f, "depth", depth);
    bench_json_add(f, "median", t.ms);
    bench_json_add(f, "least", t.least);
    bench_json_add(f, "most", t.most);
    bench_json_add(f, "spread_percent", 100 * (t.most - t.least) / t.ms);
    cJSON_AddNumberToObject(f, "runs", n);
    cJSON_AddItemToArray(cJSON_GetObjectItemCaseSensitive(model_of(models, test, id), "figures"), f);
}

static cJSON *from_llama(const cJSON *tests) {
    const cJSON *first = cJSON_GetArrayItem(tests, 0), *test;
    const char *gpu = bench_json_text(first, "gpu_info");
    cJSON *d = cJSON_CreateObject(), *tool, *run, *device, *models;
    cJSON_AddStringToObject(d, "schema", "gabbro-bench");
    cJSON_AddNumberToObject(d, "version", BENCH_SCHEMA_VERSION);
    cJSON_AddStringToObject(d, "created", bench_json_text(first, "test_time"));
    tool = cJSON_AddObjectToObject(d, "tool");
    cJSON_AddStringToObject(tool, "name", "llama-bench");
    cJSON_AddStringToObject(tool, "version", bench_json_text(first, "build_commit"));
    run = cJSON_CreateObject();
    cJSON_AddItemToArray(cJSON_AddArrayToObject(d, "devices"), run);
    device = cJSON_AddObjectToObject(run, "device");
    cJSON_AddStringToObject(device, "name", gpu[0] ? gpu : bench_json_text(first, "cpu_info"));
    cJSON_AddStringToObject(device, "driver", bench_json_text(first, "backends"));
    models = cJSON_AddArrayToObject(run, "models");
    cJSON_ArrayForEach(test, tests) add_test(models, test);
    return d;
}

/* A document comes from anywhere: no text of it may steer a terminal. */
static void tame(cJSON *item) {
    for (; item; item = item->next) {
        for (char *c = cJSON_IsString(item) ? item->valuestring : NULL; c && *c; c++) {
            const unsigned char next = (unsigned char)c[1]; /* U+0080 to U+009F are two bytes */
            if ((unsigned char)*c == 0xc2 && next >= 0x80 && next < 0xa0) c[0] = c[1] = '?';
            if ((unsigned char)*c < 0x20 || *c == 0x7f) *c = '?';
        }
        tame(item->child);
    }
}

gab_status bench_read(const char *path, const gab_log *log, cJSON **document) {
    char *bytes = NULL;
    size_t n;
    GAB_TRY(gab_file_read_all(path, DOCUMENT_BYTES_MAX, log, &bytes, &n));
    cJSON *json = cJSON_ParseWithLength(bytes, n);
    free(bytes);
    if (cJSON_IsArray(json) && bench_json_text(cJSON_GetArrayItem(json, 0), "model_type")[0]) {
        cJSON *ours = from_llama(json);
        cJSON_Delete(json);
        json = ours;
    }
    if (strcmp(bench_json_text(json, "schema"), "gabbro-bench") != 0) {
        cJSON_Delete(json);
        return gab_fail(log, GAB_ERROR_FORMAT,
                        "%s is no result of 'gabbro bench --json' and none of 'llama-bench -o json'", path);
    }
    const double version = bench_json_number(json, "version");
    if (version < 1 || version > BENCH_SCHEMA_VERSION) {
        cJSON_Delete(json);
        return gab_fail(log, GAB_ERROR_FORMAT,
                        "%s: version is %g, and this program reads 1 to %d: use the one that has written it", path,
                        version, BENCH_SCHEMA_VERSION);
    }
    tame(json->child);
    *document = json;
    return GAB_OK;
}
