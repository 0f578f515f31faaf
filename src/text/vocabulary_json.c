/*
 * vocabulary_json.c - a vocabulary from a Hugging Face tokenizer.json: its tokens, and the files beside it. How it
 * treats text is read by pipeline_json.c. The format is that of the tokenizers library
 * (https://huggingface.co/docs/tokenizers/api/tokenizer).
 */
#include "text/pipeline_json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "format/reader.h"

enum { FILE_BYTES_MAX = 1 << 30, SIDE_BYTES_MAX = 1 << 26, NAME_MAX_BYTES = 4096 };

static gab_status fail_memory(const gab_vocabulary *v) {
    return gab_fail(v->log, GAB_ERROR_HOST_MEMORY, "%s: no memory for the vocabulary", v->file);
}

/* ---- tokens ---- */

/* A token whose id has been checked. */
static gab_status set_token(gab_vocabulary *v, int32_t id, gab_json text, uint8_t type) {
    gab_gguf_string *texts = (gab_gguf_string *)v->texts;
    GAB_TRY(gab_json_copy_text(v, text, &texts[id]));
    v->types[id] = type;
    v->ends[id] = gab_vocabulary_is_end_name(texts[id]);
    return GAB_OK;
}

/* The id of an entry of model.vocab: what is there in an object, the place in an array of pairs. */
static gab_status vocab_entry(const gab_vocabulary *v, const gab_json_items *items, size_t place, int32_t *id,
                              gab_json *text) {
    *text = items->key;
    if (items->object) {
        if (gab_json_index(items->value, id)) return GAB_OK;
    } else {
        gab_json_items pair = gab_json_each(items->value);
        *id = (int32_t)place;
        if (gab_json_next(&pair) && gab_json_is_string(pair.value)) {
            *text = pair.value;
            return GAB_OK;
        }
    }
    return gab_fail(v->log, GAB_ERROR_FORMAT,
                    "%s: entry %zu of model.vocab is not a token and its %s; the file is damaged", v->file, place,
                    items->object ? "id" : "score");
}

/* Models of one family share a file: a smaller one may have no row for the last of the added tokens. */
static bool beyond_model(const gab_vocabulary *v, int32_t id) {
    return v->n_row > 0 && (uint32_t)id >= v->n_row;
}

/* The ids of all tokens, to know how many there are. */
static gab_status count_tokens(gab_vocabulary *v, gab_json vocab, gab_json added) {
    size_t n = 0;
    int32_t id, largest = -1;
    gab_json text;
    gab_json_items items = gab_json_each(vocab);
    for (; gab_json_next(&items); n++) {
        GAB_TRY(vocab_entry(v, &items, n, &id, &text));
        if (id > largest) largest = id;
    }
    items = gab_json_each(added);
    for (; gab_json_next(&items); n++) {
        if (!gab_json_index(gab_json_get(items.value, "id"), &id) ||
            !gab_json_is_string(gab_json_get(items.value, "content")))
            return gab_fail(v->log, GAB_ERROR_FORMAT, "%s: an entry of added_tokens has no id or no content", v->file);
        if (beyond_model(v, id)) continue;
        if (id > largest) largest = id;
    }
    if (largest < 0) return gab_fail(v->log, GAB_ERROR_FORMAT, "%s: model.vocab has no tokens", v->file);
    if ((size_t)largest / 8 > n + 8192) /* holes that no real file has would take any amount of memory */
        return gab_fail(v->log, GAB_ERROR_FORMAT, "%s: %zu tokens have ids up to %d; the file is damaged", v->file, n,
                        largest);
    v->n_token = (uint32_t)largest + 1;
    gab_gguf_string *texts = gab_arena_alloc(&v->arena, v->n_token, sizeof *texts);
    v->types = gab_arena_alloc(&v->arena, v->n_token, sizeof *v->types);
    v->ends = gab_arena_alloc(&v->arena, v->n_token, sizeof *v->ends);
    v->specials = gab_arena_alloc(&v->arena, v->n_token, sizeof *v->specials);
    v->texts = texts;
    if (!texts || !v->types || !v->ends || !v->specials) return fail_memory(v);
    for (uint32_t i = 0; i < v->n_token; i++) {
        texts[i] = (gab_gguf_string){"", 0};
        v->types[i] = GAB_TOKEN_UNUSED;
    }
    return GAB_OK;
}

