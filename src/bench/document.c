#include "bench/document.h"

#include <fnmatch.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/sha.h"
#include "bench/bench.h"
#include "bench/text.h"

void bench_json_add(cJSON *object, const char *name, double value) {
    char text[32];
    snprintf(text, sizeof text, "%.6g", value);
    cJSON_AddNumberToObject(object, name, strtod(text, NULL)); /* null where it is no number */
}

static void add_spread(cJSON *object, double value, double least, double most, uint32_t n_run) {
    bench_json_add(object, "median", value);
    bench_json_add(object, "least", least);
    bench_json_add(object, "most", most);
    bench_json_add(object, "spread_percent", value > 0 ? 100 * (most - least) / value : 0);
    if (n_run) cJSON_AddNumberToObject(object, "runs", n_run);
}

/* ---- hashes ---- */

static bool hash_range(const gab_file *file, uint64_t from, uint64_t to, gab_sha *sha) {
    enum { CHUNK = 1 << 20 };
    const gab_log silent = {0};
    unsigned char *bytes = malloc(CHUNK);
    bool read = bytes != NULL;
    for (uint64_t at = from; read && at < to; at += CHUNK) {
        const size_t n = to - at < CHUNK ? (size_t)(to - at) : CHUNK;
        read = gab_file_read_at(file, at, bytes, n, &silent) == GAB_OK;
        if (read) gab_sha_add(sha, bytes, n);
    }
    free(bytes);
    return read;
}

void bench_hash_file(const char *path, char hash[80]) {
    const uint64_t whole_max = 256u << 20, end = 16u << 20;
    const gab_log silent = {0};
    gab_file *file = NULL;
    gab_sha sha;
    bool read = true;
    hash[0] = 0;
    if (gab_path_kind(path) != GAB_PATH_FILE || gab_file_open(path, &silent, &file) != GAB_OK) return;
    const uint64_t size = gab_file_size(file);
    gab_sha_start(&sha, GAB_SHA_256);
    if (size > whole_max) {
        gab_sha_add(&sha, &size, sizeof size);
        read = hash_range(file, 0, end, &sha);
    }
    read = read && hash_range(file, size > whole_max ? size - end : 0, size, &sha);
    const size_t at = size > whole_max ? (size_t)snprintf(hash, 80, "part:") : 0;
    gab_sha_finish(&sha, hash + at);
    if (!read) hash[0] = 0;
    gab_file_close(&file);
}

/* Adds the hashes of the files of a pattern, in the order of their names; how many, and 0 when one cannot be read. */
static size_t hash_files(const char *pattern, gab_sha *sha) {
    glob_t files;
    if (glob(pattern, 0, NULL, &files) != 0) return 0;
    size_t n = files.gl_pathc;
    for (size_t i = 0; n > 0 && i < files.gl_pathc; i++) {
        char hash[80];
        bench_hash_file(files.gl_pathv[i], hash);
        gab_sha_add(sha, hash, strlen(hash));
        if (!hash[0]) n = 0;
    }
    globfree(&files);
    return n;
}

/* The path as a pattern that means itself; with `tail` instead of its last characters. */
static void escape_pattern(const char *path, size_t n, const char *tail, char *out, size_t size) {
    size_t at = 0;
    for (size_t i = 0; i < n && at + 2 < size; i++) {
        if (strchr("*?[\\", path[i])) out[at++] = '\\';
        out[at++] = path[i];
    }
    snprintf(out + at, size - at, "%s", tail);
}

void bench_hash_model(const char *path, char hash[80]) {
#define DIGITS "[0-9][0-9][0-9][0-9][0-9]"
    enum { PART = 20, OF = 14 }; /* "-00001-of-00003.gguf", "-of-00003.gguf" */
    const size_t n = strlen(path);
    char pattern[2 * 4096];
    gab_sha sha;
    const bool folder = gab_path_kind(path) == GAB_PATH_FOLDER;
    const bool split = n > PART && fnmatch("-" DIGITS "-of-" DIGITS ".gguf", path + n - PART, 0) == 0;
    bench_hash_file(path, hash);
    if (!folder && !split) return;
    gab_sha_start(&sha, GAB_SHA_256);
    if (folder) {
        escape_pattern(path, n, "/config.json", pattern, sizeof pattern);
        hash_files(pattern, &sha);
        escape_pattern(path, n, "/*.safetensors", pattern, sizeof pattern);
    } else {
        char tail[64];
        snprintf(tail, sizeof tail, "-" DIGITS "%s", path + n - OF);
        escape_pattern(path, n - PART, tail, pattern, sizeof pattern);
    }
    const size_t n_file = hash_files(pattern, &sha);
    const size_t at = (size_t)snprintf(hash, 80, "files:");
    gab_sha_finish(&sha, hash + at);
    if (n_file == 0) hash[0] = 0;
#undef DIGITS
}

