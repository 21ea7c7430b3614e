"""Targets of a deployment, which for servers are its instances: the current operations and their deprecated twins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from towline.api.errors import ApiError
from towline.api.operations.deployments import authorize_deployment, info_of
from towline.api.paging import page
from towline.api.rules import MAX_BATCH_TARGETS
from towline.api.service import Context, Handler
from towline.model.deployment.status import TargetStatus
from towline.model.deployment.target import InstanceTarget

STATUSES = {*TargetStatus, "Ready"}
"""CodeDeploy's; only an instance of a blue/green deployment is Ready."""
FILTERS = ("TargetStatus", "ServerInstanceLabel")


async def list_deployment_targets(context: Context) -> Mapping[str, Any]:
    """ListDeploymentTargets."""
    filters = context.input.get("targetFilters") or {}
    if unknown := [name for name in filters if name not in FILTERS]:
        raise ApiError("InvalidTargetFilterNameException", f"The target filter name {unknown[0]!r} is not valid.")
    _refuse_labels(filters.get("ServerInstanceLabel"))
    statuses = filters.get("TargetStatus") or ()
    found, token = await _page_of_ids(context, statuses)
    return {"targetIds": found, "nextToken": token}


async def list_deployment_instances(context: Context) -> Mapping[str, Any]:
    """ListDeploymentInstances, deprecated."""
    _refuse_labels(context.input.get("instanceTypeFilter"))
    found, token = await _page_of_ids(context, context.input.get("instanceStatusFilter") or ())
    return {"instancesList": found, "nextToken": token}


async def get_deployment_target(context: Context) -> Mapping[str, Any]:
    """GetDeploymentTarget."""
    (target,) = _chosen(await targets_of(context), [context.input["targetId"]])
    return {"deploymentTarget": _as_target(context, target)}


async def batch_get_deployment_targets(context: Context) -> Mapping[str, Any]:
    """BatchGetDeploymentTargets: one unknown id fails the whole call."""
    ids = context.input["targetIds"]
    if len(ids) > MAX_BATCH_TARGETS:
        text = f"At most {MAX_BATCH_TARGETS} target IDs can be given in one call."
        raise ApiError("DeploymentTargetListSizeExceededException", text)
    chosen = _chosen(await targets_of(context), ids)
    return {"deploymentTargets": [_as_target(context, target) for target in chosen]}


async def get_deployment_instance(context: Context) -> Mapping[str, Any]:
    """GetDeploymentInstance, deprecated."""
    wanted = _name_in(context.input["instanceId"])
    found = (await _targets_so_far(context)).get(wanted)
    if found is None:
        raise ApiError("InstanceDoesNotExistException", f"The instance {wanted} is not part of the deployment.")
    return {"instanceSummary": _as_summary(context, found)}


async def batch_get_deployment_instances(context: Context) -> Mapping[str, Any]:
    """BatchGetDeploymentInstances, deprecated: unknown ids are named in `errorMessage`."""
    ids = context.input["instanceIds"]
    if len(ids) > MAX_BATCH_TARGETS:
        raise ApiError("BatchLimitExceededException", f"At most {MAX_BATCH_TARGETS} instance IDs can be given.")
    targets = await _targets_so_far(context)
    wanted = [_name_in(one) for one in ids]
    missing = [name for name in wanted if name not in targets]
    summaries = [_as_summary(context, targets[name]) for name in wanted if name in targets]
    text = f"Instances not found in the deployment: {', '.join(missing)}" if missing else None
    return {"instancesSummary": summaries, "errorMessage": text}


async def targets_of(context: Context) -> dict[str, InstanceTarget]:
    """The InstanceTargets of the call's deployment, by id.

    Raises ApiError where the deployment does not exist, or its instances are not known yet.
    """
    targets = await _targets_if_known(context)
    if targets is None:
        text = f"The deployment {context.input['deploymentId']} has not started."
        raise ApiError("DeploymentNotStartedException", text)
    return targets


async def _targets_so_far(context: Context) -> dict[str, InstanceTarget]:
    """The same for the deprecated operations, which have no error for a deployment that has not started."""
    return await _targets_if_known(context) or {}


async def _targets_if_known(context: Context) -> dict[str, InstanceTarget] | None:
    deployment_id = context.input["deploymentId"]
    info = await info_of(context, deployment_id)
    authorize_deployment(context, info)
    if info.deployment_overview is None:
        return None
    report = await context.backend.reports.read(deployment_id, lambda: context.deployments.full_report(deployment_id))
    return {target.target_id: target for target in report.targets}


async def _page_of_ids(context: Context, statuses: Sequence[str]) -> tuple[list[str], str | None]:
    if wrong := [status for status in statuses if status not in STATUSES]:
        raise ApiError("InvalidInstanceStatusException", f"The instance status {wrong[0]!r} is not valid.")
    targets = await targets_of(context)
    ids = sorted(name for name, one in targets.items() if not statuses or one.status in statuses)
    of = ["targets", context.input["deploymentId"], sorted(statuses)]
    return page(ids, context.input.get("nextToken"), lambda name: name, of)


def _refuse_labels(labels: Sequence[str] | None) -> None:
    """Blue and Green belong to blue/green deployments."""
    if wrong := [label for label in labels or () if label not in ("Blue", "Green")]:
        raise ApiError("InvalidInstanceTypeException", f"The instance type {wrong[0]!r} is not valid.")
    if labels:
        text = "The instance type filter is only valid for a blue/green deployment."
        raise ApiError("InvalidDeploymentInstanceTypeException", text)


def _chosen(targets: Mapping[str, InstanceTarget], ids: Sequence[str]) -> list[InstanceTarget]:
    for name in ids:
        if _name_in(name) not in targets:
            text = f"The target {name} does not exist in the deployment."
            raise ApiError("DeploymentTargetDoesNotExistException", text)
    return [targets[_name_in(name)] for name in ids]


def _name_in(text: str) -> str:
    """The id that an ARN ends with, or the text itself: AWS takes both."""
    return text.rpartition("/")[2] if text.startswith("arn:") else text


def _as_target(context: Context, target: InstanceTarget) -> dict[str, Any]:
    shown = target.as_json() | {"targetArn": context.arns.target(target.target_id)}
    return {"deploymentTargetType": "InstanceTarget", "instanceTarget": shown}


def _as_summary(context: Context, target: InstanceTarget) -> dict[str, Any]:
    shown = target.as_json()
    del shown["targetId"]
    return shown | {"instanceId": context.arns.target(target.target_id)}


HANDLERS: Mapping[str, Handler] = {
    "ListDeploymentTargets": list_deployment_targets,
    "GetDeploymentTarget": get_deployment_target,
    "BatchGetDeploymentTargets": batch_get_deployment_targets,
    "ListDeploymentInstances": list_deployment_instances,
    "GetDeploymentInstance": get_deployment_instance,
    "BatchGetDeploymentInstances": batch_get_deployment_instances,
}
