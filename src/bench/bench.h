/*
 * bench.h - `gabbro bench` as a library: measures devices, and renders what it has measured. A run is a JSON document
 * (docs/bench-schema.json); tables, reports and comparisons are made from documents alone, so that one that was stored
 * says the same.
 */
#ifndef GAB_BENCH_BENCH_H
#define GAB_BENCH_BENCH_H

#include <cjson/cJSON.h>

#include "base/error.h"

enum { BENCH_SCHEMA_VERSION = 2, BENCH_DOCUMENT_MAX = 16 };

typedef enum bench_mode { BENCH_NORMAL, BENCH_QUICK, BENCH_FULL } bench_mode;

typedef struct bench_options {
    gab_engine_options engine; /* model_path NULL: synthetic models that fit the device; log and progress: of all */
    const char *devices;       /* "A,B": each as for -d; "*": all; NULL: engine.device */
    bench_mode mode;
    const char *prompts, *depths, *batch; /* "128,512"; NULL: by mode */
    uint32_t n_run;                       /* 0: by mode */
    bool smoke;                           /* all that there is, so short that figures mean little (tests) */
    const char *program;                  /* the file whose hash is recorded; NULL: none */
} bench_options;

typedef struct bench_outcome {
    bool right;        /* no kernel was wrong */
    uint32_t n_failed; /* devices that could not be measured */
} bench_outcome;

/* *document is to be freed with cJSON_Delete. What could not be measured is in it with the reason; it fails when
 * nothing could be. */
gab_status bench_run(const bench_options *options, cJSON **document, bench_outcome *outcome);

/* A stored document; one of llama-bench (-o json) is turned into ours as far as it goes. */
gab_status bench_read(const char *path, const gab_log *log, cJSON **document);

/* Renderings, malloc'ed; NULL: out of memory. width: of the terminal. */
char *bench_render_table(const cJSON *document, bool colour);
char *bench_render_markdown(const cJSON *document);
char *bench_render_csv(const cJSON *document);
char *bench_render_html(cJSON *const *documents, uint32_t n);    /* one: the report; several: side by side */
char *bench_render_compare(cJSON *const *documents, uint32_t n); /* for a terminal */

#endif
