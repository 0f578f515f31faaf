#include "bench/text.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void bench_text_add(bench_text *t, const char *format, ...) {
    va_list args;
    if (t->failed) return;
    va_start(args, format);
    const int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (n >= 0 && t->n + (size_t)n + 1 > t->size) {
        const size_t larger = 2 * (t->n + (size_t)n + 1);
        char *bytes = realloc(t->bytes, larger);
        t->failed = !bytes;
        if (!bytes) return;
        t->bytes = bytes;
        t->size = larger;
    }
    va_start(args, format);
    if (n >= 0) t->n += (size_t)vsnprintf(t->bytes + t->n, t->size - t->n, format, args);
    va_end(args);
}

void bench_text_escaped(bench_text *t, const char *words) {
    for (; *words; words++) {
        switch (*words) {
        case '<': bench_text_add(t, "&lt;"); break;
        case '>': bench_text_add(t, "&gt;"); break;
        case '&': bench_text_add(t, "&amp;"); break;
        case '"': bench_text_add(t, "&quot;"); break;
        default: bench_text_add(t, "%c", *words);
        }
    }
}

char *bench_text_take(bench_text *t) {
    char *bytes = t->failed ? NULL : t->bytes;
    if (t->failed) free(t->bytes);
    *t = (bench_text){0};
    return bytes;
}

const cJSON *bench_json_item(const cJSON *object, const char *name) {
    return cJSON_GetObjectItemCaseSensitive(object, name);
}

const char *bench_json_text(const cJSON *object, const char *name) {
    const cJSON *item = bench_json_item(object, name);
    return cJSON_IsString(item) ? item->valuestring : "";
}

double bench_json_number(const cJSON *object, const char *name) {
    const cJSON *item = bench_json_item(object, name);
    return cJSON_IsNumber(item) && isfinite(item->valuedouble) ? item->valuedouble : 0;
}

bool bench_json_true(const cJSON *object, const char *name) {
    return cJSON_IsTrue(bench_json_item(object, name));
}

const char *bench_number(double value, char out[32]) {
    const double size = fabs(value);
    snprintf(out, 32, "%.*f",
             size >= 100 || size <= 0 ? 0
             : size >= 10             ? 1
             : size >= 1              ? 2
             : size >= 0.1            ? 3
                                      : 4,
             value);
    return out;
}

const char *bench_size(double bytes, char out[32]) {
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    int i = 0;
    for (; bytes >= 1024 && i < 4; i++) bytes /= 1024;
    snprintf(out, 32, bytes >= 10 || bytes == floor(bytes) ? "%.0f %s" : "%.1f %s", bytes, units[i]);
    return out;
}
