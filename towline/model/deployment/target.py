"""CodeDeploy's InstanceTarget, typed: how a deployment stands or ended on one instance; and what it lacks. Pure.

Built from what is known of the instance: its record, its last heartbeat, or no more than its status.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated

from towline.model.base import AbsentIfFalse, CompactShape
from towline.model.deployment.info import Text
from towline.model.deployment.lifecycle import events_for
from towline.model.deployment.status import Outcome, ScriptError, TargetStatus
from towline.model.messages.instance import Heartbeat, InstanceReport, LifecycleEventRecord


@dataclass(frozen=True, slots=True)
class Diagnostics(CompactShape):
    """How a lifecycle event ended: of a success it is there too, with empty strings."""

    error_code: str
    script_name: str = ""
    message: str = ""
    log_tail: str = ""


@dataclass(frozen=True, slots=True)
class LifecycleEvent(CompactShape):
    """One lifecycle event of one instance; times are ISO 8601."""

    lifecycle_event_name: str
    start_time: Text = field(default="", kw_only=True)
    end_time: Text = field(default="", kw_only=True)
    status: TargetStatus
    diagnostics: Annotated[Diagnostics | None, AbsentIfFalse] = None


@dataclass(frozen=True, slots=True)
class InstanceTarget(CompactShape):
    """One instance in one deployment."""

    deployment_id: Text
    target_id: Text
    status: TargetStatus
    last_updated_at: Text = ""
    lifecycle_events: tuple[LifecycleEvent, ...] = ()

    @property
    def failed_event(self) -> LifecycleEvent | None:
        """The first lifecycle event that failed."""
        return next((event for event in self.lifecycle_events if event.status is TargetStatus.FAILED), None)


@dataclass(frozen=True, slots=True)
class TargetDetails(CompactShape):
    """Ours: what is known of an instance besides its InstanceTarget; what is not known is absent."""

    outcome: Annotated[Outcome | None, AbsentIfFalse] = None  # as it stands now, after a rollback too
    address: Annotated[str, AbsentIfFalse] = ""
    zone: Annotated[str, AbsentIfFalse] = ""
    start_time: Annotated[str, AbsentIfFalse] = ""
    end_time: Annotated[str, AbsentIfFalse] = ""
    attempts: Annotated[int, AbsentIfFalse] = 0
    message: Annotated[str, AbsentIfFalse] = ""
    fault: Annotated[str, AbsentIfFalse] = ""
    warnings: Annotated[tuple[str, ...], AbsentIfFalse] = ()
    outcome_before_rollback: Annotated[Outcome | None, AbsentIfFalse] = None  # how the deployment itself ended on it
    phase: Annotated[str, AbsentIfFalse] = ""  # of one in flight, as the next two
    script: Annotated[str, AbsentIfFalse] = ""
    note: Annotated[str, AbsentIfFalse] = ""

    @property
    def own_outcome(self) -> Outcome | None:
        """How the deployment itself ended on it, whatever a rollback made of it since."""
        return self.outcome_before_rollback or self.outcome


def ended_target(deployment_id: str, report: InstanceReport, status: TargetStatus | None = None) -> InstanceTarget:
    """The target of an instance whose record is written; `status`: the deployment counted it so, and knows better."""
    recorded = report.outcome.outcome.target_status
    return InstanceTarget(
        deployment_id=deployment_id,
        target_id=report.outcome.instance,
        status=status or recorded,
        last_updated_at=report.end_time,
        lifecycle_events=tuple(_event(event) for event in report.events) or _unstarted_events(recorded),
    )


def live_target(
    deployment_id: str, name: str, heartbeat: Heartbeat | None, events: Sequence[str] = events_for()
) -> InstanceTarget:
    """The target of one in flight, from its last heartbeat (None: it has not sent one yet).

    A heartbeat names the event at work; those before it have ended, else it would not have come so far.
    """
    phase = heartbeat.phase if heartbeat else ""
    since = heartbeat.since if heartbeat else ""
    at = events.index(phase) if phase in events else -1
    return InstanceTarget(
        deployment_id=deployment_id,
        target_id=name,
        status=TargetStatus.IN_PROGRESS,
        last_updated_at=since,
        lifecycle_events=tuple(_event_in_flight(event, place - at, since) for place, event in enumerate(events)),
    )


def plain_target(deployment_id: str, name: str, status: TargetStatus, updated: str = "") -> InstanceTarget:
    """The target of one of which only the status is known: not begun, skipped, or its record is lost."""
    return InstanceTarget(
        deployment_id=deployment_id,
        target_id=name,
        status=status,
        last_updated_at=updated,
        lifecycle_events=_unstarted_events(status),
    )


def details_of(report: InstanceReport, outcome: Outcome | None = None) -> TargetDetails:
    """What an instance's record tells besides; `outcome` is what the deployment counted, if it knows better."""
    own = report.outcome
    fault = own.fault.message if own.fault else ""
    was_rolled_back = outcome in (Outcome.ROLLED_BACK, Outcome.NOT_RESTORED) and own.outcome is not outcome
    return TargetDetails(
        outcome=outcome or own.outcome,
        address=report.address,
        zone=report.zone,
        start_time=report.start_time,
        end_time=report.end_time,
        attempts=report.attempts,
        message=own.message or fault,
        fault=fault,
        warnings=report.warnings,
        outcome_before_rollback=own.outcome if was_rolled_back else None,
    )


