/*
 * gguf_split.c - opens a model that lies in one GGUF file, or in several: PREFIX-00001-of-0000N.gguf and so on, as
 * llama.cpp's gguf-split writes them. Each file says which one it is (split.no, from 0), of how many (split.count), and
 * how many tensors all have together (split.tensors.count); the first one has the metadata. Any of them may be named.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "format/gguf_make.h"
#include "format/gguf_table.h"
#include "format/reader.h"

enum { SPLIT_MAX = 65535, PATH_BYTES = 4096 };

typedef struct split {
    uint32_t no, count, n_tensor; /* count 0: the file is no part of one */
} split;

static gab_status open_one(const char *path, const gab_log *log, gab_gguf **gguf) {
    gab_file *file = NULL;
    GAB_TRY(gab_file_open(path, log, &file));
    return gab_gguf_open_file(file, log, gguf);
}

static gab_status read_split(const gab_gguf *gguf, const gab_log *log, split *s) {
    *s = (split){0};
    if (!gab_gguf_key_find(gguf, "split.count")) return GAB_OK;
    GAB_TRY(gab_gguf_require_u32(gguf, "split.count", log, &s->count));
    if (s->count > SPLIT_MAX)
        return gab_fail(log, GAB_ERROR_FORMAT, "%s: split.count is %" PRIu32 ", possible are 0 to %d: split it again",
                        gab_gguf_path(gguf), s->count, SPLIT_MAX);
    if (s->count < 2) return GAB_OK;
    GAB_TRY(gab_gguf_require_u32(gguf, "split.no", log, &s->no));
    if (s->no >= s->count)
        return gab_fail(log, GAB_ERROR_FORMAT,
                        "%s: split.no is %" PRIu32 ", but split.count is %" PRIu32 ": split the model again",
                        gab_gguf_path(gguf), s->no, s->count);
    return gab_gguf_require_u32(gguf, "split.tensors.count", log, &s->n_tensor);
}

/* PREFIX of a path that ends as part s of a model must. */
static gab_status find_prefix(const char *path, const split *s, const gab_log *log, char *prefix, size_t size) {
    char tail[48];
    snprintf(tail, sizeof tail, "-%05" PRIu32 "-of-%05" PRIu32 ".gguf", s->no + 1, s->count);
    const size_t n = strlen(path), n_tail = strlen(tail);
    if (n < n_tail || strcmp(path + n - n_tail, tail) != 0)
        return gab_fail(log, GAB_ERROR_FILE,
                        "%s is part %" PRIu32 " of %" PRIu32
                        " of a model, but its name does not end in '%s', so that the "
                        "others cannot be found: give it back the name that it was made with",
                        path, s->no + 1, s->count, tail);
    if (n - n_tail + 64 > size)
        return gab_fail(log, GAB_ERROR_FILE, "%s: the path is longer than %zu bytes", path, size);
    memcpy(prefix, path, n - n_tail);
    prefix[n - n_tail] = 0;
    return GAB_OK;
}

/* That another file is what its name says, and of the same model. */
static gab_status check_part(const gab_gguf *gguf, const split *found, const split *expected, const gab_log *log) {
    if (found->count != expected->count || found->no != expected->no)
        return gab_fail(log, GAB_ERROR_FORMAT,
                        "%s: split.no and split.count say part %" PRIu32 " of %" PRIu32 ", its name says %" PRIu32
                        " of %" PRIu32 ": it is another file, download or copy it again",
                        gab_gguf_path(gguf), found->no + 1, found->count, expected->no + 1, expected->count);
    if (found->n_tensor != expected->n_tensor)
        return gab_fail(log, GAB_ERROR_FORMAT,
                        "%s: split.tensors.count is %" PRIu32 ", in the part that was named it is %" PRIu32
                        ": it belongs to another model, download or copy it again",
                        gab_gguf_path(gguf), found->n_tensor, expected->n_tensor);
    return GAB_OK;
}

