"""What `towline stop` says: what still runs, since when, how to end that too, and which deployment begins next."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from towline.cli.columns import fitted
from towline.cli.render import clock, duration, elapsed
from towline.deployments.instance_status import Live
from towline.model.deployment.describe import hold_reason, printable
from towline.model.deployment.status import Phase, TargetStatus
from towline.model.messages.group import GroupView
from towline.model.messages.view import DeploymentView

SHOWN = 20
"""So many instances that still run are named; the rest is counted."""


def still_running(live: Sequence[Live]) -> list[Live]:
    """The instances that are at work."""
    return [one for one in live if one.status is TargetStatus.IN_PROGRESS]


def stop_lines(view: DeploymentView, running: Sequence[Live], now: datetime | None = None) -> list[str]:
    """How a deployment stands that was stopped: nothing new starts, and what is still at work."""
    deployment_id = view.info.deployment_id
    if view.progress.phase is Phase.ENDED:
        return [f"{deployment_id} has ended: {view.info.status}."]
    if not running:
        return [f"{deployment_id} is stopping. No instance is in flight, and none will start."]
    count = "1 instance is" if len(running) == 1 else f"{len(running)} instances are"
    rows = fitted([_row(one, now) for one in running[:SHOWN]], None, ())
    lines = [f"{deployment_id} is stopping. No further instance starts; {count} still in flight:"]
    lines += ["  " + "  ".join(row).rstrip() for row in rows]
    return lines + ([f"  and {len(running) - SHOWN} more"] if len(running) > SHOWN else [])


def advice_lines(
    view: DeploymentView, running: Sequence[Live], queue: GroupView | None, *, ends_hooks: bool
) -> list[str]:
    """The commands that help from here: `--now` while hooks run, and what begins next in the group's queue."""
    deployment_id = view.info.deployment_id
    lines = []
    if running and ends_hooks:
        lines.append("Their hooks are being ended.")
    elif running:
        lines.append(
            f"They halt at the next lifecycle event. To end their hooks now: towline stop {deployment_id} --now"
        )
    if running:
        lines.append(f"Watch: towline status {deployment_id} --watch")
    waiting = [one for one in (queue.waiting if queue else ()) if one != deployment_id]
    if queue and queue.held:
        lines.append(f"The queue is held: {hold_reason(queue.held, queue.application, queue.group)}")
    elif queue and waiting:
        others = f" ({len(waiting) - 1} more behind it)" if len(waiting) > 1 else ""
        lines.append(
            f"Next in {queue.application}/{queue.group}: {waiting[0]}{others} begins when {deployment_id} has ended. "
            f"To stop it too: towline stop {waiting[0]}"
        )
    return lines


def _row(one: Live, now: datetime | None) -> list[str]:
    """Instance, event, script, and since when."""
    beat = one.heartbeat
    since = (beat.since if beat else "") or one.start_time
    told = f"since {clock(since)} ({duration(elapsed(since, now=now))})" if clock(since) else ""
    return [one.name, beat.phase if beat else "", printable(beat.script) if beat else "", told]
