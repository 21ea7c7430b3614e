"""Deployments: create, look at, list, stop."""

from __future__ import annotations

import asyncio
import hashlib
import re
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError

from towline import errors
from towline.api.errors import ApiError, not_built, not_supported
from towline.api.operations.group_members import error_of
from towline.api.operations.groups import check_config, group_of
from towline.api.paging import PAGE, first_page, invalid_token, place_in
from towline.api.revisions import revision_from, revision_shown
from towline.api.rules import asks_for_something
from towline.api.service import Context, Handler, already_completed, no_such_deployment
from towline.deployments.ids import new_deployment_id
from towline.model.deployment.info import DeploymentInfo
from towline.model.deployment.lifecycle import DeploymentType
from towline.model.deployment.listed import DeploymentFilter, Place
from towline.model.deployment.requirements import check_is_built
from towline.model.deployment.status import DeploymentStatus
from towline.model.group.group import DeploymentGroup
from towline.model.manifest.finding import Finding
from towline.model.manifest.rules import rollback_findings
from towline.model.manifest.traffic_rules import alarm_findings
from towline.model.messages.deploy import DeployRequest, StopRequest

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
STATUSES = {*DeploymentStatus, "Ready"}
"""CodeDeploy's; only a blue/green deployment is Ready."""
MODES = ("STANDARD", "RESTART")
ACTIVE = re.compile(r"active Deployment '([^']+)'")
LEAVING_SECONDS = 3.0
"""How long a deployment that has ended may take to leave its group before another one is refused."""
STOPPED = "No more commands will be scheduled for execution in the deployment instances"


async def create_deployment(context: Context) -> Mapping[str, Any]:
    """CreateDeployment. A retry of an SDK carries the same invocation id, and finds the deployment of the first try."""
    given = context.input
    if not given.get("deploymentGroupName"):
        raise ApiError("DeploymentGroupNameRequiredException", "The deployment group name is required.")
    application, name = given["applicationName"], given["deploymentGroupName"]
    context.authorize(context.arns.group(application, name))
    _check_mode(given.get("deploymentMode") or "STANDARD")
    if not given.get("revision"):
        raise ApiError("RevisionRequiredException", "RevisionLocation must be specified")
    group = await group_of(context, application, name)
    _check_target_instances(given, group)
    request = _request(given, context.call.caller.key.name, "wait" if group.if_busy == "wait" else "fail")
    deployment_id = derived_id(context) or new_deployment_id()
    try:
        await _start(context, request, deployment_id, group)
    except errors.Conflict as error:
        raise ApiError("InvalidInputException", error.message) from error
    return {"deploymentId": deployment_id}


async def _start(context: Context, request: DeployRequest, deployment_id: str, group: DeploymentGroup) -> None:
    """Starts it, unless it runs or has run already. Raises ApiError, Conflict."""
    deployments = context.deployments
    if not await deployments.exists(deployment_id):
        if await deployments.recorded_result(request, deployment_id):
            return
        await check_config(context, request.deployment_config_name or group.deployment_config_name)
        _check_is_built(request, group)
        if request.if_busy == "fail":
            await _reserve(context, group, deployment_id)
    await deployments.start(request, deployment_id)


def _check_mode(mode: str) -> None:
    if mode not in MODES:
        raise ApiError("InvalidInputException", f"The deployment mode is one of {', '.join(MODES)}.")
    if mode == "RESTART":
        raise not_supported("deploymentMode RESTART of CreateDeployment")


def _check_target_instances(given: Mapping[str, Any], group: DeploymentGroup) -> None:
    """Raises ApiError where instances are named for a deployment that has no others than the group's."""
    is_in_place = group.deployment_style.deployment_type is DeploymentType.IN_PLACE
    if is_in_place and asks_for_something(given.get("targetInstances")):
        text = "targetInstances is only valid for a blue/green deployment; the deployment group's is in-place."
        raise ApiError("InvalidTargetInstancesException", text)


def _check_is_built(request: DeployRequest, group: DeploymentGroup) -> None:
    """Refuses a deployment that the workflow would refuse: before it exists, so that the caller is told at once."""
    try:
        check_is_built(request, group)
    except errors.InvalidInput as error:
        raise not_built(str(error)) from error


async def _reserve(context: Context, group: DeploymentGroup, deployment_id: str) -> None:
    """Refuses as CodeDeploy does where another deployment is active: before this one exists, so nothing is left.

    One that shows its end already may still be leaving the group: a job that has waited for it must not be refused.
    """
    end = time.monotonic() + LEAVING_SECONDS
    while True:
        try:
            return await context.deployments.reserve(group, deployment_id, context.call.caller.key.name)
        except errors.Conflict as error:
            if time.monotonic() > end or not await _has_ended(context, error.message):
                raise ApiError("DeploymentLimitExceededException", error.message) from error
        await asyncio.sleep(0.1)


async def _has_ended(context: Context, refusal: str) -> bool:
    """Whether the active deployment that a refusal names has ended."""
    named = ACTIVE.search(refusal)
    view = await context.deployments.view_if_any(named[1]) if named else None
    return view is not None and view.info.status.is_final


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


