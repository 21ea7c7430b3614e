"""Deployment configurations by boto3: rules, what is shown, and that none is deleted that a group uses."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.api.conftest import Api
from towline.catalogue.repository import Catalogue
from towline.model.catalogue.records import Change

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


def minimum(kind: str, value: int) -> dict[str, Any]:
    return {"minimumHealthyHosts": {"type": kind, "value": value}}


HALF = {"type": "FLEET_PERCENT", "value": 50}
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "reserved": ({"deploymentConfigName": "CodeDeployDefault.Mine"}, "InvalidDeploymentConfigNameException"),
    "no minimum": ({"minimumHealthyHosts": None}, "InvalidMinimumHealthyHostValueException"),
    "100 %": (
        {"minimumHealthyHosts": {"type": "FLEET_PERCENT", "value": 100}},
        "InvalidMinimumHealthyHostValueException",
    ),
    "below 0": (
        {"minimumHealthyHosts": {"type": "HOST_COUNT", "value": -1}},
        "InvalidMinimumHealthyHostValueException",
    ),
    "traffic": ({"trafficRoutingConfig": {"type": "AllAtOnce"}}, "InvalidTrafficRoutingConfigurationException"),
    "platform": ({"computePlatform": "Kubernetes"}, "InvalidComputePlatformException"),
    "lambda": ({"computePlatform": "Lambda"}, "InvalidComputePlatformException"),
    "zone": (
        {"zonalConfig": {"minimumHealthyHostsPerZone": {"type": "FLEET_PERCENT", "value": 100}}},
        "InvalidZonalDeploymentConfigurationException",
    ),
    "taken": ({"deploymentConfigName": "taken"}, "DeploymentConfigAlreadyExistsException"),
}


def code_of(call: Any, **arguments: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(**{name: value for name, value in arguments.items() if value is not None})
    return str(caught.value.response["Error"]["Code"])


async def test_each_mistake_has_its_code(api: Api) -> None:
    codedeploy = api.client()

    def mistakes() -> dict[str, str]:
        codedeploy.create_deployment_config(deploymentConfigName="taken", minimumHealthyHosts=HALF)
        plain = {"deploymentConfigName": "new", "minimumHealthyHosts": HALF}
        return {
            name: code_of(codedeploy.create_deployment_config, **plain | more) for name, (more, _) in REFUSED.items()
        }

    assert await asyncio.to_thread(mistakes) == {name: code for name, (_, code) in REFUSED.items()}


async def test_a_configuration_is_shown_as_it_was_created(api: Api) -> None:
    codedeploy = api.client()
    zonal = {"monitorDurationInSeconds": 60, "minimumHealthyHostsPerZone": {"type": "HOST_COUNT", "value": 1}}
    config = {"deploymentConfigName": "by-zone", "minimumHealthyHosts": HALF, "zonalConfig": zonal}

    def job() -> None:
        made = codedeploy.create_deployment_config(**config)["deploymentConfigId"]
        info = codedeploy.get_deployment_config(deploymentConfigName="by-zone")["deploymentConfigInfo"]
        assert {name: info[name] for name in config} == config
        assert info["deploymentConfigId"] == made and info["computePlatform"] == "Server"
        names = codedeploy.list_deployment_configs()["deploymentConfigsList"]
        assert {"by-zone", "CodeDeployDefault.OneAtATime"} <= set(names)
        one = codedeploy.get_deployment_config(deploymentConfigName="CodeDeployDefault.OneAtATime")
        assert one["deploymentConfigInfo"]["minimumHealthyHosts"] == {"type": "MOST_CONCURRENCY", "value": 1}
        missing = code_of(codedeploy.get_deployment_config, deploymentConfigName="none")
        assert missing == "DeploymentConfigDoesNotExistException"

    await asyncio.to_thread(job)


async def test_a_configuration_is_deleted_unless_a_group_uses_it(api: Api) -> None:
    codedeploy = api.client()
    config = {"deploymentConfigName": "used", "minimumHealthyHosts": HALF}
    await asyncio.to_thread(codedeploy.create_deployment_config, **config)
    await api.site.declare("shop", "user", count=0, deploymentConfigName="used")

    def delete(name: str = "used") -> str:
        try:
            codedeploy.delete_deployment_config(deploymentConfigName=name)
        except ClientError as error:
            return str(error.response["Error"]["Code"])
        return ""

    assert await asyncio.to_thread(delete) == "DeploymentConfigInUseException"
    catalogue = Catalogue(api.site.client)
    group = (await catalogue.read(["group/shop/user"]))["group/shop/user"]
    await catalogue.write([Change(key=group.key, version=group.version)])
    assert await asyncio.to_thread(delete) == ""
    assert await asyncio.to_thread(delete) == "", "one that does not exist is no error"
    assert await asyncio.to_thread(delete, "CodeDeployDefault.AllAtOnce") == "InvalidOperationException"
