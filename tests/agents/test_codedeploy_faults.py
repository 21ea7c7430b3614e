"""AWS's agent and an API server that dies at a given moment: nothing is lost, and nothing runs twice."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.agents.test_codedeploy_deploy import ALL_EVENTS, NOOPS, declare, deploy, hosts
from tests.harness.agents import api_server
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
