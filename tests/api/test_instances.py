"""On-premises instances by boto3: registered once, tagged, selected by groups, deregistered and registered again."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.api.conftest import Api

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


def arn(name: str) -> str:
    return f"arn:aws:iam::123456789012:user/{name}"


def code_of(call: Any, **arguments: Any) -> str:
    """The code with which a call is refused; empty where it is not."""
    try:
        call(**arguments)
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return ""


async def test_an_instance_from_its_registration_to_the_next(api: Api) -> None:
    codedeploy = api.client()
    name, tags = "AssetTag-1", [{"Key": "role", "Value": "web"}, {"Key": "env", "Value": "test"}]

    def job() -> None:
        codedeploy.register_on_premises_instance(instanceName=name, iamUserArn=arn("one"))
        codedeploy.add_tags_to_on_premises_instances(instanceNames=[name], tags=tags)
        info = codedeploy.get_on_premises_instance(instanceName=name)["instanceInfo"]
        assert info["iamUserArn"] == arn("one") and info["tags"] == tags
        assert info["instanceArn"].startswith("arn:aws:codedeploy:eu-west-1:000000000000:instance/AssetTag-1_")
        assert info["registerTime"] and "deregisterTime" not in info
        codedeploy.remove_tags_from_on_premises_instances(instanceNames=[name], tags=tags[1:])
        filters = [{"Key": "role", "Value": "web", "Type": "KEY_AND_VALUE"}]
        listed = codedeploy.list_on_premises_instances(registrationStatus="Registered", tagFilters=filters)
        assert listed["instanceNames"] == [name]
        codedeploy.deregister_on_premises_instance(instanceName=name)
        codedeploy.deregister_on_premises_instance(instanceName=name)
        gone = codedeploy.get_on_premises_instance(instanceName=name)["instanceInfo"]
        assert gone["deregisterTime"] and gone["tags"] == [] and gone["iamUserArn"] == arn("one")
        assert name in codedeploy.list_on_premises_instances(registrationStatus="Deregistered")["instanceNames"]
        codedeploy.register_on_premises_instance(instanceName=name, iamUserArn=arn("one"))
        again = codedeploy.get_on_premises_instance(instanceName=name)["instanceInfo"]
        assert again["instanceArn"] != info["instanceArn"] and "deregisterTime" not in again
        several = codedeploy.batch_get_on_premises_instances(instanceNames=[name, "none"])["instanceInfos"]
        assert [one["instanceName"] for one in several] == [name]

    await asyncio.to_thread(job)


async def test_each_mistake_has_its_code(api: Api) -> None:
    codedeploy = api.client()
    register, tag = codedeploy.register_on_premises_instance, codedeploy.add_tags_to_on_premises_instances
    session = "arn:aws:sts::123456789012:assumed-role/role/session"

    def mistakes() -> dict[str, str]:
        register(instanceName="taken", iamSessionArn=session)
        many = [{"Key": f"k{number}", "Value": "v"} for number in range(11)]
        return {
            "name": code_of(register, instanceName="taken", iamUserArn=arn("other")),
            "arn": code_of(register, instanceName="another", iamSessionArn=session),
            "both": code_of(register, instanceName="another", iamSessionArn=session, iamUserArn=arn("x")),
            "none": code_of(register, instanceName="another"),
            "user": code_of(register, instanceName="another", iamUserArn="arn:aws:iam::1:user/x"),
            "session": code_of(register, instanceName="another", iamSessionArn=arn("x")),
            "i-": code_of(register, instanceName="i-0123", iamUserArn=arn("x")),
            "unknown": code_of(codedeploy.get_on_premises_instance, instanceName="none"),
            "tag unknown": code_of(tag, instanceNames=["taken", "none"], tags=many[:1]),
            "tags": code_of(tag, instanceNames=["taken"], tags=many),
            "empty tag": code_of(tag, instanceNames=["taken"], tags=[{"Key": "k", "Value": ""}]),
            "status": code_of(codedeploy.list_on_premises_instances, registrationStatus="Gone"),
        }

    assert await asyncio.to_thread(mistakes) == {
        "name": "InstanceNameAlreadyRegisteredException",
        "arn": "IamSessionArnAlreadyRegisteredException",
        "both": "MultipleIamArnsProvidedException",
        "none": "IamArnRequiredException",
        "user": "InvalidIamUserArnException",
        "session": "InvalidIamSessionArnException",
        "i-": "InvalidInstanceNameException",
        "unknown": "InstanceNotRegisteredException",
        "tag unknown": "InstanceNotRegisteredException",
        "tags": "TagLimitExceededException",
        "empty tag": "InvalidTagException",
        "status": "InvalidRegistrationStatusException",
    }
    info = await asyncio.to_thread(codedeploy.get_on_premises_instance, instanceName="taken")
    assert info["instanceInfo"]["tags"] == [], "tags are given to all of the instances or to none"


async def test_of_many_that_register_one_name_or_one_arn_one_wins(api: Api) -> None:
    codedeploy = api.client()

    def register(name: str, user: str) -> str:
        return code_of(codedeploy.register_on_premises_instance, instanceName=name, iamUserArn=arn(user))

    wanted = [("race", f"user-{number}") for number in range(8)] + [(f"race-{number}", "shared") for number in range(8)]
    codes = await asyncio.gather(*(asyncio.to_thread(register, *one) for one in wanted))
    assert sorted(codes[:8]) == ["", *["InstanceNameAlreadyRegisteredException"] * 7]
    assert sorted(codes[8:]) == ["", *["IamUserArnAlreadyRegisteredException"] * 7]


async def test_what_apply_declares_is_shown_and_can_be_deregistered(api: Api) -> None:
    await api.site.declare("shop", "declared", count=1)
    codedeploy = api.client()

    def job() -> None:
        info = codedeploy.get_on_premises_instance(instanceName="declared-1")["instanceInfo"]
        assert info["tags"] == [{"Key": "group", "Value": "shop/declared"}] and info["registerTime"]
        codedeploy.deregister_on_premises_instance(instanceName="declared-1")
        assert codedeploy.get_on_premises_instance(instanceName="declared-1")["instanceInfo"]["deregisterTime"]

    await asyncio.to_thread(job)
    listed = (await api.site.towline("instances", "--json")).json
    assert "declared-1" not in str(listed)
