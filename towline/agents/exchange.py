"""The hosts that poll this process, and the conversations with them. In memory alone: what is durable is Temporal's
scheduled activity on one side, and the runner's journal on the other.

A conversation is offered in the answer to a poll, and its bytes are sent once the host names it in the next one. Every
poll names the conversations that the host has open: one that is missing is broken (its agent has started again), and
one that is unknown here is over (this process has started again).
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field

from towline.agents.conversation import Conversation, Phase
from towline.agents.messages import MOST_BYTES, News, Offer, Output, Piece, Poll, Taken
from towline.agents.peers import process_prefix
from towline.errors import Conflict

SILENT_SECONDS = 45.0
"""A host that has conversations polls every ten seconds: one that is silent for so long has lost its connection."""

TWO_MACHINES_SECONDS = 600.0
"""An agent's process that polls again so soon after another one of its name proves that there are two machines."""


@dataclass
class PolledHost:
    """What is known of one host. Times are of the wall clock."""

    name: str
    session: str = ""
    number: int = -1
    heard: float = 0.0
    address: str = ""
    hostname: str = ""
    version: str = ""
    skew: float = 0.0
    root: str = ""
    conversations: dict[str, Conversation] = field(default_factory=dict)
    held: asyncio.Future[None] | None = field(default=None, repr=False)
    former: dict[str, float] = field(default_factory=dict)  # earlier sessions → when each was replaced
    refused_until: float = 0.0
    refused_because: str = ""

    @property
    def is_polling(self) -> bool:
        """Whether a poll of it is held at this moment."""
        return self.held is not None

    def wake(self) -> None:
        """Let the poll that is held be answered."""
        if self.held and not self.held.done():
            self.held.set_result(None)


