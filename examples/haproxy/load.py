"""A steady load of HTTP requests, every one of them counted: `python load.py http://10.0.0.2/ --rate 100`.

Goes on until Ctrl-C, SIGTERM, or for `--seconds`; then says how many there were, how many failed and why, and who
answered. Half of the connections are kept open, half are new for each request. A request that got no whole answer with
status 200 within the time limit has failed; none is tried again. The exit status is 1 where one failed.
"""

from __future__ import annotations

import argparse
import collections
import http.client
import json
import signal
import threading
import time
from dataclasses import dataclass, field
from urllib.parse import urlsplit

TIMEOUT_SECONDS = 5.0


@dataclass
class Count:
    """What came of the requests. `answers` by the first two words of each page, such as `shop 1.0`."""

    requests: int = 0
    failed: int = 0
    slowest_ms: int = 0
    answers: collections.Counter[str] = field(default_factory=collections.Counter)
    failures: collections.Counter[str] = field(default_factory=collections.Counter)

    def add(self, seconds: float, answer: str, failure: str) -> None:
        """One more request."""
        self.requests += 1
        self.slowest_ms = max(self.slowest_ms, round(seconds * 1000))
        if failure:
            self.failed += 1
            self.failures[failure] += 1
        else:
            self.answers[answer] += 1


@dataclass
class Load:
    """`rate` requests a second over `connections` connections, from `run` until `end` is set."""

    url: str
    rate: float
    connections: int
    count: Count = field(default_factory=Count)
    end: threading.Event = field(default_factory=threading.Event)

    def run(self, seconds: float | None) -> Count:
        """Asks until the end, at most for so long."""
        lock = threading.Lock()
        workers = [threading.Thread(target=self._work, args=(n, lock)) for n in range(self.connections)]
        for worker in workers:
            worker.start()
        self.end.wait(seconds)
        self.end.set()
        for worker in workers:
            worker.join()
        return self.count

    def _work(self, number: int, lock: threading.Lock) -> None:
        """One connection's requests. Each has its moment; one that comes late is asked late, and none is left out."""
        address = urlsplit(self.url)
        connection = http.client.HTTPConnection(address.netloc, timeout=TIMEOUT_SECONDS)
        moment = time.monotonic() + number / self.rate
        while not self.end.wait(max(0.0, moment - time.monotonic())):
            begun = time.monotonic()
            answer, failure = ask(connection, address.path or "/")
            if failure or number % 2:
                connection.close()
            with lock:
                self.count.add(time.monotonic() - begun, answer, failure)
            moment += self.connections / self.rate
        connection.close()


def ask(connection: http.client.HTTPConnection, path: str) -> tuple[str, str]:
    """The first two words of the page, or what went wrong."""
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        text = response.read().decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        return "", f"{type(error).__name__}: {error}"
    return (" ".join(text.split()[:2]), "") if response.status == 200 else ("", f"status {response.status}")


def main() -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("url")
    parser.add_argument("--rate", type=float, default=100, help="requests a second (default 100)")
    parser.add_argument("--connections", type=int, default=20, help="(default 20)")
    parser.add_argument("--seconds", type=float, help="how long (default: until Ctrl-C)")
    parser.add_argument("--json", action="store_true", help="the counts as JSON")
    options = parser.parse_args()
    load = Load(options.url, options.rate, options.connections)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: load.end.set())
    count = load.run(options.seconds)
    print(json.dumps(vars(count)) if options.json else told(count))
    return 1 if count.failed else 0


def told(count: Count) -> str:
    """The counts for people."""
    lines = [f"{count.requests} requests, {count.failed} failed; the slowest took {count.slowest_ms} ms"]
    lines += [f"  {number:6} answered {answer}" for answer, number in count.answers.most_common()]
    lines += [f"  {number:6} failed: {failure}" for failure, number in count.failures.most_common()]
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main())