/* Takes the tensors and the file of a part over. */
static gab_status take_part(gab_gguf *all, gab_gguf *part, const gab_log *log) {
    for (uint64_t i = 0; i < all->n_tensor; i++) {
        if (!gab_gguf_tensor_find(part, all->tensors[i].name)) continue;
        char shown[65];
        gab_reader_show(shown, sizeof shown, all->tensors[i].name);
        return gab_fail(log, GAB_ERROR_FORMAT,
                        "%s: tensor '%s' is in an earlier part, too: the file belongs to another model, download or "
                        "copy it again",
                        part->path, shown);
    }
    for (uint64_t i = 0; i < part->n_tensor; i++) {
        gab_gguf_tensor *tensor = gab_gguf_add_tensor(all, part->tensors[i].name);
        if (!tensor) break; /* gab_gguf_finish says so */
        const char *name = tensor->name;
        *tensor = part->tensors[i];
        tensor->name = name;
    }
    part->n_file = 0;
    return gab_gguf_add_file(all, part->files[0], log);
}

/* All parts of a model; *named is the one whose path was given, and is used up. */
static gab_status open_parts(gab_gguf **named, const split *of, const gab_log *log, gab_gguf **out) {
    char prefix[PATH_BYTES], path[PATH_BYTES];
    gab_gguf *all = NULL, *part = NULL;
    gab_status status = GAB_OK;
    GAB_TRY(find_prefix(gab_gguf_path(*named), of, log, prefix, sizeof prefix));
    for (uint32_t i = 0; i < of->count; i++) {
        split found;
        const split expected = {i, of->count, of->n_tensor};
        snprintf(path, sizeof path, "%.*s-%05" PRIu32 "-of-%05" PRIu32 ".gguf", PATH_BYTES - 64, prefix, i + 1,
                 of->count);
        if (i == of->no) {
            part = *named;
            *named = NULL;
        } else if (gab_path_kind(path) == GAB_PATH_NONE) {
            status = gab_fail(log, GAB_ERROR_FILE,
                              "%s is missing, part %" PRIu32 " of %" PRIu32
                              " of the model: put all its parts into one folder",
                              path, i + 1, of->count);
            goto error;
        } else {
            GAB_TRY_GOTO(open_one(path, log, &part), error);
        }
        GAB_TRY_GOTO(read_split(part, log, &found), error);
        GAB_TRY_GOTO(check_part(part, &found, &expected, log), error);
        if (all)
            GAB_TRY_GOTO(take_part(all, part, log), error);
        else
            all = part, part = NULL; /* the first has the metadata */
        gab_gguf_close(&part);
    }
    if (all->n_tensor != of->n_tensor) {
        status = gab_fail(log, GAB_ERROR_FORMAT,
                          "%s: its %" PRIu32 " parts hold %" PRIu64 " tensors, split.tensors.count says %" PRIu32
                          ": they do not belong together, download or copy them again",
                          all->path, of->count, all->n_tensor, of->n_tensor);
        goto error;
    }
    GAB_TRY_GOTO(gab_gguf_finish(all, log), error);
    *out = all;
    return GAB_OK;
error:
    gab_gguf_close(&part);
    gab_gguf_close(&all);
    return status;
}

gab_status gab_gguf_open(const char *path, const gab_log *log, gab_gguf **gguf) {
    gab_gguf *named = NULL;
    split s;
    GAB_TRY(open_one(path, log, &named));
    gab_status status = read_split(named, log, &s);
    if (status == GAB_OK && s.count > 1)
        status = open_parts(&named, &s, log, gguf);
    else if (status == GAB_OK)
        *gguf = named, named = NULL;
    gab_gguf_close(&named);
    if (status == GAB_OK) status = gab_gguf_stack_experts(*gguf, log);
    if (status != GAB_OK) gab_gguf_close(gguf);
    return status;
}
