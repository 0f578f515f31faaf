#include "model/folder.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "format/reader.h"
#include "format/safetensors.h"
#include "model/hf_config.h"

enum { PATH_BYTES = 4096, INDEX_BYTES_MAX = 64 << 20, TEXT_BYTES_MAX = 4 << 20 };

static const char single_name[] = "model.safetensors", index_name[] = "model.safetensors.index.json";

/* A tensor of a file and where it goes. */
typedef struct source {
    const gab_safetensor *tensor;
    const gab_file *file;
    gab_hf_target target;
} source;

typedef struct folder {
    const char *path;
    const gab_log *log;
    gab_hf_config config;
    gab_gguf *gguf;
    gab_safetensors **files; /* until their file is the gguf's */
    uint32_t n_file;
    source *sources;
    uint64_t n_source;
    uint64_t n_unused; /* tensors that no rule has */
    const char *first_unused;
} folder;

/* Writes folder/name; false when it is too long. */
static bool join(const folder *f, const char *name, char path[PATH_BYTES]) {
    const int n = snprintf(path, PATH_BYTES, "%s/%s", f->path, name);
    return n > 0 && n < PATH_BYTES;
}

static gab_status out_of_memory(const folder *f) {
    return gab_fail(f->log, GAB_ERROR_HOST_MEMORY, "out of host memory opening %s", f->path);
}

/* ---- the files ---- */

static gab_status add_file(folder *f, const char *name) {
    char path[PATH_BYTES];
    if (!join(f, name, path)) return gab_fail(f->log, GAB_ERROR_FILE, "%s: the path is too long", f->path);
    gab_safetensors **files = realloc(f->files, (f->n_file + 1u) * sizeof *files);
    if (!files) return out_of_memory(f);
    f->files = files;
    GAB_TRY(gab_safetensors_open(path, f->log, &files[f->n_file]));
    f->n_file++;
    return GAB_OK;
}

