#!/usr/bin/env python3
"""make_tokenizers.py - small tokenizers of every kind, with what the tokenizers library makes of ugly texts.

    scripts/lab oracle tests/oracle/make_tokenizers.py OUT [--only TEXT] [--tokens N] [--texts N]

Trains each on a piece of mixed text and writes OUT/NAME/: tokenizer.json, tokenizer_config.json, vocab.gguf (by gguf-py, where
GGUF can say the same) and cases.json: [{"text", "ids" (with the tokens around a text), "plain" (without), "decoded", "not_gguf"
(where special tokens take spaces with them, which GGUF has no key for)}]. The tests
text_recorded.* read them from the folder in GABBRO_TEST_TOKENIZERS; tests/tokenizers/ holds the smallest of them.
"""
import argparse
import json
import os
import random
import re

import gguf
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

CONTRACTION = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
ENDS = r"\s*[\r\n]+|\s+(?!\S)|\s+"
GPT4 = CONTRACTION + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|" + ENDS
QWEN2 = GPT4.replace("{1,3}", "")
QWEN35 = CONTRACTION + r"|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|" + ENDS
UPPER, LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
TAIL = r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|" + ENDS


def cased(behind, number):
    return (r"[^\r\n\p{L}\p{N}]?" + UPPER + "*" + LOWER + "+" + behind + r"|[^\r\n\p{L}\p{N}]?" + UPPER + "+" + LOWER + "*" +
            behind + "|" + number + TAIL)


CASED_LETTERS = (r"\s?[A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-ὗὙὛὝὟ-\x{1F7D}ᾀ-ᾴᾶ-ᾼ\x{1FBE}ῂ-ῄ"
                 r"ῆ-ῌῐ-\x{1FD3}ῖ-\x{1FDB}ῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤ\x{2126}ℨ\x{212A}-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃]+")
