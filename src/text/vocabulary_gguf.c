/*
 * vocabulary_gguf.c - a vocabulary from GGUF metadata (tokenizer.ggml.*). What tokenizer.ggml.model may be is the table
 * of models below.
 */
#include "text/families.h"
#include "text/vocabulary.h"
#include "format/reader.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* A value of tokenizer.ggml.model, and what a file of it means where it does not say it. */
typedef struct model_kind {
    const char *name;
    gab_vocabulary_model model;
    bool add_bos, scores, families; /* families: tokenizer.ggml.pre says how text is cut */
    const char *pattern;            /* else this does; NULL: it is not cut */
    bool needs_bos;                 /* whatever the file says: early conversions are wrong */
} model_kind;

static const model_kind MODELS[] = {
    {"gpt2", GAB_VOCABULARY_BYTES, false, false, true, NULL},
    {"llama", GAB_VOCABULARY_CHARACTERS, true, true, false, NULL},
    {"gemma4", GAB_VOCABULARY_CHARACTERS, true, false, false, "[^\\n]+|[\\n]+", .needs_bos = true},
};

static bool has_key(const gab_gguf *gguf, const char *key) {
    gab_gguf_type type;
    for (uint64_t i = 0; i < gab_gguf_n_key(gguf); i++)
        if (strcmp(gab_gguf_key_at(gguf, i, &type), key) == 0) return true;
    return false;
}

static gab_status fail_memory(const gab_vocabulary *v) {
    return gab_fail(v->log, GAB_ERROR_HOST_MEMORY, "%s: no memory for a vocabulary of %u tokens", v->file, v->n_token);
}

static gab_status read_model(gab_vocabulary *v, const gab_gguf *gguf, const model_kind **kind) {
    gab_gguf_string model;
    GAB_TRY(gab_gguf_require_string(gguf, "tokenizer.ggml.model", v->log, &model));
    for (size_t i = 0; i < sizeof MODELS / sizeof *MODELS; i++) {
        if (strcmp(model.text, MODELS[i].name) != 0) continue;
        *kind = &MODELS[i];
        v->model = MODELS[i].model;
        return GAB_OK;
    }
    char shown[65];
    gab_reader_show(shown, sizeof shown, model.text);
    return gab_fail(
        v->log, GAB_ERROR_UNSUPPORTED,
        "%s: tokenizer.ggml.model is '%s'; supported are 'gpt2' (byte-level BPE), 'llama' (SentencePiece) and "
        "'gemma4' (BPE of characters)",
        v->file, shown);
}

static gab_status check_count(const gab_vocabulary *v, const char *key, uint64_t n) {
    if (n == v->n_token) return GAB_OK;
    return gab_fail(v->log, GAB_ERROR_FORMAT, "%s: %s has %llu entries, tokenizer.ggml.tokens %u; the file is damaged",
                    v->file, key, (unsigned long long)n, v->n_token);
}

static gab_status read_types(gab_vocabulary *v, const gab_gguf *gguf, bool *given) {
    const int32_t *types = NULL;
    uint64_t n = 0;
    *given = gab_gguf_get_i32s(gguf, "tokenizer.ggml.token_type", &types, &n);
    if (!*given && has_key(gguf, "tokenizer.ggml.token_type"))
        return gab_fail(v->log, GAB_ERROR_FORMAT, "%s: tokenizer.ggml.token_type is no array of 32-bit integers",
                        v->file);
    if (*given) GAB_TRY(check_count(v, "tokenizer.ggml.token_type", n));
    for (uint32_t id = 0; id < v->n_token; id++) {
        int32_t type = *given ? types[id] : GAB_TOKEN_NORMAL;
        if (type < GAB_TOKEN_UNDEFINED || type > GAB_TOKEN_BYTE)
            return gab_fail(v->log, GAB_ERROR_FORMAT, "%s: tokenizer.ggml.token_type[%u] is %d, not one of 0 to 6",
                            v->file, id, type);
        v->types[id] = (uint8_t)type;
        v->ends[id] = gab_vocabulary_is_end_name(v->texts[id]);
    }
    return GAB_OK;
}

