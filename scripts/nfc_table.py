#!/usr/bin/env python3
"""nfc_table.py - writes src/text/nfc_table.h from the Unicode Character Database that comes with Python.

    scripts/nfc_table.py >src/text/nfc_table.h

Canonical decompositions of one step, the pairs that compose, and the combining classes. Hangul is arithmetic and not listed.
"""
import unicodedata

HANGUL = range(0xAC00, 0xD7A4)
decompositions, classes = [], []
for code in range(0x110000):
    c = chr(code)
    text = unicodedata.decomposition(c)
    if text and not text.startswith("<") and code not in HANGUL:
        parts = [int(p, 16) for p in text.split()] + [0]
        decompositions.append((code, parts[0], parts[1]))
    if unicodedata.combining(c):
        if classes and classes[-1][1] == code - 1 and classes[-1][2] == unicodedata.combining(c):
            classes[-1][1] = code
        else:
            classes.append([code, code, unicodedata.combining(c)])
compositions = sorted((first, second, code) for code, first, second in decompositions
                      if second and unicodedata.normalize("NFC", chr(first) + chr(second)) == chr(code))
seconds = sorted({second for _, second, _ in compositions if not unicodedata.combining(chr(second))})


def rows(name, type_name, entries):
    print(f"static const {type_name} {name}[] = {{")
    line = "   "
    for entry in entries:
        cell = " {" + ", ".join(f"0x{v:X}" for v in entry) + "},"
        if len(line) + len(cell) > 120:
            print(line)
            line = "   "
        line += cell
    print(line + "\n};\n")


print(f"""/* nfc_table.h - made by scripts/nfc_table.py from version {unicodedata.unidata_version} of the Unicode Character Database; sorted. */
#ifndef GAB_TEXT_NFC_TABLE_H
#define GAB_TEXT_NFC_TABLE_H

#include <stdint.h>

/* clang-format off */

typedef struct nfc_triple {{
    uint32_t a, b, c;
}} nfc_triple;

/* A character, and the one or two (else 0) that it decomposes into. */""")
rows("DECOMPOSITIONS", "nfc_triple", decompositions)
print("/* Two characters, and the one that they compose into. */")
rows("COMPOSITIONS", "nfc_triple", compositions)
print("/* From, to, combining class; all others are of class 0. */")
rows("CLASSES", "nfc_triple", classes)
print("/* Of class 0, but the second of a pair that composes. */")
rows("SECONDS", "nfc_triple", [(s, 0, 0) for s in seconds])
print("/* clang-format on */\n\n#endif")
