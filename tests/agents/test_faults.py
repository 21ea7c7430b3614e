"""What breaks between a host that polls and its API server, in the middle of a hook: it runs once."""

from __future__ import annotations

import asyncio
import random
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import pytest
import pytest_asyncio

from tests.harness.agents import AgentProcess, ApiProcess, api_server, declare_polled, enrolled
from tests.harness.cutting_proxy import CuttingProxy, Loss, cutting_proxy
from tests.harness.site import Done, Site, running_site
from tests.harness.temporal import TemporalServer, eventually

pytestmark = pytest.mark.slow

WAITING = 'echo run >> "$TOWLINE_ROOT/runs"; while [ ! -e "$TOWLINE_ROOT/go" ]; do sleep 0.05; done'


@dataclass
class Scene:
    """One host of a group of its own, with a deployment whose hook waits on it."""

    site: Site
    api: ApiProcess
    agent: AgentProcess
    deployment: asyncio.Task[Done]

    async def break_in_hook(self, fault: Callable[[], Awaitable[None]]) -> Done:
        """Lets the fault happen while the hook runs, and then the hook go on; returns the command's end."""
        await eventually(lambda: (self.agent.root / "runs").exists(), seconds=60)
        await fault()
        (self.agent.root / "go").touch()
        return await self.deployment


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def site(temporal: TemporalServer, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    async with running_site(temporal, tmp_path_factory.mktemp("faults")) as site:
        yield site


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def api(site: Site) -> AsyncIterator[ApiProcess]:
    async with api_server(site) as api:
        yield api


@pytest_asyncio.fixture
async def begin(site: Site, api: ApiProcess) -> AsyncIterator[Callable[..., Awaitable[Scene]]]:
    """Begins a deployment to the group of this name, whose one host polls the API server, or `through` a proxy."""
    agents: list[AgentProcess] = []

    async def scene(name: str, through: CuttingProxy | None = None) -> Scene:
        await declare_polled(site, "shop", name, name)
        agents.extend(await enrolled(site, through.url if through else api.url, name))
        agent = agents[-1].start()
        bundle = site.bundle(name, WAITING)
        deployment = asyncio.create_task(site.towline("deploy", "shop", name, "--revision", str(bundle)))
        return Scene(site, api, agent, deployment)

    yield scene
    for agent in agents:
        agent.end()


def ran_once(scene: Scene, done: Done) -> None:
    assert done.status == 0, done.out + done.err + scene.agent.log.read_text() + scene.api.log.read_text()
    assert (scene.agent.root / "runs").read_text() == "run\n"
    assert (scene.agent.root / "srv/shop/index.html").exists()


async def test_api_server_killed(begin: Callable[..., Awaitable[Scene]]) -> None:
    scene = await begin("api-killed")

    async def fault() -> None:
        scene.api.end(signal.SIGKILL)
        await scene.api.start()

    ran_once(scene, await scene.break_in_hook(fault))


async def test_api_server_ended(begin: Callable[..., Awaitable[Scene]]) -> None:
    scene = await begin("api-ended")

    async def fault() -> None:
        await asyncio.to_thread(scene.api.end)
        await scene.api.start()

    ran_once(scene, await scene.break_in_hook(fault))


async def test_agent_killed(begin: Callable[..., Awaitable[Scene]]) -> None:
    scene = await begin("agent-killed")

    async def fault() -> None:
        scene.agent.end(signal.SIGKILL)
        scene.agent.start()

    ran_once(scene, await scene.break_in_hook(fault))


@pytest.mark.parametrize("seed", [1, 2])
async def test_requests_and_answers_lost_at_random(
    begin: Callable[..., Awaitable[Scene]], api: ApiProcess, seed: int
) -> None:
    async with cutting_proxy(api.url) as proxy:
        chance = random.Random(seed)
        losses: list[Loss | None] = ["answer", "both", None, None, None]
        scene = await begin(f"lossy-{seed}", proxy)
        proxy.losses.extend(chance.choice(losses) for _ in range(500))

        async def fault() -> None:
            pass

        done = await scene.break_in_hook(fault)
        assert len(proxy.losses) < 490, "too few requests were made"
        proxy.losses.clear()
        ran_once(scene, done)
