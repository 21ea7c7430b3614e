"""Deployments to hosts that poll: real Temporal, a worker, an API server and agents, each a process of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.harness.agents import ApiProcess, api_server, declare_polled, enrolled, running
from tests.harness.site import Site, running_site
from tests.harness.temporal import TemporalServer

pytestmark = pytest.mark.slow


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def site(temporal: TemporalServer, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    async with running_site(temporal, tmp_path_factory.mktemp("agents")) as site:
        yield site


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def api(site: Site) -> AsyncIterator[ApiProcess]:
    async with api_server(site) as api:
        yield api


async def test_two_hosts_that_poll_get_a_revision(site: Site, api: ApiProcess) -> None:
    await declare_polled(site, "shop", "polled", "web-1", "web-2")
    with running(*await enrolled(site, api.url, "web-1", "web-2")):
        done = await site.towline("deploy", "shop", "polled", "--revision", str(site.bundle("v1")))
        assert done.status == 0, done.out + done.err + Path(site.folder / "api.log").read_text()
        for name in ("web-1", "web-2"):
            assert (site.root(name) / "srv/shop/index.html").read_text() == "v1\n"
