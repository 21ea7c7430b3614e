"""Watches a deployment to its end: looks at it again and again, shows each state, prints the result."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from towline.cli import render
from towline.cli.event_loop import with_client
from towline.cli.options import PATIENCE_SECONDS
from towline.cli.output import has_colour, info, is_news, result, result_json
from towline.deployments.instance_status import Live, LiveFleet, refined
from towline.deployments.service import DeploymentService
from towline.errors import NotFound, TemporalUnavailable, Terminated
from towline.model.deployment.describe import counts, printable
from towline.model.deployment.exit_status import ExitStatus, exit_status
from towline.model.deployment.status import Phase
from towline.model.messages.view import DeploymentView
from towline.settings import Settings


class Begun(StrEnum):
    """How far a command has come with starting a deployment."""

    NO = "nothing was sent to Temporal"
    ASKED = "Temporal was asked, and has not answered"
    YES = "it is there"


@dataclass
class Watched:
    """The deployment that a command starts or watches; what an interrupt says depends on `begun`."""

    deployment_id: str
    begun: Begun = Begun.YES


def watch(deployment_id: str, *, as_json: bool, patience: float = PATIENCE_SECONDS) -> int:
    """Watches in a connection of its own; see `watch_through`."""
    return let_go_on_interrupt(
        Watched(deployment_id),
        lambda: with_client(lambda service: watch_through(service, deployment_id, as_json, patience)),
    )


async def watch_through(
    service: DeploymentService,
    deployment_id: str,
    as_json: bool,
    patience: float = PATIENCE_SECONDS,
    *,
    is_new: bool = False,
) -> int:
    """Shows a deployment, which may have been started just now, to its end; prints the result to stdout.

    Returns the exit status that it stands for.
    """
    try:
        view = await follow(service, deployment_id, display(), patience, is_new=is_new)
    except TemporalUnavailable:
        info(f"Lost sight of {deployment_id}: the rollout may go on. See: towline status {deployment_id} --watch")
        raise
    if as_json:
        result_json((await service.full_report(deployment_id, view)).as_json())
    else:
        tally = [line for line in [counts(view.info, view.progress)] if line]
        result(render.joined([render.headline(view), *tally, *render.ending_lines(view)]))
    return int(exit_status(view))


def let_go_on_interrupt(watched: Watched, work: Callable[[], int]) -> int:
    """Runs the watching; Ctrl-C or SIGTERM ends only that: a rollout goes on, and it is said how to stop it."""
    try:
        return work()
    except (KeyboardInterrupt, Terminated) as end:
        deployment_id = watched.deployment_id
        match watched.begun:
            case Begun.NO:
                info("\nInterrupted: no deployment was started.")
            case Begun.ASKED:
                info(f"\nInterrupted while {deployment_id} was being started. See: towline status {deployment_id}")
            case Begun.YES:
                info(f"\nDetached: {deployment_id} keeps running.")
                info(f"Watch it again with: towline status {deployment_id} --watch")
                info(f"Stop it with: towline stop {deployment_id}")
        return int(ExitStatus.LET_GO if isinstance(end, KeyboardInterrupt) else ExitStatus.TERMINATED)


def announce(deployment_id: str, settings: Settings, *, attached: bool = False) -> None:
    """Says, on stderr, which deployment this is and how to watch and stop it."""
    verb = "Attached to" if attached else "Started"
    info(f"{verb} {deployment_id}.")  # what follows fits 80 columns, where the id is one of ours
    info(f"Watch: towline status {deployment_id} --watch   Stop: towline stop {deployment_id}")
    if web := web_ui(settings, deployment_id):
        info(f"Web UI: {web}")


def web_ui(settings: Settings, deployment_id: str) -> str:
    """Where Temporal's Web UI shows it: by TOWLINE_UI, or as the dev server has it; empty where it is not known."""
    temporal = settings.temporal()
    base = settings.ui.rstrip("/")
    if not base:
        host, _, port = temporal.address.rpartition(":")
        if host not in ("localhost", "127.0.0.1", "[::1]") or not port.isdigit():
            return ""
        base = f"http://{host}:{int(port) + 1000}"
    return f"{base}/namespaces/{temporal.namespace}/workflows/{deployment_id}"


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
    service: DeploymentService, deployment_id: str, shown: Display, patience: float, *, is_new: bool = False
) -> DeploymentView:
    """Shows a deployment, which may have been started just now, until it has ended, and returns the final view.

    Raises `TemporalUnavailable` when sight of it was lost for `patience` seconds.
    """
    fleets = {deployment_id: service.fleet(deployment_id)}
    try:
        async for snapshot in service.watch(deployment_id, patience, shown.pace, is_new=is_new):
            if snapshot.view is None:
                shown.trouble(snapshot.trouble)
                continue
            for warning in snapshot.view.progress.warnings:
                if is_news(warning):
                    shown.warn(printable(warning))
            if snapshot.has_ended:
                await _show_end_of_rollback(service, snapshot.view, shown, fleets)
                shown.close(snapshot.view, await _live_or_nothing(service, deployment_id, snapshot.view, fleets))
                return snapshot.view
            await _show(service, snapshot.view, shown, fleets)
    finally:
        shown.stop()
    raise TemporalUnavailable(f"sight of {deployment_id} was lost.", f"See: towline status {deployment_id}")


async def _show(service: DeploymentService, view: DeploymentView, shown: Display, fleets: dict[str, LiveFleet]) -> None:
    deployment_id = view.info.deployment_id
    child = await _rollback_of(service, view)
    if child:
        child_id = child.info.deployment_id
        if child_id not in fleets:  # how the instances ended before they are taken back
            shown.show(view, await _live_or_nothing(service, deployment_id, view, fleets))
        live = await _live_or_nothing(service, child_id, child, fleets)
        shown.show(view, live, refined(child, live))
    else:
        live = await _live_or_nothing(service, deployment_id, view, fleets)
        shown.show(refined(view, live), live)


async def _show_end_of_rollback(
    service: DeploymentService, view: DeploymentView, shown: Display, fleets: dict[str, LiveFleet]
) -> None:
    """A rollback ends in the same moment as the deployment that waits for it: what it came to is shown once more."""
    child = await _rollback_of(service, view)
    if child:
        if child.info.deployment_id not in fleets:
            shown.show(view, await _live_or_nothing(service, view.info.deployment_id, view, fleets))
        live = await _live_or_nothing(service, child.info.deployment_id, child, fleets)
        shown.show(view, live, child)


async def _rollback_of(service: DeploymentService, view: DeploymentView) -> DeploymentView | None:
    if view.progress.phase not in (Phase.ROLL_BACK, Phase.ENDED):
        return None
    rollback = view.info.rollback_info.rollback_deployment_id
    try:
        return await service.view_if_any(rollback) if rollback else None
    except TemporalUnavailable:
        return None


async def _live_or_nothing(
    service: DeploymentService, deployment_id: str, view: DeploymentView, fleets: dict[str, LiveFleet]
) -> dict[str, Live]:
    """The instances; nothing where they cannot be had just now, which must not end the watch."""
    fleet = fleets.setdefault(deployment_id, service.fleet(deployment_id))
    try:
        return await service.live(deployment_id, view, fleet)
    except (TemporalUnavailable, NotFound):
        return {}
