#include "text/normalize.h"
#include "base/arena.h"
#include "base/utf8.h"
#include "text/nfc.h"
#include "text/pattern.h"

#include <stdlib.h>
#include <string.h>

enum { TEXT_BYTES_MAX = 1 << 30 };

typedef struct step {
    gab_normalize_step is;
    gab_pattern *pattern; /* GAB_NORMALIZE_REPLACE_PATTERN */
} step;

struct gab_normalizer {
    size_t n_step;
    step *steps;
    gab_arena arena; /* the texts */
};

static bool copy_text(gab_normalizer *n, gab_gguf_string *text) {
    if (!text->text) *text = (gab_gguf_string){"", 0};
    text->text = gab_arena_copy_text(&n->arena, text->text, (size_t)text->n_byte);
    return text->text != NULL;
}

gab_status gab_normalizer_create(const gab_normalize_step *steps, size_t n_step, const char *file, const gab_log *log,
                                 gab_normalizer **normalizer) {
    gab_status status = GAB_OK;
    gab_normalizer *made = calloc(1, sizeof *made);
    if (made) made->steps = calloc(n_step + 1, sizeof *made->steps);
    if (!made || !made->steps) {
        status = gab_fail(log, GAB_ERROR_HOST_MEMORY, "%s: no memory for the normalizer", file);
        goto error;
    }
    for (; made->n_step < n_step; made->n_step++) {
        step *s = &made->steps[made->n_step];
        s->is = steps[made->n_step];
        if (!copy_text(made, &s->is.from) || !copy_text(made, &s->is.to)) {
            status = gab_fail(log, GAB_ERROR_HOST_MEMORY, "%s: no memory for the normalizer", file);
            goto error;
        }
        if (s->is.kind == GAB_NORMALIZE_REPLACE_PATTERN)
            GAB_TRY_GOTO(gab_pattern_create(s->is.from.text, (size_t)s->is.from.n_byte, true, file, log, &s->pattern),
                         error);
    }
    *normalizer = made;
    return GAB_OK;
error:
    gab_normalizer_destroy(&made);
    return status;
}

void gab_normalizer_destroy(gab_normalizer **normalizer) {
    gab_normalizer *n = *normalizer;
    if (!n) return;
    for (size_t i = 0; n->steps && i < n->n_step; i++) gab_pattern_destroy(&n->steps[i].pattern);
    free(n->steps);
    gab_arena_free(&n->arena);
    free(n);
    *normalizer = NULL;
}

/* ---- the steps ---- */

/* Text as it grows. */
typedef struct buffer {
    char *text;
    size_t n, n_max;
} buffer;

static gab_status append(buffer *b, const char *text, size_t n) {
    if (n > TEXT_BYTES_MAX - b->n)
        return gab_fail(NULL, GAB_ERROR_LIMIT, "the text becomes longer than %d bytes; encode it in parts",
                        TEXT_BYTES_MAX);
    if (n > b->n_max - b->n || !b->text) {
        size_t n_max = b->n_max < 64 ? 64 : b->n_max;
        while (n_max - b->n < n) n_max *= 2;
        char *grown = realloc(b->text, n_max);
        if (!grown) return gab_fail(NULL, GAB_ERROR_HOST_MEMORY, "no memory for a text of %zu bytes", b->n + n);
        b->text = grown;
        b->n_max = n_max;
    }
    if (n) memcpy(b->text + b->n, text, n);
    b->n += n;
    return GAB_OK;
}

static gab_status prepend(const step *s, const char *text, size_t n, buffer *out) {
    GAB_TRY(append(out, s->is.to.text, (size_t)s->is.to.n_byte));
    return append(out, text, n);
}

static const char *find_text(const char *text, size_t n, gab_gguf_string what) {
    const char *end = text + n;
    while ((size_t)(end - text) >= what.n_byte) {
        text = memchr(text, what.text[0], (size_t)(end - text) - (size_t)what.n_byte + 1);
        if (!text || memcmp(text, what.text, (size_t)what.n_byte) == 0) return text;
        text++;
    }
    return NULL;
}