/* ---- the head ---- */

static void read_cpu(char name[128]) {
    char line[256];
    FILE *f = fopen("/proc/cpuinfo", "r");
    name[0] = 0;
    while (f && !name[0] && fgets(line, sizeof line, f))
        if (strncmp(line, "model name", 10) == 0 && strchr(line, ':'))
            snprintf(name, 128, "%.*s", (int)strcspn(strchr(line, ':') + 2, "\n"), strchr(line, ':') + 2);
    if (f) fclose(f);
}

cJSON *bench_document_create(const char *mode, uint32_t n_run, const char *program) {
    char text[160] = "", hash[80] = "";
    struct utsname system;
    struct tm now;
    const time_t seconds = time(NULL);
    cJSON *d = cJSON_CreateObject(), *tool, *host;
    cJSON_AddStringToObject(d, "schema", "gabbro-bench");
    cJSON_AddNumberToObject(d, "version", BENCH_SCHEMA_VERSION);
    if (gmtime_r(&seconds, &now)) strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &now);
    cJSON_AddStringToObject(d, "created", text);
    cJSON_AddStringToObject(d, "mode", mode);
    cJSON_AddNumberToObject(d, "runs", n_run);
    tool = cJSON_AddObjectToObject(d, "tool");
    cJSON_AddStringToObject(tool, "name", "gabbro");
    cJSON_AddStringToObject(tool, "version", gab_version());
    if (program) bench_hash_file(program, hash);
    cJSON_AddStringToObject(tool, "sha256", hash);
    host = cJSON_AddObjectToObject(d, "host");
    read_cpu(text);
    cJSON_AddStringToObject(host, "cpu", text);
    cJSON_AddNumberToObject(host, "cores", (double)sysconf(_SC_NPROCESSORS_ONLN));
    if (uname(&system) == 0) snprintf(text, sizeof text, "%.60s %.80s", system.sysname, system.release);
    cJSON_AddStringToObject(host, "system", text);
    cJSON_AddArrayToObject(d, "devices");
    cJSON_AddArrayToObject(d, "failed");
    return d;
}

void bench_document_fail(cJSON *document, const char *device, const char *why) {
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "device", device);
    cJSON_AddStringToObject(o, "why", why);
    cJSON_AddItemToArray(cJSON_GetObjectItemCaseSensitive(document, "failed"), o);
}

cJSON *bench_device_json(const gab_vk *vk) {
    static const struct {
        uint32_t bit;
        const char *name;
    } features[] = {{GAB_FEATURE_F16, "f16"},
                    {GAB_FEATURE_INT_DOT, "int8-dot"},
                    {GAB_FEATURE_MATRIX, "cooperative-matrix"},
                    {GAB_FEATURE_ADDRESS, "addresses"}};
    const gab_device_info *info = &vk->info;
    char version[32];
    cJSON *d = cJSON_CreateObject();
    snprintf(version, sizeof version, "%u.%u.%u", info->api_version >> 22 & 0x7f, info->api_version >> 12 & 0x3ff,
             info->api_version & 0xfff);
    cJSON_AddStringToObject(d, "name", info->name);
    cJSON_AddStringToObject(d, "driver", info->driver);
    cJSON_AddStringToObject(d, "uuid", info->uuid);
    cJSON_AddStringToObject(d, "kind", gab_device_kind_text(info->kind));
    cJSON_AddStringToObject(d, "vulkan", version);
    cJSON_AddNumberToObject(d, "memory_bytes", (double)info->memory_total);
    cJSON_AddNumberToObject(d, "subgroup_size", info->subgroup_size);
    cJSON_AddBoolToObject(d, "executes", vk->executes);
    cJSON *list = cJSON_AddArrayToObject(d, "features");
    for (size_t i = 0; i < sizeof features / sizeof *features; i++)
        if (vk->features & features[i].bit) cJSON_AddItemToArray(list, cJSON_CreateString(features[i].name));
    return d;
}

cJSON *bench_conditions_json(const bench_conditions *c) {
    const struct {
        const char *name;
        double value; /* 0: not readable */
    } values[] = {{"cpu_mhz", c->cpu_mhz}, {"gpu_mhz", c->gpu_mhz}, {"cpu_c", c->cpu_c}, {"gpu_c", c->gpu_c}};
    cJSON *o = cJSON_CreateObject();
    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        if (values[i].value > 0) bench_json_add(o, values[i].name, values[i].value);
    bench_json_add(o, "load", c->load);
    return o;
}

