/* Models of random weights: their shapes and sizes, that their bytes depend on the place alone, and that they run. */
#include <inttypes.h>
#include <math.h>
#include <sys/resource.h>

#include "model/model.h"
#include "run_test.h"
#include "tensor/quant.h"

enum { VOCAB = 50257, CHUNK = 1 << 20 };

static const struct {
    const char *name;
    uint32_t n_layer, n_embd, n_head, n_head_kv, n_ff, n_vocab, n_ctx, n_expert;
    uint64_t n_weight; /* of the published models, a tied head counted once */
} presets[] = {
    {"gpt2-124m", 12, 768, 12, 12, 3072, 50257, 1024, 0, 124439808},
    {"gpt2-1.5b", 48, 1600, 25, 25, 6400, 50257, 1024, 0, 1557611200},
    {"gpt3-1.3b", 24, 2048, 16, 16, 8192, 50257, 2048, 0, 1315723264},
    {"gpt3-6.7b", 32, 4096, 32, 32, 16384, 50257, 2048, 0, 6658404352},
    {"gpt3-13b", 40, 5120, 40, 40, 20480, 50257, 2048, 0, 12853386240},
    {"gpt3-175b", 96, 12288, 96, 96, 49152, 50257, 2048, 0, 174604259328},
    {"llama-1b", 16, 2048, 32, 8, 8192, 128256, 131072, 0, 1235814400},
    {"llama-8b", 32, 4096, 32, 8, 14336, 128256, 131072, 0, 8030261248},
    {"mixtral-8x7b", 32, 4096, 32, 8, 14336, 32000, 32768, 8, 46702792704},
};
enum { N_PRESET = sizeof presets / sizeof *presets };

static const struct {
    const char *name;
    gab_dtype type;
} types[] = {{":f32", GAB_DTYPE_F32},   {":f16", GAB_DTYPE_F16},   {"", GAB_DTYPE_F16},
             {":q8_0", GAB_DTYPE_Q8_0}, {":q4_0", GAB_DTYPE_Q4_0}, {":q4_k", GAB_DTYPE_Q4_K}};
enum { N_TYPE = sizeof types / sizeof *types };

static gab_gguf *open_synth(const char *name) {
    const gab_log log = gab_test_log();
    gab_gguf *gguf = NULL;
    CHECK_OK(gab_model_gguf_open(name, &log, &gguf));
    return gguf;
}

static void read_at(const gab_gguf *gguf, uint64_t offset, void *data, size_t n) {
    CHECK_OK(gab_file_read_at(gab_gguf_file_at(gguf, 0), offset, data, n, NULL));
}

/* ---- shapes and sizes ---- */

static void check_shape(size_t preset, size_t type) {
    const gab_log log = gab_test_log();
    char name[64];
    gab_model *model = NULL;
    uint64_t n_weight = 0, planned = 0;
    snprintf(name, sizeof name, "synth:%s%s", presets[preset].name, types[type].name);
    gab_gguf *gguf = open_synth(name);
    CHECK_OK(gab_model_open(gguf, &log, &model));
    const gab_model_config *c = &model->config;
    CHECK(c->n_layer == presets[preset].n_layer && c->n_embd == presets[preset].n_embd);
    CHECK(c->n_head == presets[preset].n_head && c->n_ctx == presets[preset].n_ctx);
    CHECK(c->n_head_kv == presets[preset].n_head_kv && c->head_dim * c->n_head == c->n_embd);
    CHECK(c->n_vocab == presets[preset].n_vocab && c->n_ff == presets[preset].n_ff);
    CHECK(c->n_expert == presets[preset].n_expert && c->n_used == (c->n_expert ? 2 : 0));
    for (uint64_t i = 0; i < gab_gguf_n_tensor(gguf); i++) {
        const gab_gguf_tensor *t = gab_gguf_tensor_at(gguf, i);
        const bool exact =
            t->n_dim == 1 || strcmp(t->name, "position_embd.weight") == 0 || strstr(t->name, "ffn_gate_inp");
        CHECK(t->n_dim == 3 ? t->shape[2] == c->n_expert : t->n_dim < 3);
        const bool divides = t->shape[0] % gab_dtype_get(types[type].type)->block_size == 0;
        CHECK(t->known && t->type == (exact ? GAB_DTYPE_F32 : divides ? types[type].type : GAB_DTYPE_Q4_0));
        n_weight += t->shape[0] * t->n_row;
        planned += (t->n_row * gab_dtype_planes_row_bytes(t->type, t->shape[0]) + 255) / 256 * 256;
    }
    for (uint32_t i = 0; i < c->n_rope; i++) planned += 4 * gab_rope_table_floats(c->rope[i].scaling.n_turn, c->n_ctx);
    if (n_weight != presets[preset].n_weight)
        FAIL("%s has %" PRIu64 " weights, expected %" PRIu64, name, n_weight, presets[preset].n_weight);
    if (gab_model_weight_bytes(model) != planned)
        FAIL("%s: %" PRIu64 " bytes planned, not %" PRIu64, name, gab_model_weight_bytes(model), planned);
    const gab_plan_sizes sizes = gab_model_sizes(model, c->n_ctx);
    CHECK(gab_plans_bytes(&sizes) > 0);
    gab_model_destroy(&model);
    gab_gguf_close(&gguf);
}

