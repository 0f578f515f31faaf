/* job.h - a device being measured: what bench.c (devices), presets.c (which models) and model.c (one of them) share. */
#ifndef GAB_BENCH_JOB_H
#define GAB_BENCH_JOB_H

#include "bench/bench.h"
#include "bench/need.h"

/* What a mode is. */
typedef struct bench_mode_row {
    const char *name, *prompts, *depths, *batch;
    uint32_t n_run;
    double run_ms, figure_ms;
    uint64_t pool_bytes;
    double submit_ms;
    double model_s;  /* what all synthetic models together are to take */
    uint32_t n_type; /* and in how many types */
} bench_mode_row;
extern const bench_mode_row bench_modes[];

/* One device under way. */
typedef struct bench_job {
    const bench_options *options;
    bench_plan plan, whole_plan; /* of a model; of one that had all the time */
    gab_log log;
    const char *device; /* as it was asked for */
    bench_ceilings ceilings;
    cJSON *json, *skipped, *models;
    bench_mode mode;
    uint64_t start_ns;
    bool right, executes;
    bool first; /* of the devices that are measured */
    bench_room room;
    struct {
        double load_bytes_s, text_bytes_s, prompt_flop_s;
    } reached; /* with the last model; 0: with none yet */
    const char *stage;
    double stage_ms[3]; /* of making an engine: tuning, loading, preparing */
    uint64_t stage_ns;
} bench_job;

/* A model: its figures into job->models. label: NULL for the name that the model has. */
gab_status bench_job_model(bench_job *job, const char *path, const char *label);

/* All synthetic models that there is room and time for. */
gab_status bench_job_presets(bench_job *job);

gab_status bench_job_need(const bench_job *job, const char *path, bench_need *need);

/* Notes what is left out. */
void bench_job_skip(bench_job *job, const char *what, const char *why);
void bench_job_say(bench_job *job, const char *stage, uint64_t done, uint64_t total);
double bench_job_submit_ms(const bench_job *job);
/* A gab_log_fn; user is a job. Each model opens the device anew: what an engine says of it is no news. */
void bench_job_log(void *user, gab_log_level level, const char *message);

#endif
