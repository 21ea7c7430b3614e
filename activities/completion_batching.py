"""How many instances a worker has in flight, and their ends in groups.

At each end that Temporal hears of it asks the shard what comes next: a round through its database and a worker. Ends
that come within a moment cost one such round together.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator

MOMENT_SECONDS = 0.1
FEW = 4
"""With fewer others at work an end waits for nobody: it may be what the next instance, or a person, waits for."""


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
        """Waits for the ends of others, a moment at most. A cancellation ends the wait and is not raised: what is at
        its end must not be reported as cancelled."""
        if self.count < FEW:
            return
        if self._moment.is_set():
            self._moment = asyncio.Event()
            asyncio.get_running_loop().call_later(MOMENT_SECONDS, self._moment.set)
        with contextlib.suppress(asyncio.CancelledError):
            await self._moment.wait()
