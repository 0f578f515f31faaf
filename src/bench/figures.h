/*
 * figures.h - what a model reaches on a device: prompts, text at several depths, short turns, several texts at once,
 * first tokens, loading, compiling; through the same engine and sessions that `gabbro run` uses.
 */
#ifndef GAB_BENCH_FIGURES_H
#define GAB_BENCH_FIGURES_H

#include "bench/walk.h"

enum { BENCH_LIST_MAX = 8, BENCH_FIGURE_MAX = 40, BENCH_LEFT_OUT_MAX = 32 };

typedef struct bench_list {
    uint32_t values[BENCH_LIST_MAX];
    uint32_t n;
} bench_list;

typedef enum bench_figure_kind {
    BENCH_PREFILL, /* tokens/s of a prompt of `size` tokens */
    BENCH_DECODE,  /* tokens/s at depth `depth` */
    BENCH_TURN,    /* ms: a short prompt and `size` new tokens, at depth `depth` */
    BENCH_BATCH,   /* tokens/s of `size` texts at once, all together */
    BENCH_FIRST,   /* ms to the first token of a prompt of `size` tokens: warm, or with loading, cold */
    BENCH_LOAD,    /* ms of making the engine, and of its parts */
} bench_figure_kind;

typedef struct bench_figure {
    bench_figure_kind kind;
    char id[32], name[64]; /* "decode.4096", "decode at 4096" */
    const char *unit;
    bool lower; /* is better */
    uint32_t size, depth;
    double value, least, most; /* median, smallest, largest */
    uint32_t n_run;
    double ideal; /* what it would be at the device's ceilings; 0: not known */
    bool by_bytes;
} bench_figure;

typedef struct bench_figures {
    bench_figure list[BENCH_FIGURE_MAX];
    uint32_t n;
    struct {
        char name[64];
        const char *why;
    } left_out[BENCH_LEFT_OUT_MAX];
    uint32_t n_left_out;
} bench_figures;

typedef struct bench_plan {
    bench_list prompts, depths, batch;
    uint32_t n_run;
    double run_ms;    /* about what a run should take */
    double figure_ms; /* no run is begun when the figure's have taken so long, and there are two or three */
    bool all_runs;    /* they are taken however long they take */
    bool patient;     /* prompts are measured however long they take */
    gab_progress_fn progress;
    void *progress_user;
} bench_plan;

/* Prompts of answers, and of the first token. */
enum { BENCH_TURN_PROMPT = 24, BENCH_FIRST_PROMPT = 128 };

/* The depth at which answers are measured. */
uint32_t bench_plan_turn_depth(const bench_plan *plan, uint32_t context);

/* Positions that a session must have. */
uint32_t bench_plan_context(const bench_plan *plan);
uint32_t bench_plan_n_figure(const bench_plan *plan);

/* All but FIRST cold and LOAD; what there is no room or time for is left out, and noted. stage: what the progress
 * is called. */
gab_status bench_figures_measure(gab_engine *engine, const bench_plan *plan, const bench_ceilings *ceilings,
                                 const char *stage, bench_figures *figures);

bench_figure *bench_figure_add(bench_figures *figures, bench_figure_kind kind, const char *id, const char *name,
                               const char *unit, double value);

#endif
