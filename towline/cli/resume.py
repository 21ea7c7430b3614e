"""`towline resume`."""

from __future__ import annotations

import click


@click.command()
@click.argument("deployment", metavar="ID")
def command(deployment: str) -> int:
    """Goes on after a pause. A queue that is held for hosts that are owed goes on by `towline release`."""
    from towline.cli.control import steer

    return steer(deployment, "resume")
