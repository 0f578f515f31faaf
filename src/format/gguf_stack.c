/*
 * gguf_stack.c - experts that lie in a tensor each, blk.LAYER.ffn_KIND.EXPERT.weight, as llama.cpp wrote mixtures
 * before April 2024 (https://github.com/ggml-org/llama.cpp/pull/6387), become what later files have: one tensor a kind,
 * blk.LAYER.ffn_KIND_exps.weight, whose rows come from all of them.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/gguf_make.h"
#include "format/gguf_table.h"
#include "format/reader.h"

enum { NAME_BYTES = 80 };
static const char *const kinds[] = {"gate", "down", "up"};

static const char *single_name(char name[NAME_BYTES], uint32_t layer, const char *kind, uint64_t expert) {
    snprintf(name, NAME_BYTES, "blk.%" PRIu32 ".ffn_%s.%" PRIu64 ".weight", layer, kind, expert);
    return name;
}

/* Whether the name is of one expert; its kind and numbers. Made of them again it must be the same name. */
static bool is_single(const char *name, uint32_t *layer, const char **kind, uint32_t *expert) {
    static const char begin[] = "blk.", middle[] = ".ffn_";
    char *end, again[NAME_BYTES];
    if (strncmp(name, begin, sizeof begin - 1) != 0) return false;
    *layer = (uint32_t)strtoul(name + sizeof begin - 1, &end, 10);
    if (strncmp(end, middle, sizeof middle - 1) != 0) return false;
    const char *at = end + sizeof middle - 1;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        const size_t n = strlen(kinds[i]);
        if (strncmp(at, kinds[i], n) != 0 || at[n] != '.') continue;
        *kind = kinds[i];
        *expert = (uint32_t)strtoul(at + n + 1, &end, 10);
        return strcmp(single_name(again, *layer, *kind, *expert), name) == 0;
    }
    return false;
}

static gab_status out_of_memory(const gab_gguf *gguf, const gab_log *log) {
    return gab_fail(log, GAB_ERROR_HOST_MEMORY, "out of host memory opening %s", gguf->path);
}

/* All experts of the first one's layer and kind; nothing of the gguf changes but *first. */
static gab_status stack(gab_gguf *gguf, gab_gguf_tensor *first, uint32_t layer, const char *kind, const gab_log *log,
                        uint64_t *n_stacked) {
    char name[NAME_BYTES];
    uint64_t n = 1;
    while (gab_gguf_tensor_find(gguf, single_name(name, layer, kind, n))) n++;
    gab_gguf_layout *layout = gab_arena_alloc(&gguf->arena, 1, sizeof *layout);
    gab_gguf_part *parts = gab_arena_alloc(&gguf->arena, (size_t)n, sizeof *parts);
    if (!layout || !parts) return out_of_memory(gguf, log);
    for (uint64_t i = 0; i < n; i++) {
        const gab_gguf_tensor *t = gab_gguf_tensor_find(gguf, single_name(name, layer, kind, i));
        if (t->n_dim != 2 || t->gguf_type != first->gguf_type || memcmp(t->shape, first->shape, sizeof t->shape) != 0)
            return gab_fail(log, GAB_ERROR_FORMAT,
                            "%s: tensor '%s' is no matrix, or has another type or shape than the first expert's: "
                            "download the file again",
                            gguf->path, name);
        parts[i] = (gab_gguf_part){t->file, t->offset};
    }
    *layout = (gab_gguf_layout){.parts = parts, .n_part = (uint32_t)n, .stored = first->type};
    *n_stacked += n;
    first->n_dim = 3;
    first->shape[2] = n;
    first->n_row *= n;
    first->bytes *= n;
    if (first->known) first->layout = layout;
    return GAB_OK;
}

gab_status gab_gguf_stack_experts(gab_gguf *gguf, const gab_log *log) {
    uint64_t n_single = 0, n_stacked = 0, n = 0;
    const char *kind, *left_over = NULL;
    uint32_t layer, expert;
    for (uint64_t i = 0; i < gguf->n_tensor; i++) n_single += is_single(gguf->tensors[i].name, &layer, &kind, &expert);
    if (n_single == 0) return GAB_OK;
    for (uint64_t i = 0; i < gguf->n_tensor; i++)
        if (is_single(gguf->tensors[i].name, &layer, &kind, &expert) && expert == 0)
            GAB_TRY(stack(gguf, &gguf->tensors[i], layer, kind, log, &n_stacked));
    /* names are what the index looks up: they change when all is found */
    for (uint64_t i = 0; i < gguf->n_tensor; i++) {
        gab_gguf_tensor t = gguf->tensors[i];
        if (is_single(t.name, &layer, &kind, &expert)) {
            char name[NAME_BYTES];
            left_over = t.name;
            if (expert > 0) continue;
            const int length = snprintf(name, sizeof name, "blk.%" PRIu32 ".ffn_%s_exps.weight", layer, kind);
            t.name = gab_arena_copy_text(&gguf->arena, name, (size_t)length);
            if (!t.name) return out_of_memory(gguf, log);
        }
        gguf->tensors[n++] = t;
    }
    if (n_stacked != n_single) {
        char shown[65];
        gab_reader_show(shown, sizeof shown, left_over);
        return gab_fail(log, GAB_ERROR_FORMAT,
                        "%s: of the experts with a tensor each ('%s' is one) some are missing: download the file again",
                        gguf->path, shown);
    }
    gguf->n_tensor = n;
    return gab_gguf_finish(gguf, log);
}
