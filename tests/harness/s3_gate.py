"""A gate before an S3 server: remembers presigned requests, lets them wait, shuts them out like a firewall."""

from __future__ import annotations

import contextlib
import http.client
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

_HOP = {"connection", "transfer-encoding", "keep-alive"}


@dataclass
class Gate:
    """What passed. `presigned` are the paths of requests that carry their signature in the address."""

    url: str = ""
    presigned: list[str] = field(default_factory=list)
    is_shut: bool = False  # whether presigned requests are refused
    waiting: int = 0  # presigned requests that wait at a gate that is held
    _is_open: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self._is_open.set()

    def hold(self) -> None:
        """Presigned requests wait from now on."""
        self._is_open.clear()

    def let_go(self) -> None:
        self._is_open.set()

    def wait(self) -> None:
        """Returns when the gate is open."""
        self.waiting += 1
        self._is_open.wait()
        self.waiting -= 1

    @property
    def signatures(self) -> set[str]:
        """The secrets of the addresses that were used."""
        return {parse_qs(urlsplit(path).query)["X-Amz-Signature"][0] for path in self.presigned}


@contextlib.contextmanager
def s3_gate(upstream: str, address: str = "127.0.0.1") -> Iterator[Gate]:
    """The gate for the block, at an address of this machine."""
    gate = Gate()
    target = urlsplit(upstream)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _pass(self) -> None:
            size = int(self.headers.get("Content-Length", 0))
            body = self.rfile.read(size) if size else None
            if "X-Amz-Signature" in self.path:
                gate.presigned.append(self.path)
                gate.wait()
                if gate.is_shut:
                    self.send_error(503)
                    return
            if self.headers.get("Expect", "").lower() == "100-continue":
                del self.headers["Expect"]
            connection = http.client.HTTPConnection(target.hostname or "", target.port or 80, timeout=30)
            try:
                connection.request(self.command, self.path, body, dict(self.headers.items()))
                answer = connection.getresponse()
                data = answer.read()
            finally:
                connection.close()
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in _HOP and not (name.lower() == "content-length" and self.command != "HEAD"):
                    self.send_header(name, value)
            if self.command != "HEAD":
                self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _pass

        def log_message(self, *args: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, request: Any, client_address: Any) -> None:
            """Silent: who asked has gone meanwhile, which is what some tests are about."""

    server = Server((address, 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    gate.url = f"http://{address}:{server.server_address[1]}"
    try:
        yield gate
    finally:
        gate.let_go()
        server.shutdown()
        server.server_close()
        thread.join()
