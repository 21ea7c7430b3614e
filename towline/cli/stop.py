"""`towline stop`."""

from __future__ import annotations

import click


@click.command()
@click.argument("deployment", metavar="ID")
@click.option("--now", is_flag=True, help="End running hooks too (TERM, then KILL); their instances are interrupted.")
@click.option(
    "--rollback/--no-rollback",
    default=None,
    help="Take the touched instances back, or leave them; default: as the group says of a stop.",
)
@click.option("--reason", default="", help="Why, for the record.")
def command(deployment: str, now: bool, rollback: bool | None, reason: str) -> int:
    """Ends a deployment: nothing new starts, instances in flight halt at the next lifecycle event."""
    from towline.cli.control import stop
    from towline.model.messages import StopRequest

    return stop(deployment, StopRequest(now=now, rollback=rollback, reason=reason))
