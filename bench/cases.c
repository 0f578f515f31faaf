#include "bench/cases.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { COLS_MAX = 16384, VOCAB = 50257, DEPTH_MAX = 32768, TABLE_STRIDE = DEPTH_MAX / GAB_PAGE, PAD_ROWS = 8 };

/* What bench_cases_each goes through. */
typedef struct walk {
    bench_data *data;
    const char *filter;
    bench_case_fn fn;
    void *user;
    bench_case *c;
    const gab_variant *variant; /* of the case under way */
    uint32_t n;
    gab_step *step; /* and page tables */
} walk;

/* ---- data ---- */

/* Logits as a model has them: most far below the largest. */
static gab_status fill_logits(bench_data *data) {
    float *logits = malloc(VOCAB * sizeof *logits);
    uint32_t random = 1;
    if (!logits) return gab_fail(&data->vk->log, GAB_ERROR_HOST_MEMORY, "out of host memory");
    for (uint32_t i = 0; i < VOCAB; i++) {
        float sum = 0;
        for (int k = 0; k < 4; k++) {
            random = random * 1664525u + 1013904223u; /* Numerical Recipes' generator */
            sum += (float)(random >> 8) * 0x1p-24f - 0.5f;
        }
        logits[i] = 8 * sum;
    }
    gab_status status = gab_slice_write(data->vk, gab_buffer_all(&data->logits), 0, logits, VOCAB * sizeof *logits);
    free(logits);
    return status;
}

gab_status bench_data_create(gab_vk *vk, const gab_kernel_set *set, bool all_variants, uint64_t pool_bytes,
                             bench_data *data) {
    const uint64_t rows = 4ull * (GAB_ROW_MAX + PAD_ROWS) * COLS_MAX;
    *data = (bench_data){.vk = vk, .set = *set, .all_variants = all_variants};
    GAB_TRY(bench_pool_create(vk, pool_bytes, &data->pool));
    GAB_TRY(bench_buffer_create(vk, sizeof(gab_step) + 4ull * GAB_SLOT_MAX * TABLE_STRIDE, "the step", &data->step));
    GAB_TRY(bench_buffer_create(vk, rows, "activations", &data->x));
    GAB_TRY(bench_buffer_create(vk, rows, "results", &data->y));
    GAB_TRY(bench_buffer_create(vk, 4ull * COLS_MAX, "bias", &data->bias));
    GAB_TRY(bench_buffer_create(vk, gab_attention_pieces_bytes(8, 64, 128, DEPTH_MAX / GAB_PIECE), "split attention",
                                &data->pieces));
    GAB_TRY(bench_buffer_create(vk, 4ull * gab_row_stride(VOCAB), "logits", &data->logits));
    GAB_TRY(bench_buffer_create(vk, gab_sample_scratch_bytes(1, VOCAB), "sampling", &data->scratch));
    GAB_TRY(bench_buffer_create(vk, 4ull * GAB_SLOT_MAX, "tokens", &data->small));
    return fill_logits(data);
}

void bench_data_destroy(bench_data *data) {
    gab_buffer *const buffers[] = {&data->step,   &data->x,      &data->y,       &data->bias,
                                   &data->pieces, &data->logits, &data->scratch, &data->small};
    for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++) gab_buffer_destroy(data->vk, buffers[i]);
    bench_pool_destroy(data->vk, &data->pool);
}

/* The step: n_row rows, each in a slot of its own (decode) or all in slot 0 at rising positions. */
static gab_status set_step(walk *w, uint32_t n_row, uint32_t first_position, bool decode, uint32_t tile) {
    bench_data *data = w->data;
    gab_step *step = w->step;
    uint32_t *tables = (uint32_t *)(step + 1);
    memset(step, 0, sizeof *step);
    step->n_row = n_row;
    step->n_out = 1;
    step->table_stride = TABLE_STRIDE;
    for (uint32_t i = 0; i < n_row; i++)
        step->rows[i] = (gab_step_row){.token = i * 7919 % 768,
                                       .slot = decode ? i % GAB_SLOT_MAX : 0,
                                       .position = decode ? first_position : first_position + i};
    if (!decode) gab_attention_add_tiles(step, 0, 0, n_row, first_position, tile);
    step->outs[0] = (gab_step_out){
        .temperature = 0.8f, .top_k = 40, .top_p = 0.95f, .min_p = 0.05f, .repeat_penalty = 1, .position = 1};
    const uint32_t pages = (first_position + n_row) / GAB_PAGE + 1; /* a sequence */
    for (uint32_t s = 0; s < GAB_SLOT_MAX; s++)
        for (uint32_t p = 0; p < TABLE_STRIDE; p++)
            tables[s * TABLE_STRIDE + p] = (decode && s < n_row ? s : 0) * pages + (p < pages ? p : 0);
    return gab_slice_write(data->vk, gab_buffer_all(&data->step), 0, step,
                           sizeof *step + 4ull * GAB_SLOT_MAX * TABLE_STRIDE);
}

