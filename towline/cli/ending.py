"""The end of `deploy`, `rollback` and `status --watch`: what is printed, and the exit status."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from towline.cli import render
from towline.cli.door import Door, talk
from towline.cli.output import result, result_json, say
from towline.cli.watching import display, follow
from towline.errors import TemporalUnavailable, Terminated
from towline.model.deployment.describe import counts
from towline.model.deployment.exit_status import ExitStatus, exit_status
from towline.settings import Settings

PATIENCE_SECONDS = 120.0


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
        Watched(deployment_id), lambda: talk(lambda door: watch_through(door, deployment_id, as_json, patience))
    )


async def watch_through(
    door: Door, deployment_id: str, as_json: bool, patience: float = PATIENCE_SECONDS, *, is_new: bool = False
) -> int:
    """Shows a deployment, which may have been started just now, to its end; prints the result to stdout.

    Returns the exit status that it stands for.
    """
    try:
        view = await follow(door, deployment_id, display(), patience, is_new=is_new)
    except TemporalUnavailable:
        say(f"Lost sight of {deployment_id}: the rollout may go on. See: towline status {deployment_id} --watch")
        raise
    if as_json:
        result_json(await door.document(deployment_id, view))
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
                say("\nInterrupted: no deployment was started.")
            case Begun.ASKED:
                say(f"\nInterrupted while {deployment_id} was being started. See: towline status {deployment_id}")
            case Begun.YES:
                say(f"\nLet go: {deployment_id} goes on. Watch it again with: towline status {deployment_id} --watch")
                say(f"Stop it with: towline stop {deployment_id}")
        return int(ExitStatus.LET_GO if isinstance(end, KeyboardInterrupt) else ExitStatus.TERMINATED)


def announce(deployment_id: str, settings: Settings, *, attached: bool = False) -> None:
    """Says, on stderr, which deployment this is and how to watch and stop it."""
    verb = "Attached to" if attached else "Started"
    say(f"{verb} {deployment_id}.  Watch: towline status {deployment_id} --watch   Stop: towline stop {deployment_id}")
    if web := web_ui(settings, deployment_id):
        say(f"Web UI: {web}")


def web_ui(settings: Settings, deployment_id: str) -> str:
    """Where Temporal's Web UI shows it: by TOWLINE_UI, or as the dev server has it; empty where nobody told."""
    temporal = settings.temporal()
    base = settings.ui.rstrip("/")
    if not base:
        host, _, port = temporal.address.rpartition(":")
        if host not in ("localhost", "127.0.0.1", "[::1]") or not port.isdigit():
            return ""
        base = f"http://{host}:{int(port) + 1000}"
    return f"{base}/namespaces/{temporal.namespace}/workflows/{deployment_id}"
