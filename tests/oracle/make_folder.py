#!/usr/bin/env python3
"""make_folder.py - random GPT-2 models as Hugging Face folders, with transformers' logits, and what llama.cpp's tools make of
the same weights.

    scripts/lab oracle tests/oracle/make_folder.py OUTDIR

OUTDIR gets, for F32, F16 and BF16, a folder with one safetensors file and one with several (save_pretrained with a small
max_shard_size), the reference logits, a GGUF file, the same split by llama-gguf-split, the same quantized by
llama-quantize --pure, and cases.json, which tests/oracle/check.py folders reads: logits of a folder against the reference,
and of pairs that must be equal to the last bit (one file and its parts; --quantize and llama-quantize).

References are computed in float64 from the weights as they are rounded in the folder.
"""
import glob
import json
import os
import subprocess
import sys

import torch
from gguf import GGMLQuantizationType as T

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from make_gpt2 import logits, make_model, write_gguf  # noqa: E402

# name, head size, heads, layers, feed-forward (0: 4 x width), vocabulary, tied head
CONFIGS = [("wide", 32, 4, 2, 0, 300, True), ("odd", 25, 3, 2, 101, 259, False)]
TYPES = [("f32", torch.float32), ("f16", torch.float16), ("bf16", torch.bfloat16)]
N_TOKEN = 65
BOUND = 1e-5


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, (command, done.stdout[-2000:], done.stderr[-2000:])


def parts_of_gguf(out, name, model):
    """A GGUF file in F32, its parts, its quantizations; pairs of arguments that must give the same logits."""
    whole = f"{name}.gguf"
    write_gguf(os.path.join(out, whole), name, model, T.F32)
    run("llama-gguf-split", "--split", "--split-max-tensors", "7", os.path.join(out, whole), os.path.join(out, f"{name}-part"))
    parts = sorted(os.path.basename(p) for p in glob.glob(os.path.join(out, f"{name}-part-*.gguf")))
    assert len(parts) > 2, parts
    pairs = [[[whole], [parts[0]]], [[whole], [parts[-1]]]]
    if model.config.n_embd % 32 == 0 and model.config.n_inner % 32 == 0:
        for kind in ["q8_0", "q4_0"]:
            quantized = f"{name}.{kind}.gguf"
            run("llama-quantize", "--pure", os.path.join(out, whole), os.path.join(out, quantized), kind.upper(), "2")
            pairs.append([[whole, "--quantize", kind], [quantized]])
            pairs.append([[f"{name}.f32", "--quantize", kind], [quantized]])
            pairs.append([[parts[1], "--quantize", kind], [quantized]])
    return pairs


def main():
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    out = sys.argv[1]
    os.makedirs(out, exist_ok=True)
    cases, pairs = [], []
    for seed, config in enumerate(CONFIGS):
        name = config[0]
        generator = torch.Generator().manual_seed(seed + 50)
        model = make_model(*config[1:], generator)
        ids = torch.randint(0, model.config.vocab_size, (N_TOKEN,), generator=generator).tolist()
        pairs += [{"name": f"{name}: {a} and {b}", "a": a, "b": b, "tokens": ids, "n_vocab": model.config.vocab_size}
                  for a, b in parts_of_gguf(out, name, model)]
        original = {k: v.clone() for k, v in model.state_dict().items()}
        for type_name, dtype in TYPES:
            model.load_state_dict(original)
            model.to(dtype)
            stem = f"{name}.{type_name}"
            model.save_pretrained(os.path.join(out, stem))
            model.save_pretrained(os.path.join(out, stem + ".parts"), max_shard_size="100KB")
            n_file = len(glob.glob(os.path.join(out, stem + ".parts", "*.safetensors")))
            assert n_file > 2, n_file
            reference = logits(model.double(), ids)
            reference.astype("<f4").tofile(os.path.join(out, stem + ".logits"))
            for folder in [stem, stem + ".parts"]:
                cases.append({"name": folder, "file": folder, "n_vocab": model.config.vocab_size, "tokens": ids,
                              "references": [[stem + ".logits", BOUND]]})
            print(f"{stem}: {n_file} files")
    with open(os.path.join(out, "cases.json"), "w") as f:
        json.dump({"cases": cases, "pairs": pairs}, f)
    return 0


if __name__ == "__main__":
    sys.exit(main())
