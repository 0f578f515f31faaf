#!/usr/bin/env python3
"""check.py - compares gabbro with the oracle's files. Needs nothing but Python 3.

    check.py logits DIR [--program P] [--device D] [--jobs N] [--only TEXT]... [--quick]
        DIR: what tests/oracle/make_gpt2.py or make_models.py wrote. Relative L2 error of the logits, whole and of the worst row, for every
        model, prompt length, kernel family, chunking and KV type. --quick: prompts of 1 and 65 tokens alone, for slow devices.
    check.py variants DIR [--program P] [--device D] [--jobs N] [--only TEXT]...
        The same with every variant forced that `gabbro tune` lists as able to run on the device, one at a time, in the steps
        that use it: exact ones as above, narrow ones (f16, matrix units, 8-bit activations) to 2e-2. One that tuning finds
        wrong is a failure.
    check.py folders DIR [--program P] [--device D] [--only TEXT]...
        DIR: what tests/oracle/make_folder.py or make_models.py wrote. The logits of each folder, and pairs that must agree to
        the last bit.
    check.py perplexity TEXT... [--model M] [--bytes N] [--program P] [--device D]
        The embedded model's perplexity on the first N bytes of each text, with every narrow variant of the products of many
        columns forced: within 0.1% of that with exact products.
    check.py stories DIR [--program P] [--device D]
        DIR: the folder of a small Llama model with its recorded greedy text, logits along it and perplexity of 20 stories, as
        float64 arithmetic has them.
    check.py tales [--golden FILE]... [--ids FILE] [--program P] [--device D]...
        Greedy text of the embedded model on each device: the same everywhere, equal to the golden files (make_tales.py
        writes one), equal to FILE of --ids where it exists; else it is written, for a run with other drivers.
    check.py templates FILE [--renderer P]
        FILE: what tests/oracle/make_templates.py wrote. Chat templates: the same text, and an error exactly where Jinja2 has one.

A line a case, then "N passed, N failed"; exit status 1 when one failed, 2 for wrong usage.
"""
import argparse
import array
import concurrent.futures
import json
import math
import os
import subprocess
import sys
import tempfile

ROOT = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
DEFAULT_KV_BOUND = 2e-3  # f16 KV
CHUNK_BOUND = 1e-4  # between chunkings of the same prompt
FAST_BOUND = 1e-2  # --precision fast may multiply in f16 or 8 bit: this finds wrong kernels, not narrow ones
PERPLEXITY_BOUND = 1e-3  # relative
NARROW_BOUND = 2e-2  # one operation forced to a narrow variant everywhere
ROW_FACTOR = 10  # what a single row may exceed the bound of the whole by
EXACT = ["--precision", "exact"]
F32_KV = EXACT + ["--kv", "f32"]
TIMEOUT = 300


class Mismatch(Exception):
    pass


def gabbro(options, arguments):
    """Runs the program; its standard output as bytes."""
    command = [options.program, *arguments]
    try:
        # GABBRO_TUNE=0: the same kernels in every run, and none timed on a machine that is busy with the others
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=TIMEOUT,
                              env={"GABBRO_TUNE": "0", **os.environ})
    except subprocess.TimeoutExpired:
        raise Mismatch(f"no end after {TIMEOUT} s: {' '.join(command)}") from None
    if done.returncode != 0:
        tail = done.stderr.decode(errors="replace").strip().splitlines()[-3:]
        raise Mismatch(f"exit status {done.returncode}: {' / '.join(tail)}")
    return done.stdout


# ---- logits -------------------------------------------------------------------------------------------------------------


def read_floats(raw):
    values = array.array("f")
    values.frombytes(raw)
    if sys.byteorder == "big":
        values.byteswap()
    return values


def logits(options, case, n_token, arguments):
    tokens = ",".join(map(str, case["tokens"][:n_token]))
    device = ["-d", options.device] if options.device else []
    raw = gabbro(options, ["logits", "-m", os.path.join(options.folder, case["file"]), "--tokens", tokens, "-o", "-",
                           *device, *case.get("arguments", []), *arguments])
    expected = n_token * case["n_vocab"] * 4
    if len(raw) != expected:
        raise Mismatch(f"{len(raw)} bytes of logits, expected {expected}")
    return read_floats(raw)


