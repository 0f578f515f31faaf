#include "text/pretokenize.h"
#include "format/reader.h"
#include "text/utf8.h"

#include <stdlib.h>
#include <string.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

enum { PATTERN_MAX = 5 };

/* Unicode's White_Space. PCRE2's own \s has U+180E besides, which has not been a space since Unicode 6.3. */
#define SPACE "\\t-\\r \\x{85}\\x{A0}\\x{1680}\\x{2000}-\\x{200A}\\x{2028}\\x{2029}\\x{202F}\\x{205F}\\x{3000}"

/* Contractions, then words, numbers and other marks, each with the one space before it, then spaces up to that one. */
#define GPT2      "'(?:[stmd]|re|ve|ll)| ?\\p{L}+| ?\\p{N}+| ?[^" SPACE "\\p{L}\\p{N}]+|[" SPACE "]+(?![^" SPACE "])"
#define ONE_DIGIT "\\p{N}"

/* A name of tokenizer.ggml.pre and its patterns. */
static const struct {
    const char *name, *patterns[PATTERN_MAX];
} FAMILIES[] = {
    {"gpt-2", {GPT2}},
    {"default", {GPT2}},
    {"phi-2", {GPT2}},
    {"mpt", {GPT2}},
    {"olmo", {GPT2}},
    {"jais", {GPT2}},
    {"starcoder", {ONE_DIGIT, GPT2}},
    {"refact", {ONE_DIGIT, GPT2}},
    {"smollm", {ONE_DIGIT, GPT2}},
    {"codeshell", {ONE_DIGIT, GPT2}},
    {"falcon", {"[\\p{P}$+<=>^`|~]+", GPT2, "[0-9]{3}"}},
    {"deepseek-coder",
     {"[\\r\\n]", "[" SPACE "]?\\p{L}+", "[" SPACE "]?\\p{P}+",
      "[\\x{4E00}-\\x{9FA5}\\x{0800}-\\x{4E00}\\x{AC00}-\\x{D7FF}]+", ONE_DIGIT}},
};
enum { FAMILY_COUNT = sizeof FAMILIES / sizeof *FAMILIES };

typedef struct pattern {
    pcre2_code *code;
    bool jit;
} pattern;

struct gab_pretokenizer {
    size_t n_pattern;
    pattern patterns[PATTERN_MAX];
};

typedef struct call {
    const gab_pretokenizer *pretokenizer;
    pcre2_match_data *match;
    gab_pretokenize_fn fn;
    void *user;
} call;

static gab_status fail_unknown(const char *name, const char *file, const gab_log *log) {
    char names[GAB_MESSAGE_MAX / 2] = "", shown[65];
    gab_reader_show(shown, sizeof shown, name);
    for (size_t i = 0; i < FAMILY_COUNT; i++) {
        size_t used = strlen(names);
        if (used + strlen(FAMILIES[i].name) + 3 > sizeof names) break;
        strcat(names, i ? ", " : "");
        strcat(names, FAMILIES[i].name);
    }
    return gab_fail(log, GAB_ERROR_UNSUPPORTED,
                    "%s: tokenizer.ggml.pre is '%s', whose pre-tokenizer patterns are not known here; known are %s",
                    file, shown, names);
}

gab_status gab_pretokenizer_create(const char *name, bool jit, const char *file, const gab_log *log,
                                   gab_pretokenizer **pretokenizer) {
    size_t family = 0;
    while (family < FAMILY_COUNT && strcmp(FAMILIES[family].name, name) != 0) family++;
    if (family == FAMILY_COUNT) return fail_unknown(name, file, log);

    gab_pretokenizer *made = calloc(1, sizeof *made);
    if (!made) return gab_fail(log, GAB_ERROR_HOST_MEMORY, "%s: no memory for the pre-tokenizer", file);
    for (size_t i = 0; i < PATTERN_MAX && FAMILIES[family].patterns[i]; i++) {
        int error;
        PCRE2_SIZE at;
        pattern *p = &made->patterns[made->n_pattern++];
        p->code = pcre2_compile((PCRE2_SPTR)FAMILIES[family].patterns[i], PCRE2_ZERO_TERMINATED, PCRE2_UTF | PCRE2_UCP,
                                &error, &at, NULL);
        if (!p->code) {
            gab_pretokenizer_destroy(&made);
            return gab_fail(
                log, GAB_ERROR_UNSUPPORTED,
                "%s: PCRE2 refuses pattern %zu of pre-tokenizer '%s' at %zu (error %d); it must be built with "
                "Unicode support",
                file, i, name, (size_t)at, error);
        }
        p->jit = jit && pcre2_jit_compile(p->code, PCRE2_JIT_COMPLETE) == 0;
    }
    *pretokenizer = made;
    return GAB_OK;
}

