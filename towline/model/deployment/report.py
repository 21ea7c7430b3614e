"""The report of a deployment: its own part and its instances' records, merged. Pure.

The JSON has the same shape as `status --json`, so that a deployment that Temporal has forgotten reads like any other;
the page (`towline/report`) draws the timeline that is computed here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from towline.model.deployment.describe import why
from towline.model.deployment.status import Outcome, Phase
from towline.model.deployment.view import document, ended_target, label_of, plain_target
from towline.model.messages import DeploymentRecord, DeploymentView, InstanceReport, Progress

WIDTH = 1000.0
"""Of the timeline, in units of its own; the page stretches it."""


def merge(record: DeploymentRecord, reports: Mapping[str, InstanceReport], address: str = "") -> dict[str, Any]:
    """The report as JSON: `deploymentInfo`, `deploymentTargets`, `progress` with `instances`, `runId`.

    What the deployment counted (`results`) weighs more than an instance's own record: it knows of a rollback, and of
    records that could not be written. `address` is where the page will be.
    """
    deployment_id = str(record.info.get("deploymentId", ""))
    outcomes = {name: outcome for outcome, members in record.results.items() for name in members}
    every = dict.fromkeys([*record.members, *outcomes, *reports])
    targets = [_target(deployment_id, name, outcomes.get(name), reports.get(name)) for name in every]
    extras = {name: _extra(outcomes.get(name), reports.get(name)) for name in every}
    progress = record.progress
    if progress.phase is Phase.ENDED:  # it was said while the report was being written
        progress = progress.model_copy(update={"text": why(progress)})
    if address:
        progress = progress.model_copy(update={"report": address})
    view = DeploymentView(info=record.info, progress=progress)
    return document(view, targets, extras) | {"runId": record.run_id}


def view_of_report(report: Mapping[str, Any]) -> DeploymentView:
    """The view that a report was made of."""
    return DeploymentView(info=report["deploymentInfo"], progress=Progress.model_validate(report.get("progress", {})))


def entry(report: Mapping[str, Any]) -> dict[str, str]:
    """The line of a report in the store's index: what `list` shows."""
    info = report["deploymentInfo"]
    return {
        "deploymentId": info.get("deploymentId", ""),
        "applicationName": info.get("applicationName", ""),
        "deploymentGroupName": info.get("deploymentGroupName", ""),
        "status": info.get("status", ""),
        "revision": label_of(info.get("revision")),
        "rollbackOf": (info.get("rollbackInfo") or {}).get("rollbackTriggeringDeploymentId", ""),
        "errorCode": (info.get("errorInformation") or {}).get("code", ""),
        "createTime": info.get("createTime", ""),
        "completeTime": info.get("completeTime", ""),
        "requestedBy": report.get("progress", {}).get("requestedBy", ""),
    }


def index_key(create_time: str, deployment_id: str) -> str:
    """Where a report's line lies: the names sort by time, so that the newest are found without reading all.

    >>> index_key("2025-01-01T00:00:09.120+00:00", "d-1")
    'index/20250101000009_d-1.json'
    """
    digits = "".join(c for c in create_time if c.isdigit())[:14]
    return f"index/{digits:0<14}_{deployment_id}.json"


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
    events: tuple[Mapping[str, Any], ...]
    note: str
    warnings: tuple[str, ...]

    @property
    def is_bad(self) -> bool:
        """Whether a person may want to look at it: also where a rollback has mended what failed."""
        is_good = self.outcome in (Outcome.SUCCEEDED, Outcome.SKIPPED, Outcome.ROLLED_BACK, "pending", "")
        is_owed = self.after_rollback == Outcome.OWED
        return is_owed or not is_good or any(event.get("status") == "Failed" for event in self.events)


@dataclass(frozen=True)
class Timeline:
    """All instances over one span of time, with marks for the axis: (x, seconds since the start)."""

    rows: tuple[Row, ...]
    seconds: float
    marks: tuple[tuple[float, float], ...]


