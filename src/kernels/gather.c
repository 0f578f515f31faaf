#include "kernels/gather.h"

void gab_gather_record(const gab_kernel_context *context, const gab_gather *op) {
    const gab_weight *table = op->table;
    const uint32_t n_part = gab_weight_n_part(table);
    for (uint32_t i = 0; i < table->n_shard; i++) {
        const gab_shard *shard = &table->shards[i];
        const gab_gather_args args = {.n_block = n_part,
                                      .row_vectors = n_part,
                                      .scale_offset = shard->scale_offset,
                                      .scale_words =
                                          (uint32_t)gab_dtype_plane_row_bytes(table->type, 1, table->n_col) / 4,
                                      .first_row = shard->first_row,
                                      .n_row = shard->n_row,
                                      .index_kind = op->index_kind,
                                      .add = op->add,
                                      .y_stride = op->y_stride,
                                      .y_first = op->y_first,
                                      .factor = op->factor > 0 ? op->factor : 1};
        const gab_dispatch dispatch = {
            .pipeline = {.shader = gab_shader_of_type(GAB_SHADER_GATHER_F32, table->type),
                         .n_binding = 5,
                         .spec = {[GAB_SPEC_LANES] = context->set.lanes}},
            .bindings = {context->step, shard->slice, shard->slice, op->y, op->sampled},
            .push = &args,
            .push_bytes = sizeof args,
            .groups = {(n_part + context->set.lanes - 1) / context->set.lanes, context->n_row, 1}};
        if (i > 0) gab_record_apart(context->recorder);
        gab_record_dispatch(context->recorder, &dispatch);
    }
}

void gab_gather_reference(const float *table, uint32_t n_col, const uint32_t *index, uint32_t n, bool add, double *y,
                          uint32_t y_stride) {
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t k = 0; k < n_col; k++) {
            double value = table[(size_t)index[i] * n_col + k];
            double *to = &y[(size_t)i * y_stride + k];
            *to = add ? *to + value : value;
        }
}
