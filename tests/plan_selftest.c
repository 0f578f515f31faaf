/* The self-test of kernels: it finds the variants of this tree right, and what is wrong, refused or spilling it says.
 */
#include "plan/selftest.h"
#include "vk_test.h"

static const gab_workload attention_64 = {.n_head = 6, .n_head_kv = 3, .head_dim = 64, .depth = 1024, .kv_f16 = true};

static gab_workload product(gab_operation operation) {
    return (gab_workload){.operation = operation, .n_row = 100, .n_col = 64, .bytes = 1 << 20};
}

/* ---- right ---- */

static void check_one_right(gab_vk *vk, const gab_kernel_set *set, const gab_workload *w) {
    gab_proof proof;
    const char *name = gab_variant_of(set, w->operation)->name;
    CHECK_OK(gab_selftest(vk, set, w, &gab_workload_kernels, true, &proof));
    if (vk->executes && proof.verdict != GAB_VERDICT_RIGHT)
        FAIL("%s: %s: %s", name, gab_tune_verdict_text(proof.verdict), proof.reason);
    if (vk->executes && !(proof.error > 0 && proof.error <= proof.error_max))
        FAIL("%s: error %g of %g", name, proof.error, proof.error_max);
}

static void check_right(gab_vk *vk, gab_kernel_set set, const gab_workload *w) {
    uint32_t n;
    const gab_variant *variants = gab_variants(w->operation, &n);
    for (uint32_t i = 0; i < n; i++) {
        if (variants[i].lane != set.lane || !gab_variant_usable(vk, &variants[i], false)) continue;
        set.choice[w->operation] = (uint8_t)i;
        check_one_right(vk, &set, w);
    }
}

static void matvec_right(gab_vk *vk, gab_kernel_set set) {
    check_right(vk, set, &(gab_workload){.operation = GAB_OP_MATVEC + GAB_DTYPE_Q8_0, .n_row = 64, .n_col = 64});
}
GAB_TEST(matvec_right) {
    gab_test_each_device(matvec_right);
}

static void matmul_right(gab_vk *vk, gab_kernel_set set) {
    check_right(vk, set, &(gab_workload){.operation = GAB_OP_MATMUL + GAB_DTYPE_F16, .n_row = 64, .n_col = 64});
    check_right(vk, set, &(gab_workload){.operation = GAB_OP_MATMUL_SMALL + GAB_DTYPE_F16, .n_row = 64, .n_col = 64});
}
GAB_TEST(matmul_right) {
    gab_test_each_device(matmul_right);
}

/* Weights that are exactly 0 where an activation is an outlier, a minimum, and a scale for half a block. */
static uint32_t n_integer;
static void integers_right(gab_vk *vk, gab_kernel_set set) {
    static const gab_dtype types[] = {GAB_DTYPE_Q4_0, GAB_DTYPE_Q4_K, GAB_DTYPE_Q6_K};
    for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
        const gab_workload w = {.operation = GAB_OP_MATMUL_SMALL + types[t], .n_row = 64, .n_col = 256};
        uint32_t n;
        const gab_variant *variants = gab_variants(w.operation, &n);
        for (uint32_t i = 0; i < n; i++) {
            if (set.lane || !variants[i].quantized || !gab_variant_usable(vk, &variants[i], false)) continue;
            set.choice[w.operation] = (uint8_t)i;
            check_one_right(vk, &set, &w);
            n_integer++;
        }
    }
}
GAB_TEST(integers_right) {
    gab_test_each_device(integers_right);
    if (n_integer == 0) SKIP("no device with dot products of 8-bit integers");
}

static void decode_right(gab_vk *vk, gab_kernel_set set) {
    gab_workload w = attention_64;
    w.operation = GAB_OP_ATTENTION_DECODE;
    check_right(vk, set, &w);
}
GAB_TEST(decode_right) {
    gab_test_each_device(decode_right);
}

