"""The work of `towline status`."""

from __future__ import annotations

import sys

from towline.cli import render
from towline.cli.columns import height_of, width_of
from towline.cli.event_loop import with_client
from towline.cli.output import result, result_json
from towline.cli.watch import watch
from towline.deployments.instance_status import refined
from towline.deployments.service import DeploymentService
from towline.model.deployment.exit_status import exit_status


def status(deployment: str, *, is_watched: bool, as_json: bool) -> int:
    """Prints how a deployment stands, or watches it to its end; returns the exit status."""

    async def look(service: DeploymentService) -> tuple[str, int | None]:
        deployment_id = await service.find(deployment)
        view = await service.view(deployment_id)
        if is_watched and await service.is_open(deployment_id):
            return deployment_id, None
        if as_json:
            result_json((await service.full_report(deployment_id, view)).as_json())
        else:
            live = await service.live_or_recorded(deployment_id, view)
            width, height = width_of(sys.stdout), height_of(sys.stdout)
            result(render.joined(render.status_lines(refined(view, live), live, width=width, height=height)))
        return deployment_id, int(exit_status(view)) if is_watched else 0

    deployment_id, answer = with_client(look)
    return watch(deployment_id, as_json=as_json) if answer is None else answer
