/* What GPT-2 asks of a file: every key and every tensor, each named when it is wrong. */
#include "model/model.h"
#include "run_test.h"

static const gguf_build_gpt2_config small = {
    .n_vocab = 32, .n_ctx = 64, .n_embd = 32, .n_head = 2, .n_layer = 2, .untied = true, .seed = 1};

/* Opening the model must fail and name the parts. */
static void refused(const char *path, gab_status expected, const char *part, const char *other) {
    const gab_log log = gab_test_log();
    gab_gguf *gguf = NULL;
    gab_model *model = NULL;
    CHECK_OK(gab_gguf_open(path, &log, &gguf));
    gab_test_fails(gab_model_open(gguf, &log, &model), expected, path, part, other, NULL);
    CHECK(!model);
    gab_gguf_close(&gguf);
    remove(path);
}

static gguf_build *build_small(void) {
    gguf_build *b = gguf_build_new(3);
    gguf_build_gpt2(b, &small);
    return b;
}

static const char *const keys[] = {"gpt2.context_length", "gpt2.embedding_length", "gpt2.feed_forward_length",
                                   "gpt2.block_count", "gpt2.attention.head_count"};

GAB_TEST(whole_file_opens) {
    const gab_log log = gab_test_log();
    gab_gguf *gguf = NULL;
    gab_model *model = NULL;
    gguf_build *b = build_small();
    CHECK_OK(gab_gguf_open(gguf_build_temp(b), &log, &gguf));
    CHECK_OK(gab_model_open(gguf, &log, &model));
    const gab_model_config *c = &model->config;
    CHECK(strcmp(c->architecture, "gpt2") == 0 && strcmp(c->name, "test") == 0);
    CHECK(c->n_vocab == 32 && c->n_ctx == 64 && c->n_embd == 32 && c->n_ff == 128 && c->n_layer == 2);
    CHECK(c->n_head == 2 && c->n_head_kv == 2 && c->head_dim == 16 && c->norm_eps == 1e-5f);
    const gab_plan_sizes sizes = gab_model_sizes(model, 50);
    CHECK(sizes.n_embd == 32 && sizes.n_qkv == 96 && sizes.n_ff == 128 && sizes.n_vocab == 32 && sizes.context == 50);
    uint64_t n = 0; /* of weights, in f32; on the device each tensor begins at a multiple of 256 bytes */
    for (uint64_t i = 0; i < gab_gguf_n_tensor(gguf); i++) n += (gab_gguf_tensor_at(gguf, i)->bytes + 255) / 256 * 256;
    CHECK(gab_model_weight_bytes(model) == n);
    gab_model_destroy(&model);
    gab_model_destroy(&model);
    gab_gguf_close(&gguf);
    gguf_build_free(&b);
}

GAB_TEST(missing_keys_are_named) {
    gguf_build *b = build_small();
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        refused(gab_test_renamed(b, keys[i]), GAB_ERROR_FORMAT, keys[i], "");
    refused(gab_test_renamed(b, "gpt2.attention.layer_norm_epsilon"), GAB_ERROR_FORMAT,
            "gpt2.attention.layer_norm_epsilon", "");
    refused(gab_test_renamed(b, "general.architecture"), GAB_ERROR_FORMAT, "general.architecture", "");
    gguf_build_free(&b);
}

GAB_TEST(keys_of_another_type_are_named) {
    gguf_build *b = build_small();
    size_t n, n_field;
    const unsigned char *data = gguf_build_bytes(b, &n);
    const gguf_build_field *fields = gguf_build_fields(b, &n_field);
    for (size_t i = 0; i < n_field; i++) {
        const uint32_t as_f32 = GAB_GGUF_F32;
        if (fields[i].kind != GGUF_BUILD_VALUE_TYPE || strncmp(fields[i].entry, "gpt2.", 5) != 0) continue;
        if (strstr(fields[i].entry, "epsilon")) continue;
        unsigned char *copy = malloc(n);
        CHECK(copy);
        memcpy(copy, data, n);
        memcpy(copy + fields[i].offset, &as_f32, sizeof as_f32);
        refused(gguf_build_temp_bytes(copy, n), GAB_ERROR_FORMAT, fields[i].entry, "");
        free(copy);
    }
    gguf_build_free(&b);
}

GAB_TEST(zero_and_too_large_values_are_named) {
    gguf_build *b = build_small();
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        refused(gab_test_patched(b, GGUF_BUILD_VALUE_TYPE, keys[i], 0, 0), GAB_ERROR_FORMAT, keys[i], "is 0, expected");
        refused(gab_test_patched(b, GGUF_BUILD_VALUE_TYPE, keys[i], 0, UINT32_MAX), GAB_ERROR_FORMAT, keys[i],
                "is 4294967295, expected");
    }
    gguf_build_free(&b);
}

