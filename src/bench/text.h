/* text.h - a text that grows, for renderings; and reading documents. */
#ifndef GAB_BENCH_TEXT_H
#define GAB_BENCH_TEXT_H

#include <cjson/cJSON.h>

#include "base/error.h"

typedef struct bench_text {
    char *bytes; /* zero-terminated; NULL: empty, or out of memory */
    size_t n, size;
    bool failed;
} bench_text;

void bench_text_add(bench_text *text, const char *format, ...) GAB_PRINTF(2, 3);
/* With what HTML would take for its own spelled out. */
void bench_text_escaped(bench_text *text, const char *words);
/* The bytes, for the caller to free; NULL when memory ran out. */
char *bench_text_take(bench_text *text);

/* Of a document: what is missing is "", 0 or an empty list. */
const char *bench_json_text(const cJSON *object, const char *name);
double bench_json_number(const cJSON *object, const char *name);
bool bench_json_true(const cJSON *object, const char *name);
const cJSON *bench_json_item(const cJSON *object, const char *name);

/* A number as people read it: three digits or more, no exponents. */
const char *bench_number(double value, char out[32]);
/* 65536: "64 KiB" */
const char *bench_size(double bytes, char out[32]);

#endif
