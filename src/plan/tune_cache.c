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

/* The lines of a whole file, between its head and its end. */
static file_state parse(const gab_tune_cache *cache, const char *file, size_t n, char **text) {
    enum { END_BYTES = 4 + 16 + 1 }; /* "end ", checksum, newline */
    char head[LINE_MAX_BYTES], end[END_BYTES + 1];
    head_of(cache, head, sizeof head);
    if (n < END_BYTES || strlen(file) != n) return FILE_DAMAGED;
    snprintf(end, sizeof end, "end %016" PRIx64 "\n", gab_hash_bytes(GAB_HASH_START, file, n - END_BYTES));
    if (strcmp(file + n - END_BYTES, end) != 0) return FILE_DAMAGED;
    const size_t n_head = strlen(head), n_body = n - END_BYTES;
    if (n_body < n_head || memcmp(file, head, n_head) != 0) return FILE_OLD;
    *text = malloc(n_body - n_head + 1);
    if (!*text) return FILE_OLD;
    memcpy(*text, file + n_head, n_body - n_head);
    (*text)[n_body - n_head] = 0;
    return FILE_GOOD;
}

/* The lines of the file at a path, NULL without good ones. Returns what is wrong with it; NULL: nothing, or there is
 * none. */
static const char *file_read(const gab_tune_cache *cache, const char *path, char **text) {
    const gab_log silent = {0};
    char *file = NULL;
    size_t n = 0;
    *text = NULL;
    FILE *exists = fopen(path, "rb");
    if (!exists) return errno == ENOENT ? NULL : "cannot be read";
    fclose(exists);
    if (gab_file_read_all(path, FILE_BYTES_MAX, &silent, &file, &n) != GAB_OK) return "cannot be read";
    const file_state state = parse(cache, file, n, text);
    free(file);
    return state == FILE_DAMAGED ? "is damaged" : NULL;
}

void gab_tune_cache_open(gab_vk *vk, uint64_t kernels, gab_tune_cache *cache) {
    char path[4096];
    *cache = (gab_tune_cache){.vk = vk, .kernels = kernels};
    if (!file_path(vk, path, sizeof path)) return;
    const char *wrong = file_read(cache, path, &cache->text);
    cache->warned = wrong != NULL;
    if (wrong) gab_log_print(&vk->log, GAB_LOG_WARNING, "tuning cache %s %s: tuning again", path, wrong);
}

void gab_tune_cache_close(gab_tune_cache *cache) {
    free(cache->text);
    free(cache->added);
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

static void append(char **text, const char *lines) {
    const size_t n = *text ? strlen(*text) : 0, n_more = strlen(lines);
    char *longer = realloc(*text, n + n_more + 1);
    if (!longer) return; /* it will be measured again */
    memcpy(longer + n, lines, n_more + 1);
    *text = longer;
}

void gab_tune_cache_add(gab_tune_cache *cache, const char *operation, bool exact, const char *shape,
                        const char *variant, double ms, const char *verdict) {
    char start[LINE_MAX_BYTES], line[2 * LINE_MAX_BYTES];
    start_of(verdict ? "row" : "use", operation, exact, shape, start, sizeof start);
    snprintf(line, sizeof line, "%s%s %.0f ns%s%s\n", start, variant, ms * 1e6, verdict ? ", " : "",
             verdict ? verdict : "");
    append(&cache->added, line);
}

void gab_tune_cache_add_bad(gab_tune_cache *cache, const char *operation, bool exact, const char *shape,
                            const char *variant) {
    char start[LINE_MAX_BYTES], line[2 * LINE_MAX_BYTES];
    start_of("bad", operation, exact, shape, start, sizeof start);
    snprintf(line, sizeof line, "%s%s\n", start, variant);
    append(&cache->added, line);
}

/* Takes the choice and the rows of what a line "use KEY : ..." is about out of a text. */
static void drop(char *text, const char *use) {
    enum { WORD = 4 }; /* "use ", "row " */
    const size_t n = (size_t)(strstr(use, " : ") - use) - WORD;
    char *to = text;
    for (const char *line = text, *next; *line; line = next) {
        next = line_end(line);
        if (strncmp(line, "bad ", WORD) != 0 && strncmp(line + WORD, use + WORD, n + 3) == 0) continue;
        memmove(to, line, (size_t)(next - line));
        to += next - line;
    }
    *to = 0;
}

/* Writes head, lines, and end; false, with errno set, when it cannot. */
static bool file_write(const gab_tune_cache *cache, const char *path, const char *text) {
    char head[LINE_MAX_BYTES];
    head_of(cache, head, sizeof head);
    const size_t n_body = strlen(head) + strlen(text);
    char *file = malloc(n_body + LINE_MAX_BYTES);
    if (!file) return false;
    snprintf(file, n_body + 1, "%s%s", head, text);
    const int n_end =
        snprintf(file + n_body, LINE_MAX_BYTES, "end %016" PRIx64 "\n", gab_hash_bytes(GAB_HASH_START, file, n_body));
    const bool written = gab_file_write_all(path, file, n_body + (size_t)n_end);
    free(file);
    return written;
}

void gab_tune_cache_write(gab_tune_cache *cache) {
    static const char consequence[] = "kernels are tuned at every start, and the same seed may give other texts";
    const gab_log *log = &cache->vk->log;
    char folder[4096], path[4096], *text;
    if (!cache->added) return;
    if (!gab_cache_folder(folder, sizeof folder) || !file_path(cache->vk, path, sizeof path)) {
        gab_log_print(log, GAB_LOG_WARNING, "no cache folder can be made (%s; XDG_CACHE_HOME or HOME says where): %s",
                      strerror(errno), consequence);
        return;
    }
    const int lock = gab_folder_lock(folder);
    file_read(cache, path, &text);
    for (const char *line = cache->added; text && *line; line = line_end(line))
        if (strncmp(line, "use ", 4) == 0) drop(text, line);
    append(&text, cache->added);
    if (!(text && file_write(cache, path, text)) && !cache->warned)
        gab_log_print(log, GAB_LOG_WARNING, "tuning cache %s cannot be written (%s): %s", path, strerror(errno),
                      consequence);
    gab_folder_unlock(lock);
    free(text);
}