static long peak_mib(void) {
    struct rusage usage;
    CHECK(getrusage(RUSAGE_SELF, &usage) == 0);
    return usage.ru_maxrss / 1024;
}

GAB_TEST(shapes_of_all_presets_and_types) {
    const long before = peak_mib();
    for (size_t p = 0; p < N_PRESET; p++)
        for (size_t t = 0; t < N_TYPE; t++) check_shape(p, t);
    printf("%ld MiB of host memory\n", peak_mib() - before);
    if (!GAB_TEST_ASAN) CHECK(peak_mib() - before < 64); /* no weights are made yet */
}

static void too_large(const char *device) {
    gab_engine_options options = gab_test_engine_options(device, "synth:gpt3-175b:f32");
    gab_engine *engine = NULL;
    gab_test_fails(gab_engine_create(&options, &engine), GAB_ERROR_DEVICE_MEMORY, "synth:gpt3-175b:f32",
                   "weights alone are 65", "GiB", "smaller model", "Q4_0", NULL);
}
GAB_TEST(too_large_says_what_would_fit) {
    gab_test_each_engine_device(too_large);
}

/* ---- names ---- */

GAB_TEST(wrong_names_list_what_exists) {
    static const struct {
        const char *name, *what;
    } wrong[] = {
        {"synth:", "preset"},
        {"synth:gpt2", "preset"},
        {"synth::f16", "preset"},
        {"synth:gpt2-124mm", "preset"},
        {"synth:gpt2-124m:", "type"},
        {"synth:gpt2-124m:q5_0", "type"},
        {"synth:gpt2-124m:f1", "type"},
        {"synth:gpt2-124m:f16:x", "number of positions"},
        {"synth:gpt2-124m:f16:0", "number of positions"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        gab_gguf *gguf = NULL;
        gab_tokenizer *tokenizer = NULL;
        char what[32];
        snprintf(what, sizeof what, "no known %s", wrong[i].what);
        gab_test_fails(
            gab_model_gguf_open(wrong[i].name, NULL, &gguf), GAB_ERROR_ARGUMENT, wrong[i].name, what,
            "synth:PRESET:TYPE",
            "gpt2-124m, gpt2-1.5b, gpt3-1.3b, gpt3-6.7b, gpt3-13b, gpt3-175b, llama-1b, llama-8b, mixtral-8x7b",
            "F32, F16, Q8_0, Q4_0, Q4_K", NULL);
        gab_test_fails(gab_tokenizer_open(wrong[i].name, NULL, NULL, &tokenizer), GAB_ERROR_ARGUMENT, wrong[i].name,
                       NULL);
    }
    gab_gguf *gguf = NULL;
    gab_test_fails(gab_model_gguf_open("./synth:gpt2-124m", NULL, &gguf), GAB_ERROR_FILE, "cannot open", NULL);
}

GAB_TEST(positions_can_be_asked_for) {
    uint32_t n = 0;
    gab_gguf *gguf = open_synth("synth:gpt2-124m:q8_0:4224");
    CHECK(gab_gguf_get_u32(gguf, "gpt2.context_length", &n) && n == 4224);
    gab_gguf_close(&gguf);
}

GAB_TEST(any_case_is_the_same) {
    static unsigned char a[CHUNK], b[CHUNK];
    gab_gguf *one = open_synth("synth:gpt2-124m:q4_0"), *other = open_synth("synth:GPT2-124M:Q4_0");
    read_at(one, gab_gguf_tensor_at(one, 0)->offset, a, CHUNK);
    read_at(other, gab_gguf_tensor_at(other, 0)->offset, b, CHUNK);
    CHECK(memcmp(a, b, CHUNK) == 0);
    gab_gguf_close(&one);
    gab_gguf_close(&other);
}

/* ---- bytes ---- */

typedef struct pieces {
    const gab_gguf *gguf;
    unsigned char *bytes;
    uint64_t first;
    size_t size; /* of a piece */
} pieces;

static bool read_piece(void *user, size_t i) {
    const pieces *p = user;
    const size_t from = i * p->size, n = CHUNK - from < p->size ? CHUNK - from : p->size;
    return gab_file_read_at(gab_gguf_file_at(p->gguf, 0), p->first + from, p->bytes + from, n, NULL) == GAB_OK;
}

/* Reads of any size, by any number of threads, in any order of files give the same bytes. */
static void check_pieces(const gab_gguf *gguf, const gab_gguf *again, uint64_t first) {
    static unsigned char expected[CHUNK], bytes[CHUNK];
    static const size_t sizes[] = {3, 18, 34, 63, 1000, 65536};
    read_at(gguf, first, expected, CHUNK);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        pieces p = {again, bytes, first, sizes[i]};
        memset(bytes, 0, CHUNK);
        CHECK(gab_parallel_for((CHUNK + p.size - 1) / p.size, i % 2 ? 1 : 4, read_piece, &p));
        if (memcmp(bytes, expected, CHUNK) != 0) FAIL("other bytes at %" PRIu64 " in pieces of %zu", first, p.size);
    }
}

