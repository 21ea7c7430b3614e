"""Calls that travel together: one group is under way, whatever comes meanwhile is the next."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

In = TypeVar("In")
Out = TypeVar("Out")


class Grouping(Generic[In, Out]):
    """Sends items in groups, one group at a time, and gives each caller the answer to its own item.

    `send` answers a group item by item; what it raises, every caller of that group gets. A group has as many items as
    wait, up to `most` by `size`; an item that is larger than that travels alone.
    """

    def __init__(
        self, send: Callable[[Sequence[In]], Awaitable[Sequence[Out]]], *, most: int, size: Callable[[In], int]
    ) -> None:
        self._send, self._most, self._size = send, most, size
        self._waiting: deque[tuple[In, asyncio.Future[Out]]] = deque()
        self._sender: asyncio.Task[None] | None = None

    async def call(self, item: In) -> Out:
        """The answer to this item. A caller that is cancelled takes back what has not been sent yet, and only that."""
        answer: asyncio.Future[Out] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, answer))
        if self._sender is None:
            self._sender = asyncio.create_task(self._send_all())
        return await answer

    async def _send_all(self) -> None:
        try:
            while group := self._next_group():
                await self._send_group(group)
        finally:
            self._sender = None

    def _next_group(self) -> list[tuple[In, asyncio.Future[Out]]]:
        group: list[tuple[In, asyncio.Future[Out]]] = []
        size = 0
        while self._waiting:
            item, answer = self._waiting[0]
            size += 0 if answer.done() else self._size(item)
            if group and size > self._most:
                break
            self._waiting.popleft()
            if not answer.done():
                group.append((item, answer))
        return group

    async def _send_group(self, group: Sequence[tuple[In, asyncio.Future[Out]]]) -> None:
        try:
            given = await self._send([item for item, _ in group])
        except Exception as error:
            for _, answer in group:
                if not answer.done():
                    answer.set_exception(error)
            return
        for (_, answer), value in zip(group, given, strict=True):
            if not answer.done():
                answer.set_result(value)