void gab_pretokenizer_destroy(gab_pretokenizer **pretokenizer) {
    if (!*pretokenizer) return;
    for (size_t i = 0; i < (*pretokenizer)->n_pattern; i++) pcre2_code_free((*pretokenizer)->patterns[i].code);
    free(*pretokenizer);
    *pretokenizer = NULL;
}

/* The first match at or after `start`. pcre2_match would check the whole text for UTF-8 again at every call. */
static int find(const pattern *p, pcre2_match_data *match, const char *text, size_t n, size_t start) {
    PCRE2_SPTR subject = (PCRE2_SPTR)text;
    int rc = PCRE2_ERROR_JIT_STACKLIMIT;
    if (p->jit) rc = pcre2_jit_match(p->code, subject, n, start, 0, match, NULL);
    if (rc != PCRE2_ERROR_JIT_STACKLIMIT) return rc;
    return pcre2_match(p->code, subject, n, start, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, match, NULL);
}

/* Cuts well-formed text with the patterns from `level` on. */
static gab_status cut(const call *c, size_t level, const char *text, size_t n) {
    if (level == c->pretokenizer->n_pattern) return c->fn(c->user, text, n) ? GAB_OK : GAB_ERROR_CANCELLED;
    const PCRE2_SIZE *bounds = pcre2_get_ovector_pointer(c->match);
    for (size_t done = 0; done < n;) {
        int rc = find(&c->pretokenizer->patterns[level], c->match, text, n, done);
        if (rc < 0 && rc != PCRE2_ERROR_NOMATCH)
            return gab_fail(NULL, GAB_ERROR_HOST_MEMORY, "PCRE2 cannot cut a text of %zu bytes (error %d)", n, rc);
        size_t begin = rc < 0 ? n : bounds[0], end = rc < 0 ? n : bounds[1];
        if (begin > done) GAB_TRY(cut(c, level + 1, text + done, begin - done));
        if (end > begin) GAB_TRY(cut(c, level + 1, text + begin, end - begin));
        done = end;
    }
    return GAB_OK;
}

/* Bytes at the front that are well-formed, or (valid false) that are not. */
static size_t run_length(const char *text, size_t n, bool *valid) {
    size_t done = 0;
    while (done < n) {
        gab_utf8_kind kind = GAB_UTF8_CHARACTER;
        size_t step = (unsigned char)text[done] < 0x80 ? 1 : gab_utf8_next(text + done, n - done, &kind);
        bool character = kind == GAB_UTF8_CHARACTER;
        if (done == 0) *valid = character;
        if (character != *valid) break;
        done += step;
    }
    return done;
}

gab_status gab_pretokenize(const gab_pretokenizer *pretokenizer, const char *text, size_t n, gab_pretokenize_fn fn,
                           void *user) {
    call c = {pretokenizer, pcre2_match_data_create(1, NULL), fn, user};
    if (!c.match) return gab_fail(NULL, GAB_ERROR_HOST_MEMORY, "no memory to cut a text of %zu bytes", n);
    gab_status status = GAB_OK;
    for (size_t done = 0; done < n && status == GAB_OK;) {
        bool valid = true;
        size_t length = run_length(text + done, n - done, &valid);
        status = cut(&c, valid ? 0 : pretokenizer->n_pattern, text + done, length);
        done += length;
    }
    pcre2_match_data_free(c.match);
    return status;
}
