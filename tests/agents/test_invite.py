"""Invitations and keys, by the commands that people run: against a real Temporal, an API server and agents."""

from __future__ import annotations

import asyncio
import re
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.harness.agents import AgentProcess, ApiProcess, api_server, declare_polled, enrolled, running
from tests.harness.site import Site, running_site
from tests.harness.temporal import TemporalServer, eventually
from towline.agents.keys import AgentKeys
from towline.catalogue.repository import Catalogue

pytestmark = pytest.mark.slow


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def site(temporal: TemporalServer, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    async with running_site(temporal, tmp_path_factory.mktemp("invite")) as site:
        yield site


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def api(site: Site) -> AsyncIterator[ApiProcess]:
    async with api_server(site) as api:
        yield api


@pytest.fixture
def keys(site: Site) -> AgentKeys:
    return AgentKeys(Catalogue(site.client))


async def enroll(agent: AgentProcess, url: str, token: str) -> subprocess.CompletedProcess[str]:
    return await asyncio.to_thread(agent.enroll, url, token)


async def test_invite_enroll_list_revoke(site: Site, api: ApiProcess) -> None:
    await declare_polled(site, "shop", "invited", "web-1")
    invited = await site.towline("agent", "invite", "web-1", "--endpoint", api.url)
    assert invited.status == 0, invited.err
    found = re.search(r"TOWLINE_TOKEN=(\S+) sh -s -- --name web-1 --endpoint (\S+)", invited.out)
    assert found, invited.out
    agent = AgentProcess("web-1", site.root("web-1"))
    done = await enroll(agent, found[2], found[1])
    assert (done.returncode, "web-1 is enrolled" in done.stderr) == (0, True), done.stderr
    with running(agent):

        async def is_listed() -> bool:
            (row,) = (await site.towline("agent", "list", "--json")).json
            return bool(row["lastPoll"]) and not row["isSilent"] and row["version"] != ""

        await eventually(is_listed, seconds=90)
        assert (await site.towline("agent", "revoke", "web-1")).status == 0
        deployed = await site.towline("deploy", "shop", "invited", "--revision", str(site.bundle("v1")))
        assert deployed.status == 1 and "the agent of web-1 was revoked" in deployed.out + deployed.err
    assert "revoked" in (await site.towline("agent", "list")).out


async def test_a_key_is_rotated_while_the_agent_runs(site: Site, api: ApiProcess, keys: AgentKeys) -> None:
    await declare_polled(site, "shop", "rotated", "web-8")
    (agent,) = await enrolled(site, api.url, "web-8")
    before = (await keys.records())["web-8"].keys
    with running(agent):
        done = await asyncio.to_thread(subprocess.run, agent.command("rotate"), capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        (after,) = (await keys.records())["web-8"].keys
        assert after.key_id in done.stderr and after not in before
        deployed = await site.towline("deploy", "shop", "rotated", "--revision", str(site.bundle("v8")))
        assert deployed.status == 0, deployed.out + agent.log.read_text()


async def test_an_invitation_works_once(site: Site, api: ApiProcess, keys: AgentKeys) -> None:
    token = (await keys.invite(["web-2"]))["web-2"]
    first, second = AgentProcess("web-2", site.folder / "first"), AgentProcess("web-2", site.folder / "second")
    assert (await enroll(first, api.url, token)).returncode == 0
    refused = await enroll(second, api.url, token)
    assert refused.returncode == 1
    assert "the invitation was used at" in refused.stderr and "towline agent invite web-2" in refused.stderr


@pytest.mark.parametrize(
    ("seconds", "token", "why"),
    [(-1.0, "", "the invitation expired at"), (60.0, "guessed", "the invitation is not known")],
)
async def test_an_invitation_that_is_no_longer_good(
    site: Site, api: ApiProcess, keys: AgentKeys, seconds: float, token: str, why: str
) -> None:
    made = (await keys.invite(["web-3"], seconds=seconds))["web-3"]
    refused = await enroll(AgentProcess("web-3", site.root("web-3")), api.url, token or made)
    assert (refused.returncode, why in refused.stderr) == (1, True), refused.stderr


async def test_a_token_is_kept_nowhere(site: Site, keys: AgentKeys) -> None:
    token = (await keys.invite(["web-4"]))["web-4"]
    for workflow in ("towline-catalogue-instances", "towline-catalogue-apps"):
        assert token not in await site.history(workflow)


async def test_a_host_that_was_never_invited_fails_and_says_so(site: Site, api: ApiProcess) -> None:
    await declare_polled(site, "shop", "stranger", "web-5")
    done = await site.towline("deploy", "shop", "stranger", "--revision", str(site.bundle("v5")))
    assert done.status == 1
    assert "web-5 has no agent" in done.out + done.err and "towline agent invite web-5" in done.out + done.err


async def test_the_installation_script_is_one_that_a_shell_reads(site: Site, tmp_path: Path) -> None:
    ca = tmp_path / "ca.pem"
    ca.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    words = ["--endpoint", "https://towline.example.com", "--ca", str(ca), "--script"]
    made = await site.towline("agent", "invite", "web-6", *words)
    assert made.status == 0, made.err
    script = tmp_path / "install.sh"
    script.write_text(made.out)
    checked = subprocess.run(["sh", "-n", str(script)], capture_output=True, text=True)
    assert (checked.returncode, checked.stderr) == (0, "")
    assert "BEGIN CERTIFICATE" in made.out


async def test_no_api_server_at_work_fails_before_anything_is_touched(temporal: TemporalServer, tmp_path: Path) -> None:
    async with running_site(temporal, tmp_path) as site:
        await declare_polled(site, "shop", "alone", "web-7")
        done = await site.towline("deploy", "shop", "alone", "--revision", str(site.bundle("v7")))
        assert done.status == 1
        assert "no API server is at work" in done.out + done.err and "towline api" in done.out + done.err
