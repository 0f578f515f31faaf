/* Making engines: every way of loading gives the same model, and what cannot be loaded says why and what would work. */
#include <inttypes.h>
#include <math.h>
#include <sys/stat.h>
#include <unistd.h>

#include "run_test.h"
#include "tensor/quant.h"

/* ---- errors ---- */

static const char *first_device(void) {
    return "0";
}

/* Creating must fail with a status and a sentence that names the parts. */
#define REFUSED(options, expected, ...)                                                                                \
    do {                                                                                                               \
        gab_engine *refused = NULL;                                                                                    \
        gab_test_fails(gab_engine_create(options, &refused), expected, __VA_ARGS__, NULL);                             \
        CHECK(!refused);                                                                                               \
    } while (0)

GAB_TEST(wrong_options_are_refused) {
    gab_engine_options good = gab_test_engine_options(first_device(), gab_test_small_model()), bad = good;
    bad.struct_size--;
    REFUSED(&bad, GAB_ERROR_ARGUMENT, "gab_engine_options", "gab_engine_options_default");
    bad = good, bad.model_path = NULL;
    REFUSED(&bad, GAB_ERROR_ARGUMENT, "model_path", "GGUF");
    bad = good, bad.n_session = 0;
    REFUSED(&bad, GAB_ERROR_ARGUMENT, "n_session is 0", "1 to 16");
    bad = good, bad.n_session = 17;
    REFUSED(&bad, GAB_ERROR_ARGUMENT, "n_session is 17", "1 to 16");
    bad = good, bad.submit_budget_ms = 0;
    REFUSED(&bad, GAB_ERROR_ARGUMENT, "submit_budget_ms is 0", "expected");
    bad = good, bad.context = 1u << 30;
    REFUSED(&bad, GAB_ERROR_ARGUMENT, "context is 1073741824", "expected");
    bad = good, bad.context = 321;
    REFUSED(&bad, GAB_ERROR_ARGUMENT, "321", "320 positions", good.model_path);
    bad = good, bad.variant = "fastest";
    REFUSED(&bad, GAB_ERROR_ARGUMENT, "fastest", "lane", "group");
    bad = good, bad.device = "Voodoo 2";
    REFUSED(&bad, GAB_ERROR_NO_DEVICE, "Voodoo 2");
    bad = good, bad.device = "99";
    REFUSED(&bad, GAB_ERROR_NO_DEVICE, "99");
}

GAB_TEST(wrong_files_are_refused) {
    gab_engine_options o = gab_test_engine_options(first_device(), "/nonexistent/model.gguf");
    REFUSED(&o, GAB_ERROR_FILE, "/nonexistent/model.gguf", "No such file");
    o.model_path = gab_test_source("README.md");
    REFUSED(&o, GAB_ERROR_FORMAT, "README.md", "GGUF");
    o.model_path = gab_test_source("tests");
    gab_engine *engine = NULL;
    CHECK(gab_engine_create(&o, &engine) != GAB_OK && !engine);

    const gguf_build_gpt2_config config = {
        .n_vocab = 32, .n_ctx = 64, .n_embd = 32, .n_head = 2, .n_layer = 1, .seed = 1};
    gguf_build *b = gguf_build_new(3);
    gguf_build_gpt2(b, &config);
    o.model_path = gab_test_renamed(b, "blk.0.ffn_down.bias");
    REFUSED(&o, GAB_ERROR_FORMAT, o.model_path, "blk.0.ffn_down.bias", "download");
    o.model_path = gab_test_patched(b, GGUF_BUILD_SHAPE, "blk.0.attn_qkv.weight", 1, 95);
    REFUSED(&o, GAB_ERROR_FORMAT, "blk.0.attn_qkv.weight", "95 rows of 32", "96 rows of 32");
    o.model_path = gab_test_patched(b, GGUF_BUILD_TENSOR_TYPE, "blk.0.attn_qkv.weight", 0, 9);
    REFUSED(&o, GAB_ERROR_UNSUPPORTED, "blk.0.attn_qkv.weight", "type", "Q8_0, Q4_0");
    uint32_t n_head = 3;
    o.model_path = gab_test_patched(b, GGUF_BUILD_VALUE_TYPE, "gpt2.attention.head_count", 0, n_head);
    REFUSED(&o, GAB_ERROR_FORMAT, "gpt2.embedding_length 32", "gpt2.attention.head_count 3");
    o.model_path = gab_test_patched(b, GGUF_BUILD_SHAPE, "token_embd.weight", 1, 31);
    REFUSED(&o, GAB_ERROR_FORMAT, "tokenizer.ggml.tokens", "32 tokens", "31 rows");
    gguf_build_free(&b);

    b = gguf_build_new(3);
    gguf_build_string(b, "general.architecture", "mamba");
    gguf_build_string(b, "tokenizer.ggml.model", "llama");
    o.model_path = gguf_build_temp(b);
    REFUSED(&o, GAB_ERROR_UNSUPPORTED, "mamba", "llama");
    gguf_build_free(&b);
}