GAB_TEST(bytes_depend_on_the_place_alone) {
    for (size_t t = 0; t < N_TYPE; t++) {
        char name[64];
        snprintf(name, sizeof name, "synth:gpt2-124m%s", types[t].name);
        gab_gguf *gguf = open_synth(name), *again = open_synth(name);
        const gab_gguf_tensor *first = gab_gguf_tensor_at(gguf, 0);
        const gab_gguf_tensor *last = gab_gguf_tensor_at(gguf, gab_gguf_n_tensor(gguf) - 1);
        const uint64_t size = gab_file_size(gab_gguf_file_at(gguf, 0));
        unsigned char byte;
        check_pieces(gguf, again, 0);                         /* the header */
        check_pieces(gguf, again, first->offset - CHUNK / 3); /* and where it ends */
        check_pieces(gguf, again, first->offset + first->bytes - CHUNK / 3);
        check_pieces(gguf, again, size - CHUNK); /* many small tensors */
        CHECK(last->offset + last->bytes <= size);
        gab_test_fails(gab_file_read_at(gab_gguf_file_at(gguf, 0), size, &byte, 1, NULL), GAB_ERROR_FILE, name, "ends",
                       NULL);
        CHECK_OK(gab_file_check_unchanged(gab_gguf_file_at(gguf, 0), NULL));
        gab_gguf_close(&gguf);
        gab_gguf_close(&again);
    }
}

/* ---- values ---- */

/* Mean and standard deviation of the first rows of a tensor. */
static void check_values(const gab_gguf *gguf, const char *name, double mean_expected, double low, double high) {
    static float values[1 << 16];
    static unsigned char rows[sizeof values];
    const gab_gguf_tensor *t = gab_gguf_tensor_find(gguf, name);
    CHECK(t && t->known);
    const uint64_t fitting = sizeof values / sizeof *values / t->shape[0];
    const uint64_t n_row = t->n_row < fitting ? t->n_row : fitting, n = n_row * t->shape[0];
    double sum = 0, squares = 0;
    read_at(gguf, t->offset, rows, n_row * t->row_bytes);
    gab_dequantize_row(t->type, rows, n, values);
    for (uint64_t i = 0; i < n; i++) {
        CHECK(isfinite(values[i]));
        sum += values[i];
        squares += (double)values[i] * values[i];
    }
    const double mean = sum / (double)n, deviation = sqrt(squares / (double)n - mean * mean);
    if (fabs(mean - mean_expected) > 4 * deviation / sqrt((double)n) + 1e-12 || deviation < low || deviation > high)
        FAIL("%s: %g on average, deviation %g", name, mean, deviation);
}

