"""A gate before an S3 server: remembers the presigned requests that pass, and can shut them out like a firewall."""

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

    @property
    def signatures(self) -> set[str]:
        """The secrets of the addresses that were used."""
        return {parse_qs(urlsplit(path).query)["X-Amz-Signature"][0] for path in self.presigned}


@contextlib.contextmanager
def s3_gate(upstream: str) -> Iterator[Gate]:
    """The gate for the block."""
    gate = Gate()
    target = urlsplit(upstream)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _pass(self) -> None:
            size = int(self.headers.get("Content-Length", 0))
            body = self.rfile.read(size) if size else None
            if "X-Amz-Signature" in self.path:
                gate.presigned.append(self.path)
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

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    gate.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield gate
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
