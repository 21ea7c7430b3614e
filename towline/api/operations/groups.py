"""Deployment groups: create, look at, list, change, delete."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from towline.api.arns import Resource
from towline.api.errors import ApiError
from towline.api.operations.applications import application_record
from towline.api.operations.group_deployments import last_deployments
from towline.api.operations.group_members import checked_group, given_members
from towline.api.operations.tags import tags_from, tags_key
from towline.api.operations.writing import retried, write, wrote
from towline.api.paging import page
from towline.api.service import Context, Handler, no_such_group
from towline.catalogue.repository import CatalogueConflict, group_key
from towline.model.catalogue.changes import group_ids
from towline.model.catalogue.records import Change, Record
from towline.model.group.config import PREDEFINED
from towline.model.group.group import DeploymentGroup, group_id_in, unused_group_id

OURS = {"where", "timeoutSeconds", "gitHubToken", "gitHubUrl", "owner", "fileExistsBehavior", "ifBusy"}
"""Members of a group's record that CodeDeploy's shape does not have."""


async def create_deployment_group(context: Context) -> Mapping[str, Any]:
    """CreateDeploymentGroup."""
    application, name = context.input["applicationName"], context.input["deploymentGroupName"]
    context.authorize(context.arns.group(application, name))
    tags = tags_from(context.input.get("tags") or ())
    names = {"applicationName": application, "deploymentGroupName": name}
    names["deploymentGroupId"] = await _new_id(context, application, name)
    group = checked_group(given_members(context.input) | names)
    await application_record(context, application)
    await check_config(context, group.deployment_config_name)
    changes = [Change(key=group_key(application, name), value=record_of(group))]
    if tags:
        changes.append(Change(key=_tags_key(application, name), value={"tags": tags}))
    try:
        await write(context, changes, exists=_needs(group))
    except CatalogueConflict:
        await application_record(context, application)
        await check_config(context, group.deployment_config_name)
        raise _already_exists(name) from None
    return {"deploymentGroupId": group.deployment_group_id}


async def _new_id(context: Context, application: str, name: str) -> str:
    """An id that no other group has; the same for an SDK's second attempt, after the first one created the group."""
    others = await context.catalogue.read_all("group")
    others.pop(group_key(application, name), None)
    return unused_group_id(application, name, group_ids(others))


@retried
async def update_deployment_group(context: Context) -> Mapping[str, Any]:
    """UpdateDeploymentGroup: absent members stay, lists are replaced; the id stays with another name, too."""
    given = context.input
    application, name = given["applicationName"], given["currentDeploymentGroupName"]
    new = given.get("newDeploymentGroupName") or name
    context.authorize(context.arns.group(application, name), context.arns.group(application, new))
    members = given_members(given)
    keys = {group_key(application, name), group_key(application, new), _tags_key(application, name)}
    records = await context.catalogue.read(sorted(keys))
    if new != name and wrote(context, records.get(group_key(application, new))):
        return {"hooksNotCleanedUp": []}
    await group_of(context, application, name)
    old = records.get(group_key(application, name))
    if old is None:
        raise no_such_group(name)
    if new != name and group_key(application, new) in records:
        raise _already_exists(new)
    kept = {member: value for member, value in {**old.value, **members}.items() if value is not None}
    kept["deploymentGroupId"] = group_id_in(application, name, old.value)
    group = checked_group(_without_other_filters(kept, members) | {"deploymentGroupName": new})
    await check_config(context, group.deployment_config_name)
    await write(context, _changes(old, group, records), exists=_needs(group))
    return {"hooksNotCleanedUp": []}


@retried
async def delete_deployment_group(context: Context) -> Mapping[str, Any]:
    """DeleteDeploymentGroup; one that does not exist is no error. What is installed on hosts stays."""
    application, name = context.input["applicationName"], context.input["deploymentGroupName"]
    context.authorize(context.arns.group(application, name))
    records = await context.catalogue.read([group_key(application, name), _tags_key(application, name)])
    if records:
        await write(context, [Change(key=key, version=record.version) for key, record in records.items()])
    return {"hooksNotCleanedUp": []}


