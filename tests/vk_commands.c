/* Recording and submitting: barriers, folded grids, dispatches in pieces, replay, limits, and a device that is lost. */
#include "kernels/layernorm.h"
#include "matmul_check.h"

/* ---- grids ---- */

GAB_TEST(grid_fold) {
    static const uint64_t lengths[] = {1, 2, 32767, 32768, 32769, 65536, 1000003};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        uint32_t groups[3];
        gab_grid_fold(lengths[i], groups);
        CHECK(groups[0] >= 1 && groups[0] <= GAB_GRID_FOLD && groups[2] == 1);
        CHECK((uint64_t)groups[0] * groups[1] >= lengths[i] && (uint64_t)groups[0] * (groups[1] - 1) < lengths[i]);
        CHECK(groups[1] == 1 || groups[0] == GAB_GRID_FOLD); /* what folded_group() of step.glsl takes it for */
    }
}

/* A grid longer than one dimension takes, by 5 groups and a part. */
static void folded(gab_vk *vk, gab_kernel_set set) {
    const uint32_t rows_a_group = set.lane ? set.lanes * 4 : 4;
    gab_matmul_check_run(vk, set,
                         &(gab_matmul_check){.type = GAB_DTYPE_F32,
                                             .n_row = (GAB_GRID_FOLD + 5) * rows_a_group + 1,
                                             .n_col = 1,
                                             .n_plan = 1,
                                             .residual = true});
}
GAB_TEST(folded) {
    gab_test_each_device(folded);
}

/* The layer sees as many dispatches as the cost asks for; kernel_matmul.pieces compares results. */
GAB_TEST(pieces_are_counted) {
    gab_test_calls calls = gab_test_calls_start();
    gab_vk *vk = gab_test_vk_open(NULL);
    gab_kernel_set set;
    CHECK_OK(gab_kernel_set_choose(vk, "group", false, &set));
    gab_matmul_check check = {.type = GAB_DTYPE_F32, .n_row = 4 * 100, .n_col = 8, .n_plan = 1};
    const double cost = 2.0 * 400 * 8; /* of 100 groups */
    static const struct {
        double divisor;
        uint64_t least, most;
    } expected[] = {{0, 1, 1}, {0.5, 1, 1}, {10, 10, 12}, {1e9, 100, 100}};
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        check.piece_cost = expected[i].divisor > 0 ? cost / expected[i].divisor : 0;
        uint64_t before = calls.get("vkCmdDispatchBase") + calls.get("vkCmdDispatch");
        gab_matmul_check_chosen(vk, set, &check);
        uint64_t n = calls.get("vkCmdDispatchBase") + calls.get("vkCmdDispatch") - before;
        if (n < expected[i].least || n > expected[i].most)
            FAIL("cost / %g: %d dispatches, expected %d to %d", expected[i].divisor, (int)n, (int)expected[i].least,
                 (int)expected[i].most);
    }
    gab_test_vk_close(&vk);
}

/* ---- a small op to record: x -> y ---- */

enum { N_COL = 64 };

static gab_layernorm op_make(gab_vk *vk, gab_slice x) {
    static const float ones[N_COL] = {1, 1, 1, 1, 1, 1, 1, 1};
    gab_slice weight = gab_test_slice(vk, ones, sizeof ones);
    return (gab_layernorm){.x = x,
                           .y = gab_test_slice(vk, NULL, sizeof ones),
                           .weight = weight,
                           .bias = weight,
                           .n_col = N_COL,
                           .x_stride = N_COL,
                           .y_stride = N_COL,
                           .eps = 1e-5f};
}

static gab_slice some_x(gab_vk *vk) {
    gab_test_random random = {1};
    return gab_test_slice(vk, gab_test_floats(&random, N_COL, 1), N_COL * sizeof(float));
}

/* ---- synchronization ---- */

/* Two dependent dispatches: y is read by the second. With the barrier nothing is said; without it the validation layer
 * speaks, within a command buffer and across two of one submit. This shows that all the other cases are watched. */
static void hazard(gab_vk *vk, gab_kernel_set set, bool with_barrier) {
    const gab_layernorm first = op_make(vk, some_x(vk)), second = op_make(vk, first.y);
    gab_kernel_context *context = gab_test_begin(vk, set, gab_test_step_of(vk, 1, 0), 1, 0);
    gab_layernorm_record(context, &first);
    if (with_barrier) gab_record_barrier(context->recorder);
    gab_layernorm_record(context, &second);
    gab_test_end(context);
    gab_test_release(vk);
}

static void need_validation(gab_vk **vk) {
    if ((*vk)->messenger) return;
    gab_test_vk_close(vk);
    SKIP("no validation layer");
}

