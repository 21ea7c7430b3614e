"""Deployments to hosts with AWS's agent: real Temporal, a worker, an API server, hosts that call as the agent does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import boto3
import pytest
import pytest_asyncio
import yaml

from tests.harness.agents import ApiProcess, api_server
from tests.harness.codedeploy_agent import PlayedHost, WireAgent, over_http
from tests.harness.site import Done, Site, running_site
from tests.harness.temporal import TemporalServer, eventually
from towline.api.access_keys import AccessKey
from towline.api.command_service.keys import read_host_keys
from towline.catalogue.repository import Catalogue
from towline.codedeploy_agents.access_keys import HostAccessKeys
from towline.model.catalogue.records import Change

pytestmark = pytest.mark.slow

ALL_EVENTS = ["DownloadBundle", "BeforeInstall", "Install", "AfterInstall", "ApplicationStart", "ValidateService"]
NOOPS = ("ApplicationStop", "BeforeInstall", "ApplicationStart", "ValidateService")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def site(temporal: TemporalServer, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    async with running_site(temporal, tmp_path_factory.mktemp("aws-agents")) as site:
        yield site


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def api(site: Site) -> AsyncIterator[ApiProcess]:
    async with api_server(site) as api:
        yield api


async def declare(site: Site, group: str, *names: str, rollback: bool = False) -> None:
    """Declares a group of hosts with AWS's agent."""
    await site.declare("shop", group, count=0, rollback=rollback)
    tags = {"group": f"shop/{group}"}
    values = [{"instanceName": name, "tags": tags, "codedeployAgent": {}} for name in names]
    await Catalogue(site.client).write([Change(key=f"instance/{one['instanceName']}", value=one) for one in values])


async def hosts(site: Site, api: ApiProcess, *names: str, **options: Any) -> list[PlayedHost]:
    """Hosts that were invited."""
    generations = await HostAccessKeys(Catalogue(site.client)).invite(names)
    keys = read_host_keys(Path(site.environ["TOWLINE_DATA_DIR"]) / "host-keys")
    send = over_http(api.url)
    options = {"noops": NOOPS, **options}
    return [PlayedHost(WireAgent(send, name, key=keys.key(name, generations[name])), **options) for name in names]


async def deploy(site: Site, group: str, bundle: Path) -> Done:
    return await site.towline("deploy", "shop", group, "--revision", str(bundle), "--json")


async def test_hosts_run_each_event_once_and_in_order(site: Site, api: ApiProcess) -> None:
    await declare(site, "order", "order-1", "order-2")
    both = await hosts(site, api, "order-1", "order-2")
    async with both[0].running(), both[1].running():
        done = await deploy(site, "order", site.bundle("order-v1"))
    assert done.status == 0, done.out + done.err + api.log.read_text()
    for host in both:
        assert [event for _, event in host.ran] == [event for event in ALL_EVENTS if event not in NOOPS]
        assert host.bundles == [["appspec.yml", "index.html", "scripts/after.sh"]]


async def test_an_instance_that_was_registered_by_the_api_is_deployed_to_by_its_agent(
    site: Site, api: ApiProcess
) -> None:
    arn = "arn:aws:iam::123456789012:user/by-another-name"
    client = boto3.client(
        "codedeploy",
        endpoint_url=api.url,
        region_name="us-east-1",
        aws_access_key_id="anybody",
        aws_secret_access_key="x" * 16,
    )
    await site.declare("shop", "registered", count=0)
    await asyncio.to_thread(client.register_on_premises_instance, instanceName="registered-1", iamUserArn=arn)
    tags = [{"Key": "group", "Value": "shop/registered"}]
    await asyncio.to_thread(client.add_tags_to_on_premises_instances, tags=tags, instanceNames=["registered-1"])
    invited = await site.towline("agent", "invite", "--codedeploy", "registered-1", "--endpoint", api.url)
    assert invited.status == 0, invited.err
    printed = yaml.safe_load(invited.out.partition("---\n")[2])
    key = AccessKey(printed["aws_access_key_id"], printed["aws_secret_access_key"], "registered-1")
    host = PlayedHost(WireAgent(over_http(api.url), "registered-1", identifier=arn, key=key), noops=NOOPS)
    async with host.running():
        done = await deploy(site, "registered", site.bundle("registered-v1"))
    assert done.status == 0, done.out + done.err
    assert len(host.bundles) == 1
    assert (await site.towline("agent", "revoke", "registered-1")).status == 0


