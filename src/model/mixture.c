#include "model/mixture.h"

bool gab_bind_mixture(gab_model *model, gab_binder *b, gab_mixture *m, uint32_t layer) {
    static const char *const apart[] = {"ffn_gate_exps", "ffn_up_exps"},
                             *const fused[] = {"ffn_gate_up_exps", "ffn_gate_up_exps"},
                             *const down[] = {"ffn_down_exps"}, *const turns[] = {"ffn_gate_up_turns"};
    const gab_model_config *c = &model->config;
    const uint64_t E = c->n_expert, C = c->n_embd, F = c->n_ff_expert;
    const bool one = gab_binder_has(b, "blk.%u.ffn_gate_up_exps.weight", layer);
    const bool in_turn = gab_binder_has(b, "blk.%u.ffn_gate_up_turns.weight", layer);
    m->on = E > 0 && gab_binder_has(b, "blk.%u.ffn_gate_inp.weight", layer);
    if (!m->on) return false;
    const gab_part of_down = {.n_tensor = E * C, .n = E * C, .n_expert = c->n_expert};
    const gab_part both = {.n_tensor = 2 * E * F, .n = 2 * E * F, .n_expert = c->n_expert};
    gab_part gate_up[2];
    for (uint32_t i = 0; i < 2; i++) {
        gate_up[i] = one ? (gab_part){.n_tensor = 2 * E * F, .first = i * F, .n = E * F, .run = F, .run_step = 2 * F}
                         : (gab_part){.n_tensor = E * F, .n = E * F};
        gate_up[i].n_expert = c->n_expert;
    }
    gab_bind_linear(b, &m->router, c->n_expert, c->n_embd, layer, "ffn_gate_inp");
    m->gate_up.in_turn = !in_turn;
    if (in_turn)
        gab_bind_linear_parts(b, &m->gate_up, c->n_embd, layer, turns, &both, 1);
    else
        gab_bind_linear_parts(b, &m->gate_up, c->n_embd, layer, one ? fused : apart, gate_up, 2);
    m->gate_up.in_turn |= in_turn;
    gab_bind_linear_parts(b, &m->down, c->n_ff_expert, layer, down, &of_down, 1);
    if (m->gate_up.has_bias && m->gate_up.n_weight > 1 && b->status == GAB_OK)
        b->status =
            gab_fail(b->log, GAB_ERROR_UNSUPPORTED,
                     "%s: blk.%u.ffn_gate_exps and ffn_up_exps are of different types and have biases, which is not "
                     "supported: use a file in which they are of one type",
                     gab_gguf_path(b->gguf), layer);
    return true;
}

void gab_pass_mixture(const gab_model *model, const gab_forward *f, const gab_mixture *m, gab_slice h,
                      uint32_t activation) {
    const gab_model_config *c = &model->config;
    const gab_scratch *s = f->scratch;
    const gab_experts shared = {.route = s->route, .n_expert = c->n_expert, .n_used = c->n_used, .shared_x = true};
    const gab_experts apart = {.route = s->route, .n_expert = c->n_expert, .n_used = c->n_used};
    const gab_expert_route route = {.experts = shared,
                                    .logits = s->router,
                                    .logits_stride = gab_row_stride(c->n_expert),
                                    .normalize = c->expert_normalize,
                                    .factor = c->expert_factor};
    const gab_gated gated = {.x = s->pair_up,
                             .y = s->pair_hidden,
                             .n = c->n_ff_expert,
                             .x_stride = gab_row_stride(2 * c->n_ff_expert),
                             .y_stride = gab_row_stride(c->n_ff_expert),
                             .in_turn = m->gate_up.in_turn,
                             .activation = activation,
                             .n_used = c->n_used};
    gab_matmul gate_up = gab_linear_op(&m->gate_up, h, s->pair_up),
               down = gab_linear_op(&m->down, s->pair_hidden, s->pair_out);
    gate_up.gated = &gated;
    gate_up.experts = &shared;
    down.experts = &apart;
    const gab_expert_sum sum = {.experts = apart,
                                .x = s->pair_out,
                                .y = s->x,
                                .n_col = c->n_embd,
                                .x_stride = gab_row_stride(c->n_embd),
                                .y_stride = gab_row_stride(c->n_embd)};

    gab_pass_linear(f, &m->router, h, s->router, GAB_ACTIVATION_NONE, false); /* router [T][E] */
    gab_pass_barrier(f);
    gab_expert_route_record(&f->kernels, &route); /* route: e, w [P] */
    gab_pass_barrier(f);
    if (gab_expert_in_runs(&f->kernels)) {
        gab_expert_runs_record(&f->kernels, &shared); /* route: P by expert */
        gab_pass_barrier(f);
    }
    gab_matmul_record(&f->kernels, &gate_up); /* pair_hidden [P][F] */
    gab_pass_barrier(f);
    gab_matmul_record(&f->kernels, &down); /* pair_out [P][C] */
    gab_pass_barrier(f);
    gab_expert_sum_record(&f->kernels, &sum); /* x [T][C] */
}