static gab_status read_score(gab_vocabulary *v, const gab_json_items *items, int32_t id, double *scores) {
    gab_json_items pair = gab_json_each(items->value);
    gab_json_next(&pair);
    if (!gab_json_next(&pair) || !gab_json_number(pair.value, &scores[id]) || !isfinite(scores[id]))
        return gab_fail(v->log, GAB_ERROR_FORMAT, "%s: entry %d of model.vocab has no score", v->file, id);
    return GAB_OK;
}

/* "<0x41>" */
static bool is_byte_name(gab_gguf_string text) {
    return text.n_byte == 6 && memcmp(text.text, "<0x", 3) == 0 && text.text[5] == '>';
}

static gab_status read_vocab(gab_vocabulary *v, gab_json model) {
    const bool byte_fallback = gab_json_bool(gab_json_get(model, "byte_fallback"), false);
    gab_json_items items = gab_json_each(gab_json_get(model, "vocab"));
    double *scores = items.object ? NULL : gab_arena_alloc(&v->arena, v->n_token, sizeof *scores);
    if (!items.object && !scores) return fail_memory(v);
    v->scores = scores;
    for (size_t n = 0; gab_json_next(&items); n++) {
        int32_t id;
        gab_json text;
        GAB_TRY(vocab_entry(v, &items, n, &id, &text));
        GAB_TRY(set_token(v, id, text, GAB_TOKEN_NORMAL));
        if (byte_fallback && v->model != GAB_VOCABULARY_BYTES && is_byte_name(v->texts[id]))
            v->types[id] = GAB_TOKEN_BYTE;
        if (scores) GAB_TRY(read_score(v, &items, id, scores));
    }
    return GAB_OK;
}

/* An entry of added_tokens, or of added_tokens_decoder in tokenizer_config.json. */
static gab_status add_special(gab_vocabulary *v, gab_json entry, int32_t id) {
    const bool special = gab_json_bool(gab_json_get(entry, "special"), false);
    if (v->types[id] == GAB_TOKEN_CONTROL || v->types[id] == GAB_TOKEN_USER_DEFINED) return GAB_OK; /* known */
    GAB_TRY(set_token(v, id, gab_json_get(entry, "content"), special ? GAB_TOKEN_CONTROL : GAB_TOKEN_USER_DEFINED));
    v->specials[v->n_special++] =
        (gab_vocabulary_special){.id = id,
                                 .always = !special,
                                 .normalized = gab_json_bool(gab_json_get(entry, "normalized"), !special),
                                 .single_word = gab_json_bool(gab_json_get(entry, "single_word"), false),
                                 .left_strip = gab_json_bool(gab_json_get(entry, "lstrip"), false),
                                 .right_strip = gab_json_bool(gab_json_get(entry, "rstrip"), false)};
    return GAB_OK;
}

static gab_status read_added(gab_vocabulary *v, gab_json added) {
    gab_json_items items = gab_json_each(added);
    while (gab_json_next(&items)) {
        int32_t id = 0;
        gab_json_index(gab_json_get(items.value, "id"), &id);
        if (!beyond_model(v, id)) GAB_TRY(add_special(v, items.value, id));
    }
    return GAB_OK;
}

int32_t gab_vocabulary_find(const gab_vocabulary *v, gab_json text) {
    if (!gab_json_is_string(text) || gab_json_string_max(text) >= NAME_MAX_BYTES) return -1;
    char name[NAME_MAX_BYTES];
    size_t n = gab_json_string(text, name);
    for (uint32_t id = 0; id < v->n_token; id++)
        if (v->types[id] != GAB_TOKEN_UNUSED && v->texts[id].n_byte == n && memcmp(v->texts[id].text, name, n) == 0)
            return (int32_t)id;
    return -1;
}

