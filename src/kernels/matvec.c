#include "kernels/matvec.h"

/* Columns a group and weight rows a lane of the LANE family, by the plan's columns: measured on lavapipe. */
static const struct {
    uint32_t up_to, cols, rows;
} lane_shapes[] = {{1, 1, 8}, {2, 2, 4}, {4, 4, 4}, {UINT32_MAX, 8, 4}};

static void record_lane(const gab_kernel_context *context, const gab_matmul *op, uint32_t n_col,
                        const gab_shard *shard) {
    gab_matmul_args args;
    gab_dispatch dispatch;
    uint32_t i = 0, lanes = context->set.lanes;
    while (n_col > lane_shapes[i].up_to) i++;
    gab_matmul_prepare(context, op, shard, &args, &dispatch);
    dispatch.pipeline.shader =
        gab_shader_of_type(GAB_SHADER_MATVEC_LANE_F32, GAB_SHADER_MATVEC_LANE_F16, op->weight->type);
    dispatch.pipeline.spec[GAB_SPEC_LANES] = lanes;
    dispatch.pipeline.spec[GAB_SPEC_ROWS] = lane_shapes[i].rows;
    dispatch.pipeline.spec[GAB_SPEC_COLS] = lane_shapes[i].cols;
    uint32_t rows = lanes * lane_shapes[i].rows;
    gab_grid_fold((shard->n_row + rows - 1) / rows, dispatch.groups);
    dispatch.groups[2] = (n_col + lane_shapes[i].cols - 1) / lane_shapes[i].cols;
    gab_record_dispatch(context->recorder, &dispatch);
}

static void record_group(const gab_kernel_context *context, const gab_matmul *op, uint32_t n_col,
                         const gab_shard *shard) {
    gab_matmul_args args;
    gab_dispatch dispatch;
    uint32_t cols = 1;
    while (cols < n_col && cols < GAB_MATVEC_COLUMNS_MAX) cols *= 2;
    const uint32_t rows = cols < 8 ? 4 : 2; /* 4 by 8 sums spill on Intel */
    gab_matmul_prepare(context, op, shard, &args, &dispatch);
    dispatch.pipeline.shader =
        gab_shader_of_type(GAB_SHADER_MATVEC_GROUP_F32, GAB_SHADER_MATVEC_GROUP_F16, op->weight->type);
    dispatch.pipeline.spec[GAB_SPEC_LANES] = 64;
    dispatch.pipeline.spec[GAB_SPEC_ROWS] = rows;
    dispatch.pipeline.spec[GAB_SPEC_COLS] = cols;
    gab_grid_fold((shard->n_row + rows - 1) / rows, dispatch.groups);
    dispatch.groups[2] = (n_col + cols - 1) / cols;
    gab_record_dispatch(context->recorder, &dispatch);
}

void gab_matvec_record(const gab_kernel_context *context, const gab_matmul *op) {
    uint32_t n_col = op->of_outs ? context->n_out : context->n_row;
    for (uint32_t i = 0; i < op->weight->n_shard; i++) {
        if (i > 0) gab_record_apart(context->recorder);
        (context->set.lane ? record_lane : record_group)(context, op, n_col, &op->weight->shards[i]);
    }
}
