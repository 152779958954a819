"""A model hub on this machine: as much of its interface as downloading needs."""

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"
_API = re.compile(
    r"/api/(models|datasets)/([^/]+/[^/]+)(?:/(revision|tree|paths-info)/([^/]+))?(.*)"
)
_FILE = re.compile(r"/(datasets/)?([^/]+/[^/]+)/resolve/[^/]+/(.+)")


class _Hub(BaseHTTPRequestHandler):
    root: Path

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def log_message(self, *_: Any) -> None:
        """Quiet."""

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        if match := _API.fullmatch(path):
            self._api(*match.groups())
        elif match := _FILE.fullmatch(path):
            kind = "datasets" if match[1] else "models"
            self._file(self.root / kind / match[2] / match[3])
        else:
            self._send(404, b"{}", {"X-Error-Code": "EntryNotFound"})

    def _api(self, kind: str, repo: str, what: str, _revision: str, below: str) -> None:
        folder = self.root / kind / repo
        if not folder.is_dir():
            self._send(404, b"{}", {"X-Error-Code": "RepoNotFound"})
            return
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        entries = [_entry(path, folder) for path in files]
        if what == "tree" and below:
            self._send(404, b"{}", {"X-Error-Code": "EntryNotFound"})
        elif what == "tree":
            self._json(entries)
        elif what == "paths-info":
            self._json([entry for entry in entries if entry["path"] in self._wanted()])
        else:
            names = [{"rfilename": entry["path"]} for entry in entries]
            facts = {"id": repo, "sha": COMMIT, "siblings": names, "tags": [], "private": False}
            self._json({**facts, "gated": False, "disabled": False, "downloads": 0, "likes": 0})

    def _wanted(self) -> list[str]:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        if body.startswith("{"):
            paths: list[str] = json.loads(body)["paths"]
            return paths
        return parse_qs(body).get("paths", [])

    def _file(self, path: Path) -> None:
        if not path.is_file():
            self._send(404, b"", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT})
            return
        content = path.read_bytes()
        etag = f'"{hashlib.sha256(content).hexdigest()}"'
        self._send(200, content, {"ETag": etag, "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"})

    def _json(self, value: Any) -> None:
        self._send(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _send(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


def _entry(path: Path, folder: Path) -> dict[str, Any]:
    content = path.read_bytes()
    oid = hashlib.sha1(content, usedforsecurity=False).hexdigest()
    name = path.relative_to(folder).as_posix()
    return {"type": "file", "path": name, "size": len(content), "oid": oid}


@contextmanager
def serving(root: Path) -> Iterator[str]:
    """The address of a hub that holds `root/models/owner/name` and `root/datasets/owner/name`."""
    hub = type("Hub", (_Hub,), {"root": root})
    server = ThreadingHTTPServer(("127.0.0.1", 0), hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
