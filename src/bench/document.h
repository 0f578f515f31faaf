/* document.h - what was measured, as JSON: the one place that knows the names of docs/bench-schema.json. */
#ifndef GAB_BENCH_DOCUMENT_H
#define GAB_BENCH_DOCUMENT_H

#include <cjson/cJSON.h>

#include "bench/check.h"
#include "bench/conditions.h"
#include "bench/figures.h"

/* Numbers with six digits: no measurement has more. */
void bench_json_add(cJSON *object, const char *name, double value);

cJSON *bench_document_create(const char *mode, uint32_t n_run, const char *program);
/* A device that could not be measured: as it was asked for, and why. */
void bench_document_fail(cJSON *document, const char *device, const char *why);
cJSON *bench_device_json(const gab_vk *vk);
cJSON *bench_conditions_json(const bench_conditions *conditions);
cJSON *bench_ceilings_json(const bench_ceilings *ceilings, uint32_t n_run);
cJSON *bench_figures_json(const bench_figures *figures);
cJSON *bench_verdict_json(const bench_kernel *kernel, const bench_verdict *verdict);
cJSON *bench_kernel_json(const bench_walk *walk, const bench_ceilings *ceilings, uint32_t first,
                         const bench_time *time);

/* SHA-256 of a file; of one above 256 MiB of its size and its first and last 16 MiB, after "part:". "": cannot be read.
 */
void bench_hash_file(const char *path, char hash[80]);
/* Of all files of a model: of one that was split all parts, of a folder its configuration and weights. */
void bench_hash_model(const char *path, char hash[80]);

#endif