/* Q8_K has blocks of 256: a row of 256 is well-formed, and not supported. */
GAB_TEST(unknown_type_names_what_would_work) {
    const gguf_build_gpt2_config config = {
        .n_vocab = 32, .n_ctx = 64, .n_embd = 256, .n_head = 4, .n_layer = 1, .n_ff = 256, .seed = 1};
    gguf_build *b = gguf_build_new(3);
    gguf_build_gpt2(b, &config);
    gab_engine_options o = gab_test_engine_options(
        first_device(), gab_test_patched(b, GGUF_BUILD_TENSOR_TYPE, "blk.0.ffn_up.weight", 0, 15));
    REFUSED(&o, GAB_ERROR_UNSUPPORTED, "blk.0.ffn_up.weight", "Q8_K", "F32, F16, Q8_0, Q4_0", "Q4_K", "MXFP4");
    gguf_build_free(&b);
}

GAB_TEST(unknown_architecture_names_the_known) {
    const gguf_build_gpt2_config config = {
        .n_vocab = 32, .n_ctx = 64, .n_embd = 32, .n_head = 2, .n_layer = 1, .seed = 1};
    gguf_build *b = gguf_build_new(3);
    gguf_build_gpt2(b, &config);
    size_t n;
    const unsigned char *data = gguf_build_bytes(b, &n);
    unsigned char *copy = gab_test_alloc(n);
    memcpy(copy, data, n);
    for (size_t i = 0; i + 32 < n; i++) /* the value of general.architecture: type, length, text */
        if (memcmp(copy + i, "general.architecture", 20) == 0) memcpy(copy + i + 20 + 4 + 8, "gpt9", 4);
    gab_engine_options o = gab_test_engine_options(first_device(), gguf_build_temp_bytes(copy, n));
    REFUSED(&o, GAB_ERROR_UNSUPPORTED, "general.architecture", "gpt9", "gpt2");
    gguf_build_free(&b);
}

/* ---- a file larger than the device ---- */

typedef struct large_file {
    const char *path;
    uint64_t bytes;
} large_file;

