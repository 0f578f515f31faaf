#include "format/json.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"

/* Bytes that may follow the object. */
static bool is_blank(const char *text, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (!strchr(" \t\r\n", text[i]) || !text[i]) return false;
    return true;
}

gab_status gab_json_parse(const char *path, const char *text, size_t n, const gab_log *log, cJSON **object) {
    const char *end = text;
    cJSON *json = n > 0 ? cJSON_ParseWithLengthOpts(text, n, &end, false) : NULL;
    size_t at = end >= text && end <= text + n ? (size_t)(end - text) : 0;
    if (cJSON_IsObject(json) && is_blank(text + at, n - at)) {
        *object = json;
        return GAB_OK;
    }
    if (json && !cJSON_IsObject(json)) at = 0;
    cJSON_Delete(json);
    size_t line = 1;
    for (size_t i = 0; i < at; i++) line += text[i] == '\n';
    return gab_fail(log, GAB_ERROR_FORMAT,
                    "%s is no JSON object: byte %zu (line %zu) of %zu is wrong; download or copy the file again", path,
                    at, line, n);
}

gab_status gab_json_read(const char *path, size_t max, const gab_log *log, cJSON **object) {
    char *text = NULL;
    size_t n = 0;
    GAB_TRY(gab_file_read_all(path, max, log, &text, &n));
    gab_status status = gab_json_parse(path, text, n, log, object);
    free(text);
    return status;
}

bool gab_json_u64(const cJSON *item, uint64_t *value) {
    const double exact_max = 9007199254740992.0; /* 2^53 */
    if (!cJSON_IsNumber(item) || !(item->valuedouble >= 0 && item->valuedouble <= exact_max)) return false;
    *value = (uint64_t)item->valuedouble;
    return (double)*value == item->valuedouble;
}
