/*
 * quantize.c - which weights `--quantize` brings to another type: all matrices, as llama-quantize --pure does, but for
 * those that are looked up by position, that choose experts, or whose rows are no whole number of blocks.
 */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "format/gguf_make.h"
#include "format/reader.h"
#include "model/model.h"

static const gab_dtype types[] = {GAB_DTYPE_Q8_0, GAB_DTYPE_Q4_0, GAB_DTYPE_Q4_K};
enum { N_TYPE = sizeof types / sizeof *types };

static gab_status find_type(const char *name, const gab_log *log, gab_dtype *type) {
    char known[128] = "", shown[33];
    for (size_t i = 0, at = 0; i < N_TYPE; i++) {
        const char *of_type = gab_dtype_get(types[i])->name;
        if (strcasecmp(name, of_type) == 0) {
            *type = types[i];
            return GAB_OK;
        }
        at += (size_t)snprintf(known + at, sizeof known - at, "%s%s", i ? ", " : "", of_type);
    }
    gab_reader_show(shown, sizeof shown, name);
    return gab_fail(log, GAB_ERROR_ARGUMENT, "'%s' is no type to quantize to; there are %s", shown, known);
}

static bool is_wanted(const gab_gguf_tensor *t) {
    static const char *const kept[] = {"position_embd.weight", ".ffn_gate_inp.weight"};
    const size_t n = strlen(t->name);
    if (!t->known || t->n_dim < 2 || n < 7 || strcmp(t->name + n - 7, ".weight") != 0) return false;
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++) {
        const size_t n_kept = strlen(kept[i]);
        if (n >= n_kept && strcmp(t->name + n - n_kept, kept[i]) == 0) return false;
    }
    return true;
}

gab_status gab_model_quantize(gab_gguf *gguf, const char *name, const gab_log *log) {
    gab_dtype type = GAB_DTYPE_Q8_0;
    uint32_t n_ragged = 0;
    const char *ragged = "";
    GAB_TRY(find_type(name, log, &type));
    for (uint64_t i = 0; i < gab_gguf_n_tensor(gguf); i++) {
        const gab_gguf_tensor *t = gab_gguf_tensor_at(gguf, i);
        if (!is_wanted(t) || t->type == type) continue;
        if (t->shape[0] % gab_dtype_get(type)->block_size == 0) {
            GAB_TRY(gab_gguf_convert(gguf, t, type, log));
        } else {
            ragged = t->name;
            n_ragged++;
        }
    }
    if (n_ragged > 0)
        gab_log_print(log, GAB_LOG_WARNING,
                      "%s: %u matrices are not brought to %s, their rows are no multiple of %u ('%s' is one)",
                      gab_gguf_path(gguf), n_ragged, gab_dtype_get(type)->name, gab_dtype_get(type)->block_size,
                      ragged);
    return GAB_OK;
}
