"""What the events of a host (`events.py`) add up to: `HostState.after(event)`. For the outcome see `outcome.py`.

Pure: the fold neither knows how the events came nor what time it is. An event that comes twice (after a lost
connection) changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from towline.model.host.events import (
    EventEnded,
    EventStarted,
    Finished,
    HostEvent,
    HostRefusal,
    Journaled,
    LogText,
    ScriptEnded,
    ScriptStarted,
    Started,
    Transfer,
    Waiting,
    Warned,
)

MESSAGE_CHARACTERS = 2000
MOST_EVENTS = 64
MOST_WARNINGS = 200
"""Of one instance; more are counted, and stay in the journal on the host."""


@dataclass(frozen=True)
class EventState:
    """One lifecycle event; offsets are seconds since the runner's start."""

    name: str
    began: float
    ended: float | None = None
    status: str = "InProgress"
    error_code: int = 0
    script: str = ""
    message: str = ""
    log_tail: str = ""


@dataclass(frozen=True)
class HostState:
    """What is known of one run on one host.

    `epoch` is the control side's time of the runner's start: the earliest that fits every event's arrival, so a host
    whose clock is wrong still shows the right times.
    """

    seq: int = 0
    log_bytes: int = 0
    phase: str = ""
    script: str = ""
    was_started: bool = False
    epoch: float | None = None
    events: tuple[EventState, ...] = ()
    warnings: tuple[str, ...] = ()
    unkept_warnings: int = 0
    finished: Finished | None = None
    refused: HostRefusal | None = None
    note: str = ""

    @property
    def is_over(self) -> bool:
        """Whether the runner has said its last."""
        return self.finished is not None or self.refused is not None

    def after(self, event: HostEvent, now: float) -> HostState:
        """The state after one more event, which arrived at `now` (control time, seconds). Unknown kinds are ignored."""
        if not isinstance(event, Journaled):
            return self._after_passing(event)
        is_news_of_the_end = isinstance(event, Finished) and self.finished is None
        if (
            event.seq <= self.seq and not is_news_of_the_end
        ):  # a host that lost power may end a journal shorter than we know it
            return self
        epoch = now - event.offset
        if self.epoch is not None:
            epoch = min(self.epoch, epoch)
        # once, and not for each part of it: it is what most of the time of an event goes to
        return replace(self, seq=max(event.seq, self.seq), epoch=epoch, note="", **self._changes_by(event))

    def _after_passing(self, event: HostEvent) -> HostState:
        match event:
            case HostRefusal():
                return replace(self, refused=event)
            case Waiting(holder=holder):
                note = f"another deployment holds the host: {holder}" if holder else "another deployment holds the host"
                return replace(self, phase="waiting for the host", note=note)
            case Transfer(bytes=done, size=size):
                return replace(self, phase="transferring", note=f"{done} of {size} bytes")
            case LogText(end=end):
                return replace(self, log_bytes=end)
        return self

    def _changes_by(self, event: Journaled) -> dict[str, Any]:
        """The fields that an event of the journal changes, besides `seq` and `epoch`."""
        match event:
            case Started():
                return {"was_started": True, "phase": "started"}
            case EventStarted(event=name):
                begun = (*self.events, EventState(name, event.offset))
                return {"phase": name, "script": "", "events": begun[:MOST_EVENTS]}
            case ScriptStarted(event=name, script=script):
                return {"phase": name, "script": script}
            case ScriptEnded():
                return {"script": ""}
            case EventEnded():
                return {"script": "", "events": _ended(self.events, event)[:MOST_EVENTS]}
            case Warned():
                return self._warned(event)
            case Finished():
                return {"finished": event, "was_started": True, "phase": "ended", "script": ""}
        return {}

    def _warned(self, event: Warned) -> dict[str, Any]:
        if len(self.warnings) >= MOST_WARNINGS:
            return {"unkept_warnings": self.unkept_warnings + 1}
        about = f"{event.event}: " if event.event else ""
        return {"warnings": (*self.warnings, f"{about}{event.message}"[: 2 * MESSAGE_CHARACTERS])}


def _ended(events: tuple[EventState, ...], event: EventEnded) -> tuple[EventState, ...]:
    """The events with the named one ended; one that was never announced (a skipped one) is added."""
    begun = next((known for known in events if known.name == event.event), EventState(event.event, event.offset))
    ended = replace(
        begun,
        ended=event.offset,
        status=event.status,
        error_code=event.error_code,
        script=event.script_name,
        message=event.message,
        log_tail=event.log,
    )
    if any(known.name == event.event for known in events):
        return tuple(ended if known.name == event.event else known for known in events)
    return (*events, ended)
