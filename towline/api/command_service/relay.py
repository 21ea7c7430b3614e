"""Several API servers, one fleet of AWS's agents: a host calls any of them, and its run is on one.

The server with a run tells the others that it wants the host; the one that the host calls passes the calls on as they
came, signed by the host, so that servers need not trust each other. They only go to addresses that Temporal names as
workers for `towline@agents`.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

from towline.agents.peers import Peers
from towline.api.app import Response
from towline.api.peer_http import post, stream_get
from towline.api.sigv4 import Request
from towline.codedeploy_agents.runs import HOLD_SECONDS, OWNER_SECONDS, Runs
from towline.errors import Unreachable

RELAYED = "x-towline-relayed"
WANT_PATH = "/agent/v1/want-codedeploy"
WANTED_SECONDS = 60.0
MOST_WANTED = 20_000
LATE_SECONDS = 10.0
NOT_PASSED_ON = frozenset({"connection", "content-length", "transfer-encoding", "accept-encoding", "expect"})

log = logging.getLogger("towline.api.command_service")


class CommandRelay:
    """Who wants which host, and calls that are passed on to them."""

    def __init__(self, runs: Runs, peers: Peers, cert: Path | None = None) -> None:
        """`cert`: what the other servers' TLS shows, too."""
        self._runs, self._peers, self._cert = runs, peers, cert
        self._wanted: dict[str, tuple[str, float]] = {}
        runs.wants, runs.is_elsewhere = self.want, lambda host: bool(self.owner(host))

    async def want(self, host: str) -> None:
        """Tells the other servers that a host is wanted here."""
        body = json.dumps({"name": host, "address": self._peers.own}).encode()
        told = [post(peer, WANT_PATH, {}, body, cert=self._cert, seconds=3) for peer in await self._peers.addresses()]
        for answer in await asyncio.gather(*told, return_exceptions=True):
            if isinstance(answer, BaseException):
                log.info("an API server was not told that %s is wanted: %s", host, answer)

    async def take_want(self, body: bytes) -> None:
        """Another server wants a host. One that Temporal does not know is not listened to."""
        try:
            given = json.loads(body)
            host, address = str(given["name"]), str(given["address"])
        except (ValueError, KeyError, TypeError):
            return
        if address not in await self._peers.addresses() or len(self._wanted) >= MOST_WANTED:
            return
        self._wanted[host] = (address, time.monotonic() + WANTED_SECONDS)
        self._runs.tell(host)

    def owner(self, host: str) -> str:
        """The address of the server that has the run of a host; empty: no other one has told so."""
        address, until = self._wanted.get(host, ("", 0.0))
        if address and until < time.monotonic():
            del self._wanted[host]
            return ""
        return address

    async def pass_on(self, host: str, request: Request) -> Response:
        """The owner's answer to a call. Raises Unreachable."""
        owner = self.owner(host)
        seconds = max(HOLD_SECONDS, OWNER_SECONDS) + LATE_SECONDS
        try:
            status, body = await post(
                owner, request.path, passed_on(request), request.body, cert=self._cert, seconds=seconds
            )
        except Unreachable:
            self._wanted.pop(host, None)
            raise
        return Response(status, {"content-type": "application/x-amz-json-1.1"}, body)

    def stream(self, host: str, request: Request) -> AsyncIterator[bytes]:
        """The owner's answer to a download: its head as one piece, then the body. Raises Unreachable."""
        path = f"{request.path}?{request.query}" if request.query else request.path
        return stream_get(self.owner(host), path, passed_on(request), cert=self._cert)


def passed_on(request: Request) -> dict[str, str]:
    """The headers of a call as they are passed on: the signed ones have to be as they came."""
    kept = {name: value for name, value in request.headers.items() if name not in NOT_PASSED_ON}
    return {**kept, RELAYED: "1"}


def is_relayed(headers: Mapping[str, str]) -> bool:
    """Whether another API server has passed a call on."""
    return RELAYED in headers
