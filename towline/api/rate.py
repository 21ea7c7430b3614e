"""How many requests a second each access key may send."""

from __future__ import annotations

import time
from collections.abc import Callable


class RateLimit:
    """A limit per access key and process, as a bucket of `requests` that fills up again within a second."""

    def __init__(self, requests: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._requests, self._clock = requests, clock
        self._buckets: dict[str, tuple[float, float]] = {}  # by key: what was left, and when that was

    def allows(self, key_id: str) -> bool:
        """Counts a request; False where it is one too many. `key_id` is a key that exists, so the table is bounded."""
        now = self._clock()
        left, then = self._buckets.get(key_id, (self._requests, now))
        left = min(self._requests, left + (now - then) * self._requests)
        is_allowed = left >= 1
        self._buckets[key_id] = (left - is_allowed, now)
        return is_allowed
