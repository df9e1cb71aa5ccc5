"""Weights folders for tests, and a hub on this machine: the few addresses that fetching asks for, over real sockets."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import yaml

from wsi_features.encode.card import EncoderCard

COMMIT = "0123456789abcdef0123456789abcdef01234567"
TOKEN = "hf_planted_token_that_must_not_be_seen"  # noqa: S105 - a planted one


@dataclass
class Repository:
    """What one repository holds, and who may have it."""

    files: dict[str, bytes]
    licence: str = "apache-2.0"
    gated: bool = False
    cut_once: bool = False
    "The first answer with a file ends in its middle."
    lie: bool = False
    "The hub states another SHA-256 than the file has."


@dataclass
class Hub:
    """Repositories by name, and every request with the login that came with it."""

    repositories: dict[str, Repository]
    address: str = ""
    requests: list[tuple[str, str, str]] = field(default_factory=list)


@contextmanager
def serving(repositories: dict[str, Repository]) -> Iterator[Hub]:
    """The hub at `address` while the block lasts."""
    hub = Hub(repositories)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    hub.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Quiet."""

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        path = self.path.partition("?")[0]
        login = self.headers.get("Authorization", "")
        self.hub.requests.append((self.command, path, login))
        if found := re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/revision/(.+))?", path):
            self._information(found[1], found[2])
        elif found := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            self._file(*found.groups(), body=body, login=login)
        else:
            self._refusal(404, "")

    def _information(self, name: str, revision: str | None) -> None:
        repository = self.hub.repositories.get(name)
        if repository is None:
            return self._refusal(401, "RepoNotFound")
        if revision not in (None, "main", COMMIT):
            return self._refusal(404, "RevisionNotFound")
        siblings = [_sibling(file, content, repository.lie) for file, content in repository.files.items()]
        facts = {"id": name, "modelId": name, "sha": COMMIT, "private": False, "siblings": siblings, "tags": []}
        facts |= {"gated": "manual" if repository.gated else False, "cardData": {"license": repository.licence}}
        return self._send(200, json.dumps(facts).encode(), {"Content-Type": "application/json"})

    def _file(self, name: str, revision: str, file: str, *, body: bool, login: str) -> None:
        repository = self.hub.repositories.get(name)
        if repository is None:
            return self._refusal(401, "RepoNotFound")
        if repository.gated and login != f"Bearer {TOKEN}":
            return self._refusal(403, "GatedRepo")
        if revision not in ("main", COMMIT) or file not in repository.files:
            return self._refusal(404, "EntryNotFound")
        content = repository.files[file]
        headers = {
            "X-Repo-Commit": COMMIT,
            "ETag": f'"{hashlib.sha256(content).hexdigest()}"',
            "Accept-Ranges": "bytes",
        }
        start = 0
        if found := re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", "")):
            start = int(found[1])
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        part = content[start:]
        if not body:
            return self._send(200, b"", headers | {"Content-Length": str(len(part))})
        if repository.cut_once:
            repository.cut_once = False
            self._send(206 if start else 200, part[: len(part) // 2], headers | {"Content-Length": str(len(part))})
            self.close_connection = True
            return None
        return self._send(206 if start else 200, part, headers)

    def _refusal(self, code: int, why: str) -> None:
        self._send(code, b"", {"X-Error-Code": why, "X-Error-Message": why})

    def _send(self, code: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(code)
        for name, value in ({"Content-Length": str(len(body))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


def _sibling(file: str, content: bytes, lie: bool) -> dict[str, Any]:
    digest = "0" * 64 if lie else hashlib.sha256(content).hexdigest()
    return {
        "rfilename": file,
        "size": len(content),
        "lfs": {"size": len(content), "sha256": digest, "pointerSize": 134},
    }


@pytest.fixture(scope="session")
def serving_hub() -> Callable[[dict[str, Repository]], AbstractContextManager[Hub]]:
    """`with serving_hub({"owner/name": repository(...)}) as hub`."""
    return serving


@pytest.fixture
def repository() -> type[Repository]:
    """Makes what one repository holds."""
    return Repository


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The weights folder that the commands use; it is not there yet."""
    monkeypatch.setenv("WSI_WEIGHTS", str(tmp_path / "weights"))
    return tmp_path / "weights"


@pytest.fixture
def card_file(tiny_card: Callable[..., EncoderCard], tmp_path: Path) -> Callable[..., Path]:
    """Writes the card of the tiny network to a file, with fields changed."""

    def written(**changes: Any) -> Path:
        path = tmp_path / "tiny.yaml"
        path.write_text(yaml.safe_dump(tiny_card(**changes).model_dump(mode="json")))
        return path

    return written
