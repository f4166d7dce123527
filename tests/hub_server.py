"""A Hub on the loopback interface, for tests: it serves folders over the endpoints that `datasets` and `tofy` ask.

Models can be uploaded, too, by whoever brings a token. A repository `owner/name` is the folder `root/owner/name`; its Parquet copy, the branch refs/convert/parquet, is
`root/owner/name@parquet`. Run as a program it prints its address and serves until it is stopped.
"""
import base64
import hashlib
import json
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

BRANCHES = {"main": "", "refs/convert/parquet": "@parquet"}


class Handler(BaseHTTPRequestHandler):
    "Answers from `self.server.root`; every path asked for is kept in `self.server.asked`."
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        "Say nothing."

    def answer(self, status, body=b"", **headers):
        "Send one answer, without its body where only the head was asked for."
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def missing(self, code):
        "A 404 that says what is not there, as the Hub does."
        self.answer(404, b'{"error":"not here"}', X_Error_Code=code, Content_Type="application/json")

    def json(self, value):
        self.answer(200, json.dumps(value).encode(), Content_Type="application/json")

    def repository(self, parts):
        "The id that the parts begin with, if there is such a repository, and what follows it."
        name = "/".join(parts[:2])
        there = len(parts) >= 2 and ".." not in parts and (self.server.root / name).is_dir()
        return (name, parts[2:]) if there else (None, [])

    def do_GET(self):
        parts = [unquote(p) for p in urlsplit(self.path).path.split("/") if p]
        self.server.asked.append((self.command, "/".join(parts)))
        if parts[:2] == ["api", "datasets"] and parts[2] in self.server.moved:      # an old name without an owner
            new = self.path.replace(f"/{parts[2]}", f"/{self.server.moved[parts[2]]}", 1)
            return self.answer(307, Location=new)
        if parts[:2] in (["api", "datasets"], ["api", "models"]):
            return self.api(*self.repository(parts[2:]))
        return self.resolve(*self.repository(parts[1:] if parts[:1] == ["datasets"] else parts))

    do_HEAD = do_GET

    def do_POST(self):
        parts = [unquote(p) for p in urlsplit(self.path).path.split("/") if p]
        self.server.asked.append((self.command, "/".join(parts)))
        lines = self.rfile.read(int(self.headers["Content-Length"])).splitlines()
        if parts == ["api", "validate-yaml"]:
            return self.json({"errors": [], "warnings": []})
        asked = json.loads(lines[0] if lines else b"{}")
        if parts == ["api", "repos", "create"]:
            return self.create(f"{asked.get('organization') or asked.get('namespace')}/{asked['name']}")
        name, rest = self.repository(parts[2:])
        if name and rest[:1] == ["preupload"]:
            return self.json({"files": [{"path": f["path"], "uploadMode": "regular", "shouldIgnore": False}
                                        for f in asked["files"]]})
        if name and rest[:1] == ["commit"]:
            return self.commit(name, [json.loads(line) for line in lines])
        folder, _ = self.branch(name, rest[1:2] or ["main"]) if name else (None, None)
        if folder is None or rest[:1] != ["paths-info"]:
            return self.missing("RepoNotFound")
        found = [self.entry(folder, folder / p) for p in asked.get("paths", []) if (folder / p).exists()]
        return self.json(found)

    def create(self, name):
        "Make a repository, for those who bring a token."
        if not self.headers.get("Authorization"):
            return self.answer(401, b'{"error":"who are you?"}', Content_Type="application/json")
        there = (self.server.root / name).is_dir()
        (self.server.root / name).mkdir(parents=True, exist_ok=True)
        return self.answer(409 if there else 200, json.dumps({"url": f"{self.server.url}/{name}"}).encode(),
                           Content_Type="application/json")

    def commit(self, name, lines):
        "Write the files of a commit."
        for file in (line["value"] for line in lines if line["key"] == "file"):
            (self.server.root / name / file["path"]).write_bytes(base64.b64decode(file["content"]))
        commit = self.branch(name, ["main"])[1]
        self.json({"commitUrl": f"{self.server.url}/{name}/commit/{commit}", "commitOid": commit, "success": True})

    def branch(self, name, rest):
        "The folder of a branch (or of a commit, which names its branch by its hash) and the commit."
        for branch, suffix in BRANCHES.items():
            commit = hashlib.sha1(f"{name}{branch}".encode()).hexdigest()
            if rest[0] in (branch, commit):
                folder = self.server.root / (name + suffix)
                return (folder, commit) if folder.is_dir() else (None, None)
        return None, None

    @staticmethod
    def entry(folder, path):
        "One line of a listing."
        relative = path.relative_to(folder).as_posix()
        oid = hashlib.sha1(relative.encode()).hexdigest()
        if path.is_dir():
            return {"type": "directory", "path": relative, "oid": oid, "size": 0}
        return {"type": "file", "path": relative, "oid": oid, "size": path.stat().st_size}

    def api(self, name, rest):
        "What a repository is, and what it holds."
        if name is None:
            return self.missing("RepoNotFound")
        what, rev, where = (rest + ["revision"])[0], (rest + ["", "main"])[1] or "main", "/".join(rest[2:])
        folder, commit = self.branch(name, [rev])
        if folder is None:
            return self.missing("RevisionNotFound")
        if what == "tree":
            if not (folder / where).is_dir():
                return self.missing("EntryNotFound")
            deep = "recursive=true" in self.path.lower() or "recursive=1" in self.path
            paths = (folder / where).rglob("*") if deep else (folder / where).iterdir()
            return self.json([self.entry(folder, p) for p in sorted(paths)])
        files = [{"rfilename": p.relative_to(folder).as_posix()} for p in sorted(folder.rglob("*")) if p.is_file()]
        return self.json({"id": name, "sha": commit, "private": False, "gated": False, "disabled": False, "tags": [],
                          "downloads": 0, "likes": 0, "siblings": files, "author": name.split("/")[0]})

    def resolve(self, name, rest):
        "A file, or the part of it that a Range header asks for."
        if name is None or rest[:1] != ["resolve"]:
            return self.missing("RepoNotFound")
        folder, commit = self.branch(name, rest[1:2])
        if folder is None:
            return self.missing("RevisionNotFound")
        path = folder / "/".join(rest[2:])
        if not path.is_file():
            return self.missing("EntryNotFound")
        body, status = path.read_bytes(), 200
        headers = dict(X_Repo_Commit=commit, ETag=f'"{hashlib.sha1(body).hexdigest()}"', Accept_Ranges="bytes")
        if span := self.headers.get("Range"):
            first, last = (span.removeprefix("bytes=").split("-") + [""])[:2]
            last = min(int(last or len(body) - 1), len(body) - 1)
            headers["Content_Range"] = f"bytes {first}-{last}/{len(body)}"
            body, status = body[int(first):last + 1], 206
        return self.answer(status, body, **headers)


@contextmanager
def hub(root: Path, moved: dict[str, str] | None = None):
    "A running server over `root`; its address is `server.url`. `moved` maps old names to ids."
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads, server.root, server.asked = True, Path(root), []
    server.moved = moved or {}
    server.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


if __name__ == "__main__":
    with hub(Path(sys.argv[1])) as running:
        print(running.url, flush=True)
        threading.Event().wait()