/* ---- merges ---- */

/* "a b", or ["a", "b"] */
static gab_status read_merge(gab_vocabulary *v, gab_json value, size_t place, gab_bpe_merge *merge) {
    gab_json_items pair = gab_json_each(value);
    if (gab_json_is_string(value)) {
        gab_gguf_string text;
        GAB_TRY(gab_json_copy_text(v, value, &text));
        const char *space = text.n_byte > 2 ? memchr(text.text + 1, ' ', text.n_byte - 2) : NULL;
        if (space) {
            merge->left = (gab_gguf_string){text.text, (uint64_t)(space - text.text)};
            merge->right = (gab_gguf_string){space + 1, text.n_byte - merge->left.n_byte - 1};
            return GAB_OK;
        }
    } else if (gab_json_is_array(value) && gab_json_next(&pair) && gab_json_is_string(pair.value)) {
        GAB_TRY(gab_json_copy_text(v, pair.value, &merge->left));
        if (gab_json_next(&pair) && gab_json_is_string(pair.value))
            return gab_json_copy_text(v, pair.value, &merge->right);
    }
    return gab_fail(v->log, GAB_ERROR_FORMAT, "%s: model.merges[%zu] is not two tokens; the file is damaged", v->file,
                    place);
}

static gab_status read_merges(gab_vocabulary *v, gab_json merges) {
    size_t n = 0;
    if (!gab_json_is_array(merges))
        return gab_fail(v->log, GAB_ERROR_FORMAT, "%s: model.merges is missing or no array; BPE needs it", v->file);
    gab_json_items items = gab_json_each(merges);
    while (gab_json_next(&items)) n++;
    gab_bpe_merge *made = gab_arena_alloc(&v->arena, n + 1, sizeof *made);
    if (!made) return fail_memory(v);
    items = gab_json_each(merges);
    for (size_t i = 0; gab_json_next(&items); i++) GAB_TRY(read_merge(v, items.value, i, &made[i]));
    v->merges = made;
    v->n_merge = n;
    return GAB_OK;
}

/* ---- the model ---- */

static gab_status read_model(gab_vocabulary *v, gab_json root) {
    const gab_json model = gab_json_get(root, "model"), vocab = gab_json_get(model, "vocab");
    const gab_json added = gab_json_get(root, "added_tokens");
    /* old files have no type there; only Unigram's vocabulary is an array */
    const bool unigram = gab_json_string_is(gab_json_get(model, "type"), "Unigram");
    if (!unigram && !gab_json_string_is(gab_json_get(model, "type"), "BPE") &&
        !(gab_json_is_object(model) && gab_json_is_null(gab_json_get(model, "type")) && gab_json_get(model, "merges")))
        return gab_json_unsupported(v, "model", gab_json_get(model, "type"), "BPE, Unigram");
    if (unigram ? !gab_json_is_array(vocab) : !gab_json_is_object(vocab))
        return gab_fail(v->log, GAB_ERROR_FORMAT, "%s: model.vocab is missing or no %s; the file is damaged", v->file,
                        unigram ? "array" : "object");
    if (unigram) v->model = GAB_VOCABULARY_UNIGRAM;
    static const char *const REFUSED[] = {"continuing_subword_prefix", "end_of_word_suffix"};
    for (size_t i = 0; i < 2; i++) {
        gab_json value = gab_json_get(model, REFUSED[i]);
        if (!gab_json_is_null(value) && !gab_json_string_is(value, ""))
            return gab_fail(v->log, GAB_ERROR_UNSUPPORTED,
                            "%s: model.%s is not supported; supported is byte-level BPE, and "
                            "BPE and Unigram with spaces escaped",
                            v->file, REFUSED[i]);
    }
    v->tokens_field = "model.vocab";
    v->merges_field = "model.merges";
    v->fuse_unknown = gab_json_bool(gab_json_get(model, "fuse_unk"), false);
    v->whole_words = gab_json_bool(gab_json_get(model, "ignore_merges"), false);
    if (v->whole_words && v->model != GAB_VOCABULARY_BYTES)
        return gab_fail(v->log, GAB_ERROR_UNSUPPORTED, "%s: model.ignore_merges is supported for byte-level BPE alone",
                        v->file);
    GAB_TRY(count_tokens(v, vocab, added));
    GAB_TRY(read_vocab(v, model));
    GAB_TRY(read_added(v, added));
    if (unigram) {
        int32_t id = -1;
        if (gab_json_index(gab_json_get(model, "unk_id"), &id) && (uint32_t)id < v->n_token) v->unknown = id;
        return GAB_OK;
    }
    v->unknown = gab_vocabulary_find(v, gab_json_get(model, "unk_token"));
    return read_merges(v, gab_json_get(model, "merges"));
}