/* A sparse file of 48 layers of width 8192 in f32: about 145 GiB, of which the header alone is on the disk. */
static large_file write_large(void) {
    enum { N_LAYER = 48, C = 8192, FF = 4 * C, N_CTX = 64, V = 4 };
    static const struct {
        const char *name;
        uint64_t n_col, n_row;
    } of_layer[] = {{"attn_norm.weight", C, 0},  {"attn_norm.bias", C, 0},     {"attn_qkv.weight", C, 3 * C},
                    {"attn_qkv.bias", 3 * C, 0}, {"attn_output.weight", C, C}, {"attn_output.bias", C, 0},
                    {"ffn_norm.weight", C, 0},   {"ffn_norm.bias", C, 0},      {"ffn_up.weight", C, FF},
                    {"ffn_up.bias", FF, 0},      {"ffn_down.weight", FF, C},   {"ffn_down.bias", C, 0}};
    gguf_build *b = gguf_build_new(3);
    gab_test_gpt2_header(b, V, N_CTX, C, FF, 64, N_LAYER);
    gguf_build_tensor_raw(b, "token_embd.weight", 0, 2, (uint64_t[]){C, V}, NULL, 0);
    gguf_build_tensor_raw(b, "position_embd.weight", 0, 2, (uint64_t[]){C, N_CTX}, NULL, 0);
    for (int layer = 0; layer < N_LAYER; layer++)
        for (size_t i = 0; i < sizeof of_layer / sizeof *of_layer; i++) {
            char name[64];
            snprintf(name, sizeof name, "blk.%d.%s", layer, of_layer[i].name);
            gguf_build_tensor_raw(b, name, 0, of_layer[i].n_row ? 2 : 1,
                                  (uint64_t[]){of_layer[i].n_col, of_layer[i].n_row}, NULL, 0);
        }
    gguf_build_tensor_raw(b, "output_norm.weight", 0, 1, (uint64_t[]){C}, NULL, 0);
    gguf_build_tensor_raw(b, "output_norm.bias", 0, 1, (uint64_t[]){C}, NULL, 0);

    /* Every tensor at a place of its own. */
    size_t n, n_field;
    unsigned char *data = (unsigned char *)(uintptr_t)gguf_build_bytes(b, &n);
    const gguf_build_field *fields = gguf_build_fields(b, &n_field);
    uint64_t offset = 0, bytes = 0;
    for (size_t i = 0; i < n_field; i++) {
        uint64_t size;
        memcpy(&size, data + fields[i].offset, sizeof size);
        if (fields[i].kind == GGUF_BUILD_SHAPE) bytes = bytes ? bytes * size : 4 * size;
        if (fields[i].kind != GGUF_BUILD_OFFSET) continue;
        memcpy(data + fields[i].offset, &offset, sizeof offset);
        offset += bytes; /* multiples of 32 all */
        bytes = 0;
    }
    large_file file = {gguf_build_temp_bytes(data, n), n + offset};
    gguf_build_free(&b);
    if (truncate(file.path, (off_t)file.bytes) != 0) SKIP("no sparse file of %" PRIu64 " bytes here", file.bytes);
    return file;
}

static void on_progress(void *user, const char *stage, uint64_t done, uint64_t total) {
    (void)stage, (void)done, (void)total;
    ++*(unsigned *)user;
}

static large_file large;

static void too_large(const char *device) {
    gab_engine_options o = gab_test_engine_options(device, large.path);
    struct stat info;
    unsigned n_progress = 0;
    o.progress = on_progress;
    o.progress_user = &n_progress;
    gab_vk *vk = gab_test_vk_open(device);
    uint64_t memory = gab_vk_memory_free(vk);
    gab_test_vk_close(&vk);
    if (memory >= large.bytes) {
        printf("a device of %" PRIu64 " bytes holds it\n", memory);
        return;
    }
    REFUSED(&o, GAB_ERROR_DEVICE_MEMORY, large.path, "needs 14", "GiB", "free", "smaller model", "Q8_0", "Q4_0");
    o.context = 64;
    REFUSED(&o, GAB_ERROR_DEVICE_MEMORY, large.path, "smaller model");
    CHECK(n_progress == 0); /* nothing was read */
    CHECK(stat(large.path, &info) == 0 && info.st_blocks < 2048);
}
GAB_TEST(file_larger_than_the_device_says_what_would_fit) {
    gab_test_vk_setup();
    large = write_large();
    gab_test_each_engine_device(too_large);
}

/* ---- ways of loading ---- */

enum { VOCAB = 300, N = 40 };

static void logits_of(const gab_engine_options *options, float *logits) {
    int32_t tokens[N];
    gab_engine *engine = gab_test_engine_with(options);
    gab_session *session = gab_test_session(engine, 0, 0);
    gab_test_tokens(1, VOCAB, tokens, N);
    CHECK_OK(gab_session_logits(session, tokens, N, 16, logits));
    for (int i = 0; i < N * VOCAB; i++) CHECK(isfinite(logits[i]));
    gab_session_destroy(&session);
    gab_engine_destroy(&engine);
}

typedef struct progress {
    uint64_t done, total;
    unsigned n;
    pthread_t thread;
    bool back, elsewhere, prepared;
} progress;