async def test_a_failed_script_fails_the_instance_with_its_log(site: Site, api: ApiProcess) -> None:
    await declare(site, "failing", "failing-1")
    message = "Script at specified location: scripts/after.sh failed with exit code 7"
    failure = {"error_code": 4, "script_name": "scripts/after.sh", "message": message, "log": "[stderr]no disk\n"}
    (host,) = await hosts(site, api, "failing-1", ends={"AfterInstall": failure})
    async with host.running():
        done = await site.towline("deploy", "shop", "failing", "--revision", str(site.bundle("failing-v1")))
    assert done.status == 4, done.out + done.err
    assert message in done.out + done.err and "no disk" in done.out + done.err


async def test_a_rollback_deploys_what_the_host_ran_before_and_an_empty_revision_where_that_was_nothing(
    site: Site, api: ApiProcess
) -> None:
    await declare(site, "back", "back-1", rollback=True)
    (host,) = await hosts(site, api, "back-1")
    failure = {"error_code": 4, "script_name": "scripts/after.sh", "message": "failed", "log": ""}
    async with host.running():
        host.ends = {"ValidateService": failure}
        host.noops = ("ApplicationStop", "BeforeInstall", "ApplicationStart")
        first = asyncio.create_task(deploy(site, "back", site.bundle("back-v1")))
        await eventually(lambda: len(host.bundles) == 2)
        host.ends = {}
        assert (await first).status == 1
        assert host.bundles[1] == ["appspec.yml"], "nothing ran there before"
        assert (await deploy(site, "back", site.bundle("back-v2"))).status == 0
        host.ends = {"ValidateService": failure}
        third = asyncio.create_task(deploy(site, "back", site.bundle("back-v3", files={"three.html": "3"})))
        await eventually(lambda: len(host.bundles) == 5)
        host.ends = {}
        assert (await third).status == 1
    assert host.bundles[3] == ["appspec.yml", "index.html", "scripts/after.sh", "three.html"]
    assert host.bundles[4] == host.bundles[2] == ["appspec.yml", "index.html", "scripts/after.sh"]


async def test_a_stop_lets_the_event_end_and_begins_no_other(site: Site, api: ApiProcess) -> None:
    await declare(site, "stopped", "stopped-1")
    gate = asyncio.Event()
    (host,) = await hosts(site, api, "stopped-1", holds={"Install": gate})
    async with host.running():
        words = ("deploy", "shop", "stopped", "--revision", str(site.bundle("stopped-v1")), "--id", "d-stopped")
        running = asyncio.create_task(site.towline(*words))
        await eventually(lambda: ("d-stopped", "Install") in host.ran)
        stopping = asyncio.create_task(site.towline("stop", "d-stopped"))
        await eventually(lambda: is_halting(site, "d-stopped"))
        gate.set()
        assert (await stopping).status == 0
        assert (await running).status != 0
    assert host.ran[-1] == ("d-stopped", "Install")


async def test_a_stop_that_does_not_wait_ends_an_event_that_goes_on(site: Site, api: ApiProcess) -> None:
    await declare(site, "now", "now-1")
    (host,) = await hosts(site, api, "now-1", holds={"Install": asyncio.Event()})
    async with host.running():
        words = ("deploy", "shop", "now", "--revision", str(site.bundle("now-v1")), "--id", "d-now")
        running = asyncio.create_task(site.towline(*words))
        await eventually(lambda: ("d-now", "Install") in host.ran)
        assert (await site.towline("stop", "d-now", "--now")).status == 0
        done = await running
    assert done.status != 0 and "what runs there goes on" in done.out + done.err


async def is_halting(site: Site, deployment_id: str) -> bool:
    """Whether the session of the deployment's host knows of the stop."""
    shard = await site.client.get_workflow_handle(f"{deployment_id}/shard-001").describe()
    pending = shard.raw_description.pending_activities
    return any(b'"is_halting":true' in one.data for each in pending for one in each.heartbeat_details.payloads)