GAB_TEST(missing_barrier_is_seen) {
    gab_vk *vk = gab_test_vk_open(NULL);
    gab_kernel_set set;
    CHECK_OK(gab_kernel_set_choose(vk, NULL, false, &set));
    need_validation(&vk);
    hazard(vk, set, true);
    CHECK(gab_test_validation_count() == 0);
    hazard(vk, set, false);
    CHECK(gab_test_validation_count() > 0);
    gab_test_validation_forget();
    gab_test_vk_close(&vk);
}

/* The barrier that opens a command buffer, replaced by none. */
GAB_TEST(missing_barrier_across_buffers_is_seen) {
    gab_vk *vk = gab_test_vk_open(NULL);
    gab_kernel_set set;
    gab_command_list list;
    uint64_t value = 0;
    CHECK_OK(gab_kernel_set_choose(vk, NULL, false, &set));
    need_validation(&vk);
    CHECK_OK(gab_command_list_create(vk, 2, &list));
    const gab_layernorm first = op_make(vk, some_x(vk)), second = op_make(vk, first.y);
    gab_recorder recorder = {.vk = vk, .list = &list};
    const gab_kernel_context context = {
        .recorder = &recorder, .set = set, .step = gab_test_step_of(vk, 1, 0), .n_row = 1};
    gab_record_open(&recorder);
    gab_layernorm_record(&context, &first);
    gab_record_close(&recorder);
    VkCommandBufferAllocateInfo allocate = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
                                            .commandPool = list.pool,
                                            .level = VK_COMMAND_BUFFER_LEVEL_PRIMARY,
                                            .commandBufferCount = 1};
    VkCommandBufferBeginInfo begin = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO};
    CHECK(vk->fn.vkAllocateCommandBuffers(vk->device, &allocate, &recorder.cmd) == VK_SUCCESS);
    CHECK(vk->fn.vkBeginCommandBuffer(recorder.cmd, &begin) == VK_SUCCESS);
    list.primaries[list.n_primary++] = recorder.cmd;
    gab_layernorm_record(&context, &second);
    CHECK(vk->fn.vkEndCommandBuffer(recorder.cmd) == VK_SUCCESS);
    CHECK_OK(recorder.status);
    CHECK(gab_test_validation_count() == 0);
    CHECK_OK(gab_submit(vk, &list, 0, 1, &value));
    CHECK_OK(gab_submit(vk, &list, 1, 1, &value));
    CHECK_OK(gab_wait(vk, value));
    CHECK(gab_test_validation_count() > 0);
    gab_test_validation_forget();
    gab_command_list_destroy(vk, &list);
    gab_test_vk_close(&vk);
}

/* ---- lists ---- */

/* Recorded once, submitted often: y += W x, so that every replay counts. Pipelines are collected first, by the same
 * code. */
static void replay(gab_vk *vk, gab_kernel_set set) {
    enum { TIMES = 5 };
    gab_test_random random = {3};
    gab_command_list list;
    uint64_t value = 0;
    gab_test_weight weight = gab_test_weight_make(vk, GAB_DTYPE_F32, 32, 32, 1, &random);
    float *x = gab_test_floats(&random, 32, 1), y[32];
    double expected[32] = {0};
    const gab_matmul op = {.weight = &weight.weight,
                           .x = gab_test_slice(vk, x, sizeof y),
                           .y = gab_test_slice(vk, NULL, sizeof y),
                           .x_stride = 32,
                           .y_stride = 32,
                           .residual = true};
    gab_recorder recorder = {.vk = vk};
    const gab_kernel_context context = {
        .recorder = &recorder, .set = set, .step = gab_test_step_of(vk, 1, 0), .n_row = 1};
    gab_record_open(&recorder);
    gab_matmul_record(&context, &op);
    gab_record_close(&recorder);
    CHECK_OK(recorder.status);
    CHECK_OK(gab_pipeline_compile_requested(vk->pipelines));
    uint32_t n_pipeline = gab_pipeline_count(vk->pipelines);
    CHECK_OK(gab_command_list_create(vk, 3, &list));
    recorder.list = &list;
    for (int i = 0; i < 3; i++) {
        gab_record_open(&recorder);
        gab_matmul_record(&context, &op);
        gab_record_close(&recorder);
    }
    CHECK_OK(recorder.status);
    CHECK(list.n_primary == 3 && list.n_dispatch == 3 && gab_pipeline_count(vk->pipelines) == n_pipeline);
    for (int i = 0; i < TIMES; i++) {
        CHECK_OK(gab_submit(vk, &list, (uint32_t)i % 2, 2, &value)); /* the first two, or the last two */
        CHECK_OK(gab_wait(vk, value));
    }
    CHECK_OK(gab_wait(vk, value)); /* past */
    gab_command_list_measure(vk, &list);
    for (uint32_t i = 0; i < 3; i++) CHECK(list.ms[i] >= 0 && list.ms[i] < 60000);
    gab_test_read(vk, op.y, y, sizeof y);
    for (int i = 0; i < 2 * TIMES; i++)
        gab_matmul_reference(weight.values, 32, 32, x, NULL, GAB_ACTIVATION_NONE, true, expected);
    gab_test_close(y, expected, 32, 1e-6, 2e-6, "y += W x, %d times", 2 * TIMES);
    gab_command_list_destroy(vk, &list);
    gab_command_list_destroy(vk, &list); /* zeroed by now */
}
GAB_TEST(replay) {
    gab_test_each_device(replay);
}