static void note_progress(void *user, const char *stage, uint64_t done, uint64_t total) {
    progress *p = user;
    if (!pthread_equal(pthread_self(), p->thread)) p->elsewhere = true;
    if (strstr(stage, "preparing")) { /* after the weights */
        p->prepared = done == total && p->done == p->total;
        return;
    }
    CHECK(strstr(stage, "loading"));
    p->n++;
    if (done < p->done || (p->n > 1 && total != p->total)) p->back = true;
    p->done = done;
    p->total = total;
}

static void same_bits(const char *device) {
    static float expected[N * VOCAB], logits[N * VOCAB];
    const gguf_build_gpt2_config config = {.n_vocab = VOCAB,
                                           .n_ctx = 64,
                                           .n_embd = 64,
                                           .n_head = 4,
                                           .n_layer = 2,
                                           .seed = 3,
                                           .untied = true,
                                           .embedding = GAB_DTYPE_Q8_0,
                                           .position = GAB_DTYPE_F16,
                                           .matrix = GAB_DTYPE_Q4_0};
    gguf_build *b = gguf_build_new(3);
    gguf_build_gpt2(b, &config);
    gab_engine_options plain = gab_test_engine_options(device, gguf_build_temp(b)), o = plain;
    gguf_build_free(&b);
    progress p = {.thread = pthread_self()};
    o.progress = note_progress;
    o.progress_user = &p;
    logits_of(&o, expected);
    CHECK(p.n > 0 && p.done == p.total && p.total > 0 && !p.back && p.prepared);
    if (p.elsewhere) FAIL("progress came from another thread");
    o = plain, o.staging = true;
    logits_of(&o, logits);
    gab_test_same(logits, expected, N * VOCAB, "through staging");
    for (uint64_t bytes = 1024; bytes <= 8192; bytes *= 8) { /* 1024: the longest vector; matrices in many shards */
        o = plain, o.shard_bytes_max = bytes;
        logits_of(&o, logits);
        gab_test_same(logits, expected, N * VOCAB, "in shards of %" PRIu64, bytes);
    }
    o.staging = true;
    logits_of(&o, logits);
    gab_test_same(logits, expected, N * VOCAB, "in shards through staging");
    o = plain, o.shard_bytes_max = 1000;
    REFUSED(&o, GAB_ERROR_DEVICE_MEMORY, "bias", "1024 bytes", "1000");
}
GAB_TEST(shards_and_staging_give_the_same_bits) {
    gab_test_each_engine_device(same_bits);
}

/* Tensor i of a model has type (i + shift) mod 4, vectors too: all types at all places. */
static const char *write_mixed(unsigned shift) {
    enum { C = 64, FF = 128, V = 20, N_CTX = 64 };
    static const struct {
        const char *name;
        uint64_t n_col, n_row;
    } tensors[] = {{"token_embd.weight", C, V},
                   {"position_embd.weight", C, N_CTX},
                   {"blk.0.attn_norm.weight", C, 0},
                   {"blk.0.attn_norm.bias", C, 0},
                   {"blk.0.attn_qkv.weight", C, 3 * C},
                   {"blk.0.attn_qkv.bias", 3 * C, 0},
                   {"blk.0.attn_output.weight", C, C},
                   {"blk.0.attn_output.bias", C, 0},
                   {"blk.0.ffn_norm.weight", C, 0},
                   {"blk.0.ffn_norm.bias", C, 0},
                   {"blk.0.ffn_up.weight", C, FF},
                   {"blk.0.ffn_up.bias", FF, 0},
                   {"blk.0.ffn_down.weight", FF, C},
                   {"blk.0.ffn_down.bias", C, 0},
                   {"output_norm.weight", C, 0},
                   {"output_norm.bias", C, 0},
                   {"output.weight", C, V}};
    gab_test_random random = {5};
    static const gab_dtype types[] = {GAB_DTYPE_F32, GAB_DTYPE_F16, GAB_DTYPE_Q8_0, GAB_DTYPE_Q4_0};
    gguf_build *b = gguf_build_new(3);
    gab_test_gpt2_header(b, V, N_CTX, C, FF, 4, 1);
    for (size_t i = 0; i < sizeof tensors / sizeof *tensors; i++) {
        const bool norm = strstr(tensors[i].name, "norm.weight") != NULL;
        uint64_t n = tensors[i].n_col * (tensors[i].n_row ? tensors[i].n_row : 1);
        float *values = malloc(n * sizeof *values);
        CHECK(values);
        for (uint64_t k = 0; k < n; k++) values[k] = (norm ? 1 : 0) + 0.125f * gab_test_random_normal(&random);
        gguf_build_tensor(b, tensors[i].name, shift < 4 ? types[(i + shift) % 4] : GAB_DTYPE_F32,
                          tensors[i].n_row ? 2 : 1, (uint64_t[]){tensors[i].n_col, tensors[i].n_row}, values);
        free(values);
    }
    const char *path = gguf_build_temp(b);
    gguf_build_free(&b);
    return path;
}

