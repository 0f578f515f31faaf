#include "model/weights.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/threads.h"
#include "tensor/quant.h"

enum {
    SLAB_BYTES = 256 * 1024 * 1024,   /* small shards share a buffer of this size */
    JOB_BYTES = 1024 * 1024,          /* file bytes a worker reads at once */
    STAGING_BYTES = 16 * 1024 * 1024, /* of the staging buffer */
};

struct gab_binding {
    const gab_gguf_tensor *tensor;
    gab_weight *weight; /* a matrix, or */
    gab_slice *vector;  /* a vector */
    gab_weight as;      /* how it lies on the device: for a vector, one row of f32 */
    gab_binding *next;
};

/* ---- binding ---- */

static void bind_fail(gab_binder *b, gab_status status) {
    if (b->status == GAB_OK) b->status = status;
}

static gab_binding *bind(gab_binder *b, uint64_t n_row, uint64_t n_col, const char *format, va_list args) {
    char name[128];
    const char *path = gab_gguf_path(b->gguf);
    if (b->status != GAB_OK) return NULL;
    vsnprintf(name, sizeof name, format, args);
    const gab_gguf_tensor *t = gab_gguf_tensor_find(b->gguf, name);
    if (!t) {
        bind_fail(b,
                  gab_fail(b->log, GAB_ERROR_FORMAT,
                           "%s has no tensor '%s', which its architecture needs: the file is incomplete; download or "
                           "convert it again",
                           path, name));
        return NULL;
    }
    if (!t->known) {
        char types[128] = "";
        for (int i = 0, at = 0; i < GAB_DTYPE_COUNT; i++)
            at += snprintf(types + at, sizeof types - (size_t)at, "%s%s", i ? ", " : "",
                           gab_dtype_get((gab_dtype)i)->name);
        const char *type = gab_dtype_gguf_name(t->gguf_type);
        bind_fail(b, gab_fail(b->log, GAB_ERROR_UNSUPPORTED,
                              "%s: tensor '%s' is of type %s (%" PRIu32 "), which is not supported: use a file in %s",
                              path, name, type ? type : "unknown", t->gguf_type, types));
        return NULL;
    }
    if (t->shape[0] != n_col || t->n_row != n_row) {
        bind_fail(b, gab_fail(b->log, GAB_ERROR_FORMAT,
                              "%s: tensor '%s' has %" PRIu64 " rows of %" PRIu64 ", its metadata ask for %" PRIu64
                              " rows of %" PRIu64 ": the file is damaged or of another architecture",
                              path, name, t->n_row, t->shape[0], n_row, n_col));
        return NULL;
    }
    if (n_row > INT32_MAX || n_col > INT32_MAX) {
        bind_fail(b, gab_fail(b->log, GAB_ERROR_UNSUPPORTED, "%s: tensor '%s' is larger than 2^31 - 1 rows or columns",
                              path, name));
        return NULL;
    }
    gab_binding *binding = gab_arena_alloc(&b->arena, 1, sizeof *binding);
    if (!binding) {
        bind_fail(b, gab_fail(b->log, GAB_ERROR_HOST_MEMORY, "out of host memory binding weights"));
        return NULL;
    }
    binding->tensor = t;
    binding->as = (gab_weight){.type = t->type, .n_row = (uint32_t)n_row, .n_col = (uint32_t)n_col};
    if (b->last)
        b->last->next = binding;
    else
        b->first = binding;
    b->last = binding;
    return binding;
}

void gab_bind_matrix(gab_binder *b, gab_weight *weight, uint64_t n_row, uint64_t n_col, const char *name, ...) {
    va_list args;
    va_start(args, name);
    gab_binding *binding = bind(b, n_row, n_col, name, args);
    va_end(args);
    if (!binding) return;
    binding->weight = weight;
}

void gab_bind_vector(gab_binder *b, gab_slice *vector, uint64_t n, const char *name, ...) {
    va_list args;
    va_start(args, name);
    gab_binding *binding = bind(b, 1, n, name, args);
    va_end(args);
    if (!binding) return;
    binding->vector = vector;
    binding->as.type = GAB_DTYPE_F32;
}

void gab_binder_free(gab_binder *b) {
    gab_arena_free(&b->arena);
    b->first = b->last = NULL;
}

const gab_weight *gab_binder_next_matrix(const gab_binder *b, const gab_binding **at, gab_weight *as) {
    const gab_binding *binding = *at ? (*at)->next : b->first;
    while (binding && !binding->weight) binding = binding->next;
    *at = binding;
    if (!binding) return NULL;
    *as = binding->as;
    return binding->weight;
}

static uint64_t align_up(uint64_t n, uint64_t to) {
    return (n + to - 1) / to * to;
}

