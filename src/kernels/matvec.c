#include "kernels/matvec.h"

/* Rows that are fastest on lavapipe; 4 by 8 sums in registers spill on Intel. */
const gab_variant gab_matvec_variants[] = {
    {.name = "lane", .shader = GAB_SHADER_MATVEC_LANE_F32, .lane = true, .rows = {8, 4, 4, 4}, .depth = 16},
    {.name = "across",
     .shader = GAB_SHADER_MATVEC_ACROSS_F32,
     .lane = true,
     .across = true,
     .pairs = true,
     .needs = GAB_FEATURE_ADDRESS | GAB_FEATURE_SUM,
     .rows = {8, 8, 4, 4}},
    {.name = "group_64x4", .shader = GAB_SHADER_MATVEC_GROUP_F32, .pairs = true, .lanes = 64, .rows = {4, 4, 4, 2}},
    {.name = "group_64x2", .shader = GAB_SHADER_MATVEC_GROUP_F32, .pairs = true, .lanes = 64, .rows = {2, 2, 2, 2}},
    {.name = "group_32x4", .shader = GAB_SHADER_MATVEC_GROUP_F32, .pairs = true, .lanes = 32, .rows = {4, 4, 4, 2}},
    {.name = "group_32x2", .shader = GAB_SHADER_MATVEC_GROUP_F32, .pairs = true, .lanes = 32, .rows = {2, 2, 2, 2}},
    {.name = "group_128x2", .shader = GAB_SHADER_MATVEC_GROUP_F32, .pairs = true, .lanes = 128, .rows = {2, 2, 2, 2}},
};
const uint32_t gab_matvec_n_variant = sizeof gab_matvec_variants / sizeof *gab_matvec_variants;

void gab_matvec_record(const gab_kernel_context *context, const gab_matmul *op, const gab_weight *weight,
                       uint32_t y_first) {
    const uint32_t n_col = gab_matmul_columns(context, op);
    const gab_variant *variant = gab_variant_of(&context->set, GAB_OP_MATVEC + weight->type);
    uint32_t i = 0;
    while (!op->experts && 1u << i < n_col) i++;
    gab_matmul_record_shards(context, op, weight, y_first, variant, variant->rows[i], 1u << i);
}