static void mixes(const char *device) {
    enum { V = 20, N_ROW = 12 };
    float exact[N_ROW * V], logits[N_ROW * V];
    int32_t tokens[N_ROW];
    gab_test_tokens(2, V, tokens, N_ROW);
    for (unsigned i = 0; i <= 4; i++) {
        unsigned shift = (i + 4) % 5; /* 4: all f32 */
        gab_engine *engine = gab_test_engine(device, write_mixed(shift));
        gab_session *session = gab_test_session(engine, 0, 0);
        CHECK_OK(gab_session_logits(session, tokens, N_ROW, 0, i == 0 ? exact : logits));
        double distance = i == 0 ? 0 : gab_test_distance(logits, exact, N_ROW * V);
        if (distance > 0.3) FAIL("types shifted by %u: the logits are %g from those of f32", shift, distance);
        if (i > 0) printf("types shifted by %u: %g from f32\n", shift, distance);
        gab_session_destroy(&session);
        gab_engine_destroy(&engine);
    }
}
GAB_TEST(every_type_at_every_place) {
    gab_test_each_engine_device(mixes);
}

/* ---- several, and none ---- */

static void two(const char *device) {
    gab_engine *a = gab_test_engine(device, gab_test_small_model());
    gab_engine *b = gab_test_engine(device, gab_test_tales());
    gab_session *of_a = gab_test_session(a, 1, 1), *of_b = gab_test_session(b, 1, 1);
    const int32_t tokens[] = {10, 20, 30};
    const gab_session_options options = gab_test_session_options(1, 1);
    gab_test_text alone = gab_test_alone(a, &options, tokens, 3, 30);
    CHECK_OK(gab_session_feed(of_b, tokens, 3, 6));
    gab_test_text text = gab_test_turn(of_a, tokens, 3, 30);
    gab_test_same_text(&text, &alone, "beside another engine");
    CHECK(gab_test_take(of_b).n == 6);
    gab_session_destroy(&of_b);
    gab_engine_destroy(&b);
    CHECK_OK(gab_session_truncate(of_a, 0));
    text = gab_test_turn(of_a, tokens, 3, 30);
    gab_test_same_text(&text, &alone, "after another engine");
    gab_session_destroy(&of_a);
    gab_engine_destroy(&a);
}
GAB_TEST(two_engines_at_once) {
    gab_test_each_engine_device(two);
}

static void at_once(const char *device) {
    gab_engine_info info;
    gab_engine_options o = gab_test_engine_options(device, gab_test_small_model());
    o.context = 100;
    gab_engine *engine = gab_test_engine_with(&o);
    gab_engine_get_info(engine, &info);
    CHECK(strcmp(info.model_name, "test") == 0 && strcmp(info.architecture, "gpt2") == 0);
    CHECK(info.n_vocab == 300 && info.n_embd == 64 && info.n_layer == 2 && info.n_head == 4);
    CHECK(info.n_ctx_train == 320 && info.context == 100 && info.executes);
    CHECK(info.weight_bytes > 4u * 64 * 300 && info.load_ms > 0 && strlen(info.variants) == 16);
    CHECK(info.kv_bytes == 2u * 2 * 2 * 64 * 2 * 64); /* K and V, layers, pages, positions, bytes, width */
    gab_engine_destroy(&engine);
    CHECK(!engine);
    gab_engine_destroy(&engine);
    gab_engine_destroy(NULL);
}
GAB_TEST(engine_destroyed_right_after_creation) {
    gab_test_each_engine_device(at_once);
}

GAB_TEST_MAIN()
