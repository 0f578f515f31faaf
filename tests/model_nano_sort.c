/*
 * The sorting model of bbycroft/llm-viz: every step of its forward pass beside the recorded numbers of someone else's
 * implementation, once kernel by kernel, once by the model's own functions; and it sorts. What the tensors of the two
 * files mean: oracle/make_nano_sort.py.
 *
 * Scores and their softmax (att, attSm) exist only inside the attention kernel; what comes of them (y) is compared.
 */
#include <cjson/cJSON.h>
#include <math.h>

#include "base/file.h"
#include "kernels/attention.h"
#include "kernels/gather.h"
#include "kernels/layernorm.h"
#include "kernels/matmul.h"
#include "run_test.h"

enum { C = 48, FF = 192, N_HEAD = 3, HEAD_DIM = 16, N_LAYER = 3, V = 3, T = 11, BATCH = 3 };

/* ---- the files ---- */

static cJSON *read_json(const char *name) {
    char *text = NULL;
    size_t n;
    const gab_log log = gab_test_log();
    const char *path = gab_test_model(name);
    if (gab_file_read_all(path, 1 << 24, &log, &text, &n) != GAB_OK) SKIP("no %s", path);
    cJSON *json = cJSON_Parse(text);
    free(text);
    CHECK(json);
    return json;
}

static int base64_digit(char c) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = c ? strchr(digits, c) : NULL;
    return at ? (int)(at - digits) : -1;
}

/* The n floats of a tensor, which must have that many. */
static float *tensor(const cJSON *json, const char *name, size_t n) {
    const cJSON *entry = cJSON_GetObjectItemCaseSensitive(json, name);
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(entry, "data"));
    float *values = gab_test_alloc(n * sizeof *values);
    unsigned char *bytes = (unsigned char *)values;
    size_t n_byte = 0;
    if (!text) FAIL("no tensor %s", name);
    for (uint32_t word = 0, bits = 0; *text && *text != '='; text++) {
        CHECK(base64_digit(*text) >= 0);
        word = word << 6 | (uint32_t)base64_digit(*text);
        bits += 6;
        if (bits < 8) continue;
        bits -= 8;
        CHECK(n_byte < n * sizeof *values);
        bytes[n_byte++] = (unsigned char)(word >> bits);
    }
    if (n_byte != n * sizeof *values) FAIL("tensor %s has %zu bytes, expected %zu", name, n_byte, n * sizeof *values);
    return values;
}

static void put(gguf_build *b, const cJSON *json, const char *name, const char *from, uint64_t n_col, uint64_t n_row) {
    gguf_build_tensor(b, name, GAB_DTYPE_F32, n_row ? 2 : 1, (uint64_t[]){n_col, n_row},
                      tensor(json, from, n_col * (n_row ? n_row : 1)));
}

static const char *write_model(void) {
    static const struct {
        const char *name, *from;
        uint64_t n_col, n_row;
    } parts[] = {{"attn_norm", "ln_1", 0, C},          {"attn_qkv", "attn.c_attn", C, 3 * C},
                 {"attn_output", "attn.c_proj", C, C}, {"ffn_norm", "ln_2", 0, C},
                 {"ffn_up", "mlp.c_fc", C, FF},        {"ffn_down", "mlp.c_proj", FF, C}};
    cJSON *json = read_json("nano-sort/gpt-nano-sort-model.json");
    gguf_build *b = gguf_build_new(3);
    gab_test_gpt2_header(b, V, T, C, FF, N_HEAD, N_LAYER);
    put(b, json, "token_embd.weight", "transformer.wte.weight", C, V);
    put(b, json, "position_embd.weight", "transformer.wpe.weight", C, T);
    for (int layer = 0; layer < N_LAYER; layer++)
        for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
            char name[64], from[64];
            const bool norm = parts[i].n_col == 0;
            snprintf(name, sizeof name, "blk.%d.%s.weight", layer, parts[i].name);
            snprintf(from, sizeof from, "transformer.h.%d.%s.weight", layer, parts[i].from);
            put(b, json, name, from, norm ? C : parts[i].n_col, norm ? 0 : parts[i].n_row);
            snprintf(name, sizeof name, "blk.%d.%s.bias", layer, parts[i].name);
            snprintf(from, sizeof from, "transformer.h.%d.%s.bias", layer, parts[i].from);
            put(b, json, name, from, parts[i].n_row, 0);
        }
    put(b, json, "output_norm.weight", "transformer.ln_f.weight", C, 0);
    put(b, json, "output_norm.bias", "transformer.ln_f.bias", C, 0);
    put(b, json, "output.weight", "lm_head.weight", C, V);
    const char *path = gguf_build_temp(b);
    gguf_build_free(&b);
    cJSON_Delete(json);
    return path;
}

