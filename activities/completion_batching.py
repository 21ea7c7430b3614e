"""Counts the instances that a worker has in flight, and sends their ends to Temporal in groups.

After each activity that ends Temporal runs a task of the shard, which costs a round trip through its database and a
worker. Ends that are sent together share one.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator

MOMENT_SECONDS = 0.1
FEW = 4
"""With fewer in flight an end is sent at once: the next instance, or a user, may be waiting for it."""


class InFlight:
    """The instances at work in one worker."""

    def __init__(self) -> None:
        """None yet."""
        self.count = 0
        self._moment = asyncio.Event()
        self._moment.set()  # it is over: the next end begins another

    @contextlib.contextmanager
    def one_more(self) -> Iterator[None]:
        """Counts an instance for as long as the block."""
        self.count += 1
        try:
            yield
        finally:
            self.count -= 1
            if self.count < FEW:
                self._moment.set()

    async def end_together(self) -> None:
        """Waits briefly for other ends. A cancellation ends the wait and is not raised: what is at
        its end must not be reported as cancelled."""
        if self.count < FEW:
            return
        if self._moment.is_set():
            self._moment = asyncio.Event()
            asyncio.get_running_loop().call_later(MOMENT_SECONDS, self._moment.set)
        with contextlib.suppress(asyncio.CancelledError):
            await self._moment.wait()
