"""How a run went, in the terms that all hosts share: the state that reports are made of, and the instance's outcome."""

from __future__ import annotations

from collections.abc import Callable

from towline.model.codedeploy_agent.commands import Command, HostRun, State
from towline.model.codedeploy_agent.exchange import is_ignored
from towline.model.codedeploy_agent.heartbeat import WAITING
from towline.model.deployment.status import Outcome, TargetStatus
from towline.model.host.events import Finished
from towline.model.host.outcome import tail
from towline.model.host.state import MESSAGE_CHARACTERS, EventState, HostState
from towline.model.messages.instance import Fault, InstanceOutcome

_STATUS = {
    State.PLANNED: TargetStatus.PENDING,
    State.OFFERED: TargetStatus.PENDING,
    State.ACKNOWLEDGED: TargetStatus.IN_PROGRESS,
    State.SUCCEEDED: TargetStatus.SUCCEEDED,
    State.FAILED: TargetStatus.FAILED,
    State.INTERRUPTED: TargetStatus.FAILED,
    State.NOT_REPORTED: TargetStatus.UNKNOWN,
    State.TIMED_OUT: TargetStatus.FAILED,
    State.NOT_PICKED_UP: TargetStatus.FAILED,
    State.SILENT: TargetStatus.UNKNOWN,
    State.CANCELLED: TargetStatus.SKIPPED,
    State.SKIPPED: TargetStatus.SKIPPED,
}

_OUTCOME = {
    State.FAILED: Outcome.FAILED,
    State.TIMED_OUT: Outcome.FAILED,
    State.INTERRUPTED: Outcome.INTERRUPTED,
    State.NOT_REPORTED: Outcome.INTERRUPTED,
    State.NOT_PICKED_UP: Outcome.UNREACHABLE,
    State.SILENT: Outcome.UNREACHABLE,
}
"""By the state of the first command that did not succeed and whose failure counts."""

_FAULTS = {
    State.NOT_PICKED_UP: ("AgentNotListening", "See whether it runs there: systemctl status codedeploy-agent"),
    State.SILENT: ("AgentSilent", "See what runs there before deploying again: the event may have gone on."),
    State.NOT_REPORTED: ("NotReported", "Look into the agent's log on the host for how the event ended."),
}

_NOT_REPORTED = "the agent could not report how {event} ended: {message}"


def state_of(run: HostRun) -> HostState:
    """The run as the state of a host: what live status shows and reports are made of."""
    current = run.current
    return HostState(
        phase=_phase(run),
        was_started=run.was_offered,
        epoch=run.began_at,
        events=tuple(_event(run, command) for command in run.commands if not _is_to_come(command, current)),
        finished=_finished(run) if run.is_over else None,
    )


def outcome_of_run(run: HostRun, instance: str, mask: Callable[[str], str] = str) -> InstanceOutcome:
    """How the instance's part ended, of a run that is over."""
    assert run.is_over, "not over yet"
    outcome, culprit = _end(run)
    message, fault = ("", None) if culprit is None else (_message(culprit), _fault(culprit))
    failed = culprit is not None
    return InstanceOutcome(
        instance=instance,
        outcome=outcome,
        was_touched=any(
            command.acknowledged_at or command.diagnostics.message for command in run.commands if command.offers
        ),
        failed_event=culprit.event if culprit else "",
        error_code=culprit.diagnostics.error_code if culprit else 0,
        script=culprit.diagnostics.script if culprit else "",
        message=mask(message)[:MESSAGE_CHARACTERS],
        log_tail=tail(mask(culprit.diagnostics.log)) if culprit and failed else "",
        fault=fault,
        seconds=max(command.ended_at for command in run.commands) - run.began_at,
    )


def _end(run: HostRun) -> tuple[Outcome, Command | None]:
    """The outcome, and the command that decided it."""
    for command in run.commands:
        if command.state in _OUTCOME and not is_ignored(run, command):
            return _OUTCOME[command.state], command
    if any(command.state is State.CANCELLED for command in run.commands):
        return (Outcome.STOPPED if _was_touched(run) else Outcome.SKIPPED), None
    return Outcome.SUCCEEDED, None


def _was_touched(run: HostRun) -> bool:
    """Whether the agent began to work: what it has not acknowledged it does not execute."""
    return any(command.acknowledged_at and not command.is_noop for command in run.commands)


def _message(command: Command) -> str:
    if command.state is State.NOT_REPORTED:
        return _NOT_REPORTED.format(event=command.event, message=command.diagnostics.message)
    return command.diagnostics.message


def _fault(command: Command) -> Fault | None:
    if command.state not in _FAULTS:
        return None
    code, hint = _FAULTS[command.state]
    return Fault(code=code, message=_message(command)[:MESSAGE_CHARACTERS], hint=hint)


def _phase(run: HostRun) -> str:
    current = run.current
    if current is None:
        return "ended"
    return current.event if current.state is State.ACKNOWLEDGED else WAITING


def _is_to_come(command: Command, current: Command | None) -> bool:
    return command.state is State.PLANNED or (command is current and not command.acknowledged_at)


def _event(run: HostRun, command: Command) -> EventState:
    began = command.acknowledged_at or command.offered_at or command.ended_at
    return EventState(
        name=command.event,
        began=max(0.0, began - run.began_at),
        ended=command.ended_at - run.began_at if command.ended_at else None,
        status=_STATUS[command.state].value,
        error_code=command.diagnostics.error_code,
        script=command.diagnostics.script,
        message=_message(command) if command.state is not State.SUCCEEDED else "",
        log_tail=command.diagnostics.log,
    )


def _finished(run: HostRun) -> Finished:
    seconds = max((command.ended_at for command in run.commands), default=run.began_at) - run.began_at
    return Finished(seq=0, offset=max(0.0, seconds), outcome=_end(run)[0].value)
