"""Takes this host out of service, or puts it back: `traffic.py drain`, `traffic.py restore`.

The host says so by itself, in its health check; each balancer is then asked how it sees the host, until it has noticed:
out of service and without a request left, or in service. So nobody has to guess how long a balancer takes, and hosts
may only read there. `/etc/shop/balancers` has the address of each balancer's state, one a line, such as
http://10.0.0.2:8404/;csv - an empty file says that there is none. Ends with 1 where a balancer has not noticed in time.
"""

import csv
import socket
import sys
import time
import urllib.request
from pathlib import Path

BALANCERS = Path("/etc/shop/balancers")
OUT_OF_SERVICE = Path("/var/lib/shop/out-of-service")
PATIENCE_SECONDS = 45
PAUSE_SECONDS = 0.1
STEADY = 2
"""A request may be on its way to the host at the moment of the first look."""


def main(what: str) -> None:
    """Does it, and waits."""
    if not BALANCERS.exists():
        sys.exit(f"{BALANCERS} is missing: write the address of each balancer's state there, one a line")
    if what == "drain":
        OUT_OF_SERVICE.parent.mkdir(parents=True, exist_ok=True)
        OUT_OF_SERVICE.touch()
    else:
        OUT_OF_SERVICE.unlink(missing_ok=True)
    ends = time.monotonic() + PATIENCE_SECONDS
    for url in BALANCERS.read_text().split():
        wait(what, url, ends)


def wait(what: str, url: str, ends: float) -> None:
    """Until the balancer at this address has noticed. Ends the script with the reason where it has not in time."""
    steady = 0
    while steady < STEADY:
        done, said = look(what, url)
        steady = steady + 1 if done else 0
        if not done and time.monotonic() > ends:
            sys.exit(f"{what}: {url} does not say so after {PATIENCE_SECONDS} s: {said}")
        time.sleep(PAUSE_SECONDS)
    print(f"{what}: {url}: {said}")


def look(what: str, url: str) -> tuple[bool, str]:
    """Whether the balancer sees this host as it should be, and how it sees it."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - an administrator's own file
            lines = answer.read().decode().lstrip("# ").splitlines()
    except OSError as error:
        return False, str(error)
    rows = [row for row in csv.DictReader(lines) if row["svname"] == socket.gethostname()]
    if not rows:
        return False, f"there is no server {socket.gethostname()}"
    said = ", ".join(f"{row['pxname']} {row['status']}, {row['scur']} requests" for row in rows)
    return all(is_out(row) if what == "drain" else is_in(row) for row in rows), said


def is_out(row: dict[str, str]) -> bool:
    """Whether it gets no new requests, and has none."""
    return row["status"].startswith(("NOLB", "DOWN", "DRAIN", "MAINT")) and row["scur"] == row["qcur"] == "0"


def is_in(row: dict[str, str]) -> bool:
    """Whether it gets requests. Who was put aside at the balancer by a person is left to that person."""
    return row["status"].startswith(("UP", "DRAIN", "MAINT"))


if __name__ == "__main__":
    main(sys.argv[1])
