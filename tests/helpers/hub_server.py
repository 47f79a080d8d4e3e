"""A loopback server that speaks the Hub's upload and download routes, for one user and in memory."""

import base64
import hashlib
import json
import threading
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlparse

TOKEN = "hf_loopback"


class Hub:
    """What the server holds."""

    def __init__(self) -> None:
        self.repositories: dict[str, dict[str, bytes]] = {}
        self.commits: list[list[str]] = []
        self.objects: dict[str, bytes] = {}
        self.private: dict[str, bool] = {}
        self.xet_address: str | None = None
        """The address of the storage service, which is told to clients; None: there is none."""


def commit_id(count: int) -> str:
    """The hash of the commit with this number."""
    return hashlib.sha1(str(count).encode()).hexdigest()


class Handler(BaseHTTPRequestHandler):
    """The routes; unknown ones answer 404."""

    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002
        """Keep quiet."""

    def answer(self, status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
        """Send a response; a HEAD request gets the headers alone."""
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

    def do_POST(self) -> None:
        """Create a repository, announce files, commit."""
        path, body = unquote(urlparse(self.path).path), self.body()
        if path == "/api/validate-yaml":
            self.answer_json({"errors": [], "warnings": []})
        elif self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self.answer_json({"error": "Invalid credentials"}, 401)
        elif path == "/api/repos/create":
            given = json.loads(body)
            name = f"{given['organization']}/{given['name']}"
            self.hub.repositories.setdefault(name, {})
            self.hub.private[name] = bool(given.get("private"))
            self.answer_json({"url": f"{self.base}/{name}", "id": name})
        elif "/preupload/" in path:
            files = json.loads(body)["files"]
            modes = [
                {
                    "path": file["path"],
                    "uploadMode": "lfs" if file["path"].endswith(".safetensors") else "regular",
                    "shouldIgnore": False,
                }
                for file in files
            ]
            self.answer_json({"files": modes})
        elif path.endswith("/info/lfs/objects/batch"):
            objects = [
                {
                    "oid": wanted["oid"],
                    "size": wanted["size"],
                    "actions": {"upload": {"href": f"{self.base}/lfs/{wanted['oid']}", "header": {}}},
                }
                for wanted in json.loads(body)["objects"]
            ]
            self.answer_json({"transfer": "basic", "objects": objects})
        elif "/commit/" in path:
            self.commit(path.removeprefix("/api/models/").split("/commit/")[0], body)
        else:
            self.answer_json({"error": path}, 404)

    def commit(self, name: str, body: bytes) -> None:
        """Store the files of a commit."""
        written = []
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if line["key"] == "file":
                self.hub.repositories[name][value["path"]] = base64.b64decode(value["content"])
                written.append(value["path"])
            elif line["key"] == "deletedFile":
                del self.hub.repositories[name][value["path"]]
            elif line["key"] == "lfsFile":
                self.hub.repositories[name][value["path"]] = self.hub.objects[value["oid"]]
                written.append(value["path"])
        self.hub.commits.append(written)
        sha = commit_id(len(self.hub.commits))
        self.answer_json({"commitUrl": f"{self.base}/{name}/commit/{sha}", "commitOid": sha, "success": True})

    def do_PUT(self) -> None:
        """Receive a large file."""
        body = self.body()
        self.hub.objects[self.path.rsplit("/", 1)[-1]] = body
        self.answer(200)

    def do_GET(self) -> None:
        """Describe a repository, list its files, or send one."""
        path = unquote(urlparse(self.path).path)
        sha = commit_id(len(self.hub.commits))
        if path.startswith(("/api/models/", "/api/datasets/")):
            owner, name, *rest = path.removeprefix("/api/").split("/")[1:]
            files = self.hub.repositories.get(f"{owner}/{name}")
            if files is None:
                self.answer(404, headers={"X-Error-Code": "RepoNotFound"})
            elif rest and rest[0] == "xet-write-token" and self.hub.xet_address is not None:
                self.answer_json({"casUrl": self.hub.xet_address, "exp": 1 << 40, "accessToken": "x"})
            elif rest and rest[0] == "xet-write-token":
                self.answer(404)
            elif rest and rest[0] == "tree":
                tree = [
                    {"type": "file", "path": file, "size": len(content), "oid": sha} for file, content in files.items()
                ]
                self.answer_json(tree)
            else:
                siblings = [{"rfilename": file} for file in files]
                self.answer_json(
                    {"id": f"{owner}/{name}", "sha": sha, "siblings": siblings, "tags": [], "private": False}
                )
            return
        name, _, rest = path.strip("/").partition("/resolve/")
        file = rest.partition("/")[2]
        content = self.hub.repositories.get(name, {}).get(file)
        if content is None:
            self.answer(404, headers={"X-Error-Code": "EntryNotFound", "X-Repo-Commit": sha})
            return
        etag = hashlib.sha256(content).hexdigest()
        self.answer(200, content, {"ETag": f'"{etag}"', "X-Repo-Commit": sha, "Accept-Ranges": "bytes"})

    do_HEAD = do_GET

    @property
    def base(self) -> str:
        """The server's address."""
        return f"http://{self.headers['Host']}"


@contextmanager
def serving() -> Generator[tuple[str, Hub]]:
    """A running server's address and what it holds."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("BoundHandler", (Handler,), {"hub": hub}))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
