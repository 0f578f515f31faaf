#!/usr/bin/env python3
"""make_models.py - small random models of many architectures as GGUF files, with the logits that transformers gives for them.

    scripts/lab oracle tests/oracle/make_models.py OUTDIR [--only TEXT] [--long | --tiny]

OUTDIR gets NAME.gguf, NAME.f32 (the reference logits as raw float32, one row of n_vocab a token), NAME/ (what transformers'
save_pretrained writes) and cases.json, as make_gpt2.py writes it. tests/oracle/check.py logits compares gabbro with them on the
files, folders on the folders. --long adds
models at positions up to 32768, which take minutes; --tiny makes those of tests/models, with their tokens as raw int32 before the logits, alone.

The files are made by llama.cpp's own converter, so that names, metadata and the order of rows are those that people's files
have; only the vocabulary is ours, of bytes, since the converter knows tokenizers by name.

References are computed in float64: transformers' models cast to float32 in many places (rotary positions, norms, softmax), so for
the time of the reference that name means float64. The casts' own error is printed beside it.

Weights are scaled so that attention is neither flat nor one-hot.
"""
import argparse
import contextlib
import json
import logging
import math
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import torch
import transformers

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "scripts"))
from synth import byte_level_vocab  # noqa: E402

sys.path.insert(1, "/usr/share/llama.cpp/llama.cpp-tools")
import conversion  # noqa: E402
import gguf  # noqa: E402

LENGTHS = [1, 2, 64, 65, 300]
GREEDY_PROMPT, N_GREEDY = 200, 64
SMALL = dict(vocab_size=300, hidden_size=64, intermediate_size=176, num_hidden_layers=3, num_attention_heads=4,
             num_key_value_heads=2, max_position_embeddings=512, tie_word_embeddings=False, bos_token_id=299, eos_token_id=299,
             pad_token_id=299)
rope = lambda kind, **rest: dict(rope_parameters=dict(rope_type=kind, rope_theta=10000.0, **rest))
YARN = dict(factor=4.0, original_max_position_embeddings=128)
LLAMA3 = dict(factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=64)

LONGROPE = dict(original_max_position_embeddings=128, rope_parameters=dict(
    rope_type="longrope", rope_theta=10000.0, original_max_position_embeddings=128, short_factor=[1 + i / 8 for i in range(8)],
    long_factor=[1 + i * i for i in range(8)]))

MIXTRAL = dict(num_local_experts=8, num_experts_per_tok=2)
QWEN3MOE = dict(head_dim=32, num_experts=20, num_experts_per_tok=4, moe_intermediate_size=48, **rope("yarn", **YARN))
GPTOSS = dict(head_dim=16, num_local_experts=8, num_experts_per_tok=3, sliding_window=70, num_hidden_layers=4,
              **rope("yarn", truncate=False, **YARN))

GEMMA4 = dict(head_dim=16, global_head_dim=32, sliding_window=70, tie_word_embeddings=True, num_hidden_layers=7, intermediate_size=128,
              layer_types=(["sliding_attention", "sliding_attention", "full_attention"] * 3)[:6] + ["full_attention"], rope_parameters=dict(
                  sliding_attention=dict(rope_type="default", rope_theta=10000.0),
                  full_attention=dict(rope_type="proportional", partial_rotary_factor=0.25, rope_theta=1000000.0)))
# of the large models: few heads of keys, which are the values, too; of the small ones: an input for each layer, and shared keys
GEMMA4_LARGE = dict(hidden_size_per_layer_input=0, attention_k_eq_v=True, num_global_key_value_heads=1, final_logit_softcapping=3.0)
GEMMA4_SMALL = dict(num_key_value_heads=1, num_kv_shared_layers=3, use_double_wide_mlp=True, hidden_size_per_layer_input=64,
                    vocab_size_per_layer_input=300, final_logit_softcapping=3.0)

MINISTRAL3 = rope("yarn", **YARN, mscale=1.0, mscale_all_dim=1.0, llama_4_scaling_beta=0.4)

