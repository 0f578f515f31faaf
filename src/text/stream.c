/*
 * stream.c - tokens to UTF-8 text as they come (gab_text_stream in gabbro.h): at most three bytes wait for the rest of
 * their character. U+0000 comes out as U+FFFD too, as the text is zero-terminated. Text that may be the beginning of a
 * stop string waits as well. The space that SentencePiece puts in front of a text is left out.
 */
#include "base/utf8.h"
#include "text/tokenizer.h"

#include <stdlib.h>
#include <string.h>

enum { PENDING_MAX = 3, REPLACEMENT_BYTES = sizeof GAB_UTF8_REPLACEMENT - 1 };

struct gab_text_stream {
    const gab_tokenizer *tokenizer;
    size_t n_pending;
    char *bytes;  /* the pending ones, then those of the new token */
    char *text;   /* what push and finish return: what was held back, then in the worst case one U+FFFD a byte */
    char **stops; /* [n_stop] */
    size_t n_stop, n_stop_max; /* n_stop_max: bytes of the longest */
    char *held;                /* [n_held] the beginning of a stop string, perhaps */
    size_t n_held;
    bool stopped;
    bool begins; /* nothing has come yet: a space in front is left out */
};

gab_status gab_text_stream_create(const gab_tokenizer *tokenizer, gab_text_stream **stream) {
    size_t n = PENDING_MAX + gab_tokenizer_piece_max(tokenizer);
    gab_text_stream *made = calloc(1, sizeof *made);
    if (made) made->bytes = malloc(n);
    if (made) made->text = malloc(n * REPLACEMENT_BYTES + 1);
    if (!made || !made->bytes || !made->text) {
        gab_text_stream_destroy(&made);
        return gab_fail(NULL, GAB_ERROR_HOST_MEMORY, "no memory for a text stream");
    }
    made->tokenizer = tokenizer;
    made->begins = gab_tokenizer_strips_space(tokenizer);
    *stream = made;
    return GAB_OK;
}

void gab_text_stream_destroy(gab_text_stream **stream) {
    if (!*stream) return;
    for (size_t i = 0; i < (*stream)->n_stop; i++) free((*stream)->stops[i]);
    free((*stream)->stops);
    free((*stream)->held);
    free((*stream)->bytes);
    free((*stream)->text);
    free(*stream);
    *stream = NULL;
}

static bool is_utf8(const char *text) {
    gab_utf8_kind kind = GAB_UTF8_CHARACTER;
    for (size_t n = strlen(text), i = 0; i < n && kind == GAB_UTF8_CHARACTER;)
        i += gab_utf8_next(text + i, n - i, &kind);
    return kind == GAB_UTF8_CHARACTER;
}

gab_status gab_text_stream_add_stop(gab_text_stream *stream, const char *text) {
    const size_t n = strlen(text), longest = n > stream->n_stop_max ? n : stream->n_stop_max;
    if (n == 0 || !is_utf8(text))
        return gab_fail(NULL, GAB_ERROR_ARGUMENT, "a stop string is %s: give some text in UTF-8",
                        n == 0 ? "empty" : "not UTF-8");
    char **stops = realloc(stream->stops, (stream->n_stop + 1) * sizeof *stops);
    if (stops) stream->stops = stops;
    char *held = realloc(stream->held, longest);
    if (held) stream->held = held;
    const size_t fresh = (PENDING_MAX + gab_tokenizer_piece_max(stream->tokenizer)) * REPLACEMENT_BYTES + 1;
    char *all = realloc(stream->text, longest + fresh), *copy = malloc(n + 1);
    if (all) stream->text = all;
    if (!stops || !held || !all || !copy) {
        free(copy);
        return gab_fail(NULL, GAB_ERROR_HOST_MEMORY, "no memory for a stop string");
    }
    memcpy(copy, text, n + 1);
    stops[stream->n_stop++] = copy;
    stream->n_stop_max = longest;
    return GAB_OK;
}

void gab_text_stream_continue(gab_text_stream *stream) {
    stream->begins = false;
}

bool gab_text_stream_stopped(const gab_text_stream *stream) {
    return stream->stopped;
}

/* Bytes at the end of the text that may be the beginning of a stop string. */
static size_t n_waiting(const gab_text_stream *stream, size_t n_text) {
    size_t longest = 0;
    for (size_t i = 0; i < stream->n_stop; i++)
        for (size_t n = strlen(stream->stops[i]) - 1; n > longest; n--)
            if (n <= n_text && memcmp(stream->text + n_text - n, stream->stops[i], n) == 0) longest = n;
    return longest;
}

/* Cuts the text, which begins with what was held back, at a stop string, or at what may become one unless `last`. */
static const char *cut(gab_text_stream *stream, size_t n_text, bool last) {
    const char *first = NULL, *first_end = NULL;
    for (size_t i = 0; i < stream->n_stop; i++) {
        const char *found = strstr(stream->text, stream->stops[i]),
                   *end = found ? found + strlen(stream->stops[i]) : NULL;
        if (!found || (first && (end > first_end || (end == first_end && found > first)))) continue;
        first = found;
        first_end = end;
    }
    stream->stopped = first != NULL;
    stream->n_held = first || last ? 0 : n_waiting(stream, n_text);
    n_text = first ? (size_t)(first - stream->text) : n_text - stream->n_held;
    if (stream->n_held > 0) memcpy(stream->held, stream->text + n_text, stream->n_held);
    stream->text[n_text] = 0;
    return stream->text;
}

/* Turns the first n of stream->bytes into text; what may still become a character waits, unless `last`. */
static const char *advance(gab_text_stream *stream, size_t n, bool last) {
    char *out = stream->text + stream->n_held;
    size_t done = 0;
    if (stream->stopped) return "";
    if (stream->n_held > 0) memcpy(stream->text, stream->held, stream->n_held);
    while (done < n) {
        gab_utf8_kind kind;
        const char *next = stream->bytes + done;
        size_t length = gab_utf8_next(next, n - done, &kind);
        if (kind == GAB_UTF8_CUT && !last) break;
        bool whole = kind == GAB_UTF8_CHARACTER && *next != 0;
        size_t written = whole ? length : REPLACEMENT_BYTES;
        memcpy(out, whole ? next : GAB_UTF8_REPLACEMENT, written);
        out += written;
        done += length;
    }
    *out = 0;
    stream->n_pending = n - done;
    memmove(stream->bytes, stream->bytes + done, n - done);
    return cut(stream, (size_t)(out - stream->text), last);
}

const char *gab_text_stream_push(gab_text_stream *stream, int32_t token) {
    size_t n = 0;
    const char *piece = gab_tokenizer_piece(stream->tokenizer, token, false, &n);
    if (stream->begins && n > 0) {
        stream->begins = false;
        if (*piece == ' ') {
            piece++;
            n--;
        }
    }
    if (piece) memcpy(stream->bytes + stream->n_pending, piece, n);
    return advance(stream, stream->n_pending + n, false);
}

const char *gab_text_stream_finish(gab_text_stream *stream) {
    return advance(stream, stream->n_pending, true);
}
