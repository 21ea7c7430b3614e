"""What towline's agent and an API server say to each other (docs/agents.md, "The protocol"). Untrusted: bounded here.

A message is one line of JSON, followed by the bytes that it announces.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from towline.model.base import Message

MOST_CONVERSATIONS = 64
"""Of one host at once: a deployment, some questions, a halt."""
MOST_BYTES = 1024 * 1024
"""That one request or one answer carries beside its line."""

Id = Annotated[str, StringConstraints(max_length=128)]
Offset = Annotated[int, Field(ge=0, le=2**53)]


class Poll(Message):
    """A host asks for news. `number` rises with each poll of an agent's process, `session` names that process."""

    v: int = 1
    session: Annotated[str, StringConstraints(min_length=8, max_length=64)]
    number: Offset
    version: Annotated[str, StringConstraints(max_length=64)] = ""
    clock: float = 0.0
    hold: Annotated[float, Field(ge=0, le=50)] = 45.0
    hostname: Annotated[str, StringConstraints(max_length=256)] = ""
    root: Annotated[str, StringConstraints(max_length=1024)] = ""
    open: dict[Id, Offset] = Field(default_factory=dict, max_length=MOST_CONVERSATIONS)  # id → bytes that it has


class Offer(Message):
    """A conversation that the host is to open: a runner of this digest, started and connected."""

    id: str
    runner: str


class Piece(Message):
    """`size` bytes of a conversation from the offset `at` on; they follow the line, in the order of its pieces."""

    id: Id
    at: Offset
    size: Annotated[int, Field(ge=0, le=MOST_BYTES)]


class End(Message):
    """A conversation's runner has ended after `at` bytes of output."""

    id: Id
    at: Offset
    status: int | None = None
    stderr: Annotated[str, StringConstraints(max_length=16384)] = ""


class Output(Message):
    """What runners on a host have written."""

    session: Annotated[str, StringConstraints(min_length=8, max_length=64)]
    pieces: Annotated[tuple[Piece, ...], Field(max_length=MOST_CONVERSATIONS)] = ()
    ends: Annotated[tuple[End, ...], Field(max_length=MOST_CONVERSATIONS)] = ()


class News(Message):
    """The answer to a poll. `gone`: conversations that are over, whose runner's input is to be closed."""

    time: float
    offers: tuple[Offer, ...] = ()
    gone: tuple[str, ...] = ()
    pieces: tuple[Piece, ...] = ()


class Taken(Message):
    """The answer to output: how many bytes of each conversation have been taken so far."""

    time: float
    taken: dict[str, int] = Field(default_factory=dict)
    gone: tuple[str, ...] = ()
