"""The work of `towline rollback`."""

from __future__ import annotations

import sys

import click

from towline import errors
from towline.cli.deploy import start_and_watch
from towline.cli.event_loop import with_client
from towline.cli.output import confirm, info
from towline.cli.watch import Begun, Watched, let_go_on_interrupt
from towline.creator import who
from towline.deployments.ids import new_deployment_id
from towline.deployments.service import DeploymentService
from towline.model.messages.view import DeploymentView


def rollback(text: str, *, only_plan: bool, yes: bool, detach: bool, as_json: bool) -> int:
    """Finds the deployment, asks, and starts its rollback; returns the exit status."""
    if not (only_plan or yes or sys.stdin.isatty()):
        raise errors.InvalidInput("a rollback needs confirmation, and this is no terminal.", "Add --yes, or --plan.")
    new_id = new_deployment_id()
    watched = Watched(new_id, Begun.NO)

    async def run(service: DeploymentService) -> int:
        deployment_id = await service.find(text)
        request = await service.rollback_request(deployment_id, who())
        if only_plan:
            from towline.cli.preview import show_preview

            return await show_preview(service, request, as_json=as_json)
        if not yes:
            _confirm(await service.view(deployment_id))
        return await start_and_watch(service, request, watched, detach=detach, as_json=as_json)

    return let_go_on_interrupt(watched, lambda: with_client(run))


def _confirm(view: DeploymentView) -> None:
    of = view.info
    info(f"{of.deployment_id} brought {of.revision_label or 'a revision'} to {of.full_name}.")
    touched = view.progress.touched
    if not confirm(f"Take {touched or 'its'} instance{'s' if touched != 1 else ''} back to what they ran before?"):
        raise click.Abort
