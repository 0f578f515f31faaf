#!/usr/bin/env python3
"""A small hub for tests/cli_pull.c: the part of Hugging Face's API that gabbro pull uses, over files made up here, with faults.

    pull_server.py LOG [FILE]     prints its port; ends when its standard input does; FILE becomes org/tales:tales.gguf

http://127.0.0.1:PORT/FAULT is the address of a hub that has the fault (see FAULTS below; 'plain' has none). Large files come from
http://localhost:PORT/cdn/..., another host as far as a client can tell, but for the faults in DIRECT. Each request becomes a line of
LOG: method, Host, path, range=, if-range=, auth= (the token, or -), status, sent=bytes of the file.
"""
import hashlib
import http.server
import json
import sys
import threading
import time
import urllib.parse

COMMIT = "0123456789abcdef0123456789abcdef01234567"
OTHER_COMMIT = "89abcdef0123456789abcdef0123456789abcdef"
REVISIONS = {"main": COMMIT, "v1.0": OTHER_COMMIT, "refs/pr/1": OTHER_COMMIT, COMMIT: COMMIT, OTHER_COMMIT: OTHER_COMMIT}
PIECE = 20000

FAULTS = """
plain direct cut cut_once slow stall stall_once norange no_416 lie_length lie_list lie_hash short more corrupt corrupt_once s401 s403 s404
s429 s429_long s500 s500_once s503_once wrong_range drop loop file_url no_hash no_blobs gated gated_token denied not_json no_commit
rest_503 etag_only
""".split()
DIRECT = {"direct", "norange", "no_416", "slow", "cut", "stall", "stall_once", "wrong_range", "etag_only", "drop"}

lock = threading.Lock()
counts = {}  # of requests for a file, by fault and path


