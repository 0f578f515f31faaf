/*
 * json.h - JSON files: read and parsed whole (cJSON), with errors that say where. What the values mean is checked by
 * who asks for them.
 */
#ifndef GAB_FORMAT_JSON_H
#define GAB_FORMAT_JSON_H

#include <cjson/cJSON.h>

#include "base/error.h"

/* A text of n bytes, which must be one object; `path` is what messages call it. To be freed with cJSON_Delete. */
gab_status gab_json_parse(const char *path, const char *text, size_t n, const gab_log *log, cJSON **object);

/* A file of at most max bytes. */
gab_status gab_json_read(const char *path, size_t max, const gab_log *log, cJSON **object);

/* A whole number from 0 to 2^53, as far as a JSON number is exact. */
bool gab_json_u64(const cJSON *item, uint64_t *value);

#endif
