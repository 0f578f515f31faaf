/*
 * The integrity check of `gabbro bench`: a right device passes, with every kernel of both families and all weight
 * types; a kernel with one arithmetic instruction changed (the layer call_counter/) is refused, one kernel after the
 * other.
 */
#include "bench/check.h"
#include "run_test.h"

/* Models and variants that have, together, all kernels of a device without special features. */
typedef struct setting {
    const char *model, *quantize, *variant;
} setting;

static const setting llama_lane = {"tests/models/llama.gguf", NULL, "lane,matvec=lane"};
static const setting llama_group = {"tests/models/llama.gguf", NULL, "group"};
static const setting qwen_group = {"tests/models/qwen3.gguf", NULL, "group"};
static const setting mixture_lane = {"tests/models/mixtral.gguf", NULL, "lane"};
static const setting mixture_group = {"tests/models/qwen3moe.gguf", NULL, "group"};
static const setting gemma_lane = {"tests/models/gemma3.gguf", NULL, "lane"};
/* the small GPT-2 of run_test.h */
static const setting small_lane = {NULL, NULL, "lane,matvec=lane,attention_decode=lane,attention_prefill=lane"};
static const setting small_across = {NULL, "q8_0", "lane,matvec=across"};
static const setting small_group = {NULL, NULL, "group"};
static const setting small_q8_lane = {NULL, "q8_0", "lane,matvec=lane"};
static const setting small_q8_group = {NULL, "q8_0", "group"};
static const setting small_q4_lane = {NULL, "q4_0", "lane,matvec=lane"};
static const setting small_q4_group = {NULL, "q4_0", "group"};

/* The worst verdict on kernels of the shader (NULL: of any), and on the layer; false: no kernel is of that shader. */
static bool check_step(gab_engine *e, uint32_t n_row, uint32_t position, bool together, const char *shader,
                       bench_verdict *worst, bool *layer_right) {
    bench_walk walk;
    bench_verdict v;
    bool found = false;
    CHECK_OK(bench_walk_make(e, n_row, position, together, n_row == 1 ? 0 : 0.8f, &walk));
    for (uint32_t i = 0; i < walk.n; i++) {
        if (walk.kernels[i].first != i) continue;
        CHECK_OK(bench_check_kernel(&walk, i, &v));
        CHECK(v.checked);
        if (!shader && v.error > 1) FAIL("%s %s: %s", walk.kernels[i].name, walk.kernels[i].shape, v.reason);
        if (shader && strcmp(walk.kernels[i].name, shader) != 0) continue;
        found = true;
        if (v.error > worst->error) *worst = v;
    }
    if (n_row == 1) {
        CHECK_OK(bench_check_layer(&walk, &v));
        *layer_right = v.checked && v.error <= 1;
        if (!shader && !*layer_right) FAIL("the layer: %s", v.reason);
    }
    bench_walk_free(&walk);
    return found;
}

static bool check_setting(const setting *s, const char *shader, bench_verdict *worst) {
    char path[512];
    snprintf(path, sizeof path, "%s", s->model ? gab_test_source(s->model) : gab_test_small_model());
    gab_engine_options options = gab_test_engine_options("llvmpipe", path);
    bool layer_right = true;
    options.quantize = s->quantize;
    options.variant = s->variant;
    gab_engine *e = gab_test_engine_with(&options);
    const uint32_t context = e->info.context;
    *worst = (bench_verdict){0};
    pthread_mutex_lock(&e->lock);
    CHECK_OK(bench_fill_cache(e));
    bool found = check_step(e, 1, context > 300 ? 300 : context / 2, false, shader, worst, &layer_right);
    found |= check_step(e, 3, 5, false, shader, worst, &layer_right);
    found |= check_step(e, context < 40 ? context - 1 : 40, 0, true, shader, worst, &layer_right);
    pthread_mutex_unlock(&e->lock);
    gab_engine_destroy(&e);
    return found;
}

static void need_llvmpipe(void) {
    gab_device_info *devices = NULL;
    size_t n = 0, i = 0;
    if (gab_device_list(&devices, &n, NULL, NULL) != GAB_OK) SKIP("no Vulkan device");
    while (i < n && !strstr(devices[i].name, "llvmpipe")) i++;
    gab_device_list_free(&devices);
    if (i == n) SKIP("no llvmpipe, which runs the kernels of both families");
}

