"""How long an agent may take: five minutes to pick a lifecycle event up, an hour for it, three minutes of silence.

While an agent executes it goes on polling, at most 45 s apart; after errors its own back-off alone takes 91 s, so that
an agent is not silent before it has been so for three minutes while this server could have heard it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from towline.model.codedeploy_agent.commands import HostRun, State
from towline.model.codedeploy_agent.exchange import end

PICK_UP_SECONDS = 300.0
SILENCE_SECONDS = 180.0
LATE_SECONDS = 60.0
"""Behind an event's own limit: the agent ends scripts by the AppSpec's timeouts, and reports a little later."""
SECOND_COMPLETION_SECONDS = 3.0
OWN_ARCHIVE = ("BeforeInstall", "AfterInstall", "ApplicationStart", "ValidateService")
"""Events whose scripts are of the revision that is deployed; others may run those of the one before."""

NOT_RECEIVED = (
    "CodeDeploy agent was not able to receive the lifecycle event. Check the CodeDeploy agent logs on your host and "
    "make sure the agent is running and can connect to the CodeDeploy server."
)
"""CodeDeploy's own words."""


class Allowance(NamedTuple):
    """What a run has: seconds for each event, and the time by which it must be over.

    `scripts`: by event the seconds that the AppSpec gives its scripts, after which the agent ends them.
    """

    event_seconds: float
    deadline: float
    scripts: Mapping[str, float] = {}

    def seconds_for(self, event: str) -> float:
        """How long an event may take.

        >>> Allowance(3600.0, 0.0, {"AfterInstall": 30.0}).seconds_for("AfterInstall")
        30.0
        """
        return min(self.event_seconds, self.scripts.get(event, self.event_seconds))


def script_seconds(hooks: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, float]:
    """The seconds that a plan's hooks give each event, of those that run from the deployment's own archive.

    >>> script_seconds({"AfterInstall": [{"timeout": 30}, {"timeout": 60}], "ApplicationStop": [{"timeout": 5}]})
    {'AfterInstall': 90.0}
    """
    sums = {event: float(sum(script["timeout"] for script in scripts)) for event, scripts in hooks.items()}
    return {event: seconds for event, seconds in sums.items() if event in OWN_ARCHIVE}


def check_limits(run: HostRun, allowance: Allowance, heard_at: float, now: float) -> HostRun:
    """The run after what has taken too long was ended.

    Args:
        run: the run.
        allowance: its limits.
        heard_at: when the agent last called, or when this server began to listen to it, if that was later.
        now: the time.
    """
    place = run.place
    if place is None:
        return _without_waiting(run, now)
    command = run.commands[place]
    if command.state is State.ACKNOWLEDGED:
        return _check_work(run, place, allowance, heard_at, now)
    if now - run.current_since >= PICK_UP_SECONDS:
        return end(run, place, State.NOT_PICKED_UP, NOT_RECEIVED, now)
    if now >= allowance.deadline:
        return end(run, place, State.TIMED_OUT, "The deployment's time limit passed before this event began.", now)
    return run


def _check_work(run: HostRun, place: int, allowance: Allowance, heard_at: float, now: float) -> HostRun:
    command = run.commands[place]
    if now - heard_at >= SILENCE_SECONDS:
        silent = f"{NOT_RECEIVED} It took up {command.event} and has not been heard of for {now - heard_at:.0f} s."
        return end(run, place, State.SILENT, silent, now)
    took, most = now - command.acknowledged_at, allowance.seconds_for(command.event)
    if took >= most + LATE_SECONDS:
        message = (
            f"How {command.event} ended was not reported within {most:.0f} s: it may still run there, or the agent "
            "could not report it while no API server answered."
        )
        return end(run, place, State.TIMED_OUT, message, now)
    return run


def _without_waiting(run: HostRun, now: float) -> HostRun:
    """A message that was to come with the second completion is waited for a little only."""
    for place, command in enumerate(run.commands):
        if command.diagnostics.is_minimal and now - command.ended_at >= SECOND_COMPLETION_SECONDS:
            kept = command.diagnostics.model_copy(update={"is_minimal": False})
            run = run.with_command(place, command.changed(diagnostics=kept))
    return run