# name, class, what differs from SMALL
MODELS = [
    ("llama", "Llama", dict()),
    ("llama-wide", "Llama", dict(hidden_size=256, num_attention_heads=8, num_key_value_heads=1, head_dim=48, intermediate_size=512,
                                 num_hidden_layers=12, tie_word_embeddings=True)),
    ("llama-linear", "Llama", rope("linear", factor=4.0)),
    ("llama-yarn", "Llama", rope("yarn", **YARN)),
    ("llama-llama3", "Llama", rope("llama3", **LLAMA3)),
    ("mistral", "Mistral", dict(sliding_window=70)),
    ("qwen2", "Qwen2", dict(tie_word_embeddings=True)),
    ("qwen3", "Qwen3", dict(head_dim=32)),
    ("qwen3-yarn", "Qwen3", dict(head_dim=16, **rope("yarn", **YARN))),
    ("phi3", "Phi3", dict(num_key_value_heads=4, sliding_window=100)),
    ("phi3-beyond", "Phi3", LONGROPE),
    ("phi3-within", "Phi3", LONGROPE),
    ("gemma2", "Gemma2", dict(head_dim=32, query_pre_attn_scalar=32, sliding_window=70, attn_logit_softcapping=5.0,
                              final_logit_softcapping=3.0, tie_word_embeddings=True, num_hidden_layers=4)),
    ("gemma3", "Gemma3", dict(head_dim=32, query_pre_attn_scalar=32, sliding_window=70, tie_word_embeddings=True,
                              num_hidden_layers=7, rope_parameters=dict(
                                  sliding_attention=dict(rope_type="default", rope_theta=10000.0),
                                  full_attention=dict(rope_type="linear", factor=8.0, rope_theta=1000000.0)))),
    ("gptneox", "GPTNeoX", dict(rotary_pct=0.25, num_key_value_heads=4)),
    ("gptneox-serial", "GPTNeoX", dict(use_parallel_residual=False, num_key_value_heads=4)),
    ("olmo2", "Olmo2", dict()),
    ("gptoss", "GptOss", dict(GPTOSS)),
    ("smollm3", "SmolLM3", dict(num_hidden_layers=5)),
    ("mixtral", "Mixtral", dict(sliding_window=None, **MIXTRAL)),
    ("qwen3moe", "Qwen3Moe", dict(norm_topk_prob=True, **QWEN3MOE)),
]
# what the converter does not bring to GGUF, or no GGUF file says: as folders alone
FOLDERS = [
    ("llama-biases", "Llama", dict(attention_bias=True, mlp_bias=True)),
    ("qwen2-windows", "Qwen2", dict(use_sliding_window=True, sliding_window=40, max_window_layers=1)),
    ("qwen3-mscale", "Qwen3", rope("yarn", mscale=1.5, mscale_all_dim=0.5, **YARN)),
    ("gemma2-scale", "Gemma2", dict(head_dim=32, query_pre_attn_scalar=50, sliding_window=70,
                                    layer_types=["full_attention", "sliding_attention", "sliding_attention"])),
    ("smollm3-layers", "SmolLM3", dict(no_rope_layers=[0, 1, 1])),
    ("ministral", "Ministral", dict(sliding_window=70, layer_types=["full_attention", "sliding_attention", "sliding_attention"],
                                   head_dim=16, **rope("default"))),
    ("mixtral-window", "Mixtral", dict(sliding_window=70, **MIXTRAL)),
    ("qwen3moe-softmax", "Qwen3Moe", dict(norm_topk_prob=False, mlp_only_layers=[1], **QWEN3MOE)),
    ("gptneox-tanh", "GPTNeoX", dict(rotary_pct=0.25, num_key_value_heads=4, hidden_act="gelu_fast")),
]
# A model's place in the table is its seed: what is added goes to the end, so that the others stay what they were.
LATER = [
    ("ministral3", "Ministral3", dict(head_dim=16, **MINISTRAL3)),
    ("gemma4-large", "Gemma4", {**GEMMA4, **GEMMA4_LARGE}),
    ("gemma4-small", "Gemma4", {**GEMMA4, **GEMMA4_SMALL}),
]
# positions beyond what the others reach
LONG = [
    ("long-llama3", "Llama", dict(num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1, hidden_size=32,
                                  max_position_embeddings=32768, rope_parameters=dict(
                                      rope_type="llama3", rope_theta=500000.0, factor=8.0, low_freq_factor=1.0,
                                      high_freq_factor=4.0, original_max_position_embeddings=8192))),
    ("long-mistral", "Mistral", dict(num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1, hidden_size=32,
                                     max_position_embeddings=32768, sliding_window=4096)),
    ("long-yarn", "Qwen2", dict(num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1, hidden_size=32,
                                max_position_embeddings=32768, **rope("yarn", factor=8.0, original_max_position_embeddings=4096))),
]
LONG_LENGTH = 32768
# what the quick tests read, recorded in tests/models
TINY = dict(vocab_size=32, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1,
            max_position_embeddings=64, tie_word_embeddings=True, bos_token_id=31, eos_token_id=31, pad_token_id=31)
