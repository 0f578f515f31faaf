/* need.h - what a model needs of a device, known from its metadata before anything is loaded. */
#ifndef GAB_BENCH_NEED_H
#define GAB_BENCH_NEED_H

#include "bench/figures.h"

typedef struct bench_need {
    uint32_t context;     /* positions: as many as are measured, or fewer where the model or the memory has no more */
    double weight_bytes;  /* of all weights */
    double bytes;         /* and of activations and the keys and values of one text */
    double token_bytes;   /* of the weights that a token reads: of experts those that it takes */
    double token_weights; /* their number */
} bench_need;

/* What a device has. */
typedef struct bench_room {
    double bytes;
    uint64_t binding_bytes; /* of one buffer, as a kernel sees it */
} bench_room;

/* path: as options->model_path; of the options, quantize, kv and the log count. */
gab_status bench_need_of(const gab_engine_options *options, const char *path, const bench_plan *plan,
                         const bench_room *room, bench_need *need);

#endif
