#include "text/pattern.h"
#include "base/utf8.h"
#include "format/reader.h"

#include <stdlib.h>
#include <string.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

/* Unicode's White_Space, inside a class. */
#define SPACE "\\t-\\r \\x{85}\\x{A0}\\x{1680}\\x{2000}-\\x{200A}\\x{2028}\\x{2029}\\x{202F}\\x{205F}\\x{3000}"

struct gab_pattern {
    pcre2_code *code;
    bool jit;
};

struct gab_pattern_work {
    pcre2_match_data *match;
};

/* Writes the pattern with \s and \S spelled out; \S inside a class, which has no such spelling, stays. `out` has room.
 */
static size_t spell_spaces(const char *text, size_t n, char *out) {
    size_t written = 0;
    bool in_class = false;
    for (size_t i = 0; i < n; i++) {
        const char *spelled = NULL;
        if (text[i] == '\\' && i + 1 < n) {
            if (text[i + 1] == 's') spelled = in_class ? SPACE : "[" SPACE "]";
            if (text[i + 1] == 'S' && !in_class) spelled = "[^" SPACE "]";
            if (!spelled) out[written++] = text[i];
            i++;
        } else if (text[i] == '[') {
            in_class = true; /* a "]" right behind it would be a member: no tokenizer writes that */
        } else if (text[i] == ']') {
            in_class = false;
        }
        if (spelled) {
            while (*spelled) out[written++] = *spelled++;
        } else {
            out[written++] = text[i];
        }
    }
    return written;
}

gab_status gab_pattern_create(const char *text, size_t n, bool jit, const char *file, const gab_log *log,
                              gab_pattern **pattern) {
    int error;
    PCRE2_SIZE at;
    char shown[65];
    gab_reader_show(shown, sizeof shown, text);
    if (n > GAB_PATTERN_MAX)
        return gab_fail(log, GAB_ERROR_LIMIT, "%s: the pattern '%s...' has %zu bytes; the limit is %d", file, shown, n,
                        GAB_PATTERN_MAX);
    gab_pattern *made = calloc(1, sizeof *made);
    char *spelled = malloc(n / 2 * sizeof("[^" SPACE "]") + 2);
    if (!made || !spelled) {
        free(made);
        free(spelled);
        return gab_fail(log, GAB_ERROR_HOST_MEMORY, "%s: no memory for a pattern", file);
    }
    made->code = pcre2_compile((PCRE2_SPTR)spelled, spell_spaces(text, n, spelled),
                               PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C, &error, &at, NULL);
    free(spelled);
    if (!made->code) {
        gab_pattern_destroy(&made);
        return gab_fail(log, GAB_ERROR_UNSUPPORTED,
                        "%s: PCRE2 does not read the pattern '%s' (error %d); it must be built with Unicode support",
                        file, shown, error);
    }
    made->jit = jit && pcre2_jit_compile(made->code, PCRE2_JIT_COMPLETE) == 0;
    *pattern = made;
    return GAB_OK;
}

void gab_pattern_destroy(gab_pattern **pattern) {
    if (!*pattern) return;
    pcre2_code_free((*pattern)->code);
    free(*pattern);
    *pattern = NULL;
}

gab_pattern_work *gab_pattern_work_create(void) {
    gab_pattern_work *made = calloc(1, sizeof *made);
    if (made) made->match = pcre2_match_data_create(1, NULL);
    if (made && !made->match) gab_pattern_work_destroy(&made);
    return made;
}

void gab_pattern_work_destroy(gab_pattern_work **work) {
    if (!*work) return;
    pcre2_match_data_free((*work)->match);
    free(*work);
    *work = NULL;
}

/* pcre2_match would check the whole text for UTF-8 again at every call. */
static int match(const gab_pattern *p, gab_pattern_work *work, const char *text, size_t n, size_t start) {
    PCRE2_SPTR subject = (PCRE2_SPTR)text;
    int rc = PCRE2_ERROR_JIT_STACKLIMIT;
    if (p->jit) rc = pcre2_jit_match(p->code, subject, n, start, 0, work->match, NULL);
    if (rc != PCRE2_ERROR_JIT_STACKLIMIT) return rc;
    return pcre2_match(p->code, subject, n, start, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, work->match, NULL);
}

gab_status gab_pattern_find(const gab_pattern *pattern, gab_pattern_work *work, const char *text, size_t n,
                            size_t start, size_t *begin, size_t *end) {
    const PCRE2_SIZE *bounds = pcre2_get_ovector_pointer(work->match);
    *begin = *end = n;
    while (start < n) {
        int rc = match(pattern, work, text, n, start);
        if (rc == PCRE2_ERROR_NOMATCH) return GAB_OK;
        if (rc < 0)
            return gab_fail(NULL, rc == PCRE2_ERROR_NOMEMORY ? GAB_ERROR_HOST_MEMORY : GAB_ERROR_LIMIT,
                            "PCRE2 cannot cut a text of %zu bytes with this vocabulary's pattern (error %d)", n, rc);
        /* \K can put the beginning anywhere */
        if (bounds[1] > bounds[0] && bounds[0] >= start) {
            *begin = bounds[0];
            *end = bounds[1];
            return GAB_OK;
        }
        gab_utf8_kind kind;
        start = bounds[1] > start ? bounds[1] : start;
        if (start < n) start += gab_utf8_next(text + start, n - start, &kind);
    }
    return GAB_OK;
}
