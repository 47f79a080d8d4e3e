"""A loopback server that speaks the Hub's routes for models, for one user and in memory; requests can be made to fail.

`python -m tests.helpers.http.hub_server` serves until it is interrupted.
"""

import base64
import dataclasses
import hashlib
import json
import re
import threading
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlparse

import yaml

TOKEN = "hf_loopback"
MAIN = "main"
# Requests by what they are for: in this order, the first pattern that a method and path match.
KINDS = {
    "validate": r"POST /api/validate-yaml",
    "create": r"POST /api/repos/create",
    "branch": r"POST /api/models/.*/branch/",
    "preupload": r"POST /api/models/.*/preupload/",
    "commit": r"POST /api/models/.*/commit/",
    "lfs batch": r"POST /.*/info/lfs/objects/batch",
    "lfs put": r"PUT /lfs/",
    "xet": r"GET /api/models/.*/xet-write-token/",
    "refs": r"GET /api/models/.*/refs",
    "tree": r"GET /api/models/.*/tree/",
    "info": r"GET /api/",
    "resolve": r"(GET|HEAD) /.*/resolve/",
}


@dataclasses.dataclass
class Fault:
    """What happens to the next request of a kind."""

    kind: str
    answer: int | str
    """A status; `cut`: the connection ends before the request is carried out; `cut after`: and its answer is lost."""
    headers: dict[str, str] = dataclasses.field(default_factory=dict)
    times: int = 1


class Hub:
    """What the server holds."""

    def __init__(self) -> None:
        self.repositories: dict[str, dict[str, bytes]] = {}
        """The files of each repository's main branch; those of others are under `owner/name@branch`."""
        self.heads: dict[str, str] = {}
        """The newest commit of each branch that has one, by the same names."""
        self.snapshots: dict[str, dict[str, bytes]] = {}
        """The files of each commit."""
        self.commits: list[list[str]] = []
        """The files that each commit wrote."""
        self.objects: dict[str, bytes] = {}
        self.private: dict[str, bool] = {}
        self.xet_address: str | None = None
        """The address of the storage service, which is told to clients; None: there is none."""
        self.faults: list[Fault] = []
        self.requests: list[str] = []
        """The kinds of all requests, in order."""
        self.tampered: dict[str, bytes] = {}
        """What is listed and sent in place of files, whatever was committed."""
        self.ignored: set[str] = set()
        """Files that the repository's .gitignore keeps out."""

    def fault(self, kind: str) -> Fault | None:
        """What happens to a request of this kind, once; None: nothing."""
        for fault in self.faults:
            if fault.kind == kind and fault.times:
                fault.times -= 1
                return fault
        return None

    def head(self, key: str) -> str:
        """The newest commit of a branch."""
        return self.heads.get(key, commit_id(0))


def commit_id(count: int) -> str:
    """The hash of the commit with this number."""
    return hashlib.sha1(str(count).encode()).hexdigest()


def key_of(name: str, revision: str) -> str:
    """Where a branch's files are kept."""
    return name if revision == MAIN else f"{name}@{revision}"


def is_large(name: str) -> bool:
    """Whether the Hub keeps a file as a large one."""
    return name.endswith((".safetensors", ".onnx"))


