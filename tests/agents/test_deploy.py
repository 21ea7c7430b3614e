"""Deployments to hosts that poll: real Temporal, a worker, an API server and agents, each a process of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.harness.agents import ApiProcess, api_server, declare_polled, enrolled, running
from tests.harness.site import Site, running_site
from tests.harness.temporal import TemporalServer, eventually

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


async def test_what_a_deployment_would_do(site: Site, api: ApiProcess) -> None:
    await declare_polled(site, "shop", "planned", "web-3")
    with running(*await enrolled(site, api.url, "web-3")):
        done = await site.towline("deploy", "shop", "planned", "--revision", str(site.bundle("v3")), "--plan")
        assert done.status == 0, done.out + done.err
        assert "/srv/shop/index.html" in done.out
        assert not (site.root("web-3") / "srv/shop").exists()


async def test_stop_now_ends_a_hook(site: Site, api: ApiProcess) -> None:
    await declare_polled(site, "shop", "stopped", "web-4")
    with running(*await enrolled(site, api.url, "web-4")):
        bundle = site.bundle("v4", 'touch "$TOWLINE_ROOT/began"; sleep 600')
        deployment = asyncio.create_task(site.towline("deploy", "shop", "stopped", "--revision", str(bundle)))
        await eventually(lambda: (site.root("web-4") / "began").exists(), seconds=60)
        stopped = await site.towline("stop", "shop/stopped", "--now")
        assert stopped.status == 0, stopped.out + stopped.err
        done = await deployment
        assert done.status in (3, 4), done.out + done.err


async def test_logs_while_a_hook_runs(site: Site, api: ApiProcess) -> None:
    await declare_polled(site, "shop", "logged", "web-5")
    with running(*await enrolled(site, api.url, "web-5")):
        script = 'touch "$TOWLINE_ROOT/began"; while [ ! -e "$TOWLINE_ROOT/go" ]; do sleep 0.05; done'
        bundle = site.bundle("v5", script)
        deployment = asyncio.create_task(site.towline("deploy", "shop", "logged", "--revision", str(bundle)))
        await eventually(lambda: (site.root("web-5") / "began").exists(), seconds=60)
        logs = await site.towline("logs", "shop/logged")
        (site.root("web-5") / "go").touch()
        assert "hello from v5" in logs.out, logs.err
        assert (await deployment).status == 0