GAB_TEST(values_that_do_not_fit_each_other_are_named) {
    gguf_build *b = build_small();
    refused(gab_test_patched(b, GGUF_BUILD_VALUE_TYPE, "gpt2.attention.head_count", 0, 33), GAB_ERROR_FORMAT,
            "gpt2.attention.head_count is 33", "expected 1 to 32");
    refused(gab_test_patched(b, GGUF_BUILD_VALUE_TYPE, "gpt2.attention.head_count", 0, 3), GAB_ERROR_FORMAT,
            "gpt2.embedding_length 32", "gpt2.attention.head_count 3");
    /* against the tensors */
    refused(gab_test_patched(b, GGUF_BUILD_VALUE_TYPE, "gpt2.embedding_length", 0, 64), GAB_ERROR_FORMAT,
            "'token_embd.weight' has 32 rows of 32", "32 rows of 64");
    refused(gab_test_patched(b, GGUF_BUILD_VALUE_TYPE, "gpt2.context_length", 0, 65), GAB_ERROR_FORMAT,
            "'position_embd.weight' has 64 rows", "65 rows");
    refused(gab_test_patched(b, GGUF_BUILD_VALUE_TYPE, "gpt2.feed_forward_length", 0, 64), GAB_ERROR_FORMAT,
            "'blk.0.ffn_up.weight' has 128 rows", "64 rows");
    refused(gab_test_patched(b, GGUF_BUILD_VALUE_TYPE, "gpt2.block_count", 0, 3), GAB_ERROR_FORMAT,
            "no tensor 'blk.2.attn_norm.weight'", "incomplete");
    gguf_build_free(&b);
}

GAB_TEST(wrong_epsilons_are_named) {
    static const float wrong[] = {0, -1e-5f, 1, 3e38f};
    gguf_build *b = build_small();
    for (size_t i = 0; i < 6; i++) {
        uint32_t bits = i == 4 ? 0x7fc00000 : 0x7f800000; /* not a number, infinite */
        if (i < 4) memcpy(&bits, &wrong[i], sizeof bits);
        refused(gab_test_patched(b, GGUF_BUILD_VALUE_TYPE, "gpt2.attention.layer_norm_epsilon", 0, bits),
                GAB_ERROR_FORMAT, "gpt2.attention.layer_norm_epsilon", "expected");
    }
    gguf_build_free(&b);
}

GAB_TEST(heads_of_more_than_512_are_refused) {
    gguf_build *b = gguf_build_new(3);
    gab_test_gpt2_header(b, 4, 8, 1024, 64, 1, 1);
    gguf_build_tensor_raw(b, "token_embd.weight", 0, 2, (uint64_t[]){1024, 4}, gab_test_alloc(16384), 16384);
    refused(gguf_build_temp(b), GAB_ERROR_UNSUPPORTED, "1024 dimensions", "at most 512");
    gguf_build_free(&b);
}

/* Every tensor of the file once missing, once of another shape, once of a type that is not supported. */
static bool optional(const char *name) {
    return strcmp(name, "output.weight") == 0; /* without it the head is tied */
}

static void each_tensor(int how) {
    gguf_build *b = build_small();
    size_t n, n_field;
    unsigned n_tensor = 0;
    gguf_build_bytes(b, &n);
    const gguf_build_field *fields = gguf_build_fields(b, &n_field);
    for (size_t i = 0; i < n_field; i++) {
        char name[sizeof fields->entry], quoted[96], shape[32]; /* the fields go away with every gguf_build_bytes */
        memcpy(name, fields[i].entry, sizeof name);
        if (fields[i].kind != GGUF_BUILD_TENSOR_TYPE) continue;
        snprintf(quoted, sizeof quoted, "'%s'", name);
        n_tensor++;
        uint64_t row = strstr(name, "ffn_down.weight") || strstr(name, "ffn_up.bias") ? 128
                       : strstr(name, "qkv.bias")                                     ? 96
                                                                                      : 32;
        snprintf(shape, sizeof shape, "of %u", (unsigned)row - 1);
        if (how == 0 && !optional(name)) refused(gab_test_renamed(b, name), GAB_ERROR_FORMAT, quoted, "no tensor");
        if (how == 1) refused(gab_test_patched(b, GGUF_BUILD_SHAPE, name, 0, row - 1), GAB_ERROR_FORMAT, quoted, shape);
        if (how == 2)
            refused(gab_test_patched(b, GGUF_BUILD_TENSOR_TYPE, name, 0, 9), GAB_ERROR_UNSUPPORTED, quoted, "F32, F16");
        gguf_build_bytes(b, &n);
        fields = gguf_build_fields(b, &n_field);
    }
    CHECK(n_tensor == 2 + 2 * 12 + 3);
    gguf_build_free(&b);
}
GAB_TEST(missing_tensors_are_named) {
    each_tensor(0);
}
GAB_TEST(tensors_of_another_shape_are_named) {
    each_tensor(1);
}
GAB_TEST(tensors_of_unsupported_types_are_named) {
    each_tensor(2);
}

GAB_TEST_MAIN()
