"""One read for many that ask at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class SharedReads(Generic[T]):
    """Reads by key: one is under way, one is next, however many ask.

    Whoever asks gets a read that began after that, so that a write which had been acknowledged is always in it.
    """

    def __init__(self) -> None:
        self._under_way: dict[str, asyncio.Task[T]] = {}
        self._next: dict[str, asyncio.Task[T]] = {}

    async def read(self, key: str, begin: Callable[[], Awaitable[T]]) -> T:
        """What `begin()` of the next read answers, or raises; a caller that is cancelled ends nobody else's."""
        task = self._next.get(key)
        if task is None:
            task = self._next[key] = asyncio.create_task(self._after_the_other(key, begin))
            task.add_done_callback(lambda done: done.cancelled() or done.exception())  # it may have no caller left
        return await asyncio.shield(task)

    async def _after_the_other(self, key: str, begin: Callable[[], Awaitable[T]]) -> T:
        while before := self._under_way.get(key):
            await asyncio.wait({before})
        self._under_way[key] = self._next.pop(key)
        try:
            return await begin()
        finally:
            del self._under_way[key]