/* ---- the device ---- */

typedef struct bench {
    gab_vk *vk;
    cJSON *partials;
    gab_gguf *gguf;
    gab_model *model;
    gab_kv_cache kv;
    gab_scratch scratch;
    gab_slice step;
    gab_kernel_set set;
    uint32_t n_work;
} bench;

static gab_slice rows_of(gab_vk *vk, uint32_t n_col) {
    return gab_test_slice(vk, NULL, sizeof(float) * GAB_ROW_MAX * gab_row_stride(n_col));
}

/* The three sequences of 11 tokens as one step of 33 rows, slots 0 to 2, a page each. All rows are output rows but the
 * first, for which there is no room. */
static void make_step(bench *b) {
    const float *ids = tensor(b->partials, "idx", BATCH * T);
    const uint32_t pages[GAB_SLOT_MAX] = {2, 0, 1}, tile = gab_attention_tile_rows(&b->set, HEAD_DIM);
    gab_step *step = gab_test_alloc(sizeof *step);
    step->n_row = BATCH * T;
    step->n_out = GAB_OUT_MAX;
    step->table_stride = 1;
    for (uint32_t i = 0; i < BATCH * T; i++)
        step->rows[i] = (gab_step_row){.token = (uint32_t)ids[i], .slot = i / T, .position = i % T};
    for (uint32_t i = 0; i < GAB_OUT_MAX; i++) step->outs[i] = (gab_step_out){.row = i + 1, .slot = (i + 1) / T};
    for (uint32_t s = 0; s < BATCH; s++) gab_attention_add_tiles(step, s, s * T, T, 0, tile);
    b->n_work = step->n_work;
    b->step = gab_test_step(b->vk, step, pages, GAB_SLOT_MAX);
}

static void bench_open(bench *b, gab_vk *vk, gab_kernel_set set) {
    const gab_log log = gab_test_log();
    const gab_load_options load = {0};
    memset(b, 0, sizeof *b);
    b->vk = vk;
    b->set = set;
    b->partials = read_json("nano-sort/gpt-nano-sort-t0-partials.json");
    CHECK_OK(gab_gguf_open(write_model(), &log, &b->gguf));
    CHECK_OK(gab_model_open(b->gguf, &log, &b->model));
    CHECK_OK(gab_model_load(b->model, vk, b->model->config.n_ctx, &load));
    CHECK_OK(gab_kv_cache_create(vk, b->model->config.kv, N_LAYER, false, 3, 3, &b->kv));
    b->scratch = (gab_scratch){.x = rows_of(vk, C),
                               .normed = rows_of(vk, C),
                               .qkv = rows_of(vk, 3 * C),
                               .attended = rows_of(vk, C),
                               .hidden = rows_of(vk, FF),
                               .pieces = rows_of(vk, C),
                               .out_normed = rows_of(vk, C),
                               .logits = rows_of(vk, V)};
    make_step(b);
}

static void bench_close(bench *b) {
    gab_kv_cache_destroy(&b->kv);
    gab_model_destroy(&b->model);
    gab_gguf_close(&b->gguf);
    cJSON_Delete(b->partials);
}

static gab_kernel_context *begin(bench *b) {
    return gab_test_begin(b->vk, b->set, b->step, BATCH * T, GAB_OUT_MAX);
}

/* ---- comparing ---- */

