/*
 * bind.c - the first half of weights.h: finds every tensor that an architecture names, checks its type and shape, and
 * keeps where its rows go. Nothing is read but the small vectors that the host itself needs.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "model/binding.h"
#include "tensor/quant.h"

static void bind_fail(gab_binder *b, gab_status status) {
    if (b->status == GAB_OK) b->status = status;
}

static gab_status unsupported_type(const gab_gguf *gguf, const gab_log *log, const gab_gguf_tensor *t) {
    char types[128] = "";
    for (int i = 0, at = 0; i < GAB_DTYPE_COUNT; i++)
        at += snprintf(types + at, sizeof types - (size_t)at, "%s%s", i ? ", " : "", gab_dtype_get((gab_dtype)i)->name);
    return gab_fail(log, GAB_ERROR_UNSUPPORTED,
                    "%s: tensor '%s' is of type %s, which is not supported: use a file in %s", gab_gguf_path(gguf),
                    t->name, t->type_name, types);
}

/* The tensor of a name, of n_row rows of n_col; NULL with a status: failed. */
static const gab_gguf_tensor *find(const gab_gguf *gguf, const gab_log *log, const char *name, uint64_t n_row,
                                   uint64_t n_col, gab_status *status) {
    const char *path = gab_gguf_path(gguf);
    const gab_gguf_tensor *t = gab_gguf_tensor_find(gguf, name);
    *status = GAB_OK;
    if (!t)
        *status = gab_fail(log, GAB_ERROR_FORMAT,
                           "%s has no tensor '%s', which its architecture needs: the file is incomplete; download or "
                           "convert it again",
                           path, name);
    else if (!t->known)
        *status = unsupported_type(gguf, log, t);
    else if (t->shape[0] != n_col || t->n_row != n_row)
        *status = gab_fail(log, GAB_ERROR_FORMAT,
                           "%s: tensor '%s' has %" PRIu64 " rows of %" PRIu64 ", its metadata ask for %" PRIu64
                           " rows of %" PRIu64 ": the file is damaged or of another architecture",
                           path, name, t->n_row, t->shape[0], n_row, n_col);
    else if (n_row > INT32_MAX || n_col > INT32_MAX)
        *status =
            gab_fail(log, GAB_ERROR_UNSUPPORTED, "%s: tensor '%s' is larger than 2^31 - 1 rows or columns", path, name);
    return *status == GAB_OK ? t : NULL;
}

/* A binding of parts, of a matrix or, n_col 0, of a vector. NULL: failed. */
static gab_binding *bind(gab_binder *b, uint64_t n_col, const gab_part *parts, uint32_t n_part) {
    if (b->status != GAB_OK) return NULL;
    gab_binding *binding = gab_arena_alloc(&b->arena, 1, sizeof *binding);
    if (!binding) {
        bind_fail(b, gab_fail(b->log, GAB_ERROR_HOST_MEMORY, "out of host memory binding weights"));
        return NULL;
    }
    uint64_t n = 0;
    for (uint32_t i = 0; i < n_part; n += parts[i++].n) {
        const gab_part *p = &parts[i];
        gab_status status;
        const gab_gguf_tensor *t = n_col ? find(b->gguf, b->log, p->name, p->n_tensor, n_col, &status)
                                   : p->n_expert
                                       ? find(b->gguf, b->log, p->name, p->n_expert, p->n_tensor / p->n_expert, &status)
                                       : find(b->gguf, b->log, p->name, 1, p->n_tensor, &status);
        if (!t) {
            bind_fail(b, status);
            return NULL;
        }
        binding->sources[i] = (gab_source){t, p->first, p->n, p->head_dim, p->n_turn, p->run, p->run_step};
    }
    if (n > INT32_MAX) {
        bind_fail(b, gab_fail(b->log, GAB_ERROR_UNSUPPORTED, "%s: '%s' and its like are larger than 2^31 - 1 rows",
                              gab_gguf_path(b->gguf), parts[0].name));
        return NULL;
    }
    binding->n_source = n_part;
    binding->as = (gab_weight){.type = n_col ? binding->sources[0].tensor->type : GAB_DTYPE_F32,
                               .n_expert = n_col ? parts[0].n_expert : 0,
                               .n_row = n_col ? (uint32_t)n : 1,
                               .n_col = n_col ? (uint32_t)n_col : (uint32_t)n};
    if (b->last)
        b->last->next = binding;
    else
        b->first = binding;
    b->last = binding;
    return binding;
}

void gab_bind_matrix(gab_binder *b, gab_weight *weight, uint64_t n_row, uint64_t n_col, const char *format, ...) {
    char name[128];
    va_list args;
    va_start(args, format);
    vsnprintf(name, sizeof name, format, args);
    va_end(args);
    gab_binding *binding = bind(b, n_col, &(gab_part){.name = name, .n_tensor = n_row, .n = n_row}, 1);
    if (binding) binding->weight = weight;
}

