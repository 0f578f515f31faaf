/* Putting the pieces of a split attention together, on pieces made up here. */
#include "kernels/attention_merge.h"
#include "vk_test.h"

static void check(gab_vk *vk, gab_kernel_set set, uint32_t head_dim, uint32_t n_head, uint32_t n_piece,
                  float score_scale) {
    enum { N_ROW = 3 };
    gab_test_random random = {head_dim + n_piece};
    const uint32_t padded = gab_head_dim_padded(head_dim), stride = padded + 2,
                   y_stride = gab_row_stride(n_head * head_dim);
    const size_t n_float = (size_t)(N_ROW + 1) * n_head * n_piece * stride;
    float *pieces = gab_test_floats(&random, n_float, 1);
    gab_step *step = gab_test_alloc(sizeof *step);
    step->n_row = N_ROW; /* the plan holds one more */
    for (uint32_t r = 0; r < N_ROW;
         r++) /* the last row ends in the first piece, pieces beyond a row's end are rubbish */
        step->rows[r].position = r == 0 ? n_piece * GAB_PIECE - 1 : r == 1 ? (n_piece - 1) * GAB_PIECE : 0;
    for (size_t i = 0; i < n_float; i += stride) {
        pieces[i] *= score_scale;
        pieces[i + 1] = 1.0f + (float)(gab_test_random_u32(&random) % 255);
    }
    const gab_attention op = {.kv = {.head_dim = head_dim},
                              .n_head = n_head,
                              .n_piece = n_piece,
                              .y_stride = y_stride,
                              .pieces = gab_test_slice(vk, pieces, 4 * n_float),
                              .y = gab_test_slice(vk, NULL, 4ul * (N_ROW + 1) * y_stride)};
    gab_kernel_context *context = gab_test_begin(vk, set, gab_test_step(vk, step, NULL, 0), N_ROW + 1, 0);
    gab_attention_merge_record(context, &op);
    gab_test_end(context);
    float *y = gab_test_alloc(4ul * (N_ROW + 1) * y_stride), *zeros = gab_test_alloc(4ul * y_stride);
    double *expected = gab_test_alloc(8ul * head_dim);
    gab_test_read(vk, op.y, y, 4ul * (N_ROW + 1) * y_stride);
    for (uint32_t r = 0; r < N_ROW; r++)
        for (uint32_t h = 0; h < n_head; h++) {
            gab_attention_merge_reference(pieces + (size_t)(r * n_head + h) * n_piece * stride,
                                          step->rows[r].position / GAB_PIECE + 1, head_dim, padded, expected);
            gab_test_close(y + (size_t)r * y_stride + h * head_dim, expected, head_dim, 1e-6, 1e-6,
                           "merge head_dim %u heads %u pieces %u scale %g: row %u head %u", head_dim, n_head, n_piece,
                           (double)score_scale, r, h);
        }
    gab_test_same(y + (size_t)N_ROW * y_stride, zeros, y_stride, "merge beyond the step's rows");
    gab_test_release(vk);
}

static void shapes(gab_vk *vk, gab_kernel_set set) {
    static const uint32_t dims[] = {16, 32, 48, 64, 80, 96, 128, 256, 7}, n_pieces[] = {1, 2, 3, 4, 16, 64};
    for (size_t i = 0; i < sizeof dims / sizeof *dims; i++)
        check(vk, set, dims[i], 1 + (uint32_t)i % 5, n_pieces[i % 6], 3);
}
GAB_TEST(shapes) {
    gab_test_each_device(shapes);
}

/* Scores of +-80 and far apart: exp must neither overflow nor divide zero by zero. */
static void scores(gab_vk *vk, gab_kernel_set set) {
    check(vk, set, 64, 3, 5, 0);
    check(vk, set, 64, 3, 5, 80);
    check(vk, set, 64, 3, 5, 1e6f);
}
GAB_TEST(scores) {
    gab_test_each_device(scores);
}

GAB_TEST_MAIN()
