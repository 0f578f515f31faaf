#!/usr/bin/env python3
"""make_gpt2.py - random GPT-2 models as GGUF files, with the logits that transformers' GPT2LMHeadModel gives for them.

    scripts/lab oracle tests/oracle/make_gpt2.py OUTDIR

OUTDIR gets NAME.TYPE.gguf, the reference logits as raw float32 (one row of n_vocab a token), and cases.json, which says
which belongs to which and within what error. tests/oracle/check.py compares gabbro with them.

One prompt of 300 tokens serves every prompt length: attention is causal, so the reference of a shorter prompt is the head
of the reference of the longest. That transformers agrees is asserted here.

References are computed in float64 and rounded to float32. transformers in float32 differs from that by about 1e-6
(cases.json holds the figure of each case, asserted below 2e-6), a tenth of the bound asked of gabbro: with the more
accurate of the two, the error measured is gabbro's own.

Weights are scaled so that attention is neither flat nor one-hot and GELU works in its curved part: a weight's deviation is
1.5 / sqrt(width), that is 0.08 to 0.22, where the 0.02 of a fresh model would leave both nearly linear.
"""
import json
import math
import os
import sys

import gguf
import numpy as np
import torch
import transformers
from gguf import GGMLQuantizationType as T

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "scripts"))
from synth import byte_level_vocab  # noqa: E402

CONTEXT = 512
LENGTHS = [1, 2, 63, 64, 65, 300]
FILE_TYPES = {T.F32: 0, T.F16: 1, T.Q4_0: 2, T.Q8_0: 7}  # general.file_type, as llama.cpp numbers them
FLOATS = [T.F32, T.F16]
ALL = [T.F32, T.F16, T.Q8_0, T.Q4_0]

# name, head size, heads, layers, feed-forward (0: 4 x width), vocabulary, tied head, types
CONFIGS = [
    ("head16", 16, 3, 1, 0, 261, True, FLOATS),  # width 48: no whole number of quantized blocks
    ("head25", 25, 3, 2, 101, 259, False, FLOATS),  # width 75: rows of odd length, of odd bytes a word in F16
    ("head32", 32, 5, 2, 0, 300, False, ALL),
    ("head64", 64, 3, 12, 0, 1000, True, ALL),
    ("head80", 80, 4, 2, 992, 513, True, ALL),
    ("head128", 128, 3, 1, 0, 701, False, ALL),
]


def make_model(head_dim, n_head, n_layer, n_ff, n_vocab, tied, generator):
    """A float64 model with random weights, gains and biases."""
    width = head_dim * n_head
    config = transformers.GPT2Config(
        vocab_size=n_vocab, n_positions=CONTEXT, n_embd=width, n_layer=n_layer, n_head=n_head, n_inner=n_ff or 4 * width,
        activation_function="gelu_new", layer_norm_epsilon=1e-5, tie_word_embeddings=tied, resid_pdrop=0, embd_pdrop=0,
        attn_pdrop=0, bos_token_id=n_vocab - 1, eos_token_id=n_vocab - 1, attn_implementation="eager")
    model = transformers.GPT2LMHeadModel(config).double().eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            norm = ".ln_" in name
            scale, mean = 1.5 / math.sqrt(width), 0.0
            if weight.dim() == 1:
                scale, mean = (0.3, 1.0) if norm and name.endswith("weight") else (0.2, 0.0)
            # float32 values, so that the F32 file holds exactly what the reference computes with
            random = torch.randn(weight.shape, generator=generator, dtype=torch.float32) * scale + mean
            weight.copy_(random.double())
    return model


def gguf_names(model):
    """(name in GGUF, parameter, True when it is stored transposed), in the order of the file."""
    t, rows = model.transformer, []
    add = lambda name, weight, transposed=False: rows.append((name, weight, transposed))
    add("token_embd.weight", t.wte.weight)
    add("position_embd.weight", t.wpe.weight)
    for i, block in enumerate(t.h):
        for name, module, conv1d in [
                ("attn_norm", block.ln_1, False), ("attn_qkv", block.attn.c_attn, True),
                ("attn_output", block.attn.c_proj, True), ("ffn_norm", block.ln_2, False),
                ("ffn_up", block.mlp.c_fc, True), ("ffn_down", block.mlp.c_proj, True)]:
            add(f"blk.{i}.{name}.weight", module.weight, conv1d)  # Conv1D holds [in, out], GGUF rows are outputs
            add(f"blk.{i}.{name}.bias", module.bias)
    add("output_norm.weight", t.ln_f.weight)
    add("output_norm.bias", t.ln_f.bias)
    if not model.config.tie_word_embeddings:
        add("output.weight", model.lm_head.weight)
    return rows


