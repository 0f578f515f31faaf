/*
 * Small tokenizers of every kind against what the tokenizers library made of the same texts
 * (oracle/make_tokenizers.py): those in tests/tokenizers, or in the folder of GABBRO_TEST_TOKENIZERS. From
 * tokenizer.json, and from GGUF where one lies beside it.
 */
#include "test.h"

#include "base/file.h"
#include "gabbro.h"

#include <cjson/cJSON.h>
#include <dirent.h>
#include <unistd.h>

static void check_ids(const char *path, const gab_tokenizer *t, const cJSON *item, const char *which, bool framed) {
    const cJSON *text = cJSON_GetObjectItem(item, "text"), *list = cJSON_GetObjectItem(item, which), *id;
    int32_t *ids;
    size_t n, i = 0;
    CHECK_OK(gab_tokenizer_encode(t, text->valuestring, strlen(text->valuestring), framed, true, &ids, &n));
    cJSON_ArrayForEach(id, list) {
        if (i < n && ids[i] != id->valueint) {
            char *shown = cJSON_PrintUnformatted(text);
            FAIL("%s: %s: %s[%zu] is %d, not %d", path, shown, which, i, ids[i], id->valueint);
        }
        i++;
    }
    if (i != n) FAIL("%s: %s: %zu tokens, not %zu", path, cJSON_PrintUnformatted(text), n, i);
    gab_tokens_free(&ids);
}

static void check_decoded(const char *path, const gab_tokenizer *t, const cJSON *item) {
    const cJSON *expected = cJSON_GetObjectItem(item, "decoded"), *id;
    char text[4096] = "";
    gab_text_stream *stream;
    if (!expected) return;
    CHECK_OK(gab_text_stream_create(t, &stream));
    cJSON_ArrayForEach(id, cJSON_GetObjectItem(item, "plain")) {
        const char *part = gab_text_stream_push(stream, id->valueint);
        CHECK(strlen(text) + strlen(part) < sizeof text);
        strcat(text, part);
    }
    strcat(text, gab_text_stream_finish(stream));
    if (strcmp(text, expected->valuestring) != 0)
        FAIL("%s: %s decodes to '%s'", path, cJSON_PrintUnformatted(item), text);
    gab_text_stream_destroy(&stream);
}

/* False: there is no such file. */
static bool check_file(const char *folder, const char *name, const cJSON *cases, bool is_gguf) {
    char path[4096];
    gab_tokenizer *t;
    const cJSON *item;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    if (access(path, R_OK) != 0) return false;
    CHECK_OK(gab_tokenizer_open(path, NULL, NULL, &t));
    cJSON_ArrayForEach(item, cases) {
        if (is_gguf && cJSON_GetObjectItem(item, "not_gguf")) continue;
        check_ids(path, t, item, "ids", true);
        check_ids(path, t, item, "plain", false);
        check_decoded(path, t, item);
    }
    gab_tokenizer_destroy(&t);
    return true;
}

GAB_TEST(as_the_tokenizers_library) {
    const char *named = getenv("GABBRO_TEST_TOKENIZERS"), *root = named ? named : gab_test_source("tests/tokenizers");
    DIR *dir = opendir(root);
    int n_json = 0, n_gguf = 0, n_text = 0;
    if (!dir) FAIL("%s cannot be read", root);
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        char folder[2048], path[4096], *text;
        size_t n;
        if (entry->d_name[0] == '.') continue;
        snprintf(folder, sizeof folder, "%s/%s", root, entry->d_name);
        snprintf(path, sizeof path, "%s/cases.json", folder);
        CHECK_OK(gab_file_read_all(path, 1 << 26, NULL, &text, &n));
        cJSON *cases = cJSON_Parse(text);
        if (!cJSON_IsArray(cases)) FAIL("%s is no list of cases", path);
        CHECK(check_file(folder, "tokenizer.json", cases, false));
        n_json++;
        n_gguf += check_file(folder, "vocab.gguf", cases, true);
        n_text += cJSON_GetArraySize(cases);
        cJSON_Delete(cases);
        free(text);
    }
    closedir(dir);
    printf("%d tokenizers, %d of them also as GGUF, %d texts\n", n_json, n_gguf, n_text);
    CHECK(n_json > 0 && n_text > 0);
}

GAB_TEST_MAIN()
