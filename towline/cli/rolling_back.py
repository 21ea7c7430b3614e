"""A rollback that a person asks for: a deployment whose order to each host is "undo d-X"."""

from __future__ import annotations

import sys

import click

from towline import errors
from towline.catalogue.client import Catalogue
from towline.cli.deploying import Wish, start_and_watch
from towline.cli.door import Door, talk
from towline.cli.ending import PATIENCE_SECONDS, Begun, Watched, let_go_on_interrupt
from towline.cli.output import say
from towline.creator import who
from towline.deployments.client import new_deployment_id
from towline.deployments.group_history import read_memory
from towline.model.deployment.describe import names
from towline.model.deployment.status import Creator
from towline.model.deployment.view import label_of
from towline.model.messages import DeploymentView, DeployRequest, Undo
from towline.model.names import rollback_label


def roll_back(text: str, *, only_plan: bool, yes: bool, detach: bool, as_json: bool) -> int:
    """Finds the deployment, asks, and starts its undo; returns the exit status."""
    if not (only_plan or yes or sys.stdin.isatty()):
        raise errors.InvalidInput("a rollback asks first, and there is no terminal to ask at.", "Add --yes, or --plan.")
    new_id = new_deployment_id()
    watched = Watched(new_id, Begun.NO)
    wish = Wish({}, "", None, only_plan=only_plan, detach=detach, as_json=as_json, patience=PATIENCE_SECONDS)

    async def run(door: Door) -> int:
        deployment_id = await door.find(text)
        view = await door.view(deployment_id)
        await check_may_be_undone(door, deployment_id, view)
        await check_is_what_runs(door, deployment_id, view)
        request = undo_request(view, deployment_id, await door.run_id(deployment_id), new_id)
        if only_plan:
            from towline.cli.planning import show_plan

            return await show_plan(door, request, as_json=as_json)
        if not yes:
            _ask(view)
        return await start_and_watch(door, request, watched, wish)

    return let_go_on_interrupt(watched, lambda: talk(run))


async def check_may_be_undone(door: Door, deployment_id: str, view: DeploymentView) -> None:
    """Raises `Conflict` for one that is still open, `InvalidInput` for one that is a rollback itself."""
    if not await door.has_closed(deployment_id):
        raise errors.Conflict(
            f"{deployment_id} has not ended yet.", f"End it with: towline stop {deployment_id} --rollback"
        )
    if view.info.get("creator") == Creator.ROLLBACK:
        raise errors.InvalidInput(
            f"{deployment_id} is a rollback itself.",
            "Deploy the revision that is wanted: towline deploy APP GROUP --revision …",
        )


async def check_is_what_runs(door: Door, deployment_id: str, view: DeploymentView) -> None:
    """Raises `Conflict` where there is nothing to take back, or others have followed on every instance.

    The hosts would refuse it, too, but then they would stand there as owed.
    """
    info = view.info
    if not view.progress.touched and view.progress.is_whole:
        raise errors.Conflict(
            f"{deployment_id} touched no instance: there is nothing to take back.", "See: towline list"
        )
    where = f"{info['applicationName']}/{info['deploymentGroupName']}"
    client = door.deployments.temporal
    group = await Catalogue(client).group(info["applicationName"], info["deploymentGroupName"])
    states = (await read_memory(client, group))[1] if group else {}
    last = sorted({state.deployment_id for state in states.values()})
    if not last or deployment_id in last or not await _all_followed(door, view, last):
        return
    raise errors.Conflict(
        f"{deployment_id} is not what runs in {where} any more: {names(last)} followed it on every instance.",
        f"Take that back first, or deploy the revision that is wanted: towline deploy {where.replace('/', ' ')} "
        "--revision …",
    )


async def _all_followed(door: Door, view: DeploymentView, others: list[str]) -> bool:
    """Whether each of these began after it, and none tried to take it back: that may be tried again.

    A group learns of a deployment that was terminated a moment later, and until then remembers those before it. What
    cannot be told is left to the hosts, whose journals know.
    """
    began = view.info.get("createTime", "")
    for other in others:
        try:
            info = (await door.view(other)).info
        except errors.NotFound:
            return False
        undone = (info.get("rollbackInfo") or {}).get("rollbackTriggeringDeploymentId")
        if not began or info.get("createTime", "") <= began or undone == view.info["deploymentId"]:
            return False
    return True


def undo_request(view: DeploymentView, deployment_id: str, run_id: str, new_id: str) -> DeployRequest:
    """The request that takes a deployment back, failed instances first, as many at once as it had itself."""
    info = view.info
    asking = who()
    undo = Undo(
        deployment_id=deployment_id,
        run_id=run_id,
        failed=tuple(failure.instance for failure in view.progress.failures),
        slots=view.progress.slots,
    )
    return DeployRequest(
        application_name=info["applicationName"],
        deployment_group_name=info["deploymentGroupName"],
        deployment_config_name=info.get("deploymentConfigName"),
        description=rollback_label(deployment_id).capitalize(),
        undo=undo,
        requested_by=asking.name,
        requested_from=asking.run,
    )


def _ask(view: DeploymentView) -> None:
    info = view.info
    where = f"{info['applicationName']}/{info['deploymentGroupName']}"
    say(f"{info['deploymentId']} brought {label_of(info.get('revision')) or 'a revision'} to {where}.")
    touched = view.progress.touched
    click.confirm(
        f"Take {touched or 'its'} instance{'s' if touched != 1 else ''} back to what they ran before?",
        abort=True,
        err=True,
    )