def timeline(report: Mapping[str, Any]) -> Timeline:
    """The timeline of a report. Instances of which no time is known have a row without segments."""
    extras = report.get("progress", {}).get("instances", {})
    targets = [entry["instanceTarget"] for entry in report.get("deploymentTargets", [])]
    times = [time for target in targets for event in target["lifecycleEvents"] for time in _span(event) if time]
    first, last = (min(times), max(times)) if times else (0.0, 0.0)
    span = max(last - first, 0.001)
    kinds = _kinds(targets)
    rows = tuple(_row(target, extras.get(target["targetId"], {}), first, span, kinds) for target in targets)
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


def _target(deployment_id: str, name: str, outcome: Outcome | None, report: InstanceReport | None) -> dict[str, Any]:
    if report is None:
        return plain_target(deployment_id, name, outcome.target_status.value if outcome else "Unknown")
    target = ended_target(deployment_id, report)
    # What a rollback made of it is no status of CodeDeploy's: there the instance keeps how this deployment ended on it.
    is_told = outcome and outcome not in (Outcome.ROLLED_BACK, Outcome.OWED)
    return target | ({"status": outcome.target_status.value} if outcome and is_told else {})


def _extra(outcome: Outcome | None, report: InstanceReport | None) -> dict[str, Any]:
    """What CodeDeploy's InstanceTarget has no place for."""
    extra: dict[str, Any] = {}
    if report:
        extra = {
            "outcome": report.outcome.outcome.value,
            "address": report.address,
            "zone": report.zone,
            "startTime": report.start_time,
            "endTime": report.end_time,
            "attempts": report.attempts,
            "message": report.outcome.message or (report.outcome.fault.message if report.outcome.fault else ""),
            "fault": report.outcome.fault.message if report.outcome.fault else "",
            "warnings": list(report.warnings),
        }
    if outcome:
        if report and outcome in (Outcome.ROLLED_BACK, Outcome.OWED) and report.outcome.outcome is not outcome:
            extra["outcomeBeforeRollback"] = report.outcome.outcome.value
        extra["outcome"] = outcome.value
    return {key: value for key, value in extra.items() if value not in ("", [])}


def _row(
    target: Mapping[str, Any], extra: Mapping[str, Any], first: float, span: float, kinds: Mapping[str, int]
) -> Row:
    segments = []
    for event in target["lifecycleEvents"]:
        start, end = _span(event)
        if start is None:
            continue
        end = max(start, end if end is not None else start)
        name = event["lifecycleEventName"]
        segments.append(
            Segment(
                event=name,
                status=event.get("status", ""),
                kind=kinds[name],
                x=round(WIDTH * (start - first) / span, 2),
                # Never so thin that it cannot be seen: a bad event may have taken no time at all.
                width=max(1.5, round(WIDTH * (end - start) / span, 2)),
                seconds=round(end - start, 3),
            )
        )
    return Row(
        name=target["targetId"],
        outcome=extra.get("outcomeBeforeRollback") or extra.get("outcome", target.get("status", "").lower()),
        after_rollback=extra.get("outcome", "") if "outcomeBeforeRollback" in extra else "",
        address=extra.get("address", ""),
        zone=extra.get("zone", ""),
        seconds=seconds_between(extra.get("startTime", ""), extra.get("endTime", "")),
        segments=tuple(segments),
        events=tuple(target["lifecycleEvents"]),
        note=extra.get("message", ""),
        warnings=tuple(extra.get("warnings", ())),
    )


def _kinds(targets: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    every = dict.fromkeys(event["lifecycleEventName"] for target in targets for event in target["lifecycleEvents"])
    return {name: place for place, name in enumerate(every)}


def _span(event: Mapping[str, Any]) -> tuple[float | None, float | None]:
    return _time(event.get("startTime", "")), _time(event.get("endTime", "")) if event.get("startTime") else None


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