def relative_errors(found, reference, n_vocab):
    """(of the whole, of the worst row); NaN and infinity come out as NaN or infinity."""
    rows = [math.dist(found[i:i + n_vocab], reference[i:i + n_vocab]) / math.hypot(*reference[i:i + n_vocab])
            for i in range(0, len(found), n_vocab)]
    worst = math.nan if any(map(math.isnan, rows)) else max(rows)
    return math.dist(found, reference) / math.hypot(*reference), worst


def compare(found, reference, n_vocab, bound):
    whole, worst = relative_errors(found, reference, n_vocab)
    text = f"error {whole:.1e} (row {worst:.1e}), bound {bound:.0e}"
    if not (whole < bound and worst < bound * ROW_FACTOR):
        raise Mismatch(text)
    return text


def compare_routed(found, reference, n_vocab, bound):
    """Of models with experts and an f16 cache, where a row may go to another expert, whose keys later rows see: the median of the
    rows within the bound, 19 of 20 within that of a row."""
    errors = sorted(math.dist(found[i:i + n_vocab], reference[i:i + n_vocab]) / math.hypot(*reference[i:i + n_vocab])
                    for i in range(0, len(found), n_vocab))
    median, most = errors[len(errors) // 2], errors[math.ceil(0.95 * len(errors)) - 1]
    text = f"error of the median row {median:.1e}, of 19 in 20 {most:.1e}, bound {bound:.0e}"
    if any(map(math.isnan, errors)) or not (median < bound and most < bound * ROW_FACTOR):
        raise Mismatch(text)
    return text


def against_references(options, case, n_token, arguments, bound=None):
    """With a bound: against the weights in the file; else against each reference within its own."""
    found = logits(options, case, n_token, arguments)
    texts = []
    for file, own_bound in case["references"][:1] if bound else case["references"]:
        with open(os.path.join(options.folder, file), "rb") as f:
            reference = read_floats(f.read(len(found) * 4))
        compare_with = compare_routed if bound and case.get("routed") else compare
        texts.append(compare_with(found, reference, case["n_vocab"], bound or own_bound))
    return "; ".join(texts)


def chunks_agree(options, case, n_token, chunks):
    """Models with sharp attention (sharp: true) with an f32 cache: they make much of an f16 number that is rounded the other way."""
    arguments = F32_KV if case.get("sharp") else EXACT
    whole = logits(options, case, n_token, arguments)
    return "; ".join(compare(logits(options, case, n_token, arguments + ["--chunk", str(chunk)]), whole, case["n_vocab"],
                             CHUNK_BOUND) for chunk in chunks)


def greedy_tokens(options, case):
    """The recorded greedy tokens, given one after the other: each must be the likeliest where it comes next."""
    n_prompt, n_vocab = case["greedy_prompt"], case["n_vocab"]
    whole = case["tokens"][:n_prompt] + case["greedy"]
    found = logits(options, {**case, "tokens": whole}, len(whole), F32_KV + ["--chunk", "1"])
    for i in range(n_prompt, len(whole)):
        row = found[(i - 1) * n_vocab:i * n_vocab]
        if row[whole[i]] != max(row):
            raise Mismatch(f"token {i - n_prompt} is {row.index(max(row))}, expected {whole[i]}")
    return f"{len(case['greedy'])} tokens"


def logits_matrix(options, case):
    """(label, function) of all that is run for one model file. Every length, family and chunking for the F32 files and the
    deepest model; a selection for the others, which differ from those by their weights alone."""
    check = lambda n, arguments, bound=None: lambda: against_references(options, case, n, arguments, bound)
    lengths = [n for n in case["lengths"] if n in (1, 65) or not options.quick]
    longest = max(lengths)
    yield "lane, 65 tokens", check(min(65, longest), F32_KV + ["--variant", "lane"])
    yield f"group, {longest} tokens", check(longest, F32_KV + ["--variant", "group"])
    yield f"default KV, {longest} tokens", check(longest, EXACT, DEFAULT_KV_BOUND)
    if "greedy" in case:
        yield "greedy", lambda: greedy_tokens(options, case)
    if longest > 512:
        yield "chunks of 100", check(longest, F32_KV + ["--chunk", "100"])
        return
    yield "one token at a time", check(65, F32_KV + ["--chunk", "1"])
    if case["type"] == "F32" or case["n_layer"] > 2:
        for n in lengths:
            yield f"{n} token{'s' * (n > 1)}", check(n, F32_KV)
        if not options.quick:
            yield "group, 65 tokens", check(65, F32_KV + ["--variant", "group"])
            yield f"lane, {longest} tokens", check(longest, F32_KV + ["--variant", "lane"])
        yield f"chunks of 7, {longest} tokens", check(longest, F32_KV + ["--chunk", "7"])
        yield "chunks of 1, 7, 65 agree", lambda: chunks_agree(options, case, 65, [1, 7])
    if case["n_layer"] > 2:
        yield "small shards", check(65, F32_KV + ["--shard-bytes", "65536"])
        yield "staging", check(65, F32_KV + ["--staging"])
        yield "small shards through staging, lane", check(65, F32_KV + ["--shard-bytes", "65536", "--staging", "--variant", "lane"])
        yield "small shards, group", check(65, F32_KV + ["--shard-bytes", "65536", "--variant", "group"])
        yield "the default precision", check(65, [], FAST_BOUND)


def wanted(options, label):
    return not options.only or any(text in label for text in options.only)


def read_cases(options):
    """Those with a GGUF file."""
    with open(os.path.join(options.folder, "cases.json")) as f:
        return [case for case in json.load(f)["cases"] if "file" in case]


def check_logits(options):
    cases = read_cases(options)
    return [(f"{case['name']}: {label}", function) for case in cases for label, function in logits_matrix(options, case)
            if wanted(options, f"{case['name']}: {label}")]


# ---- variants ------------------------------------------------------------------------------------------------------------

NARROW = ("half", "matrix", "dot8")  # how the names of variants with narrower products begin
CHUNKS = {"matvec": (1, 7), "matmul_small": (9, 31), "matmul": (65,), "attention_decode": (1,), "attention_prefill": (7, 65)}


def runnable_variants(options, model):
    """(operation, variant, whether tuning finds it wrong) of all that the device can run for a model."""
    device = ["-d", options.device] if options.device else []
    results = json.loads(gabbro(options, ["tune", "-m", model, "--json", *device]))["results"]
    return [(r["operation"], r["variant"], r["verdict"] == "wrong") for r in results if r["verdict"] in ("right", "untested", "wrong")]


def forced(options, case, operation, variant, wrong):
    def run():
        if wrong:
            raise Mismatch("tuning finds it wrong")
        n, narrow = 65, variant.startswith(NARROW)
        precision = ["--kv", "f32"] if narrow else F32_KV
        chunks = next(sizes for name, sizes in sorted(CHUNKS.items(), reverse=True) if operation.startswith(name))
        return ", ".join(f"chunks of {chunk}: " + against_references(
            options, case, n, precision + ["--variant", f"{operation}={variant}", "--chunk", str(chunk)], NARROW_BOUND if narrow else None)
            for chunk in chunks)
    return run


def check_variants(options):
    cases = [case for case in read_cases(options) if case["n_layer"] > 2]
    if any(wanted(options, case["name"]) for case in cases):  # the others need not be tuned
        cases = [case for case in cases if wanted(options, case["name"])]
    return [(f"{case['name']}: {operation}={variant}", forced(options, case, operation, variant, wrong)) for case in cases
            for operation, variant, wrong in runnable_variants(options, os.path.join(options.folder, case["file"]))
            if wanted(options, f"{case['name']}: {operation}={variant}")]


# ---- folders ------------------------------------------------------------------------------------------------------------


def same_bits(options, pair):
    def run():
        found = [logits(options, {**pair, "file": side[0]}, len(pair["tokens"]), F32_KV + side[1:]) for side in (pair["a"], pair["b"])]
        if found[0].tobytes() != found[1].tobytes():
            raise Mismatch(f"not the same bits, relative error {math.dist(*found) / math.hypot(*found[1]):.1e}")
        return "the same bits"
    return run


def check_folders(options):
    with open(os.path.join(options.folder, "cases.json")) as f:
        made = json.load(f)
    against = lambda case, arguments: lambda: against_references(
        options, {**case, "file": case.get("folder", case.get("file"))}, len(case["tokens"]), arguments)
    cases = [(f"{case['name']}, {label}", against(case, F32_KV + arguments)) for case in made["cases"]
             for label, arguments in [("in place", []), ("small shards through staging", ["--staging", "--shard-bytes", "65536"])]]
    cases += [(pair["name"], same_bits(options, pair)) for pair in made.get("pairs", [])]
    return [case for case in cases if wanted(options, case[0])]


def check_quantized(options):
    """Each file of make_quantized.py against the same weights in F32: one row, a few, many."""
    with open(os.path.join(options.folder, "cases.json")) as f:
        made = json.load(f)

    def case(name, n, arguments):
        def run():
            found, expected = [logits(options, {**made, "file": name + end}, n, F32_KV + arguments) for end in (".gguf", ".f32.gguf")]
            return compare(found, expected, made["n_vocab"], 1e-5)
        return run

    cases = [(f"{name}, {label}", case(name, n, arguments)) for name in made["names"]
             for label, n, arguments in [("1 token", 1, []), ("7 tokens, group", 7, ["--variant", "group"]),
                                         ("70 tokens", 70, []), ("70 tokens, group", 70, ["--variant", "group"])]]
    return [case for case in cases if wanted(options, case[0])]


# ---- perplexity ----------------------------------------------------------------------------------------------------------


def perplexity(options, text, arguments):
    device = ["-d", options.device] if options.device else []
    with tempfile.NamedTemporaryFile() as part:
        with open(text, "rb") as f:
            part.write(f.read(options.bytes))
        part.flush()
        return json.loads(gabbro(options, ["perplexity", "-m", options.model, "-f", part.name, "--json", *device, *arguments]))["perplexity"]


def check_perplexity(options):
    exact = {text: perplexity(options, text, EXACT) for text in options.texts}

    def case(text, operation, variant):
        def run():
            found = perplexity(options, text, ["--variant", f"{operation}={variant}"])
            result = f"{found:.5f}, exact {exact[text]:.5f}, {found / exact[text] - 1:+.1e}"
            if not abs(found / exact[text] - 1) < PERPLEXITY_BOUND:
                raise Mismatch(result)
            return result
        return run

    variants = [(operation, variant) for operation, variant, _ in runnable_variants(options, options.model)
                if operation.startswith("matmul_") and not operation.startswith("matmul_small") and variant.startswith(NARROW)]
    return [(f"{os.path.basename(text)}: {operation}={variant}", case(text, operation, variant)) for text in options.texts
            for operation, variant in variants]


# ---- stories ------------------------------------------------------------------------------------------------------------


def read_npy(path):
    """The numbers of a little-endian int32 or float32 array of numpy's format 1.0."""
    with open(path, "rb") as f:
        raw = f.read()
    n_header = int.from_bytes(raw[8:10], "little")
    values = array.array("i" if b"<i4" in raw[:10 + n_header] else "f")
    values.frombytes(raw[10 + n_header:])
    if sys.byteorder == "big":
        values.byteswap()
    return values


def check_stories(options):
    at = lambda name: os.path.join(options.folder, name)
    case = {"file": "stories260K-f32.gguf", "n_vocab": 512}
    ids = list(read_npy(at("golden_greedy_ids.npy")))

    def text():
        device = ["-d", options.device] if options.device else []
        found = gabbro(options, ["run", "-m", at(case["file"]), "-p", "", "-n", "200", "--temp", "0", "-q", *device])
        with open(at("expected_greedy_bos_200.txt"), "rb") as f:
            expected = f.read()
        if found.rstrip(b"\n") != expected.rstrip(b"\n"):
            raise Mismatch(f"another text: {found!r}")
        return f"{len(expected)} bytes"

    def along(arguments):
        return lambda: compare(logits(options, {**case, "tokens": ids}, len(ids), F32_KV + arguments),
                               read_npy(at("golden_greedy_logits_f32.npy")), case["n_vocab"], 1e-4)

    def perplexity_of_all():
        with open(at("golden_ppl_20_stories.json")) as f:
            recorded = json.load(f)
        nll = n = 0
        for story in recorded["stories"]:
            tokens = story["ids"]
            found = logits(options, {**case, "tokens": tokens}, len(tokens), F32_KV)
            rows = [found[i:i + case["n_vocab"]] for i in range(0, len(found), case["n_vocab"])]
            nll += math.fsum(math.log(math.fsum(math.exp(v - max(row)) for v in row)) + max(row) - row[token]
                             for row, token in zip(rows, tokens[1:]))
            n += len(tokens) - 1
        result = f"{math.exp(nll / n):.5f} of {n} tokens, recorded {recorded['ppl']:.5f} of {recorded['tokens']}"
        if n != recorded["tokens"] or not abs(math.exp(nll / n) - recorded["ppl"]) < 1e-3:
            raise Mismatch(result)
        return result

    return [("greedy text", text), ("logits along it", along([])), ("logits along it, a token at a time", along(["--chunk", "1"])),
            ("perplexity", perplexity_of_all)]


# ---- tales --------------------------------------------------------------------------------------------------------------

PROMPTS = ["Once upon a time", "The king called his three sons and", "One morning the rabbit"]
N_PREDICT = 64


def greedy(options, device, prompt, n):
    raw = gabbro(options, ["run", "-m", options.model, "-p", prompt, "-n", str(n), "--temp", "0", "--ignore-eos", "--json", *F32_KV,
                           *(["-d", device] if device else [])])
    return json.loads(raw)


def equal_tokens(found, expected, what):
    for i, (a, b) in enumerate(zip(found, expected)):
        if a != b:
            raise Mismatch(f"token {i} is {a}, {what} has {b}")
    if len(found) != len(expected):
        raise Mismatch(f"{len(found)} tokens, {what} has {len(expected)}")
    return f"{len(found)} tokens equal to {what}"


def golden_case(options, device, row, what):
    def run():
        result = greedy(options, device, row["prompt"], row["n"])
        equal_tokens(result["prompt_tokens"], row["prompt_ids"], f"the prompt in {what}")
        return equal_tokens(result["tokens"], row["ids_q8"], what)
    return run


def same_case(options, devices, prompt, known):
    def run():
        for device in devices:
            tokens = greedy(options, device, prompt, N_PREDICT)["tokens"]
            expected = known.setdefault(prompt, tokens)
            equal_tokens(tokens, expected, "the first device")
        return f"{len(known[prompt])} tokens, {len(devices)} device{'s' * (len(devices) > 1)}"
    return run


def check_tales(options):
    devices = options.device or [None]
    cases = []
    for path in options.golden:
        with open(path) as f:
            rows = json.load(f)
        cases += [(f"tales on {device or 'the default device'}: {row['prompt']!r}",
                   golden_case(options, device, row, os.path.basename(path))) for device in devices for row in rows]
    known = {}
    if options.ids and os.path.exists(options.ids):
        with open(options.ids) as f:
            known = json.load(f)
    cases += [(f"tales everywhere: {prompt!r}", same_case(options, devices, prompt, known)) for prompt in PROMPTS]
    options.known = known
    return cases


# ---- templates ----------------------------------------------------------------------------------------------------------


def template_case(options, case):
    def run():
        with tempfile.NamedTemporaryFile("wb", suffix=".jinja") as f:
            f.write(case["template"].encode())
            f.flush()
            done = subprocess.run([options.renderer, f.name, *case["arguments"]], stdin=subprocess.DEVNULL, capture_output=True,
                                  timeout=TIMEOUT)
        error = done.stderr.decode(errors="replace").strip().removeprefix(f"{f.name}: ")
        if done.returncode not in (0, 1) or (done.returncode == 1) != bool(error):
            raise Mismatch(f"exit status {done.returncode}: {error}")
        if error and "error" not in case:
            raise Mismatch(f"{error}; Jinja2 renders {case['text']!r}")
        found = done.stdout.decode(errors="replace")
        if not error and "error" in case:
            raise Mismatch(f"rendered as {found!r}; Jinja2: {case['error']}")
        if not error and found != case["text"]:
            at = len(os.path.commonprefix([found, case["text"]]))
            raise Mismatch(f"at character {at}: {found[at:at + 80]!r}, Jinja2 has {case['text'][at:at + 80]!r}")
        if error and case["error"].startswith("TemplateError: ") and not error.endswith(case["error"].removeprefix("TemplateError: ")):
            raise Mismatch(f"{error}; Jinja2: {case['error']}")
        return error or f"{len(found)} characters"
    return run


def check_templates(options):
    with open(options.file, encoding="utf-8") as f:
        return [(case["name"], template_case(options, case)) for case in json.load(f)]


# ---- main ---------------------------------------------------------------------------------------------------------------


def run_case(case):
    label, function = case
    try:
        return label, True, function()
    except Mismatch as e:
        return label, False, str(e)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sub = p.add_subparsers(dest="mode", required=True)
    a = sub.add_parser("logits")
    a.add_argument("folder")
    a.add_argument("--device")
    a.add_argument("--only", action="append")
    a.add_argument("--jobs", type=int, default=2)
    a.add_argument("--quick", action="store_true")
    for c in (sub.add_parser("variants"), sub.add_parser("folders"), sub.add_parser("quantized")):
        c.add_argument("folder")
        c.add_argument("--device")
        c.add_argument("--only", action="append")
        c.add_argument("--jobs", type=int, default=2)
    b = sub.add_parser("tales")
    b.add_argument("--device", action="append")
    b.add_argument("--golden", action="append", default=[])
    b.add_argument("--ids")
    b.add_argument("--model", default=os.path.join(ROOT, "models", "tales.gguf"))
    b.set_defaults(jobs=1)
    d = sub.add_parser("templates")
    d.add_argument("file")
    d.add_argument("--renderer", default=os.path.join(ROOT, "build", "release", "tests", "render_template"))
    d.set_defaults(jobs=2)
    f = sub.add_parser("stories")
    f.add_argument("folder")
    f.add_argument("--device")
    f.set_defaults(jobs=2)
    e = sub.add_parser("perplexity")
    e.add_argument("texts", nargs="+")
    e.add_argument("--device")
    e.add_argument("--bytes", type=int, default=60000)
    e.add_argument("--model", default=os.path.join(ROOT, "models", "tales.gguf"))
    e.set_defaults(jobs=2)
    for s in (a, b, e, f, sub.choices["variants"], sub.choices["folders"], sub.choices["quantized"]):
        s.add_argument("--program", default=os.path.join(ROOT, "build", "release", "gabbro"))
    options = p.parse_args()
    checks = {"logits": check_logits, "variants": check_variants, "folders": check_folders, "quantized": check_quantized,
              "perplexity": check_perplexity,
              "stories": check_stories, "tales": check_tales, "templates": check_templates}
    cases = checks[options.mode](options)
    n_failed = 0
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        for label, passed, text in pool.map(run_case, cases):
            n_failed += not passed
            print(f"{'ok    ' if passed else 'FAILED'} {label}: {text}", flush=True)
    if options.mode == "tales" and options.ids and not n_failed and not os.path.exists(options.ids):
        with open(options.ids, "w") as f:
            json.dump(options.known, f)
    print(f"{len(cases) - n_failed} passed, {n_failed} failed")
    return 1 if n_failed or not cases else 0


if __name__ == "__main__":
    sys.exit(main())
