#include "cli/chat_messages.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "base/file.h"
#include "base/utf8.h"

static const size_t file_bytes_max = (size_t)64 << 20;
static const char *const roles[] = {"system", "user", "assistant"};

/* ---- the list ---------------------------------------------------------------------------------------------------- */

static void free_range(chat_messages *messages, size_t first, size_t n) {
    for (size_t i = first; i < first + n; i++) free((char *)messages->items[i].content);
    memmove(messages->items + first, messages->items + first + n, (messages->n - first - n) * sizeof *messages->items);
    messages->n -= n;
}

void chat_messages_free(chat_messages *messages) {
    if (messages->n > 0) free_range(messages, 0, messages->n);
    free(messages->items);
    *messages = (chat_messages){0};
}

static bool insert(chat_messages *messages, size_t at, const char *role, const char *content, size_t n) {
    if (messages->n == messages->size) {
        size_t size = messages->size ? 2 * messages->size : 16;
        gab_chat_message *items = realloc(messages->items, size * sizeof *items);
        if (!items) return false;
        messages->items = items;
        messages->size = size;
    }
    char *copy = malloc(n + 1);
    if (!copy) return false;
    if (n) memcpy(copy, content, n);
    copy[n] = 0;
    memmove(messages->items + at + 1, messages->items + at, (messages->n - at) * sizeof *messages->items);
    messages->items[at] = (gab_chat_message){role, copy};
    messages->n++;
    return true;
}

bool chat_messages_add(chat_messages *messages, const char *role, const char *content, size_t n) {
    return insert(messages, messages->n, role, content, n);
}

const char *chat_messages_system(const chat_messages *messages) {
    return messages->n > 0 && strcmp(messages->items[0].role, "system") == 0 ? messages->items[0].content : NULL;
}

bool chat_messages_set_system(chat_messages *messages, const char *content) {
    const bool had = chat_messages_system(messages) != NULL;
    if (content[0] && !insert(messages, 0, "system", content, strlen(content))) return false;
    if (had) free_range(messages, content[0] ? 1 : 0, 1);
    return true;
}

bool chat_messages_last_is(const chat_messages *messages, const char *role) {
    return messages->n > 0 && strcmp(messages->items[messages->n - 1].role, role) == 0;
}

void chat_messages_drop_last(chat_messages *messages) {
    free_range(messages, messages->n - 1, 1);
}

bool chat_messages_drop_oldest(chat_messages *messages) {
    const size_t first = chat_messages_system(messages) ? 1 : 0;
    size_t next = first + 1;
    while (next < messages->n && strcmp(messages->items[next].role, "user") != 0) next++;
    if (next >= messages->n) return false;
    free_range(messages, first, next - first);
    return true;
}

/* ---- JSON -------------------------------------------------------------------------------------------------------- */

static const char *find_role(const cJSON *role) {
    for (size_t i = 0; cJSON_IsString(role) && i < sizeof roles / sizeof *roles; i++)
        if (strcmp(role->valuestring, roles[i]) == 0) return roles[i];
    return NULL;
}

static gab_status take_message(const cJSON *item, size_t i, const char *file, const gab_log *log,
                               chat_messages *messages) {
    const cJSON *content = cJSON_GetObjectItemCaseSensitive(item, "content");
    const char *role = find_role(cJSON_GetObjectItemCaseSensitive(item, "role"));
    if (!role)
        return gab_fail(log, GAB_ERROR_FORMAT, "%s: message %zu has no \"role\" that is system, user or assistant",
                        file, i);
    if (i > 0 && role == roles[0])
        return gab_fail(log, GAB_ERROR_FORMAT, "%s: message %zu is a system prompt, which only the first can be", file,
                        i);
    if (!cJSON_IsString(content))
        return gab_fail(log, GAB_ERROR_FORMAT, "%s: message %zu has no \"content\" that is a string", file, i);
    if (!chat_messages_add(messages, role, content->valuestring, strlen(content->valuestring)))
        return gab_fail(log, GAB_ERROR_HOST_MEMORY, "out of host memory reading %s", file);
    return GAB_OK;
}

static gab_status take_all(const cJSON *json, const char *file, const gab_log *log, chat_messages *messages) {
    const cJSON *list = cJSON_IsArray(json) ? json : cJSON_GetObjectItemCaseSensitive(json, "messages"), *item;
    size_t i = 0;
    if (!cJSON_IsArray(list))
        return gab_fail(log, GAB_ERROR_FORMAT,
                        "%s is no conversation: expected a JSON array of objects with \"role\" and \"content\"", file);
    cJSON_ArrayForEach(item, list) GAB_TRY(take_message(item, i++, file, log, messages));
    return GAB_OK;
}

gab_status chat_messages_parse(const char *text, size_t n, const char *file, const gab_log *log,
                               chat_messages *messages) {
    const char *end = NULL;
    cJSON *json = cJSON_ParseWithLengthOpts(text, n, &end, false);
    while (json && (size_t)(end - text) < n && strchr(" \t\r\n", *end)) end++;
    gab_status status;
    if (!json || (size_t)(end - text) < n) {
        size_t line = 1;
        for (const char *at = text; end && at < end; at++) line += *at == '\n';
        status = gab_fail(log, GAB_ERROR_FORMAT, "%s, line %zu: no valid JSON", file, line);
    } else {
        status = take_all(json, file, log, messages);
    }
    cJSON_Delete(json);
    if (status != GAB_OK) chat_messages_free(messages);
    return status;
}

gab_status chat_messages_load(const char *path, const gab_log *log, chat_messages *messages) {
    char *text;
    size_t n;
    if (gab_path_is_stream(path) || strcmp(path, "-") == 0)
        return gab_fail(log, GAB_ERROR_FILE, "%s is a pipe or a device, not a file: name one that was saved", path);
    GAB_TRY(gab_file_read_all(path, file_bytes_max, log, &text, &n));
    gab_status status = chat_messages_parse(text, n, path, log, messages);
    free(text);
    return status;
}

gab_status chat_messages_save(const char *path, const gab_log *log, const chat_messages *messages) {
    cJSON *list = cJSON_CreateArray();
    bool made = list;
    for (size_t i = 0; made && i < messages->n; i++) {
        cJSON *item = cJSON_CreateObject();
        made = item && cJSON_AddItemToArray(list, item) &&
               cJSON_AddStringToObject(item, "role", messages->items[i].role) &&
               cJSON_AddStringToObject(item, "content", messages->items[i].content);
    }
    char *printed = made ? cJSON_Print(list) : NULL, *text = printed ? gab_utf8_clean(printed) : NULL;
    cJSON_free(printed);
    cJSON_Delete(list);
    if (!text) return gab_fail(log, GAB_ERROR_HOST_MEMORY, "out of host memory writing %s", path);
    gab_status status = GAB_OK;
    if (!gab_file_write_all(path, text, strlen(text)))
        status = gab_fail(log, GAB_ERROR_FILE, "cannot write %s: %s", path, strerror(errno));
    free(text);
    return status;
}
