"""boto3 against `towline api`, on a real Temporal server with local instances."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.api.conftest import Api
from tests.harness.temporal import eventually
from towline.api.revisions import revision_shown

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


def refused(call: Any, **arguments: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    return str(caught.value.response["Error"]["Code"])


async def test_a_job_creates_a_deployment_and_waits_for_it(api: Api) -> None:
    revision = revision_shown(api.site.stored(api.site.bundle("v1")))

    def job() -> dict[str, Any]:
        codedeploy = api.client()
        group = {"applicationName": "shop", "deploymentGroupName": "production"}
        made = codedeploy.create_deployment(**group, revision=revision, description="from CI")["deploymentId"]
        codedeploy.get_waiter("deployment_successful").wait(
            deploymentId=made, WaiterConfig={"Delay": 1, "MaxAttempts": 60}
        )
        found: dict[str, Any] = codedeploy.get_deployment(deploymentId=made)["deploymentInfo"]
        return found

    info = await asyncio.to_thread(job)
    assert info["deploymentOverview"]["Succeeded"] == 2 and info["revision"] == revision
    assert info["description"] == "from CI" and info["completeTime"] >= info["createTime"]
    assert (api.site.root("production-1") / "srv/shop/index.html").read_text() == "v1\n"
    listed = await api.site.towline("list", "--json")
    assert "CI" in listed.out, "who asked is on record"


async def test_a_wish_with_a_name_is_one_deployment(api: Api) -> None:
    revision = revision_shown(api.site.stored(api.site.bundle("once")))
    group = {"applicationName": "shop", "deploymentGroupName": "production"}

    def job() -> str:
        return str(api.client(path="/once/BUILD-17").create_deployment(**group, revision=revision)["deploymentId"])

    first = await asyncio.to_thread(job)
    assert await asyncio.to_thread(job) == first


async def test_of_many_jobs_at_once_one_deploys_and_the_others_are_refused_as_by_codedeploy(api: Api) -> None:
    await api.site.declare("shop", "busy", count=1)
    gate = api.site.folder / "busy-may-end"
    script = f"while [ ! -e {gate} ]; do sleep 0.1; done"
    revision = revision_shown(api.site.stored(api.site.bundle("busy", script)))
    group = {"applicationName": "shop", "deploymentGroupName": "busy"}
    codedeploy = api.client()

    def job() -> tuple[str, str]:
        try:
            return str(codedeploy.create_deployment(**group, revision=revision)["deploymentId"]), ""
        except ClientError as error:
            assert error.response["Error"]["Code"] == "DeploymentLimitExceededException"
            return "", str(error.response["Error"]["Message"])

    ends = await asyncio.gather(*(asyncio.to_thread(job) for _ in range(20)))
    (made,) = [made for made, _ in ends if made]
    text = f"The Deployment Group 'busy' already has an active Deployment '{made}'"
    assert [message for _, message in ends if message] == [text] * 19
    gate.touch()
    waiter = codedeploy.get_waiter("deployment_successful")
    await asyncio.to_thread(waiter.wait, deploymentId=made, WaiterConfig={"Delay": 1, "MaxAttempts": 60})
    listed = (await api.site.towline("list", "--group", "busy", "--json")).json
    assert len(listed) == 1, "a refused job leaves nothing"


async def test_a_group_may_have_jobs_wait(api: Api) -> None:
    await api.site.declare("shop", "patient", count=1, ifBusy="wait")
    revision = revision_shown(api.site.stored(api.site.bundle("patient")))
    group = {"applicationName": "shop", "deploymentGroupName": "patient"}
    codedeploy = api.client()

    def job() -> None:
        made = codedeploy.create_deployment(**group, revision=revision)["deploymentId"]
        codedeploy.get_waiter("deployment_successful").wait(
            deploymentId=made, WaiterConfig={"Delay": 1, "MaxAttempts": 60}
        )

    await asyncio.gather(*(asyncio.to_thread(job) for _ in range(3)))


async def test_mistakes_have_codedeploys_codes(api: Api) -> None:
    def mistakes() -> dict[str, str]:
        codedeploy, reader = api.client(), api.client("READER")
        group = {"applicationName": "shop", "deploymentGroupName": "production"}
        rar = {"bucket": "b", "key": "k", "bundleType": "rar"}
        s3, there = ({"revisionType": "S3", "s3Location": one} for one in (rar, {**rar, "bundleType": "zip"}))
        no_events = {"enabled": True, "events": []}
        create = codedeploy.create_deployment
        return {
            "application": refused(codedeploy.get_application, applicationName="none"),
            "group": refused(codedeploy.get_deployment_group, applicationName="shop", deploymentGroupName="none"),
            "taken": refused(codedeploy.create_application, applicationName="shop"),
            "name": refused(codedeploy.get_application, applicationName="a b"),
            "deployment": refused(codedeploy.get_deployment, deploymentId="d-NONE00000"),
            "revision": refused(codedeploy.create_deployment, **group),
            "bundle": refused(codedeploy.create_deployment, **group, revision=s3),
            "secret": refused(api.client(secret="x" * 20).list_applications),
            "denied": refused(reader.create_deployment, **group, revision=s3),
            "config": refused(create, **group, revision=there, deploymentConfigName="none"),
            "rollback": refused(create, **group, revision=there, autoRollbackConfiguration=no_events),
            "platform": refused(codedeploy.create_application, applicationName="functions", computePlatform="Lambda"),
        }

    assert await asyncio.to_thread(mistakes) == {
        "application": "ApplicationDoesNotExistException",
        "group": "DeploymentGroupDoesNotExistException",
        "taken": "ApplicationAlreadyExistsException",
        "name": "InvalidApplicationNameException",
        "deployment": "DeploymentDoesNotExistException",
        "revision": "RevisionRequiredException",
        "bundle": "InvalidRevisionException",
        "secret": "InvalidSignatureException",
        "denied": "AccessDeniedException",
        "config": "DeploymentConfigDoesNotExistException",
        "rollback": "InvalidAutoRollbackConfigException",
        "platform": "InvalidComputePlatformException",
    }


async def test_deployments_follow_their_application_and_group_to_new_names(api: Api) -> None:
    await api.site.declare("before", "web", count=1)
    revision = revision_shown(api.site.stored(api.site.bundle("renamed")))
    codedeploy = api.client()

    def job() -> str:
        group = {"applicationName": "before", "deploymentGroupName": "web"}
        made = str(codedeploy.create_deployment(**group, revision=revision)["deploymentId"])
        codedeploy.get_waiter("deployment_successful").wait(
            deploymentId=made, WaiterConfig={"Delay": 1, "MaxAttempts": 60}
        )
        codedeploy.update_application(applicationName="before", newApplicationName="after")
        codedeploy.update_deployment_group(
            applicationName="after", currentDeploymentGroupName="web", newDeploymentGroupName="front"
        )
        return made

    made = await asyncio.to_thread(job)

    async def has_new_names() -> bool:  # within a second
        info = (await asyncio.to_thread(codedeploy.get_deployment, deploymentId=made))["deploymentInfo"]
        return (info["applicationName"], info["deploymentGroupName"]) == ("after", "front")

    await eventually(has_new_names)
    now = {"applicationName": "after", "deploymentGroupName": "front"}
    assert (await asyncio.to_thread(codedeploy.list_deployments, **now))["deployments"] == [made]
    used = codedeploy.list_application_revisions(applicationName="after", deployed="include")["revisions"]
    assert used == [revision]
    info = codedeploy.get_application_revision(applicationName="after", revision=revision)["revisionInfo"]
    assert info["deploymentGroups"] == ["front"] and info["firstUsedTime"] == info["lastUsedTime"]
