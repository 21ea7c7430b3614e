"""Several API servers, one fleet: a host polls any of them, and is reached by the one whose activity wants it.

A server whose activity wants a host that does not poll it tells the others. The one that the host polls passes its
polls on, and the output for that server's conversations, whose ids say where it is. The requests are the host's own,
signed by it, so that servers need not trust each other; they only go to addresses that Temporal names as workers for
`towline@agents`.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Collection, Coroutine, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from towline.agents.exchange import Exchange
from towline.agents.messages import Output, Poll
from towline.agents.peers import Peers, owner_of
from towline.api.peer_http import post
from towline.errors import Unreachable

RELAYED = "x-towline-relayed"
WANT_PATH = "/agent/v1/want"
WANTED_SECONDS = 60.0
MOST_WANTED = 20_000
LATE_SECONDS = 15.0

log = logging.getLogger("towline.api.agents")

Answer = tuple[Mapping[str, Any], bytes]


@dataclass(frozen=True)
class AgentRequest:
    """A request of a host, as it came."""

    name: str
    path: str
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    address: str = ""

    @property
    def key_id(self) -> str:
        """The key that it is signed by."""
        return self.headers["x-towline-key"]

    @property
    def is_relayed(self) -> bool:
        """Whether another API server has passed it on."""
        return RELAYED in self.headers


class Relay:
    """Answers polls and output by this process and those others that they concern."""

    def __init__(self, exchange: Exchange, peers: Peers, cert: Path | None = None) -> None:
        """`cert`: what the other servers' TLS shows, too."""
        self._exchange, self._peers, self._cert = exchange, peers, cert
        self._wanted: dict[str, tuple[str, float]] = {}

    # ── who wants whom ──

    async def want(self, name: str) -> None:
        """Tell the other servers that a host is wanted here, unless it polls this one."""
        if self._exchange.is_polling(name):
            return
        body = json.dumps({"name": name, "address": self._peers.own}).encode()
        told = [post(peer, WANT_PATH, {}, body, cert=self._cert, seconds=3) for peer in await self._peers.addresses()]
        for answer in await asyncio.gather(*told, return_exceptions=True):
            if isinstance(answer, BaseException):
                log.info("an API server was not told that %s is wanted: %s", name, answer)

    async def is_wanted(self, name: str, address: str) -> None:
        """Another server wants this host. One that Temporal does not know is not listened to."""
        if address not in await self._peers.addresses():
            return
        now = time.monotonic()
        if len(self._wanted) >= MOST_WANTED:
            self._wanted = {one: want for one, want in self._wanted.items() if want[1] > now}
        if len(self._wanted) < MOST_WANTED:
            self._wanted[name] = (address, now + WANTED_SECONDS)
        self._exchange.wake(name)

    def _wants(self, name: str) -> set[str]:
        address, until = self._wanted.get(name, ("", 0.0))
        if until < time.monotonic():
            self._wanted.pop(name, None)
            return set()
        return {address}

    async def _owners(self, request: AgentRequest, ids: Collection[str]) -> dict[str, str]:
        """Of these conversations those of other servers that are at work, with where they are."""
        foreign = {one: owner for one in ids if (owner := owner_of(one)) and owner != self._peers.own}
        if not foreign or request.is_relayed:
            return foreign
        known = await self._peers.addresses()
        return {one: owner for one, owner in foreign.items() if owner in known}

    # ── what hosts send ──

    async def poll(self, request: AgentRequest, poll: Poll) -> Answer:
        """Return what any of the servers has for the host."""
        owners = await self._owners(request, poll.open)
        targets = set() if request.is_relayed else {*owners.values(), *self._wants(request.name)}
        if not targets:
            answer = await self._here(request, poll, owners)
            targets = set() if request.is_relayed or _has_news(answer) else self._wants(request.name)
            if not targets:
                return answer
        others = [self._there(request, poll, target, owners) for target in targets]
        return await _first_news(self._here(request, poll, owners), *others)

    async def _here(self, request: AgentRequest, poll: Poll, owners: Mapping[str, str]) -> Answer:
        news, data = await self._exchange.poll(request.name, poll, request.address, owners)
        return news.model_dump(mode="json"), data

    async def _there(self, request: AgentRequest, poll: Poll, target: str, owners: Mapping[str, str]) -> Answer:
        try:
            return await self._pass_on(request, target, poll.hold + LATE_SECONDS)
        except Unreachable as error:
            log.info("%s", error)
            self._wanted.pop(request.name, None)
            gone = [one for one, owner in owners.items() if owner == target]
            return {"time": self._exchange.now(), "offers": [], "gone": gone, "pieces": []}, b""

    async def output(self, request: AgentRequest, output: Output, data: bytes) -> Answer:
        """Give output to the servers whose conversations it is of."""
        ids = {one.id for one in output.pieces}.union(one.id for one in output.ends)
        owners = await self._owners(request, ids)
        taken = self._exchange.take(request.name, output, data, owners).model_dump(mode="json")
        if request.is_relayed:
            return taken, b""
        for target in set(owners.values()):
            try:
                line, _ = await self._pass_on(request, target, LATE_SECONDS)
            except Unreachable as error:
                log.info("%s", error)
                line = {"gone": [one for one, owner in owners.items() if owner == target]}
            taken["taken"].update(line.get("taken", {}))
            taken["gone"] += line.get("gone", [])
        return taken, b""

    async def _pass_on(self, request: AgentRequest, target: str, seconds: float) -> Answer:
        headers = {name: value for name, value in request.headers.items() if name.startswith("x-towline-")}
        status, body = await post(
            target, request.path, {**headers, RELAYED: "1"}, request.body, cert=self._cert, seconds=seconds
        )
        line, _, data = body.partition(b"\n")
        try:
            value = json.loads(line)
        except ValueError:
            value = None
        if not isinstance(value, dict) or status != 200:
            raise Unreachable(f"the API server {target} answered {status} to what {request.name} sent")
        return value, data


def _has_news(answer: Answer) -> bool:
    return any(answer[0].get(kind) for kind in ("offers", "gone", "pieces"))


async def _first_news(*answers: Coroutine[Any, Any, Answer]) -> Answer:
    """The first answer with something in it, or the last one. Raises what an answer raises, where none has news."""
    tasks = [asyncio.ensure_future(answer) for answer in answers]
    try:
        for next_one in asyncio.as_completed(tasks):
            answer = await next_one
            if _has_news(answer):
                return answer
        return answer
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
