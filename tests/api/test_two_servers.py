"""Two servers side by side: one catalogue, the same deployments, and work that goes on when one is killed."""

from __future__ import annotations

import asyncio
import signal
import subprocess
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from botocore.exceptions import ClientError

from tests.api.conftest import Api, api_server
from tests.api.test_groups import ROLE
from tests.harness.cutting_proxy import cutting_proxy
from towline.api.revisions import revision_shown

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]
USER = "arn:aws:iam::123456789012:user/"


@pytest_asyncio.fixture(loop_scope="session")
async def second(api: Api) -> AsyncIterator[tuple[str, subprocess.Popen[bytes]]]:
    """The address of a second server beside the first one, and its process."""
    async with api_server(api.site, "second") as started:
        yield started


async def call(operation: Any, **arguments: Any) -> dict[str, Any]:
    found: dict[str, Any] = await asyncio.to_thread(operation, **arguments)
    return found


async def outcome(operation: Any, **arguments: Any) -> str:
    try:
        await call(operation, **arguments)
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return "made"


async def test_what_one_server_wrote_the_other_shows_at_once(api: Api, second: Any) -> None:
    clients = [api.client(), api.client(url=second[0])]
    for number in range(10):
        writer, reader = clients[number % 2], clients[(number + 1) % 2]
        await call(writer.create_application, applicationName=f"seen-{number}")
        await call(reader.get_application, applicationName=f"seen-{number}")
        await call(reader.delete_application, applicationName=f"seen-{number}")
        gone = await outcome(writer.get_application, applicationName=f"seen-{number}")
        assert gone == "ApplicationDoesNotExistException"


async def test_of_creators_through_both_servers_one_wins(api: Api, second: Any) -> None:
    clients = [api.client(url=url) for url in (api.url, second[0]) for _ in range(4)]
    await call(clients[0].create_application, applicationName="both")
    group = {"applicationName": "both", "deploymentGroupName": "contested", "serviceRoleArn": ROLE}
    ends = await asyncio.gather(*(outcome(client.create_deployment_group, **group) for client in clients))
    assert sorted(ends) == ["DeploymentGroupAlreadyExistsException"] * 7 + ["made"]
    arns = [{"instanceName": f"both-{n}", "iamUserArn": f"{USER}both"} for n, _ in enumerate(clients)]
    ends = await asyncio.gather(
        *(outcome(client.register_on_premises_instance, **one) for client, one in zip(clients, arns, strict=True))
    )
    assert sorted(ends) == ["IamUserArnAlreadyRegisteredException"] * 7 + ["made"]


async def test_tags_that_are_added_through_both_servers_are_all_there(api: Api, second: Any) -> None:
    clients = [api.client(url=url, attempts=5) for url in (api.url, second[0])]
    name = "tagged-by-both"
    await call(clients[0].register_on_premises_instance, instanceName=name, iamUserArn=USER + name)
    await asyncio.gather(
        *(
            call(
                clients[n % 2].add_tags_to_on_premises_instances,
                instanceNames=[name],
                tags=[{"Key": f"k{n}", "Value": "v"}],
            )
            for n in range(10)
        )
    )
    info = (await call(clients[1].get_on_premises_instance, instanceName=name))["instanceInfo"]
    assert sorted(tag["Key"] for tag in info["tags"]) == [f"k{n}" for n in range(10)]


async def test_a_deployment_is_seen_and_stopped_through_the_other_server(api: Api, second: Any) -> None:
    await api.site.declare("shop", "other-server", count=1)
    gate = api.site.folder / "other-server-may-end"
    script = f"while [ ! -e {gate} ]; do sleep 0.1; done"
    revision = revision_shown(api.site.stored(await asyncio.to_thread(api.site.bundle, "other-server", script)))
    group = {"applicationName": "shop", "deploymentGroupName": "other-server"}
    aws, other = api.client(), api.client(url=second[0])
    made = (await call(aws.create_deployment, **group, revision=revision))["deploymentId"]
    assert (await call(other.list_deployments, **group))["deployments"] == [made]
    assert await outcome(other.create_deployment, **group, revision=revision) == "DeploymentLimitExceededException"
    assert (await call(other.stop_deployment, deploymentId=made))["status"] in ("Pending", "Succeeded")
    gate.touch()
    shown = await call(aws.get_deployment, deploymentId=made)
    while "completeTime" not in shown["deploymentInfo"]:
        shown = await call(aws.get_deployment, deploymentId=made)
    assert shown["deploymentInfo"]["status"] == "Stopped"


async def test_when_one_server_is_killed_retries_do_each_thing_once(api: Api, second: Any) -> None:
    names = [f"killed-{n:02d}" for n in range(40)]
    groups = names[:4]
    for group in groups:
        await api.site.declare("shop", group, count=1)
    revision = revision_shown(api.site.stored(await asyncio.to_thread(api.site.bundle, "killed")))
    async with cutting_proxy(api.url, second[0]) as proxy:
        aws = api.client(url=proxy.url, attempts=5)
        answered = asyncio.Event()

        async def register(name: str) -> None:
            await call(aws.register_on_premises_instance, instanceName=name, iamUserArn=USER + name)
            answered.set()

        async def deploy(group: str) -> str:
            of_group = {"applicationName": "shop", "deploymentGroupName": group}
            return str((await call(aws.create_deployment, **of_group, revision=revision))["deploymentId"])

        work = [asyncio.create_task(register(name)) for name in names]
        deployments = [asyncio.create_task(deploy(group)) for group in groups]
        await answered.wait()
        second[1].send_signal(signal.SIGKILL)
        await asyncio.gather(*work, *deployments)
    left = api.client()
    found = await call(left.batch_get_on_premises_instances, instanceNames=names)
    assert [info["instanceName"] for info in found["instanceInfos"]] == names
    for group, deployment in zip(groups, deployments, strict=True):
        listed = await call(left.list_deployments, applicationName="shop", deploymentGroupName=group)
        assert listed["deployments"] == [deployment.result()]