/* ---- figures ---- */

cJSON *bench_ceilings_json(const bench_ceilings *ceilings, uint32_t n_run) {
    cJSON *list = cJSON_CreateArray();
    for (uint32_t i = 0; i < ceilings->n; i++) {
        const bench_ceiling *c = &ceilings->list[i];
        char name[64], size[32];
        cJSON *o = cJSON_CreateObject();
        const bool shapes = c->id == BENCH_CEILING_MATRIX; /* of which a device may have many */
        snprintf(size, sizeof size, "%.*s", shapes ? (int)strcspn(c->shape, ",") : 0, c->shape); /* "16x16x16" */
        if (c->bytes) bench_size((double)c->bytes, size);
        snprintf(name, sizeof name, "%s%s%s", c->name, size[0] ? ", " : "", size);
        cJSON_AddStringToObject(o, "kind", c->name);
        cJSON_AddStringToObject(o, "name", name);
        cJSON_AddStringToObject(o, "unit", c->unit);
        if (c->bytes) cJSON_AddNumberToObject(o, "bytes", (double)c->bytes);
        add_spread(o, c->value, c->least, c->most, n_run);
        if (c->shape[0]) cJSON_AddStringToObject(o, "shape", c->shape);
        cJSON_AddItemToArray(list, o);
    }
    return list;
}

cJSON *bench_figures_json(const bench_figures *figures) {
    static const char *const kinds[] = {"prefill", "decode", "turn", "batch", "first", "load"};
    cJSON *list = cJSON_CreateArray();
    for (uint32_t i = 0; i < figures->n; i++) {
        const bench_figure *f = &figures->list[i];
        cJSON *o = cJSON_CreateObject();
        cJSON_AddStringToObject(o, "id", f->id);
        cJSON_AddStringToObject(o, "kind", kinds[f->kind]);
        cJSON_AddStringToObject(o, "name", f->name);
        cJSON_AddStringToObject(o, "unit", f->unit);
        cJSON_AddNumberToObject(o, "size", f->size);
        cJSON_AddNumberToObject(o, "depth", f->depth);
        add_spread(o, f->value, f->least, f->most, f->n_run);
        if (f->ideal > 0 && f->value > 0) {
            bench_json_add(o, "ceiling", f->ideal);
            bench_json_add(o, "share_percent", 100 * (f->lower ? f->ideal / f->value : f->value / f->ideal));
            cJSON_AddStringToObject(o, "bound", f->by_bytes ? "memory" : "arithmetic");
        }
        cJSON_AddItemToArray(list, o);
    }
    return list;
}

cJSON *bench_verdict_json(const bench_kernel *k, const bench_verdict *v) {
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "kernel", k ? k->name : "layer");
    cJSON_AddStringToObject(o, "shape", k ? k->shape : "the first, whole");
    cJSON_AddStringToObject(o, "verdict", !v->checked ? "unchecked" : v->error > 1 ? "wrong" : "right");
    cJSON_AddNumberToObject(o, "values", v->n_value);
    bench_json_add(o, "error_share", v->error);
    if (v->reason[0]) cJSON_AddStringToObject(o, "reason", v->reason);
    return o;
}

cJSON *bench_kernel_json(const bench_walk *w, const bench_ceilings *ceilings, uint32_t first, const bench_time *time) {
    const bench_kernel *k = &w->kernels[first];
    bool by_bytes;
    uint32_t n = 0;
    double operations = k->operations, bytes = k->bytes;
    for (uint32_t i = first; i < w->n; i++) n += w->kernels[i].first == first;
    const double ideal = bench_walk_ideal_ms(w, ceilings, first, &by_bytes) / n;
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "kernel", k->name);
    cJSON_AddStringToObject(o, "shape", k->shape);
    cJSON_AddNumberToObject(o, "times", n);
    bench_json_add(o, "ms", time->ms);
    bench_json_add(o, "spread_percent", time->ms > 0 ? 100 * (time->most - time->least) / time->ms : 0);
    bench_json_add(o, "bytes", bytes);
    bench_json_add(o, "operations", operations);
    bench_json_add(o, "gb_s", bytes / time->ms * 1e-6);
    bench_json_add(o, "gflop_s", operations / time->ms * 1e-6);
    bench_json_add(o, "roof_percent", time->ms > 0 ? 100 * ideal / time->ms : 0);
    cJSON_AddStringToObject(o, "bound", by_bytes ? "memory" : "arithmetic");
    bench_json_add(o, "lost_ms", time->ms > ideal ? n * (time->ms - ideal) : 0);
    return o;
}