static gab_status read_tokens(gab_vocabulary *v, const gab_gguf *gguf) {
    uint64_t n = 0;
    v->tokens_field = "tokenizer.ggml.tokens";
    v->merges_field = "tokenizer.ggml.merges";
    if (!gab_gguf_get_strings(gguf, v->tokens_field, &v->texts, &n) || n == 0 || n > INT32_MAX)
        return gab_fail(v->log, GAB_ERROR_FORMAT,
                        "%s: tokenizer.ggml.tokens must be an array of 1 to 2147483647 strings; the file has no usable "
                        "vocabulary",
                        v->file);
    v->n_token = (uint32_t)n;
    v->types = gab_arena_alloc(&v->arena, v->n_token, sizeof *v->types);
    v->ends = gab_arena_alloc(&v->arena, v->n_token, sizeof *v->ends);
    return v->types && v->ends ? GAB_OK : fail_memory(v);
}

static gab_status read_scores(gab_vocabulary *v, const gab_gguf *gguf) {
    uint64_t n = 0;
    const float *floats;
    if (!gab_gguf_get_f32s(gguf, "tokenizer.ggml.scores", &floats, &n))
        return gab_fail(
            v->log, GAB_ERROR_FORMAT,
            "%s: tokenizer.ggml.scores is missing or no array of floats; SentencePiece's vocabularies need it",
            v->file);
    GAB_TRY(check_count(v, "tokenizer.ggml.scores", n));
    double *scores = gab_arena_alloc(&v->arena, v->n_token, sizeof *scores);
    if (!scores) return fail_memory(v);
    for (uint32_t id = 0; id < v->n_token; id++) {
        scores[id] = floats[id];
        if (!isfinite(scores[id]))
            return gab_fail(v->log, GAB_ERROR_FORMAT, "%s: tokenizer.ggml.scores[%u] is no number; the file is damaged",
                            v->file, id);
    }
    v->scores = scores;
    return GAB_OK;
}

/* Where the text of a merge is cut: at its first space that is not its first byte; 0: nowhere. */
static size_t merge_cut(gab_gguf_string text) {
    for (size_t i = 1; i + 1 < text.n_byte; i++)
        if (text.text[i] == ' ') return i;
    return 0;
}

static gab_status read_merges(gab_vocabulary *v, const gab_gguf *gguf) {
    const gab_gguf_string *texts;
    uint64_t n;
    if (!gab_gguf_get_strings(gguf, v->merges_field, &texts, &n))
        return gab_fail(v->log, GAB_ERROR_FORMAT,
                        "%s: tokenizer.ggml.merges is missing or no array of strings; BPE needs it", v->file);
    gab_bpe_merge *merges = n < UINT32_MAX ? gab_arena_alloc(&v->arena, (size_t)n + 1, sizeof *merges) : NULL;
    if (!merges) return fail_memory(v);
    for (uint64_t i = 0; i < n; i++) {
        size_t cut = merge_cut(texts[i]);
        char shown[65];
        gab_reader_show(shown, sizeof shown, texts[i].text);
        if (!cut)
            return gab_fail(v->log, GAB_ERROR_FORMAT,
                            "%s: tokenizer.ggml.merges[%llu] is '%s', not two tokens with a space between; the file is "
                            "damaged",
                            v->file, (unsigned long long)i, shown);
        merges[i] = (gab_bpe_merge){{texts[i].text, cut}, {texts[i].text + cut + 1, texts[i].n_byte - cut - 1}};
    }
    v->merges = merges;
    v->n_merge = n;
    return GAB_OK;
}

