#!/usr/bin/env python3
"""make_quantized.py - a small random Llama model as llama-quantize writes it in every type, and again in F32 as it reads it.

    scripts/lab oracle tests/oracle/make_quantized.py OUTDIR

OUTDIR gets NAME.gguf and NAME.f32.gguf, the same weights, and cases.json; tests/oracle/check.py quantized compares the
logits of either.
"""
import json
import os
import subprocess
import sys

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
N_VOCAB = 1000
PURE = ["BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_NL", "IQ4_XS"]
MIXED = ["Q2_K", "Q3_K_M", "Q4_K_M", "Q5_K_M"]
MXFP4 = [option for part in ("attn_q", "attn_output", "ffn_up", "ffn_down") for option in ("--tensor-type", f"{part}=mxfp4")]


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}: {done.stderr[-2000:]}")


def main():
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    out = sys.argv[1]
    os.makedirs(out, exist_ok=True)
    path = lambda name: os.path.join(out, name + ".gguf")
    run(sys.executable, os.path.join(ROOT, "scripts", "synth.py"), "llama", "--layers", "2", "--width", "256", "--heads", "4",
        "--kv-heads", "2", "--ffn", "768", "--vocab", str(N_VOCAB), "--type", "f32", "-o", path("whole"))
    rows = [(kind.lower(), ["--pure"], kind) for kind in PURE] + [(kind.lower() + "_mixed", [], kind) for kind in MIXED]
    rows.append(("mxfp4", MXFP4, "Q8_0"))
    for name, options, kind in rows:
        run("llama-quantize", *options, path("whole"), path(name), kind)
        run("llama-quantize", "--allow-requantize", "--pure", path(name), path(name + ".f32"), "F32")
    with open(os.path.join(out, "cases.json"), "w") as f:
        json.dump({"n_vocab": N_VOCAB, "tokens": [(i * 7919 + 13) % N_VOCAB for i in range(70)],
                   "names": [name for name, _, _ in rows]}, f)
    return 0


if __name__ == "__main__":
    sys.exit(main())
