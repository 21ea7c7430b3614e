"""Two API servers behind a balancer that sends each request to the next of them: one fleet, polled by either."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.harness.agents import ApiProcess, api_server, declare_polled, enrolled, running
from tests.harness.cutting_proxy import cutting_proxy
from tests.harness.site import Site, running_site
from tests.harness.temporal import TemporalServer, eventually
from towline.agents.peers import api_servers

pytestmark = pytest.mark.slow

WAITING = 'echo run >> "$TOWLINE_ROOT/runs"; while [ ! -e "$TOWLINE_ROOT/go" ]; do sleep 0.05; done'


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def site(temporal: TemporalServer, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    async with running_site(temporal, tmp_path_factory.mktemp("two")) as site:
        yield site


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def servers(site: Site) -> AsyncIterator[tuple[ApiProcess, ApiProcess]]:
    async with api_server(site, name="api-1") as first, api_server(site, name="api-2") as second:

        async def both_at_work() -> bool:
            return {first.url, second.url} <= set(await api_servers(site.client))

        await eventually(both_at_work, seconds=60)
        yield first, second


def logs(*servers: ApiProcess) -> str:
    return "\n".join(server.log.read_text()[-4000:] for server in servers)


async def test_polls_of_either_server(site: Site, servers: tuple[ApiProcess, ApiProcess]) -> None:
    names = ["two-1", "two-2", "two-3"]
    await declare_polled(site, "shop", "two", *names)
    async with cutting_proxy(*(server.url for server in servers)) as balancer:
        with running(*await enrolled(site, balancer.url, *names)):
            for version in ("v1", "v2"):
                done = await site.towline("deploy", "shop", "two", "--revision", str(site.bundle(version)))
                assert done.status == 0, done.out + done.err + logs(*servers)
                texts = {(site.root(name) / "srv/shop/index.html").read_text() for name in names}
                assert texts == {f"{version}\n"}


@pytest.mark.parametrize("polled", [0, 1])
async def test_a_host_that_polls_one_server_alone(
    site: Site, servers: tuple[ApiProcess, ApiProcess], polled: int
) -> None:
    """Temporal gives the activities to either, so that some of the hosts are reached through the other server."""
    names = [f"alone-{polled}-{number}" for number in range(4)]
    await declare_polled(site, "shop", f"alone-{polled}", *names)
    with running(*await enrolled(site, servers[polled].url, *names)):
        revision = str(site.bundle(f"alone-{polled}"))
        done = await site.towline("deploy", "shop", f"alone-{polled}", "--revision", revision)
        assert done.status == 0, done.out + done.err + logs(*servers)


@pytest.mark.parametrize("victim", [0, 1])
async def test_one_of_two_is_killed_in_mid_hook(
    site: Site, servers: tuple[ApiProcess, ApiProcess], victim: int
) -> None:
    group = f"killed-{victim}"
    await declare_polled(site, "shop", group, group)
    async with cutting_proxy(*(server.url for server in servers)) as balancer:
        with running(*await enrolled(site, balancer.url, group)):
            bundle = site.bundle(group, WAITING)
            deployment = asyncio.create_task(site.towline("deploy", "shop", group, "--revision", str(bundle)))
            await eventually(lambda: (site.root(group) / "runs").exists(), seconds=60)
            await asyncio.to_thread(servers[victim].end, signal.SIGKILL)
            (site.root(group) / "go").touch()
            done = await deployment
            await servers[victim].start()
            assert done.status == 0, done.out + done.err + logs(*servers)
            assert (site.root(group) / "runs").read_text() == "run\n"
