"""What runs where, asked over HTTP all the time: the demo's proof that does not come from towline."""

from __future__ import annotations

import http.client
import itertools
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

PAUSE_SECONDS = 0.1
COLUMNS = 60
NOBODY = "·"

Sample = Mapping[str, str]
"""The release that each instance answered with; empty where it did not answer."""


def ask(port: int) -> str:
    """The release that answers on a port of this machine, as `1.0`; empty where none does."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
    try:
        connection.request("GET", "/")
        words = connection.getresponse().read().decode().split()
    except (OSError, http.client.HTTPException):
        return ""
    finally:
        connection.close()
    return words[1] if len(words) > 1 and words[0] == "shop" else ""


@dataclass
class Watch:
    """Asks every instance again and again, in a thread, for as long as the block lasts."""

    ports: Mapping[str, int]
    samples: list[Sample] = field(default_factory=list)

    def __enter__(self) -> Watch:
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()
        self.samples.append(self.now())

    def now(self) -> Sample:
        """One round of questions."""
        return {name: ask(port) for name, port in self.ports.items()}

    def _work(self) -> None:
        while not self._end.is_set():
            self.samples.append(self.now())
            self._end.wait(PAUSE_SECONDS)


def fewest_answers(samples: Sequence[Sample]) -> int:
    """How many instances answered when the fewest did.

    >>> fewest_answers([{"a": "1.0", "b": "1.0"}, {"a": "", "b": "1.0"}])
    1
    """
    return min(sum(1 for release in sample.values() if release) for sample in samples)


def strips(samples: Sequence[Sample], paint: Callable[[str], str] = str, columns: int = COLUMNS) -> dict[str, str]:
    """For each instance a line of time: the first digit of the release that answered, a dot where none did.

    A column that stands for several rounds shows a round without an answer, if it has one: short outages count.

    >>> strips([{"a": "1.0"}, {"a": ""}, {"a": "2.0"}])
    {'a': '1·2'}
    >>> strips([{"a": "1.0"}, {"a": "1.0"}, {"a": ""}, {"a": "2.0"}], columns=2)
    {'a': '1·'}
    """
    width = min(columns, len(samples))
    bounds = [round(i * len(samples) / width) for i in range(width + 1)]
    drawn = {}
    for name in samples[0]:
        seen = [sample[name][:1] or NOBODY for sample in samples]
        spans = [seen[first:last] for first, last in itertools.pairwise(bounds)]
        drawn[name] = "".join(paint(NOBODY if NOBODY in span else span[-1]) for span in spans)
    return drawn
