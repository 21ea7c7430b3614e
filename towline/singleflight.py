"""Shares one read between concurrent callers, or for as long as its result is valid.

Cancelling a caller does not cancel the read for the others; a failed read is retried by the next caller.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T")


class KeptReads(Generic[T]):
    """Cached reads by key: keeps the `most` recently used results, each for `seconds` after the read started.

    A read in progress is always shared. A result older than `renew` seconds is returned while the next one is read.
    """

    def __init__(self, most: int, seconds: float = float("inf"), renew: float = float("inf")) -> None:
        self._most, self._seconds, self._renew = most, seconds, renew
        self._kept: OrderedDict[Hashable, tuple[float, asyncio.Task[T]]] = OrderedDict()
        self._renewals: dict[Hashable, asyncio.Task[T]] = {}

    async def read(self, key: Hashable, begin: Callable[[], Awaitable[T]], *, anew: bool = False) -> T:
        """The cached result, else that of `begin()`; `anew` ignores the cached one."""
        now = asyncio.get_running_loop().time()
        since, task = self._kept.get(key, (now, None))
        is_read, age = task is not None and task.done(), now - since
        if task is None or anew or (is_read and age >= self._seconds):
            task = (not anew and self._renewals.get(key)) or self._begin(key, begin, now)
        elif is_read and age >= self._renew and key not in self._renewals:
            self._renewals[key] = self._renewal(key, begin, now)
        if key in self._kept:
            self._kept.move_to_end(key)
        while len(self._kept) > self._most:
            self._kept.popitem(last=False)
        try:
            return await asyncio.shield(task)
        except Exception:
            self._forget(key, task)
            raise

    def _begin(self, key: Hashable, begin: Callable[[], Awaitable[T]], now: float) -> asyncio.Task[T]:
        task = asyncio.ensure_future(begin())
        task.add_done_callback(_look_at)
        self._kept[key] = now, task
        return task

    def _renewal(self, key: Hashable, begin: Callable[[], Awaitable[T]], now: float) -> asyncio.Task[T]:
        """A read whose result takes the place of the kept one; where it fails, that one stays until it is too old."""

        def replace(done: asyncio.Task[T]) -> None:
            del self._renewals[key]
            if not (done.cancelled() or done.exception()) and key in self._kept and self._kept[key][0] < now:
                self._kept[key] = now, done

        task = asyncio.ensure_future(begin())
        task.add_done_callback(replace)
        return task

    def _forget(self, key: Hashable, task: asyncio.Task[T]) -> None:
        if key in self._kept and self._kept[key][1] is task:
            del self._kept[key]


def _look_at(task: asyncio.Task[T]) -> None:
    """Retrieves the exception: asyncio warns if a failed read has no caller left to do so."""
    task.cancelled() or task.exception()


class SharedReads(Generic[T]):
    """Coalesced reads by key: at most one in progress and one queued, started at least `seconds` apart.

    Each caller gets a read that started after its call, so that the result includes every write acknowledged by then.
    """

    def __init__(self, seconds: float = 0.0) -> None:
        self._seconds = seconds
        self._began: dict[str, float] = {}
        self._under_way: dict[str, asyncio.Task[T]] = {}
        self._next: dict[str, asyncio.Task[T]] = {}

    async def read(self, key: str, begin: Callable[[], Awaitable[T]]) -> T:
        """The result of the next read, which calls `begin()`."""
        task = self._next.get(key)
        if task is None:
            task = self._next[key] = asyncio.create_task(self._after_the_other(key, begin))
            task.add_done_callback(_look_at)
        return await asyncio.shield(task)

    async def _after_the_other(self, key: str, begin: Callable[[], Awaitable[T]]) -> T:
        while before := self._under_way.get(key):
            await asyncio.wait({before})
        clock = asyncio.get_running_loop().time
        if (wait := self._began.get(key, 0.0) + self._seconds - clock()) > 0:
            await asyncio.sleep(wait)
        self._began[key] = clock()
        self._under_way[key] = self._next.pop(key)
        try:
            return await begin()
        finally:
            del self._under_way[key]
