"""`towline resume`."""

from __future__ import annotations

import click


@click.command()
@click.argument("deployment", metavar="ID")
def command(deployment: str) -> int:
    """Goes on after a pause; lets a queue go on that was held for hosts that are owed."""
    from towline.cli.steering import steer

    return steer(deployment, "resume")
