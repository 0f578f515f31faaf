#include "bench/need.h"

#include <string.h>

/* The embedding gives a token one row, unless it is the head too. */
static void add_token(const gab_gguf *gguf, const gab_model_config *c, bench_need *need) {
    const bool tied = !gab_gguf_tensor_find(gguf, "output.weight");
    for (uint64_t i = 0; i < gab_gguf_n_tensor(gguf); i++) {
        const gab_gguf_tensor *t = gab_gguf_tensor_at(gguf, i);
        const double taken = t->n_dim == 3 && c->n_expert > 0 ? (double)c->n_used / c->n_expert : 1;
        if (strcmp(t->name, "position_embd.weight") == 0 || strcmp(t->name, "per_layer_token_embd.weight") == 0 ||
            (!tied && strcmp(t->name, "token_embd.weight") == 0))
            continue;
        need->token_bytes += taken * (double)t->bytes;
        need->token_weights += taken * (double)(t->n_row * t->shape[0]);
    }
}

static double bytes_with(const gab_model *model, uint32_t context, bool kv_f16) {
    const gab_model_config *c = &model->config;
    const gab_plan_sizes sizes = gab_model_sizes(model, context);
    return (double)gab_model_weight_bytes(model) + (double)gab_plans_bytes(&sizes) +
           (double)context / GAB_PAGE * (double)gab_kv_page_bytes(c->kv, c->n_layer, kv_f16);
}

/* A layer's keys are one buffer. */
static bool has_room(const gab_model *model, uint32_t context, bool kv_f16, const bench_room *room) {
    const gab_model_config *c = &model->config;
    uint64_t keys = 0;
    for (uint32_t i = 0; i < c->n_layer; i++) {
        gab_kv_shape alone = c->kv[i];
        alone.layer = 0;
        const uint64_t bytes = gab_kv_page_bytes(&alone, 1, kv_f16) / 2 * (context / GAB_PAGE);
        if (bytes > keys) keys = bytes;
    }
    return bytes_with(model, context, kv_f16) <= room->bytes && keys <= room->binding_bytes;
}

gab_status bench_need_of(const gab_engine_options *o, const char *path, const bench_plan *plan, const bench_room *room,
                         bench_need *need) {
    enum { CONTEXT_MIN = 1024 };
    const gab_log log = {o->log, o->log_user};
    const bool kv_f16 = o->kv == GAB_KV_F16;
    gab_gguf *gguf = NULL;
    gab_model *model = NULL;
    gab_status status;
    *need = (bench_need){.context = bench_plan_context(plan)};
    GAB_TRY_GOTO(gab_engine_open_file(path, o->quantize, &log, &gguf), error);
    GAB_TRY_GOTO(gab_model_open(gguf, &log, &model), error);
    add_token(gguf, &model->config, need);
    if (need->context > model->config.n_ctx) need->context = model->config.n_ctx;
    while (need->context > CONTEXT_MIN && !has_room(model, need->context, kv_f16, room))
        need->context = need->context / 2 / GAB_PAGE * GAB_PAGE;
    need->weight_bytes = (double)gab_model_weight_bytes(model);
    need->bytes = bytes_with(model, need->context, kv_f16);
error:
    gab_model_destroy(&model);
    gab_gguf_close(&gguf);
    return status;
}
