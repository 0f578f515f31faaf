/*
 * format_shards.c - GGUF models in several files: opened by any of them, and what is said of one that is missing, of
 * another model, or changed.
 */
#include <unistd.h>

#include "folder_build.h"
#include "gguf_build.h"
#include "test.h"

enum { N_PART = 3, N_ROW = 4, N_COL = 32 };

typedef struct part_options {
    int no, count, n_tensor;
    const char *tensor; /* of part 1; NULL: its own */
} part_options;

static const char *path_of(const char *folder, unsigned i, unsigned n) {
    char name[64];
    snprintf(name, sizeof name, "model-%05u-of-%05u.gguf", i + 1, n);
    return folder_build_path(folder, name);
}

/* Part i: tensor "t<i>" of values i, i + 1, ...; the first has the metadata. */
static void write_part(const char *folder, unsigned i, part_options o) {
    gguf_build *b = gguf_build_new(3);
    float values[N_ROW * N_COL];
    char name[8];
    const uint16_t no = (uint16_t)o.no, count = (uint16_t)o.count;
    const int32_t n_tensor = o.n_tensor;
    if (i == 0) gguf_build_string(b, "general.architecture", "test");
    gguf_build_value(b, "split.no", GAB_GGUF_U16, &no);
    gguf_build_value(b, "split.count", GAB_GGUF_U16, &count);
    gguf_build_value(b, "split.tensors.count", GAB_GGUF_I32, &n_tensor);
    for (unsigned k = 0; k < N_ROW * N_COL; k++) values[k] = (float)(i + k);
    snprintf(name, sizeof name, "t%u", i);
    gguf_build_tensor(b, o.tensor ? o.tensor : name, GAB_DTYPE_F32, 2, (uint64_t[]){N_COL, N_ROW}, values);
    gguf_build_write(b, path_of(folder, i, N_PART));
    gguf_build_free(&b);
}

static const char *write_all(void) {
    const char *folder = folder_build_temp();
    for (unsigned i = 0; i < N_PART; i++) write_part(folder, i, (part_options){(int)i, N_PART, N_PART, NULL});
    return folder;
}

static void refused(const char *path, gab_status expected, const char *word, const char *other) {
    gab_gguf *gguf = NULL;
    const gab_status status = gab_gguf_open(path, NULL, &gguf);
    if (status != expected || gguf) FAIL("%s: %s", gab_status_text(status), gab_last_error());
    if (!strstr(gab_last_error(), word) || !strstr(gab_last_error(), other))
        FAIL("no '%s' and '%s' in: %s", word, other, gab_last_error());
}

GAB_TEST(any_part_opens_all) {
    const char *folder = write_all();
    for (unsigned named = 0; named < N_PART; named++) {
        gab_gguf *gguf = NULL;
        gab_gguf_string text;
        CHECK_OK(gab_gguf_open(path_of(folder, named, N_PART), NULL, &gguf));
        CHECK(gab_gguf_get_string(gguf, "general.architecture", &text) && strcmp(text.text, "test") == 0);
        CHECK(gab_gguf_n_tensor(gguf) == N_PART && gab_gguf_n_file(gguf) == N_PART);
        for (unsigned i = 0; i < N_PART; i++) {
            float rows[2][N_COL];
            char name[8];
            snprintf(name, sizeof name, "t%u", i);
            const gab_gguf_tensor *t = gab_gguf_tensor_find(gguf, name);
            CHECK(t && strcmp(gab_file_path(t->file), path_of(folder, i, N_PART)) == 0);
            CHECK_OK(gab_gguf_read_rows(t, 1, 2, rows, NULL));
            CHECK(rows[0][0] == (float)(i + N_COL) && rows[1][N_COL - 1] == (float)(i + 3 * N_COL - 1));
        }
        CHECK_OK(gab_gguf_check_unchanged(gguf, NULL));
        gab_gguf_close(&gguf);
    }
}

GAB_TEST(one_part_alone_is_no_split) {
    const char *folder = folder_build_temp();
    gab_gguf *gguf = NULL;
    write_part(folder, 0, (part_options){0, 1, 1, NULL});
    CHECK(rename(path_of(folder, 0, N_PART), folder_build_path(folder, "any.gguf")) == 0);
    CHECK_OK(gab_gguf_open(folder_build_path(folder, "any.gguf"), NULL, &gguf));
    CHECK(gab_gguf_n_file(gguf) == 1 && gab_gguf_n_tensor(gguf) == 1);
    gab_gguf_close(&gguf);
}