/* ---- the files beside it ---- */

/* Another file of the folder; *value is NULL where there is none. *text is to be freed. */
static gab_status open_beside(const gab_vocabulary *v, const char *folder, const char *name, char **text,
                              gab_json *value) {
    char path[NAME_MAX_BYTES];
    size_t n;
    struct stat info;
    *text = NULL;
    *value = NULL;
    if (snprintf(path, sizeof path, "%s/%s", folder, name) >= (int)sizeof path || stat(path, &info) != 0) return GAB_OK;
    GAB_TRY(gab_file_read_all(path, SIDE_BYTES_MAX, v->log, text, &n));
    gab_status status = gab_json_check(*text, n, path, v->log, value);
    if (status != GAB_OK) free(*text);
    return status;
}

/* A special token of tokenizer_config.json: its text, or an object with its content. */
static void take_named(const gab_vocabulary *v, gab_json config, const char *key, int32_t *id) {
    gab_json value = gab_json_get(config, key);
    int32_t found = gab_vocabulary_find(v, gab_json_is_object(value) ? gab_json_get(value, "content") : value);
    if (*id < 0) *id = found;
}

/* Puts a token in front or behind as tokenizer_config.json says, which overrules the post-processor. */
static void take_frame(gab_json said, int32_t id, int32_t frame[], size_t *n, bool front) {
    if (!said || gab_json_is_null(said) || id < 0) return;
    const size_t at = front ? 0 : *n - 1;
    const bool there = *n > 0 && frame[at] == id, wanted = gab_json_bool(said, there);
    if (wanted == there || (wanted && *n == GAB_VOCABULARY_FRAME_MAX)) return;
    if (front) memmove(frame + (wanted ? 1 : 0), frame + (wanted ? 0 : 1), (*n - (wanted ? 0 : 1)) * sizeof *frame);
    *n += wanted ? 1 : (size_t)-1;
    if (wanted) frame[front ? 0 : *n - 1] = id;
}

static gab_status take_config(gab_vocabulary *v, gab_json config) {
    gab_json_items items = gab_json_each(gab_json_get(config, "added_tokens_decoder"));
    while (items.object && gab_json_next(&items)) {
        char name[16];
        if (gab_json_string_max(items.key) >= sizeof name) continue;
        name[gab_json_string(items.key, name)] = 0;
        char *end;
        long id = strtol(name, &end, 10);
        /* those beyond the file's own would be no tokens of the model */
        if (*end == 0 && end != name && id >= 0 && (unsigned long)id < v->n_token &&
            gab_json_is_string(gab_json_get(items.value, "content")))
            GAB_TRY(add_special(v, items.value, (int32_t)id));
    }
    take_named(v, config, "bos_token", &v->bos);
    take_named(v, config, "eos_token", &v->eos);
    take_frame(gab_json_get(config, "add_bos_token"), v->bos, v->prefix, &v->n_prefix, true);
    take_frame(gab_json_get(config, "add_eos_token"), v->eos, v->suffix, &v->n_suffix, false);
    return GAB_OK;
}

static gab_status take_map(gab_vocabulary *v, gab_json map) {
    take_named(v, map, "bos_token", &v->bos);
    take_named(v, map, "eos_token", &v->eos);
    return GAB_OK;
}