/* n_row rows of n_col floats, from column `first` on, beside the recorded ones from row first_row on. */
static void check_part(bench *b, gab_slice slice, uint32_t n_all, uint32_t first, uint32_t n_col, const float *expected,
                       uint32_t n_row, const char *name) {
    const uint32_t stride = gab_row_stride(n_all);
    float *rows = gab_test_alloc(sizeof(float) * n_row * stride), *got = gab_test_alloc(sizeof(float) * n_row * n_col);
    double *doubles = gab_test_alloc(sizeof(double) * n_row * n_col);
    gab_test_read(b->vk, slice, rows, sizeof(float) * n_row * stride);
    for (uint32_t r = 0; r < n_row; r++)
        for (uint32_t k = 0; k < n_col; k++) {
            got[r * n_col + k] = rows[r * stride + first + k];
            doubles[r * n_col + k] = expected[r * n_col + k];
        }
    gab_test_close(got, doubles, (size_t)n_row * n_col, 1e-5, 1e-4, "%s", name);
}

/* All 33 rows. */
static void check(bench *b, gab_slice slice, uint32_t n_col, const char *name) {
    check_part(b, slice, n_col, 0, n_col, tensor(b->partials, name, (size_t)BATCH * T * n_col), BATCH * T, name);
}

/* The output rows: all but the first. */
static void check_outs(bench *b, gab_slice slice, uint32_t n_col, const char *name) {
    const float *expected = tensor(b->partials, name, (size_t)BATCH * T * n_col);
    check_part(b, slice, n_col, 0, n_col, expected + n_col, GAB_OUT_MAX, name);
}

/* q, k or v, recorded by head [B][head][T][16]: a part of the rows of qkv. */
static void check_heads(bench *b, const char *name, uint32_t first) {
    const float *by_head = tensor(b->partials, name, BATCH * T * C);
    float *expected = gab_test_alloc(sizeof(float) * BATCH * T * C);
    for (uint32_t s = 0; s < BATCH; s++)
        for (uint32_t h = 0; h < N_HEAD; h++)
            for (uint32_t t = 0; t < T; t++)
                memcpy(expected + (s * T + t) * C + h * HEAD_DIM, by_head + ((s * N_HEAD + h) * T + t) * HEAD_DIM,
                       HEAD_DIM * sizeof(float));
    check_part(b, b->scratch.qkv, 3 * C, first, C, expected, BATCH * T, name);
}

/* The softmax of the logits on the host. */
static void check_probabilities(bench *b) {
    const float *expected = tensor(b->partials, "probs", BATCH * T * V);
    const uint32_t stride = gab_row_stride(V);
    float *rows = gab_test_alloc(sizeof(float) * GAB_OUT_MAX * stride), got[GAB_OUT_MAX * V];
    double doubles[GAB_OUT_MAX * V];
    gab_test_read(b->vk, b->scratch.logits, rows, sizeof(float) * GAB_OUT_MAX * stride);
    for (uint32_t r = 0; r < GAB_OUT_MAX; r++) {
        double sum = 0;
        for (uint32_t k = 0; k < V; k++) sum += exp(rows[r * stride + k]);
        for (uint32_t k = 0; k < V; k++) {
            got[r * V + k] = (float)(exp(rows[r * stride + k]) / sum);
            doubles[r * V + k] = expected[(r + 1) * V + k];
        }
    }
    gab_test_close(got, doubles, GAB_OUT_MAX * V, 1e-5, 1e-4, "probs");
}

/* ---- kernel by kernel: block 0 ---- */

typedef struct block {
    gab_weight wte, wpe, qkv, out, up, down;
    gab_slice norm_1[2], norm_2[2], qkv_bias, out_bias, up_bias, down_bias;
    gab_binder binder;
    gab_weights weights;
} block;

static void load_block(bench *b, block *w) {
    const gab_load_options load = {0};
    static const gab_log silent;
    *w = (block){.binder = {.gguf = b->gguf, .log = &silent}};
    gab_bind_matrix(&w->binder, &w->wte, V, C, "token_embd.weight");
    gab_bind_matrix(&w->binder, &w->wpe, T, C, "position_embd.weight");
    gab_bind_vector(&w->binder, &w->norm_1[0], C, "blk.0.attn_norm.weight");
    gab_bind_vector(&w->binder, &w->norm_1[1], C, "blk.0.attn_norm.bias");
    gab_bind_matrix(&w->binder, &w->qkv, 3 * C, C, "blk.0.attn_qkv.weight");
    gab_bind_vector(&w->binder, &w->qkv_bias, 3 * C, "blk.0.attn_qkv.bias");
    gab_bind_matrix(&w->binder, &w->out, C, C, "blk.0.attn_output.weight");
    gab_bind_vector(&w->binder, &w->out_bias, C, "blk.0.attn_output.bias");
    gab_bind_vector(&w->binder, &w->norm_2[0], C, "blk.0.ffn_norm.weight");
    gab_bind_vector(&w->binder, &w->norm_2[1], C, "blk.0.ffn_norm.bias");
    gab_bind_matrix(&w->binder, &w->up, FF, C, "blk.0.ffn_up.weight");
    gab_bind_vector(&w->binder, &w->up_bias, FF, "blk.0.ffn_up.bias");
    gab_bind_matrix(&w->binder, &w->down, C, FF, "blk.0.ffn_down.weight");
    gab_bind_vector(&w->binder, &w->down_bias, C, "blk.0.ffn_down.bias");
    CHECK_OK(gab_weights_load(&w->binder, b->vk, &load, &w->weights));
}