/* ---- one case ---- */

void bench_case_record(const void *user, gab_recorder *recorder, uint32_t i) {
    const bench_case *c = user;
    gab_kernel_context context = c->context;
    context.recorder = recorder;
    c->record(&context, c, c->n_copy ? i % c->n_copy : 0);
}

/* A fresh case, its name made; NULL when it is not wanted. */
static bench_case *case_new(walk *w, const char *kernel, const char *shape, uint32_t n_row) {
    char name[128];
    snprintf(name, sizeof name, "%s %s", kernel, shape);
    if (w->filter && !strstr(name, w->filter)) return NULL;
    w->n++;
    if (!w->fn) return NULL;
    bench_case *c = w->c;
    memset(c, 0, sizeof *c);
    c->kernel = kernel;
    c->variant = w->variant;
    snprintf(c->shape, sizeof c->shape, "%s", shape);
    c->context =
        (gab_kernel_context){.set = w->data->set, .step = gab_buffer_all(&w->data->step), .n_row = n_row, .n_out = 1};
    bench_pool_reset(&w->data->pool);
    return c;
}

/* Lays copies of a matrix over the pool, each in shards of whole rows. */
static void take_weights(walk *w, gab_dtype type, uint32_t n_row, uint32_t n_col) {
    bench_case *c = w->c;
    const uint64_t row_bytes = gab_dtype_planes_row_bytes(type, n_col);
    for (; c->n_copy < BENCH_COPY_MAX; c->n_copy++) {
        gab_weight *weight = &c->weights[c->n_copy];
        uint32_t n = 0;
        *weight = (gab_weight){.type = type, .n_col = n_col, .n_row = n_row, .shards = &c->shards[c->n_shard]};
        while (n < n_row && c->n_shard + weight->n_shard < BENCH_SHARD_MAX) {
            const gab_slice slice = bench_pool_take(&w->data->pool, row_bytes, (n_row - n) * row_bytes);
            const uint32_t rows = (uint32_t)(slice.size / row_bytes);
            if (rows == 0) return;
            weight->shards[weight->n_shard++] = (gab_shard){.slice = slice,
                                                            .first_row = n,
                                                            .n_row = rows,
                                                            .scale_offset = gab_shard_scale_offset(type, n_col, rows)};
            n += rows;
        }
        if (n < n_row) return;
        c->n_shard += weight->n_shard;
    }
}

static void take_layers(walk *w, const gab_kv_layer *like, uint32_t n_position) {
    bench_case *c = w->c;
    const uint64_t pages = n_position / GAB_PAGE + 1;
    const uint64_t bytes =
        pages * GAB_PAGE * like->n_head_kv * gab_head_dim_padded(like->head_dim) * (like->f16 ? 2 : 4);
    for (; c->n_copy < BENCH_COPY_MAX; c->n_copy++) {
        gab_kv_layer *layer = &c->layers[c->n_copy];
        *layer = *like;
        layer->keys = bench_pool_take(&w->data->pool, bytes, bytes);
        layer->values = bench_pool_take(&w->data->pool, bytes, bytes);
        if (layer->values.size == 0) return;
    }
}

/* Hands the case over; one without a copy does not fit the pool and is left out. */
static gab_status case_run(walk *w, bool needs_copy) {
    if (needs_copy && w->c->n_copy == 0) return GAB_OK;
    return w->fn(w->user, w->c);
}

/* ---- the operations ---- */

