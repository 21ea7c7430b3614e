"""What an activity that serves AWS's agent keeps in its heartbeat: live status, and the run itself."""

from __future__ import annotations

from towline.model.codedeploy_agent.commands import HostRun, State
from towline.model.host.outcome import iso
from towline.model.messages.instance import Heartbeat

WAITING = "waiting for the agent"
SHOWN_SECONDS = 5.0
"""Between two events the agent pauses for a second: that it is waited for is shown when it takes longer."""


class RunHeartbeat(Heartbeat):
    """A heartbeat with the run: the next attempt, in whichever process, goes on from it."""

    run: HostRun


def heartbeat_of(run: HostRun, instance: str, heard_at: float, now: float) -> RunHeartbeat:
    """The heartbeat of a run; `heard_at` is when the agent last called, 0: it has not."""
    phase, since = _phase(run, now)
    return RunHeartbeat(
        instance=instance,
        phase=phase,
        was_started=run.was_offered,
        since=iso(since),
        note=_note(heard_at) if phase == WAITING else "",
        run=run,
    )


def _phase(run: HostRun, now: float) -> tuple[str, float]:
    """The event that is at work, or was until a moment ago; and since when."""
    current = run.current
    if current and current.state is State.ACKNOWLEDGED:
        return current.event, current.acknowledged_at
    worked = [command for command in run.commands if command.acknowledged_at and not command.is_noop]
    if worked and now - run.current_since < SHOWN_SECONDS:
        return worked[-1].event, worked[-1].acknowledged_at
    return WAITING, run.current_since


def _note(heard_at: float) -> str:
    return f"AWS's agent last called at {iso(heard_at)}" if heard_at else "AWS's agent has not called this server yet"
