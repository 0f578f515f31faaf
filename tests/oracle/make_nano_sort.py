#!/usr/bin/env python3
"""make_nano_sort.py - the sorting model of bbycroft/llm-viz: check every step of its forward pass, write it as GGUF.

    scripts/lab oracle tests/oracle/make_nano_sort.py FOLDER [OUT.gguf]

FOLDER holds gpt-nano-sort-model.json (weights) and gpt-nano-sort-t0-partials.json (every intermediate result of one forward
pass of 3 sequences of 11 tokens), tensors in base64 little-endian float32, row-major, {"shape", "dtype", "data"}.
The model: GPT-2 as minGPT writes it; 3 layers, width 48, 3 heads of 16, 11 positions, 3 tokens (A, B, C), separate head.

Weights, shapes as stored. Linear layers are [out, in] already, which is the order of GGUF rows: nothing is transposed.

    transformer.wte.weight [3, 48]                 token_embd.weight
    transformer.wpe.weight [11, 48]                position_embd.weight
    transformer.h.N.ln_1.{weight,bias} [48]        blk.N.attn_norm
    transformer.h.N.attn.c_attn [144, 48], [144]   blk.N.attn_qkv: rows 0-47 q, 48-95 k, 96-143 v; head h owns 16 h .. 16 h + 15
    transformer.h.N.attn.c_proj [48, 48], [48]     blk.N.attn_output
    transformer.h.N.attn.bias [1, 1, 11, 11]       the causal mask: not a weight
    transformer.h.N.ln_2.{weight,bias} [48]        blk.N.ffn_norm
    transformer.h.N.mlp.c_fc [192, 48], [192]      blk.N.ffn_up
    transformer.h.N.mlp.c_proj [48, 192], [48]     blk.N.ffn_down
    transformer.ln_f.{weight,bias} [48]            output_norm
    lm_head.weight [3, 48]                         output.weight, no bias

Partials, B = 3 sequences, T = 11 rows. Those without a number are of block 0.

    idx       [B, T]           token ids, stored as float32
    tok_emb   [B, T, 48]       wte[idx]
    pos_emb   [1, T, 48]       wpe
    x         [B, T, 48]       tok_emb + pos_emb
    ln1       [B, T, 48]       layernorm(x), epsilon 1e-5
    qkv       [B, T, 144]      c_attn(ln1)
    q, k, v   [B, 3, T, 16]    its thirds, split by head: q[b, h, t, d] = qkv[b, t, 16 h + d], k from 48 on, v from 96 on
    att       [B, 3, T, T]     q k^T / sqrt(16), entries above the diagonal -infinity
    attSm     [B, 3, T, T]     softmax(att)
    y         [B, T, 48]       attSm v, heads side by side
    yProj     [B, T, 48]       attn.c_proj(y)
    attnResid [B, T, 48]       x + yProj
    ln2       [B, T, 48]       layernorm(attnResid)
    fc        [B, T, 192]      mlp.c_fc(ln2)
    gelu      [B, T, 192]      gelu(fc), the tanh form
    mlp       [B, T, 48]       mlp.c_proj(gelu)
    mlpResid  [B, T, 48]       attnResid + mlp
    blockN    [B, T, 48]       output of block N (block0 equals mlpResid)
    ln_f      [B, T, 48]       layernorm(block2)
    lm_head   [B, T, 3]        logits
    probs     [B, T, 3]        softmax(lm_head)
"""
import base64
import json
import os
import sys

import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "scripts"))
import synth  # noqa: E402

BOUND = 1e-6  # relative L2 error of a step: the partials are float32


def load(path):
    with open(path) as f:
        return {name: tensor(value) if isinstance(value, dict) and "data" in value else value
                for name, value in json.load(f).items()}


def tensor(value):
    return np.frombuffer(base64.b64decode(value["data"]), "<f4").reshape(value["shape"])


def layernorm(x, gain, bias):
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt((centred ** 2).mean(-1, keepdims=True) + 1e-5) * gain + bias


