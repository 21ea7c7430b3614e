"""`towline list`."""

from __future__ import annotations

import click

from towline.cli.options import STATUS


@click.command(name="list")
@click.option("--app", "application", default="", help="Only this application's.")
@click.option("--group", default="", help="Only this deployment group's.")
@click.option("--status", default=None, type=STATUS, help="Only those of this status.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1), help="At most so many.")
@click.option("--all", "with_refused", is_flag=True, help="Also requests that failed since they named no group.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def command(application: str, group: str, status: str | None, limit: int, with_refused: bool, as_json: bool) -> None:
    """Lists deployments, the newest first: those that Temporal knows, and those that only the reports remember."""
    from towline.cli.door import talk
    from towline.cli.lists import find, lines
    from towline.cli.output import result, result_json, say

    found = talk(lambda door: find(door, application, group, status or "", limit, with_refused=with_refused))
    if as_json:
        result_json([one.as_json() for one in found])
    elif found:
        result("\n".join(lines(found)))
    else:
        say("No deployments match. Start one with: towline deploy APP GROUP --revision …")
