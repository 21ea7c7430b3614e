"""What the agent's calls do to a run, and what they are answered: `(run, call) → (run, answer)`.

A changed run is written durably before its answer leaves. Calls come more than once: the agent's SDK repeats each whose
answer is lost, up to four times in 2.2 s. A poll's answer may be lost too, and its command is offered again: agents 1.x
execute each copy that they get, so that only one of them may pass the acknowledgement.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from towline.model.codedeploy_agent.commands import NEVER_NOOP, STOPPING, Command, CommandId, HostRun, State
from towline.model.codedeploy_agent.diagnostics import Diagnostics, Meaning

OFFERED_AGAIN_SECONDS = 10.0
"""An offer that was not acknowledged for so long was lost with the answer to its poll."""


class CommandStatus(StrEnum):
    """The service's CommandStatus. To an acknowledgement the agent executes at anything but Succeeded and Failed."""

    PENDING = "Pending"
    IN_PROGRESS = "InProgress"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"


class Offer(NamedTuple):
    """The run after a poll, and the place of the command that the poll is answered with; None: nothing to do."""

    run: HostRun
    place: int | None


class Acknowledged(NamedTuple):
    """The run after an acknowledgement, and its answer."""

    run: HostRun
    answer: CommandStatus


def offer(run: HostRun, now: float) -> Offer:
    """Hands out the next command: one at a time, and again only while nobody has acknowledged it."""
    place = run.place
    if place is None or run.is_halting:
        return Offer(run, None)
    command = run.commands[place]
    if not _may_be_offered(command, now):
        return Offer(run, None)
    offered = command.changed(state=State.OFFERED, offers=command.offers + 1, offered_at=now)
    return Offer(run.with_command(place, offered), place)


def next_offer_at(run: HostRun) -> float | None:
    """When a poll that finds nothing now may find a command, if no other call comes; None: it will not."""
    command = run.current
    if command is None or run.is_halting or command.state is State.ACKNOWLEDGED:
        return None
    return 0.0 if command.state is State.PLANNED else command.offered_at + OFFERED_AGAIN_SECONDS


def _may_be_offered(command: Command, now: float) -> bool:
    if command.state is State.OFFERED:
        return now - command.offered_at >= OFFERED_AGAIN_SECONDS
    return command.state is State.PLANNED


def acknowledge(run: HostRun, named: CommandId, noop: bool, now: float) -> Acknowledged:
    """The gate before the agent executes: one copy of each command passes it, and none of what was given up."""
    place, command = named.place, run.commands[named.place]
    if command.state is State.ACKNOWLEDGED:
        is_repeat = named.offer == command.accepted
        return Acknowledged(run, CommandStatus.IN_PROGRESS if is_repeat else CommandStatus.SUCCEEDED)
    if command.state is not State.OFFERED:
        done_by_this_call = command.state is State.SUCCEEDED and command.is_noop
        return Acknowledged(run, CommandStatus.SUCCEEDED if done_by_this_call else CommandStatus.FAILED)
    taken = command.changed(state=State.ACKNOWLEDGED, accepted=named.offer, acknowledged_at=now)
    if noop and command.event not in NEVER_NOOP:
        done = taken.changed(state=State.SUCCEEDED, is_noop=True, ended_at=now)
        return Acknowledged(_after_end(run.with_command(place, done), place, now), CommandStatus.SUCCEEDED)
    return Acknowledged(run.with_command(place, taken), CommandStatus.IN_PROGRESS)


_END = {
    Meaning.SUCCEEDED: State.SUCCEEDED,
    Meaning.FAILED: State.FAILED,
    Meaning.INTERRUPTED: State.INTERRUPTED,
    Meaning.NOT_REPORTED: State.NOT_REPORTED,
}


def complete(run: HostRun, named: CommandId, meaning: Meaning, diagnostics: Diagnostics, now: float) -> HostRun:
    """A completion: the first one of the copy that was acknowledged counts.

    The agent sends a failure twice; of the second only a message is taken that the first could not carry. An agent that
    could not fetch the specification, or could not acknowledge, has dropped the command without executing it: it is
    offered again.
    """
    place, command = named.place, run.commands[named.place]
    if command.state is State.OFFERED and meaning is Meaning.NOT_REPORTED:
        return run
    if command.accepted not in (0, named.offer):
        return run
    if command.state in (State.OFFERED, State.ACKNOWLEDGED):
        ended = command.changed(state=_END[meaning], ended_at=now, diagnostics=diagnostics)
        return _after_end(run.with_command(place, ended), place, now)
    if command.diagnostics.is_minimal and not diagnostics.is_minimal:
        whole = {"message": diagnostics.message, "error_code": diagnostics.error_code, "is_minimal": False}
        kept = command.diagnostics.model_copy(update=whole)
        return run.with_command(place, command.changed(diagnostics=kept))
    return run


def end(run: HostRun, place: int, state: State, message: str, now: float) -> HostRun:
    """Ends a command without a word of the agent's."""
    command = run.commands[place].changed(state=state, ended_at=now, diagnostics=Diagnostics(message=message))
    return _after_end(run.with_command(place, command), place, now)


def halt(run: HostRun, now: float) -> HostRun:
    """Ends the run at the next boundary: what the agent has acknowledged goes on to its end, nothing else begins."""
    if run.is_halting:
        return run
    run = run.model_copy(update={"is_halting": True})
    current = run.current
    if current is None or current.state is State.ACKNOWLEDGED:
        return run
    return _with_rest(run, State.CANCELLED, now)


def give_up(run: HostRun, now: float) -> HostRun:
    """Ends the run at once, as `stop --now` asks for. What the agent executes goes on, and is not waited for."""
    run = halt(run, now)
    if run.place is None:
        return run
    return end(run, run.place, State.NOT_REPORTED, "it was stopped with --now; what runs there goes on", now)


def _after_end(run: HostRun, place: int, now: float) -> HostRun:
    """The run behind a command that ended: the next one is due, or none is."""
    run = run.model_copy(update={"current_since": now})
    if run.is_halting:
        return _with_rest(run, State.CANCELLED, now)
    return run if _goes_on(run, run.commands[place]) else _with_rest(run, State.SKIPPED, now)


def _goes_on(run: HostRun, ended: Command) -> bool:
    return ended.state is State.SUCCEEDED or is_ignored(run, ended)


def is_ignored(run: HostRun, failed: Command) -> bool:
    """Whether the run goes on behind this failure: of ApplicationStop, where the deployment says so."""
    is_reported = failed.state in (State.FAILED, State.INTERRUPTED)
    return is_reported and failed.event == STOPPING and run.ignores_application_stop


def _with_rest(run: HostRun, state: State, now: float) -> HostRun:
    """All open commands ended in the same way."""
    rest = (one.changed(state=state, ended_at=now) if one.state.is_open else one for one in run.commands)
    return run.model_copy(update={"commands": tuple(rest)})