GAB_TEST(missing_parts_are_named) {
    for (unsigned i = 0; i < N_PART; i++) {
        const char *folder = write_all();
        CHECK(remove(path_of(folder, i, N_PART)) == 0);
        refused(path_of(folder, (i + 1) % N_PART, N_PART), GAB_ERROR_FILE, path_of(folder, i, N_PART), "is missing");
    }
}

GAB_TEST(renamed_parts_are_named) {
    const char *folder = write_all();
    CHECK(rename(path_of(folder, 1, N_PART), folder_build_path(folder, "other.gguf")) == 0);
    refused(folder_build_path(folder, "other.gguf"), GAB_ERROR_FILE, "other.gguf is part 2 of 3",
            "-00002-of-00003.gguf");
    /* a part in another's place */
    CHECK(rename(path_of(folder, 2, N_PART), path_of(folder, 1, N_PART)) == 0);
    CHECK(rename(folder_build_path(folder, "other.gguf"), path_of(folder, 2, N_PART)) == 0);
    refused(path_of(folder, 0, N_PART), GAB_ERROR_FORMAT, "model-00002-of-00003.gguf", "say part 3 of 3");
}

GAB_TEST(foreign_parts_are_named) {
    const char *folder = write_all();
    write_part(folder, 1, (part_options){1, 4, N_PART, NULL});
    refused(path_of(folder, 0, N_PART), GAB_ERROR_FORMAT, "model-00002-of-00003.gguf", "part 2 of 4");
    write_part(folder, 1, (part_options){1, N_PART, 7, NULL});
    refused(path_of(folder, 0, N_PART), GAB_ERROR_FORMAT, "model-00002-of-00003.gguf", "split.tensors.count is 7");
    write_part(folder, 1, (part_options){1, N_PART, N_PART, "t0"});
    refused(path_of(folder, 0, N_PART), GAB_ERROR_FORMAT, "model-00002-of-00003.gguf", "'t0' is in an earlier part");
    write_part(folder, 1, (part_options){1, 1, N_PART, NULL}); /* none of several */
    refused(path_of(folder, 0, N_PART), GAB_ERROR_FORMAT, "model-00002-of-00003.gguf", "is another file");
    for (unsigned i = 0; i < N_PART; i++) write_part(folder, i, (part_options){(int)i, N_PART, 5, NULL});
    refused(path_of(folder, 0, N_PART), GAB_ERROR_FORMAT, "hold 3 tensors", "says 5");
}

GAB_TEST(wrong_numbers_are_named) {
    const char *folder = write_all();
    write_part(folder, 1, (part_options){3, N_PART, N_PART, NULL});
    refused(path_of(folder, 1, N_PART), GAB_ERROR_FORMAT, "split.no is 3", "split.count is 3");
    write_part(folder, 1, (part_options){1, N_PART, -1, NULL});
    refused(path_of(folder, 1, N_PART), GAB_ERROR_FORMAT, "split.tensors.count", "value -1");
    gab_test_file_write(path_of(folder, 1, N_PART), "GGUX", 4);
    refused(path_of(folder, 0, N_PART), GAB_ERROR_FORMAT, "model-00002-of-00003.gguf", "magic");
}

GAB_TEST(changed_parts_are_named) {
    const char *folder = write_all();
    gab_gguf *gguf = NULL;
    float row[N_COL];
    CHECK_OK(gab_gguf_open(path_of(folder, 0, N_PART), NULL, &gguf));
    CHECK_OK(gab_gguf_check_unchanged(gguf, NULL));
    CHECK(truncate(path_of(folder, 2, N_PART), 200) == 0);
    CHECK(gab_gguf_check_unchanged(gguf, NULL) == GAB_ERROR_FILE);
    CHECK(strstr(gab_last_error(), "model-00003-of-00003.gguf has changed"));
    CHECK(gab_gguf_read_rows(gab_gguf_tensor_find(gguf, "t2"), N_ROW - 1, 1, row, NULL) == GAB_ERROR_FILE);
    CHECK(strstr(gab_last_error(), "model-00003-of-00003.gguf ends"));
    gab_gguf_close(&gguf);
}

GAB_TEST_MAIN()