static void record_matmul(const gab_kernel_context *context, const bench_case *c, uint32_t copy) {
    gab_matmul op = c->op.matmul;
    op.weight = &c->weights[copy];
    op.bias = &c->bias;
    gab_matmul_record(context, &op);
}

typedef struct product_shape {
    gab_dtype type;
    uint32_t n_row, n_col, columns;
} product_shape;

static gab_status product(walk *w, const void *shape_of) {
    const product_shape *s = shape_of;
    const gab_dtype type = s->type;
    const uint32_t columns = s->columns;
    bench_data *data = w->data;
    char shape[64];
    snprintf(shape, sizeof shape, "%s %ux%u, %u", gab_dtype_get(type)->name, s->n_row, s->n_col, columns);
    bench_case *c = case_new(w, columns <= GAB_MATVEC_COLUMNS_MAX ? "matvec" : "matmul", shape, columns);
    if (!c) return GAB_OK;
    take_weights(w, type, s->n_row, s->n_col);
    c->bytes =
        (double)s->n_row * (double)gab_dtype_planes_row_bytes(type, s->n_col) + 4.0 * columns * (s->n_col + s->n_row);
    c->flops = 2.0 * s->n_row * s->n_col * columns;
    c->record = record_matmul;
    c->bias = gab_buffer_all(&data->bias);
    c->op.matmul = (gab_matmul){.x = gab_buffer_all(&data->x),
                                .y = gab_buffer_all(&data->y),
                                .x_stride = gab_row_stride(s->n_col),
                                .y_stride = gab_row_stride(s->n_row)};
    GAB_TRY(set_step(w, columns, 0, true, 1));
    return case_run(w, true);
}

static void record_attention(const gab_kernel_context *context, const bench_case *c, uint32_t copy) {
    gab_attention op = c->op.attention;
    op.kv = c->layers[copy];
    gab_attention_record(context, &op);
}

/* n_row rows of one sequence from first_position on, or, for decode, n_row sequences of one row each there. */
typedef struct attention_shape {
    uint32_t n_head, n_head_kv, head_dim, n_row, first_position;
    bool decode;
} attention_shape;

static gab_status attention(walk *w, const void *shape_of) {
    const attention_shape *s = shape_of;
    bench_data *data = w->data;
    const uint32_t n_head = s->n_head, n_head_kv = s->n_head_kv, head_dim = s->head_dim, n_row = s->n_row;
    const uint32_t first_position = s->first_position;
    const bool decode = s->decode;
    const uint32_t depth = first_position + (decode ? 1 : n_row), n = n_head * head_dim;
    const uint32_t tile = gab_attention_tile_rows(&data->set, head_dim);
    const double kv_bytes = 2.0 * 2 * n_head_kv * head_dim; /* a position's keys and values */
    const double pairs = decode ? (double)n_row * depth : (double)n_row * (depth + first_position + 1) / 2;
    char shape[64];
    snprintf(shape, sizeof shape, "%u/%u heads of %u, %u at %u", n_head, n_head_kv, head_dim, n_row, first_position);
    bench_case *c = case_new(w, decode ? "attention decode" : "attention prefill", shape, n_row);
    if (!c) return GAB_OK;
    if (!decode && n_row > gab_attention_rows_max(&data->set, depth)) return GAB_OK;
    const gab_kv_layer like = {.n_head_kv = n_head_kv, .head_dim = head_dim, .f16 = true};
    take_layers(w, &like, decode ? n_row * (depth + GAB_PAGE) : depth);
    c->bytes = kv_bytes * depth * (decode ? n_row : 1) + 8.0 * n_row * n;
    c->flops = 4.0 * pairs * n;
    c->record = record_attention;
    c->op.attention = (gab_attention){.q = gab_buffer_all(&data->x),
                                      .y = gab_buffer_all(&data->y),
                                      .q_stride = gab_row_stride(n),
                                      .y_stride = gab_row_stride(n),
                                      .n_head = n_head,
                                      .n_piece = (depth + GAB_PIECE - 1) / GAB_PIECE,
                                      .n_work = decode ? 0 : n_row / tile + GAB_SLOT_MAX,
                                      .pieces = gab_buffer_all(&data->pieces)};
    GAB_TRY(set_step(w, n_row, first_position, decode, tile));
    return case_run(w, true);
}