/* More command buffers than the list holds; grids beyond the limits. The recorder keeps its first failure. */
GAB_TEST(limits) {
    gab_vk *vk = gab_test_vk_open(NULL);
    gab_command_list list;
    const gab_probe_args args = {0};
    CHECK_OK(gab_command_list_create(vk, 1, &list));
    gab_recorder recorder = {.vk = vk, .list = &list};
    gab_dispatch dispatch = {.pipeline = {.shader = GAB_SHADER_PROBE, .n_binding = 1, .spec = {[GAB_SPEC_LANES] = 64}},
                             .bindings = {gab_test_slice(vk, NULL, 256)},
                             .push = &args,
                             .push_bytes = sizeof args,
                             .groups = {0, 1, 1}};
    gab_record_open(&recorder);
    gab_record_dispatch(&recorder, &dispatch);
    CHECK(recorder.status == GAB_ERROR_LIMIT && strstr(gab_last_error(), "probe"));
    recorder.status = GAB_OK;
    for (uint32_t i = 0; i < 3; i++) {
        for (uint32_t k = 0; k < 3; k++) dispatch.groups[k] = 1;
        if (vk->properties.limits.maxComputeWorkGroupCount[i] == UINT32_MAX) continue;
        dispatch.groups[i] = vk->properties.limits.maxComputeWorkGroupCount[i] + 1;
        gab_record_dispatch(&recorder, &dispatch);
        CHECK(recorder.status == GAB_ERROR_LIMIT && strstr(gab_last_error(), vk->info.name));
        recorder.status = GAB_OK;
    }
    gab_record_close(&recorder);
    gab_record_open(&recorder);
    CHECK(recorder.status == GAB_ERROR_LIMIT);
    gab_record_dispatch(&recorder, &dispatch); /* ignored */
    gab_record_close(&recorder);
    CHECK(recorder.status == GAB_ERROR_LIMIT && list.n_primary == 1);
    gab_command_list_destroy(vk, &list);
    gab_test_vk_close(&vk);
}

/* ---- a lost device ---- */

GAB_TEST(device_lost) {
    gab_test_calls calls = gab_test_calls_start();
    gab_vk *vk = gab_test_vk_open(NULL);
    gab_kernel_set set;
    gab_command_list list;
    uint64_t value = 0;
    CHECK_OK(gab_kernel_set_choose(vk, NULL, false, &set));
    CHECK_OK(gab_command_list_create(vk, 1, &list));
    gab_recorder recorder = {.vk = vk, .list = &list};
    gab_record_open(&recorder);
    gab_record_close(&recorder);
    calls.lose_device_at(2);
    CHECK_OK(gab_submit(vk, &list, 0, 1, &value));
    CHECK_OK(gab_wait(vk, value));
    gab_test_log_reset();
    CHECK(gab_submit(vk, &list, 0, 1, &value) == GAB_ERROR_DEVICE_LOST);
    CHECK(strstr(gab_last_error(), vk->info.name) && strstr(gab_last_error(), " vkQueueSubmit:"));
    CHECK(gab_wait(vk, value) == GAB_ERROR_DEVICE_LOST);
    CHECK(gab_submit(vk, &list, 0, 1, &value) == GAB_ERROR_DEVICE_LOST);
    gab_command_list_destroy(vk, &list);
    gab_test_vk_close(&vk);
    vk = gab_test_vk_open(NULL); /* works again */
    gab_matmul_check_run(vk, set, &(gab_matmul_check){.type = GAB_DTYPE_F32, .n_row = 33, .n_col = 40, .n_plan = 1});
    gab_test_vk_close(&vk);
}

GAB_TEST_MAIN()
