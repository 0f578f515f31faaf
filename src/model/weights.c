/*
 * weights.c - the second half of weights.h: places what bind.c has bound, reads, repacks and uploads it.
 */
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/threads.h"
#include "model/binding.h"
#include "tensor/quant.h"

enum {
    SLAB_BYTES = 256 * 1024 * 1024,   /* small shards share a buffer of this size */
    JOB_BYTES = 1024 * 1024,          /* file bytes a worker reads at once */
    STAGING_BYTES = 16 * 1024 * 1024, /* of the staging buffer */
};

/* Which source row i comes from, or of a vector element i, and in *row its number in the tensor. */
static uint32_t source_of(const gab_binding *binding, uint64_t i, uint64_t *row) {
    uint32_t s = 0;
    if (binding->in_turn) {
        s = (uint32_t)(i % binding->n_source);
        i /= binding->n_source;
    } else {
        while (i >= binding->sources[s].n) i -= binding->sources[s++].n;
    }
    const gab_source *from = &binding->sources[s];
    if (from->n_turn) {
        const uint64_t d = i % from->head_dim;
        if (d < 2ull * from->n_turn) i += d / 2 + d % 2 * from->n_turn - d;
    }
    if (from->run_step) i = i / from->run * from->run_step + i % from->run;
    *row = from->first + i;
    return s;
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
    uint64_t rows = shard_bytes / row_bytes, span = as->n_row; /* a span is cut like another */
    if (as->n_expert && rows >= gab_weight_rows(as)) {
        rows -= rows % gab_weight_rows(as); /* whole experts */
    } else {
        if (as->n_expert) span = gab_weight_rows(as); /* parts of one */
        if (rows > 1) rows -= rows % 2;               /* kernels may store pairs of rows */
    }
    if (rows == 0)
        return gab_fail(b->log, GAB_ERROR_DEVICE_MEMORY,
                        "tensor '%s' has rows of %" PRIu64 " bytes, one binding of %s sees %" PRIu64,
                        binding->sources[0].tensor->name, row_bytes, w->vk->info.name, shard_bytes);
    const uint32_t n_a_span = (uint32_t)((span + rows - 1) / rows);
    as->n_shard = (uint32_t)(as->n_row / span) * n_a_span;
    as->shards = gab_arena_alloc(&w->arena, as->n_shard, sizeof *as->shards);
    if (!as->shards) return gab_fail(b->log, GAB_ERROR_HOST_MEMORY, "out of host memory for the weights' table");
    for (uint32_t i = 0; i < as->n_shard; i++) {
        gab_shard *shard = &as->shards[i];
        uint32_t slab;
        const uint64_t in_span = i % n_a_span * rows;
        shard->first_row = (uint32_t)(i / n_a_span * span + in_span);
        shard->n_row = (uint32_t)(span - in_span < rows ? span - in_span : rows);
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

/* Bytes that are read for a row; for a vector, all of it. */
static uint64_t file_row_bytes(const gab_binding *binding) {
    uint64_t bytes = 0;
    if (binding->weight) return binding->sources[0].tensor->row_bytes;
    for (uint32_t s = 0; s < binding->n_source; s++) bytes += binding->sources[s].tensor->bytes;
    return bytes;
}

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

/* The rows of each source that a job needs, and a few between them: rows of one head at most. */
typedef struct job_rows {
    char *bytes[GAB_PART_MAX];
    uint64_t first[GAB_PART_MAX], last[GAB_PART_MAX];
} job_rows;

static gab_status read_rows(const loader *l, const load_job *job, job_rows *rows) {
    const gab_binding *binding = job->binding;
    const bool vector = binding->vector != NULL;
    for (uint32_t s = 0; s < GAB_PART_MAX; s++) rows->first[s] = UINT64_MAX;
    for (uint32_t i = 0; !vector && i < job->n_row; i++) {
        uint64_t row;
        const uint32_t s = source_of(binding, (uint64_t)job->shard->first_row + job->first_row + i, &row);
        if (row < rows->first[s]) rows->first[s] = row;
        if (row > rows->last[s]) rows->last[s] = row;
    }
    for (uint32_t s = 0; s < binding->n_source; s++) {
        const gab_gguf_tensor *t = binding->sources[s].tensor;
        if (vector) rows->first[s] = 0, rows->last[s] = t->n_row - 1;
        if (rows->first[s] == UINT64_MAX) continue;
        const uint64_t n = rows->last[s] - rows->first[s] + 1;
        rows->bytes[s] = malloc(n * t->row_bytes);
        if (!rows->bytes[s])
            return gab_fail(l->binder->log, GAB_ERROR_HOST_MEMORY, "out of host memory reading '%s'", t->name);
        GAB_TRY(gab_gguf_read_rows(t, rows->first[s], n, rows->bytes[s], l->binder->log));
    }
    return GAB_OK;
}

/* As f32, with the padding. */
static gab_status fill_vector(const loader *l, const gab_binding *binding, const job_rows *rows, float *plane) {
    const uint32_t n = binding->as.n_col;
    float *values[GAB_PART_MAX] = {0};
    bool full = false;
    for (uint32_t s = 0; s < binding->n_source && !full; s++) {
        const gab_gguf_tensor *t = binding->sources[s].tensor;
        const uint64_t n_value = t->n_row * t->shape[0];
        values[s] = malloc(n_value * sizeof *values[s]);
        full = !values[s];
        if (!full) gab_dequantize_row(t->type, rows->bytes[s], n_value, values[s]);
    }
    memset(plane, 0, gab_dtype_plane_row_bytes(GAB_DTYPE_F32, 0, n));
    for (uint32_t i = 0; i < n && !full; i++) {
        uint64_t at;
        const uint32_t s = source_of(binding, i, &at);
        plane[i] = values[s][at];
    }
    for (uint32_t s = 0; s < binding->n_source; s++) free(values[s]);
    return full ? gab_fail(l->binder->log, GAB_ERROR_HOST_MEMORY, "out of host memory for a vector") : GAB_OK;
}

static gab_status load_rows(const loader *l, const load_job *job) {
    const gab_binding *binding = job->binding;
    const gab_weight *as = &binding->as;
    const uint32_t n_plane = gab_dtype_get(as->type)->n_plane;
    char *planes[GAB_PLANE_MAX] = {0};
    job_rows rows = {0};
    gab_status status = read_rows(l, job, &rows);
    uint64_t staged = job->staging_offset;
    for (uint32_t p = 0; p < n_plane; p++) {
        planes[p] = l->staging ? l->staging + staged : (char *)job->shard->slice.mapped + plane_offset(job, p);
        staged += job->n_row * gab_dtype_plane_row_bytes(as->type, p, as->n_col);
    }
    if (status == GAB_OK && binding->vector) status = fill_vector(l, binding, &rows, (float *)(void *)planes[0]);
    for (uint32_t r = 0; status == GAB_OK && !binding->vector && r < job->n_row; r++) {
        uint64_t row;
        const uint32_t s = source_of(binding, (uint64_t)job->shard->first_row + job->first_row + r, &row);
        const char *from = rows.bytes[s] + (row - rows.first[s]) * binding->sources[s].tensor->row_bytes;
        gab_dtype_split_row(as->type, as->n_col, from, (void *const *)planes);
        for (uint32_t p = 0; p < n_plane; p++) planes[p] += gab_dtype_plane_row_bytes(as->type, p, as->n_col);
    }
    for (uint32_t s = 0; s < GAB_PART_MAX; s++) free(rows.bytes[s]);
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
    l->done += l->jobs[i].n_row * file_row_bytes(l->jobs[i].binding);
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
        const uint64_t row_bytes = file_row_bytes(i);
        uint32_t step = (uint32_t)(JOB_BYTES / (row_bytes + 1));
        if (step == 0) step = 1;
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
    bool in_place = !options->staging && w->n_slab > 0;
    for (uint32_t i = 0; i < w->n_slab; i++) in_place = in_place && w->slabs[i].mapped; /* late ones may not be */
    gab_status status = in_place ? run_jobs(&l, jobs, n) : run_staged(&l, vk, jobs, n);
    pthread_mutex_destroy(&l.lock);
    if (status == GAB_OK) report(&l);
    free(jobs);
    return status == GAB_OK ? gab_gguf_check_unchanged(b->gguf, b->log) : status;
}

void gab_weights_destroy(gab_weights *w) {
    if (!w->vk) return;
    for (uint32_t i = 0; i < w->n_slab; i++) gab_buffer_destroy(w->vk, &w->slabs[i]);
    free(w->slabs);
    gab_arena_free(&w->arena);
    memset(w, 0, sizeof *w);
}