void gab_bind_vector(gab_binder *b, gab_slice *vector, uint64_t n, const char *format, ...) {
    char name[128];
    va_list args;
    va_start(args, format);
    vsnprintf(name, sizeof name, format, args);
    va_end(args);
    gab_bind_vector_parts(b, vector, &(gab_part){.name = name, .n_tensor = n, .n = n}, 1, false);
}

/* Remembers a tensor that goes nowhere. */
static void bind_known(gab_binder *b, const gab_gguf_tensor *t) {
    if (!t || b->status != GAB_OK) return;
    gab_binding *binding = gab_arena_alloc(&b->arena, 1, sizeof *binding);
    if (!binding) {
        bind_fail(b, gab_fail(b->log, GAB_ERROR_HOST_MEMORY, "out of host memory binding weights"));
        return;
    }
    *binding = (gab_binding){.sources = {{.tensor = t}}, .n_source = 1, .next = b->known};
    b->known = binding;
}

void gab_bind_host(gab_binder *b, float *values, uint64_t n, const char *format, ...) {
    char name[128];
    va_list args;
    va_start(args, format);
    vsnprintf(name, sizeof name, format, args);
    va_end(args);
    if (b->status != GAB_OK) return;
    bind_fail(b, gab_vector_read(b->gguf, b->log, name, n, values));
    bind_known(b, gab_gguf_tensor_find(b->gguf, name));
}

void gab_bind_unused(gab_binder *b, const char *format, ...) {
    char name[128];
    va_list args;
    va_start(args, format);
    vsnprintf(name, sizeof name, format, args);
    va_end(args);
    bind_known(b, gab_gguf_tensor_find(b->gguf, name));
}

/* The type of a part's tensor; what is wrong with it is said when it is bound. */
static gab_dtype type_of(const gab_binder *b, const gab_part *part) {
    const gab_gguf_tensor *t = gab_gguf_tensor_find(b->gguf, part->name);
    return t && t->known ? t->type : GAB_DTYPE_COUNT;
}

uint32_t gab_bind_parts(gab_binder *b, gab_weight weights[GAB_PART_MAX], uint64_t n_col, const gab_part *parts,
                        uint32_t n_part, bool *in_turn) {
    uint32_t n_weight = 0;
    for (uint32_t i = 0, n; i < n_part; i += n) {
        for (n = 1; i + n < n_part && type_of(b, &parts[i + n]) == type_of(b, &parts[i]);) n++;
        gab_binding *binding = bind(b, n_col, parts + i, n);
        if (!binding) return n_weight;
        binding->weight = &weights[n_weight++];
        if (in_turn) binding->in_turn = *in_turn = *in_turn && n == n_part;
    }
    return n_weight;
}

void gab_bind_vector_parts(gab_binder *b, gab_slice *vector, const gab_part *parts, uint32_t n_part, bool in_turn) {
    gab_binding *binding = bind(b, 0, parts, n_part);
    if (!binding) return;
    binding->vector = vector;
    binding->in_turn = in_turn;
}

bool gab_binder_has(const gab_binder *b, const char *format, ...) {
    char name[128];
    va_list args;
    va_start(args, format);
    vsnprintf(name, sizeof name, format, args);
    va_end(args);
    return b->status == GAB_OK && gab_gguf_tensor_find(b->gguf, name);
}

gab_status gab_vector_read(const gab_gguf *gguf, const gab_log *log, const char *name, uint64_t n, float *values) {
    gab_status status;
    const gab_gguf_tensor *t = find(gguf, log, name, 1, n, &status);
    if (!t) return status;
    void *row = malloc((size_t)t->row_bytes);
    if (!row) return gab_fail(log, GAB_ERROR_HOST_MEMORY, "out of host memory reading '%s'", name);
    status = gab_gguf_read_rows(t, 0, 1, row, log);
    if (status == GAB_OK) gab_dequantize_row(t->type, row, n, values);
    free(row);
    return status;
}

void gab_binder_free(gab_binder *b) {
    gab_arena_free(&b->arena);
    b->first = b->last = b->known = NULL;
}

const gab_weight *gab_binder_next_matrix(const gab_binder *b, const gab_binding **at, gab_weight *as) {
    const gab_binding *binding = *at ? (*at)->next : b->first;
    while (binding && !binding->weight) binding = binding->next;
    *at = binding;
    if (!binding) return NULL;
    *as = binding->as;
    return binding->weight;
}

static bool is_among(const gab_binding *bindings, const gab_gguf_tensor *t) {
    for (const gab_binding *i = bindings; i; i = i->next)
        for (uint32_t s = 0; s < i->n_source; s++)
            if (i->sources[s].tensor == t) return true;
    return false;
}

const gab_gguf_tensor *gab_binder_unbound(const gab_binder *b) {
    for (uint64_t i = 0; i < gab_gguf_n_tensor(b->gguf); i++)
        if (!is_among(b->first, gab_gguf_tensor_at(b->gguf, i)) && !is_among(b->known, gab_gguf_tensor_at(b->gguf, i)))
            return gab_gguf_tensor_at(b->gguf, i);
    return NULL;
}