static void prefill_right(gab_vk *vk, gab_kernel_set set) {
    gab_workload w = attention_64;
    w.operation = GAB_OP_ATTENTION_PREFILL;
    check_right(vk, set, &w);
}
GAB_TEST(prefill_right) {
    gab_test_each_device(prefill_right);
}

/* Large heads, and many that share one. */
static void odd_heads(gab_vk *vk, gab_kernel_set set) {
    static const gab_workload shapes[] = {
        {.operation = GAB_OP_ATTENTION_DECODE, .n_head = 1, .n_head_kv = 1, .head_dim = 256, .depth = 100},
        {.operation = GAB_OP_ATTENTION_DECODE, .n_head = 20, .n_head_kv = 1, .head_dim = 16, .depth = 100},
    };
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) check_right(vk, set, &shapes[i]);
}
GAB_TEST(odd_heads) {
    gab_test_each_device(odd_heads);
}

/* What kernels of products do for some models besides, by each shader in its first variant. */
static void forms_right(gab_vk *vk, gab_kernel_set set) {
    static const gab_workload forms[] = {
        {.operation = GAB_OP_MATVEC + GAB_DTYPE_Q4_0, .experts = true, .gated = true},
        {.operation = GAB_OP_MATVEC + GAB_DTYPE_F16, .gated = true, .head_dim = 64, .n_turn = 24, .kv_f16 = true},
        {.operation = GAB_OP_MATVEC + GAB_DTYPE_Q6_K, .head_dim = 42, .n_turn = 21},
        {.operation = GAB_OP_MATVEC + GAB_DTYPE_F32, .head_dim = 24},
        {.operation = GAB_OP_MATMUL_SMALL + GAB_DTYPE_Q8_0, .experts = true, .gated = true},
        {.operation = GAB_OP_MATMUL + GAB_DTYPE_Q4_0, .experts = true},
    };
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        gab_workload w = forms[i];
        gab_shader_id last = GAB_SHADER_COUNT;
        uint32_t n;
        const gab_variant *variants = gab_variants(w.operation, &n);
        w.n_row = w.n_col = 256;
        for (uint32_t v = 0; v < n; v++) {
            if (variants[v].lane != set.lane || variants[v].shader == last ||
                !gab_variant_usable(vk, &variants[v], false))
                continue;
            last = variants[v].shader;
            set.choice[w.operation] = (uint8_t)v;
            check_one_right(vk, &set, &w);
        }
    }
}
GAB_TEST(forms_right) {
    gab_test_each_device(forms_right);
}

/* ---- wrong ---- */

static void without_bias(const gab_kernel_context *context, const gab_matmul *op) {
    gab_matmul wrong = *op;
    wrong.bias = NULL;
    gab_matmul_record(context, &wrong);
}

static void without_gelu(const gab_kernel_context *context, const gab_matmul *op) {
    gab_matmul wrong = *op;
    wrong.activation = GAB_ACTIVATION_NONE;
    gab_matmul_record(context, &wrong);
}

static void without_last_row(const gab_kernel_context *context, const gab_matmul *op) {
    gab_weight weight = *op->weight;
    gab_shard shard = weight.shards[0];
    gab_matmul wrong = *op;
    shard.n_row--;
    weight.shards = &shard;
    wrong.weight = &weight;
    if (shard.n_row > 0) gab_matmul_record(context, &wrong);
}

/* One row further down: the last one lands where nothing must be written. */
static void shifted(const gab_kernel_context *context, const gab_matmul *op) {
    gab_weight weight = *op->weight;
    gab_shard shard = weight.shards[0];
    gab_matmul wrong = *op;
    shard.first_row = 1;
    weight.shards = &shard;
    wrong.weight = &weight;
    gab_matmul_record(context, &wrong);
}

/* Refused before it runs. */
static void empty_grid(const gab_kernel_context *context, const gab_matmul *op) {
    (void)op;
    const gab_dispatch dispatch = {.pipeline = {.shader = GAB_SHADER_PROBE, .n_binding = 1}};
    gab_record_dispatch(context->recorder, &dispatch);
}