def write_gguf(path, name, model, kind):
    """Writes the file, and puts the weights that a reader of the file sees into the model."""
    c = model.config
    writer = gguf.GGUFWriter(path, "gpt2")
    writer.add_name(name)
    writer.add_file_type(FILE_TYPES[kind])
    writer.add_context_length(c.n_positions)
    writer.add_embedding_length(c.n_embd)
    writer.add_feed_forward_length(c.n_inner)
    writer.add_block_count(c.n_layer)
    writer.add_head_count(c.n_head)
    writer.add_layer_norm_eps(c.layer_norm_epsilon)
    tokens, merges = byte_level_vocab(c.vocab_size)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types([1] * (c.vocab_size - 1) + [3])
    writer.add_token_merges(merges)
    writer.add_bos_token_id(c.vocab_size - 1)
    writer.add_eos_token_id(c.vocab_size - 1)
    with torch.no_grad():
        for tensor, weight, transposed in gguf_names(model):
            values = weight.detach().numpy().astype(np.float32)
            values = np.ascontiguousarray(values.T if transposed else values)
            # vectors and positions stay F32, as llama.cpp's converter leaves them
            stored = T.F32 if values.ndim == 1 or tensor == "position_embd.weight" else kind
            raw = gguf.quants.quantize(values, stored)
            writer.add_tensor(tensor, raw, raw_dtype=stored)
            seen = gguf.quants.dequantize(raw, stored).reshape(values.shape)
            weight.copy_(torch.from_numpy(np.ascontiguousarray(seen.T if transposed else seen)).double())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def logits(model, ids):
    with torch.no_grad():
        return model(torch.tensor([ids])).logits[0].double().numpy()


def logits_with_f16_kv(model, ids):
    """The same with keys and values rounded to float16: the least error that an f16 KV cache can have."""
    width = model.config.n_embd

    def round_kv(_module, _inputs, qkv):
        return torch.cat([qkv[..., :width], qkv[..., width:].half().to(qkv.dtype)], dim=-1)

    hooks = [block.attn.c_attn.register_forward_hook(round_kv) for block in model.transformer.h]
    result = logits(model, ids)
    for hook in hooks:
        hook.remove()
    return result


def relative_error(a, reference):
    return float(np.linalg.norm(a - reference) / np.linalg.norm(reference))


def attention_weight(model, ids):
    """Mean of the largest attention weight a row: 1 / rows would be flat, 1 one-hot."""
    with torch.no_grad():
        maps = model(torch.tensor([ids]), output_attentions=True).attentions
    return float(np.mean([m.max(dim=-1).values.mean().item() for m in maps]))


def main():
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    out = sys.argv[1]
    os.makedirs(out, exist_ok=True)
    torch.set_num_threads(os.cpu_count() or 1)
    cases = []
    for seed, (name, head_dim, n_head, n_layer, n_ff, n_vocab, tied, kinds) in enumerate(CONFIGS):
        generator = torch.Generator().manual_seed(seed + 1)
        model = make_model(head_dim, n_head, n_layer, n_ff, n_vocab, tied, generator)
        original = {k: v.clone() for k, v in model.state_dict().items()}
        ids = torch.randint(0, n_vocab, (max(LENGTHS),), generator=generator).tolist()
        unrounded = None
        for kind in kinds:
            model.load_state_dict(original)
            stem = f"{name}.{kind.name.lower()}"
            write_gguf(os.path.join(out, stem + ".gguf"), f"random GPT-2 {name}", model, kind)
            reference = logits(model, ids)
            for n in LENGTHS:
                assert relative_error(logits(model, ids[:n]), reference[:n]) < 1e-12
            f32_error = relative_error(logits(model.float(), ids), reference)
            assert f32_error < 2e-6, f"{stem}: float32 and float64 differ by {f32_error}: ill-conditioned weights"
            model.double()
            kv_error = relative_error(logits_with_f16_kv(model, ids), reference)
            assert kv_error < 1e-3, f"{stem}: f16 keys and values alone give {kv_error}: ill-conditioned weights"
            if kind == T.F32:
                unrounded = reference
            reference.astype("<f4").tofile(os.path.join(out, stem + ".f32"))
            # bounds: exact arithmetic and f32 KV; the same against the weights before F16 rounding
            case = {"name": stem, "file": stem + ".gguf", "type": kind.name, "head_dim": head_dim, "n_layer": n_layer,
                    "n_vocab": n_vocab, "tokens": ids, "lengths": LENGTHS, "references": [[stem + ".f32", 1e-5]],
                    "transformers_f32_error": f32_error, "f16_kv_error": kv_error}
            if kind == T.F16:
                case["references"].append([f"{name}.f32.f32", 1e-3])
                case["f16_weight_error"] = relative_error(reference, unrounded)
                assert case["f16_weight_error"] < 9e-4
            cases.append(case)
            print(f"{stem:14} largest attention weight {attention_weight(model, ids):.2f}, error of float32 {f32_error:.1e},"
                  f" of f16 KV {kv_error:.1e}" + (f", of f16 weights {case['f16_weight_error']:.1e}" if kind == T.F16 else ""))
    with open(os.path.join(out, "cases.json"), "w") as f:
        json.dump({"cases": cases}, f)
    return 0


if __name__ == "__main__":
    sys.exit(main())