static void record_kv_write(const gab_kernel_context *context, const bench_case *c, uint32_t copy) {
    gab_kv_write op = c->op.kv_write;
    op.kv = c->layers[copy];
    gab_kv_write_record(context, &op);
}

static gab_status kv_write(walk *w, uint32_t n_head, uint32_t head_dim, uint32_t n_row) {
    const uint32_t n = n_head * head_dim;
    char shape[64];
    snprintf(shape, sizeof shape, "%u heads of %u, %u", n_head, head_dim, n_row);
    bench_case *c = case_new(w, "kv_write", shape, n_row);
    if (!c) return GAB_OK;
    const gab_kv_layer like = {.n_head_kv = n_head, .head_dim = head_dim, .f16 = true};
    take_layers(w, &like, n_row);
    c->bytes = 12.0 * n_row * n;
    c->record = record_kv_write;
    c->op.kv_write = (gab_kv_write){
        .x = gab_buffer_all(&w->data->x), .x_stride = gab_row_stride(3 * n), .k_offset = n, .v_offset = 2 * n};
    GAB_TRY(set_step(w, n_row, 0, false, n_row));
    return case_run(w, true);
}

static void record_layernorm(const gab_kernel_context *context, const bench_case *c, uint32_t copy) {
    (void)copy;
    gab_layernorm_record(context, &c->op.layernorm);
}

static gab_status layernorm(walk *w, uint32_t n_col, uint32_t n_row) {
    bench_data *data = w->data;
    char shape[64];
    snprintf(shape, sizeof shape, "%u, %u", n_col, n_row);
    bench_case *c = case_new(w, "layernorm", shape, n_row);
    if (!c) return GAB_OK;
    c->bytes = 8.0 * n_row * n_col;
    c->flops = 8.0 * n_row * n_col;
    c->record = record_layernorm;
    c->op.layernorm = (gab_layernorm){.x = gab_buffer_all(&data->x),
                                      .y = gab_buffer_all(&data->y),
                                      .weight = gab_buffer_all(&data->bias),
                                      .bias = gab_buffer_all(&data->bias),
                                      .n_col = n_col,
                                      .x_stride = gab_row_stride(n_col),
                                      .y_stride = gab_row_stride(n_col),
                                      .eps = 1e-5f};
    GAB_TRY(set_step(w, n_row, 0, true, 1));
    return case_run(w, false);
}

static void record_gather(const gab_kernel_context *context, const bench_case *c, uint32_t copy) {
    gab_gather op = c->op.gather;
    op.table = &c->weights[copy];
    gab_gather_record(context, &op);
}

static gab_status gather(walk *w, gab_dtype type, uint32_t n_col, uint32_t n_row) {
    char shape[64];
    snprintf(shape, sizeof shape, "%s %u, %u", gab_dtype_get(type)->name, n_col, n_row);
    bench_case *c = case_new(w, "gather", shape, n_row);
    if (!c) return GAB_OK;
    take_weights(w, type, 768, n_col);
    c->bytes = (double)n_row * ((double)gab_dtype_planes_row_bytes(type, n_col) + 4.0 * n_col);
    c->record = record_gather;
    c->op.gather = (gab_gather){.index_kind = GAB_INDEX_TOKEN,
                                .sampled = gab_buffer_all(&w->data->small),
                                .y = gab_buffer_all(&w->data->y),
                                .y_stride = gab_row_stride(n_col)};
    GAB_TRY(set_step(w, n_row, 0, true, 1));
    return case_run(w, true);
}

static void record_sample(const gab_kernel_context *context, const bench_case *c, uint32_t copy) {
    (void)copy;
    gab_sample_record(context, &c->op.sample);
}

static gab_status sample(walk *w) {
    bench_data *data = w->data;
    char shape[64];
    snprintf(shape, sizeof shape, "%u tokens, top-k, top-p, min-p", VOCAB);
    bench_case *c = case_new(w, "sample", shape, 1);
    if (!c) return GAB_OK;
    c->bytes = 4.0 * VOCAB;
    c->record = record_sample;
    c->op.sample = (gab_sample){.logits = gab_buffer_all(&data->logits),
                                .n_vocab = VOCAB,
                                .logits_stride = gab_row_stride(VOCAB),
                                .scratch = gab_buffer_all(&data->scratch),
                                .sampled = gab_buffer_all(&data->small),
                                .readback = gab_buffer_all(&data->small)};
    GAB_TRY(set_step(w, 1, 0, true, 1));
    return case_run(w, false);
}

