"""One read for many that ask: at the same time, or while its answer is good.

A caller that is cancelled ends the read for nobody else, and a read that fails is tried again by who asks next.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T")


class KeptReads(Generic[T]):
    """Reads by key whose answers are kept: the last `most` of them, each for `seconds` after it was asked for.

    A read that is under way is shared in any case.
    """

    def __init__(self, most: int, seconds: float = float("inf")) -> None:
        self._most, self._seconds = most, seconds
        self._kept: OrderedDict[Hashable, tuple[float, asyncio.Task[T]]] = OrderedDict()

    async def read(self, key: Hashable, begin: Callable[[], Awaitable[T]], *, anew: bool = False) -> T:
        """The kept answer, or what `begin()` answers or raises; `anew`: the kept one is no good any more."""
        now = asyncio.get_running_loop().time()
        since, task = self._kept.get(key, (now, None))
        if task is None or anew or (task.done() and now - since >= self._seconds):
            task = asyncio.ensure_future(begin())
            task.add_done_callback(_look_at)
            self._kept[key] = now, task
        self._kept.move_to_end(key)
        while len(self._kept) > self._most:
            self._kept.popitem(last=False)
        try:
            return await asyncio.shield(task)
        except Exception:
            if self._kept.get(key, (now, None))[1] is task:
                del self._kept[key]
            raise


def _look_at(task: asyncio.Task[T]) -> None:
    """A failed read may have no caller left, of which asyncio would complain."""
    task.cancelled() or task.exception()


class SharedReads(Generic[T]):
    """Reads by key: one is under way, one is next, however many ask; they begin at least `seconds` after one another.

    Whoever asks gets a read that began after that, so that a write which had been acknowledged is always in it.
    """

    def __init__(self, seconds: float = 0.0) -> None:
        self._seconds = seconds
        self._began: dict[str, float] = {}
        self._under_way: dict[str, asyncio.Task[T]] = {}
        self._next: dict[str, asyncio.Task[T]] = {}

    async def read(self, key: str, begin: Callable[[], Awaitable[T]]) -> T:
        """What `begin()` of the next read answers, or raises."""
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
