#!/usr/bin/env python3
"""check.py - compares gabbro with the oracle's files. Needs nothing but Python 3.

    check.py logits DIR [--program P] [--device D] [--jobs N] [--only TEXT] [--quick]
        DIR: what tests/oracle/make_gpt2.py wrote. Relative L2 error of the logits, whole and of the worst row, for every
        model, prompt length, kernel family, chunking and KV type. --quick: prompts of 1 and 65 tokens alone, for slow devices.
    check.py variants DIR [--program P] [--device D] [--jobs N] [--only TEXT]
        The same with every variant forced that `gabbro tune` lists as able to run on the device, one at a time, in the steps
        that use it: exact ones as above, narrow ones (f16, matrix units, 8-bit activations) to 2e-2. One that tuning finds
        wrong is a failure.
    check.py perplexity TEXT... [--model M] [--bytes N] [--program P] [--device D]
        The embedded model's perplexity on the first N bytes of each text, with every narrow variant of the products of many
        columns forced: within 0.1% of that with exact products.
    check.py tales [--golden FILE]... [--ids FILE] [--program P] [--device D]...
        Greedy text of the embedded model on each device: the same everywhere, equal to the golden files (make_tales.py
        writes one), equal to FILE of --ids where it exists; else it is written, for a run with other drivers.

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
                           *device, *arguments])
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


def against_references(options, case, n_token, arguments, bound=None):
    """With a bound: against the weights in the file; else against each reference within its own."""
    found = logits(options, case, n_token, arguments)
    texts = []
    for file, own_bound in case["references"][:1] if bound else case["references"]:
        with open(os.path.join(options.folder, file), "rb") as f:
            reference = read_floats(f.read(len(found) * 4))
        texts.append(compare(found, reference, case["n_vocab"], bound or own_bound))
    return "; ".join(texts)


def chunks_agree(options, case, n_token, chunks):
    whole = logits(options, case, n_token, EXACT)
    return "; ".join(compare(logits(options, case, n_token, EXACT + ["--chunk", str(chunk)]), whole, case["n_vocab"],
                             CHUNK_BOUND) for chunk in chunks)


def logits_matrix(options, case):
    """(label, function) of all that is run for one model file. Every length, family and chunking for the F32 files and the
    deepest model; a selection for the others, which differ from those by their weights alone."""
    check = lambda n, arguments, bound=None: lambda: against_references(options, case, n, arguments, bound)
    lengths = [n for n in case["lengths"] if n in (1, 65) or not options.quick]
    longest = max(lengths)
    yield "lane, 65 tokens", check(65, F32_KV + ["--variant", "lane"])
    yield f"group, {longest} tokens", check(longest, F32_KV + ["--variant", "group"])
    yield f"default KV, {longest} tokens", check(longest, EXACT, DEFAULT_KV_BOUND)
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


def read_cases(options):
    with open(os.path.join(options.folder, "cases.json")) as f:
        return json.load(f)["cases"]


def check_logits(options):
    cases = read_cases(options)
    return [(f"{case['name']}: {label}", function) for case in cases for label, function in logits_matrix(options, case)
            if options.only in f"{case['name']}: {label}"]


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
    if any(options.only in case["name"] for case in cases):  # the others need not be tuned
        cases = [case for case in cases if options.only in case["name"]]
    return [(f"{case['name']}: {operation}={variant}", forced(options, case, operation, variant, wrong)) for case in cases
            for operation, variant, wrong in runnable_variants(options, os.path.join(options.folder, case["file"]))
            if options.only in f"{case['name']}: {operation}={variant}"]


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
    a.add_argument("--only", default="")
    a.add_argument("--jobs", type=int, default=2)
    a.add_argument("--quick", action="store_true")
    c = sub.add_parser("variants")
    c.add_argument("folder")
    c.add_argument("--device")
    c.add_argument("--only", default="")
    c.add_argument("--jobs", type=int, default=2)
    b = sub.add_parser("tales")
    b.add_argument("--device", action="append")
    b.add_argument("--golden", action="append", default=[])
    b.add_argument("--ids")
    b.add_argument("--model", default=os.path.join(ROOT, "models", "tales.gguf"))
    b.set_defaults(jobs=1)
    d = sub.add_parser("perplexity")
    d.add_argument("texts", nargs="+")
    d.add_argument("--device")
    d.add_argument("--bytes", type=int, default=60000)
    d.add_argument("--model", default=os.path.join(ROOT, "models", "tales.gguf"))
    d.set_defaults(jobs=2)
    for s in (a, b, c, d):
        s.add_argument("--program", default=os.path.join(ROOT, "build", "release", "gabbro"))
    options = p.parse_args()
    cases = {"logits": check_logits, "variants": check_variants, "perplexity": check_perplexity, "tales": check_tales}[options.mode](options)
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
