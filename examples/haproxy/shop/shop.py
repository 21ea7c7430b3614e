"""The shop: a web server that says which release answers, and on which host.

It ends at once on SIGTERM, as many services do: a request that it still had is lost. `/health` is 200, or 404 while the
host is out of service: while there is the file that scripts/traffic.py makes and removes.
"""

import signal
import socket
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

HERE = Path(__file__).parent
OUT_OF_SERVICE = Path("/var/lib/shop/out-of-service")
PAGE_SECONDS = 0.05


class Shop(BaseHTTPRequestHandler):
    """Answers every GET with one line."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body leave in one packet

    def do_GET(self) -> None:
        """The health, or the page."""
        if self.path == "/health":
            self.answer(404 if OUT_OF_SERVICE.exists() else 200, "")
            return
        time.sleep(PAGE_SECONDS)
        try:
            page = (HERE / "page.txt").read_text()
            self.answer(200, page.format(release=(HERE / "release").read_text().strip(), host=socket.gethostname()))
        except (KeyError, ValueError) as error:
            self.answer(500, f"page.txt: {error!r}\n")

    def answer(self, status: int, text: str) -> None:
        """Sends the whole answer."""
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Keeps quiet."""


class Server(ThreadingHTTPServer):
    """With room for the connections that come at the same moment."""

    request_queue_size = 128


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    Server(("", 8080), Shop).serve_forever()
