#include "cli/pull_parse.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <cjson/cJSON.h>

/* ---- headers ----------------------------------------------------------------------------------------------------- */

/* A text of n bytes into its place; left out when it does not fit or has control characters. */
static void keep_text(char *place, size_t size, const char *text, size_t n) {
    place[0] = 0;
    if (n >= size) return;
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f) return;
    memcpy(place, text, n);
    place[n] = 0;
}

/* Digits at the start of a text; false when there are none or too many. */
static bool take_number(const char **text, const char *end, uint64_t *value) {
    const char *start = *text;
    *value = 0;
    for (; *text < end && **text >= '0' && **text <= '9'; ++*text) {
        if (*text - start == 18) return false; /* below any overflow */
        *value = 10 * *value + (uint64_t)(**text - '0');
    }
    return *text > start;
}

static uint64_t whole_number(const char *text, size_t n) {
    uint64_t value;
    const char *at = text;
    return take_number(&at, text + n, &value) && at == text + n ? value : PULL_UNKNOWN;
}

/* "bytes 100-199/200", the total also "*" (RFC 9110, 14.4). */
static void keep_range(pull_reply *reply, const char *text, size_t n) {
    const char *at = text, *end = text + n;
    uint64_t first, last, total = PULL_UNKNOWN;
    if (n < 6 || strncasecmp(at, "bytes ", 6) != 0) return;
    at += 6;
    if (!take_number(&at, end, &first) || at == end || *at++ != '-') return;
    if (!take_number(&at, end, &last) || at == end || *at++ != '/' || last < first) return;
    if (!(at + 1 == end && *at == '*') && (!take_number(&at, end, &total) || at != end || last >= total)) return;
    reply->range_first = first;
    reply->range_total = total;
}

/* An entity tag without "W/" and quotes. */
static void unquote(const char **text, size_t *n) {
    if (*n >= 2 && (*text)[0] == 'W' && (*text)[1] == '/') {
        *text += 2;
        *n -= 2;
    }
    if (*n < 2 || (*text)[0] != '"' || (*text)[*n - 1] != '"') return;
    ++*text;
    *n -= 2;
}

static void start_reply(pull_reply *reply, const char *line, size_t n) {
    *reply = (pull_reply){
        .length = PULL_UNKNOWN, .linked_size = PULL_UNKNOWN, .range_first = PULL_UNKNOWN, .range_total = PULL_UNKNOWN};
    const char *space = memchr(line, ' ', n);
    uint64_t status = space ? whole_number(space + 1, line + n - space - 1 < 3 ? 0 : 3) : PULL_UNKNOWN;
    reply->status = status < 1000 ? (long)status : 0;
}

static void keep_header(pull_reply *reply, const char *name, size_t n_name, const char *text, size_t n) {
    static const struct {
        const char *name;
        size_t offset;
    } texts[] = {{"X-Repo-Commit", offsetof(pull_reply, commit)},
                 {"X-Error-Code", offsetof(pull_reply, code)},
                 {"X-Error-Message", offsetof(pull_reply, message)},
                 {"ETag", offsetof(pull_reply, etag)}},
      numbers[] = {{"Content-Length", offsetof(pull_reply, length)},
                   {"X-Linked-Size", offsetof(pull_reply, linked_size)}};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (strlen(texts[i].name) == n_name && strncasecmp(name, texts[i].name, n_name) == 0)
            keep_text((char *)reply + texts[i].offset, PULL_TEXT_MAX, text, n);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (strlen(numbers[i].name) == n_name && strncasecmp(name, numbers[i].name, n_name) == 0)
            *(uint64_t *)((char *)reply + numbers[i].offset) = whole_number(text, n);
    if (n_name == 8 && strncasecmp(name, "Location", 8) == 0)
        keep_text(reply->location, sizeof reply->location, text, n);
    if (n_name == 13 && strncasecmp(name, "Content-Range", 13) == 0) keep_range(reply, text, n);
    if (n_name == 13 && strncasecmp(name, "X-Linked-ETag", 13) == 0) {
        unquote(&text, &n);
        keep_text(reply->linked, sizeof reply->linked, text, n);
    }
}

void pull_reply_line(pull_reply *reply, const char *line, size_t n) {
    while (n > 0 && strchr("\r\n \t", line[n - 1]) && line[n - 1]) n--;
    if (n >= 5 && strncasecmp(line, "HTTP/", 5) == 0) {
        start_reply(reply, line, n);
        return;
    }
    const char *colon = memchr(line, ':', n);
    if (!colon) return;
    const char *text = colon + 1, *end = line + n;
    while (text < end && (*text == ' ' || *text == '\t')) text++;
    keep_header(reply, line, (size_t)(colon - line), text, (size_t)(end - text));
}

