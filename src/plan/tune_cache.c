#include "plan/tune_cache.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/hash.h"

enum { FILE_BYTES_MAX = 1 << 20, LINE_MAX_BYTES = 512 };

static bool file_path(const gab_vk *vk, char *path, size_t size) {
    char stem[64];
    snprintf(stem, sizeof stem, "tuning-%s", vk->info.uuid);
    return gab_vk_cache_path(vk, stem, ".txt", path, size);
}

/* The lines that a file must begin with, or it is an old one. */
static void head_of(const gab_tune_cache *cache, char *head, size_t size) {
    snprintf(head, size, "gabbro tuning 1\ndevice %.200s\ndriver %08" PRIx32 " kernels %016" PRIx64 "\n",
             cache->vk->info.name, cache->vk->properties.driverVersion, cache->kernels);
}

/* ---- reading ---- */

typedef enum file_state { FILE_GOOD, FILE_OLD, FILE_DAMAGED } file_state;

/* Takes the choices out of a whole file. */
static file_state parse(gab_tune_cache *cache, const char *file, size_t n) {
    enum { END_BYTES = 4 + 16 + 1 }; /* "end ", checksum, newline */
    char head[LINE_MAX_BYTES], end[END_BYTES + 1];
    head_of(cache, head, sizeof head);
    if (n < END_BYTES || strlen(file) != n) return FILE_DAMAGED;
    snprintf(end, sizeof end, "end %016" PRIx64 "\n", gab_hash_bytes(GAB_HASH_START, file, n - END_BYTES));
    if (strcmp(file + n - END_BYTES, end) != 0) return FILE_DAMAGED;
    const size_t n_head = strlen(head), n_body = n - END_BYTES;
    if (n_body < n_head || memcmp(file, head, n_head) != 0) return FILE_OLD;
    cache->n = n_body - n_head;
    cache->text = malloc(cache->n + 1);
    if (!cache->text) return FILE_OLD;
    memcpy(cache->text, file + n_head, cache->n);
    cache->text[cache->n] = 0;
    return FILE_GOOD;
}

void gab_tune_cache_open(gab_vk *vk, uint64_t kernels, gab_tune_cache *cache) {
    char path[4096];
    char *file = NULL;
    size_t n = 0;
    *cache = (gab_tune_cache){.vk = vk, .kernels = kernels};
    if (!file_path(vk, path, sizeof path)) return;
    FILE *exists = fopen(path, "rb");
    const int error = errno;
    if (!exists && error == ENOENT) return;
    if (exists) fclose(exists);
    const gab_log silent = {0};
    const char *state = NULL;
    if (!exists || gab_file_read_all(path, FILE_BYTES_MAX, &silent, &file, &n) != GAB_OK)
        state = "cannot be read";
    else if (parse(cache, file, n) == FILE_DAMAGED)
        state = "is damaged";
    free(file);
    cache->warned = state != NULL;
    if (state) gab_log_print(&vk->log, GAB_LOG_WARNING, "tuning cache %s %s: tuning again", path, state);
}

void gab_tune_cache_close(gab_tune_cache *cache) {
    free(cache->text);
    memset(cache, 0, sizeof *cache);
}

/* "use matvec_q8_0 fast 4096x1024 : ", how a line begins; word: of three letters. */
static size_t start_of(const char *word, const char *operation, bool exact, const char *shape, char *text,
                       size_t size) {
    return (size_t)snprintf(text, size, "%s %s %s %s : ", word, operation, exact ? "exact" : "fast", shape);
}

static const char *line_end(const char *line) {
    const char *end = strchr(line, '\n');
    return end ? end + 1 : line + strlen(line);
}

bool gab_tune_cache_find(const gab_tune_cache *cache, const char *operation, bool exact, const char *shape, char *name,
                         size_t size) {
    char start[LINE_MAX_BYTES];
    const size_t n = start_of("use", operation, exact, shape, start, sizeof start);
    for (const char *line = cache->text; line && *line; line = line_end(line)) {
        if (strncmp(line, start, n) != 0) continue;
        const size_t length = strcspn(line + n, " \n");
        if (length == 0 || length >= size) return false;
        memcpy(name, line + n, length);
        name[length] = 0;
        return true;
    }
    return false;
}