static int compare_texts(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* A file of the folder itself. */
static bool is_plain_name(const char *name) {
    return name[0] && strlen(name) < 256 && !strchr(name, '/') && !strchr(name, '\\') && strcmp(name, "..") != 0;
}

/* The files that the index names, each once, in the order of their names. */
static gab_status open_indexed(folder *f, const char *path, const cJSON *map) {
    const size_t n = (size_t)cJSON_GetArraySize(map);
    const char **names = calloc(n + 1, sizeof *names);
    const cJSON *item;
    size_t i = 0;
    gab_status status = names ? GAB_OK : out_of_memory(f);
    cJSON_ArrayForEach(item, map) {
        if (status != GAB_OK) break;
        char shown[65];
        gab_reader_show(shown, sizeof shown, item->string);
        if (!cJSON_IsString(item) || !is_plain_name(item->valuestring))
            status = gab_fail(f->log, GAB_ERROR_FORMAT,
                              "%s: weight_map has no name of a file beside it for '%s': download the file again", path,
                              shown);
        else
            names[i++] = item->valuestring;
    }
    if (names) qsort(names, i, sizeof *names, compare_texts);
    for (size_t k = 0; k < i && status == GAB_OK; k++) {
        char file[PATH_BYTES];
        if (k > 0 && strcmp(names[k - 1], names[k]) == 0) continue;
        if (join(f, names[k], file) && gab_path_kind(file) == GAB_PATH_NONE)
            status = gab_fail(f->log, GAB_ERROR_FILE, "%s is missing, which %s names: download it", file, path);
        else
            status = add_file(f, names[k]);
    }
    free(names);
    return status;
}

static const char *file_name(const gab_safetensors *s) {
    const char *path = gab_file_path(gab_safetensors_file(s)), *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

typedef struct located {
    const char *name, *file;
} located;

static int compare_located(const void *a, const void *b) {
    return strcmp(((const located *)a)->name, ((const located *)b)->name);
}

/* Index and files must say the same: else a file is of another model, or of another download. */
static gab_status check_index(const folder *f, const char *path, const cJSON *map) {
    uint64_t n_file = 0, i = 0;
    for (uint32_t k = 0; k < f->n_file; k++) n_file += gab_safetensors_n(f->files[k]);
    const size_t n = (size_t)cJSON_GetArraySize(map);
    located *there = calloc((size_t)n_file + 1, sizeof *there), *said = calloc(n + 1, sizeof *said);
    if (!there || !said) {
        free(there);
        free(said);
        return out_of_memory(f);
    }
    for (uint32_t k = 0; k < f->n_file; k++)
        for (uint64_t t = 0; t < gab_safetensors_n(f->files[k]); t++)
            there[i++] = (located){gab_safetensors_at(f->files[k], t)->name, file_name(f->files[k])};
    size_t j = 0;
    const cJSON *item;
    cJSON_ArrayForEach(item, map) said[j++] = (located){item->string, item->valuestring};
    qsort(there, (size_t)n_file, sizeof *there, compare_located);
    qsort(said, n, sizeof *said, compare_located);
    gab_status status = GAB_OK;
    char shown[65];
    for (i = 0, j = 0; (i < n_file || j < n) && status == GAB_OK; i++, j++) {
        const int order = i == n_file ? 1 : j == n ? -1 : strcmp(there[i].name, said[j].name);
        gab_reader_show(shown, sizeof shown, order > 0 ? said[j].name : there[i].name);
        if (order > 0)
            status = gab_fail(f->log, GAB_ERROR_FORMAT,
                              "%s: tensor '%s' is not in %s/%s: the file belongs to another model, download it again",
                              path, shown, f->path, said[j].file);
        else if (order < 0 || strcmp(there[i].file, said[j].file) != 0)
            status = gab_fail(f->log, GAB_ERROR_FORMAT,
                              "%s/%s: tensor '%s' is not one that %s has there: the file belongs to another model, "
                              "download it again",
                              f->path, there[i].file, shown, path);
    }
    free(there);
    free(said);
    return status;
}

static gab_status open_files(folder *f) {
    char path[PATH_BYTES];
    cJSON *index = NULL;
    if (!join(f, index_name, path)) return gab_fail(f->log, GAB_ERROR_FILE, "%s: the path is too long", f->path);
    if (gab_path_kind(path) == GAB_PATH_NONE) {
        if (join(f, single_name, path) && gab_path_kind(path) == GAB_PATH_FILE) return add_file(f, single_name);
        return gab_fail(
            f->log, GAB_ERROR_FILE,
            "%s has neither %s nor %s: download the weights in this format (.bin and .pt files are not read)", f->path,
            single_name, index_name);
    }
    GAB_TRY(gab_json_read(path, INDEX_BYTES_MAX, f->log, &index));
    const cJSON *map = cJSON_GetObjectItemCaseSensitive(index, "weight_map");
    gab_status status =
        cJSON_IsObject(map) && map->child
            ? open_indexed(f, path, map)
            : gab_fail(f->log, GAB_ERROR_FORMAT, "%s: weight_map is missing or empty: download the file again", path);
    if (status == GAB_OK) status = check_index(f, path, map);
    cJSON_Delete(index);
    return status;
}

/* ---- the tensors ---- */

static gab_status find_sources(folder *f) {
    const gab_hf_family *family = f->config.family;
    uint64_t n = 0;
    for (uint32_t k = 0; k < f->n_file; k++) n += gab_safetensors_n(f->files[k]);
    f->sources = calloc((size_t)n + 1, sizeof *f->sources);
    if (!f->sources) return out_of_memory(f);
    for (uint32_t k = 0; k < f->n_file; k++)
        for (uint64_t i = 0; i < gab_safetensors_n(f->files[k]); i++) {
            source *s = &f->sources[f->n_source];
            s->tensor = gab_safetensors_at(f->files[k], i);
            s->file = gab_safetensors_file(f->files[k]);
            if (!family || gab_hf_name_map(family, s->tensor->name, &s->target)) {
                if (!family) snprintf(s->target.name, sizeof s->target.name, "%s", s->tensor->name);
                if (f->config.tied && strcmp(s->target.name, "output.weight") == 0) continue;
                f->n_source++;
            } else if (!gab_hf_name_ignored(s->tensor->name) && f->n_unused++ == 0) {
                f->first_unused = s->tensor->name;
            }
        }
    return GAB_OK;
}

static int compare_sources(const void *a, const void *b) {
    const source *s = a, *t = b;
    const int order = strcmp(s->target.name, t->target.name);
    if (order != 0) return order;
    return s->target.expert < t->target.expert ? -1 : s->target.expert > t->target.expert;
}

GAB_PRINTF(3, 4)
static gab_status tensor_fail(const folder *f, const source *s, const char *format, ...) {
    char problem[GAB_MESSAGE_MAX / 2], shown[65];
    va_list args;
    va_start(args, format);
    vsnprintf(problem, sizeof problem, format, args);
    va_end(args);
    gab_reader_show(shown, sizeof shown, s->tensor->name);
    return gab_fail(f->log, GAB_ERROR_FORMAT, "%s: tensor '%s' %s", gab_file_path(s->file), shown, problem);
}
#ifdef __clang_analyzer__ /* it cannot see that the result is never GAB_OK */
#define tensor_fail(f, s, ...) ((void)tensor_fail(f, s, __VA_ARGS__), GAB_ERROR_FORMAT)
#endif

/* Does it hold all experts, each transposed? */
static bool is_stack(const source *s) {
    return s->target.rule && s->target.rule->rows == GAB_HF_EXPERTS_TRANSPOSED && s->tensor->n_dim == 3;
}

/* Shape in GGUF's order; experts, and what stays as it is of unknown families, may have more than two dimensions. */
static gab_status set_shape(const folder *f, const source *s, uint64_t n_part, gab_gguf_tensor *t) {
    const gab_safetensor *st = s->tensor;
    const bool transposed = s->target.rule && s->target.rule->rows == GAB_HF_TRANSPOSED && st->n_dim == 2;
    if (s->target.rule && (st->n_dim < 1 || (st->n_dim > 2 && !is_stack(s)) || st->n_element == 0))
        return tensor_fail(f, s,
                           "has %" PRIu32 " dimensions and %" PRIu64
                           " elements, needed is a matrix or a vector: download the file again",
                           st->n_dim, st->n_element);
    t->n_dim = st->n_dim < 1 ? 1 : st->n_dim > 4 ? 4 : st->n_dim;
    for (uint32_t d = 0; d < 4; d++) t->shape[d] = 1;
    for (uint32_t d = 0; d < st->n_dim; d++) {
        const uint32_t to = st->n_dim - 1 - d;
        t->shape[to < 3 ? to : 3] *= st->shape[transposed ? to : d];
    }
    if (is_stack(s)) {
        t->shape[0] = st->shape[1];
        t->shape[1] = st->shape[2];
    }
    if (s->target.has_expert) {
        t->n_dim = 3;
        t->shape[2] = n_part;
    }
    t->n_row = t->shape[1] * t->shape[2] * t->shape[3];
    return GAB_OK;
}

static void set_type(const gab_safetensor *st, gab_gguf_tensor *t) {
    t->type_name = st->type;
    for (int i = 0; i < GAB_DTYPE_COUNT && !t->known; i++) {
        const gab_dtype_info *info = gab_dtype_get((gab_dtype)i);
        if (strcmp(info->name, st->type) != 0 || info->block_size != 1) continue;
        t->known = true;
        t->type = (gab_dtype)i;
    }
    if (!t->known) return;
    const gab_dtype_info *info = gab_dtype_get(t->type);
    t->gguf_type = info->gguf_id;
    t->type_name = info->name;
    gab_dtype_row_bytes(t->type, t->shape[0], &t->row_bytes);
    t->bytes = t->n_row * t->row_bytes;
}

/* The experts of a stack, one behind the other in the file. */
static gab_status cut_stack(folder *f, const source *s, const gab_gguf_tensor *t, gab_gguf_layout *layout) {
    const uint64_t n = s->tensor->shape[0];
    const uint32_t element = gab_dtype_get(layout->stored)->block_bytes;
    gab_gguf_part *parts = gab_arena_alloc(gab_gguf_arena(f->gguf), (size_t)n, sizeof *parts);
    if (!parts) return out_of_memory(f);
    for (uint64_t i = 0; i < n; i++)
        parts[i] = (gab_gguf_part){s->file, s->tensor->offset + i * t->shape[0] * t->shape[1] * element};
    layout->parts = parts;
    layout->n_part = (uint32_t)n;
    layout->transposed = true;
    return GAB_OK;
}

static bool is_mx(const source *s) {
    return s->target.rule && (s->target.rule->rows == GAB_HF_MX_NUMBERS || s->target.rule->rows == GAB_HF_MX_SCALES);
}

/* Numbers and scales of one tensor in MXFP4, in any order. */
static gab_status add_mx(folder *f, const source *s, uint64_t n) {
    const gab_dtype_info *info = gab_dtype_get(GAB_DTYPE_MXFP4);
    gab_arena *arena = gab_gguf_arena(f->gguf);
    gab_gguf_layout *layout = gab_arena_alloc(arena, 1, sizeof *layout);
    gab_gguf_part *parts = gab_arena_alloc(arena, 2, sizeof *parts); /* numbers, scales */
    const source *numbers = NULL, *scales = NULL;
    if (!layout || !parts) return out_of_memory(f);
    for (uint64_t i = 0; i < n; i++) {
        if (s[i].target.rule && s[i].target.rule->rows == GAB_HF_MX_NUMBERS) numbers = &s[i];
        if (s[i].target.rule && s[i].target.rule->rows == GAB_HF_MX_SCALES) scales = &s[i];
    }
    if (n != 2 || !numbers || !scales)
        return tensor_fail(f, s, "needs one of _blocks and one of _scales beside it: download the folder again");
    const gab_safetensor *st = numbers->tensor, *sc = scales->tensor;
    if (strcmp(st->type, "U8") != 0 || strcmp(sc->type, "U8") != 0 || st->n_dim != 4 || sc->n_dim != 3 ||
        st->shape[3] != 16 || memcmp(st->shape, sc->shape, 3 * sizeof *st->shape) != 0 || st->n_element == 0)
        return tensor_fail(f, numbers,
                           "has %" PRIu32 " dimensions and %" PRIu64 " elements, its scales %" PRIu32 " and %" PRIu64
                           ": needed are bytes of [experts][rows][blocks][16] and [experts][rows][blocks]",
                           st->n_dim, st->n_element, sc->n_dim, sc->n_element);
    parts[0] = (gab_gguf_part){numbers->file, st->offset};
    parts[1] = (gab_gguf_part){scales->file, sc->offset};
    *layout = (gab_gguf_layout){.parts = parts, .n_part = 1, .stored = GAB_DTYPE_MXFP4, .mx_scales = &parts[1]};
    gab_gguf_tensor t = {.file = numbers->file,
                         .offset = st->offset,
                         .known = true,
                         .type = GAB_DTYPE_MXFP4,
                         .gguf_type = info->gguf_id,
                         .type_name = info->name,
                         .n_dim = 3,
                         .shape = {32 * st->shape[2], st->shape[1], st->shape[0], 1},
                         .n_row = st->shape[0] * st->shape[1],
                         .row_bytes = st->shape[2] * info->block_bytes,
                         .layout = layout};
    t.bytes = t.n_row * t.row_bytes;
    gab_gguf_tensor *added = gab_gguf_add_tensor(f->gguf, numbers->target.name);
    if (!added) return out_of_memory(f);
    t.name = added->name;
    *added = t;
    return GAB_OK;
}

/* n sources that make one tensor: one, or one an expert. */
static gab_status add_tensor(folder *f, const source *s, uint64_t n) {
    gab_arena *arena = gab_gguf_arena(f->gguf);
    const gab_hf_rule *rule = s->target.rule;
    gab_gguf_layout *layout = gab_arena_alloc(arena, 1, sizeof *layout);
    gab_gguf_part *parts = gab_arena_alloc(arena, (size_t)n, sizeof *parts);
    gab_gguf_tensor t = {.file = s->file, .offset = s->tensor->offset};
    if (!layout || !parts) return out_of_memory(f);
    for (uint64_t i = 0; i < n; i++) {
        const gab_safetensor *part = s[i].tensor;
        if (i > 0 && !s->target.has_expert)
            return tensor_fail(f, &s[i], "and '%s' are the same in two names: the folder is damaged, download it again",
                               s->tensor->name);
        if (s[i].target.expert != (s->target.has_expert ? i : 0))
            return tensor_fail(f, &s[i], "is there, that of expert %" PRIu64 " is not: download the folder again", i);
        if (strcmp(part->type, s->tensor->type) != 0 || part->n_dim != s->tensor->n_dim ||
            memcmp(part->shape, s->tensor->shape, sizeof part->shape) != 0)
            return tensor_fail(f, &s[i],
                               "has another type or shape than the first expert's: download the folder again");
        parts[i] = (gab_gguf_part){s[i].file, part->offset};
    }
    *layout = (gab_gguf_layout){.parts = parts, .n_part = (uint32_t)n};
    GAB_TRY(set_shape(f, s, n, &t));
    set_type(s->tensor, &t);
    layout->stored = t.type;
    layout->transposed = rule && rule->rows == GAB_HF_TRANSPOSED && s->tensor->n_dim == 2;
    if (t.known && is_stack(s)) GAB_TRY(cut_stack(f, s, &t, layout));
    if (rule && !gab_hf_order(rule->rows, s->tensor->shape[0], f->config.n_head, f->config.n_head_kv, &layout->order))
        return tensor_fail(f, s,
                           "has %" PRIu64 " rows, which %" PRIu32 " heads, %" PRIu32
                           " of keys (config.json), do not divide: the files do not belong together",
                           s->tensor->shape[0], f->config.n_head, f->config.n_head_kv);
    if (rule && rule->add_one && t.known) {
        layout->add = 1;
        layout->convert = true;
        t.type = GAB_DTYPE_F32;
        t.gguf_type = gab_dtype_get(t.type)->gguf_id;
        t.type_name = gab_dtype_get(t.type)->name;
        t.row_bytes = t.shape[0] * sizeof(float);
        t.bytes = t.n_row * t.row_bytes;
    }
    const bool as_stored = n == 1 && !layout->convert && !layout->transposed && layout->order.n[0] == 0;
    if (t.known && !as_stored) t.layout = layout;
    if (!t.known) t.type_name = gab_arena_copy_text(arena, s->tensor->type, strlen(s->tensor->type));
    gab_gguf_tensor *added = gab_gguf_add_tensor(f->gguf, s->target.name);
    if (!added || !t.type_name) return out_of_memory(f);
    t.name = added->name;
    *added = t;
    return GAB_OK;
}

static bool has_source(const folder *f, const char *name) {
    for (uint64_t i = 0; i < f->n_source; i++)
        if (strcmp(f->sources[i].target.name, name) == 0) return true;
    return false;
}

static gab_status add_tensors(folder *f) {
    GAB_TRY(find_sources(f));
    qsort(f->sources, (size_t)f->n_source, sizeof *f->sources, compare_sources);
    for (uint64_t i = 0, n; i < f->n_source; i += n) {
        for (n = 1; i + n < f->n_source && strcmp(f->sources[i + n].target.name, f->sources[i].target.name) == 0;) n++;
        GAB_TRY(is_mx(&f->sources[i]) ? add_mx(f, &f->sources[i], n) : add_tensor(f, &f->sources[i], n));
    }
    if (f->config.head_needed && has_source(f, "token_embd.weight") && !has_source(f, "output.weight"))
        return gab_fail(f->log, GAB_ERROR_FORMAT,
                        "%s has no tensor of the head (lm_head.weight), and its config.json does not say "
                        "\"tie_word_embeddings\": true: the folder is incomplete; download it again",
                        f->path);
    if (f->n_unused > 0) {
        char shown[65];
        gab_reader_show(shown, sizeof shown, f->first_unused);
        gab_log_print(f->log, GAB_LOG_WARNING, "%s: %" PRIu64 " tensors are not used, '%s' is the first", f->path,
                      f->n_unused, shown);
    }
    return GAB_OK;
}

/* ---- the rest ---- */

static const char template_key[] = "tokenizer.chat_template";

/* The template of conversations that a JSON file has, alone or among several with names; none is no error. */
static gab_status add_template_of(folder *f, const char *name_of_file, bool *found) {
    char path[PATH_BYTES];
    cJSON *config = NULL;
    if (!join(f, name_of_file, path) || gab_path_kind(path) != GAB_PATH_FILE) return GAB_OK;
    GAB_TRY(gab_json_read(path, TEXT_BYTES_MAX, f->log, &config));
    const cJSON *text = cJSON_GetObjectItemCaseSensitive(config, "chat_template"), *item;
    if (cJSON_IsArray(text)) {
        cJSON_ArrayForEach(item, text) {
            const cJSON *name = cJSON_GetObjectItemCaseSensitive(item, "name");
            if (!cJSON_IsString(name) || strcmp(name->valuestring, "default") != 0) continue;
            text = cJSON_GetObjectItemCaseSensitive(item, "template");
            break;
        }
    }
    *found = cJSON_IsString(text);
    if (*found) gab_gguf_add_text(f->gguf, template_key, text->valuestring);
    cJSON_Delete(config);
    return GAB_OK;
}

/* A file of its own is before a text in tokenizer_config.json, and that before the file of processors. */
static gab_status add_template(folder *f) {
    char path[PATH_BYTES];
    if (join(f, "chat_template.jinja", path) && gab_path_kind(path) == GAB_PATH_FILE) {
        char *text = NULL;
        size_t n = 0;
        GAB_TRY(gab_file_read_all(path, TEXT_BYTES_MAX, f->log, &text, &n));
        gab_gguf_add_text(f->gguf, template_key, text);
        free(text);
        return GAB_OK;
    }
    bool found = false;
    GAB_TRY(add_template_of(f, "tokenizer_config.json", &found));
    return found ? GAB_OK : add_template_of(f, "chat_template.json", &found);
}

/* Where the last part of a path's first n characters begins; n becomes where it ends. */
static size_t last_part(const char *path, size_t *n) {
    while (*n > 1 && path[*n - 1] == '/') (*n)--;
    size_t begin = *n;
    while (begin > 0 && path[begin - 1] != '/') begin--;
    return begin;
}

/* The folder's; of one in the cache of Hugging Face, models--ORG--NAME/snapshots/COMMIT, the repository's. */
static void add_name(folder *f) {
    char name[256];
    size_t end = strlen(f->path), begin = last_part(f->path, &end), middle_end = begin;
    const size_t middle = last_part(f->path, &middle_end);
    size_t top_end = middle, top = last_part(f->path, &top_end);
    if (middle_end - middle == 9 && memcmp(f->path + middle, "snapshots", 9) == 0 && top_end - top > 8 &&
        memcmp(f->path + top, "models--", 8) == 0) {
        begin = top + 8;
        end = top_end;
        for (size_t i = begin; i + 2 < end; i++)
            if (f->path[i] == '-' && f->path[i + 1] == '-') begin = i + 2;
    }
    snprintf(name, sizeof name, "%.*s", (int)(end - begin), f->path + begin);
    if (name[0] && name[0] != '.') gab_gguf_add_text(f->gguf, "general.name", name);
}

static gab_status make(folder *f) {
    GAB_TRY(gab_hf_config_read(f->path, f->log, &f->config));
    GAB_TRY(open_files(f));
    GAB_TRY(gab_gguf_new(f->path, f->log, &f->gguf));
    add_name(f);
    GAB_TRY(add_tensors(f));
    for (uint32_t i = 0; i < f->n_file; i++)
        GAB_TRY(gab_gguf_add_file(f->gguf, gab_safetensors_take_file(f->files[i]), f->log));
    GAB_TRY(gab_hf_config_put(&f->config, f->gguf));
    GAB_TRY(gab_hf_generation_put(f->path, &f->config, f->gguf));
    GAB_TRY(add_template(f));
    return gab_gguf_finish(f->gguf, f->log);
}

gab_status gab_folder_open(const char *path, const gab_log *log, gab_gguf **gguf) {
    folder f = {.path = path, .log = log};
    gab_status status = make(&f);
    gab_hf_config_free(&f.config);
    for (uint32_t i = 0; i < f.n_file; i++) gab_safetensors_close(&f.files[i]);
    free(f.files);
    free(f.sources);
    if (status == GAB_OK)
        *gguf = f.gguf;
    else
        gab_gguf_close(&f.gguf);
    return status;
}
