"""Deployment groups: look at and list."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from towline.api.operations.applications import application_record
from towline.api.paging import page
from towline.api.service import Context, Handler, no_such_group
from towline.model.deployment.lifecycle import IN_PLACE
from towline.model.group.group import DeploymentGroup

OURS = {"where", "timeoutSeconds", "gitHubToken", "gitHubUrl", "owner", "fileExistsBehavior", "ifBusy"}
"""Members of a group's record that CodeDeploy's shape does not have."""


async def get_deployment_group(context: Context) -> Mapping[str, Any]:
    """GetDeploymentGroup."""
    application, name = context.input["applicationName"], context.input["deploymentGroupName"]
    context.authorize(context.arns.group(application, name))
    return {"deploymentGroupInfo": shown(await group_of(context, application, name))}


async def list_deployment_groups(context: Context) -> Mapping[str, Any]:
    """ListDeploymentGroups."""
    application = context.input["applicationName"]
    context.authorize(context.arns.group(application, "*"))
    await application_record(context, application)
    groups = await context.catalogue.groups()
    names = sorted(group.deployment_group_name for group in groups.values() if group.application_name == application)
    found, token = page(names, context.input.get("nextToken"), lambda name: name, ["groups", application])
    return {"applicationName": application, "deploymentGroups": found, "nextToken": token}


async def group_of(context: Context, application: str, name: str) -> DeploymentGroup:
    """A group as declared; raises ApiError where it, or its application, does not exist."""
    group = await context.catalogue.group(application, name)
    if group is None:
        await application_record(context, application)
        raise no_such_group(name)
    return group


def shown(group: DeploymentGroup) -> dict[str, Any]:
    """CodeDeploy's DeploymentGroupInfo."""
    plain = group.model_dump(mode="json", by_alias=True, exclude_none=True)
    info = {name: value for name, value in plain.items() if name not in OURS}
    info["autoScalingGroups"] = [{"name": name} for name in group.auto_scaling_groups]
    return info | {
        "computePlatform": "Server",
        "deploymentStyle": IN_PLACE.model_dump(mode="json", by_alias=True),
        "outdatedInstancesStrategy": "UPDATE",
        "terminationHookEnabled": False,
        "alarmConfiguration": {"enabled": False, "ignorePollAlarmFailure": False, "alarms": []},
        "triggerConfigurations": [],
    }


HANDLERS: Mapping[str, Handler] = {
    "GetDeploymentGroup": get_deployment_group,
    "ListDeploymentGroups": list_deployment_groups,
}