bool gab_tune_cache_is_bad(const gab_tune_cache *cache, const char *operation, bool exact, const char *shape,
                           const char *variant) {
    char start[LINE_MAX_BYTES];
    const size_t n = start_of("bad", operation, exact, shape, start, sizeof start);
    for (const char *line = cache->text; line && *line; line = line_end(line))
        if (strncmp(line, start, n) == 0 && strcspn(line + n, "\n") == strlen(variant) &&
            strncmp(line + n, variant, strlen(variant)) == 0)
            return true;
    return false;
}

/* ---- writing ---- */

void gab_tune_cache_drop(gab_tune_cache *cache, const char *operation, bool exact, const char *shape) {
    char use[LINE_MAX_BYTES], row[LINE_MAX_BYTES];
    const size_t n = start_of("use", operation, exact, shape, use, sizeof use);
    start_of("row", operation, exact, shape, row, sizeof row);
    if (!cache->text) return;
    char *to = cache->text;
    for (const char *line = cache->text, *next; *line; line = next) {
        next = line_end(line);
        if (strncmp(line, use, n) == 0 || strncmp(line, row, n) == 0) continue;
        memmove(to, line, (size_t)(next - line));
        to += next - line;
    }
    *to = 0;
    cache->n = (size_t)(to - cache->text);
}

static void append(gab_tune_cache *cache, const char *line) {
    const size_t n = strlen(line);
    char *text = realloc(cache->text, cache->n + n + 1);
    if (!text) return; /* it will be measured again */
    cache->text = text;
    memcpy(text + cache->n, line, n + 1);
    cache->n += n;
}

void gab_tune_cache_add(gab_tune_cache *cache, const char *operation, bool exact, const char *shape,
                        const char *variant, double ms, const char *verdict) {
    char start[LINE_MAX_BYTES], line[2 * LINE_MAX_BYTES];
    start_of(verdict ? "row" : "use", operation, exact, shape, start, sizeof start);
    snprintf(line, sizeof line, "%s%s %.0f ns%s%s\n", start, variant, ms * 1e6, verdict ? ", " : "",
             verdict ? verdict : "");
    append(cache, line);
}

void gab_tune_cache_add_bad(gab_tune_cache *cache, const char *operation, bool exact, const char *shape,
                            const char *variant) {
    char start[LINE_MAX_BYTES], line[2 * LINE_MAX_BYTES];
    start_of("bad", operation, exact, shape, start, sizeof start);
    snprintf(line, sizeof line, "%s%s\n", start, variant);
    append(cache, line);
}

void gab_tune_cache_write(gab_tune_cache *cache) {
    const gab_log *log = &cache->vk->log;
    char path[4096], head[LINE_MAX_BYTES];
    if (!file_path(cache->vk, path, sizeof path)) {
        gab_log_print(log, GAB_LOG_WARNING,
                      "no cache folder can be made (XDG_CACHE_HOME, HOME): kernels are tuned at every start, and the "
                      "same seed may give other texts");
        return;
    }
    head_of(cache, head, sizeof head);
    const size_t n_head = strlen(head), n_body = n_head + cache->n;
    char *file = malloc(n_body + LINE_MAX_BYTES);
    if (!file) return;
    snprintf(file, n_body + 1, "%s%s", head, cache->text ? cache->text : "");
    const int n_end =
        snprintf(file + n_body, LINE_MAX_BYTES, "end %016" PRIx64 "\n", gab_hash_bytes(GAB_HASH_START, file, n_body));
    if (!gab_file_write_all(path, file, n_body + (size_t)n_end) && !cache->warned)
        gab_log_print(log, GAB_LOG_WARNING,
                      "tuning cache %s cannot be written (%s): kernels are tuned at every start, and the same seed may "
                      "give other texts",
                      path, strerror(errno));
    free(file);
}