async def batch_get_deployment_groups(context: Context) -> Mapping[str, Any]:
    """BatchGetDeploymentGroups: unknown names are named in `errorMessage`."""
    application, names = context.input["applicationName"], context.input["deploymentGroupNames"]
    context.authorize(*(context.arns.group(application, name) for name in names))
    await application_record(context, application)
    groups = await context.catalogue.groups()
    missing = [name for name in names if f"{application}/{name}" not in groups]
    return {
        "deploymentGroupsInfo": [shown(groups[f"{application}/{name}"]) for name in names if name not in missing],
        "errorMessage": f"Deployment groups not found for: {', '.join(missing)}" if missing else None,
    }


async def get_deployment_group(context: Context) -> Mapping[str, Any]:
    """GetDeploymentGroup."""
    application, name = context.input["applicationName"], context.input["deploymentGroupName"]
    context.authorize(context.arns.group(application, name))
    group = await group_of(context, application, name)
    return {"deploymentGroupInfo": shown(group) | await last_deployments(context, group)}


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


async def check_config(context: Context, name: str) -> None:
    """Raises ApiError where there is no such configuration."""
    if await context.catalogue.config(name) is None:
        text = f"No Deployment Configuration found for name: {name}"
        raise ApiError("DeploymentConfigDoesNotExistException", text)


def _needs(group: DeploymentGroup) -> list[str]:
    """The records without which the group could not be."""
    config = group.deployment_config_name
    return [f"application/{group.application_name}", *([] if config in PREDEFINED else [f"config/{config}"])]


def record_of(group: DeploymentGroup) -> dict[str, Any]:
    """A group's record, as `towline apply` writes it: with its id, which stays whatever its name becomes."""
    value: dict[str, Any] = group.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    kept = {"deploymentConfigName": group.deployment_config_name, "deploymentGroupId": group.deployment_group_id}
    return value | kept


def _without_other_filters(kept: dict[str, Any], members: Mapping[str, Any]) -> dict[str, Any]:
    """Filters replace a tag set that was there, and a set the filters: only a call that gives both conflicts."""
    for filters, tag_set in (("ec2TagFilters", "ec2TagSet"), ("onPremisesInstanceTagFilters", "onPremisesTagSet")):
        if members.get(tag_set) and not members.get(filters):
            kept.pop(filters, None)
        elif members.get(filters) and not members.get(tag_set):
            kept.pop(tag_set, None)
    return kept


def _changes(old: Record, group: DeploymentGroup, records: Mapping[str, Record]) -> list[Change]:
    application, new = group.application_name, group.deployment_group_name
    key = group_key(application, new)
    value = record_of(group) | {"deploymentGroupId": DeploymentGroup.model_validate(old.value).deployment_group_id}
    if key == old.key:
        return [Change(key=key, version=old.version, value=value)]
    changes = [Change(key=old.key, version=old.version), Change(key=key, value=value)]
    tags = next((record for record in records.values() if record.key.startswith("tags/")), None)
    if tags:
        changes.append(Change(key=tags.key, version=tags.version))
        changes.append(Change(key=_tags_key(application, new), value=tags.value))
    return changes


def _tags_key(application: str, name: str) -> str:
    return tags_key(Resource("deploymentgroup", f"{application}/{name}"))


def _already_exists(name: str) -> ApiError:
    text = f"A deployment group with the name {name} already exists"
    return ApiError("DeploymentGroupAlreadyExistsException", text)


def shown(group: DeploymentGroup) -> dict[str, Any]:
    """CodeDeploy's DeploymentGroupInfo."""
    plain = group.model_dump(mode="json", by_alias=True, exclude_none=True)
    info = {name: value for name, value in plain.items() if name not in OURS}
    scaling = [{"name": name} for name in group.auto_scaling_groups]
    return info | {"computePlatform": "Server", "autoScalingGroups": scaling}


HANDLERS: Mapping[str, Handler] = {
    "CreateDeploymentGroup": create_deployment_group,
    "UpdateDeploymentGroup": update_deployment_group,
    "DeleteDeploymentGroup": delete_deployment_group,
    "BatchGetDeploymentGroups": batch_get_deployment_groups,
    "GetDeploymentGroup": get_deployment_group,
    "ListDeploymentGroups": list_deployment_groups,
}
