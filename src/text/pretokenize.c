#include "text/pretokenize.h"
#include "base/utf8.h"
#include "text/alphabet.h"
#include "text/pattern.h"

#include <stdlib.h>
#include <string.h>

typedef struct split_step {
    gab_pattern *pattern;
    gab_split_kind kind;
    bool invert, spelled;
} split_step;

struct gab_pretokenizer {
    size_t n_step;
    split_step *steps;
};

typedef struct call {
    const gab_pretokenizer *pretokenizer;
    gab_pattern_work *work;
    gab_pretokenize_fn fn;
    void *user;
} call;

gab_status gab_pretokenizer_create(const gab_split_step *steps, size_t n_step, bool jit, const char *file,
                                   const gab_log *log, gab_pretokenizer **pretokenizer) {
    gab_status status = GAB_OK;
    gab_pretokenizer *made = calloc(1, sizeof *made);
    if (made) made->steps = calloc(n_step + 1, sizeof *made->steps);
    if (!made || !made->steps) {
        status = gab_fail(log, GAB_ERROR_HOST_MEMORY, "%s: no memory for the pre-tokenizer", file);
        goto error;
    }
    for (; made->n_step < n_step; made->n_step++) {
        const gab_split_step *s = &steps[made->n_step];
        split_step *to = &made->steps[made->n_step];
        *to = (split_step){NULL, s->kind, s->invert, s->spelled};
        GAB_TRY_GOTO(gab_pattern_create(s->pattern, strlen(s->pattern), jit, file, log, &to->pattern), error);
    }
    *pretokenizer = made;
    return GAB_OK;
error:
    gab_pretokenizer_destroy(&made);
    return status;
}

void gab_pretokenizer_destroy(gab_pretokenizer **pretokenizer) {
    if (!*pretokenizer) return;
    for (size_t i = 0; i < (*pretokenizer)->n_step; i++) gab_pattern_destroy(&(*pretokenizer)->steps[i].pattern);
    free((*pretokenizer)->steps);
    free(*pretokenizer);
    *pretokenizer = NULL;
}

static gab_status cut(const call *c, size_t level, const char *text, size_t n);

/* Puts what a step finds together: begin..end is waiting to be passed on. */
typedef struct joiner {
    const call *call;
    size_t level; /* of the step */
    const char *text;
    size_t begin, end;
    bool match; /* the waiting piece is one */
} joiner;

static gab_status flush(joiner *j) {
    const size_t begin = j->begin;
    j->begin = j->end;
    return j->end > begin ? cut(j->call, j->level + 1, j->text + begin, j->end - begin) : GAB_OK;
}

/* The next piece of the text, which may be empty. */
static gab_status take(joiner *j, size_t end, bool match) {
    const gab_split_kind kind = j->call->pretokenizer->steps[j->level].kind;
    if (end == j->end) return GAB_OK;
    const bool waiting = j->end > j->begin;
    bool join = (kind == GAB_SPLIT_CONTIGUOUS && match == j->match) ||
                (kind == GAB_SPLIT_PREVIOUS && match && !j->match) || (kind == GAB_SPLIT_NEXT && !match && j->match);
    if (!join || !waiting) GAB_TRY(flush(j));
    j->end = end;
    j->match = match;
    if (kind == GAB_SPLIT_REMOVED && match) j->begin = end;
    if (waiting && join && kind != GAB_SPLIT_CONTIGUOUS) return flush(j);
    return GAB_OK;
}

/* Where byte `at` of the spelled text, in which every character is one byte, lies in the text itself; from and *i are
 * the last place asked for. */
static size_t unspell(const char *spelled, size_t at, size_t *i, size_t *from) {
    for (; *i < at; ++*i) *from += ((unsigned char)spelled[*i] & 0xC0) != 0x80;
    return *from;
}

/* Cuts `text`, which is seen as `seen`, with the step at `level` and those behind it. */
static gab_status cut_seen(const call *c, size_t level, const char *text, const char *seen, size_t n_seen) {
    const split_step *s = &c->pretokenizer->steps[level];
    joiner j = {c, level, text, 0, 0, false};
    size_t at = 0, from = 0;
    for (size_t done = 0; done < n_seen;) {
        size_t begin, end;
        GAB_TRY(gab_pattern_find(s->pattern, c->work, seen, n_seen, done, &begin, &end));
        GAB_TRY(take(&j, s->spelled ? unspell(seen, begin, &at, &from) : begin, s->invert));
        GAB_TRY(take(&j, s->spelled ? unspell(seen, end, &at, &from) : end, !s->invert));
        done = end;
    }
    return flush(&j);
}

/* Cuts well-formed text with the steps from `level` on. */
static gab_status cut(const call *c, size_t level, const char *text, size_t n) {
    if (level == c->pretokenizer->n_step) return c->fn(c->user, text, n) ? GAB_OK : GAB_ERROR_CANCELLED;
    if (!c->pretokenizer->steps[level].spelled) return cut_seen(c, level, text, text, n);
    char few[256], *seen = 2 * n <= sizeof few ? few : malloc(2 * n);
    if (!seen) return gab_fail(NULL, GAB_ERROR_HOST_MEMORY, "no memory to cut a text of %zu bytes", n);
    gab_status status = cut_seen(c, level, text, seen, gab_alphabet_write(text, n, seen));
    if (seen != few) free(seen);
    return status;
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
    call c = {pretokenizer, gab_pattern_work_create(), fn, user};
    if (!c.work) return gab_fail(NULL, GAB_ERROR_HOST_MEMORY, "no memory to cut a text of %zu bytes", n);
    gab_status status = GAB_OK;
    for (size_t done = 0; done < n && status == GAB_OK;) {
        bool valid = true;
        size_t length = run_length(text + done, n - done, &valid);
        status = cut(&c, valid ? 0 : pretokenizer->n_step, text + done, length);
        done += length;
    }
    gab_pattern_work_destroy(&c.work);
    return status;
}