TINY_YARN = rope("yarn", factor=4.0, original_max_position_embeddings=8)
TINY_GEMMA4 = {**GEMMA4, "head_dim": 32, "global_head_dim": 64, "sliding_window": 9, "num_hidden_layers": 4, "intermediate_size": 64,
               "layer_types": ["sliding_attention", "full_attention"] * 2}
TINY_MODELS = [
    ("llama", "Llama", {**TINY, **rope("llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
                                       original_max_position_embeddings=16)}),
    ("mistral", "Mistral", dict(**TINY, sliding_window=9)),
    ("ministral3", "Ministral3", {**TINY, "head_dim": 8, **rope("yarn", factor=4.0, original_max_position_embeddings=8, mscale=1.0,
                                                               mscale_all_dim=1.0, llama_4_scaling_beta=0.4)}),
    ("qwen2", "Qwen2", {**TINY, **TINY_YARN}),
    ("qwen3", "Qwen3", dict(**TINY, head_dim=16)),
    ("phi3", "Phi3", dict(**TINY, original_max_position_embeddings=16, rope_parameters=dict(
        rope_type="longrope", rope_theta=10000.0, original_max_position_embeddings=16, short_factor=[1.0] * 4,
        long_factor=[1.0, 2.0, 3.0, 4.0]))),
    ("gemma2", "Gemma2", dict(**TINY, head_dim=8, query_pre_attn_scalar=8, sliding_window=9, attn_logit_softcapping=5.0,
                              final_logit_softcapping=3.0)),
    ("gemma3", "Gemma3", {**TINY, "num_hidden_layers": 6, "head_dim": 8, "query_pre_attn_scalar": 8, "sliding_window": 9,
                          "rope_parameters": dict(sliding_attention=dict(rope_type="default", rope_theta=10000.0),
                                                  full_attention=dict(rope_type="linear", factor=8.0, rope_theta=1000000.0))}),
    ("gemma4-large", "Gemma4", {**TINY, **TINY_GEMMA4, **GEMMA4_LARGE}),
    ("gemma4-small", "Gemma4", {**TINY, **TINY_GEMMA4, **GEMMA4_SMALL, "vocab_size_per_layer_input": 32, "num_kv_shared_layers": 2}),
    ("gptneox", "GPTNeoX", {**TINY, "rotary_pct": 0.5, "tie_word_embeddings": False}),
    ("olmo2", "Olmo2", dict(TINY)),
    ("mixtral", "Mixtral", dict(**TINY, sliding_window=None, num_local_experts=4, num_experts_per_tok=2)),
    ("qwen3moe", "Qwen3Moe", {**TINY, **TINY_YARN, "head_dim": 16, "num_experts": 9, "num_experts_per_tok": 3,
                              "moe_intermediate_size": 8, "norm_topk_prob": True}),
    ("gptoss", "GptOss", {**TINY, "head_dim": 8, "sliding_window": 9, "num_local_experts": 4, "num_experts_per_tok": 2,
                          "tie_word_embeddings": False,
                          **rope("yarn", truncate=False, factor=4.0, original_max_position_embeddings=8)}),
    ("smollm3", "SmolLM3", {**TINY, "num_hidden_layers": 4}),
]
TINY_LENGTH = 24


@contextlib.contextmanager
def float64():
    """torch.float32 means torch.float64."""
    kept = torch.float32, torch.float, torch.Tensor.float
    torch.float32 = torch.float = torch.float64
    torch.Tensor.float = torch.Tensor.double
    try:
        yield
    finally:
        torch.float32, torch.float, torch.Tensor.float = kept


def config_class(kind):
    return getattr(transformers, f"{kind}TextConfig" if kind in ("Gemma3", "Gemma4") else f"{kind}Config")


def make_config(kind, differences):
    config = config_class(kind)(**{**SMALL, **differences})
    config._attn_implementation = config._experts_implementation = "eager"
    return config