uint64_t gab_binder_bytes(const gab_binder *b) {
    uint64_t sum = 0;
    for (const gab_binding *i = b->first; i; i = i->next)
        sum += align_up(i->as.n_row * gab_dtype_planes_row_bytes(i->as.type, i->as.n_col), GAB_SLICE_ALIGN);
    return sum;
}

/* ---- placing: shards into slabs ---- */

typedef struct slab_plan {
    uint64_t *sizes;
    uint32_t n, capacity;
} slab_plan;

/* A place of n bytes: at the end of the last slab, or in a new one. */
static bool place(slab_plan *slabs, uint64_t n, uint64_t slab_bytes, uint32_t *slab, uint64_t *offset) {
    n = align_up(n, GAB_SLICE_ALIGN);
    if (slabs->n == 0 || slabs->sizes[slabs->n - 1] + n > slab_bytes) {
        if (slabs->n == slabs->capacity) {
            uint32_t capacity = slabs->capacity ? 2 * slabs->capacity : 16;
            uint64_t *sizes = realloc(slabs->sizes, capacity * sizeof *sizes);
            if (!sizes) return false;
            slabs->sizes = sizes;
            slabs->capacity = capacity;
        }
        slabs->sizes[slabs->n++] = 0;
    }
    *slab = slabs->n - 1;
    *offset = slabs->sizes[*slab];
    slabs->sizes[*slab] += n;
    return true;
}

/* Cuts a tensor into shards and finds a place for each; slice.offset is in slab number slice.size for now. */
static gab_status place_tensor(gab_binder *b, gab_weights *w, gab_binding *binding, uint64_t shard_bytes,
                               uint64_t slab_bytes, slab_plan *slabs) {
    gab_weight *as = &binding->as;
    const uint64_t row_bytes = gab_dtype_planes_row_bytes(as->type, as->n_col);
    const uint64_t rows = shard_bytes / row_bytes;
    if (rows == 0)
        return gab_fail(b->log, GAB_ERROR_DEVICE_MEMORY,
                        "tensor '%s' has rows of %" PRIu64 " bytes, one binding of %s sees %" PRIu64,
                        binding->tensor->name, row_bytes, w->vk->info.name, shard_bytes);
    as->n_shard = (uint32_t)((as->n_row + rows - 1) / rows);
    as->shards = gab_arena_alloc(&w->arena, as->n_shard, sizeof *as->shards);
    if (!as->shards) return gab_fail(b->log, GAB_ERROR_HOST_MEMORY, "out of host memory for the weights' table");
    for (uint32_t i = 0; i < as->n_shard; i++) {
        gab_shard *shard = &as->shards[i];
        uint32_t slab;
        shard->first_row = (uint32_t)(i * rows);
        shard->n_row = as->n_row - shard->first_row < rows ? as->n_row - shard->first_row : (uint32_t)rows;
        shard->scale_offset = gab_shard_scale_offset(as->type, as->n_col, shard->n_row);
        if (!place(slabs, shard->n_row * row_bytes, slab_bytes, &slab, &shard->slice.offset))
            return gab_fail(b->log, GAB_ERROR_HOST_MEMORY, "out of host memory for the weights' table");
        shard->slice.size = slab;
    }
    return GAB_OK;
}

static gab_status make_slabs(gab_binder *b, const gab_load_options *options, gab_weights *w) {
    gab_status status = GAB_OK;
    slab_plan slabs = {0};
    uint64_t shard_bytes = w->vk->binding_bytes_max, slab_bytes = SLAB_BYTES;
    if (options->shard_bytes_max && options->shard_bytes_max < shard_bytes) shard_bytes = options->shard_bytes_max;
    if (slab_bytes > w->vk->buffer_bytes_max) slab_bytes = w->vk->buffer_bytes_max;
    for (gab_binding *i = b->first; i; i = i->next)
        GAB_TRY_GOTO(place_tensor(b, w, i, shard_bytes, slab_bytes, &slabs), error);
    w->slabs = calloc(slabs.n, sizeof *w->slabs);
    if (!w->slabs) {
        status = gab_fail(b->log, GAB_ERROR_HOST_MEMORY, "out of host memory for the weights' table");
        goto error;
    }
    w->n_slab = slabs.n;
    for (uint32_t i = 0; i < slabs.n; i++) {
        GAB_TRY_GOTO(gab_buffer_create_unset(w->vk, GAB_MEMORY_DEVICE, slabs.sizes[i], "the weights", &w->slabs[i]),
                     error);
        w->bytes += slabs.sizes[i];
    }
    for (gab_binding *i = b->first; i; i = i->next) {
        for (uint32_t s = 0; s < i->as.n_shard; s++) {
            gab_shard *shard = &i->as.shards[s];
            shard->slice = gab_buffer_slice(&w->slabs[shard->slice.size], shard->slice.offset,
                                            shard->n_row * gab_dtype_planes_row_bytes(i->as.type, i->as.n_col));
        }
        if (i->weight) *i->weight = i->as;
        if (i->vector) *i->vector = i->as.shards[0].slice;
    }
error:
    free(slabs.sizes);
    return status;
}