class Handler(BaseHTTPRequestHandler):
    """The routes; unknown ones answer 404."""

    hub: Hub
    protocol_version = "HTTP/1.1"
    # An answer in one piece: the second of two would wait for the first to be confirmed.
    wbufsize, disable_nagle_algorithm = -1, True

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002
        """Keep quiet."""

    def answer(self, status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
        """Send a response; a HEAD request gets the headers alone."""
        if self.lost:
            self.close_connection = True
            return
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(body))} | (headers or {})).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def answer_json(self, value: Any, status: int = 200) -> None:
        """Send JSON."""
        self.answer(status, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def body(self) -> bytes:
        """The request's body, sent whole or in chunks."""
        if self.headers.get("Transfer-Encoding") == "chunked":
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def begun(self) -> tuple[str, bytes] | None:
        """The path and body of a request, unless it is made to fail."""
        # A branch's name may hold a quoted slash, so paths are taken apart before they are unquoted.
        path, body = urlparse(self.path).path, self.body()
        kind = next((kind for kind, form in KINDS.items() if re.match(form, f"{self.command} {path}")), "other")
        self.hub.requests.append(kind)
        fault = self.hub.fault(kind)
        self.lost = fault is not None and fault.answer == "cut after"
        if fault is None or self.lost:
            return path, body
        if fault.answer == "cut":
            self.close_connection = True
        else:
            # Proxies in front of an overloaded server answer in HTML.
            body = b"<html>not now</html>" if int(fault.answer) >= 500 else b'{"error": "not now"}'
            self.answer(int(fault.answer), body, fault.headers)
        return None

    def do_POST(self) -> None:
        """Create a repository or a branch, announce files, commit."""
        if (begun := self.begun()) is None:
            return
        path, body = begun
        if path == "/api/validate-yaml":
            self.validate(json.loads(body)["content"])
        elif self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self.answer_json({"error": "Invalid credentials"}, 401)
        elif path == "/api/repos/create":
            given = json.loads(body)
            name = f"{given['organization']}/{given['name']}"
            is_new = name not in self.hub.repositories
            self.hub.repositories.setdefault(name, {})
            self.hub.private[name] = given.get("visibility") == "private"
            self.answer_json({"url": f"{self.base}/{name}", "id": name}, 200 if is_new else 409)
        elif path.endswith("/info/lfs/objects/batch"):
            objects = [
                {"oid": wanted["oid"], "size": wanted["size"]}
                | ({} if wanted["oid"] in self.hub.objects else {"actions": self.upload_action(wanted["oid"])})
                for wanted in json.loads(body)["objects"]
            ]
            self.answer_json({"transfer": "basic", "objects": objects})
        elif found := re.fullmatch(r"/api/models/([^/]+/[^/]+)/(preupload|branch|commit)/([^/]+)", path):
            name, action, revision = found[1], found[2], unquote(found[3])
            if name not in self.hub.repositories:
                self.answer(404, headers={"X-Error-Code": "RepoNotFound"})
            elif action == "branch":
                is_new = key_of(name, revision) not in self.hub.repositories
                self.hub.repositories.setdefault(key_of(name, revision), dict(self.hub.repositories[name]))
                self.answer_json({}, 200 if is_new else 409)
            elif key_of(name, revision) not in self.hub.repositories:
                self.answer(404, headers={"X-Error-Code": "RevisionNotFound"})
            elif action == "preupload":
                self.preupload(json.loads(body)["files"])
            else:
                self.commit(name, revision, body)
        else:
            self.answer_json({"error": path}, 404)

    def upload_action(self, oid: str) -> dict[str, Any]:
        """Where a large file goes."""
        return {"upload": {"href": f"{self.base}/lfs/{oid}", "header": {}}}

    def validate(self, card: str) -> None:
        """What the Hub checks of a card's metadata, in part: that it is a mapping whose lists are lists."""
        _, _, rest = card.partition("---\n")
        try:
            data = yaml.safe_load(rest.partition("\n---")[0])
            wrong = [] if isinstance(data, dict) else ["the metadata is no mapping"]
        except yaml.YAMLError as error:
            data, wrong = {}, [str(error)]
        if not wrong:
            wrong = [
                f'"{key}" must be a list' for key in ("tags", "model-index") if type(data.get(key, [])) is not list
            ]
        errors = [{"message": message} for message in wrong]
        self.answer_json({"errors": errors, "warnings": []}, 400 if errors else 200)

    def preupload(self, files: list[dict[str, Any]]) -> None:
        """How each file is to be sent."""
        modes = [
            {
                "path": file["path"],
                "uploadMode": "lfs" if is_large(file["path"]) else "regular",
                "shouldIgnore": file["path"] in self.hub.ignored,
            }
            for file in files
        ]
        self.answer_json({"files": modes})

    def commit(self, name: str, revision: str, body: bytes) -> None:
        """Store the files of a commit, if it follows the newest one."""
        key, written = key_of(name, revision), []
        lines = [json.loads(line) for line in body.splitlines()]
        parent = next(line["value"].get("parentCommit") for line in lines if line["key"] == "header")
        if parent not in (None, self.hub.head(key)):
            self.answer_json({"error": "A commit has happened since. Please refresh and try again."}, 412)
            return
        files = dict(self.hub.repositories[key])
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
                written.append(value["path"])
            elif line["key"] == "deletedFile":
                del files[value["path"]]
            elif line["key"] == "deletedFolder":
                files = {file: content for file, content in files.items() if not file.startswith(value["path"])}
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.hub.objects[value["oid"]]
                written.append(value["path"])
        self.hub.commits.append(written)
        sha = commit_id(len(self.hub.commits))
        self.hub.repositories[key], self.hub.heads[key], self.hub.snapshots[sha] = files, sha, files
        self.answer_json({"commitUrl": f"{self.base}/{name}/commit/{sha}", "commitOid": sha, "success": True})

    def do_PUT(self) -> None:
        """Receive a large file."""
        if (begun := self.begun()) is None:
            return
        path, body = begun
        oid = path.rsplit("/", 1)[-1]
        if hashlib.sha256(body).hexdigest() != oid:
            self.answer(400)
            return
        self.hub.objects[oid] = body
        self.answer(200)

    def do_GET(self) -> None:
        """Describe a repository, list its files, or send one."""
        if (begun := self.begun()) is None:
            return
        path, _ = begun
        if path.startswith(("/api/models/", "/api/datasets/")):
            owner, name, *rest = path.removeprefix("/api/").split("/")[1:]
            self.describe(f"{owner}/{name}", [unquote(part) for part in rest])
            return
        name, _, rest = path.strip("/").partition("/resolve/")
        revision, _, file = rest.partition("/")
        files = self.files(name, unquote(revision))
        content = None if files is None else (files | self.tampered_of(files)).get(unquote(file))
        sha = revision if revision in self.hub.snapshots else self.hub.head(key_of(name, unquote(revision)))
        if content is None:
            self.answer(404, headers={"X-Error-Code": "EntryNotFound", "X-Repo-Commit": sha})
            return
        etag = hashlib.sha256(content).hexdigest()
        self.answer(200, content, {"ETag": f'"{etag}"', "X-Repo-Commit": sha, "Accept-Ranges": "bytes"})

    do_HEAD = do_GET

    def files(self, name: str, revision: str) -> dict[str, bytes] | None:
        """The files of a branch or commit; None if there is none."""
        if revision == commit_id(0):
            revision = MAIN
        return self.hub.snapshots.get(revision) or self.hub.repositories.get(key_of(name, revision))

    def tampered_of(self, files: dict[str, bytes]) -> dict[str, bytes]:
        """What takes the place of files."""
        return {file: content for file, content in self.hub.tampered.items() if file in files}

    def describe(self, repository: str, rest: list[str]) -> None:
        """The answers about a repository: what it is, its branches, its files."""
        what = rest[0] if rest else "revision"
        revision = rest[1] if len(rest) > 1 else MAIN
        files = self.files(repository, revision if what in ("revision", "tree") else MAIN)
        key = key_of(repository, revision)
        if repository not in self.hub.repositories:
            self.answer(404, headers={"X-Error-Code": "RepoNotFound"})
        elif what == "xet-write-token" and self.hub.xet_address is not None:
            self.answer_json({"casUrl": self.hub.xet_address, "exp": 1 << 40, "accessToken": "x"})
        elif what == "refs":
            names = [
                name.partition("@")[2] or MAIN for name in self.hub.repositories if name.split("@")[0] == repository
            ]
            branches = [{"name": name, "ref": f"refs/heads/{name}", "targetCommit": commit_id(0)} for name in names]
            self.answer_json({"branches": branches, "converts": [], "tags": []})
        elif files is None or what not in ("tree", "revision"):
            self.answer(404, headers={"X-Error-Code": "RevisionNotFound"})
        elif what == "tree":
            self.answer_json([entry(name, content) for name, content in (files | self.tampered_of(files)).items()])
        else:
            siblings = [{"rfilename": file} for file in files]
            sha = revision if revision in self.hub.snapshots else self.hub.head(key)
            self.answer_json({"id": repository, "sha": sha, "siblings": siblings, "tags": [], "private": False})

    @property
    def base(self) -> str:
        """The server's address."""
        return f"http://{self.headers['Host']}"


def entry(name: str, content: bytes) -> dict[str, Any]:
    """A file as a tree lists it: git's hash, and of large files the hash of their content."""
    described: dict[str, Any] = {"type": "file", "path": name, "size": len(content)}
    stored = content
    if is_large(name):
        oid = hashlib.sha256(content).hexdigest()
        stored = f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {len(content)}\n".encode()
        described["lfs"] = {"oid": oid, "size": len(content), "pointerSize": len(stored)}
    return described | {"oid": hashlib.sha1(b"blob %d\0" % len(stored) + stored).hexdigest()}


@contextmanager
def serving(port: int = 0) -> Generator[tuple[str, Hub]]:
    """A running server's address and what it holds."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", port), type("BoundHandler", (Handler,), {"hub": hub}))
    thread = threading.Thread(target=server.serve_forever, daemon=True, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


if __name__ == "__main__":
    with serving() as (address, _):
        print(f"export HF_ENDPOINT={address} HF_TOKEN={TOKEN} HF_HUB_DISABLE_XET=1", flush=True)
        threading.Event().wait()
