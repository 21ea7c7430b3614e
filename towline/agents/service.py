"""Connects to hosts that poll: what a transport needs, on top of the exchange and the keys."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from towline.agents.conversation import Conversation
from towline.agents.exchange import Exchange
from towline.agents.keys import AgentKeys
from towline.errors import HostRefused, Unreachable

OPEN_SECONDS = 20.0
"""An agent that polls opens a conversation at once; one whose connection broke is back within some 15 seconds."""


class AgentService:
    """The hosts that poll this API server."""

    def __init__(
        self,
        exchange: Exchange,
        keys: AgentKeys,
        *,
        want: Callable[[str], Awaitable[None]] | None = None,
        open_seconds: float = OPEN_SECONDS,
    ) -> None:
        """`want` tells the other API servers that a host is wanted here, which may poll one of them."""
        self.exchange, self.keys = exchange, keys
        self._want = want
        self._open_seconds = open_seconds

    async def connect(self, name: str, runner: str) -> Conversation:
        """Open a conversation with a host, whose agent has started the runner of this digest.

        Raises:
            HostRefused: the host has no key, or two machines poll by its name.
            Unreachable: it does not poll.
            TemporalUnavailable: the keys cannot be read.
        """
        await self.keys.check_known(name)
        self._check_one_machine(name)
        conversation = self.exchange.open(name, runner)
        try:
            async with asyncio.timeout(self._open_seconds):
                if self._want:
                    await self._want(name)
                await conversation.opened()
        except TimeoutError:
            self.exchange.close(name, conversation)
            raise self._silent(name) from None
        except BaseException:
            self.exchange.close(name, conversation)
            raise
        return conversation

    def close(self, name: str, conversation: Conversation) -> None:
        """End a conversation; the host closes the runner's standard input."""
        self.exchange.close(name, conversation)

    def _check_one_machine(self, name: str) -> None:
        host = self.exchange.hosts.get(name)
        if host and time.time() < host.refused_until:
            hint = "Give one of them a name and a key of its own: towline agent invite NAME --endpoint URL"
            raise HostRefused(host.refused_because, hint, code="TwoMachines")

    def _silent(self, name: str) -> Unreachable:
        host = self.exchange.hosts.get(name)
        hint = "On the host: systemctl status towline-agent"
        if host is None or not host.heard:
            return Unreachable(f"the agent of {name} does not poll, and has not since this API server started", hint)
        since = datetime.fromtimestamp(host.heard, UTC).isoformat(timespec="seconds")
        return Unreachable(
            f"the agent of {name} has not polled since {since} ({time.time() - host.heard:.0f} s ago)", hint
        )