def gelu(x):
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x ** 3)))


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def forward(config, w, ids):
    """Every step in float64, under the partials' names."""
    n_head, n_batch, n_row = config["n_head"], *ids.shape
    head_dim = config["n_embd"] // n_head
    linear = lambda x, name: x @ w[name + ".weight"].T + w[name + ".bias"]
    norm = lambda x, name: layernorm(x, w[name + ".weight"], w[name + ".bias"])
    heads = lambda x: x.reshape(n_batch, n_row, n_head, head_dim).transpose(0, 2, 1, 3)
    s = {"idx": ids, "tok_emb": w["transformer.wte.weight"][ids], "pos_emb": w["transformer.wpe.weight"][None, :n_row]}
    x = s["tok_emb"] + s["pos_emb"]
    for i in range(config["n_layer"]):
        name, b = f"transformer.h.{i}.", {"x": x}
        b["ln1"] = norm(x, name + "ln_1")
        b["qkv"] = linear(b["ln1"], name + "attn.c_attn")
        b["q"], b["k"], b["v"] = map(heads, np.split(b["qkv"], 3, axis=-1))
        scores = b["q"] @ b["k"].transpose(0, 1, 3, 2) / np.sqrt(head_dim)
        b["att"] = np.where(np.tri(n_row, dtype=bool), scores, -np.inf)
        b["attSm"] = softmax(b["att"])
        b["y"] = (b["attSm"] @ b["v"]).transpose(0, 2, 1, 3).reshape(n_batch, n_row, -1)
        b["yProj"] = linear(b["y"], name + "attn.c_proj")
        b["attnResid"] = x + b["yProj"]
        b["ln2"] = norm(b["attnResid"], name + "ln_2")
        b["fc"] = linear(b["ln2"], name + "mlp.c_fc")
        b["gelu"] = gelu(b["fc"])
        b["mlp"] = linear(b["gelu"], name + "mlp.c_proj")
        x = s[f"block{i}"] = b["mlpResid"] = b["attnResid"] + b["mlp"]
        if i == 0:
            s.update(b)
    s["ln_f"] = norm(x, "transformer.ln_f")
    s["lm_head"] = s["ln_f"] @ w["lm_head.weight"].T
    s["probs"] = softmax(s["lm_head"])
    return s


def check(expected, found):
    if expected.shape != found.shape:
        return f"shape {found.shape}, expected {expected.shape}"
    finite = np.isfinite(expected)
    if not np.array_equal(finite, np.isfinite(found)):
        return "infinities in other places"
    error = np.linalg.norm(found[finite] - expected[finite]) / np.linalg.norm(expected[finite])
    return None if error < BOUND else f"relative error {error:.1e}"


def write_gguf(path, config, w):
    E, A = config["n_embd"], "gpt2"
    tokens = ["A", "B", "C"]
    entries = [
        ("general.architecture", "string", A), ("general.name", "string", "nano-sort"), ("general.file_type", "u32", 0),
        (f"{A}.block_count", "u32", config["n_layer"]), (f"{A}.context_length", "u32", config["block_size"]),
        (f"{A}.embedding_length", "u32", E), (f"{A}.feed_forward_length", "u32", 4 * E),
        (f"{A}.attention.head_count", "u32", config["n_head"]), (f"{A}.attention.layer_norm_epsilon", "f32", 1e-5),
        ("tokenizer.ggml.model", "string", "gpt2"), ("tokenizer.ggml.pre", "string", "gpt-2"),
        ("tokenizer.ggml.tokens", "strings", tokens), ("tokenizer.ggml.token_type", "i32s", [1] * len(tokens)),
        ("tokenizer.ggml.merges", "strings", []),
    ]
    names = {"token_embd.weight": "transformer.wte.weight", "position_embd.weight": "transformer.wpe.weight"}
    for i in range(config["n_layer"]):
        for ours, theirs in [("attn_norm", "ln_1"), ("attn_qkv", "attn.c_attn"), ("attn_output", "attn.c_proj"),
                             ("ffn_norm", "ln_2"), ("ffn_up", "mlp.c_fc"), ("ffn_down", "mlp.c_proj")]:
            for part in ["weight", "bias"]:
                names[f"blk.{i}.{ours}.{part}"] = f"transformer.h.{i}.{theirs}.{part}"
    names.update({"output_norm.weight": "transformer.ln_f.weight", "output_norm.bias": "transformer.ln_f.bias",
                  "output.weight": "lm_head.weight"})
    synth.write(path, entries, [(name, w[n].shape, np.float32, lambda n=n: w[n]) for name, n in names.items()])


def main():
    if len(sys.argv) not in (2, 3):
        print(__doc__, file=sys.stderr)
        return 2
    model = load(os.path.join(sys.argv[1], "gpt-nano-sort-model.json"))
    partials = load(os.path.join(sys.argv[1], "gpt-nano-sort-t0-partials.json"))
    config = model.pop("config")
    partials.pop("config")
    weights = {name: value.astype(np.float64) for name, value in model.items()}
    steps = forward(config, weights, partials["idx"].astype(np.int64))
    n_failed = 0
    for name, expected in partials.items():
        problem = check(expected.astype(np.float64), steps[name]) if name in steps else "no such step"
        n_failed += problem is not None
        print(f"{'failed' if problem else 'ok':6} {name:10} {str(expected.shape):16} {problem or ''}".rstrip())
    if len(sys.argv) == 3:
        write_gguf(sys.argv[2], config, model)
    print(f"{len(partials) - n_failed} passed, {n_failed} failed")
    return 1 if n_failed else 0


if __name__ == "__main__":
    sys.exit(main())