static void gather(bench *b, const gab_weight *table, uint32_t kind, bool add, gab_slice y) {
    const gab_gather op = {.table = table,
                           .index_kind = kind,
                           .add = add,
                           .sampled = b->scratch.pieces,
                           .y = y,
                           .y_stride = gab_row_stride(C)};
    gab_kernel_context *context = begin(b);
    gab_gather_record(context, &op);
    gab_test_end(context);
}

static void layernorm(bench *b, const gab_slice norm[2], gab_slice x, gab_slice y) {
    const gab_layernorm op = {.x = x,
                              .y = y,
                              .weight = norm[0],
                              .bias = norm[1],
                              .n_col = C,
                              .x_stride = gab_row_stride(C),
                              .y_stride = gab_row_stride(C),
                              .eps = 1e-5f};
    gab_kernel_context *context = begin(b);
    gab_layernorm_record(context, &op);
    gab_test_end(context);
}

static void matmul(bench *b, const gab_weight *weight, const gab_slice *bias, gab_slice x, gab_slice y, bool gelu,
                   bool residual) {
    const gab_matmul op = {.weight = weight,
                           .x = x,
                           .y = y,
                           .x_stride = gab_row_stride(weight->n_col),
                           .y_stride = gab_row_stride(weight->n_row),
                           .bias = bias,
                           .activation = gelu ? GAB_ACTIVATION_GELU : GAB_ACTIVATION_NONE,
                           .residual = residual};
    gab_kernel_context *context = begin(b);
    gab_matmul_record(context, &op);
    gab_test_end(context);
}

static void attention(bench *b, gab_slice qkv, gab_slice y) {
    const uint32_t stride = gab_row_stride(3 * C);
    const gab_kv_write write = {.kv = b->kv.layers[0], .x = qkv, .x_stride = stride, .k_offset = C, .v_offset = 2 * C};
    const gab_attention op = {.kv = b->kv.layers[0],
                              .q = qkv,
                              .y = y,
                              .q_stride = stride,
                              .y_stride = gab_row_stride(C),
                              .n_head = N_HEAD,
                              .n_piece = 1,
                              .n_work = b->n_work,
                              .pieces = b->scratch.pieces};
    gab_kernel_context *context = begin(b);
    gab_kv_write_record(context, &write);
    gab_record_barrier(context->recorder);
    gab_attention_record(context, &op);
    gab_test_end(context);
}

