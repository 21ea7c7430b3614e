"""`towline pause`."""

from __future__ import annotations

import click


@click.command()
@click.argument("deployment", metavar="ID")
def command(deployment: str) -> int:
    """Starts nothing new; what is in flight finishes. Go on with `towline resume`."""
    from towline.cli.control import steer

    return steer(deployment, "pause")