class Exchange:
    """All hosts that poll this process."""

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        self.hosts: dict[str, PolledHost] = {}
        self._clock = clock
        self._token = secrets.token_hex(8)
        self._prefix = process_prefix("", self._token)
        self._count = 0
        self._is_closing = False

    # ── our side ──

    def open(self, name: str, runner: str) -> Conversation:
        """Offer a conversation to a host; to be ended by `close`."""
        host = self._host(name)
        self._count += 1
        conversation = Conversation(f"{self._prefix}{self._count}", runner, host.wake)
        host.conversations[conversation.id] = conversation
        host.wake()
        return conversation

    def close(self, name: str, conversation: Conversation) -> None:
        """End a conversation; its host closes the runner's standard input."""
        self._host(name).conversations.pop(conversation.id, None)
        conversation.close()

    def fail_silent(self) -> None:
        """Break the conversations of hosts that poll no longer; to be called every few seconds."""
        before = self._clock() - SILENT_SECONDS
        for host in self.hosts.values():
            if host.conversations and host.heard < before:
                for conversation in list(host.conversations.values()):
                    if conversation.phase is Phase.OPEN:
                        conversation.fail(f"the agent on {host.name} has not been heard for {SILENT_SECONDS:.0f} s")

    def is_busy(self, name: str) -> bool:
        """Whether a host has conversations."""
        host = self.hosts.get(name)
        return bool(host and host.conversations)

    def now(self) -> float:
        """The time by which hosts are judged."""
        return self._clock()

    def listens_at(self, address: str) -> None:
        """Other API servers reach this process there: the ids of its conversations say so from now on."""
        self._prefix = process_prefix(address, self._token)

    def wake(self, name: str) -> None:
        """Let the poll of a host be answered, if one is held."""
        if host := self.hosts.get(name):
            host.wake()

    @property
    def polling(self) -> int:
        """How many hosts poll this process."""
        return sum(host.is_polling for host in self.hosts.values())

    def is_polling(self, name: str) -> bool:
        """Whether a poll of the host is held here."""
        host = self.hosts.get(name)
        return bool(host and host.is_polling)

    def release_polls(self) -> None:
        """Answer all polls at once from now on: this process ends, and its hosts poll another one."""
        self._is_closing = True
        for host in self.hosts.values():
            host.wake()

    # ── the hosts' side ──

    async def poll(
        self, name: str, poll: Poll, address: str = "", elsewhere: Collection[str] = ()
    ) -> tuple[News, bytes]:
        """Return what there is for a host, as soon as there is something; nothing after `poll.hold` seconds.

        `elsewhere`: conversations of other API servers, of which nothing is known here. May be repeated.
        Raises Conflict where two machines poll by one name.
        """
        host = self._meet(name, poll, address)
        if poll.number < host.number:
            return News(time=self._clock()), b""  # a later one has come already
        host.number = poll.number
        host.wake()  # the one before it, whose answer the agent does not wait for any more
        gone = self._reconcile(host, poll, elsewhere)
        news, data = self._news(host, gone)
        if not (news.offers or news.gone or news.pieces or self._is_closing):
            await self._hold(host, poll.hold)
            if (host.session, host.number) == (poll.session, poll.number):
                news, data = self._news(host, _unknown(host, poll, elsewhere))
        return news, data

    def take(self, name: str, output: Output, data: bytes, elsewhere: Collection[str] = ()) -> Taken:
        """Take what runners on a host have written. Raises Conflict where it is not the machine that polls."""
        host = self._host(name)
        self._check_session(host, output.session)
        host.heard = self._clock()
        gone = []
        for piece, part in _parts(output.pieces, data):
            if piece.id in elsewhere:
                continue
            if conversation := self._opened(host, piece.id):
                conversation.take(piece, part)
            else:
                gone.append(piece.id)
        for end in output.ends:
            if end.id in elsewhere:
                continue
            if conversation := self._opened(host, end.id):
                conversation.ended(end)
            else:
                gone.append(end.id)
        named = {one.id for one in output.pieces}.union(one.id for one in output.ends) - {*gone, *elsewhere}
        taken = {one: host.conversations[one].received for one in named}
        return Taken(time=self._clock(), taken=taken, gone=tuple(dict.fromkeys(gone)))

    # ── inside ──

    def _host(self, name: str) -> PolledHost:
        return self.hosts.setdefault(name, PolledHost(name))

    def _opened(self, host: PolledHost, conversation_id: str) -> Conversation | None:
        found = host.conversations.get(conversation_id)
        return found if found and found.phase is Phase.OPEN else None

    def _meet(self, name: str, poll: Poll, address: str) -> PolledHost:
        host, now = self._host(name), self._clock()
        if poll.session != host.session:
            self._change_session(host, poll, address, now)
        self._check_session(host, poll.session)
        host.heard, host.address, host.hostname = now, address, poll.hostname
        host.version, host.skew, host.root = poll.version, poll.clock - now, poll.root
        return host

    def _change_session(self, host: PolledHost, poll: Poll, address: str, now: float) -> None:
        """Another process of the agent polls: it was started again, or there is a second machine."""
        is_back = now - host.former.pop(poll.session, -TWO_MACHINES_SECONDS) < TWO_MACHINES_SECONDS
        if is_back:
            host.refused_until = now + TWO_MACHINES_SECONDS
            others = f"{host.hostname} ({host.address}) and {poll.hostname} ({address})"
            host.refused_because = f"two machines poll as {host.name}: {others}"
        host.former = {one: at for one, at in host.former.items() if now - at < TWO_MACHINES_SECONDS}
        if host.session:
            host.former[host.session] = now
        host.session, host.number = poll.session, -1
        host.hostname, host.address = poll.hostname, address
        for conversation in list(host.conversations.values()):
            if conversation.phase is Phase.OPEN:
                conversation.fail(f"the agent on {host.name} was started again")

    def _check_session(self, host: PolledHost, session: str) -> None:
        if self._clock() < host.refused_until:
            hint = "Give each its own name: towline agent invite NAME; a copied machine has the key of its original."
            raise Conflict(host.refused_because, hint, code="TwoMachines")
        if session != host.session:
            raise Conflict(f"{host.name} polls from another process", code="OldSession")

    def _reconcile(self, host: PolledHost, poll: Poll, elsewhere: Collection[str]) -> list[str]:
        """Compare what the host has open with what is open here; return what it has and this process does not."""
        for conversation in list(host.conversations.values()):
            if conversation.id in poll.open:
                conversation.confirm(poll.open[conversation.id], poll.root)
            elif conversation.phase is Phase.OPEN:
                conversation.fail(f"the agent on {host.name} has lost the conversation")
        return _unknown(host, poll, elsewhere)

    def _news(self, host: PolledHost, gone: list[str]) -> tuple[News, bytes]:
        open_ones = list(host.conversations.values())
        offers = [Offer(id=one.id, runner=one.runner) for one in open_ones if one.phase is Phase.OFFERED]
        pieces, data = [], b""
        for one in open_ones:
            if found := one.outgoing(MOST_BYTES - len(data)):
                pieces.append(found[0])
                data += found[1]
        return News(time=self._clock(), offers=tuple(offers), gone=tuple(gone), pieces=tuple(pieces)), data

    async def _hold(self, host: PolledHost, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        held = host.held = loop.create_future()
        timer = loop.call_later(seconds, host.wake)
        try:
            await held
        finally:
            timer.cancel()
            if host.held is held:
                host.held = None


def _unknown(host: PolledHost, poll: Poll, elsewhere: Collection[str]) -> list[str]:
    return [one for one in poll.open if one not in host.conversations and one not in elsewhere]


def _parts(pieces: tuple[Piece, ...], data: bytes) -> Iterator[tuple[Piece, bytes]]:
    start = 0
    for piece in pieces:
        yield piece, data[start : start + piece.size]
        start += piece.size
