"""How many requests a second each access key may send."""

from __future__ import annotations

from limits import RateLimitItemPerSecond
from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter


class RateLimit:
    """A limit per access key and process: `requests` in any second."""

    def __init__(self, requests: int) -> None:
        self._item = RateLimitItemPerSecond(requests)
        self._limiter = SlidingWindowCounterRateLimiter(MemoryStorage())

    def allows(self, key_id: str) -> bool:
        """Counts a request; False where it is one too many."""
        return bool(self._limiter.hit(self._item, key_id))