def content(name, size):
    seed = hashlib.sha256(name.encode()).digest()
    return (seed * (size // len(seed) + 1))[:size]


def make_repos(tales):
    repos = {
        "org/gguf": {
            "README.md": content("readme", 700),
            "model-F16.gguf": content("f16", 5000),
            "model-Q8_0.gguf": content("q8", 4000),
            "model-Q4_K_M.gguf": content("q4", 300000),
            "mmproj-Q4_K_M.gguf": content("mmproj", 100),
            "big-Q5_K_M-00002-of-00002.gguf": content("big2", 2000),
            "big-Q5_K_M-00001-of-00002.gguf": content("big1", 3000),
            "torn-Q6_K-00001-of-00003.gguf": content("torn", 3000),
            "sub/deep/model-Q3_K_S.gguf": content("deep", 1000),
        },
        "org/folder": {
            "config.json": b'{"model_type": "llama"}\n',
            "generation_config.json": b"{}\n",
            "tokenizer.json": content("tokenizer", 9000),
            "empty.txt": b"",
            "added_tokens.json": b"",
            "model-00001-of-00002.safetensors": content("st1", 50000),
            "model-00002-of-00002.safetensors": content("st2", 40000),
            "model.safetensors.index.json": b'{"weight_map": {}}\n',
            "consolidated.safetensors": content("twice", 90000),
            "pytorch_model.bin": content("bin", 90000),
            "onnx/model.onnx": content("onnx", 1000),
        },
        "org/pickles": {"config.json": b"{}", "pytorch_model.bin": content("bin", 1000)},
        "org/twins": {"a-Q4_K_M.gguf": content("a", 100), "b-Q4_K_M.gguf": content("b", 100)},
        "org/small": {"only-Q8_0.gguf": content("only", 1000), "only-f16.gguf": content("onlyf", 2000)},
        "org/evil": {"../../../evil-Q4_K_M.gguf": b"evil", "/tmp/evil-Q8_0.gguf": b"evil", "good-F16.gguf": content("good", 500)},
        "gpt": {"gpt-Q4_0.gguf": content("gpt", 800)},
    }
    if tales:
        with open(tales, "rb") as f:
            repos["org/tales"] = {"tales.gguf": f.read()}
    return repos


def is_large(name):
    return name.endswith((".gguf", ".safetensors", ".bin", ".onnx"))


def file_hash(name, data):
    if is_large(name):
        return hashlib.sha256(data).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


class Hub(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    repos = {}
    log_file = None
    commit = COMMIT  # of what is asked for

    def log_message(self, *arguments):
        pass

    def note(self, status, sent):
        with lock:
            auth = self.headers.get("Authorization", "-").replace("Bearer ", "")
            print(self.command, self.headers.get("Host"), self.path, "range=" + self.headers.get("Range", "-"),
                  "if-range=" + self.headers.get("If-Range", "-"), "auth=" + auth, status, "sent=%d" % sent, file=self.log_file, flush=True)

    def answer(self, status, headers=(), body=b""):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        self.note(status, 0)

    def refuse(self, status, code, message):
        self.answer(status, [("X-Error-Code", code), ("X-Error-Message", message)], json.dumps({"error": message}).encode())

    def nth(self):
        """How often this path was asked for before."""
        with lock:
            counts[self.path] = counts.get(self.path, 0) + 1
            return counts[self.path] - 1

    # ---- what is asked for

    def do_HEAD(self):
        self.route()

    def do_GET(self):
        self.route()

    def route(self):
        path = urllib.parse.urlsplit(self.path).path
        parts = [urllib.parse.unquote(part) for part in path.split("/")[1:]]
        if parts[0] == "cdn" and len(parts) > 2:
            return self.serve(parts[1], *self.find(parts[2:]))
        fault, parts = parts[0], parts[1:]
        if fault not in FAULTS:
            return self.refuse(404, "RepoNotFound", "no such fault")
        if fault in ("s401", "s403", "s404", "s500"):
            return self.refuse(int(fault[1:]), {"s404": "RepoNotFound"}.get(fault, ""), "as asked")
        if fault in ("s500_once", "s503_once") and self.nth() == 0:
            return self.refuse(int(fault[1:4]), "", "once")
        if fault == "s429" and self.nth() < 1:
            return self.answer(429, [("Retry-After", "1")])
        if fault == "s429_long":
            return self.answer(429, [("Retry-After", "7200")])
        if fault == "drop":
            self.close_connection = True
            self.note(0, 0)
            return None
        if parts[:2] == ["api", "models"]:
            return self.serve_api(fault, parts[2:])
        repo, name, data = self.find([p for p in parts if p])
        if name is None:
            return self.refuse(404, "EntryNotFound", "Entry not found")
        return self.resolve(fault, repo, name, data)

    def find(self, parts):
        """org/name/resolve/COMMIT/file..."""
        where = parts.index("resolve") if "resolve" in parts else 0
        repo, name = "/".join(parts[:where]), "/".join(parts[where + 2:])
        repo = "org/gguf" if repo == "org/old" else repo
        data = self.repos.get(repo, {}).get(name)
        self.commit = REVISIONS.get(parts[where + 1], COMMIT) if len(parts) > where + 1 else COMMIT
        return (repo, name, data) if data is not None else (repo, None, b"")

    def serve_api(self, fault, parts):
        what = next((i for i, part in enumerate(parts) if part in ("revision", "refs")), len(parts))
        repo = "/".join(parts[:what])
        if repo == "org/old":
            return self.answer(307, [("Location", self.path.replace("org/old", "org/gguf"))])
        if repo not in self.repos:
            return self.refuse(404, "RepoNotFound", "Repository not found")
        if parts[what] == "refs":
            refs = {"branches": [{"name": "main"}, {"name": "dev"}], "tags": [{"name": "v1.0"}]}
            return self.answer(200, [], json.dumps(refs).encode())
        commit = REVISIONS.get(parts[what + 1])
        if not commit:
            return self.refuse(404, "RevisionNotFound", "Invalid rev id")
        if fault == "not_json":
            return self.answer(200, [], b"<html>welcome</html>")
        siblings = []
        for name, data in self.repos[repo].items():
            item = {"rfilename": name}
            size = len(data) + (1 if fault == "lie_list" else 0)
            if fault not in ("no_blobs", "no_hash"):
                item["size"] = size
                if is_large(name):
                    item["lfs"] = {"sha256": file_hash(name, data), "size": size, "pointerSize": 134}
                else:
                    item["blobId"] = file_hash(name, data)
            siblings.append(item)
        listing = {"id": repo, "sha": "none" if fault == "no_commit" else commit, "siblings": siblings}
        return self.answer(200, [("X-Repo-Commit", commit)], json.dumps(listing).encode())

    def resolve(self, fault, repo, name, data):
        """The hub itself: small files directly, large ones by way of another host."""
        if fault == "gated" and "Authorization" not in self.headers:
            return self.refuse(401, "GatedRepo", "Access to model is restricted.")
        if fault in ("gated_token", "denied") and self.headers.get("Authorization") != "Bearer good":
            return self.refuse(401 if "Authorization" not in self.headers else 403, "GatedRepo", "Access to model is restricted.")
        if "org/old" in self.path:
            return self.answer(307, [("Location", self.path.replace("org/old", "org/gguf"))])
        if fault == "loop":
            return self.answer(302, [("Location", self.path)])
        if fault == "file_url":
            return self.answer(302, [("Location", "file:///etc/passwd")])
        if not is_large(name) or fault in DIRECT:
            return self.serve(fault, repo, name, data)
        digest = file_hash(name, data)
        if fault == "lie_hash":
            digest = "0" * 64
        linked = [("X-Linked-ETag", '"%s"' % digest), ("X-Linked-Size", str(len(data))), ("X-Repo-Commit", self.commit)]
        if fault == "no_hash":
            linked = [("X-Linked-Size", str(len(data)))]
        location = "http://localhost:%d/cdn/%s/%s/resolve/x/%s?signature=%%2B1" % (self.server.server_port, fault, repo, name)
        return self.answer(302, linked + [("Location", location)])

    # ---- bytes

    def serve(self, fault, repo, name, data):
        if name is None:
            return self.refuse(404, "EntryNotFound", "Entry not found")
        headers = [("ETag", '"%s"' % file_hash(name, data)), ("X-Repo-Commit", self.commit), ("Accept-Ranges", "bytes")]
        if fault == "no_hash":
            headers = [("ETag", '"abc-5"')]
        first, asked = 0, self.headers.get("Range")
        n = self.nth() if self.command == "GET" and is_large(name) else 0
        if self.command == "HEAD":
            self.send_response(200)
            for header in headers + [("Content-Length", str(len(data)))]:
                self.send_header(*header)
            self.end_headers()
            return self.note(200, 0)
        if fault == "rest_503" and n == 1:
            return self.refuse(503, "", "later")
        status, total = 200, len(data)
        if asked and fault == "no_416":
            return self.answer(416, [("Content-Range", "bytes */%d" % len(data))])
        if_range = self.headers.get("If-Range")
        if asked and fault != "norange" and if_range in (None, headers[0][1]):
            first, status = int(asked.split("=")[1].split("-")[0]), 206
            if first >= len(data):
                return self.answer(416, [("Content-Range", "bytes */%d" % len(data))])
            told = first + 1 if fault == "wrong_range" else first
            headers.append(("Content-Range", "bytes %d-%d/%d" % (told, total - 1, total)))
        body = data[first:]
        if is_large(name) and (fault == "corrupt" or (fault == "corrupt_once" and n == 0)):
            body = body[:-1] + bytes([body[-1] ^ 1])
        self.send_response(status)
        for header in headers:
            self.send_header(*header)
        if fault in ("short", "more") and is_large(name):
            return self.send_chunks(fault, status, body)
        length = len(body) + (1000 if fault == "lie_length" and is_large(name) else 0)
        self.send_header("Content-Length", str(length))
        self.end_headers()
        return self.send_pieces(fault, status, body, n if is_large(name) else 99)

    def send_chunks(self, fault, status, body):
        body = body[:100000] if fault == "short" else body + b"more"
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        try:
            for at in range(0, len(body), PIECE):
                piece = body[at : at + PIECE]
                self.wfile.write(b"%x\r\n" % len(piece) + piece + b"\r\n")
            self.wfile.write(b"0\r\n\r\n")
        except OSError:
            pass
        self.note(status, len(body))

    def send_pieces(self, fault, status, body, n):
        sent, limit = 0, len(body)
        if fault in ("cut", "stall", "rest_503") or (fault in ("cut_once", "norange", "stall_once", "no_416", "wrong_range") and n == 0):
            limit = min(limit, 100000)
        try:
            while sent < limit:
                piece = body[sent : min(limit, sent + PIECE)]
                self.wfile.write(piece)
                sent += len(piece)
                if fault == "slow" and n < 99:
                    time.sleep(0.15)
        except OSError:
            pass
        self.note(status, sent)
        if sent == len(body) and limit == len(body):
            return
        if fault in ("stall", "stall_once") and n < 99:
            time.sleep(120)
        self.close_connection = True


def main():
    Hub.log_file = open(sys.argv[1], "a", encoding="utf-8")
    Hub.repos = make_repos(sys.argv[2] if len(sys.argv) > 2 else None)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.daemon_threads = True
    print(server.server_port, flush=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.read()


if __name__ == "__main__":
    main()