def make_model(kind, config, generator):
    """A float32 model with random weights, gains and biases."""
    model = getattr(transformers, f"{kind}ForCausalLM")(config).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            random = torch.randn(weight.shape, generator=generator)
            if weight.dim() > 1:
                width = weight.shape[-2 if kind == "GptOss" and "experts" in name else -1]  # of experts [expert][in][out] there
                weight.copy_(random * (1.0 if "embed" in name else 1.5 / math.sqrt(width)))
            elif "norm" in name and name.endswith("weight"):
                centre = 0.0 if kind in ("Gemma2", "Gemma3") else 1.0
                weight.copy_(random * 0.3 + centre)
            else:
                weight.copy_(random * 0.2)
        for name, weight in model.named_buffers():
            if name.endswith("layer_scalar"):
                weight.copy_(torch.rand(weight.shape, generator=generator) + 0.5)
    return model


def convert(folder, path, n_vocab):
    """llama.cpp's conversion, with a vocabulary of bytes."""
    def set_vocab(self):
        tokens, merges = byte_level_vocab(n_vocab)
        if n_vocab < len(tokens):  # letters, and one pair of them
            tokens, merges = [chr(ord("A") + i) for i in range(n_vocab - 2)] + ["AB", "<|endoftext|>"], ["A B"]
        self.gguf_writer.add_tokenizer_model("gpt2")
        self.gguf_writer.add_tokenizer_pre("gpt-2")
        self.gguf_writer.add_token_list(tokens)
        self.gguf_writer.add_token_types([1] * (n_vocab - 1) + [3])
        self.gguf_writer.add_token_merges(merges)
        self.gguf_writer.add_bos_token_id(n_vocab - 1)
        self.gguf_writer.add_eos_token_id(n_vocab - 1)

    with open(os.path.join(folder, "config.json")) as f:
        config = json.load(f)
    base = conversion.get_model_class(config["architectures"][0])
    base = getattr(base, "Ministral3Model", base)  # which does the work of two

    def set_gguf_parameters(self):
        if config["model_type"] == "gpt_neox":  # whose conversion asks for an older field
            self.hparams["rotary_pct"] = config["rope_parameters"]["partial_rotary_factor"]
        base.set_gguf_parameters(self)
        if config["model_type"] == "mistral":  # llama.cpp runs Mistral's first models without their window
            self.gguf_writer.add_sliding_window(config["sliding_window"])

    vocabulary = os.path.join(folder, "tokenizer.json")
    if config["model_type"].startswith(("gemma3", "gemma4")):  # whose conversion counts the tokens there
        with open(vocabulary, "w") as f:
            json.dump({"model": {"vocab": {str(i): i for i in range(n_vocab)}}, "added_tokens": []}, f)
    made = type(base.__name__, (base,), {"set_vocab": set_vocab, "set_gguf_parameters": set_gguf_parameters,
                                         "model_arch": base.model_arch})
    with torch.inference_mode():
        made(Path(folder), gguf.LlamaFileType.ALL_F32, Path(path)).write()
    Path(vocabulary).unlink(missing_ok=True)


def relative_error(a, reference):
    return float(np.linalg.norm(a - reference) / np.linalg.norm(reference))


def run(model, tokens, first, cache):
    positions = torch.arange(first, first + len(tokens))
    with torch.no_grad():
        out = model(torch.tensor([tokens]), past_key_values=cache, use_cache=True, position_ids=positions[None])
    return out.logits[0].double().numpy()


def logits(model, ids, chunk=512):
    """All rows, computed a chunk at a time over transformers' own cache where the prompt is long."""
    if len(ids) <= chunk:
        with torch.no_grad():
            return model(torch.tensor([ids]), use_cache=False).logits[0].double().numpy()
    cache = transformers.DynamicCache(config=model.config)
    return np.concatenate([run(model, ids[i:i + chunk], i, cache) for i in range(0, len(ids), chunk)])


def greedy(model, ids, n):
    tokens, cache = [], transformers.DynamicCache(config=model.config)
    row = run(model, ids, 0, cache)[-1]
    while len(tokens) < n:
        tokens.append(int(row.argmax()))
        row = run(model, tokens[-1:], len(ids) + len(tokens) - 1, cache)[-1]
    return tokens


