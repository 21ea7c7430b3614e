"""Deployments: create, look at, list, stop."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from towline import errors
from towline.api.errors import ApiError, not_supported
from towline.api.operations.groups import group_of
from towline.api.revisions import revision_from, revision_shown
from towline.api.service import Context, Handler, no_such_deployment
from towline.deployments.ids import new_deployment_id
from towline.model.messages import DeploymentView, DeployRequest, StopRequest

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
NOT_BUILT = ("targetInstances", "overrideAlarmConfiguration", "deploymentMode")
STOPPED = "No more commands will be scheduled for execution in the deployment instances"


async def create_deployment(context: Context) -> Mapping[str, Any]:
    """CreateDeployment. A retry of an SDK carries the same invocation id, and finds the deployment of the first try."""
    given = context.input
    if not given.get("deploymentGroupName"):
        raise ApiError("DeploymentGroupNameRequiredException", "The deployment group name is required.")
    application, name = given["applicationName"], given["deploymentGroupName"]
    context.authorize(context.arns.group(application, name))
    if unsupported := [member for member in NOT_BUILT if given.get(member)]:
        raise not_supported(f"{unsupported[0]} of CreateDeployment")
    if not given.get("revision"):
        raise ApiError("RevisionRequiredException", "RevisionLocation must be specified")
    group = await group_of(context, application, name)
    request = _request(given, context.call.caller.key.name)
    deployment_id = derived_id(context) or new_deployment_id()
    try:
        await _start(context, request, deployment_id, group.full_name)
    except errors.Conflict as error:
        raise ApiError("InvalidInputException", error.message) from error
    return {"deploymentId": deployment_id}


async def _start(context: Context, request: DeployRequest, deployment_id: str, group: str) -> None:
    """Starts it, unless it runs or has run already. Raises ApiError, Conflict."""
    deployments = context.deployments
    if not await deployments.exists(deployment_id):
        if await deployments.recorded_result(request, deployment_id):
            return
        await _refuse_if_busy(context, group)
    await deployments.start(request, deployment_id)


def derived_id(context: Context) -> str:
    """The id of a wish that can be recognised on any server, without state; empty where nothing tells it."""
    call = context.call
    wish = call.once or call.invocation_id
    if not wish:
        return ""
    kind = "once" if call.once else "invocation"
    parts = (kind, call.caller.key.key_id, wish, hashlib.sha256(call.body).hexdigest())
    number = int.from_bytes(hashlib.sha256("\0".join(parts).encode()).digest(), "big")
    letters = []
    for _ in range(9):
        number, place = divmod(number, len(ALPHABET))
        letters.append(ALPHABET[place])
    return "d-" + "".join(letters)


async def _refuse_if_busy(context: Context, group: str) -> None:
    active = await context.deployments.active(group)
    if active:
        name = group.partition("/")[2]
        raise ApiError(
            "DeploymentLimitExceededException",
            f"The Deployment Group '{name}' already has an active Deployment '{active}'",
        )


def _request(given: Mapping[str, Any], caller: str) -> DeployRequest:
    fields = {
        "applicationName": given["applicationName"],
        "deploymentGroupName": given["deploymentGroupName"],
        "revision": revision_from(given["revision"]),
        "deploymentConfigName": given.get("deploymentConfigName") or None,
        "description": given.get("description", ""),
        "ignoreApplicationStopFailures": given.get("ignoreApplicationStopFailures", False),
        "fileExistsBehavior": given.get("fileExistsBehavior"),
        "autoRollbackConfiguration": given.get("autoRollbackConfiguration"),
        "updateOutdatedInstancesOnly": given.get("updateOutdatedInstancesOnly", False),
        "ifBusy": "fail",
        "requestedBy": caller,
    }
    try:
        return DeployRequest.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        member = str(first["loc"][0])
        code = {
            "fileExistsBehavior": "InvalidFileExistsBehaviorException",
            "autoRollbackConfiguration": "InvalidAutoRollbackConfigException",
        }.get(member, "InvalidInputException")
        raise ApiError(code, f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error


async def get_deployment(context: Context) -> Mapping[str, Any]:
    """GetDeployment."""
    view = await view_of(context, context.input["deploymentId"])
    authorize_deployment(context, view)
    return {"deploymentInfo": shown(view.info)}


async def batch_get_deployments(context: Context) -> Mapping[str, Any]:
    """BatchGetDeployments: unknown ids are left out."""
    found = []
    for deployment_id in dict.fromkeys(context.input["deploymentIds"]):
        try:
            view = await view_of(context, deployment_id)
        except ApiError as error:
            if error.code != "DeploymentDoesNotExistException":
                raise
            continue
        authorize_deployment(context, view)
        found.append(shown(view.info))
    return {"deploymentsInfo": found}


async def stop_deployment(context: Context) -> Mapping[str, Any]:
    """StopDeployment."""
    deployment_id = context.input["deploymentId"]
    view = await view_of(context, deployment_id)
    authorize_deployment(context, view)
    if view.info.get("status") in ("Succeeded", "Failed", "Stopped"):
        raise ApiError("DeploymentAlreadyCompletedException", f"The deployment {deployment_id} is already completed")
    rollback = context.input.get("autoRollbackEnabled")
    try:
        request = StopRequest(rollback=rollback, reason=f"StopDeployment by {context.call.caller.key.name}")
        answer = await context.deployments.stop(deployment_id, request)
    except errors.NotFound:
        raise no_such_deployment(deployment_id) from None
    status = answer.status if answer else "Pending"
    return {"status": status, "statusMessage": STOPPED if status == "Succeeded" else ""}


async def view_of(context: Context, deployment_id: str) -> DeploymentView:
    """A deployment's view, from Temporal or else the store; raises ApiError where there is none."""
    view = await context.deployments.view_if_any(deployment_id)
    if view is None:
        raise no_such_deployment(deployment_id)
    return view


def authorize_deployment(context: Context, view: DeploymentView) -> None:
    """Raises ApiError unless the caller may do this on the deployment's group."""
    application, group = view.info.get("applicationName", "*"), view.info.get("deploymentGroupName", "*")
    context.authorize(context.arns.group(application, group))


def shown(info: Mapping[str, Any]) -> dict[str, Any]:
    """CodeDeploy's DeploymentInfo of a view's: its revisions as AWS's clients know them."""
    found = dict(info)
    for member in ("revision", "previousRevision"):
        if member in found:
            found[member] = revision_shown(found[member])
    return found


HANDLERS: Mapping[str, Handler] = {
    "CreateDeployment": create_deployment,
    "GetDeployment": get_deployment,
    "BatchGetDeployments": batch_get_deployments,
    "StopDeployment": stop_deployment,
}
