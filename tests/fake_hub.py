"""A server that answers as the Hugging Face hub does, with files from memory."""

import hashlib
import json
import re
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType

_PIECE = 1 << 20
_LARGE = (".safetensors", ".bin", ".ckpt")
"""Files that the hub keeps apart, under their SHA-256; of others it has git's SHA-1."""
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class FakeHub:
    """Repositories by name, each with its files; what was asked is kept.

    gated: names that want a token. broken: files that arrive with other bytes than were promised.
    slow: seconds between pieces of a file.
    """

    repos: dict[str, dict[str, bytes]] = field(default_factory=dict)
    gated: set[str] = field(default_factory=set)
    broken: set[str] = field(default_factory=set)
    slow: float = 0.0
    asked: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)

    def __enter__(self) -> "FakeHub":
        hub = self

        class Handler(_Handler):
            server_hub = hub

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def ranges(self) -> list[str]:
        """What parts of files were asked for."""
        return [h["range"] for method, _, h in self.asked if method == "GET" and "range" in h]


class _Handler(BaseHTTPRequestHandler):
    server_hub: FakeHub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_args: object) -> None:
        return

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        hub = self.server_hub
        headers = {name.lower(): value for name, value in self.headers.items()}
        hub.asked.append((self.command, self.path, headers))
        path = self.path.partition("?")[0]
        info = re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/revision/([^/]+))?", path)
        file = re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path)
        tree = re.fullmatch(r"/api/models/([^/]+/[^/]+)/tree/([^/]+)", path)
        found = info or file or tree
        if found is None or found[1] not in hub.repos:
            self._refuse(401, "RepoNotFound")
        elif found[1] in hub.gated and headers.get("authorization") != "Bearer good":
            self._refuse(401, "GatedRepo")
        elif found[2] not in (None, "main", COMMIT):
            self._refuse(404, "RevisionNotFound")
        elif info is not None:
            self._info(info[1])
        elif tree is not None:
            self._tree(tree[1])
        else:
            assert file is not None
            self._file(hub.repos[file[1]].get(file[3]), file[3], headers.get("range", ""))

    def _refuse(self, status: int, code: str) -> None:
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _info(self, repo: str) -> None:
        siblings = []
        for name, data in self.server_hub.repos[repo].items():
            facts: dict[str, object] = {"rfilename": name, "size": len(data), "blobId": "0" * 40}
            if name.endswith(_LARGE):
                digest = hashlib.sha256(data).hexdigest()
                facts["lfs"] = {"sha256": digest, "size": len(data), "pointerSize": 134}
            siblings.append(facts)
        self._json({"id": repo, "sha": COMMIT, "siblings": siblings})

    def _tree(self, repo: str) -> None:
        entries = []
        for name, data in self.server_hub.repos[repo].items():
            facts: dict[str, object] = {"type": "file", "path": name, "size": len(data)}
            facts["oid"] = hashlib.sha1(data).hexdigest()
            if name.endswith(_LARGE):
                digest = hashlib.sha256(data).hexdigest()
                facts["lfs"] = {"oid": digest, "size": len(data), "pointerSize": 134}
            entries.append(facts)
        self._json(entries)

    def _json(self, content: object) -> None:
        body = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _file(self, data: bytes | None, name: str, wanted: str) -> None:
        if data is None:
            self._refuse(404, "EntryNotFound")
            return
        first = int(wanted.removeprefix("bytes=").partition("-")[0] or 0) if wanted else 0
        self.send_response(206 if first else 200)
        digest = hashlib.sha256 if name.endswith(_LARGE) else hashlib.sha1
        self.send_header("ETag", f'"{digest(data).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(data) - first))
        if first:
            self.send_header("Content-Range", f"bytes {first}-{len(data) - 1}/{len(data)}")
        self.end_headers()
        if self.command == "HEAD":
            return
        sent = bytes(len(data)) if name in self.server_hub.broken else data
        for start in range(first, len(sent), _PIECE):
            self.wfile.write(sent[start : start + _PIECE])
            time.sleep(self.server_hub.slow)
