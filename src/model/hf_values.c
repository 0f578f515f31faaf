#include "model/hf_values.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "format/reader.h"

const cJSON *gab_hf_find(const cJSON *object, const char *names) {
    char name[64];
    for (const char *at = names; *at; at += strcspn(at, "|"), at += *at == '|') {
        snprintf(name, sizeof name, "%.*s", (int)strcspn(at, "|"), at);
        const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);
        if (item && !cJSON_IsNull(item)) return item;
    }
    return NULL;
}

gab_status gab_hf_value_fail(const gab_hf_config *c, const cJSON *item, const char *needed) {
    char *text = cJSON_PrintUnformatted(item), shown[41];
    gab_reader_show(shown, sizeof shown, text ? text : "");
    cJSON_free(text);
    return gab_fail(c->log, GAB_ERROR_FORMAT, "%s: %s is %s, needed is %s: correct it or download the file again",
                    c->path, item && item->string ? item->string : "an element", shown, needed);
}

gab_status gab_hf_u32(const gab_hf_config *c, const cJSON *object, const char *names, uint32_t *value) {
    const cJSON *item = gab_hf_find(object, names);
    uint64_t number = 0;
    if (!item) return GAB_OK;
    if (!gab_json_u64(item, &number) || number > UINT32_MAX) return gab_hf_value_fail(c, item, "a whole number");
    *value = (uint32_t)number;
    return GAB_OK;
}

gab_status gab_hf_number(const gab_hf_config *c, const cJSON *object, const char *names, double *value) {
    const cJSON *item = gab_hf_find(object, names);
    if (!item) return GAB_OK;
    if (!cJSON_IsNumber(item) || !isfinite(item->valuedouble)) return gab_hf_value_fail(c, item, "a number");
    *value = item->valuedouble;
    return GAB_OK;
}

void gab_hf_put_u32(gab_gguf *gguf, const char *architecture, const char *key, uint32_t value) {
    char name[128];
    snprintf(name, sizeof name, "%s.%s", architecture, key);
    gab_gguf_add_u32(gguf, name, value);
}

void gab_hf_put_f32(gab_gguf *gguf, const char *architecture, const char *key, double value) {
    char name[128];
    snprintf(name, sizeof name, "%s.%s", architecture, key);
    gab_gguf_add_f32(gguf, name, (float)value);
}

void gab_hf_put_text(gab_gguf *gguf, const char *architecture, const char *key, const char *value) {
    char name[128];
    snprintf(name, sizeof name, "%s.%s", architecture, key);
    gab_gguf_add_text(gguf, name, value);
}

void gab_hf_put_bool(gab_gguf *gguf, const char *architecture, const char *key, bool value) {
    char name[128];
    snprintf(name, sizeof name, "%s.%s", architecture, key);
    gab_gguf_add_bool(gguf, name, value);
}
