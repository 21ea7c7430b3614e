"""AWS's agent and an API server that dies at a given moment: nothing is lost, and nothing runs twice."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.agents.test_codedeploy_deploy import ALL_EVENTS, NOOPS, declare, deploy, hosts
from tests.harness.agents import ApiProcess, api_server
from tests.harness.site import Site, running_site
from tests.harness.temporal import TemporalServer, eventually

pytestmark = pytest.mark.slow


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def site(temporal: TemporalServer, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    async with running_site(temporal, tmp_path_factory.mktemp("aws-agents-faults")) as site:
        yield site


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=lambda number: number.name)
async def test_an_api_server_that_ends_in_the_middle_costs_nothing(site: Site, number: signal.Signals) -> None:
    group = f"killed-{number.name.lower()}"
    async with api_server(site) as api:
        await declare(site, group, f"{group}-1")
        gate = asyncio.Event()
        (host,) = await hosts(site, api, f"{group}-1", holds={"Install": gate})
        async with host.running():
            running = asyncio.create_task(deploy(site, group, site.bundle(group)))
            await eventually(lambda: any(event == "Install" for _, event in host.ran))
            api.end(number)
            gate.set()
            await api.start()
            done = await running
    assert done.status == 0, done.out + done.err + api.log.read_text()
    assert len(host.ran) == len(set(host.ran)) == len([event for event in ALL_EVENTS if event not in NOOPS])


async def test_hosts_that_call_one_api_server_are_served_by_the_runs_of_another(site: Site) -> None:
    names = [f"two-{number}" for number in range(6)]
    async with api_server(site) as first, another_api_server(site) as second:
        await declare(site, "two", *names)
        several = await hosts(site, second, *names)
        async with contextlib.AsyncExitStack() as running:
            for host in several:
                await running.enter_async_context(host.running())
            done = await deploy(site, "two", site.bundle("two-v1"))
    assert done.status == 0, done.out + done.err + first.log.read_text() + second.log.read_text()
    assert "is given" in first.log.read_text(), "by chance no run was on the server that no host calls"
    for host in several:
        assert len(host.ran) == len(set(host.ran)) and len(host.bundles) == 1


@contextlib.asynccontextmanager
async def another_api_server(site: Site) -> AsyncIterator[ApiProcess]:
    api = ApiProcess(site, site.folder / "api-2.log")
    await api.start()
    try:
        yield api
    finally:
        api.end()
