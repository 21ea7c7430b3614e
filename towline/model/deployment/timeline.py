"""The timeline of a deployment's report: when each lifecycle event ran on each instance. Pure; the page draws it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from towline.model.deployment.report import DeploymentReport
from towline.model.deployment.status import Outcome, TargetStatus
from towline.model.deployment.target import InstanceTarget, LifecycleEvent, TargetDetails

WIDTH = 1000.0
"""Of the timeline, in units of its own; the page stretches it."""


@dataclass(frozen=True)
class Segment:
    """One lifecycle event on the timeline; `kind` is its place in the order of events, for the colour."""

    event: str
    status: str
    kind: int
    x: float
    width: float
    seconds: float | None


@dataclass(frozen=True)
class Row:
    """One instance on the timeline, with what its line in the page tells."""

    name: str
    outcome: str  # how this deployment ended on it
    after_rollback: str  # what a rollback made of it since; empty where there was none
    address: str
    zone: str
    seconds: float | None
    segments: tuple[Segment, ...]
    events: tuple[LifecycleEvent, ...]
    note: str
    warnings: tuple[str, ...]

    @property
    def needs_attention(self) -> bool:
        """Whether a person may want to look at it, also if a rollback has restored it since."""
        outcomes = {outcome for outcome in Outcome if outcome in (self.outcome, self.after_rollback)}
        has_failed = any(event.status is TargetStatus.FAILED for event in self.events)
        return has_failed or any(outcome.needs_attention for outcome in outcomes)


@dataclass(frozen=True)
class Timeline:
    """All instances over one span of time, with marks for the axis: (x, seconds since the start)."""

    rows: tuple[Row, ...]
    seconds: float
    marks: tuple[tuple[float, float], ...]


def timeline(report: DeploymentReport) -> Timeline:
    """The timeline of a report. Instances of which no time is known have a row without segments."""
    times = [time for target in report.targets for event in target.lifecycle_events for time in _span(event) if time]
    first, last = (min(times), max(times)) if times else (0.0, 0.0)
    span = max(last - first, 0.001)
    kinds = _kinds(report.targets)
    rows = tuple(_row(target, report.details_of(target), first, span, kinds) for target in report.targets)
    step = _step(span)
    marks = tuple((WIDTH * n * step / span, n * step) for n in range(int(span / step) + 1)) if times else ()
    return Timeline(rows, span if times else 0.0, marks)


def seconds_between(start: str, end: str) -> float | None:
    """Seconds from one ISO 8601 time to another; None where one is missing or cannot be read.

    >>> seconds_between("2025-01-01T00:00:00Z", "2025-01-01T00:01:30.5+00:00")
    90.5
    """
    first, last = _time(start), _time(end)
    return None if first is None or last is None else last - first


# ── inside ───────────────────────────────────────────────────────────────────────────────────────────────────────


def _row(target: InstanceTarget, details: TargetDetails, first: float, span: float, kinds: Mapping[str, int]) -> Row:
    segments = (_segment(event, first, span, kinds) for event in target.lifecycle_events)
    return Row(
        name=target.target_id,
        outcome=details.own_outcome or target.status.lower(),
        after_rollback=details.outcome or "" if details.outcome_before_rollback else "",
        address=details.address,
        zone=details.zone,
        seconds=seconds_between(details.start_time, details.end_time),
        segments=tuple(segment for segment in segments if segment),
        events=target.lifecycle_events,
        note=details.message,
        warnings=details.warnings,
    )


def _segment(event: LifecycleEvent, first: float, span: float, kinds: Mapping[str, int]) -> Segment | None:
    start, end = _span(event)
    if start is None:
        return None
    end = max(start, end if end is not None else start)
    return Segment(
        event=event.lifecycle_event_name,
        status=event.status,
        kind=kinds[event.lifecycle_event_name],
        x=round(WIDTH * (start - first) / span, 2),
        # Never so thin that it cannot be seen: a bad event may have taken no time at all.
        width=max(1.5, round(WIDTH * (end - start) / span, 2)),
        seconds=round(end - start, 3),
    )


def _kinds(targets: Sequence[InstanceTarget]) -> dict[str, int]:
    every = dict.fromkeys(event.lifecycle_event_name for target in targets for event in target.lifecycle_events)
    return {name: place for place, name in enumerate(every)}


def _span(event: LifecycleEvent) -> tuple[float | None, float | None]:
    return _time(event.start_time), _time(event.end_time) if event.start_time else None


def _time(text: str) -> float | None:
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return None


def _step(span: float) -> float:
    """A round distance between marks, some six of them: 1, 2 or 5 of a power of ten, or of minutes.

    >>> [_step(7), _step(43), _step(600)]
    [1.0, 10.0, 120.0]
    """
    steps = (0.001, 0.01, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400, 43200)
    return next((float(step) for step in steps if span / step <= 8), 86400.0)
