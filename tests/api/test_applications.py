"""Applications and tags: renamed and deleted with all that belongs to them, whoever writes at the same time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.api.conftest import Api
from tests.api.test_end_to_end import refused
from tests.api.test_groups import ROLE
from towline.api.operations.applications import _renamed
from towline.catalogue.repository import Catalogue
from towline.model.catalogue.records import Change, Record

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


async def create(api: Api, application: str, *groups: str) -> None:
    changes = [Change(key=f"application/{application}", value={"applicationName": application})]
    for group in groups:
        value = {
            "applicationName": application,
            "deploymentGroupName": group,
            "deploymentGroupId": f"id-of-{group}",
            "deploymentConfigName": "CodeDeployDefault.AllAtOnce",
        }
        changes.append(Change(key=f"group/{application}/{group}", value=value))
    await Catalogue(api.site.client).write(changes)


async def call(operation: Any, **arguments: Any) -> dict[str, Any]:
    found: dict[str, Any] = await asyncio.to_thread(operation, **arguments)
    return found


async def test_a_renamed_application_keeps_its_id_its_groups_and_its_tags(api: Api) -> None:
    await create(api, "old", "a", "b")
    aws = api.client()
    before = (await call(aws.get_application, applicationName="old"))["application"]
    arn = "arn:aws:codedeploy:eu-west-1:000000000000:deploymentgroup:old/a"
    await call(aws.tag_resource, ResourceArn=arn, Tags=[{"Key": "team", "Value": "web"}])
    await call(aws.update_application, applicationName="old", newApplicationName="new")
    after = (await call(aws.get_application, applicationName="new"))["application"]
    assert (after["applicationId"], after["createTime"]) == (before["applicationId"], before["createTime"])
    groups = await call(aws.list_deployment_groups, applicationName="new")
    assert groups["deploymentGroups"] == ["a", "b"]
    group = await call(aws.get_deployment_group, applicationName="new", deploymentGroupName="a")
    assert group["deploymentGroupInfo"]["deploymentGroupId"] == "id-of-a"
    tags = await call(aws.list_tags_for_resource, ResourceArn=arn.replace("old/", "new/"))
    assert tags["Tags"] == [{"Key": "team", "Value": "web"}]

    def mistakes() -> list[str]:
        return [
            refused(aws.get_application, applicationName="old"),
            refused(aws.update_application, applicationName="old", newApplicationName="newer"),
            refused(aws.update_application, applicationName="new", newApplicationName="shop"),
        ]

    assert await asyncio.to_thread(mistakes) == [
        "ApplicationDoesNotExistException",
        "ApplicationDoesNotExistException",
        "ApplicationAlreadyExistsException",
    ]


async def test_an_application_and_group_of_a_former_name_have_ids_of_their_own(api: Api) -> None:
    aws = api.client()

    async def make(name: str) -> tuple[str, str]:
        made = await call(aws.create_application, applicationName=name)
        group = {"applicationName": name, "deploymentGroupName": "web", "serviceRoleArn": ROLE}
        return made["applicationId"], (await call(aws.create_deployment_group, **group))["deploymentGroupId"]

    async def shown(name: str) -> tuple[str, str]:
        application = await call(aws.get_application, applicationName=name)
        group = await call(aws.get_deployment_group, applicationName=name, deploymentGroupName="web")
        return application["application"]["applicationId"], group["deploymentGroupInfo"]["deploymentGroupId"]

    first = await make("moved")
    await call(aws.update_application, applicationName="moved", newApplicationName="moved-away")
    second = await make("moved")
    assert first[0] != second[0] and first[1] != second[1], "what is on hosts lies under the group's id"
    assert (await shown("moved-away"), await shown("moved")) == (first, second)


async def test_a_deleted_application_takes_its_groups_and_tags_with_it(api: Api) -> None:
    await create(api, "gone", "a")
    await create(api, "gone2", "a")
    aws = api.client()
    arn = "arn:aws:codedeploy:eu-west-1:000000000000:application:gone"
    await call(aws.tag_resource, ResourceArn=arn, Tags=[{"Key": "team", "Value": "web"}])
    for _ in range(2):
        await call(aws.delete_application, applicationName="gone")
    every = await Catalogue(api.site.client).read_all("application", "group", "tags")
    assert not [key for key in every if "gone" in key.split("/")] and "group/gone2/a" in every
    await create(api, "gone", "a")
    await call(aws.delete_application, applicationName="gone")  # also right after a group went
    assert await asyncio.to_thread(refused, aws.list_tags_for_resource, ResourceArn=arn) in (
        "ApplicationDoesNotExistException",
        "InvalidArnException",
    )


async def test_of_two_creators_of_one_name_one_wins(api: Api) -> None:
    clients = [api.client() for _ in range(6)]

    def create_application(client: Any) -> str:
        try:
            client.create_application(applicationName="contested", tags=[{"Key": "k", "Value": "v"}])
        except client.exceptions.ApplicationAlreadyExistsException:
            return "exists"
        return "created"

    answers = await asyncio.gather(*(asyncio.to_thread(create_application, client) for client in clients))
    assert sorted(answers) == ["created", *["exists"] * 5]


async def test_tags_are_merged_removed_and_bounded(api: Api) -> None:
    await create(api, "tagged")
    aws = api.client()
    arn = "arn:aws:codedeploy:eu-west-1:000000000000:application:tagged"
    await call(aws.tag_resource, ResourceArn=arn, Tags=[{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}])
    await call(aws.tag_resource, ResourceArn=arn, Tags=[{"Key": "b", "Value": "3"}])
    await call(aws.untag_resource, ResourceArn=arn, TagKeys=["a", "absent"])
    assert (await call(aws.list_tags_for_resource, ResourceArn=arn))["Tags"] == [{"Key": "b", "Value": "3"}]

    def mistakes() -> list[str]:
        many = [{"Key": f"k{n}", "Value": ""} for n in range(50)]
        return [
            refused(aws.tag_resource, ResourceArn=arn, Tags=many),
            refused(aws.tag_resource, ResourceArn=arn, Tags=[{"Key": "aws:x", "Value": ""}]),
            refused(aws.tag_resource, ResourceArn="nonsense", Tags=many[:1]),
            refused(aws.tag_resource, ResourceArn=arn.replace("tagged", "none"), Tags=many[:1]),
            refused(aws.list_tags_for_resource, ResourceArn=arn.replace("application:", "instance/")),
        ]

    assert await asyncio.to_thread(mistakes) == [
        "InvalidTagsToAddException",
        "InvalidTagsToAddException",
        "InvalidArnException",
        "ApplicationDoesNotExistException",
        "ArnNotSupportedException",
    ]


async def test_another_account_in_an_arn_evades_no_deny(api: Api) -> None:
    await create(api, "denied")
    limited = api.client("LIMITED")
    for account in ("000000000000", "111111111111", ""):
        arn = f"arn:aws:codedeploy:eu-west-1:{account}:application:denied"
        assert await asyncio.to_thread(refused, limited.list_tags_for_resource, ResourceArn=arn) == (
            "AccessDeniedException"
        )


@pytest.mark.parametrize(
    ("key", "new"),
    [
        ("application/application", "application/new"),
        ("group/group/group", "group/new/group"),
        ("tags/application/tags", "tags/application/new"),
        ("tags/group/application/qa", "tags/group/new/qa"),
    ],
)
def test_only_the_applications_part_of_a_key_is_renamed(key: str, new: str) -> None:
    removed, written = _renamed(Record(key=key, version=3, value={"applicationName": "x"}, at="2026-01-01"), "new")
    assert (removed.key, removed.version, removed.value) == (key, 3, None)
    assert written.key == new and written.value and written.value["applicationName"] == "new"
