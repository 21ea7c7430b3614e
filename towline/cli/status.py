"""`towline status`."""

from __future__ import annotations

import sys

import click


@click.command()
@click.argument("deployment", metavar="ID")
@click.option("--watch", is_flag=True, help="Go on showing until it has ended; the exit status tells how.")
@click.option("--json", "as_json", is_flag=True, help="CodeDeploy's shapes as JSON.")
def command(deployment: str, watch: bool, as_json: bool) -> int:
    """Shows how a deployment stands, instance by instance, and why it is where it is.

    With --watch the exit status is: 0 succeeded; 1 failed, and every touched host is back; 3 stopped; 4 ended, and
    hosts need a person; 5 lost sight of Temporal; 130 let go by Ctrl-C, 143 by SIGTERM.
    """
    from towline.cli import ending, render
    from towline.cli.columns import height_of, width_of
    from towline.cli.door import Door, talk
    from towline.cli.output import result, result_json
    from towline.deployments.instance_status import refined
    from towline.model.deployment.exit_status import exit_status

    async def look(door: Door) -> tuple[str, int | None]:
        deployment_id = await door.find(deployment)
        view = await door.view(deployment_id)
        if watch and not await door.has_closed(deployment_id):
            return deployment_id, None
        if as_json:
            result_json(await door.document(deployment_id, view))
        else:
            live = await door.live_or_recorded(deployment_id, view)
            width, height = width_of(sys.stdout), height_of(sys.stdout)
            result(render.joined(render.status_lines(refined(view, live), live, width=width, height=height)))
        return deployment_id, int(exit_status(view)) if watch else 0

    deployment_id, status = talk(look)
    return ending.watch(deployment_id, as_json=as_json) if status is None else status