def attention_weight(model, ids):
    """Mean of the largest attention weight a row: 1 / rows would be flat, 1 one-hot."""
    with torch.no_grad():
        maps = model(torch.tensor([ids]), output_attentions=True).attentions
    return float(np.mean([m.max(dim=-1).values.mean().item() for m in maps]))


def make_case(out, seed, name, kind, differences, length, only_folder=False):
    generator = torch.Generator().manual_seed(seed)
    config = make_config(kind, differences)
    model = make_model(kind, config, generator)
    n_vocab = config.vocab_size
    ids = torch.randint(0, n_vocab - 1, (length,), generator=generator).tolist()
    folder = os.path.join(out, name)
    model.save_pretrained(folder)
    if not only_folder:
        convert(folder, os.path.join(out, name + ".gguf"), n_vocab)
    state = model.state_dict()
    plain = logits(model, ids[:min(length, 300)])
    with float64():
        exact = getattr(transformers, f"{kind}ForCausalLM")(make_config(kind, differences)).double().eval()
        exact.load_state_dict(state)
        reference = logits(exact, ids)
        text = f"{name:14} error of float32 {relative_error(plain, reference[:len(plain)]):.1e}"
        case = {"name": name, "folder": name, "type": "F32", "head_dim": getattr(config, "head_dim", 0),
                "n_layer": config.num_hidden_layers, "n_vocab": n_vocab, "tokens": ids}
        if length <= 512:
            text += f", largest attention weight {attention_weight(exact, ids):.2f}"
            case["lengths"] = [n for n in LENGTHS if n <= length]
            if length > N_GREEDY:
                case["greedy_prompt"] = min(GREEDY_PROMPT, length - N_GREEDY)
                case["greedy"] = greedy(exact, ids[:case["greedy_prompt"]], N_GREEDY)
        else:
            case["lengths"] = [length]
    if not only_folder:
        case["file"] = name + ".gguf"
    reference.astype("<f4").tofile(os.path.join(out, name + ".f32"))
    if name == "phi3-within":  # the context, not the prompt, decides which factors are used
        case["arguments"] = ["--context", "128"]
    # Chunks of llama-wide differ by 3e-6 with an f32 cache, by 3e-4 with f16: wide rows make its attention sharp, and so does
    # that Gemma 4 does not scale its scores.
    case["sharp"] = name == "llama-wide" or kind == "Gemma4"
    case["routed"] = kind in ("GptOss", "Mixtral", "Qwen3Moe")
    case["references"] = [[name + ".f32", 1e-4 if length > 512 else 1e-5]]
    print(text, flush=True)
    return case


def make_tiny(out, seed, name, kind, differences):
    """One file of the model, one of what comes out of it."""
    case = make_case(out, seed, name, kind, differences, TINY_LENGTH)
    with open(os.path.join(out, name + ".f32"), "rb") as f:
        rows = f.read()
    with open(os.path.join(out, name + ".bin"), "wb") as f:
        f.write(np.array(case["tokens"], "<i4").tobytes() + rows)
    os.remove(os.path.join(out, name + ".f32"))
    shutil.rmtree(os.path.join(out, name))


def main():
    p = argparse.ArgumentParser()
    p.add_argument("out")
    p.add_argument("--only", default="")
    p.add_argument("--long", action="store_true")
    p.add_argument("--tiny", action="store_true")
    options = p.parse_args()
    os.makedirs(options.out, exist_ok=True)
    logging.disable(logging.INFO)
    torch.set_num_threads(1)  # the models are too small for more
    if options.tiny:
        for i, m in enumerate(TINY_MODELS):
            if options.only in m[0]:
                make_tiny(options.out, i + 1, *m)
        return 0
    table = [(*m, 128 if m[0] == "phi3-within" else 300) for m in MODELS] + ([(*m, LONG_LENGTH) for m in LONG] if options.long else [])
    table += [(*m, 300, True) for m in FOLDERS] + [(*m, 300) for m in LATER]
    path, cases = os.path.join(options.out, "cases.json"), {}
    if os.path.exists(path):
        with open(path) as f:
            cases = {case["name"]: case for case in json.load(f)["cases"]}
    for i, m in enumerate(table):
        if options.only not in m[0]:
            continue
        cases[m[0]] = make_case(options.out, i + 1, *m)
        with open(path, "w") as f:
            json.dump({"cases": list(cases.values())}, f)
    return 0


if __name__ == "__main__":
    sys.exit(main())
