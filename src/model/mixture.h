/*
 * mixture.h - a feed-forward part of experts, of which each row uses a few (Shazeer et al. 2017; as in Mixtral: Jiang
 * et al. 2024):
 *
 *   e, w = the k experts with the largest logits W_router h, and their weights
 *   x = x + sum over j of w_j W_down,e_j (activation(W_gate,e_j h) * W_up,e_j h)
 *
 * Shapes: E experts, k of them a row, P = T k pairs of a row and an expert, F their width.
 */
#ifndef GAB_MODEL_MIXTURE_H
#define GAB_MODEL_MIXTURE_H

#include "model/blocks.h"

typedef struct gab_mixture {
    gab_linear router;  /* [E][C] */
    gab_linear gate_up; /* [E][2 F][C] */
    gab_linear down;    /* [E][C][F] */
    bool on;
} gab_mixture;

/* ffn_gate_inp; ffn_gate_exps and ffn_up_exps, or both in ffn_gate_up_exps, or row by row in
 * ffn_gate_up_turns (folders of gpt-oss); ffn_down_exps. False: the layer has none.
 */
bool gab_bind_mixture(gab_model *model, gab_binder *binder, gab_mixture *mixture, uint32_t layer);

/* x [T][C] += the mixture of h [T][C] */
void gab_pass_mixture(const gab_model *model, const gab_forward *f, const gab_mixture *mixture, gab_slice h,
                      uint32_t activation);

#endif
