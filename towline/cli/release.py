"""`towline release`."""

from __future__ import annotations

import click


@click.command()
@click.argument("group", metavar="APP/GROUP")
def command(group: str) -> int:
    """Lets the queue of a deployment group go on that was held.

    A rollback that leaves hosts behind holds its group's queue: no further deployment begins, until a person has seen
    to the hosts and says so by this command. Whoever may use the other commands may use it.
    """
    from towline.cli.control import release

    return release(group)