static void keys_for_values(const gab_kernel_context *context, const gab_attention *op) {
    gab_attention wrong = *op;
    wrong.kv.values = op->kv.keys;
    gab_attention_record(context, &wrong);
}

static gab_proof prove(gab_vk *vk, gab_kernel_set set, const gab_workload *w,
                       void (*matmul)(const gab_kernel_context *, const gab_matmul *)) {
    const gab_workload_recorders wrong = {matmul, keys_for_values};
    gab_proof proof;
    gab_test_log_reset();
    CHECK_OK(gab_selftest(vk, &set, w, &wrong, true, &proof));
    CHECK(gab_test_log_count(GAB_LOG_ERROR) == 0 && gab_test_log_count(GAB_LOG_WARNING) == 0);
    return proof;
}

static void check_verdict(gab_proof proof, gab_tune_verdict verdict, const char *says) {
    if (proof.verdict != verdict || !strstr(proof.reason, says))
        FAIL("%s: '%s', expected %s: '%s'", gab_tune_verdict_text(proof.verdict), proof.reason,
             gab_tune_verdict_text(verdict), says);
}

/* The default device with the family of its kind. */
static gab_vk *open_default(gab_kernel_set *set) {
    gab_vk *vk = gab_test_vk_open(NULL);
    if (!vk->executes) SKIP("%s computes nothing", vk->info.name);
    CHECK_OK(gab_kernel_set_choose(vk, NULL, false, set));
    return vk;
}

GAB_TEST(wrong_products) {
    gab_kernel_set set;
    gab_vk *vk = open_default(&set);
    const gab_workload w = product(GAB_OP_MATVEC + GAB_DTYPE_F32);
    check_verdict(prove(vk, set, &w, without_bias), GAB_VERDICT_WRONG, "relative error");
    check_verdict(prove(vk, set, &w, without_gelu), GAB_VERDICT_WRONG, "column 0 of 1");
    check_verdict(prove(vk, set, &w, without_last_row), GAB_VERDICT_WRONG, "relative error");
    check_verdict(prove(vk, set, &w, shifted), GAB_VERDICT_WRONG, "writes where it must not");
    check_verdict(prove(vk, set, &w, empty_grid), GAB_VERDICT_UNCOMPILABLE, "grid of 0 groups");
    check_verdict(prove(vk, set, &w, gab_matmul_record), GAB_VERDICT_RIGHT, "");
    gab_test_vk_close(&vk);
}

static void other_experts(const gab_kernel_context *context, const gab_matmul *op) {
    gab_matmul wrong = *op;
    gab_experts experts;
    if (op->experts) {
        experts = *op->experts;
        experts.shared_x = false;
        wrong.experts = &experts;
    }
    gab_matmul_record(context, &wrong);
}

static void linear_gates(const gab_kernel_context *context, const gab_matmul *op) {
    gab_matmul wrong = *op;
    gab_gated gated;
    if (op->gated) {
        gated = *op->gated;
        gated.activation = GAB_ACTIVATION_NONE;
        wrong.gated = &gated;
    }
    gab_matmul_record(context, &wrong);
}

static void unrotated(const gab_kernel_context *context, const gab_matmul *op) {
    gab_matmul wrong = *op;
    wrong.rope = NULL;
    gab_matmul_record(context, &wrong);
}

static void values_for_keys(const gab_kernel_context *context, const gab_matmul *op) {
    gab_matmul wrong = *op;
    gab_kv_write kv;
    if (op->kv) {
        kv = *op->kv;
        kv.kv.keys = op->kv->kv.values;
        kv.kv.values = op->kv->kv.keys;
        wrong.kv = &kv;
    }
    gab_matmul_record(context, &wrong);
}

/* Of the set's family the first that stores pairs of rows. */
static bool choose_pairs(const gab_vk *vk, gab_operation operation, gab_kernel_set *set) {
    uint32_t n;
    const gab_variant *variants = gab_variants(operation, &n);
    for (uint32_t i = 0; i < n; i++) {
        if (variants[i].lane != set->lane || !variants[i].pairs || !gab_variant_usable(vk, &variants[i], false))
            continue;
        set->choice[operation] = (uint8_t)i;
        return true;
    }
    return false;
}