def _request(given: Mapping[str, Any], caller: str, if_busy: str) -> DeployRequest:
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
        "overrideAlarmConfiguration": given.get("overrideAlarmConfiguration"),
        "ec2DeploymentOptions": given.get("ec2DeploymentOptions"),
        "ifBusy": if_busy,
        "requestedBy": caller,
    }
    try:
        request = DeployRequest.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        code = _CODES.get(str(first["loc"][0]), "InvalidInputException")
        raise ApiError(code, f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    if finding := next(_findings(request), None):
        raise error_of(finding)
    return request


def _findings(request: DeployRequest) -> Iterator[Finding]:
    """What breaks a rule of CodeDeploy's in what a deployment has of its own, in place of the group's."""
    if request.auto_rollback_configuration:
        yield from rollback_findings(request.auto_rollback_configuration, ("autoRollbackConfiguration",))
    if request.override_alarm_configuration:
        yield from alarm_findings(request.override_alarm_configuration, ("overrideAlarmConfiguration",))


_CODES = {
    "fileExistsBehavior": "InvalidFileExistsBehaviorException",
    "autoRollbackConfiguration": "InvalidAutoRollbackConfigException",
    "overrideAlarmConfiguration": "InvalidAlarmConfigException",
    "ec2DeploymentOptions": "InvalidAutoScalingGroupProcessToSuspendException",
}


async def get_deployment(context: Context) -> Mapping[str, Any]:
    """GetDeployment."""
    info = await info_of(context, context.input["deploymentId"])
    authorize_deployment(context, info)
    return {"deploymentInfo": shown(info)}


async def batch_get_deployments(context: Context) -> Mapping[str, Any]:
    """BatchGetDeployments: unknown ids are left out."""
    ids = dict.fromkeys(context.input["deploymentIds"])
    every = await asyncio.gather(*(context.deployments.info(deployment_id) for deployment_id in ids))
    found = [info for info in every if info]
    for info in found:
        authorize_deployment(context, info)
    return {"deploymentsInfo": [shown(info) for info in found]}


async def list_deployments(context: Context) -> Mapping[str, Any]:
    """ListDeployments, newest first."""
    given = context.input
    application, group = given.get("applicationName", ""), given.get("deploymentGroupName", "")
    await _authorize_list(context, application, group)
    statuses = tuple(sorted(given.get("includeOnlyStatuses") or ()))
    if wrong := [status for status in statuses if status not in STATUSES]:
        raise ApiError("InvalidDeploymentStatusException", f"The deployment status {wrong[0]!r} is not valid.")
    since, until = _time_range(given.get("createTimeRange") or {})
    if given.get("externalId"):
        return {"deployments": []}
    wanted = DeploymentFilter(application, group, statuses, since=since, until=until, with_refused=True)
    filters = ["deployments", application, group, statuses, since, until]
    before = _place(place_in(given.get("nextToken"), filters))
    newest = await context.deployments.list_deployments(wanted, PAGE + 1, before=before)
    found, token = first_page(newest, lambda one: one.place, filters)
    return {"deployments": [one.deployment_id for one in found], "nextToken": token}


def _place(given: list[Any] | None) -> Place | None:
    """The place in a token; raises ApiError where it is none of this list."""
    match given:
        case None:
            return None
        case [int(at), str(deployment_id)]:
            return at, deployment_id
        case _:
            raise invalid_token()


async def _authorize_list(context: Context, application: str, group: str) -> None:
    """Application and group go together: both are named, or neither is."""
    if group and not application:
        raise ApiError("ApplicationNameRequiredException", "The application name is required.")
    if application and not group:
        raise ApiError("DeploymentGroupNameRequiredException", "The deployment group name is required.")
    context.authorize(context.arns.group(application or "*", group or "*"))
    if group:
        await group_of(context, application, group)


def _time_range(given: Mapping[str, float]) -> tuple[str, str]:
    """Start and end as ISO 8601; empty where they are not given."""
    start, end = given.get("start"), given.get("end")
    if start is not None and end is not None and start > end:
        raise ApiError("InvalidTimeRangeException", "The start of the time range is after its end.")
    return _iso(start), _iso(end)


def _iso(seconds: float | None) -> str:
    return "" if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")


async def stop_deployment(context: Context) -> Mapping[str, Any]:
    """StopDeployment."""
    deployment_id = context.input["deploymentId"]
    info = await info_of(context, deployment_id)
    authorize_deployment(context, info)
    if info.status.is_final:
        raise already_completed(deployment_id)
    rollback = context.input.get("autoRollbackEnabled")
    try:
        request = StopRequest(rollback=rollback, reason=f"StopDeployment by {context.call.caller.key.name}")
        answer = await context.deployments.stop(deployment_id, request)
    except errors.NotFound:
        raise already_completed(deployment_id) from None
    status = answer.status if answer else "Pending"
    return {"status": status, "statusMessage": STOPPED if status == "Succeeded" else ""}


async def info_of(context: Context, deployment_id: str) -> DeploymentInfo:
    """A deployment's DeploymentInfo, from Temporal or else the store; raises ApiError where there is none."""
    info = await context.deployments.info(deployment_id)
    if info is None:
        raise no_such_deployment(deployment_id)
    return info


def authorize_deployment(context: Context, info: DeploymentInfo) -> None:
    """Raises ApiError unless the caller may do this on the deployment's group."""
    application, group = info.application_name or "*", info.deployment_group_name or "*"
    context.authorize(context.arns.group(application, group))


def shown(info: DeploymentInfo) -> dict[str, Any]:
    """CodeDeploy's DeploymentInfo of a view's: its revisions as AWS's clients know them."""
    found = info.as_json()
    for member in ("revision", "previousRevision"):
        if member in found:
            found[member] = revision_shown(found[member])
    return found


HANDLERS: Mapping[str, Handler] = {
    "CreateDeployment": create_deployment,
    "GetDeployment": get_deployment,
    "BatchGetDeployments": batch_get_deployments,
    "ListDeployments": list_deployments,
    "StopDeployment": stop_deployment,
}