/* ---- reading, repacking, uploading ---- */

/* Some rows of a shard. */
typedef struct load_job {
    const gab_binding *binding;
    const gab_shard *shard;
    uint32_t first_row, n_row; /* of the shard */
    uint64_t staging_offset;   /* of this job's planes in the staging buffer */
} load_job;

typedef struct loader {
    gab_binder *binder;
    const gab_load_options *options;
    const load_job *jobs;
    char *staging; /* NULL: write in place */
    atomic_int status;
    gab_thread caller; /* the only one that reports progress */
    gab_mutex lock;    /* of progress and message */
    uint64_t done, total;
    char message[GAB_MESSAGE_MAX];
} loader;

/* Where plane p of the job's rows goes, from the start of the shard. */
static uint64_t plane_offset(const load_job *job, uint32_t p) {
    const gab_weight *as = &job->binding->as;
    uint64_t before = 0;
    for (uint32_t i = 0; i < p; i++) before += job->shard->n_row * gab_dtype_plane_row_bytes(as->type, i, as->n_col);
    return before + job->first_row * gab_dtype_plane_row_bytes(as->type, p, as->n_col);
}

/* As f32, with the padding. */
static void load_vector(gab_dtype type, const void *row, uint64_t n, char *plane) {
    const uint64_t used = n * sizeof(float);
    gab_dequantize_row(type, row, n, (float *)(void *)plane);
    memset(plane + used, 0, gab_dtype_plane_row_bytes(GAB_DTYPE_F32, 0, n) - used);
}

static gab_status load_rows(loader *l, const load_job *job) {
    const gab_gguf_tensor *t = job->binding->tensor;
    const gab_weight *as = &job->binding->as;
    const uint32_t n_plane = gab_dtype_get(as->type)->n_plane;
    const uint64_t row_bytes = t->row_bytes;
    const uint64_t first = job->shard->first_row + job->first_row;
    char *planes[GAB_PLANE_MAX] = {0};
    char *rows = malloc(row_bytes * job->n_row);
    if (!rows) return gab_fail(l->binder->log, GAB_ERROR_HOST_MEMORY, "out of host memory reading '%s'", t->name);
    gab_status status = gab_file_read_at(gab_gguf_file(l->binder->gguf), t->offset + first * row_bytes, rows,
                                         row_bytes * job->n_row, l->binder->log);
    uint64_t staged = job->staging_offset;
    for (uint32_t p = 0; p < n_plane; p++) {
        planes[p] = l->staging ? l->staging + staged : (char *)job->shard->slice.mapped + plane_offset(job, p);
        staged += job->n_row * gab_dtype_plane_row_bytes(as->type, p, as->n_col);
    }
    for (uint32_t r = 0; status == GAB_OK && r < job->n_row; r++) {
        if (job->binding->vector)
            load_vector(t->type, rows, as->n_col, planes[0]);
        else
            gab_dtype_split_row(as->type, as->n_col, rows + r * row_bytes, (void *const *)planes);
        for (uint32_t p = 0; p < n_plane; p++) planes[p] += gab_dtype_plane_row_bytes(as->type, p, as->n_col);
    }
    free(rows);
    return status;
}

static void report(const loader *l) {
    if (l->options->progress) l->options->progress(l->options->progress_user, "loading weights", l->done, l->total);
}

static bool load_one(void *user, size_t i) {
    loader *l = user;
    gab_status status = load_rows(l, &l->jobs[i]);
    pthread_mutex_lock(&l->lock);
    if (status != GAB_OK && l->message[0] == 0) {
        snprintf(l->message, sizeof l->message, "%s", gab_last_error());
        l->status = (int)status;
    }
    l->done += l->jobs[i].n_row * l->jobs[i].binding->tensor->row_bytes;
    if (pthread_equal(pthread_self(), l->caller)) report(l);
    pthread_mutex_unlock(&l->lock);
    return status == GAB_OK;
}

/* Runs n jobs on all cores; the first failure, said once by the worker, is this thread's too. */
static gab_status run_jobs(loader *l, const load_job *jobs, size_t n) {
    l->jobs = jobs;
    if (gab_parallel_for(n, 0, load_one, l)) return GAB_OK;
    gab_error_set(l->message);
    return (gab_status)l->status;
}

