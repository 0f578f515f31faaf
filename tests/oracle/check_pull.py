#!/usr/bin/env python3
"""gabbro pull and huggingface_hub share a cache: what one writes is what the other would have written, and is found by it.

    scripts/lab oracle tests/oracle/check_pull.py [--program build/sid/gabbro]

Both download from tests/pull_server.py into folders of their own, which are compared entry by entry.
"""
import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile

TREE = pathlib.Path(__file__).resolve().parents[2]
COMMIT = "0123456789abcdef0123456789abcdef01234567"
FOLDER_FILES = ["config.json", "generation_config.json", "tokenizer.json", "added_tokens.json", "model-00001-of-00002.safetensors",
                "model-00002-of-00002.safetensors", "model.safetensors.index.json"]
counts = {True: 0, False: 0}


def report(name, ok, detail=""):
    counts[bool(ok)] += 1
    print("%-6s %s%s" % ("ok" if ok else "FAILED", name, "" if ok else ": " + str(detail)))


def entries(root):
    """What lies below a cache folder: the targets of links, the contents of files; locks by their names alone."""
    found = {}
    for path in sorted(root.rglob("*")):
        name = str(path.relative_to(root))
        if path.is_symlink():
            found[name] = "-> " + os.readlink(path)
        elif path.is_file() and path.name != "CACHEDIR.TAG":
            found[name] = "" if path.suffix == ".lock" else path.read_bytes()
    return found


def gabbro(program, cache, *arguments):
    return subprocess.run([program, *arguments], env={**os.environ, "HF_HUB_CACHE": str(cache)}, capture_output=True, text=True, check=False)


def check_trees(program, hub, endpoint, work):
    pulls = [("org/folder", "org/folder", FOLDER_FILES, "main"), ("org/gguf:Q3_K_S", "org/gguf", ["sub/deep/model-Q3_K_S.gguf"], "main"),
             ("org/gguf@v1.0:Q4_K_M", "org/gguf", ["model-Q4_K_M.gguf"], "v1.0"), ("org/tales", "org/tales", ["tales.gguf"], "main")]
    for name, repo, files, revision in pulls:
        result = gabbro(program, work / "gabbro", "pull", "--endpoint", endpoint, name)
        report("gabbro pull " + name, result.returncode == 0, result.stderr)
        for file in files:
            hub.hf_hub_download(repo, file, revision=revision, cache_dir=work / "hub", endpoint=endpoint)
    ours, theirs = entries(work / "gabbro"), entries(work / "hub")
    different = sorted(name for name in {**ours, **theirs} if ours.get(name) != theirs.get(name))
    report("both caches are the same, %d entries" % len(ours), not different and len(ours) > 20,
           ["%s: %.60r, huggingface_hub: %.60r" % (name, ours.get(name), theirs.get(name)) for name in different])


def check_found(program, hub, work):
    scan = hub.scan_cache_dir(work / "gabbro")
    report("huggingface_hub scans it without a warning", len(scan.repos) == 3 and not scan.warnings, scan.warnings)
    path = hub.snapshot_download("org/folder", cache_dir=work / "gabbro", local_files_only=True)
    report("huggingface_hub finds it offline", path.endswith(COMMIT), path)
    result = gabbro(program, work / "hub", "tokenize", "-m", "org/tales", "-p", "Once upon")
    report("gabbro finds what huggingface_hub downloaded", result.stdout == "47 1320 600\n", result.stderr)


def check_lock(program, hub, endpoint, work):
    from huggingface_hub.utils import WeakFileLock
    lock = next((work / "hub" / ".locks" / "models--org--gguf").glob("74bc*.lock"))
    ours = work / "locked" / lock.relative_to(work / "hub")
    ours.parent.mkdir(parents=True)
    with WeakFileLock(ours):
        process = subprocess.Popen([program, "pull", "--json", "--endpoint", endpoint, "org/gguf"], stderr=subprocess.PIPE,
                                   stdout=subprocess.PIPE, text=True, env={**os.environ, "HF_HUB_CACHE": str(work / "locked")})
        line = process.stderr.readline()
    out, _ = process.communicate()
    report("gabbro waits for huggingface_hub's lock", "another program is fetching it" in line, line)
    report("and then downloads", json.loads(out)["files"][0]["state"] == "downloaded", out)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default=str(TREE / "build/sid/gabbro"))
    program = str(pathlib.Path(parser.parse_args().program).resolve())
    with tempfile.TemporaryDirectory() as folder:
        work = pathlib.Path(folder)
        for name in [name for name in os.environ if name.startswith("HF_") or name.lower().endswith("_proxy")]:
            del os.environ[name]
        os.environ.update(HOME=folder, HF_HUB_DISABLE_PROGRESS_BARS="1", HF_HUB_DISABLE_XET="1", HF_HUB_DISABLE_TELEMETRY="1")
        import huggingface_hub as hub
        with subprocess.Popen([sys.executable, TREE / "tests/pull_server.py", work / "log", TREE / "models/tales.gguf"],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
            endpoint = "http://127.0.0.1:%s/plain" % server.stdout.readline().strip()
            check_trees(program, hub, endpoint, work)
            check_found(program, hub, work)
            check_lock(program, hub, endpoint, work)
            server.stdin.close()
    print("huggingface_hub %s\n%d passed, %d failed" % (hub.__version__, counts[True], counts[False]))
    return counts[False] > 0


if __name__ == "__main__":
    sys.exit(main())
