/*
 * stream.c - tokens to UTF-8 text as they come (gab_text_stream in gabbro.h): at most three bytes wait for the rest of
 * their character. U+0000 comes out as U+FFFD too, as the text is zero-terminated.
 */
#include "text/tokenizer.h"
#include "text/utf8.h"

#include <stdlib.h>
#include <string.h>

enum { PENDING_MAX = 3, REPLACEMENT_BYTES = sizeof GAB_UTF8_REPLACEMENT - 1 };

struct gab_text_stream {
    const gab_tokenizer *tokenizer;
    size_t n_pending;
    char *bytes; /* the pending ones, then those of the new token */
    char *text;  /* what push and finish return: in the worst case one U+FFFD a byte */
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
    *stream = made;
    return GAB_OK;
}

void gab_text_stream_destroy(gab_text_stream **stream) {
    if (!*stream) return;
    free((*stream)->bytes);
    free((*stream)->text);
    free(*stream);
    *stream = NULL;
}

/* Turns the first n of stream->bytes into text; what may still become a character waits, unless `last`. */
static const char *advance(gab_text_stream *stream, size_t n, bool last) {
    char *out = stream->text;
    size_t done = 0;
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
    return stream->text;
}

const char *gab_text_stream_push(gab_text_stream *stream, int32_t token) {
    size_t n = 0;
    const char *piece = gab_tokenizer_piece(stream->tokenizer, token, false, &n);
    if (piece) memcpy(stream->bytes + stream->n_pending, piece, n);
    return advance(stream, stream->n_pending + n, false);
}

const char *gab_text_stream_finish(gab_text_stream *stream) {
    return advance(stream, stream->n_pending, true);
}