static gab_status make_jobs(gab_binder *b, load_job **out, size_t *n_out, uint64_t *total) {
    size_t n = 0, capacity = 0;
    load_job *jobs = NULL;
    *total = 0;
    for (const gab_binding *i = b->first; i; i = i->next) {
        uint64_t row_bytes = i->tensor->row_bytes;
        uint32_t step = row_bytes >= JOB_BYTES ? 1 : (uint32_t)(JOB_BYTES / row_bytes);
        *total += row_bytes * i->as.n_row;
        for (uint32_t s = 0; s < i->as.n_shard; s++)
            for (uint32_t r = 0; r < i->as.shards[s].n_row; r += step) {
                if (n == capacity) {
                    capacity = capacity ? 2 * capacity : 256;
                    load_job *more = realloc(jobs, capacity * sizeof *jobs);
                    if (!more) {
                        free(jobs);
                        return gab_fail(b->log, GAB_ERROR_HOST_MEMORY, "out of host memory for the loading plan");
                    }
                    jobs = more;
                }
                uint32_t left = i->as.shards[s].n_row - r;
                jobs[n++] = (load_job){i, &i->as.shards[s], r, left < step ? left : step, 0};
            }
    }
    *out = jobs;
    *n_out = n;
    return GAB_OK;
}

static uint64_t job_bytes(const load_job *job) {
    return job->n_row * gab_dtype_planes_row_bytes(job->binding->as.type, job->binding->as.n_col);
}

/* Windows of jobs that fit the staging buffer: repacked into it in parallel, then copied, one window after the other.
 */
static gab_status run_staged(loader *l, gab_vk *vk, load_job *jobs, size_t n) {
    gab_buffer staging;
    uint64_t size = STAGING_BYTES;
    for (size_t i = 0; i < n; i++)
        if (job_bytes(&jobs[i]) > size) size = job_bytes(&jobs[i]);
    GAB_TRY(gab_buffer_create(vk, GAB_MEMORY_MAILBOX, size, "staging", &staging));
    gab_status status = GAB_OK;
    l->staging = staging.mapped;
    for (size_t first = 0, end; status == GAB_OK && first < n; first = end) {
        uint64_t used = 0;
        for (end = first; end < n && used + job_bytes(&jobs[end]) <= size; end++) {
            jobs[end].staging_offset = used;
            used += job_bytes(&jobs[end]);
        }
        status = run_jobs(l, jobs + first, end - first);
        for (size_t i = first; status == GAB_OK && i < end; i++) {
            const gab_weight *as = &jobs[i].binding->as;
            VkBufferCopy regions[GAB_PLANE_MAX];
            uint64_t from = jobs[i].staging_offset;
            uint32_t n_plane = gab_dtype_get(as->type)->n_plane;
            for (uint32_t p = 0; p < n_plane; p++) {
                regions[p] = (VkBufferCopy){.srcOffset = from,
                                            .dstOffset = jobs[i].shard->slice.offset + plane_offset(&jobs[i], p),
                                            .size = jobs[i].n_row * gab_dtype_plane_row_bytes(as->type, p, as->n_col)};
                from += regions[p].size;
            }
            status = gab_buffer_upload(vk, &staging, jobs[i].shard->slice.buffer, regions, n_plane);
        }
    }
    gab_buffer_destroy(vk, &staging);
    return status;
}

gab_status gab_weights_load(gab_binder *b, gab_vk *vk, const gab_load_options *options, gab_weights *w) {
    load_job *jobs = NULL;
    size_t n = 0;
    loader l = {.binder = b, .options = options, .caller = pthread_self()};
    memset(w, 0, sizeof *w);
    w->vk = vk;
    GAB_TRY(b->status);
    GAB_TRY(make_slabs(b, options, w));
    GAB_TRY(make_jobs(b, &jobs, &n, &l.total));
    pthread_mutex_init(&l.lock, NULL);
    bool in_place = !options->staging && w->n_slab > 0 && w->slabs[0].mapped;
    gab_status status = in_place ? run_jobs(&l, jobs, n) : run_staged(&l, vk, jobs, n);
    pthread_mutex_destroy(&l.lock);
    if (status == GAB_OK) report(&l);
    free(jobs);
    return status == GAB_OK ? gab_file_check_unchanged(gab_gguf_file(b->gguf), b->log) : status;
}

void gab_weights_destroy(gab_weights *w) {
    if (!w->vk) return;
    for (uint32_t i = 0; i < w->n_slab; i++) gab_buffer_destroy(w->vk, &w->slabs[i]);
    free(w->slabs);
    gab_arena_free(&w->arena);
    memset(w, 0, sizeof *w);
}
