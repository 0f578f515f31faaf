/*
 * tokenize.c - how fast vocabularies turn text into tokens: for each, the time to read it and MB/s of encoding and
 * decoding a text, medians.
 *
 *     build/release/bench/tokenize [-r RUNS] [-f TEXT]... [--mb N] [--json] VOCABULARY...
 *
 * A vocabulary is what gab_tokenizer_open takes. The text is the files of -f (else a made-up mix of words, numbers and
 * scripts) one behind the other, repeated up to N MB (10). One thread; times are of the
 * processor.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/file.h"
#include "gabbro.h"

enum { RUNS_MAX = 101, FILES_MAX = 16 };

typedef struct options {
    const char *files[FILES_MAX];
    size_t n_file, n_run, n_mb;
    bool json;
} options;

/* Processor time: what else runs on the machine counts less. */
static double cpu_ms(void) {
    return (double)clock() / CLOCKS_PER_SEC * 1e3;
}

static int compare(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double median(double *ms, size_t n) {
    qsort(ms, n, sizeof *ms, compare);
    return ms[n / 2];
}

/* Appends n bytes, as far as they fit. */
static void append(char *text, size_t *n_text, size_t n_max, const char *bytes, size_t n) {
    if (n > n_max - *n_text) n = n_max - *n_text;
    memcpy(text + *n_text, bytes, n);
    *n_text += n;
}

static char *make_text(const options *o, size_t *n) {
    static const char *const UNITS[] = {" the",
                                        " of",
                                        " princess",
                                        ", and then",
                                        ".\n",
                                        " 1234",
                                        " caf\xC3\xA9",
                                        "\n\n    ",
                                        " foo_bar(x)",
                                        " \xE4\xB8\xAD\xE6\x96\x87",
                                        " \xF0\x9F\xA6\x99",
                                        " Zanzibar",
                                        " don't",
                                        " \xD0\xBF\xD1\x80\xD0\xB8"};
    const size_t n_max = o->n_mb * 1000000;
    char *text = malloc(n_max + 1);
    *n = 0;
    for (uint32_t random = 1; text && *n < n_max && o->n_file == 0; random = random * 1664525u + 1013904223u) {
        const char *unit = UNITS[(random >> 16) % (sizeof UNITS / sizeof *UNITS)];
        append(text, n, n_max, unit, strlen(unit));
    }
    for (size_t i = 0; text && *n < n_max && o->n_file > 0; i = (i + 1) % o->n_file) {
        char *data;
        size_t n_data;
        if (gab_file_read_all(o->files[i], (size_t)1 << 30, NULL, &data, &n_data) != GAB_OK || n_data == 0) {
            free(text);
            return NULL;
        }
        append(text, n, n_max, data, n_data);
        free(data);
    }
    return text;
}

static bool measure(const options *o, const char *path, const char *text, size_t n) {
    double load[RUNS_MAX], encode[RUNS_MAX], decode[RUNS_MAX];
    size_t n_id = 0;
    for (size_t run = 0; run < o->n_run; run++) {
        gab_tokenizer *tokenizer;
        gab_text_stream *stream = NULL;
        int32_t *ids = NULL;
        double start = cpu_ms();
        if (gab_tokenizer_open(path, NULL, NULL, &tokenizer) != GAB_OK) return false;
        load[run] = cpu_ms() - start;
        start = cpu_ms();
        bool good = gab_tokenizer_encode(tokenizer, text, n, false, false, &ids, &n_id) == GAB_OK;
        encode[run] = cpu_ms() - start;
        start = cpu_ms();
        good = good && gab_text_stream_create(tokenizer, &stream) == GAB_OK;
        for (size_t i = 0; good && i < n_id; i++) gab_text_stream_push(stream, ids[i]);
        decode[run] = cpu_ms() - start;
        gab_text_stream_destroy(&stream);
        gab_tokens_free(&ids);
        gab_tokenizer_destroy(&tokenizer);
        if (!good) return false;
    }
    const double mb = (double)n / 1e6, load_ms = median(load, o->n_run), encode_ms = median(encode, o->n_run);
    const double decode_ms = median(decode, o->n_run);
    const char *name = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
    if (o->json)
        printf("{\"vocabulary\":\"%s\",\"load_ms\":%.1f,\"mb\":%.3f,\"tokens\":%zu,\"encode_ms\":%.1f,\"decode_ms\":%."
               "1f}\n",
               name, load_ms, mb, n_id, encode_ms, decode_ms);
    else
        printf("%-36s %8.1f ms %9zu tokens %8.1f ms %7.1f MB/s %8.1f MB/s\n", name, load_ms, n_id, encode_ms,
               mb / encode_ms * 1e3, mb / decode_ms * 1e3);
    return true;
}

static int usage(void) {
    fprintf(stderr, "usage: tokenize [-r RUNS] [-f TEXT]... [--mb N] [--json] VOCABULARY...\n");
    return 2;
}

int main(int argc, char **argv) {
    options o = {.n_run = 5, .n_mb = 10};
    int i = 1;
    for (; i < argc && argv[i][0] == '-'; i++) {
        const bool value = i + 1 < argc;
        if (strcmp(argv[i], "--json") == 0)
            o.json = true;
        else if (value && strcmp(argv[i], "-r") == 0)
            o.n_run = strtoul(argv[++i], NULL, 10);
        else if (value && strcmp(argv[i], "--mb") == 0)
            o.n_mb = strtoul(argv[++i], NULL, 10);
        else if (value && strcmp(argv[i], "-f") == 0 && o.n_file < FILES_MAX)
            o.files[o.n_file++] = argv[++i];
        else
            return usage();
    }
    if (i == argc || o.n_run < 1 || o.n_run > RUNS_MAX || o.n_mb < 1 || o.n_mb > 1000) return usage();
    size_t n;
    char *text = make_text(&o, &n);
    int failures = text == NULL;
    if (text && !o.json) printf("%-36s %11s %16s %11s %12s %13s\n", "vocabulary", "load", "", "encode", "", "decode");
    for (; text && i < argc; i++) {
        if (measure(&o, argv[i], text, n)) continue;
        fprintf(stderr, "tokenize: %s\n", gab_last_error());
        failures++;
    }
    if (!text) fprintf(stderr, "tokenize: %s\n", gab_last_error());
    free(text);
    return failures > 0;
}
