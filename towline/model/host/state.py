"""What a host's events (`events.py`) add up to: `HostState.after(event)`, and from it outcome and report.

Pure: the fold neither knows how the events came nor what time it is. An event that comes twice (after a lost
connection) changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from towline.model.deployment.status import Outcome
from towline.model.host.events import (
    EventEnded,
    EventStarted,
    Finished,
    HostEvent,
    HostRefusal,
    HostRevision,
    Journaled,
    LogText,
    ScriptEnded,
    ScriptStarted,
    Started,
    Transfer,
    Waiting,
    Warned,
)
from towline.model.messages import Fault, Installed, InstanceOutcome, InstanceReport, LifecycleEventRecord

LOG_TAIL_BYTES = 4096
MESSAGE_CHARACTERS = 2000
MOST_EVENTS = 64
MOST_WARNINGS = 200
"""Of one instance; more are counted, and stay in the journal on the host."""

HALTED = "Stopped"
"""The code of the refusal of a runner that was halted before anything was begun."""

_OUTCOMES = {
    "succeeded": Outcome.SUCCEEDED,
    "failed": Outcome.FAILED,
    "interrupted": Outcome.INTERRUPTED,
    "stopped": Outcome.STOPPED,
}


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


def outcome_of(
    state: HostState, instance: str, mask: Callable[[str], str] = str, seconds: float = 0.0, expected: str = ""
) -> InstanceOutcome:
    """How an instance's part ended, of a state that is over.

    Args:
        state: with `finished` or `refused`.
        instance: its name.
        mask: hides secrets in what scripts printed.
        seconds: how long it took where the runner does not tell.
        expected: of an undo, the label of what the host ran before by the group's memory.
    """
    if state.finished is None:
        assert state.refused is not None, "not over yet"
        return _refused(state, instance, mask, seconds)
    end = state.finished
    outcome = _OUTCOMES.get(end.outcome, Outcome.FAILED)
    now = _installed(end)
    if outcome is Outcome.SUCCEEDED and end.undone and expected and now and not now.label:
        return _lost(instance, expected, now, end.offset or seconds)
    failed = outcome is not Outcome.SUCCEEDED
    return InstanceOutcome(
        instance=instance,
        outcome=outcome,
        was_touched=not end.nothing_to_do,
        failed_event=end.failed_event,
        error_code=end.error_code,
        script=end.script_name,
        message=mask(end.message)[:MESSAGE_CHARACTERS] if failed else "",
        log_tail=tail(mask(end.log)) if failed else "",
        seconds=end.offset or seconds,
        now=now if failed or end.undone else None,
    )


def _installed(end: Finished) -> Installed | None:
    """What the host says that it runs; None where it does not say."""
    if end.now is None or "succeeded" not in end.now.model_fields_set:
        return None
    there = end.now.succeeded or HostRevision()
    return Installed(label=there.label or there.deployment, sha256=there.sha256)


def _lost(instance: str, expected: str, now: Installed, seconds: float) -> InstanceOutcome:
    """An undo that found nothing to go back to where the group remembers a revision: the host is not as it was."""
    message = (
        f"this host had lost what it ran, {expected}: its disk was emptied or replaced. What the deployment had left "
        "there is removed, and nothing of this group is installed now"
    )
    hint = "Deploy the wanted revision to it: towline deploy APP GROUP --revision …"
    return InstanceOutcome(
        instance=instance,
        outcome=Outcome.FAILED,
        was_touched=True,
        message=message[:MESSAGE_CHARACTERS],
        fault=Fault(code="HostLostState", message=message[:MESSAGE_CHARACTERS], hint=hint),
        seconds=seconds,
        now=now,
    )


def _refused(state: HostState, instance: str, mask: Callable[[str], str], seconds: float) -> InstanceOutcome:
    """Of a runner that began nothing: the host's own fault."""
    refused = state.refused or HostRefusal()
    fault = Fault(
        code=(refused.code or "HostRefused")[:64],
        message=mask(refused.message or "the host refuses, and does not say why")[:MESSAGE_CHARACTERS],
        hint=mask(refused.hint)[:MESSAGE_CHARACTERS],
    )
    if fault.code == HALTED:
        return InstanceOutcome(instance=instance, outcome=Outcome.SKIPPED, message=fault.message, seconds=seconds)
    return InstanceOutcome(
        instance=instance,
        outcome=Outcome.FAILED,
        was_touched=state.was_started,
        message=fault.message[:MESSAGE_CHARACTERS],
        fault=fault,
        seconds=seconds,
    )


def report_of(
    state: HostState,
    outcome: InstanceOutcome,
    *,
    address: str = "",
    zone: str = "",
    attempts: int = 1,
    ended_at: float,
    mask: Callable[[str], str] = str,
) -> InstanceReport:
    """An instance's record for the store; `ended_at` is control time, for runs whose start nobody saw."""
    epoch = ended_at - outcome.seconds if state.epoch is None else state.epoch

    def moment(offset: float | None) -> str:
        return "" if offset is None else iso(epoch + offset)

    records = tuple(
        LifecycleEventRecord(
            name=event.name,
            status=event.status,
            start_time=moment(event.began),
            end_time=moment(event.ended),
            error_code=event.error_code,
            script=event.script,
            message=mask(event.message)[:MESSAGE_CHARACTERS],
            log_tail=tail(mask(event.log_tail)) if event.status == "Failed" else "",
        )
        for event in state.events
    )
    return InstanceReport(
        outcome=outcome,
        address=address,
        zone=zone,
        start_time=moment(0.0),
        end_time=iso(epoch + outcome.seconds) if state.finished else iso(ended_at),
        attempts=attempts,
        events=records,
        warnings=tuple(mask(warning)[:MESSAGE_CHARACTERS] for warning in _warnings(state)),
    )


def _warnings(state: HostState) -> tuple[str, ...]:
    if not state.unkept_warnings:
        return state.warnings
    return (*state.warnings, f"… and {state.unkept_warnings} more warnings, which are only in the journal on the host")


def tail(text: str, limit: int = LOG_TAIL_BYTES) -> str:
    """The end of a text, at most `limit` bytes of UTF-8, from a line's beginning where there is one.

    >>> tail("first line\\nsecond line", 15)
    'second line'
    """
    data = text.encode()
    if len(data) <= limit:
        return text
    cut = data[-limit:].decode(errors="ignore")
    _, newline, rest = cut.partition("\n")
    return rest if newline and rest else cut


def iso(moment: float) -> str:
    """A moment in seconds as ISO 8601 in UTC, to the millisecond.

    >>> iso(0)
    '1970-01-01T00:00:00.000+00:00'
    """
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds")