/* ---- all of them ---- */

/* With the variant of the set, or with each that the device can run. */
static gab_status with_variants(walk *w, gab_operation operation, gab_status (*one)(walk *w, const void *),
                                const void *arguments) {
    gab_kernel_set *set = &w->data->set;
    const uint8_t chosen = set->choice[operation];
    uint32_t n;
    const gab_variant *variants = gab_variants(operation, &n);
    gab_status status = GAB_OK;
    for (uint32_t i = 0; status == GAB_OK && i < n; i++) {
        if (w->data->all_variants ? !gab_variant_usable(w->data->vk, &variants[i], false) : i != chosen) continue;
        set->choice[operation] = (uint8_t)i;
        w->variant = &variants[i];
        status = one(w, arguments);
    }
    set->choice[operation] = chosen;
    w->variant = NULL;
    return status;
}

static gab_status products(walk *w, const bench_shape *shapes, uint32_t n_shape) {
    static const uint32_t columns[] = {1, 2, 4, 8, 16, 32, 128, 512};
    for (gab_dtype type = 0; type < GAB_DTYPE_COUNT; type++)
        for (uint32_t i = 0; i < n_shape; i++)
            for (size_t c = 0; c < sizeof columns / sizeof *columns; c++) {
                const product_shape s = {type, shapes[i].n_row, shapes[i].n_col, columns[c]};
                GAB_TRY(with_variants(w, gab_matmul_operation(type, columns[c]), product, &s));
            }
    return GAB_OK;
}

static gab_status attentions(walk *w) {
    static const struct { uint32_t n_head, n_head_kv, head_dim; } heads[] = {{12, 12, 64}, {32, 8, 128}};
    static const struct {
        uint32_t n_row, first_position;
        bool decode;
    } rows[] = {{1, 4095, true}, {1, DEPTH_MAX - 64, true}, {8, 1023, true}, {512, 0, false}, {512, 3584, false}};
    for (size_t h = 0; h < sizeof heads / sizeof *heads; h++)
        for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
            const attention_shape s = {heads[h].n_head, heads[h].n_head_kv,     heads[h].head_dim,
                                       rows[r].n_row,   rows[r].first_position, rows[r].decode};
            GAB_TRY(with_variants(w, s.decode ? GAB_OP_ATTENTION_DECODE : GAB_OP_ATTENTION_PREFILL, attention, &s));
        }
    return GAB_OK;
}

static gab_status all_cases(walk *w, const bench_shape *shapes, uint32_t n_shape) {
    static const uint32_t rows[] = {1, 512}, widths[] = {768, 4096};
    GAB_TRY(products(w, shapes, n_shape));
    GAB_TRY(attentions(w));
    for (size_t r = 0; r < 2; r++) GAB_TRY(kv_write(w, 12, 64, rows[r]));
    for (size_t i = 0; i < 2; i++)
        for (size_t r = 0; r < 2; r++) GAB_TRY(layernorm(w, widths[i], rows[r]));
    for (int type = 0; type < GAB_DTYPE_COUNT; type++) GAB_TRY(gather(w, (gab_dtype)type, 4096, 512));
    return sample(w);
}

gab_status bench_cases_each(bench_data *data, const bench_shape *shapes, uint32_t n_shape, const char *filter,
                            bench_case_fn fn, void *user, uint32_t *n) {
    walk w = {.data = data, .filter = filter, .fn = fn, .user = user};
    w.c = malloc(sizeof *w.c);
    w.step = malloc(sizeof *w.step + 4ull * GAB_SLOT_MAX * TABLE_STRIDE);
    gab_status status = w.c && w.step ? all_cases(&w, shapes, n_shape)
                                      : gab_fail(&data->vk->log, GAB_ERROR_HOST_MEMORY, "out of host memory");
    free(w.c);
    free(w.step);
    *n = w.n;
    return status;
}