def diagnostics(event: LifecycleEventRecord) -> Diagnostics:
    """CodeDeploy's Diagnostics of an event that has ended.

    >>> diagnostics(LifecycleEventRecord(name="Install", status="Succeeded")).error_code
    'Success'
    """
    has_succeeded = event.status == TargetStatus.SUCCEEDED
    if has_succeeded and not (event.script or event.message or event.log_tail):
        return _SUCCESS
    return Diagnostics(
        error_code="Success" if has_succeeded else error_name(event.error_code),
        script_name=event.script,
        message=event.message or ("Succeeded" if has_succeeded else ""),
        log_tail=event.log_tail,
    )


def error_name(number: int) -> str:
    """CodeDeploy's LifecycleErrorCode for the agent's number; 6 (output left open) and 7 (restarted) have no name of
    their own.

    >>> [error_name(n) for n in (3, 4, 6, 7)]
    ['ScriptTimedOut', 'ScriptFailed', 'ScriptFailed', 'UnknownError']
    """
    names = list(ScriptError)
    if number == 6:
        return ScriptError.SCRIPT_FAILED.value
    return (names[number] if 0 <= number < len(names) else ScriptError.UNKNOWN_ERROR).value


# ── inside ───────────────────────────────────────────────────────────────────────────────────────────────────────


def _event(event: LifecycleEventRecord) -> LifecycleEvent:
    status = _STATUSES.get(event.status, TargetStatus.UNKNOWN)  # a host wrote it
    has_ended = status in (TargetStatus.SUCCEEDED, TargetStatus.FAILED)
    return LifecycleEvent(
        lifecycle_event_name=event.name,
        start_time=event.start_time,
        end_time=event.end_time,
        status=status,
        diagnostics=diagnostics(event) if has_ended else None,
    )


def _event_in_flight(event: str, distance: int, since: str) -> LifecycleEvent:
    """An event so many places after the current one."""
    if distance < 0:
        return LifecycleEvent(lifecycle_event_name=event, status=TargetStatus.SUCCEEDED)
    if distance == 0:
        return LifecycleEvent(lifecycle_event_name=event, status=TargetStatus.IN_PROGRESS, start_time=since)
    return LifecycleEvent(lifecycle_event_name=event, status=TargetStatus.PENDING)


_SUCCESS = Diagnostics(error_code="Success", message="Succeeded")
_STATUSES = {status.value: status for status in TargetStatus}
_UNSTARTED = {
    TargetStatus.PENDING: TargetStatus.PENDING,
    TargetStatus.IN_PROGRESS: TargetStatus.PENDING,
    TargetStatus.SKIPPED: TargetStatus.SKIPPED,
}


@functools.cache
def _unstarted_events(status: TargetStatus) -> tuple[LifecycleEvent, ...]:
    each = _UNSTARTED.get(status, TargetStatus.UNKNOWN)
    return tuple(LifecycleEvent(lifecycle_event_name=event, status=each) for event in events_for())