/* -1: the file does not have the key, or a token that there is not. */
static gab_status read_id(const gab_vocabulary *v, const gab_gguf *gguf, const char *key, int32_t *id) {
    uint32_t value;
    *id = -1;
    if (!has_key(gguf, key)) return GAB_OK;
    GAB_TRY(gab_gguf_require_u32(gguf, key, v->log, &value));
    if (value < v->n_token)
        *id = (int32_t)value;
    else
        gab_log_print(v->log, GAB_LOG_WARNING, "%s: %s is %u, but the vocabulary has %u tokens: it is not used",
                      v->file, key, value, v->n_token);
    return GAB_OK;
}

/* A token that the file wants around every text; `always`: whatever it says where it should be there. */
static void read_frame(const gab_vocabulary *v, const gab_gguf *gguf, const char *name, int32_t id, bool otherwise,
                       bool always, int32_t frame[], size_t *n) {
    char key[64];
    bool wanted = otherwise;
    snprintf(key, sizeof key, "tokenizer.ggml.add_%s_token", name);
    bool said = gab_gguf_get_bool(gguf, key, &wanted);
    if (said && !wanted && otherwise && always) {
        gab_log_print(v->log, GAB_LOG_INFO, "%s: %s is false, as early conversions have it: taken for true", v->file,
                      key);
        wanted = true;
    }
    if (wanted && id >= 0) frame[(*n)++] = id;
    if (wanted && id < 0 && said)
        gab_log_print(v->log, GAB_LOG_WARNING,
                      "%s: %s is true, but there is no tokenizer.ggml.%s_token_id; no such token is added", v->file,
                      key, name);
}

static gab_status read_special_ids(gab_vocabulary *v, const gab_gguf *gguf, bool types_given) {
    int32_t eot, eom;
    GAB_TRY(read_id(v, gguf, "tokenizer.ggml.bos_token_id", &v->bos));
    GAB_TRY(read_id(v, gguf, "tokenizer.ggml.eos_token_id", &v->eos));
    GAB_TRY(read_id(v, gguf, "tokenizer.ggml.eot_token_id", &eot));
    GAB_TRY(read_id(v, gguf, "tokenizer.ggml.eom_token_id", &eom));
    GAB_TRY(read_id(v, gguf, "tokenizer.ggml.unknown_token_id", &v->unknown));
    const int32_t ends[] = {v->eos, eot, eom};
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        if (ends[i] >= 0) v->ends[ends[i]] = true;
    if (types_given) gab_vocabulary_settle_ends(v);
    for (uint32_t id = 0; !types_given && id < v->n_token; id++)
        if (v->ends[id] || (int32_t)id == v->bos) v->types[id] = GAB_TOKEN_CONTROL;
    return GAB_OK;
}

/* Phi-3's tokenizer.json has its special tokens take the spaces behind them, which GGUF has no key for. */
static bool strips_right(const gab_vocabulary *v, const gab_gguf *gguf, uint32_t id) {
    gab_gguf_string architecture;
    return v->model == GAB_VOCABULARY_CHARACTERS && id > 1 &&
           gab_gguf_get_string(gguf, "general.architecture", &architecture) && strcmp(architecture.text, "phi3") == 0 &&
           !(v->texts[id].n_byte == 13 && memcmp(v->texts[id].text, "<|endoftext|>", 13) == 0);
}

static gab_status list_specials(gab_vocabulary *v, const gab_gguf *gguf) {
    v->specials = gab_arena_alloc(&v->arena, v->n_token, sizeof *v->specials);
    if (!v->specials) return fail_memory(v);
    for (uint32_t id = 0; id < v->n_token; id++) {
        const uint8_t type = v->types[id];
        if (type != GAB_TOKEN_CONTROL && type != GAB_TOKEN_UNKNOWN && type != GAB_TOKEN_USER_DEFINED) continue;
        v->specials[v->n_special++] = (gab_vocabulary_special){
            .id = (int32_t)id, .always = type == GAB_TOKEN_USER_DEFINED, .right_strip = strips_right(v, gguf, id)};
    }
    return GAB_OK;
}

