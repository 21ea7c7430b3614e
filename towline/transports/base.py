"""The interface to one runner on one host: start_or_attach, follow, send, close.

An order is sent once, then events arrive until the runner's last one (docs/host-protocol.md). Transports know nothing
of retries, deployments or Temporal: the caller decides what an error means. A transport only raises towline's errors
(`towline/errors.py`), translated once, here or next to the library that raised them.
"""

from __future__ import annotations

import abc
import asyncio
import json
import re
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from pathlib import Path
from typing import Any

from towline.aside import aside
from towline.errors import HostRefused, TowlineError, Unreachable
from towline.model.host.events import Answer, HostEvent

Order = dict[str, Any]
Reply = dict[str, Any]

CHUNK_BYTES = 256 * 1024

ANSWERS = frozenset({"halt", "inventory", "plan", "check", "logs"})
"""Queries: one order, answered by one event of the same kind."""


class Transport(abc.ABC):
    """One connection to the runner on one host. Not reusable: each attempt opens a new one."""

    has_order: bool = True
    """Whether the order may have reached the host; until then, `start_or_attach` can be cancelled without a trace."""

    @abc.abstractmethod
    async def start_or_attach(self, order: Order) -> None:
        """Connects to the host, starts the runner's connected end there and sends it `order`.

        Raises Unreachable, AuthenticationRefused, HostKeyRefused, HostRefused or OurFault; in each case nothing
        was started.
        """

    @abc.abstractmethod
    def follow(self) -> AsyncGenerator[HostEvent, None]:
        """Yields events as they arrive, up to the runner's last one.

        Raises Unreachable if the connection breaks or goes silent earlier, HostRefused if the peer is not a runner,
        NotUnderstood for invalid events. A `refused` event is an event, not an exception.
        """

    @abc.abstractmethod
    async def send(self, reply: Reply, body: Path | bytes | None = None) -> None:
        """Sends one line and then the bytes of `body`, if any: a reply to `need`, or a `halt`."""

    @abc.abstractmethod
    async def close(self) -> None:
        """Closes the connection; the runner on the host continues. Idempotent, never raises."""

    async def __aenter__(self) -> Transport:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()


async def ask(transport: Transport, order: Order) -> Answer:
    """Sends a query and returns its answer (or the refusal); closes the transport.

    Raises what the transport raises, and HostRefused if the runner ends without an answer.
    """
    do = str(order["do"])
    assert do in ANSWERS, do
    async with transport:
        await transport.start_or_attach(order)
        async for event in transport.follow():
            if isinstance(event, Answer) and is_last(event, do):
                return event
    raise HostRefused(f"the runner ended without an answer to {do}", code="NoAnswer")


def is_last(event: HostEvent, do: str) -> bool:
    """Whether this event is the last one for the order `do`."""
    return event.kind in (do, "refused", "finished")


LONG_LIST = 500
"""A message with a longer list is encoded off the event loop, in pieces: a single call for all of it would block every
thread."""


async def encode_line(message: Reply) -> bytes:
    """One message as one line of JSON."""
    is_long = any(len(inner) > LONG_LIST for inner in _lists_in(message))
    return await aside(_in_pieces, message) if is_long else _json(message) + b"\n"


def _lists_in(message: Reply) -> Iterator[list[Any]]:
    """The lists of a message and of its parts, such as an order's `plan`."""
    for value in message.values():
        if isinstance(value, dict):
            yield from _lists_in(value)
        elif isinstance(value, list):
            yield value


def _in_pieces(message: Reply) -> bytes:
    return b"".join(_pieces(message)) + b"\n"


def _pieces(value: Any) -> Iterator[bytes]:
    if isinstance(value, dict):
        for place, (name, inner) in enumerate(value.items()):
            yield (b"," if place else b"{") + _json(name) + b":"
            yield from _pieces(inner)
        yield b"}" if value else b"{}"
    elif isinstance(value, list) and len(value) > LONG_LIST:
        for start in range(0, len(value), LONG_LIST):
            yield (b"," if start else b"[") + _json(value[start : start + LONG_LIST])[1:-1]
        yield b"]"
    else:
        yield _json(value)


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


async def body_chunks(body: Path | bytes) -> AsyncIterator[bytes]:
    """The bytes of a file (read off the event loop) or of a value, in chunks."""
    if isinstance(body, bytes):
        for start in range(0, len(body), CHUNK_BYTES):
            yield body[start : start + CHUNK_BYTES]
        return
    with await asyncio.to_thread(body.open, "rb") as file:
        while chunk := await asyncio.to_thread(file.read, CHUNK_BYTES):
            yield chunk


def ended_early(status: int | None, stderr: str, noise: str, *, spoke: bool) -> TowlineError:
    """The error for a connected end that ended before its last event.

    If it sent an event (`spoke`), the connection or the host broke, and another attempt may attach. Otherwise the host
    cannot run it: sudo asks for a password, the shell is `nologin`, and so on; its output says why.
    """
    said = (stderr.strip() or noise.strip())[-1000:]
    if spoke or status is None:
        return Unreachable(f"the connection to the runner ended early{f' ({said})' if said else ''}")
    if re.search(r"\bsudo: (command )?not found", said):  # the shell's message
        hint = "Install sudo there, or log in as root: `ssh.username: root`."
        return HostRefused("there is no sudo on the host, and the deploy user is not root", hint, code="SudoMissing")
    if "sudo:" in said or "sudoers" in said:
        hint = "Allow it without a password (docs/ssh.md has the sudoers line), or set `ssh.sudo: false` for root."
        return HostRefused(f"sudo does not let the deploy user run the runner: {said}", hint, code="SudoRefused")
    if said.startswith("Unknown option: -I"):  # the answer of Python 2 to the first argument
        hint = "Install python3 on the host, or name one as ssh.python."
        return HostRefused(
            "Python 3.6 or newer is needed, the one that was found is Python 2", hint, code="PythonTooOld"
        )
    output = f"it said: {said}" if said else "it said nothing"
    return HostRefused(f"the runner could not be started, exit status {status}; {output}", code="RunnerNotStarted")