DEEPSEEK3 = (r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|""" +
             ENDS)
EAST_ASIAN = "[一-龥ࠀ-一가-퟿]+"

# ---- pre-tokenizers ------------------------------------------------------------------------------------------------------


def split(pattern, behavior="isolated", invert=False):
    from tokenizers import Regex
    return pre_tokenizers.Split(Regex(pattern), behavior, invert)


def text_split(pattern, behavior):
    return pre_tokenizers.Split(pattern, behavior)


def byte_level(use_regex=False, prefix=False):
    return pre_tokenizers.ByteLevel(add_prefix_space=prefix, use_regex=use_regex)


def sequence(*parts):
    return pre_tokenizers.Sequence(list(parts))


def patterns(*all_patterns):
    return sequence(*[split(p) for p in all_patterns], byte_level())


DIGITS = pre_tokenizers.Digits(individual_digits=True)
BYTE_LEVEL = {  # name: (pre-tokenizer, normalizer, name in tokenizer.ggml.pre, ignore_merges)
    "gpt-2": (byte_level(True), None, "gpt-2", False),
    "starcoder": (sequence(DIGITS, byte_level(True)), None, "starcoder", False),
    "command-r": (sequence(DIGITS, byte_level(True)), normalizers.NFC(), "command-r", False),
    "falcon": (sequence(pre_tokenizers.Punctuation("contiguous"), byte_level(True), pre_tokenizers.Digits(individual_digits=False),
                        split("[0-9][0-9][0-9]")), None, "falcon", False),
    "llama3": (patterns(GPT4), None, "llama-bpe", True),
    "qwen2": (patterns(QWEN2), normalizers.NFC(), "qwen2", False),
    "qwen35": (patterns(QWEN35), normalizers.NFC(), "qwen35", False),
    "gpt-4o": (patterns(cased(CONTRACTION + "?", r"\p{N}{1,3}")), None, "gpt-4o", False),
    "tekken": (patterns(cased("", r"\p{N}")), None, "tekken", True),
    "deepseek-llm": (sequence(split("[\r\n]"), split(CASED_LETTERS), split(r"\s?[!-/:-~！-／：-～‘-‟　-。]+"), split(r"\s+$"),
                              split(EAST_ASIAN), DIGITS, byte_level()), None, "deepseek-llm", False),
    "deepseek-coder": (sequence(split("[\r\n]"), split(r"\s?\p{L}+"), split(r"\s?\p{P}+"), split(EAST_ASIAN), DIGITS, byte_level()),
                       None, "deepseek-coder", False),
    "deepseek-v3": (patterns(r"\p{N}{1,3}", "[一-龥぀-ゟ゠-ヿ]+", DEEPSEEK3), None, "deepseek-v3", False),
    "bloom": (patterns(r" ?[^(\s|.,!?…。，、।۔،)]+"), None, "bloom", False),
    "prefix-space": (byte_level(True, prefix=True), None, None, False),
    "removed-inverted": (sequence(split(GPT4, "removed", invert=True), byte_level()), None, None, False),
    "removed": (sequence(text_split("a.b", "removed"), text_split("\n", "removed"), byte_level(True)), None, None, False),
    "previous": (sequence(split(r"[ \p{P}]", "merged_with_previous"), byte_level()), None, None, False),
    "next": (sequence(split(r"[ \p{P}]", "merged_with_next"), byte_level()), None, None, False),
    "contiguous": (sequence(split(r"[\s\d]", "contiguous"), byte_level()), None, None, False),
    "whitespace": (sequence(pre_tokenizers.WhitespaceSplit(), byte_level()), None, None, False),
    "replace": (byte_level(True), normalizers.Sequence([normalizers.Replace("  ", "_"), normalizers.Prepend(">")]), None, False),
}
ESCAPE = normalizers.Replace(" ", "▁")
CHARACTERS = {  # name: (pre-tokenizer, normalizer, byte_fallback, fuse_unk, add_space_prefix in GGUF or None)
    "llama": (None, normalizers.Sequence([normalizers.Prepend("▁"), ESCAPE]), True, True, True),
    "llama-first": (pre_tokenizers.Metaspace("▁", "first", split=False), None, True, True, None),
    "metaspace": (pre_tokenizers.Metaspace("▁", "always", split=True), None, True, True, None),
    "gemma": (text_split(" ", "merged_with_previous"), ESCAPE, True, True, False),
    "unknown-fused": (pre_tokenizers.Metaspace("▁", "never", split=False), None, False, True, None),
    "unknown-single": (pre_tokenizers.Metaspace("▁", "always", split=False), None, False, False, None),
}
UNIGRAM = {"unigram": False, "unigram-bytes": True}  # name: byte_fallback

# ---- texts ----------------------------------------------------------------------------------------------------------------

UNITS = [" ", "  ", "   ", "\n", "\n\n", "\r\n", "\t", " \n", "\u00a0", "\u2003", "\u3000", "\u180e", "\u200b", "a", "the", " the", "The",
         "HELLO", "helloWorld", "don't", "I'LL", "'s", "'S", "we're", "'\u017f", "1", "12", "123", "1234567890", "3.14", "½", "²", "Ⅷ", "٣٤", "।",
         "!", "...", "?!", "==", "->", "/*", "//", "#", "\\", "_", "snake_case", "(x)", "a.b", "é", "e\u0301", "ä", "a\u0308\u0323", "a\u0323\u0308",
         "\u212b", "\u0301", "ñ", "ß", "Ǆ", "ǅ", "ﬁ", "中文", "日本語", "カタカナ", "한국어", "각", "ᄀ\u1161\u11a8", "हिन्दी", "العربية", "ไทย",
         "Привет", "Ελλάδα", "🦙", "👩\u200d👩\u200d👧", "🇩🇪", "✅", "𝔘", "\u0001", "\u007f", "\ufeff", "\ufffd", "<s>", "</s>", "<tool>", "<|x|>", "<|y|>",
         "<0x4", "▁", "▁▁", "Ġ", "…", "“q”", "—", "$5", "x=1;", "a" * 40, " " * 17, "7" * 11, "\n" * 5, "=" * 20]


def ugly_texts(n):
    rng = random.Random(5)
    texts = ["", " ", "\n", "Hello world", " Hello world", "Hello  world ", "a\u0301 e\u0301", "<s>a</s>", "x <tool> y", "word<tool>word"]
    texts += UNITS
    while len(texts) < n:
        texts.append("".join(rng.choice(UNITS) for _ in range(rng.randrange(1, 25))))
    return texts[:n]


def training_text():
    root = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
    lines = []
    for name in ["README.md", "CONTRIBUTING.md", "include/gabbro.h"]:
        lines += open(os.path.join(root, name), encoding="utf-8").read().split("\n")
    rng = random.Random(3)
    for _ in range(300):
        lines.append("".join(rng.choice(UNITS) for _ in range(20)))
    return lines


# ---- tokenizers -------------------------------------------------------------------------------------------------------------

SPECIALS = [("<s>", {}), ("</s>", {}), ("<|x|>", {"rstrip": True}), ("<|y|>", {"lstrip": True})]
ADDED = [("<tool>", {"single_word": True}), ("a.b", {"normalized": False})]


def add_tokens(tokenizer):
    tokenizer.add_special_tokens([AddedToken(text, **flags) for text, flags in SPECIALS])
    tokenizer.add_tokens([AddedToken(text, **flags) for text, flags in ADDED])
    start = tokenizer.token_to_id("<s>")
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", start)])


def make_byte_level(name, n_token):
    pre, normalizer, _, ignore_merges = BYTE_LEVEL[name]
    tokenizer = Tokenizer(models.BPE(ignore_merges=ignore_merges))
    tokenizer.pre_tokenizer = pre
    if normalizer:
        tokenizer.normalizer = normalizer
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=n_token, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
    tokenizer.train_from_iterator(training_text(), trainer)
    add_tokens(tokenizer)
    return tokenizer


def make_characters(name, n_token):
    pre, normalizer, byte_fallback, fuse, _ = CHARACTERS[name]
    trained = Tokenizer(models.BPE(unk_token="<unk>"))
    trained.normalizer = ESCAPE
    trainer = trainers.BpeTrainer(vocab_size=n_token, limit_alphabet=120, special_tokens=["<unk>"], show_progress=False)
    trained.pre_tokenizer = split("▁+[^▁]*|[^▁]+")
    trained.train_from_iterator(training_text(), trainer)
    model = json.loads(trained.to_str())["model"]
    single = sorted(t for t in model["vocab"] if len(t) == 1)
    longer = [a + b for a, b in model["merges"]]
    order = dict.fromkeys(["▁▁", "▁▁▁▁"] + longer)  # a token's place is its score
    names = ["<unk>"] + ([f"<0x{b:02X}>" for b in range(256)] if byte_fallback else []) + list(order) + single
    vocab = {text: i for i, text in enumerate(dict.fromkeys(names))}
    scores = {text: -float(i) for i, text in enumerate(order)}
    merges = []
    for text in order:  # every way to put it together, as SentencePiece does
        merges += [[text[:i], text[i:]] for i in range(1, len(text)) if text[:i] in vocab and text[i:] in vocab]
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=[tuple(m) for m in merges], unk_token="<unk>", byte_fallback=byte_fallback,
                                     fuse_unk=fuse))
    if normalizer:
        tokenizer.normalizer = normalizer
    if pre:
        tokenizer.pre_tokenizer = pre
    strip = [] if name in ("gemma", "unknown-fused") else [decoders.Strip(" ", 1, 0)]
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()] + strip)
    add_tokens(tokenizer)
    return tokenizer, scores


def make_unigram(name, n_token):
    byte_fallback = UNIGRAM[name]
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace("▁", "always")
    trainer = trainers.UnigramTrainer(vocab_size=n_token, unk_token="<unk>", special_tokens=["<unk>"], show_progress=False)
    tokenizer.train_from_iterator([t.replace("\x00", "") for t in training_text()], trainer)
    if byte_fallback:
        whole = json.loads(tokenizer.to_str())
        whole["model"]["vocab"] = [v for v in whole["model"]["vocab"] if len(v[0]) > 1 or v[0].isascii() or v[0] == "▁"]
        whole["model"]["vocab"] += [[f"<0x{b:02X}>", 0.0] for b in range(256)]
        whole["model"]["byte_fallback"] = True
        tokenizer = Tokenizer.from_str(json.dumps(whole))
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    add_tokens(tokenizer)
    return tokenizer


# ---- files ------------------------------------------------------------------------------------------------------------------


def write_gguf(path, tokenizer, model, pre, scores, add_space_prefix):
    whole = json.loads(tokenizer.to_str())
    vocab = tokenizer.get_vocab(with_added_tokens=True)
    added = {t["id"]: t for t in whole["added_tokens"]}
    texts = [text for text, _ in sorted(vocab.items(), key=lambda item: item[1])]
    types = []
    for i, text in enumerate(texts):
        if i in added:
            types.append(gguf.TokenType.CONTROL if added[i]["special"] else gguf.TokenType.USER_DEFINED)
        elif text == "<unk>":
            types.append(gguf.TokenType.UNKNOWN)
        else:
            types.append(gguf.TokenType.BYTE if model == "llama" and re.fullmatch("<0x..>", text) else gguf.TokenType.NORMAL)
    writer = gguf.GGUFWriter(path, "gpt2")
    writer.add_tokenizer_model(model)
    if pre:
        writer.add_tokenizer_pre(pre)
    writer.add_token_list(texts)
    writer.add_token_types(types)
    if scores:
        writer.add_token_scores([scores.get(t, -1e9) for t in texts])
        writer.add_add_space_prefix(add_space_prefix)
    else:
        writer.add_token_merges([" ".join(m) for m in whole["model"]["merges"]])
    writer.add_bos_token_id(vocab["<s>"])
    writer.add_eos_token_id(vocab["</s>"])
    writer.add_add_bos_token(True)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()


def write(folder, tokenizer, texts, gguf_says):
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "tokenizer.json"), "w", encoding="utf-8") as file:
        file.write(tokenizer.to_str())
    with open(os.path.join(folder, "tokenizer_config.json"), "w", encoding="utf-8") as file:
        json.dump({"bos_token": "<s>", "eos_token": {"content": "</s>"}}, file)
    cases = []
    for text in texts:
        framed = tokenizer.encode(text).ids
        plain = tokenizer.encode(text, add_special_tokens=False).ids
        case = {"text": text, "ids": framed, "plain": plain}
        if "<tool>" not in text:  # the library decodes normalized tokens to what the normalizer makes of them
            case["decoded"] = tokenizer.decode(plain, skip_special_tokens=True)
        if any(t in text for t, flags in SPECIALS + ADDED if True in flags.values()):
            case["not_gguf"] = True
        cases.append(case)
    with open(os.path.join(folder, "cases.json"), "w", encoding="utf-8") as file:
        file.write("[\n" + ",\n".join(json.dumps(c, ensure_ascii=False, separators=(",", ":")) for c in cases) + "\n]\n")
    if gguf_says:
        write_gguf(os.path.join(folder, "vocab.gguf"), tokenizer, *gguf_says)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out")
    parser.add_argument("--only", default="")
    parser.add_argument("--tokens", type=int, default=1200)
    parser.add_argument("--texts", type=int, default=500)
    options = parser.parse_args()
    texts = ugly_texts(options.texts)
    for name in [n for n in [*BYTE_LEVEL, *CHARACTERS, *UNIGRAM] if options.only in n]:
        gguf_says = None
        if name in BYTE_LEVEL:
            tokenizer = make_byte_level(name, options.tokens)
            if BYTE_LEVEL[name][2]:
                gguf_says = ("gpt2", BYTE_LEVEL[name][2], None, None)
        elif name in CHARACTERS:
            tokenizer, scores = make_characters(name, options.tokens)
            if CHARACTERS[name][4] is not None:
                gguf_says = ("llama", None, scores, CHARACTERS[name][4])
        else:
            tokenizer = make_unigram(name, options.tokens)
        write(os.path.join(options.out, name), tokenizer, texts, gguf_says)
        print(f"{name}: {tokenizer.get_vocab_size()} tokens, {len(texts)} texts")


main()