static void check_right(const setting *const *settings, size_t n) {
    need_llvmpipe();
    for (size_t i = 0; i < n; i++) {
        bench_verdict worst;
        check_setting(settings[i], NULL, &worst);
    }
}

#define RIGHT(...)                                                                                                     \
    static const setting *const all[] = {__VA_ARGS__};                                                                 \
    check_right(all, sizeof all / sizeof *all)

GAB_TEST(right_kernels_pass) {
    RIGHT(&small_lane, &small_group, &small_q8_lane, &small_q8_group, &small_q4_lane, &small_q4_group, &small_across);
}

GAB_TEST(right_models_pass) {
    RIGHT(&llama_lane, &llama_group, &qwen_group, &gemma_lane);
}

GAB_TEST(right_mixtures_pass) {
    RIGHT(&mixture_lane, &mixture_group);
}

/* ---- spoilt ones ---- */

static const struct {
    const char *shader;
    const setting *setting;
} spoilt[] = {
    {"matvec_lane_f32", &small_lane},
    {"matvec_lane_q8_0", &small_q8_lane},
    {"matvec_lane_q4_0", &small_q4_lane},
    {"matvec_group_f32", &small_group},
    {"matvec_group_q8_0", &small_q8_group},
    {"matvec_group_q4_0", &small_q4_group},
    {"matvec_across_q8_0", &small_across},
    {"matmul_group_f32", &small_group},
    {"matmul_group_q8_0", &small_q8_group},
    {"matmul_group_q4_0", &small_q4_group},
    {"attention_lane", &small_lane},
    {"attention_decode_group", &small_group},
    {"attention_prefill_group", &small_group},
    {"attention_merge", &small_lane},
    {"gather_f32", &small_lane},
    {"gather_q8_0", &small_q8_lane},
    {"gather_q4_0", &small_q4_lane},
    {"layernorm", &small_lane},
    {"kv_write", &small_lane},
    {"sample", &small_lane},
    {"rmsnorm", &llama_lane},
    {"rope", &llama_lane},
    {"gated", &llama_lane},
    {"expert_route", &mixture_lane},
    {"expert_sum", &mixture_lane},
};

static gab_test_calls calls;

/* An instruction of those that can be changed; where it is one that does nothing here (another branch
 * of a specialization constant or an argument), another. */
static void refuse(const char *shader, const setting *s) {
    enum { TRIES = 24, STRIDE = 7 };
    const gab_shader *code = gab_shaders;
    while (strcmp(code->name, shader) != 0) CHECK(++code < gab_shaders + GAB_SHADER_COUNT);
    for (uint32_t i = 0; i < TRIES; i++) {
        char spoil[64];
        bench_verdict worst;
        const uint64_t before = calls.spoilt();
        snprintf(spoil, sizeof spoil, "%zu:%u", code->bytes, STRIDE * i);
        CHECK(setenv("GABBRO_TEST_SPOIL", spoil, 1) == 0);
        if (!check_setting(s, shader, &worst)) FAIL("no kernel of %s is in this step", shader);
        CHECK(calls.spoilt() > before);
        if (worst.error > 1 && worst.reason[0]) {
            printf("%s refused, instruction %u: %s\n", shader, STRIDE * i, worst.reason);
            return;
        }
    }
    FAIL("%s was spoilt and not refused", shader);
}

static void refuse_some(size_t from, size_t to) {
    need_llvmpipe();
    calls = gab_test_calls_start();
    for (size_t i = from; i < to; i++) refuse(spoilt[i].shader, spoilt[i].setting);
}

GAB_TEST(spoilt_products_are_refused) {
    refuse_some(0, 10);
}

GAB_TEST(spoilt_attention_is_refused) {
    refuse_some(10, 14);
}

GAB_TEST(spoilt_others_are_refused) {
    refuse_some(14, 23);
}

GAB_TEST(spoilt_mixtures_are_refused) {
    refuse_some(23, sizeof spoilt / sizeof *spoilt);
}

GAB_TEST_MAIN()