bool pull_is_hash(const char *text) {
    size_t n = strlen(text);
    return (n == 40 || n == 64) && strspn(text, "0123456789abcdef") == n;
}

bool pull_reply_hash(const pull_reply *reply, char hash[GAB_SHA_HEX_MAX]) {
    char bare[PULL_TEXT_MAX];
    const char *text = reply->linked[0] ? reply->linked : reply->etag;
    size_t n = strlen(text);
    unquote(&text, &n);
    keep_text(bare, sizeof bare, text, n);
    if (!pull_is_hash(bare)) return false;
    memcpy(hash, bare, strlen(bare) + 1);
    return true;
}

/* ---- JSON -------------------------------------------------------------------------------------------------------- */

static const char *text_of(const cJSON *object, const char *name) {
    return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, name));
}

static uint64_t size_of(const cJSON *object, const char *name) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);
    const double max = 9007199254740992.0; /* 2^53: whole numbers below are exact */
    if (!cJSON_IsNumber(item) || !(item->valuedouble >= 0 && item->valuedouble < max)) return PULL_UNKNOWN;
    return (double)(uint64_t)item->valuedouble == item->valuedouble ? (uint64_t)item->valuedouble : PULL_UNKNOWN;
}

/* {"rfilename": PATH, "size": N, "blobId": SHA1} or with "lfs": {"sha256": ..., "size": N} for large files. */
static bool keep_file(pull_list *list, const cJSON *item) {
    const char *path = text_of(item, "rfilename");
    if (!path || !gab_hub_path_is_safe(path)) {
        list->n_unsafe++;
        return true;
    }
    const cJSON *lfs = cJSON_GetObjectItemCaseSensitive(item, "lfs");
    const char *hash = cJSON_IsObject(lfs) ? text_of(lfs, "sha256") : text_of(item, "blobId");
    pull_listed *file = &list->files[list->n_file++];
    file->size = size_of(cJSON_IsObject(lfs) ? lfs : item, "size");
    if (hash && pull_is_hash(hash)) snprintf(file->hash, sizeof file->hash, "%s", hash);
    file->path = gab_arena_copy_text(&list->arena, path, strlen(path));
    return file->path != NULL;
}

static gab_status keep_files(pull_list *list, const cJSON *siblings, const gab_log *log) {
    int n = cJSON_GetArraySize(siblings);
    const cJSON *item;
    list->files = gab_arena_alloc(&list->arena, n > 0 ? (size_t)n : 1, sizeof *list->files);
    bool ok = list->files != NULL;
    cJSON_ArrayForEach(item, siblings) {
        if (ok) ok = keep_file(list, item);
    }
    return ok ? GAB_OK : gab_fail(log, GAB_ERROR_HOST_MEMORY, "out of host memory reading a list of files");
}

gab_status pull_list_parse(const char *json, size_t n, const char *url, const gab_log *log, pull_list *list) {
    *list = (pull_list){0};
    cJSON *root = cJSON_ParseWithLength(json, n);
    const char *commit = text_of(root, "sha");
    const cJSON *siblings = cJSON_GetObjectItemCaseSensitive(root, "siblings");
    gab_status status;
    if (!cJSON_IsObject(root))
        status = gab_fail(log, GAB_ERROR_FORMAT, "%s does not answer with JSON: is this the address of a hub?", url);
    else if (!commit || !gab_hub_commit_is_valid(commit))
        status = gab_fail(log, GAB_ERROR_FORMAT, "%s: 'sha' is not a commit of 40 hexadecimal digits", url);
    else if (!cJSON_IsArray(siblings))
        status = gab_fail(log, GAB_ERROR_FORMAT, "%s: 'siblings' is not a list of files", url);
    else
        status = keep_files(list, siblings, log);
    if (status == GAB_OK) memcpy(list->commit, commit, sizeof list->commit);
    if (status != GAB_OK) pull_list_free(list);
    cJSON_Delete(root);
    return status;
}

void pull_list_free(pull_list *list) {
    gab_arena_free(&list->arena);
    *list = (pull_list){0};
}

void pull_refs_parse(const char *json, size_t n, char *names, size_t size) {
    static const char *const kinds[] = {"branches", "tags"};
    cJSON *root = cJSON_ParseWithLength(json, n);
    size_t used = 0;
    names[0] = 0;
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        const cJSON *item;
        cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(root, kinds[k])) {
            const char *name = text_of(item, "name");
            if (!name || !gab_hub_revision_is_safe(name) || strlen(name) + 3 > size - used) continue;
            used += (size_t)snprintf(names + used, size - used, "%s%s", used ? ", " : "", name);
        }
    }
    cJSON_Delete(root);
}