GAB_TEST(weights_are_those_of_an_untrained_model) {
    for (size_t t = 0; t < N_TYPE; t++) {
        char name[64];
        snprintf(name, sizeof name, "synth:gpt2-124m%s", types[t].name);
        gab_gguf *gguf = open_synth(name);
        static const char *const matrices[] = {"token_embd.weight", "position_embd.weight", "blk.0.attn_qkv.weight",
                                               "blk.11.ffn_down.weight", "blk.3.ffn_up.bias"};
        for (size_t i = 0; i < sizeof matrices / sizeof *matrices; i++)
            check_values(gguf, matrices[i], 0, 0.017, 0.022);
        check_values(gguf, "output_norm.weight", 1 + 1 / 32.0, 0.01, 0.03);
        check_values(gguf, "blk.7.ffn_norm.weight", 1 + 1 / 32.0, 0.01, 0.03);
        gab_gguf_close(&gguf);
    }
}

GAB_TEST(weights_of_llamas_and_their_experts) {
    static const char *const matrices[] = {"token_embd.weight", "output.weight", "blk.0.attn_k.weight",
                                           "blk.0.ffn_gate_inp.weight", "blk.31.ffn_down_exps.weight"};
    gab_gguf *gguf = open_synth("synth:mixtral-8x7b:q8_0");
    for (size_t i = 0; i < sizeof matrices / sizeof *matrices; i++) check_values(gguf, matrices[i], 0, 0.017, 0.022);
    check_values(gguf, "blk.7.attn_norm.weight", 1 + 1 / 32.0, 0.01, 0.03);
    gab_gguf_close(&gguf);
}

/* ---- vocabulary ---- */

static void check_vocabulary(const char *name, int32_t n_vocab) {
    const gab_log log = gab_test_log();
    gab_tokenizer *tokenizer = NULL;
    char text[256];
    int32_t *tokens = NULL;
    size_t n_token = 0, n = 0;
    gab_test_log_reset();
    CHECK_OK(gab_tokenizer_open(name, log.fn, log.user, &tokenizer));
    CHECK(gab_test_log_count(GAB_LOG_WARNING) == 0); /* no word is there twice */
    CHECK((int32_t)gab_tokenizer_n_vocab(tokenizer) == n_vocab && gab_tokenizer_eos(tokenizer) == n_vocab - 1);
    CHECK(gab_tokenizer_is_end(tokenizer, n_vocab - 1) && !gab_tokenizer_is_end(tokenizer, n_vocab - 2));
    for (int i = 0; i < 256; i++) text[i] = (char)i;
    CHECK_OK(gab_tokenizer_encode(tokenizer, text, 256, false, false, &tokens, &n_token));
    CHECK(n_token == 256);
    for (int i = 0; i < 256; i++) {
        CHECK(tokens[i] == i);
        const char *piece = gab_tokenizer_piece(tokenizer, i, false, &n);
        CHECK(n == 1 && piece[0] == text[i]);
    }
    gab_tokens_free(&tokens);
    for (int32_t i = 256; i < n_vocab - 1; i++) CHECK(gab_tokenizer_piece(tokenizer, i, false, &n)[0] == ' ' && n == 7);
    CHECK_OK(gab_tokenizer_encode(tokenizer, "a<|endoftext|>", 14, true, true, &tokens, &n_token));
    CHECK(n_token == 2 && tokens[0] == 'a' && tokens[1] == n_vocab - 1);
    gab_tokens_free(&tokens);
    gab_tokenizer_destroy(&tokenizer);
}

GAB_TEST(vocabularies_spell_every_byte) {
    check_vocabulary("synth:gpt3-175b", VOCAB);
    check_vocabulary("synth:llama-8b", 128256);
    check_vocabulary("synth:mixtral-8x7b", 32000);
}

/* ---- running ---- */

enum { N = 3 };
static const int32_t prompt[N] = {72, 50000, 300};

static void logits_of(gab_engine *engine, float *logits) {
    gab_session *session = gab_test_session(engine, 0, 0);
    CHECK_OK(gab_session_logits(session, prompt, N, 0, logits));
    gab_session_destroy(&session);
}

