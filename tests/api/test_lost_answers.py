"""Answers that are lost: the SDK sends the call again, to this server or another one, and it is done once."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.api.conftest import Api, api_server
from tests.api.test_groups import ROLE
from tests.harness.cutting_proxy import CuttingProxy, Loss, cutting_proxy
from towline.api.revisions import revision_shown

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def second(api: Api) -> AsyncIterator[str]:
    """The address of a second server beside the first one."""
    async with api_server(api.site, "second") as (url, _):
        yield url


@pytest_asyncio.fixture(params=["one server", "two servers"], loop_scope="session")
async def proxy(api: Api, second: str, request: pytest.FixtureRequest) -> AsyncIterator[CuttingProxy]:
    """A proxy in front of one server, or of two in turn."""
    servers = [api.url] if request.param == "one server" else [api.url, second]
    async with cutting_proxy(*servers) as proxy:
        yield proxy


async def retried(api: Api, proxy: CuttingProxy, operation: str, *losses: Loss, **arguments: Any) -> dict[str, Any]:
    """What boto3 is answered at last, after its own retries."""
    proxy.losses, proxy.heads = list(losses), []
    aws = api.client(url=proxy.url, attempts=len(losses) + 1)
    answer: dict[str, Any] = await asyncio.to_thread(getattr(aws, operation), **arguments)
    invocations = proxy.invocations()
    assert len(invocations) == len(losses) + 1 and len(set(invocations)) == 1, "boto3 sent one call several times"
    return answer


@pytest.mark.parametrize("loss", ["answer", "both"])
async def test_a_deployment_is_created_once(api: Api, proxy: CuttingProxy, loss: Loss) -> None:
    group = f"lost-{uuid.uuid4().hex[:6]}"
    await api.site.declare("shop", group, count=1)
    revision = revision_shown(api.site.stored(await asyncio.to_thread(api.site.bundle, group)))
    of_group = {"applicationName": "shop", "deploymentGroupName": group}
    made = await retried(api, proxy, "create_deployment", loss, loss, **of_group, revision=revision)
    aws = api.client()
    listed = await asyncio.to_thread(aws.list_deployments, **of_group)
    assert listed["deployments"] == [made["deploymentId"]]
    waiter = aws.get_waiter("deployment_successful")
    await asyncio.to_thread(
        waiter.wait, deploymentId=made["deploymentId"], WaiterConfig={"Delay": 1, "MaxAttempts": 60}
    )
    assert (await asyncio.to_thread(aws.list_deployments, **of_group))["deployments"] == listed["deployments"]


async def test_what_is_created_or_renamed_is_answered_as_the_first_time(api: Api, proxy: CuttingProxy) -> None:
    name, aws = f"lost-{uuid.uuid4().hex[:6]}", api.client()
    lost: tuple[Loss, ...] = ("answer", "answer")

    async def call(operation: str, **arguments: Any) -> dict[str, Any]:
        return await retried(api, proxy, operation, *lost, **arguments)

    tags = [{"Key": "team", "Value": "web"}]
    made = await call("create_application", applicationName=name, tags=tags)
    shown = await asyncio.to_thread(aws.get_application, applicationName=name)
    assert shown["application"]["applicationId"] == made["applicationId"]
    group = await call(
        "create_deployment_group", applicationName=name, deploymentGroupName="web", serviceRoleArn=ROLE, tags=tags
    )
    await call(
        "create_deployment_config", deploymentConfigName=name, minimumHealthyHosts={"type": "HOST_COUNT", "value": 1}
    )
    arn = f"arn:aws:iam::123456789012:user/{name}"
    await call("register_on_premises_instance", instanceName=name, iamUserArn=arn)
    renamed = {"currentDeploymentGroupName": "web", "newDeploymentGroupName": "www"}
    await call("update_deployment_group", applicationName=name, **renamed)
    await call("update_application", applicationName=name, newApplicationName=f"{name}-new")
    shown = await asyncio.to_thread(aws.get_deployment_group, applicationName=f"{name}-new", deploymentGroupName="www")
    assert shown["deploymentGroupInfo"]["deploymentGroupId"] == group["deploymentGroupId"]
    await call("deregister_on_premises_instance", instanceName=name)
    await call("delete_deployment_config", deploymentConfigName=name)
    await call("delete_application", applicationName=f"{name}-new")


async def test_a_ci_job_that_starts_over_finds_its_deployment_by_the_name_in_the_endpoint(api: Api) -> None:
    await api.site.declare("shop", "started-over", count=1)
    revision = revision_shown(api.site.stored(await asyncio.to_thread(api.site.bundle, "started-over")))
    group = ("--application-name", "shop", "--deployment-group-name", "started-over")
    words = ("deploy", "create-deployment", *group, "--revision", json.dumps(revision))
    first, again = [await api.aws(*words, path="/once/BUILD-17") for _ in range(2)]
    assert first.status == again.status == 0, again.err
    assert first.json == again.json
    of = ("--deployment-id", first.json["deploymentId"])
    waited = await api.aws("deploy", "wait", "deployment-successful", *of, path="/once/BUILD-17")
    assert waited.status == 0, waited.err
    after_its_end = await api.aws(*words, path="/once/BUILD-17")
    assert after_its_end.json == first.json
    another_build = await api.aws(*words, path="/once/BUILD-18")
    assert another_build.json != first.json
