"""What an activity that serves AWS's agent keeps in its heartbeat: live status, and the run itself."""

from __future__ import annotations

from towline.model.codedeploy_agent.commands import HostRun, State
from towline.model.host.outcome import iso
from towline.model.messages.instance import Heartbeat

WAITING = "waiting for the agent"


class RunHeartbeat(Heartbeat):
    """A heartbeat with the run: the next attempt, in whichever process, goes on from it."""

    run: HostRun


def heartbeat_of(run: HostRun, instance: str, heard_at: float) -> RunHeartbeat:
    """The heartbeat of a run; `heard_at` is when the agent last called, 0: it has not."""
    current = run.current
    is_working = bool(current and current.state is State.ACKNOWLEDGED)
    phase = current.event if current and is_working else WAITING
    since = current.acknowledged_at if current and is_working else run.current_since
    return RunHeartbeat(
        instance=instance,
        phase=phase,
        was_started=run.was_offered,
        since=iso(since),
        note="" if is_working else _note(heard_at),
        run=run,
    )


def _note(heard_at: float) -> str:
    return f"AWS's agent last called at {iso(heard_at)}" if heard_at else "AWS's agent has not called this server yet"
