"""Several reads of the store at once: an object store answers each in some 20 ms."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

READERS = 32

In = TypeVar("In")
Out = TypeVar("Out")


def in_parallel(work: Callable[[In], Out], items: Iterable[In]) -> list[Out]:
    """Maps with several threads, in order."""
    every = list(items)
    if len(every) < 2:
        return [work(item) for item in every]
    with ThreadPoolExecutor(min(READERS, len(every)), thread_name_prefix="store") as pool:
        return list(pool.map(work, every))
