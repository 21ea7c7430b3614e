"""Watching a deployment to its end: sights from the client, drawn by whoever shows them."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Protocol

from towline import errors
from towline.cli.door import Door
from towline.cli.output import has_colour, is_news
from towline.deployments.instance_status import Live, LiveFleet, refined
from towline.model.deployment.describe import printable
from towline.model.deployment.status import Phase
from towline.model.messages import DeploymentView


class Display(Protocol):
    """Shows a deployment as it goes on; `pace` is how many seconds lie between two looks at it."""

    pace: float

    def show(self, view: DeploymentView, live: Mapping[str, Live], child: DeploymentView | None = None) -> None:
        """Shows the newest state; `child` is the rollback that runs, and `live` are then its instances."""

    def warn(self, text: str) -> None:
        """Tells a warning about the revision or the group."""

    def trouble(self, text: str) -> None:
        """Tells that sight is lost for the moment."""

    def close(self, view: DeploymentView, live: Mapping[str, Live]) -> None:
        """Shows the end."""

    def stop(self) -> None:
        """Gives the terminal back, whatever happened."""


def display() -> Display:
    """A live table on a terminal, lines elsewhere."""
    if has_colour(sys.stderr):
        from towline.cli.screen import Screen

        return Screen()
    from towline.cli.progress_lines import ProgressLines

    return ProgressLines()


async def follow(
    door: Door, deployment_id: str, shown: Display, patience: float, *, is_new: bool = False
) -> DeploymentView:
    """Shows a deployment, which may have been started just now, until it has ended, and returns the final view.

    Raises `TemporalUnavailable` when sight of it was lost for `patience` seconds.
    """
    fleets = {deployment_id: door.fleet(deployment_id)}
    try:
        async for sight in door.deployments.watch(deployment_id, patience, shown.pace, is_new=is_new):
            if sight.view is None:
                shown.trouble(sight.trouble)
                continue
            for warning in sight.view.progress.warnings:
                if is_news(warning):
                    shown.warn(printable(warning))
            if sight.has_ended:
                await _show_end_of_rollback(door, sight.view, shown, fleets)
                shown.close(sight.view, await _live_or_nothing(door, deployment_id, sight.view, fleets))
                return sight.view
            await _show(door, sight.view, shown, fleets)
    finally:
        shown.stop()
    raise errors.TemporalUnavailable(f"sight of {deployment_id} was lost.", f"See: towline status {deployment_id}")


async def _show(door: Door, view: DeploymentView, shown: Display, fleets: dict[str, LiveFleet]) -> None:
    deployment_id = view.info.get("deploymentId", "")
    child = await _rollback_of(door, view)
    if child:
        child_id = child.info["deploymentId"]
        if child_id not in fleets:  # how the instances ended before they are taken back
            shown.show(view, await _live_or_nothing(door, deployment_id, view, fleets))
        live = await _live_or_nothing(door, child_id, child, fleets)
        shown.show(view, live, refined(child, live))
    else:
        live = await _live_or_nothing(door, deployment_id, view, fleets)
        shown.show(refined(view, live), live)


async def _show_end_of_rollback(door: Door, view: DeploymentView, shown: Display, fleets: dict[str, LiveFleet]) -> None:
    """A rollback ends in the same moment as the deployment that waits for it: what it came to is shown once more."""
    child = await _rollback_of(door, view)
    if child:
        if child.info["deploymentId"] not in fleets:
            shown.show(view, await _live_or_nothing(door, view.info["deploymentId"], view, fleets))
        live = await _live_or_nothing(door, child.info["deploymentId"], child, fleets)
        shown.show(view, live, child)


async def _rollback_of(door: Door, view: DeploymentView) -> DeploymentView | None:
    if view.progress.phase not in (Phase.COMPENSATE, Phase.ENDED):
        return None
    rollback = (view.info.get("rollbackInfo") or {}).get("rollbackDeploymentId", "")
    try:
        return await door.deployments.view(rollback) if rollback else None
    except errors.TemporalUnavailable:
        return None


async def _live_or_nothing(
    door: Door, deployment_id: str, view: DeploymentView, fleets: dict[str, LiveFleet]
) -> dict[str, Live]:
    """The instances; nothing where they cannot be had just now, which must not end the watch."""
    fleet = fleets.setdefault(deployment_id, door.fleet(deployment_id))
    try:
        return await door.live(deployment_id, view, fleet)
    except (errors.TemporalUnavailable, errors.NotFound):
        return {}
