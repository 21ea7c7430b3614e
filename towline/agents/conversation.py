"""A conversation with the runner on a host that polls: a stream of bytes each way, with offsets.

What was sent is kept until the host says that it has it, and what the host sends twice is taken once: a request or an
answer that is lost, repeated or late changes nothing. The streams are those of the host protocol.
"""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Callable

from towline.agents.messages import MOST_BYTES, End, Piece
from towline.errors import Unreachable

WINDOW_BYTES = 2 * MOST_BYTES
"""So much may wait for the host, or for the reader here, before the other side has to pause."""


class Phase(enum.Enum):
    """OFFERED: the host has not named it yet. OPEN: it has. CLOSED: ended here. BROKEN: the host lost it."""

    OFFERED = enum.auto()
    OPEN = enum.auto()
    CLOSED = enum.auto()
    BROKEN = enum.auto()


class Conversation:
    """One runner on one host. `on_news` is called when there is something for the host."""

    def __init__(self, conversation_id: str, runner: str, on_news: Callable[[], None]) -> None:
        self.id, self.runner = conversation_id, runner
        self.phase = Phase.OFFERED
        self.broken_because = ""
        self.stderr = ""
        self.root = ""  # the host's: of an agent that works below a directory
        self._on_news = on_news
        self._down = bytearray()  # from the offset `_acknowledged` on
        self._acknowledged = 0
        self._up = bytearray()
        self.received = 0
        self._end: End | None = None
        self._waiters: list[asyncio.Future[None]] = []

    # ── the host's side ──

    def confirm(self, got: int, root: str = "") -> None:
        """The host names the conversation, and has `got` bytes of what was sent."""
        if not self._acknowledged <= got <= self._acknowledged + len(self._down):
            return self.fail(f"the agent says that it has {got} bytes, which were not sent")
        if self.phase is Phase.OFFERED:
            self.phase, self.root = Phase.OPEN, root
        del self._down[: got - self._acknowledged]
        self._acknowledged = got
        self._wake()
        return None

    def outgoing(self, most: int) -> tuple[Piece, bytes] | None:
        """Return what the host has not acknowledged, at most so many bytes; None where there is nothing."""
        if self.phase is not Phase.OPEN or not self._down or not most:
            return None
        data = bytes(self._down[:most])
        return Piece(id=self.id, at=self._acknowledged, size=len(data)), data

    def take(self, piece: Piece, data: bytes) -> None:
        """Take the runner's output, as far as there is room: see `received`."""
        if piece.at > self.received:
            self.fail("the agent left out output of the runner")
        elif self.phase is Phase.OPEN and (fresh := data[self.received - piece.at :]):
            fresh = fresh[: max(0, WINDOW_BYTES - len(self._up))]
            self._up += fresh
            self.received += len(fresh)
            self._wake()

    def ended(self, end: End) -> None:
        """The runner has ended after `end.at` bytes of output."""
        if self._end is None:
            self._end, self.stderr = end, end.stderr
            self._wake()

    def fail(self, why: str) -> None:
        """The host does not have it any more, or broke the protocol."""
        if self.phase in (Phase.OFFERED, Phase.OPEN):
            self.phase, self.broken_because = Phase.BROKEN, why
            self._wake()

    # ── our side ──

    async def opened(self) -> None:
        """Wait until the host has it. Raises Unreachable where it broke."""
        await self._until(lambda: self.phase is not Phase.OFFERED)
        self._check()

    def write(self, data: bytes) -> None:
        """Queue bytes for the runner's standard input. Raises Unreachable where it is broken."""
        self._check()
        self._down += data
        self._on_news()

    async def drain(self) -> None:
        """Wait until few bytes wait for the host. Raises Unreachable where it breaks."""
        await self._until(lambda: len(self._down) < WINDOW_BYTES or self.phase is not Phase.OPEN)
        self._check()

    async def read(self, most: int) -> bytes:
        """Return output of the runner; empty at its end. Raises Unreachable where it broke before that."""
        await self._until(lambda: self._up or self._has_ended or self.phase is not Phase.OPEN)
        if self._up:
            data = bytes(self._up[:most])
            del self._up[: len(data)]
            return data
        if not self._has_ended:
            self._check()
        return b""

    async def status(self) -> int | None:
        """Wait for the runner's exit status; None where the conversation ended without one."""
        await self._until(lambda: self._has_ended or self.phase is not Phase.OPEN)
        return self._end.status if self._end and self._has_ended else None

    def close(self) -> None:
        """End it: the host is told to close the runner's standard input."""
        if self.phase is not Phase.CLOSED:
            self.phase = Phase.CLOSED
            self._on_news()
            self._wake()

    @property
    def _has_ended(self) -> bool:
        return self._end is not None and self.received >= self._end.at

    def _check(self) -> None:
        if self.phase is not Phase.OPEN:
            raise Unreachable(self.broken_because or "the conversation with the agent is closed")

    async def _until(self, condition: Callable[[], object]) -> None:
        while not condition():
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            try:
                await waiter
            finally:
                self._waiters.remove(waiter)

    def _wake(self) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
