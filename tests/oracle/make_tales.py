#!/usr/bin/env python3
"""make_tales.py - greedy text of the embedded model by transformers, for tests/oracle/check.py tales.

    scripts/lab oracle tests/oracle/make_tales.py OUT.json [MODEL.gguf]

Reads the GGUF with gguf-py, dequantizes it into a GPT2LMHeadModel (float32), tokenizes with the tokenizers library, and
writes for each prompt {"prompt", "prompt_ids", "n", "ids_q8", "smallest_gap_q8"}: the gap is the smallest one between first
and second logit on the way. A gap near float32's error would make the comparison a lottery, so it is asserted.
"""
import json
import os
import sys

import gguf
import numpy as np
import tokenizers
import torch
import transformers

N = 64
PROMPTS = ["Once upon a time", "One day, a little girl named Lily", "The king called his three sons and",
           "\"Where are you going?\" asked the", "It's 12 o'clock, said the caf\u00e9 owner;  and\n\nthen"]
ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")


def read_model(path):
    reader = gguf.GGUFReader(path)
    field = lambda name: reader.get_field(name).contents()
    tensors = {t.name: torch.from_numpy(gguf.quants.dequantize(t.data, t.tensor_type).reshape(t.shape[::-1].tolist()).copy())
               for t in reader.tensors}
    config = transformers.GPT2Config(
        vocab_size=len(field("tokenizer.ggml.tokens")), n_positions=field("gpt2.context_length"),
        n_embd=field("gpt2.embedding_length"), n_layer=field("gpt2.block_count"), n_head=field("gpt2.attention.head_count"),
        n_inner=field("gpt2.feed_forward_length"), layer_norm_epsilon=field("gpt2.attention.layer_norm_epsilon"),
        activation_function="gelu_new", tie_word_embeddings="output.weight" not in tensors)
    names = {"token_embd.weight": "transformer.wte.weight", "position_embd.weight": "transformer.wpe.weight",
             "output_norm.weight": "transformer.ln_f.weight", "output_norm.bias": "transformer.ln_f.bias",
             "output.weight": "lm_head.weight"}
    for i in range(config.n_layer):
        for ours, theirs in [("attn_norm", "ln_1"), ("attn_qkv", "attn.c_attn"), ("attn_output", "attn.c_proj"),
                             ("ffn_norm", "ln_2"), ("ffn_up", "mlp.c_fc"), ("ffn_down", "mlp.c_proj")]:
            for part in ["weight", "bias"]:
                names[f"blk.{i}.{ours}.{part}"] = f"transformer.h.{i}.{theirs}.{part}"
    state = {}
    for name, value in tensors.items():
        conv1d = ".c_" in names[name] and value.dim() == 2  # Conv1D holds [in, out]
        state[names[name]] = value.T.contiguous() if conv1d else value
    model = transformers.GPT2LMHeadModel(config).eval()
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert not unexpected and set(missing) <= {"lm_head.weight"}, (missing, unexpected)
    model.tie_weights()
    vocab = {token: i for i, token in enumerate(field("tokenizer.ggml.tokens"))}
    merges = [tuple(m.split(" ")) for m in field("tokenizer.ggml.merges")]
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE(vocab, merges))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    return model, tokenizer


def greedy(model, ids):
    """N tokens, past an end token too."""
    made, smallest = [], np.inf
    with torch.no_grad():
        while len(made) < N:
            values, tokens = model(torch.tensor([ids + made])).logits[0, -1].topk(2)
            smallest = min(smallest, (values[0] - values[1]).item())
            made.append(tokens[0].item())
    return made, smallest


def main():
    if len(sys.argv) not in (2, 3):
        print(__doc__, file=sys.stderr)
        return 2
    torch.set_num_threads(os.cpu_count() or 1)
    model, tokenizer = read_model(sys.argv[2] if len(sys.argv) == 3 else os.path.join(ROOT, "models", "tales.gguf"))
    rows = []
    for prompt in PROMPTS:
        ids = tokenizer.encode(prompt).ids
        made, gap = greedy(model, ids)
        assert gap > 1e-3, f"{prompt!r}: two tokens are {gap} apart, choose another prompt"
        rows.append({"prompt": prompt, "prompt_ids": ids, "n": N, "ids_q8": made, "smallest_gap_q8": gap})
        print(f"{prompt!r}: {len(made)} tokens, smallest gap {gap:.4f}")
    with open(sys.argv[1], "w") as f:
        json.dump(rows, f)
    return 0


if __name__ == "__main__":
    sys.exit(main())
