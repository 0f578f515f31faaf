#include "text/alphabet.h"
#include "base/utf8.h"

#include <string.h>

/* -1: the code point stands for no byte. The 68 bytes that are not printable in Latin-1 are 0..32, 127..160 and 173. */
static int byte_of(unsigned code) {
    if (code < 256) return (code > 32 && code < 127) || (code > 160 && code != 173) ? (int)code : -1;
    unsigned i = code - 256;
    return i < 33 ? (int)i : i < 67 ? (int)i - 33 + 127 : i == 67 ? 173 : -1;
}

static unsigned code_of(unsigned byte) {
    if (byte < 33) return 256 + byte;
    if (byte >= 127 && byte <= 160) return 256 + 33 + byte - 127;
    return byte == 173 ? 256 + 67 : byte;
}

size_t gab_alphabet_read(const char *text, size_t n, char *bytes) {
    size_t written = 0;
    for (size_t i = 0; i < n;) {
        gab_utf8_kind kind;
        size_t length = gab_utf8_next(text + i, n - i, &kind);
        unsigned first = (unsigned char)text[i];
        int byte = -1;
        if (length == 1) byte = first < 0x80 ? byte_of(first) : -1;
        if (length == 2 && kind == GAB_UTF8_CHARACTER)
            byte = byte_of((first & 0x1Fu) << 6 | ((unsigned char)text[i + 1] & 0x3Fu));
        if (byte >= 0) {
            bytes[written++] = (char)byte;
        } else {
            memcpy(bytes + written, text + i, length);
            written += length;
        }
        i += length;
    }
    return written;
}

size_t gab_alphabet_write(const char *bytes, size_t n, char *text) {
    size_t written = 0;
    for (size_t i = 0; i < n; i++) {
        unsigned code = code_of((unsigned char)bytes[i]);
        if (code >= 0x80) text[written++] = (char)(0xC0 | code >> 6);
        text[written++] = (char)(code < 0x80 ? code : 0x80 | (code & 0x3F));
    }
    return written;
}
