"""The shop: a small web server that says which release runs on which host.

Usage: shop.py ROOT. Reads its release beside itself and the host's settings in ROOT/etc/shop/shop.json.
"""

import json
import signal
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

HERE = Path(__file__).parent


class Shop(BaseHTTPRequestHandler):
    """Answers every GET with one line."""

    line = b""

    def do_GET(self) -> None:
        """Says what runs here."""
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(self.line)))
        self.end_headers()
        self.wfile.write(self.line)

    def log_message(self, *_: object) -> None:
        """Keeps quiet: only what goes wrong is logged."""


def main(root: str) -> None:
    """Serves until SIGTERM; ends with a message where a setting is missing that this release needs."""
    release = json.loads((HERE / "release.json").read_text())
    file = Path(root, "etc/shop/shop.json")
    settings = json.loads(file.read_text())
    for name in release["needs"]:
        if name not in settings:
            sys.exit(f"shop {release['version']} cannot start: /etc/shop/shop.json has no {name!r}")
    Shop.line = f"shop {release['version']} on {settings['host']}\n".encode()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    ThreadingHTTPServer(("127.0.0.1", settings["port"]), Shop).serve_forever()


if __name__ == "__main__":
    main(sys.argv[1])
