"""What a runner's events add up to: `HostState.after(event)`, and from it an instance's outcome and report.

Pure: the fold neither knows how the events came nor what time it is. An event that comes twice (after a lost
connection) changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from towline.model.deployment.status import Outcome
from towline.model.messages import Fault, Installed, InstanceOutcome, InstanceReport, LifecycleEventRecord

LOG_TAIL_BYTES = 4096
MESSAGE_CHARACTERS = 2000

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
    finished: dict[str, Any] | None = None
    refused: dict[str, Any] | None = None
    note: str = ""

    @property
    def is_over(self) -> bool:
        """Whether the runner has said its last."""
        return self.finished is not None or self.refused is not None

    def after(self, event: dict[str, Any], now: float) -> HostState:
        """The state after one more event, which arrived at `now` (control time, seconds). Unknown kinds are ignored."""
        seq = event.get("seq")
        if not isinstance(seq, int):
            return self._after_passing(event)
        is_news_of_the_end = event.get("kind") == "finished" and self.finished is None
        if (
            seq <= self.seq and not is_news_of_the_end
        ):  # a host that lost power may end a journal shorter than we know it
            return self
        epoch = now - float(event.get("offset") or 0.0)
        state = replace(
            self, seq=max(seq, self.seq), epoch=epoch if self.epoch is None else min(self.epoch, epoch), note=""
        )
        return state._after_journaled(event)

    def _after_passing(self, event: dict[str, Any]) -> HostState:
        match event.get("kind"):
            case "refused":
                return replace(self, refused=event)
            case "waiting":
                holder = event.get("holder")
                note = f"another deployment holds the host: {holder}" if holder else "another deployment holds the host"
                return replace(self, phase="waiting for the host", note=note)
            case "transfer":
                share = f"{event.get('bytes', 0)} of {event.get('size', 0)} bytes"
                return replace(self, phase="transferring", note=share)
            case "log":
                return replace(self, log_bytes=int(event["end"]))
        return self

    def _after_journaled(self, event: dict[str, Any]) -> HostState:
        name, offset = str(event.get("event", "")), float(event.get("offset") or 0.0)
        match event.get("kind"):
            case "started":
                return replace(self, was_started=True, phase="started")
            case "event_started":
                return replace(self, phase=name, script="", events=(*self.events, EventState(name, offset)))
            case "script_started":
                return replace(self, phase=name, script=str(event.get("script", "")))
            case "script_ended":
                return replace(self, script="")
            case "event_ended":
                return replace(self, script="", events=_ended(self.events, event, offset))
            case "warning":
                about = f"{name}: " if name else ""
                return replace(self, warnings=(*self.warnings, f"{about}{event.get('message', '')}"))
            case "finished":
                return replace(self, finished=event, was_started=True, phase="ended", script="")
        return self


def _ended(events: tuple[EventState, ...], event: dict[str, Any], offset: float) -> tuple[EventState, ...]:
    """The events with the named one ended; one that was never announced (a skipped one) is added."""
    name = str(event.get("event", ""))
    begun = next((known for known in events if known.name == name), EventState(name, offset))
    ended = replace(
        begun,
        ended=offset,
        status=str(event.get("status", "")),
        error_code=int(event.get("error_code") or 0),
        script=str(event.get("script_name") or ""),
        message=str(event.get("message") or ""),
        log_tail=str(event.get("log") or ""),
    )
    if any(known.name == name for known in events):
        return tuple(ended if known.name == name else known for known in events)
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
    outcome = _OUTCOMES.get(str(end.get("outcome")), Outcome.FAILED)
    now = _installed(end)
    if outcome is Outcome.SUCCEEDED and end.get("undone") and expected and now and not now.label:
        return _lost(instance, expected, now, float(end.get("offset") or seconds))
    failed = outcome is not Outcome.SUCCEEDED
    return InstanceOutcome(
        instance=instance,
        outcome=outcome,
        was_touched=not end.get("nothing_to_do"),
        failed_event=str(end.get("failed_event") or ""),
        error_code=int(end.get("error_code") or 0),
        script=str(end.get("script_name") or ""),
        message=mask(str(end.get("message") or ""))[:MESSAGE_CHARACTERS] if failed else "",
        log_tail=tail(mask(str(end.get("log") or ""))) if failed else "",
        seconds=float(end.get("offset") or seconds),
        now=now if failed or end.get("undone") else None,
    )


def _installed(end: dict[str, Any]) -> Installed | None:
    """What the host says that it runs; None where it does not say."""
    now = end.get("now")
    if not isinstance(now, dict) or "succeeded" not in now:
        return None
    there = now["succeeded"] if isinstance(now["succeeded"], dict) else {}
    return Installed(
        label=str(there.get("label") or there.get("deployment") or ""), sha256=str(there.get("sha256") or "")
    )


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
    refused = state.refused or {}
    fault = Fault(
        code=str(refused.get("code") or "HostRefused")[:64],
        message=mask(str(refused.get("message") or "the host refuses, and does not say why"))[:MESSAGE_CHARACTERS],
        hint=mask(str(refused.get("hint") or ""))[:MESSAGE_CHARACTERS],
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
        warnings=tuple(mask(warning) for warning in state.warnings),
    )


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