static gab_status replace(const step *s, const char *text, size_t n, buffer *out) {
    const char *end = text + n;
    for (const char *found; (found = find_text(text, (size_t)(end - text), s->is.from)) != NULL;) {
        GAB_TRY(append(out, text, (size_t)(found - text)));
        GAB_TRY(append(out, s->is.to.text, (size_t)s->is.to.n_byte));
        text = found + s->is.from.n_byte;
    }
    return append(out, text, (size_t)(end - text));
}

/* In well-formed text. */
static gab_status replace_matches(const step *s, gab_pattern_work *work, const char *text, size_t n, buffer *out) {
    for (size_t done = 0; done < n;) {
        size_t begin, end;
        GAB_TRY(gab_pattern_find(s->pattern, work, text, n, done, &begin, &end));
        GAB_TRY(append(out, text + done, begin - done));
        if (end > begin) GAB_TRY(append(out, s->is.to.text, (size_t)s->is.to.n_byte));
        done = end;
    }
    return GAB_OK;
}

/* Bytes at the front that are well-formed. */
static size_t good_bytes(const char *text, size_t n) {
    size_t i = 0;
    gab_utf8_kind kind = GAB_UTF8_CHARACTER;
    for (size_t length = 0; i < n && kind == GAB_UTF8_CHARACTER; i += kind == GAB_UTF8_CHARACTER ? length : 0)
        length = gab_utf8_next(text + i, n - i, &kind);
    return i;
}

static gab_status replace_pattern(const step *s, const char *text, size_t n, buffer *out) {
    gab_pattern_work *work = gab_pattern_work_create();
    if (!work) return gab_fail(NULL, GAB_ERROR_HOST_MEMORY, "no memory to search a text of %zu bytes", n);
    gab_status status = GAB_OK;
    while (n > 0 && status == GAB_OK) {
        gab_utf8_kind kind;
        size_t good = good_bytes(text, n), bad = good < n ? gab_utf8_next(text + good, n - good, &kind) : 0;
        status = replace_matches(s, work, text, good, out);
        if (status == GAB_OK) status = append(out, text + good, bad);
        text += good + bad;
        n -= good + bad;
    }
    gab_pattern_work_destroy(&work);
    return status;
}

/* Whether the step leaves the text alone. */
static bool is_idle(const step *s, const char *text, size_t n, bool first) {
    const gab_gguf_string to = s->is.to;
    if (n == 0) return true;
    switch (s->is.kind) {
    case GAB_NORMALIZE_PREPEND: return false;
    case GAB_NORMALIZE_PREPEND_FIRST:
        if (!first) return true; /* else as the next */
        /* fall through */
    case GAB_NORMALIZE_PREPEND_LACK: return n >= to.n_byte && memcmp(text, to.text, (size_t)to.n_byte) == 0;
    case GAB_NORMALIZE_REPLACE: return !find_text(text, n, s->is.from);
    case GAB_NORMALIZE_REPLACE_PATTERN: return false;
    case GAB_NORMALIZE_NFC: return gab_nfc_is_plain(text, n);
    }
    return true;
}

static gab_status apply(const step *s, const char *text, size_t n, buffer *out) {
    switch (s->is.kind) {
    case GAB_NORMALIZE_REPLACE: return replace(s, text, n, out);
    case GAB_NORMALIZE_REPLACE_PATTERN: return replace_pattern(s, text, n, out);
    case GAB_NORMALIZE_NFC:
        out->text = gab_nfc_make(text, n, &out->n);
        if (!out->text) return gab_fail(NULL, GAB_ERROR_HOST_MEMORY, "no memory for a text of %zu bytes", n);
        if (out->n > TEXT_BYTES_MAX) return append(out, "", 1); /* says so */
        return GAB_OK;
    default: return prepend(s, text, n, out);
    }
}

gab_status gab_normalize(const gab_normalizer *normalizer, const char *text, size_t n, bool first, const char **out,
                         size_t *n_out, char **memory) {
    *memory = NULL;
    for (size_t i = 0; i < normalizer->n_step; i++) {
        const step *s = &normalizer->steps[i];
        buffer next = {0};
        if (is_idle(s, text, n, first)) continue;
        gab_status status = apply(s, text, n, &next);
        free(*memory);
        *memory = next.text;
        if (status != GAB_OK) {
            free(*memory);
            *memory = NULL;
            return status;
        }
        text = next.text ? next.text : "";
        n = next.n;
    }
    *out = text;
    *n_out = n;
    return GAB_OK;
}
