/*
 * fuzz_folder.c - libFuzzer harness of the folder reader: the bytes are one of the texts of a small folder (the first
 * byte says which), its weights are whole. Opens it, binds the model, reads a row of each tensor; aborts when a promise
 * of folder.h is broken. tests/model_folder.c replays the corpus through it without libFuzzer.
 *
 *     build/fuzz_folder tests/fuzz/corpus_folder -max_len=4096 -malloc_limit_mb=256
 */
#include "model/folder.h"
#include "model/model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fuzz.h"

/* What may be damaged, in place of the whole ones below. */
static const char *const names[] = {"config.json", "model.safetensors.index.json", "generation_config.json",
                                    "tokenizer_config.json"};
enum { N_NAME = sizeof names / sizeof *names };

static const char whole_config[] =
    "{\"model_type\":\"gpt2\",\"n_embd\":2,\"n_head\":1,\"n_layer\":1,\"n_positions\":4,\"vocab_size\":3,"
    "\"layer_norm_epsilon\":1e-5}";

/* Names of several families, so that whatever family the bytes name has something. */
static const struct {
    const char *name, *type;
    uint32_t n_row, n_col; /* n_row 0: a vector */
} tensors[] = {
    {"wte.weight", "F32", 3, 2},
    {"wpe.weight", "F32", 4, 2},
    {"h.0.attn.c_attn.weight", "F16", 2, 6},
    {"h.0.ln_1.weight", "BF16", 0, 2},
    {"model.embed_tokens.weight", "BF16", 3, 4},
    {"model.layers.0.self_attn.q_proj.weight", "F32", 4, 4},
    {"model.layers.0.self_attn.k_proj.bias", "F16", 0, 4},
    {"model.layers.0.block_sparse_moe.experts.0.w1.weight", "F32", 2, 4},
    {"model.layers.0.block_sparse_moe.experts.1.w1.weight", "F32", 2, 4},
    {"model.norm.weight", "F16", 0, 4},
    {"gpt_neox.layers.0.attention.query_key_value.weight", "BF16", 12, 4},
    {"lm_head.weight", "F8_E4M3", 3, 4},
};

static char folder[256];

static void write_text(const char *name, const void *data, size_t n) {
    char path[512];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "wb");
    PROMISE(file && fwrite(data, 1, n, file) == n && fclose(file) == 0);
}

static void write_weights(void) {
    static char file[16384];
    char *header = file + 8, *at = header;
    size_t n_data = 0;
    for (size_t i = 0; i < sizeof tensors / sizeof *tensors; i++) {
        const size_t n_row = tensors[i].n_row ? tensors[i].n_row : 1;
        const size_t bytes = strcmp(tensors[i].type, "F32") == 0 ? 4 : tensors[i].type[1] == '8' ? 1 : 2;
        const size_t end = n_data + n_row * tensors[i].n_col * bytes;
        at += sprintf(at, "%s\"%s\":{\"dtype\":\"%s\",\"shape\":[", i ? "," : "{", tensors[i].name, tensors[i].type);
        if (tensors[i].n_row) at += sprintf(at, "%u,", tensors[i].n_row);
        at += sprintf(at, "%u],\"data_offsets\":[%zu,%zu]}", tensors[i].n_col, n_data, end);
        n_data = end;
    }
    at += sprintf(at, "}");
    const uint64_t n_header = (uint64_t)(at - header);
    memcpy(file, &n_header, 8);
    write_text("model.safetensors", file, 8 + (size_t)n_header + n_data);
}

static void remove_folder(void) {
    char path[512];
    for (int i = 0; i <= N_NAME; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, i < N_NAME ? names[i] : "model.safetensors");
        remove(path);
    }
    rmdir(folder);
}

static void setup(int damaged, const uint8_t *data, size_t size) {
    if (!folder[0]) {
        const char *base = getenv("TMPDIR");
        snprintf(folder, sizeof folder, "%s/gabbro-fuzz-XXXXXX", base && base[0] ? base : "/tmp");
        PROMISE(mkdtemp(folder));
        atexit(remove_folder);
        write_weights();
    }
    for (int i = 0; i < N_NAME; i++) {
        char path[512];
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        if (i == damaged)
            write_text(names[i], data, size);
        else if (i == 0)
            write_text(names[i], whole_config, strlen(whole_config));
        else
            remove(path);
    }
}

static void walk(const gab_gguf *gguf) {
    for (uint64_t i = 0; i < gab_gguf_n_tensor(gguf); i++) {
        const gab_gguf_tensor *t = gab_gguf_tensor_at(gguf, i);
        static char rows[1 << 18]; /* rotary factors of heads of 65536 dimensions */
        PROMISE(gab_gguf_tensor_find(gguf, t->name) == t && t->type_name && t->file);
        PROMISE(t->n_dim >= 1 && t->n_dim <= 4);
        if (!t->known) continue;
        PROMISE(t->bytes == t->n_row * t->row_bytes && t->bytes <= sizeof rows);
        PROMISE(gab_gguf_read_rows(t, 0, t->n_row, rows, NULL) == GAB_OK);
        PROMISE(gab_gguf_read_rows(t, t->n_row - 1, 1, rows, NULL) == GAB_OK);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    gab_gguf *gguf = NULL;
    gab_model *model = NULL;
    if (size == 0) return 0;
    setup(data[0] % N_NAME, data + 1, size - 1);
    if (gab_folder_open(folder, NULL, &gguf) != GAB_OK) {
        PROMISE(!gguf && strstr(gab_last_error(), folder));
        return 0;
    }
    walk(gguf);
    if (gab_model_open(gguf, NULL, &model) != GAB_OK) PROMISE(!model && strstr(gab_last_error(), folder));
    gab_model_destroy(&model);
    gab_gguf_close(&gguf);
    return 0;
}
