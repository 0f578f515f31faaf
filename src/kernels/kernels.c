#include "kernels/kernels.h"

uint32_t gab_shard_scale_offset(gab_dtype type, uint32_t n_col, uint32_t n_row) {
    return gab_dtype_get(type)->n_plane > 1 ? (uint32_t)(n_row * gab_dtype_plane_row_bytes(type, 0, n_col) / 4) : 0;
}

uint32_t gab_weight_rows(const gab_weight *weight) {
    return weight->n_expert ? weight->n_row / weight->n_expert : weight->n_row;
}

uint32_t gab_weight_n_part(const gab_weight *weight) {
    return (uint32_t)(gab_dtype_plane_row_bytes(weight->type, 0, weight->n_col) / 16);
}

gab_shader_id gab_shader_of_type(gab_shader_id f32, gab_dtype type) {
    return (gab_shader_id)((uint32_t)f32 + (uint32_t)type * (GAB_SHADER_GATHER_F16 - GAB_SHADER_GATHER_F32));
}
