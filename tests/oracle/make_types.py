#!/usr/bin/env python3
"""make_types.py - hashes of what gguf-py makes of random rows of every weight type: the table of tests/tensor_types.h.

    scripts/lab oracle tests/oracle/make_types.py > tests/tensor_types.h

A row is 64 blocks of random bytes (random_byte of tests/tensor_quant.c, from 0 on for each type) whose f16 have their
highest exponent bit cleared, so that they are finite and some of them subnormal. The hash is FNV-1a of the weights' bytes.
"""
import numpy as np
from gguf import GGML_QUANT_SIZES
from gguf import GGMLQuantizationType as T
from gguf.quants import dequantize

N_BLOCK = 64
# type, where a block has f16
TYPES = [("F16", [0]), ("Q8_0", [0]), ("Q4_0", [0]), ("Q4_K", [0, 2]), ("Q5_K", [0, 2]), ("Q6_K", [208]), ("BF16", [0]),
         ("Q4_1", [0, 2]), ("Q5_0", [0]), ("Q5_1", [0, 2]), ("IQ4_NL", [0]), ("IQ4_XS", [0]), ("MXFP4", []), ("Q2_K", [80, 82]), ("Q3_K", [108])]
MASK = (1 << 64) - 1


def random_byte(i):
    z = (i + 1) * 0x9E3779B97F4A7C15 & MASK
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & MASK
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB & MASK
    return (z ^ (z >> 31)) >> 56


def fnv(data):
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 & MASK
    return value


print("/* Made by tests/oracle/make_types.py. */")
for name, halves in TYPES:
    size = GGML_QUANT_SIZES[T[name]][1]
    row = bytearray(random_byte(i) for i in range(N_BLOCK * size))
    for block in range(N_BLOCK):
        for at in halves:
            row[block * size + at + 1] &= 0xBF
    with np.errstate(all="ignore"):
        values = dequantize(np.frombuffer(bytes(row), dtype=np.uint8), T[name]).astype("<f4")
    print(f"{{GAB_DTYPE_{name}, {{{', '.join(map(str, halves + [-1] * (2 - len(halves))))}}}, UINT64_C(0x{fnv(values.tobytes()):016x})}},")
