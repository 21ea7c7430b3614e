"""Splits the output of a host into events (`towline/model/host/events.py`). Output is untrusted: time and memory are
linear in its length, and what cannot be an event is NotUnderstood, which fails that host.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from towline.errors import NotUnderstood
from towline.model.host.events import EVENT, HostEvent, UnknownEvent
from towline.model.visible import visible

EVENT_LIMIT_BYTES = 4 * 1024 * 1024
"""Maximum size of a deployment's event; the largest from the runner contains an AppSpec of up to 1 MiB."""
ANSWER_LIMIT_BYTES = 16 * 1024 * 1024
"""Maximum size of an answer to a query: a plan names each file, a log is sent whole."""

LONG_BYTES = 64 * 1024
"""Longer lines are parsed off the event loop."""

_SIMPLE_BYTES = 1024 * 1024
_MOST_BRACKETS = 200_000
"""Limit for a line above `_SIMPLE_BYTES`: nested values, unlike text, take ten times their length in memory."""

_NOISE_BYTES = 1024 * 1024
_NOISE_LINES = 20


class EventLines:
    """Assembles lines. Output that is not an event (a login banner) is kept for error messages.

    >>> lines = EventLines()
    >>> list(lines.feed(b'Welcome!\\n{"kind": "attac'))
    [b'Welcome!']
    >>> [lines.read(line) for line in lines.feed(b'hed"}\\n')]
    [Attached(kind='attached')]
    >>> lines.read(b"Welcome!"), lines.noise
    (None, 'Welcome!')
    """

    def __init__(self, limit: int = EVENT_LIMIT_BYTES) -> None:
        self._limit = limit
        self._rest = bytearray()
        self._noise: list[str] = []
        self._noise_bytes = 0

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The lines that `data` completes. Raises NotUnderstood for one that is too long."""
        first, *others = data.split(b"\n")
        self._add(first)
        for other in others:
            line = bytes(self._rest)
            self._rest.clear()
            yield line
            self._add(other)

    def _add(self, part: bytes) -> None:
        self._rest += part
        if len(self._rest) > self._limit:
            raise _not_understood(f"a line of more than {self._limit} bytes", bytes(self._rest[:400]))

    @property
    def noise(self) -> str:
        """The output that is not an event, up to twenty lines."""
        return "\n".join(self._noise)

    def read(self, line: bytes) -> HostEvent | None:
        """The event of a line, or None if it is not one. Raises NotUnderstood for invalid events and too much noise."""
        event = read_event(line)
        if event is None:
            self._noise_bytes += len(line) + 1
            if self._noise_bytes > _NOISE_BYTES:
                raise _not_understood("output without end in place of events", line)
            if line.strip() and len(self._noise) < _NOISE_LINES:
                self._noise.append(line[:2000].decode(errors="replace").strip()[:500])
        return event


def read_event(line: bytes) -> HostEvent | None:
    """The event of a line, UnknownEvent for a kind that a newer runner may send, None if the line is not an event.

    Raises NotUnderstood if it looks like an event and is invalid.
    """
    if not line.lstrip().startswith(b"{"):
        return None
    if len(line) > _SIMPLE_BYTES and line.count(b"[") + line.count(b"{") > _MOST_BRACKETS:
        raise _not_understood("too many values in one line", line)
    try:
        return EVENT.validate_json(line)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)[0]
    if found["type"] == "json_invalid" and (whole := _without_lone_surrogates(line)) != line:
        return read_event(whole)
    return _of_no_known_kind(found, line)


def _of_no_known_kind(error: ErrorDetails, line: bytes) -> UnknownEvent | None:
    """The UnknownEvent for a line of no known kind; None if it is not an event at all."""
    if error["type"] == "union_tag_not_found" or (error["type"] == "json_invalid" and not line.startswith(b'{"')):
        return None  # a login banner may be JSON, or start with a brace
    kind = str(error.get("ctx", {}).get("tag", ""))
    if error["type"] == "union_tag_invalid" and re.fullmatch(r"[a-z_]{1,64}", kind):
        return UnknownEvent(kind=kind)
    place = ".".join(str(part) for part in error["loc"][:8])
    raise _not_understood(f"{f'{place[:200]}: ' if place else ''}{error['msg'][:200]}", line)


def _not_understood(why: str, line: bytes) -> NotUnderstood:
    start = visible(line[:400].decode(errors="replace"), 120)
    return NotUnderstood(
        f"the host answered what towline does not understand: {why} ({start})",
        "Look at the host: something else than towline's runner answers there, or its disk is damaged.",
    )


# Matches each escape once, from left to right, so that an escaped backslash does not start another.
_ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)", re.DOTALL
)


def _without_lone_surrogates(line: bytes) -> bytes:
    """Replaces lone surrogates, which JSON can express but neither UTF-8 nor Temporal can carry."""
    return _ESCAPE.sub(lambda found: rb"\ufffd" if found[1] else found[0], line)
