/*
 * plans.c - what the plans of a model hold: command buffers, dispatches and barriers, of the whole plan and of one
 * layer, and the kernels of that layer in their order.
 *
 *     bench/plans -m FILE [-d DEVICE] [-c CONTEXT] [--kv f16|f32] [--variant LIST] [--quiet]
 *
 * A layer counts with the barrier before it, also where that opens a command buffer. Where long work is cut into
 * several command buffers, a kernel is named in each, and each has a barrier. --quiet leaves the kernels out.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/trace.h"
#include "run/engine.h"

static void print_log(void *user, gab_log_level level, const char *message) {
    (void)user;
    if (level <= GAB_LOG_WARNING) fprintf(stderr, "%s\n", message);
}

/* The model's own function for a layer, and what the first layer that it recorded has added. */
static void (*layer_of_model)(const void *model, const gab_forward *forward, uint32_t layer);
static struct {
    bool seen;
    uint32_t n_dispatch, n_barrier; /* with the barrier before it */
    uint32_t first, n_bind;         /* of the trace */
} first_layer;

static void trace_layer(const void *model, const gab_forward *forward, uint32_t layer) {
    const gab_command_list *list = forward->kernels.recorder->list;
    const bool first = layer == 0 && list && !first_layer.seen;
    if (first) {
        first_layer.seen = true;
        first_layer.n_dispatch = list->n_dispatch;
        first_layer.n_barrier = list->n_barrier - 1;
        first_layer.first = bench_trace_now().n_dispatch;
    }
    layer_of_model(model, forward, layer);
    if (first) {
        first_layer.n_dispatch = list->n_dispatch - first_layer.n_dispatch;
        first_layer.n_barrier = list->n_barrier - first_layer.n_barrier;
        first_layer.n_bind = bench_trace_now().n_dispatch - first_layer.first;
    }
}

static void print_kernels(const gab_vk *vk, const bench_trace *trace) {
    for (uint32_t i = first_layer.first; i < first_layer.first + first_layer.n_bind && i < BENCH_TRACE_MAX; i++) {
        char text[160];
        bench_trace_describe(vk, trace->pipelines[i], text, sizeof text);
        printf("        %s\n", text);
    }
}

static gab_status print_plan(gab_engine *engine, const gab_plan_shape *shape, bool kernels) {
    gab_plan *plan;
    gab_plans_forget(&engine->plans);
    memset(&first_layer, 0, sizeof first_layer);
    bench_trace_start(engine->vk);
    gab_status status = gab_plan_get(&engine->plans, shape, &plan);
    const bench_trace trace = bench_trace_now();
    bench_trace_stop(engine->vk);
    if (status != GAB_OK) return status;
    const gab_command_list *list = &plan->lists[0];
    printf("%5u %5u %6u   %9u %10u %8u   %10u %8u\n", shape->n_row, shape->n_out, shape->depth, list->n_primary,
           list->n_dispatch, list->n_barrier, first_layer.n_dispatch, first_layer.n_barrier);
    if (kernels) print_kernels(engine->vk, &trace);
    return GAB_OK;
}

static gab_status print_plans(gab_engine *engine, bool quiet) {
    static const struct {
        uint32_t n_row, n_out;
    } shapes[] = {{1, 1}, {2, 2}, {4, 4}, {8, 8}, {32, 1}, {128, 1}, {GAB_ROW_MAX, 1}};
    const uint32_t depths[] = {1024, engine->plans.sizes.context};
    printf("%s, %u layers\n\n", engine->info.device, engine->plans.sizes.n_layer);
    printf("%5s %5s %6s   %9s %10s %8s   %10s\n", "", "", "", "the plan:", "", "", "a layer:");
    printf("%5s %5s %6s   %9s %10s %8s   %10s %8s\n", "rows", "outs", "depth", "buffers", "dispatches", "barriers",
           "dispatches", "barriers");
    layer_of_model = engine->plans.pass.layer;
    engine->plans.pass.layer = trace_layer;
    for (int d = 0; d < (depths[1] > depths[0] ? 2 : 1); d++)
        for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
            const gab_plan_shape shape =
                gab_plan_shape_for(&engine->plans, shapes[i].n_row, shapes[i].n_out, depths[d], false);
            GAB_TRY(print_plan(engine, &shape, !quiet && d == 0 && (shape.n_row == 1 || shape.n_row == 128)));
        }
    return GAB_OK;
}

int main(int argc, char **argv) {
    gab_engine_options options = gab_engine_options_default();
    gab_engine *engine = NULL;
    bool quiet = false, usage = false;
    options.log = print_log;
    options.n_session = 1;
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        const char *next = argv[i];
        if (strcmp(next, "--quiet") == 0) {
            quiet = true;
            continue;
        }
        i++;
        if (strcmp(next, "-m") == 0)
            options.model_path = value;
        else if (strcmp(next, "-d") == 0)
            options.device = value;
        else if (strcmp(next, "-c") == 0)
            options.context = (uint32_t)strtoul(value, NULL, 10);
        else if (strcmp(next, "--kv") == 0)
            options.kv = strcmp(value, "f32") == 0 ? GAB_KV_F32 : GAB_KV_F16;
        else if (strcmp(next, "--variant") == 0)
            options.variant = value;
        else
            usage = true;
    }
    if (usage || !options.model_path || !*options.model_path) {
        fprintf(stderr, "usage: plans -m FILE [-d DEVICE] [-c CONTEXT] [--kv f16|f32] [--variant LIST] [--quiet]\n");
        return 2;
    }
    gab_status status = gab_engine_create(&options, &engine);
    if (status == GAB_OK) status = print_plans(engine, quiet);
    gab_engine_destroy(&engine);
    return status == GAB_OK ? 0 : 1;
}