/* The same bytes, on the disk. */
static const char *copy_of(const char *name) {
    gab_gguf *gguf = open_synth(name);
    const size_t n = gab_file_size(gab_gguf_file_at(gguf, 0));
    unsigned char *bytes = malloc(n);
    CHECK(bytes);
    read_at(gguf, 0, bytes, n);
    const char *path = gguf_build_temp_bytes(bytes, n);
    free(bytes);
    gab_gguf_close(&gguf);
    return path;
}

static void check_logits(const float *logits, int n_vocab) {
    for (int row = 0; row < N; row++) {
        const float *l = logits + (size_t)row * (size_t)n_vocab;
        double sum = 0, squares = 0;
        for (int i = 0; i < n_vocab; i++) {
            CHECK(isfinite(l[i]));
            sum += l[i];
            squares += (double)l[i] * l[i];
        }
        const double mean = sum / n_vocab, deviation = sqrt(squares / n_vocab - mean * mean);
        if (deviation < 0.2 || deviation > 5) FAIL("row %d: logits %g on average, deviation %g", row, mean, deviation);
        if (row > 0) CHECK(gab_test_distance(l, l - n_vocab, (size_t)n_vocab) > 0.1);
    }
}

/* Lavapipe where there is one: other CPU drivers take minutes for a model of real size. */
static const char *device_for_real_size(void) {
    gab_device_info *devices = NULL;
    size_t n = 0;
    bool found = false;
    if (gab_device_list(&devices, &n, NULL, NULL) != GAB_OK) return NULL;
    for (size_t i = 0; i < n; i++) found = found || strstr(devices[i].name, "llvmpipe");
    gab_device_list_free(&devices);
    return found ? "llvmpipe" : NULL;
}

/* What a file of the same bytes gives, also in shards through staging, and when the weights are made once more. On one
 * device: kernels have their own tests. */
GAB_TEST(runs_as_a_file_would_and_after_a_loss) {
    static const char name[] = "synth:gpt2-124m:q4_0";
    static float expected[N * VOCAB], logits[N * VOCAB];
    if (GAB_TEST_ASAN) SKIP("a model of real size takes minutes on lavapipe under the sanitizer");
    const gab_test_calls calls = gab_test_calls_start();
    gab_engine_options o = gab_test_engine_options(device_for_real_size(), copy_of(name));
    gab_engine_info info;
    o.context = 64;
    gab_engine *engine = gab_test_engine_with(&o);
    gab_engine_get_info(engine, &info);
    if (!info.executes) {
        gab_engine_destroy(&engine);
        SKIP("no device that computes");
    }
    logits_of(engine, expected);
    check_logits(expected, VOCAB);
    gab_engine_destroy(&engine);

    o.model_path = name, o.staging = true, o.shard_bytes_max = 5000000;
    engine = gab_test_engine_with(&o);
    gab_engine_get_info(engine, &info);
    CHECK(strcmp(info.model_name, "gpt2-124m in Q4_0, random weights") == 0 && strcmp(info.architecture, "gpt2") == 0);
    logits_of(engine, logits);
    gab_test_same(logits, expected, N * VOCAB, "without a file");
    gab_test_log_reset();
    calls.lose_device_at(1);
    logits_of(engine, logits);
    CHECK(strstr(gab_test_log_last(GAB_LOG_WARNING), "the device was lost"));
    gab_test_same(logits, expected, N * VOCAB, "after a loss of the device");
    gab_engine_destroy(&engine);
}

GAB_TEST(llama_runs) {
    enum { LLAMA_VOCAB = 128256 };
    static float logits[N * LLAMA_VOCAB];
    if (GAB_TEST_ASAN) SKIP("a model of real size takes minutes on lavapipe under the sanitizer");
    gab_engine_options o = gab_test_engine_options(device_for_real_size(), "synth:llama-1b:q4_0");
    gab_engine_info info;
    o.context = 64;
    gab_engine *engine = gab_test_engine_with(&o);
    gab_engine_get_info(engine, &info);
    CHECK(strcmp(info.model_name, "llama-1b in Q4_0, random weights") == 0 && strcmp(info.architecture, "llama") == 0);
    CHECK(info.n_vocab == LLAMA_VOCAB);
    if (info.executes) {
        logits_of(engine, logits);
        check_logits(logits, LLAMA_VOCAB);
    }
    gab_engine_destroy(&engine);
}

GAB_TEST_MAIN()
