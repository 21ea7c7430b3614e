"""A transport is four verbs to one runner on one host: start_or_attach, follow, send, close.

An order goes down once, events come up until the runner has said its last (docs/host-protocol.md). Transports know
nothing of retries, deployments or Temporal: who calls them decides what an error means. Every error that leaves a
transport is one of towline's own (`towline/errors.py`), translated once, here or beside the library that raised it.
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
"""What can be asked with one order and is answered by one event of the same kind."""


class Transport(abc.ABC):
    """One conversation with the runner on one host. Not reusable: a new attempt opens a new one."""

    has_order: bool = True
    """Whether the order may have reached the host; until then to cancel `start_or_attach` leaves nothing begun."""

    @abc.abstractmethod
    async def start_or_attach(self, order: Order) -> None:
        """Reaches the host, starts the runner's connected end there and hands it `order`.

        Raises Unreachable, AuthenticationRefused, HostKeyRefused, HostRefused or OurFault. After any of them nothing
        was started.
        """

    @abc.abstractmethod
    def follow(self) -> AsyncGenerator[HostEvent, None]:
        """The events, as they come, until the runner has said its last.

        Raises Unreachable where the line breaks or falls silent before that, HostRefused where what answers is not
        a runner, NotUnderstood for nonsense. A `refused` event is an event, not an exception.
        """

    @abc.abstractmethod
    async def send(self, reply: Reply, body: Path | bytes | None = None) -> None:
        """Sends one line, and then the bytes of `body` if there is one: an answer to `need`, or a `halt`."""

    @abc.abstractmethod
    async def close(self) -> None:
        """Lets the line go. The runner on the host goes on. Never raises, may be called twice."""

    async def __aenter__(self) -> Transport:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()


async def ask(transport: Transport, order: Order) -> Answer:
    """Sends an order that has one answer, and returns that answer (or the refusal); closes the transport.

    Raises what the transport raises, and HostRefused where the runner ends without an answer.
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
    """Whether nothing may follow this event of a conversation that began with the order `do`."""
    return event.kind in (do, "refused", "finished")


LONG_LIST = 500
"""A message with a longer list is put into JSON beside the event loop, and in pieces: a single call for all of it would
keep every thread waiting."""


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
    """The bytes of a file (read beside the event loop) or of a value, in pieces."""
    if isinstance(body, bytes):
        for start in range(0, len(body), CHUNK_BYTES):
            yield body[start : start + CHUNK_BYTES]
        return
    with await asyncio.to_thread(body.open, "rb") as file:
        while chunk := await asyncio.to_thread(file.read, CHUNK_BYTES):
            yield chunk


def ended_early(status: int | None, stderr: str, noise: str, *, spoke: bool) -> TowlineError:
    """What it means that the connected end ended before its last event.

    If it had spoken, the line or the host broke, and another attempt may attach. If it never spoke, the host cannot
    run it: sudo asks for a password, the shell is `nologin`, and so on; what it printed tells.
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
    if said.startswith("Unknown option: -I"):  # what Python 2 answers to the first word that it is told
        hint = "Install python3 on the host, or name one as ssh.python."
        return HostRefused(
            "Python 3.6 or newer is needed, the one that was found is Python 2", hint, code="PythonTooOld"
        )
    told = f"it said: {said}" if said else "it said nothing"
    return HostRefused(f"the runner could not be started, exit status {status}; {told}", code="RunnerNotStarted")