GAB_TEST(wrong_forms) {
    gab_kernel_set set;
    gab_vk *vk = open_default(&set);
    gab_workload w = product(GAB_OP_MATMUL_SMALL + GAB_DTYPE_F32);
    w.experts = true;
    check_verdict(prove(vk, set, &w, other_experts), GAB_VERDICT_WRONG, "experts 67x101, pair 1 of 64");
    w = product(GAB_OP_MATVEC + GAB_DTYPE_F32);
    w.experts = w.gated = true;
    w.head_dim = 32;
    w.n_turn = 16;
    check_verdict(prove(vk, set, &w, other_experts), GAB_VERDICT_WRONG, "experts 67x101, pair 1 of 2");
    if (choose_pairs(vk, w.operation, &set)) {
        check_verdict(prove(vk, set, &w, linear_gates), GAB_VERDICT_WRONG, "gates of experts");
        check_verdict(prove(vk, set, &w, unrotated), GAB_VERDICT_WRONG, "queries");
        check_verdict(prove(vk, set, &w, values_for_keys), GAB_VERDICT_WRONG, "keys");
        check_verdict(prove(vk, set, &w, gab_matmul_record), GAB_VERDICT_RIGHT, "");
    }
    gab_test_vk_close(&vk);
}

GAB_TEST(wrong_attention) {
    gab_kernel_set set;
    gab_vk *vk = open_default(&set);
    gab_workload w = attention_64;
    w.operation = GAB_OP_ATTENTION_DECODE;
    check_verdict(prove(vk, set, &w, NULL), GAB_VERDICT_WRONG, "relative error");
    gab_test_vk_close(&vk);
}

/* ---- what the driver says ---- */

static VkResult refuse(VkDevice device, VkPipelineCache cache, uint32_t n, const VkComputePipelineCreateInfo *infos,
                       const VkAllocationCallbacks *allocator, VkPipeline *pipelines) {
    (void)device, (void)cache, (void)infos, (void)allocator;
    for (uint32_t i = 0; i < n; i++) pipelines[i] = VK_NULL_HANDLE;
    return VK_ERROR_INITIALIZATION_FAILED;
}

/* A refusal is survived: nothing else fails for it, and it can be tried again. */
GAB_TEST(refused) {
    gab_kernel_set set;
    gab_vk *vk = open_default(&set);
    const gab_workload w = product(GAB_OP_MATVEC + GAB_DTYPE_F32);
    PFN_vkCreateComputePipelines real = vk->fn.vkCreateComputePipelines;
    vk->fn.vkCreateComputePipelines = refuse;
    check_verdict(prove(vk, set, &w, gab_matmul_record), GAB_VERDICT_UNCOMPILABLE, "cannot compile the kernel matvec");
    CHECK_OK(gab_pipeline_compile_requested(vk->pipelines));
    vk->fn.vkCreateComputePipelines = real;
    check_verdict(prove(vk, set, &w, gab_matmul_record), GAB_VERDICT_RIGHT, "");
    gab_test_vk_close(&vk);
}

GAB_TEST(spilling) {
    gab_kernel_set set;
    gab_vk *vk = open_default(&set);
    const gab_workload w = product(GAB_OP_MATVEC + GAB_DTYPE_F32);
    gab_proof proof;
    CHECK_OK(gab_selftest_compile(vk, &set, &w, &proof));
    gab_test_spill(vk, VK_NULL_HANDLE);
    CHECK_OK(gab_selftest(vk, &set, &w, &gab_workload_kernels, false, &proof));
    check_verdict(proof, GAB_VERDICT_SPILLS, "matvec");
    CHECK_OK(gab_selftest(vk, &set, &w, &gab_workload_kernels, true, &proof));
    check_verdict(proof, GAB_VERDICT_RIGHT, "");
    gab_test_spill_end(vk);
    gab_test_vk_close(&vk);
}

GAB_TEST_MAIN()