/* How SentencePiece writes spaces. */
static void escape_spaces(gab_vocabulary *v, const gab_gguf *gguf, bool prefix) {
    gab_gguf_get_bool(gguf, "tokenizer.ggml.add_space_prefix", &prefix);
    v->escaped_spaces = true;
    v->strip_space = prefix;
    const gab_gguf_string escaped = {GAB_ESCAPED_SPACE, 3};
    if (prefix) v->normalizer[v->n_normalizer++] = (gab_normalize_step){GAB_NORMALIZE_PREPEND, {"", 0}, escaped};
    v->normalizer[v->n_normalizer++] = (gab_normalize_step){GAB_NORMALIZE_REPLACE, {" ", 1}, escaped};
}

/* What files from before May 2024, which do not name it, were trained with. */
static const char *family_of_old(const gab_vocabulary *v, const gab_gguf *gguf) {
    static const struct {
        const char *architecture;
        uint32_t n_token; /* at least */
        const char *family;
    } known[] = {{"gpt2", 0, "gpt-2"},
                 {"gptneox", 0, "olmo"},
                 {"qwen2", 0, "qwen2"},
                 {"llama", 128000, "llama-bpe"},
                 {"starcoder2", 0, "starcoder"}};
    gab_gguf_string architecture = {"", 0};
    gab_gguf_get_string(gguf, "general.architecture", &architecture);
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(architecture.text, known[i].architecture) == 0 && v->n_token >= known[i].n_token)
            return known[i].family;
    gab_log_print(
        v->log, GAB_LOG_WARNING,
        "%s: tokenizer.ggml.pre is missing: text is cut as for GPT-2, which may be wrong for this model; take "
        "a file from after May 2024",
        v->file);
    return "default";
}

static gab_status read_family(gab_vocabulary *v, const gab_gguf *gguf, bool *add_bos) {
    gab_gguf_string pre = {NULL, 0};
    const gab_family *family = NULL;
    if (has_key(gguf, "tokenizer.ggml.pre"))
        GAB_TRY(gab_gguf_require_string(gguf, "tokenizer.ggml.pre", v->log, &pre));
    else
        pre.text = family_of_old(v, gguf);
    GAB_TRY(gab_family_find(pre.text, v->file, v->log, &family));
    for (; v->n_split < GAB_FAMILY_STEP_MAX && family->steps[v->n_split].pattern; v->n_split++)
        v->splits[v->n_split] = family->steps[v->n_split];
    v->whole_words = family->whole_words;
    *add_bos = family->add_bos;
    bool nfc = family->nfc;
    gab_gguf_get_bool(gguf, "tokenizer.ggml.normalizer.nfc", &nfc);
    if (nfc) v->normalizer[v->n_normalizer++] = (gab_normalize_step){.kind = GAB_NORMALIZE_NFC};
    return GAB_OK;
}

gab_status gab_vocabulary_read_gguf(gab_vocabulary *v, const gab_gguf *gguf) {
    const model_kind *kind = NULL;
    bool types_given, add_bos;
    GAB_TRY(read_model(v, gguf, &kind));
    GAB_TRY(read_tokens(v, gguf));
    GAB_TRY(read_types(v, gguf, &types_given));
    GAB_TRY(read_special_ids(v, gguf, types_given));
    GAB_TRY(list_specials(v, gguf));
    add_bos = kind->add_bos;
    if (kind->families) {
        GAB_TRY(read_family(v, gguf, &add_bos));
    } else {
        escape_spaces(v, gguf, kind->scores);
        v->whole_newlines = !kind->scores;
    }
    if (kind->pattern) v->splits[v->n_split++] = (gab_split_step){.pattern = kind->pattern};
    GAB_TRY(kind->scores ? read_scores(v, gguf) : read_merges(v, gguf));
    read_frame(v, gguf, "bos", v->bos, add_bos, kind->needs_bos, v->prefix, &v->n_prefix);
    read_frame(v, gguf, "eos", v->eos, false, false, v->suffix, &v->n_suffix);
    return GAB_OK;
}
