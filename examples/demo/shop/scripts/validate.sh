#!/bin/sh
# Asks the web server until this release answers. One that has ended will not: then its last words are the reason.
root="${TOWLINE_ROOT:-}"
exec python3 - "${root:-/}" <<'PYTHON'
import http.client
import json
import sys
import time
from pathlib import Path

root = Path(sys.argv[1])
port = json.loads((root / "etc/shop/shop.json").read_text())["port"]
version = json.loads((root / "srv/shop/release.json").read_text())["version"]
pid = int((root / "run/shop.pid").read_text())


def answer():
    try:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
        connection.request("GET", "/")
        return connection.getresponse().read().decode().strip()
    except OSError:
        return ""


def is_running():
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except OSError:
        return False


good = 0
end = time.monotonic() + 10
while good < 5 and is_running() and time.monotonic() < end:
    said = answer()
    good = good + 1 if said.startswith(f"shop {version} ") else 0
    time.sleep(0.25)
if good < 5:
    print((root / "var/log/shop.log").read_text().strip() or "the shop does not answer", file=sys.stderr)
    sys.exit(1)
print(f"five answers in a row: {said}")
PYTHON
