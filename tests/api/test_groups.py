"""Deployment groups by boto3: created, changed, renamed and deleted, with CodeDeploy's defaults and codes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
import pytest_asyncio

from tests.api.conftest import Api
from tests.api.test_end_to_end import refused
from towline.catalogue.repository import Catalogue
from towline.model.catalogue.changes import APPLIED, diff
from towline.model.manifest.export import as_yaml, manifest_of
from towline.model.manifest.parser import parse_manifest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]
ROLE = "arn:aws:iam::123456789012:role/deploys"
WEB = [{"Key": "role", "Value": "web", "Type": "KEY_AND_VALUE"}]


class Groups:
    """Groups of the application `groups`, by name."""

    def __init__(self, aws: Any) -> None:
        self.aws = aws

    async def create(self, name: str, **members: Any) -> str:
        given = {"serviceRoleArn": ROLE, **members}
        made = await self._call(self.aws.create_deployment_group, deploymentGroupName=name, **given)
        return str(made["deploymentGroupId"])

    async def get(self, name: str) -> dict[str, Any]:
        found = await self._call(self.aws.get_deployment_group, deploymentGroupName=name)
        info: dict[str, Any] = found["deploymentGroupInfo"]
        return info

    async def update(self, name: str, **members: Any) -> None:
        await self._call(self.aws.update_deployment_group, currentDeploymentGroupName=name, **members)

    async def refused(self, operation: Callable[..., Any], **arguments: Any) -> str:
        return await asyncio.to_thread(refused, operation, applicationName="groups", **arguments)

    async def refused_create(self, **members: Any) -> str:
        given = {"deploymentGroupName": "bad", "serviceRoleArn": ROLE, **members}
        return await self.refused(self.aws.create_deployment_group, **given)

    async def _call(self, operation: Callable[..., Any], **arguments: Any) -> dict[str, Any]:
        found: dict[str, Any] = await asyncio.to_thread(operation, applicationName="groups", **arguments)
        return found


@pytest_asyncio.fixture(loop_scope="session")
async def groups(api: Api) -> Groups:
    aws = api.client()
    known = await asyncio.to_thread(aws.list_applications)
    if "groups" not in known["applications"]:
        await asyncio.to_thread(aws.create_application, applicationName="groups")
    return Groups(aws)


async def test_a_group_is_read_back_with_codedeploys_defaults(groups: Groups) -> None:
    made = await groups.create("plain")
    info = await groups.get("plain")
    assert info["deploymentGroupId"] == made and info["serviceRoleArn"] == ROLE
    assert info["deploymentConfigName"] == "CodeDeployDefault.OneAtATime"
    assert info["deploymentStyle"] == {"deploymentType": "IN_PLACE", "deploymentOption": "WITHOUT_TRAFFIC_CONTROL"}
    assert (info["outdatedInstancesStrategy"], info["terminationHookEnabled"]) == ("UPDATE", False)
    assert "loadBalancerInfo" not in info and "blueGreenDeploymentConfiguration" not in info


async def test_absent_members_stay_and_lists_are_replaced(groups: Groups) -> None:
    await groups.create("web", onPremisesInstanceTagFilters=WEB, autoScalingGroups=["blue"])
    await groups.update("web", deploymentConfigName="CodeDeployDefault.AllAtOnce")
    info = await groups.get("web")
    assert info["onPremisesInstanceTagFilters"] == WEB and info["autoScalingGroups"] == [{"name": "blue"}]
    await groups.update("web", onPremisesTagSet={"onPremisesTagSetList": [WEB]}, onPremisesInstanceTagFilters=[])
    info = await groups.get("web")
    assert info["onPremisesTagSet"] == {"onPremisesTagSetList": [WEB]}
    assert not info.get("onPremisesInstanceTagFilters")
    await groups.update("web", onPremisesTagSet={}, autoScalingGroups=[])
    info = await groups.get("web")
    assert "onPremisesTagSet" not in info and not info["autoScalingGroups"]
    assert info["deploymentConfigName"] == "CodeDeployDefault.AllAtOnce"


async def test_a_renamed_group_keeps_its_id_and_its_tags(groups: Groups) -> None:
    made = await groups.create("before", tags=[{"Key": "team", "Value": "web"}])
    await groups.create("other")
    taken = await groups.refused(
        groups.aws.update_deployment_group, currentDeploymentGroupName="before", newDeploymentGroupName="other"
    )
    assert taken == "DeploymentGroupAlreadyExistsException"
    await groups.update("before", newDeploymentGroupName="after")
    assert (await groups.get("after"))["deploymentGroupId"] == made
    arn = "arn:aws:codedeploy:eu-west-1:000000000000:deploymentgroup:groups/after"
    tags = await asyncio.to_thread(groups.aws.list_tags_for_resource, ResourceArn=arn)
    assert tags["Tags"] == [{"Key": "team", "Value": "web"}]
    gone = await groups.refused(groups.aws.get_deployment_group, deploymentGroupName="before")
    assert gone == "DeploymentGroupDoesNotExistException"


async def test_deleting_twice_is_no_error_and_batches_name_what_is_missing(groups: Groups) -> None:
    await groups.create("short-lived")
    for _ in range(2):
        answer = await asyncio.to_thread(
            groups.aws.delete_deployment_group, applicationName="groups", deploymentGroupName="short-lived"
        )
        assert answer["hooksNotCleanedUp"] == []
    await groups.create("batch")
    names = ["batch", "short-lived"]
    found = await asyncio.to_thread(
        groups.aws.batch_get_deployment_groups, applicationName="groups", deploymentGroupNames=names
    )
    assert [one["deploymentGroupName"] for one in found["deploymentGroupsInfo"]] == ["batch"]
    assert "short-lived" in found["errorMessage"]


async def test_mistakes_have_codedeploys_codes(groups: Groups) -> None:
    await groups.create("there")
    sets = [[{"Key": "a", "Value": "b", "Type": "KEY_AND_VALUE"}]]
    cases: list[tuple[str, dict[str, Any]]] = [
        ("DeploymentGroupAlreadyExistsException", {"deploymentGroupName": "there"}),
        ("DeploymentConfigDoesNotExistException", {"deploymentConfigName": "none"}),
        ("InvalidTagException", {"onPremisesInstanceTagFilters": [{"Key": "a", "Value": "b", "Type": "KEY_ONLY"}]}),
        ("InvalidEC2TagException", {"ec2TagFilters": [{"Key": "a", "Value": "b", "Type": "VALUE_ONLY"}]}),
        ("InvalidEC2TagException", {"ec2TagFilters": [{"Value": "b", "Type": "KEY_AND_VALUE"}]}),
        ("InvalidEC2TagCombinationException", {"ec2TagFilters": WEB, "ec2TagSet": {"ec2TagSetList": sets}}),
        ("TagSetListLimitExceededException", {"ec2TagSet": {"ec2TagSetList": sets * 4}}),
        ("InvalidAutoRollbackConfigException", {"autoRollbackConfiguration": {"enabled": True, "events": []}}),
        ("InvalidAutoScalingGroupException", {"autoScalingGroups": [f"g{n}" for n in range(11)]}),
        ("InvalidECSServiceException", {"ecsServices": [{"serviceName": "web", "clusterName": "web"}]}),
    ]
    found = [await groups.refused_create(**members) for _, members in cases]
    assert found == [code for code, _ in cases]
    elsewhere = await asyncio.to_thread(
        refused,
        groups.aws.create_deployment_group,
        applicationName="none",
        deploymentGroupName="web",
        serviceRoleArn=ROLE,
    )
    assert elsewhere == "ApplicationDoesNotExistException"


async def test_what_the_api_made_is_exported_and_applied_without_a_change(api: Api, groups: Groups) -> None:
    await groups.create("exported", onPremisesInstanceTagFilters=WEB)
    records = await Catalogue(api.site.client).read_all(*APPLIED)
    of_application = {
        key: one for key, one in records.items() if key in ("application/groups", "group/groups/exported")
    }
    text = as_yaml(manifest_of({key: record.value for key, record in of_application.items()}))
    manifest = parse_manifest(text)
    assert not manifest.errors
    assert not diff(manifest.records, records).changes