static void kernels(gab_vk *vk, gab_kernel_set set) {
    static bench b;
    static block w;
    bench_open(&b, vk, set);
    load_block(&b, &w);
    const gab_scratch *s = &b.scratch;
    const gab_slice y = rows_of(vk, C); /* of C columns, for what is nowhere alone in a forward pass */

    gather(&b, &w.wte, GAB_INDEX_TOKEN, false, s->x);
    check(&b, s->x, C, "tok_emb");
    gather(&b, &w.wpe, GAB_INDEX_POSITION, false, y);
    check_part(&b, y, C, 0, C, tensor(b.partials, "pos_emb", T * C), T, "pos_emb");
    gather(&b, &w.wpe, GAB_INDEX_POSITION, true, s->x);
    check(&b, s->x, C, "x");
    layernorm(&b, w.norm_1, s->x, s->normed);
    check(&b, s->normed, C, "ln1");
    matmul(&b, &w.qkv, &w.qkv_bias, s->normed, s->qkv, false, false);
    check(&b, s->qkv, 3 * C, "qkv");
    check_heads(&b, "q", 0);
    check_heads(&b, "k", C);
    check_heads(&b, "v", 2 * C);
    attention(&b, s->qkv, s->attended);
    check(&b, s->attended, C, "y");
    matmul(&b, &w.out, &w.out_bias, s->attended, y, false, false);
    check(&b, y, C, "yProj");
    matmul(&b, &w.out, &w.out_bias, s->attended, s->x, false, true);
    check(&b, s->x, C, "attnResid");
    layernorm(&b, w.norm_2, s->x, s->normed);
    check(&b, s->normed, C, "ln2");
    matmul(&b, &w.up, &w.up_bias, s->normed, s->hidden, false, false);
    check(&b, s->hidden, FF, "fc");
    matmul(&b, &w.up, &w.up_bias, s->normed, s->hidden, true, false);
    check(&b, s->hidden, FF, "gelu");
    matmul(&b, &w.down, &w.down_bias, s->hidden, y, false, false);
    check(&b, y, C, "mlp");
    matmul(&b, &w.down, &w.down_bias, s->hidden, s->x, false, true);
    check(&b, s->x, C, "mlpResid");

    gab_weights_destroy(&w.weights);
    gab_binder_free(&w.binder);
    bench_close(&b);
}
GAB_TEST(every_step_of_a_block_kernel_by_kernel) {
    gab_test_each_device(kernels);
}

/* ---- the model's own functions ---- */

static void whole(gab_vk *vk, gab_kernel_set set) {
    static bench b;
    bench_open(&b, vk, set);
    const gab_scratch *s = &b.scratch;
    const gab_forward_pass pass = gab_model_pass(b.model);
    gab_forward f = {.scratch = s, .kv = &b.kv, .sampled = s->pieces, .n_piece = 1, .n_work = b.n_work};
    static const char *const blocks[N_LAYER] = {"block0", "block1", "block2"};

    gab_kernel_context *context = begin(&b);
    f.kernels = *context;
    pass.embed(pass.model, &f);
    gab_test_end(context);
    check(&b, s->x, C, "x");
    for (uint32_t layer = 0; layer < N_LAYER; layer++) {
        context = begin(&b);
        f.kernels = *context;
        pass.layer(pass.model, &f, layer);
        gab_test_end(context);
        check(&b, s->x, C, blocks[layer]);
        if (layer > 0) continue; /* what block 0 leaves behind */
        check(&b, s->qkv, 3 * C, "qkv");
        check(&b, s->attended, C, "y");
        check(&b, s->normed, C, "ln2");
        check(&b, s->hidden, FF, "gelu");
        check(&b, s->x, C, "mlpResid");
    }
    context = begin(&b);
    f.kernels = *context;
    pass.head(pass.model, &f);
    gab_test_end(context);
    check_outs(&b, s->out_normed, C, "ln_f");
    check_outs(&b, s->logits, V, "lm_head");
    if (vk->executes) check_probabilities(&b);
    bench_close(&b);
}
GAB_TEST(forward_pass_of_the_model) {
    gab_test_each_device(whole);
}

/* ---- it sorts ---- */

static int by_value(const void *a, const void *b) {
    return *(const int32_t *)a - *(const int32_t *)b;
}

static void sorts(const char *device) {
    gab_engine *engine = gab_test_engine(device, write_model());
    gab_session *session = gab_test_session(engine, 0, 0);
    for (int32_t i = 0; i < 729; i += 29) {
        int32_t letters[6], rest = i;
        for (int k = 0; k < 6; k++, rest /= 3) letters[k] = rest % 3;
        CHECK_OK(gab_session_truncate(session, 0));
        gab_test_text text = gab_test_turn(session, letters, 6, 6);
        CHECK(text.n == 6 && text.stop == GAB_STOP_COUNT);
        qsort(letters, 6, sizeof *letters, by_value);
        if (memcmp(text.tokens, letters, sizeof letters) != 0) FAIL("string %d is not sorted", (int)i);
    }
    gab_session_destroy(&session);
    gab_engine_destroy(&engine);
}
GAB_TEST(it_sorts) {
    gab_test_each_engine_device(sorts);
}

GAB_TEST_MAIN()
