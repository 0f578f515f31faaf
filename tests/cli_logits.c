/* `gabbro logits` and `gabbro perplexity`, one checked with the other. */
#include "cli.h"

#include <math.h>

static float *read_rows(const char *path, size_t n_float) {
    size_t n;
    FILE *f = fopen(path, "rb");
    CHECK(f);
    char *data = cli_read_all(f, &n);
    if (n != n_float * 4) FAIL("%zu bytes of logits, not %zu", n, n_float * 4);
    for (size_t i = 0; i < n_float; i++) { /* little-endian, whatever this machine is */
        const unsigned char *b = (unsigned char *)data + 4 * i;
        const uint32_t bits = (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
        memcpy(data + 4 * i, &bits, 4);
    }
    return (float *)data;
}

enum { N_VOCAB = 4096 }; /* of the embedded model */

GAB_TEST(one_row_per_token) {
    cli_need_device();
    const char *path = cli_temporary();
    cli_result result = CLI("logits", "--tokens", "1,2,3", "-o", path);
    CHECK_EXIT(result, 0);
    CHECK(result.n_out == 0);
    float *rows = read_rows(path, 3 * N_VOCAB);
    for (size_t i = 0; i < 3 * N_VOCAB; i++) CHECK(isfinite(rows[i]));
    CHECK(memcmp(rows, rows + N_VOCAB, N_VOCAB * sizeof *rows) != 0);
    remove(path);
    free(rows);
    cli_result_free(&result);
}

GAB_TEST(stdout_equals_file) {
    cli_need_device();
    const char *path = cli_temporary();
    cli_result file = CLI("logits", "-p", "Once upon a time", "-o", path);
    cli_result out = CLI("logits", "-p", "Once upon a time", "-o", "-");
    CHECK_EXIT(file, 0);
    CHECK_EXIT(out, 0);
    float *rows = read_rows(path, 5 * N_VOCAB);
    CHECK(out.n_out == 5 * N_VOCAB * 4);
    FILE *f = fopen(path, "wb");
    CHECK(f && fwrite(out.out, 1, out.n_out, f) == out.n_out && fclose(f) == 0);
    float *again = read_rows(path, 5 * N_VOCAB);
    CHECK(memcmp(rows, again, 5 * N_VOCAB * sizeof *rows) == 0);
    remove(path);
    free(rows);
    free(again);
    cli_result_free(&file);
    cli_result_free(&out);
}

/* Chunks change the order of sums only. */
GAB_TEST(chunks_agree) {
    const char text[] = "Once upon a time, there was a little girl named Lily. She loved to play with her toys.";
    cli_need_device();
    const char *path = cli_temporary();
    cJSON *ids = cli_json(CLI("tokenize", "--json", text));
    const size_t n = (size_t)cJSON_GetArraySize(ids) * N_VOCAB;
    cli_result whole = CLI("logits", "--precision", "exact", "--kv", "f32", "-p", text, "-o", path);
    CHECK_EXIT(whole, 0);
    float *rows = read_rows(path, n);
    cli_result single = CLI("logits", "--precision", "exact", "--kv", "f32", "--chunk", "1", "-p", text, "-o", path);
    CHECK_EXIT(single, 0);
    float *others = read_rows(path, n);
    double difference = 0, norm = 0;
    for (size_t i = 0; i < n; i++) {
        difference += ((double)rows[i] - others[i]) * ((double)rows[i] - others[i]);
        norm += (double)rows[i] * rows[i];
    }
    CHECK(sqrt(difference / norm) < 1e-4);
    remove(path);
    free(rows);
    free(others);
    cJSON_Delete(ids);
    cli_result_free(&whole);
    cli_result_free(&single);
}

/* What is there stays until the new one is complete. */
GAB_TEST(incomplete_file_is_removed) {
    cli_need_device();
    char folder[] = "/tmp/gabbro-logits-XXXXXX", path[64];
    size_t n;
    CHECK(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/x.f32", folder);
    gab_test_file_write(path, "precious", 8);
    cli_result result = CLI("logits", "-c", "8", "--tokens", "1,2,3,4,5,6,7,8,9,10", "-o", path);
    CHECK_EXIT(result, 1);
    CHECK_SAYS(result.err, "gabbro: error: ");
    char *kept = gab_test_file_read(path, &n);
    CHECK(n == 8 && memcmp(kept, "precious", 8) == 0);
    free(kept);
    cli_result_free(&result);
    result = CLI("logits", "--tokens", "1,2,3", "-o", path);
    CHECK_EXIT(result, 0);
    kept = gab_test_file_read(path, &n);
    CHECK(n == 3 * 4096 * sizeof(float));
    free(kept);
    cli_result_free(&result);
    CHECK(remove(path) == 0 && rmdir(folder) == 0); /* nothing else lies there */
}

/* What a link names is written, and the link stays: /dev/stdout is one. */
GAB_TEST(links_are_followed) {
    cli_need_device();
    char folder[] = "/tmp/gabbro-logits-XXXXXX", path[64], target[64];
    struct stat info;
    CHECK(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/link", folder);
    snprintf(target, sizeof target, "%s/x.f32", folder);
    CHECK(symlink(target, path) == 0);
    cli_result result = CLI("logits", "--tokens", "1,2,3", "-o", path);
    CHECK_EXIT(result, 0);
    cli_result_free(&result);
    CHECK(stat(target, &info) == 0 && info.st_size == 3 * 4096 * (off_t)sizeof(float));
    CHECK(lstat(path, &info) == 0 && S_ISLNK(info.st_mode));
    result = CLI("logits", "--tokens", "1,2,3", "-o", "/dev/stdout");
    CHECK_EXIT(result, 0);
    CHECK(result.n_out == 3 * 4096 * sizeof(float));
    cli_result_free(&result);
    CHECK(remove(path) == 0 && remove(target) == 0 && rmdir(folder) == 0);
}

GAB_TEST(full_disk) {
    if (access("/dev/full", W_OK) != 0) SKIP("no /dev/full");
    cli_need_device();
    cli_result result = CLI("logits", "--tokens", "1,2,3", "-o", "/dev/full");
    CHECK_EXIT(result, 1);
    CHECK_SAYS(result.err, "cannot write /dev/full: No space left");
    CHECK(access("/dev/full", F_OK) == 0); /* a device is not removed */
    cli_result_free(&result);
}

GAB_TEST(wrong_tokens) {
    cli_need_device();
    cli_result outside = CLI("logits", "--tokens", "1,4096", "-o", "/dev/null");
    CHECK_EXIT(outside, 2);
    CHECK_SAYS(outside.err, "token '4096' is not an id of this model: its vocabulary is 0 to 4095");
    cli_result none = CLI("logits", "--tokens", ",", "-o", "/dev/null");
    CHECK_EXIT(none, 2);
    CHECK_SAYS(none.err, "--tokens");
    cli_result_free(&outside);
    cli_result_free(&none);
}

/* The figure computed here from the raw logits of each window. */
static double perplexity_of_logits(const cJSON *ids, int window, const char *path) {
    const int n_token = cJSON_GetArraySize(ids);
    double sum = 0;
    int n_scored = 0;
    for (int start = 0; start < n_token; start += window) {
        char list[4096] = "";
        const int n = n_token - start < window ? n_token - start : window;
        for (int i = 0; i < n; i++)
            snprintf(list + strlen(list), sizeof list - strlen(list), "%d,",
                     cJSON_GetArrayItem(ids, start + i)->valueint);
        cli_result result = CLI("logits", "--precision", "exact", "--kv", "f32", "--tokens", list, "-o", path);
        CHECK_EXIT(result, 0);
        cli_result_free(&result);
        float *rows = read_rows(path, (size_t)n * N_VOCAB);
        for (int i = 0; i + 1 < n; i++, n_scored++) {
            const float *row = rows + (size_t)i * N_VOCAB;
            double total = 0;
            for (int k = 0; k < N_VOCAB; k++) total += exp((double)row[k] - 20);
            sum += log(total) + 20 - row[cJSON_GetArrayItem(ids, start + i + 1)->valueint];
        }
        free(rows);
    }
    return exp(sum / n_scored);
}

GAB_TEST(perplexity_equals_logits) {
    const char text[] = "Once upon a time, there was a little girl named Lily. She loved to play with her toys in the "
                        "garden. One day, she saw a big dog. The dog was sad, and Lily gave it her red ball.";
    cli_need_device();
    const char *path = cli_temporary();
    cJSON *ids = cli_json(CLI("tokenize", "--json", "-p", text));
    cJSON *object =
        cli_json(CLI_WITH({.in = text}, "perplexity", "--json", "--precision", "exact", "--kv", "f32", "-c", "32"));
    const int n_token = cJSON_GetArraySize(ids), n_window = (n_token + 31) / 32;
    const double figure = cli_json_number_of(object, "perplexity"), expected = perplexity_of_logits(ids, 32, path);
    if (fabs(figure - expected) > 1e-4 * expected) FAIL("perplexity %g, not %g", figure, expected);
    CHECK(figure > 1 && figure < 200); /* the model knows such stories */
    CHECK(n_window > 1);
    CHECK(cli_json_number_of(object, "n_token") == n_token);
    CHECK(cli_json_number_of(object, "n_scored") == n_token - n_window);
    CHECK(cli_json_number_of(object, "n_window") == n_window);
    CHECK(cli_json_number_of(object, "standard_error") > 0);
    CHECK(cli_json_number_of(object, "seconds") >= 0);
    remove(path);
    cJSON_Delete(ids);
    cJSON_Delete(object);
}

GAB_TEST(perplexity_as_text) {
    cli_need_device();
    cli_result result = CLI("perplexity", "-f", gab_test_source(".clang-format"));
    CHECK_EXIT(result, 0);
    CHECK(strncmp(result.out, "perplexity ", 11) == 0);
    CHECK_SAYS(result.out, " +- ");
    cli_result_free(&result);
}

GAB_TEST(perplexity_of_too_little) {
    cli_need_device();
    cli_result result = CLI("perplexity", "-p", "O");
    CHECK_EXIT(result, 2);
    CHECK(result.n_out == 0);
    CHECK_SAYS(result.err, "fewer than two tokens");
    cli_result_free(&result);
}

GAB_TEST_MAIN()
