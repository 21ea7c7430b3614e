"""A server that stands for GitHub's API: tarballs behind a redirect to another host, as the real one has them."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class FakeGitHub:
    """What it serves, and what it was asked. `statuses` are answered first, one per request, before the tarball is."""

    tarballs: dict[str, bytes] = field(default_factory=dict)  # "owner/repo@commit" -> bytes
    token: str = ""  # what it asks for; empty: nothing
    statuses: list[int] = field(default_factory=list)
    asked: list[tuple[str, str]] = field(default_factory=list)  # (path, Authorization) at the API
    downloads: list[tuple[str, str]] = field(default_factory=list)  # the same at the other host
    cut: bool = False  # whether the body ends early
    url: str = ""


@contextlib.contextmanager
def fake_github() -> Iterator[FakeGitHub]:
    """The server for as long as the block; the second host is another port."""
    state = FakeGitHub()
    with _serving(state, _download) as files, _serving(state, _api(files)) as api:
        state.url = api
        yield state


def _api(files: str) -> Any:
    def answer(state: FakeGitHub, request: BaseHTTPRequestHandler) -> None:
        authorization = request.headers.get("Authorization", "")
        state.asked.append((request.path, authorization))
        _, _, owner, repository, _, commit = request.path.split("/")
        if state.statuses:
            _reply(request, state.statuses.pop(0))
        elif state.token and authorization != f"Bearer {state.token}":
            _reply(request, 404 if not authorization else 401)
        elif f"{owner}/{repository}@{commit}" not in state.tarballs:
            _reply(request, 404)
        else:
            _reply(request, 302, location=f"{files}/{owner}/{repository}@{commit}")

    return answer


def _download(state: FakeGitHub, request: BaseHTTPRequestHandler) -> None:
    state.downloads.append((request.path, request.headers.get("Authorization", "")))
    data = state.tarballs[request.path.lstrip("/")]
    request.send_response(200)
    request.send_header("Content-Length", str(len(data)))
    request.end_headers()
    request.wfile.write(data[: len(data) // 2] if state.cut else data)


def _reply(request: BaseHTTPRequestHandler, status: int, **headers: str) -> None:
    request.send_response(status)
    for name, value in {**headers, "content-length": "0"}.items():
        request.send_header(name, value)
    request.end_headers()


@contextlib.contextmanager
def _serving(state: FakeGitHub, answer: Any) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer(state, self)

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
