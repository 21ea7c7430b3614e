"""What Terraform's AWS provider does with `aws_codedeploy_*`: its calls in their order, and what it must read back.

Source: terraform-provider-aws, internal/service/deploy, read for which calls are made when, and which codes it handles.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from tests.api.conftest import Api
from tests.api.scenario import ABSENT, Step, application, group, new_group, run, tag
from tests.api.test_groups import ROLE

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]
INFO = "deploymentGroupInfo."
NO_ROLLBACK: dict[str, Any] = {"enabled": False, "events": []}
ROLLBACK: dict[str, Any] = {"enabled": True, "events": ["DEPLOYMENT_FAILURE", "DEPLOYMENT_STOP_ON_REQUEST"]}


def arn(kind_and_name: str, account: str = "") -> str:
    """As the provider builds it: without an account where it is told not to ask AWS for one."""
    return f"arn:aws:codedeploy:eu-west-1:{account}:{kind_and_name}"


def updated(name: str, app: str = "tf-groups", **members: Any) -> dict[str, Any]:
    """The arguments of an update, with the role that the provider always sends."""
    return {"applicationName": app, "currentDeploymentGroupName": name, "serviceRoleArn": ROLE, **members}


APPLICATION = [
    Step("get_application", application("tf"), "ApplicationDoesNotExistException"),
    Step("create_application", application("tf") | {"computePlatform": "Server"}),
    Step(
        "get_application",
        application("tf"),
        {
            "application.applicationName": "tf",
            "application.computePlatform": "Server",
            "application.linkedToGitHub": False,
            "application.gitHubAccountName": ABSENT,
        },
    ),
    Step("list_tags_for_resource", {"ResourceArn": arn("application:tf")}, {"Tags": []}),
    Step("create_application", application("tf"), "ApplicationAlreadyExistsException"),
    Step("update_application", {"applicationName": "tf", "newApplicationName": "tf-renamed"}),
    Step("get_application", application("tf-renamed"), {"application.applicationName": "tf-renamed"}),
    Step("get_application", application("tf"), "ApplicationDoesNotExistException"),
    Step("list_tags_for_resource", {"ResourceArn": arn("application:tf-renamed")}, {"Tags": []}),
    Step("delete_application", application("tf-renamed")),
    Step("delete_application", application("tf-renamed")),  # gone already, as when someone else deleted it
    Step("get_application", application("tf-renamed"), "ApplicationDoesNotExistException"),
]

TAGS = [
    Step("create_application", application("tf-tags") | {"tags": [{"Key": "a", "Value": "1"}]}),
    Step(
        "list_tags_for_resource",
        {"ResourceArn": arn("application:tf-tags", "123456789012")},
        {"Tags": [{"Key": "a", "Value": "1"}]},
    ),
    Step("untag_resource", {"ResourceArn": arn("application:tf-tags"), "TagKeys": ["a"]}),
    Step("tag_resource", {"ResourceArn": arn("application:tf-tags"), "Tags": [{"Key": "b", "Value": ""}]}),
    Step(
        "list_tags_for_resource",
        {"ResourceArn": arn("application:tf-tags")},
        {"Tags": [{"Key": "b", "Value": ""}]},
    ),
    Step("create_deployment_group", new_group("tf-tags", "web", tags=[{"Key": "c", "Value": "3"}])),
    Step(
        "list_tags_for_resource",
        {"ResourceArn": arn("deploymentgroup:tf-tags/web")},
        {"Tags": [{"Key": "c", "Value": "3"}]},
    ),
    Step("delete_application", application("tf-tags")),
    Step("get_deployment_group", group("tf-tags", "web"), "ApplicationDoesNotExistException"),
    Step("delete_deployment_group", group("tf-tags", "web")),
]

CONFIG = [
    Step(
        "create_deployment_config",
        {
            "deploymentConfigName": "tf-config",
            "computePlatform": "Server",
            "minimumHealthyHosts": {"type": "FLEET_PERCENT", "value": 75},
        },
    ),
    Step(
        "get_deployment_config",
        {"deploymentConfigName": "tf-config"},
        {
            "deploymentConfigInfo.computePlatform": "Server",
            "deploymentConfigInfo.minimumHealthyHosts": {"type": "FLEET_PERCENT", "value": 75},
            "deploymentConfigInfo.trafficRoutingConfig": ABSENT,
            "deploymentConfigInfo.zonalConfig": ABSENT,
        },
    ),
    Step("create_application", application("tf-config")),
    Step("create_deployment_group", new_group("tf-config", "web", deploymentConfigName="tf-config")),
    Step("delete_deployment_config", {"deploymentConfigName": "tf-config"}, "DeploymentConfigInUseException"),
    Step("delete_application", application("tf-config")),
    Step("delete_deployment_config", {"deploymentConfigName": "tf-config"}),
    Step(
        "get_deployment_config",
        {"deploymentConfigName": "tf-config"},
        "DeploymentConfigDoesNotExistException",
    ),
]

GROUP = [
    Step("create_application", application("tf-groups")),
    Step(
        "create_deployment_group",
        new_group(
            "tf-groups",
            "basic",
            deploymentConfigName="CodeDeployDefault.OneAtATime",
            ec2TagFilters=[tag("env", "test")],
            outdatedInstancesStrategy="UPDATE",
            deploymentStyle={"deploymentType": "IN_PLACE", "deploymentOption": "WITHOUT_TRAFFIC_CONTROL"},
        ),
    ),
    Step(
        "get_deployment_group",
        group("tf-groups", "basic"),
        {
            INFO + "computePlatform": "Server",
            INFO + "serviceRoleArn": ROLE,
            INFO + "ec2TagFilters": [tag("env", "test")],
            INFO + "autoScalingGroups": [],
            INFO + "autoRollbackConfiguration.enabled": False,
            INFO + "alarmConfiguration.enabled": False,
            INFO + "triggerConfigurations": [],
            INFO + "outdatedInstancesStrategy": "UPDATE",
            INFO + "loadBalancerInfo": ABSENT,
            INFO + "blueGreenDeploymentConfiguration": ABSENT,
            INFO + "ec2TagSet": ABSENT,
            INFO + "ecsServices": ABSENT,
        },
    ),
    Step("update_deployment_group", updated("basic", deploymentConfigName="CodeDeployDefault.AllAtOnce")),
    Step(
        "get_deployment_group",
        group("tf-groups", "basic"),
        {INFO + "deploymentConfigName": "CodeDeployDefault.AllAtOnce", INFO + "ec2TagFilters": [tag("env", "test")]},
    ),
    Step("update_deployment_group", updated("basic", newDeploymentGroupName="renamed")),
    Step("get_deployment_group", group("tf-groups", "basic"), "DeploymentGroupDoesNotExistException"),
    Step("get_deployment_group", group("tf-groups", "renamed"), {INFO + "deploymentGroupName": "renamed"}),
    Step("delete_deployment_group", group("tf-groups", "renamed"), {"hooksNotCleanedUp": []}),
    Step("delete_deployment_group", group("tf-groups", "renamed"), {"hooksNotCleanedUp": []}),
    Step("get_deployment_group", group("tf-groups", "renamed"), "DeploymentGroupDoesNotExistException"),
    Step("delete_application", application("tf-groups")),
]

# The provider sends both halves of each filter, the one that is not configured as an empty string.
FILTERS = [
    Step("create_application", application("tf-filters")),
    Step(
        "create_deployment_group",
        new_group(
            "tf-filters",
            "g",
            ec2TagSet={"ec2TagSetList": [[tag("env", "test"), tag("role", "", "KEY_ONLY")], [tag("zone", "a")]]},
            onPremisesInstanceTagFilters=[tag("role", "", "KEY_ONLY"), tag("", "web", "VALUE_ONLY")],
        ),
    ),
    Step(
        "update_deployment_group",
        updated("g", "tf-filters", ec2TagFilters=[tag("env", "test")], ec2TagSet={"ec2TagSetList": []}),
    ),
    Step(
        "get_deployment_group",
        group("tf-filters", "g"),
        {INFO + "ec2TagFilters": [tag("env", "test")], INFO + "ec2TagSet": ABSENT},
    ),
    Step(
        "update_deployment_group",
        updated("g", "tf-filters", ec2TagFilters=[], ec2TagSet={"ec2TagSetList": [[tag("env", "prod")]]}),
    ),
    Step(
        "get_deployment_group",
        group("tf-filters", "g"),
        {INFO + "ec2TagFilters": [], INFO + "ec2TagSet": {"ec2TagSetList": [[tag("env", "prod")]]}},
    ),
    Step("update_deployment_group", updated("g", "tf-filters", onPremisesInstanceTagFilters=[])),
    Step("get_deployment_group", group("tf-filters", "g"), {INFO + "onPremisesInstanceTagFilters": []}),
    Step("update_deployment_group", updated("g", "tf-filters", autoScalingGroups=["blue", "green"])),
    Step(
        "get_deployment_group",
        group("tf-filters", "g"),
        {INFO + "autoScalingGroups": [{"name": "blue"}, {"name": "green"}]},
    ),
    Step("update_deployment_group", updated("g", "tf-filters", autoScalingGroups=[])),
    Step("get_deployment_group", group("tf-filters", "g"), {INFO + "autoScalingGroups": []}),
    Step("delete_application", application("tf-filters")),
]

# A block that is removed from the configuration is sent as an empty or disabled one.
BLOCKS = [
    Step("create_application", application("tf-blocks")),
    Step("create_deployment_group", new_group("tf-blocks", "g", autoRollbackConfiguration=ROLLBACK)),
    Step("get_deployment_group", group("tf-blocks", "g"), {INFO + "autoRollbackConfiguration": ROLLBACK}),
    Step(
        "update_deployment_group",
        updated("g", "tf-blocks", autoRollbackConfiguration=ROLLBACK | {"enabled": False}),
    ),
    Step(
        "get_deployment_group",
        group("tf-blocks", "g"),
        {INFO + "autoRollbackConfiguration": ROLLBACK | {"enabled": False}},
    ),
    Step("update_deployment_group", updated("g", "tf-blocks", autoRollbackConfiguration=NO_ROLLBACK)),
    Step("get_deployment_group", group("tf-blocks", "g"), {INFO + "autoRollbackConfiguration.enabled": False}),
    Step(
        "update_deployment_group",
        updated(
            "g",
            "tf-blocks",
            alarmConfiguration={"alarms": [], "enabled": False, "ignorePollAlarmFailure": False},
            triggerConfigurations=[],
            loadBalancerInfo={},
        ),
    ),
    Step(
        "get_deployment_group",
        group("tf-blocks", "g"),
        {INFO + "alarmConfiguration.enabled": False, INFO + "triggerConfigurations": []},
    ),
    Step("delete_application", application("tf-blocks")),
]

SCENARIOS = {
    "application": APPLICATION,
    "tags": TAGS,
    "configuration": CONFIG,
    "group": GROUP,
    "filters": FILTERS,
    "blocks": BLOCKS,
}


@pytest.mark.parametrize("steps", SCENARIOS.values(), ids=SCENARIOS)
async def test_what_the_provider_creates_it_reads_back(api: Api, steps: Sequence[Step]) -> None:
    await asyncio.to_thread(run, api.client(), steps)
