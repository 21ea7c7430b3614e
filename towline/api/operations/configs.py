"""Deployment configurations: create, look at, list, delete. They cannot be changed."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from towline.api.errors import ApiError
from towline.api.operations.platforms import check_platform
from towline.api.operations.writing import write
from towline.api.paging import page
from towline.api.service import Context, Handler
from towline.catalogue.repository import CatalogueConflict
from towline.model.catalogue.records import Change, Record, Unchanged
from towline.model.group.config import PREDEFINED, DeploymentConfig, MinimumHealthyHosts, ZonalConfig
from towline.model.group.group import DeploymentGroup

_NAMESPACE = uuid.UUID("5c1c1a2e-7b0e-5b0e-9a53-3f5f3f0d8c10")
RESERVED_PREFIX = "CodeDeployDefault."
TOO_MANY = "The value for the minimum healthy hosts with type of FLEET_PERCENT should be positive and less than 100"
TOO_MANY_PER_ZONE = (
    "The value of the 'Minimum health hosts per zone' setting when configured with a 'Type' value of 'FLEET_PERCENT' "
    "must be positive and less than 100."
)
BEGINNING = 1_412_640_000.0
"""When the predefined configurations were made: with CodeDeploy's API of 2014-10-06."""


async def create_deployment_config(context: Context) -> Mapping[str, Any]:
    """CreateDeploymentConfig, for servers."""
    name = context.input["deploymentConfigName"]
    context.authorize(context.arns.config(name))
    config = _config(context.input)
    value = config.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    try:
        await write(context, [Change(key=f"config/{name}", value=value)])
    except CatalogueConflict:
        text = f"A deployment configuration with the name {name} already exists"
        raise ApiError("DeploymentConfigAlreadyExistsException", text) from None
    return {"deploymentConfigId": _id_of(name)}


async def get_deployment_config(context: Context) -> Mapping[str, Any]:
    """GetDeploymentConfig, predefined ones included."""
    name = context.input["deploymentConfigName"]
    context.authorize(context.arns.config(name))
    if name in PREDEFINED:
        return {"deploymentConfigInfo": _shown(PREDEFINED[name], BEGINNING)}
    record = (await context.catalogue.read([f"config/{name}"])).get(f"config/{name}")
    if record is None:
        text = f"No Deployment Configuration found for name: {name}"
        raise ApiError("DeploymentConfigDoesNotExistException", text)
    return {"deploymentConfigInfo": _shown(DeploymentConfig.model_validate(record.value), _created(record))}


async def list_deployment_configs(context: Context) -> Mapping[str, Any]:
    """ListDeploymentConfigs, predefined ones included."""
    context.authorize(context.arns.config("*"))
    names = sorted([*PREDEFINED, *await context.catalogue.configs()])
    found, token = page(names, context.input.get("nextToken"), lambda name: name, "configs")
    return {"deploymentConfigsList": found, "nextToken": token}


async def delete_deployment_config(context: Context) -> Mapping[str, Any]:
    """DeleteDeploymentConfig: one that a group uses stays; one that does not exist is no error."""
    name = context.input["deploymentConfigName"]
    context.authorize(context.arns.config(name))
    if name in PREDEFINED:
        raise ApiError("InvalidOperationException", f"The predefined configuration {name} cannot be deleted.")
    key = f"config/{name}"
    while record := (await context.catalogue.read([key])).get(key):
        groups, version = await context.catalogue.read_at("group")
        _refuse_if_used(name, groups)
        change = Change(key=key, version=record.version)
        try:
            await write(context, [change], unchanged=[Unchanged(prefix="group/", version=version)])
        except CatalogueConflict:
            continue  # a group was written meanwhile, which may use it
    return {}


def _refuse_if_used(name: str, groups: Mapping[str, Record]) -> None:
    for record in groups.values():
        group = DeploymentGroup.model_validate(record.value)
        if group.deployment_config_name == name:
            text = f"The deployment configuration {name} is in use by the deployment group {group.full_name}"
            raise ApiError("DeploymentConfigInUseException", text)


def _config(given: Mapping[str, Any]) -> DeploymentConfig:
    name = given["deploymentConfigName"]
    if name.startswith(RESERVED_PREFIX):
        text = f"The prefix {RESERVED_PREFIX} is reserved for predefined configuration names"
        raise ApiError("InvalidDeploymentConfigNameException", text)
    check_platform(given.get("computePlatform"))
    if given.get("trafficRoutingConfig"):
        text = "Traffic routing configuration should be null for Server deployment configuration"
        raise ApiError("InvalidTrafficRoutingConfigurationException", text)
    return DeploymentConfig(
        deployment_config_name=name,
        minimum_healthy_hosts=_minimum(given.get("minimumHealthyHosts")),
        zonal_config=_zonal(given.get("zonalConfig")),
    )


def _minimum(given: Mapping[str, Any] | None) -> MinimumHealthyHosts:
    code = "InvalidMinimumHealthyHostValueException"
    if not given:
        raise ApiError(code, "minimum healthy hosts argument is missing")
    if given.get("type") not in ("HOST_COUNT", "FLEET_PERCENT"):
        raise ApiError(code, "The type of minimum healthy hosts is HOST_COUNT or FLEET_PERCENT")
    try:
        return MinimumHealthyHosts(type=given["type"], value=given.get("value", 0))
    except ValidationError:
        raise ApiError(code, TOO_MANY if given["type"] == "FLEET_PERCENT" else "A HOST_COUNT is 0 or more") from None


def _zonal(given: Mapping[str, Any] | None) -> ZonalConfig | None:
    if not given:
        return None
    per_zone = given.get("minimumHealthyHostsPerZone")
    try:
        if per_zone and per_zone.get("type") == "MOST_CONCURRENCY":
            raise ValueError
        return ZonalConfig.model_validate(given)
    except ValueError:
        is_percent = per_zone and per_zone.get("type") == "FLEET_PERCENT" and per_zone.get("value", 0) > 99
        text = TOO_MANY_PER_ZONE if is_percent else "Durations and HOST_COUNT are 0 or more"
        raise ApiError("InvalidZonalDeploymentConfigurationException", text) from None


def _shown(config: DeploymentConfig, created: float) -> dict[str, Any]:
    """CodeDeploy's DeploymentConfigInfo."""
    info = config.model_dump(mode="json", by_alias=True, exclude_none=True, exclude={"owner"})
    name = config.deployment_config_name
    return info | {"deploymentConfigId": _id_of(name), "createTime": created, "computePlatform": "Server"}


def _created(record: Record) -> float:
    return datetime.fromisoformat(record.at).timestamp() if record.at else BEGINNING


def _id_of(name: str) -> str:
    return str(uuid.uuid5(_NAMESPACE, name))


HANDLERS: Mapping[str, Handler] = {
    "CreateDeploymentConfig": create_deployment_config,
    "GetDeploymentConfig": get_deployment_config,
    "ListDeploymentConfigs": list_deployment_configs,
    "DeleteDeploymentConfig": delete_deployment_config,
}