/* eos_token_id: one, or several that all end a text. */
static gab_status take_generation(gab_vocabulary *v, gab_json config) {
    int32_t id;
    gab_json eos = gab_json_get(config, "eos_token_id");
    gab_json_items items = gab_json_each(eos);
    if (gab_json_index(eos, &id) && (uint32_t)id < v->n_token) {
        v->ends[id] = true;
        if (v->eos < 0) v->eos = id;
    }
    while (gab_json_is_array(eos) && gab_json_next(&items)) {
        if (!gab_json_index(items.value, &id) || (uint32_t)id >= v->n_token) continue;
        v->ends[id] = true;
        if (v->eos < 0) v->eos = id;
    }
    if (v->bos < 0 && gab_json_index(gab_json_get(config, "bos_token_id"), &id) && (uint32_t)id < v->n_token)
        v->bos = id;
    return GAB_OK;
}

static gab_status read_beside(gab_vocabulary *v, const char *folder) {
    static const struct {
        const char *name;
        gab_status (*take)(gab_vocabulary *v, gab_json config);
    } FILES[] = {{"tokenizer_config.json", take_config},
                 {"special_tokens_map.json", take_map},
                 {"generation_config.json", take_generation}};
    for (size_t i = 0; i < sizeof FILES / sizeof *FILES; i++) {
        char *text;
        gab_json value;
        GAB_TRY(open_beside(v, folder, FILES[i].name, &text, &value));
        if (FILES[i].take == take_generation) gab_vocabulary_settle_ends(v); /* it says itself what ends a text */
        gab_status status = value ? FILES[i].take(v, value) : GAB_OK;
        free(text);
        GAB_TRY(status);
    }
    if (v->eos >= 0) v->ends[v->eos] = true;
    return GAB_OK;
}

/* ---- the whole ---- */

bool gab_tokenizer_is_json(const char *path) {
    struct stat info;
    const size_t n = strlen(path);
    if (stat(path, &info) == 0 && S_ISDIR(info.st_mode)) return true;
    return n > 5 && strcmp(path + n - 5, ".json") == 0;
}

/* The file, and the folder that it is in. */
static gab_status find_file(gab_vocabulary *v, const char *path, char **folder) {
    struct stat info;
    const bool is_folder = stat(path, &info) == 0 && S_ISDIR(info.st_mode);
    char file[NAME_MAX_BYTES];
    if (snprintf(file, sizeof file, is_folder ? "%s/tokenizer.json" : "%s", path) >= (int)sizeof file)
        return gab_fail(v->log, GAB_ERROR_FILE, "%s: the name is too long", path);
    v->file = gab_arena_copy_text(&v->arena, file, strlen(file));
    if (!is_folder) {
        char *slash = strrchr(file, '/');
        if (slash)
            *slash = 0;
        else
            strcpy(file, ".");
    }
    *folder = gab_arena_copy_text(&v->arena, is_folder ? path : file, strlen(is_folder ? path : file));
    if (v->file && *folder) return GAB_OK;
    v->file = path;
    return fail_memory(v);
}

gab_status gab_vocabulary_read_json_text(gab_vocabulary *v, const char *text, size_t n) {
    gab_json root = NULL;
    v->bos = v->eos = v->unknown = -1;
    GAB_TRY(gab_json_check(text, n, v->file, v->log, &root));
    GAB_TRY(gab_pipeline_read_text(v, root)); /* says whether tokens are spelled in bytes */
    GAB_TRY(read_model(v, root));
    return gab_pipeline_read_frame(v, root);
}

gab_status gab_vocabulary_read_json(gab_vocabulary *v, const char *path) {
    char *text = NULL, *folder = NULL;
    size_t n;
    GAB_TRY(find_file(v, path, &folder));
    GAB_TRY(gab_file_read_all(v->file, FILE_BYTES_MAX, v->log, &text, &n));
    gab_status status = gab_vocabulary_read_json_text(v, text, n);
    free(text);
    return status == GAB_OK ? read_beside(v, folder) : status;
}
