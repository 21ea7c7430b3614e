"""Rolling deployments behind HAProxy, under load: not one request fails. The example in examples/haproxy, on the fleet.

Only its addresses are changed, and HAProxy's second chances are taken out (`retries`, `redispatch`): what is measured
is that hosts are drained. Requests are counted by the example's own client, in a process of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import urllib.request
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import yaml

from tests.harness import ROOT
from tests.harness.fleet.box import SBIN, Fleet
from tests.harness.processes import Done, environment
from tests.harness.site import Site
from tests.harness.temporal import TemporalServer, eventually

pytestmark = [pytest.mark.fleet, pytest.mark.slow]

EXAMPLE = ROOT / "examples/haproxy"
NO_SECOND_CHANCES = {"    retries 3\n": "    retries 0\n", "    option redispatch\n": ""}
RATE = 60


@dataclass
class Stage:
    """Ten hosts with HAProxy before them, and a towline that may deploy to them."""

    fleet: Fleet
    site: Site

    @property
    def address(self) -> str:
        """This machine in the fleet's network."""
        return f"10.213.{self.fleet.number}.1"

    @property
    def state(self) -> str:
        return f"http://{self.address}:8404/;csv"

    def bundle(self, release: str, page: str = "shop {release} on {host}\n") -> str:
        """The example's revision as a release of its own."""
        folder = self.site.folder / f"shop-{release}"
        shutil.copytree(EXAMPLE / "shop", folder)
        (folder / "release").write_text(f"{release}\n")
        (folder / "page.txt").write_text(page)
        return str(folder)

    def statuses(self) -> list[str]:
        """How HAProxy sees the hosts."""
        with urllib.request.urlopen(self.state, timeout=5) as answer:
            rows = [line.split(",") for line in answer.read().decode().splitlines()]
        return [row[17] for row in rows if row[0] == "shop" and row[1] != "BACKEND"]

    def running(self) -> list[str]:
        """The release that each host answers with, asked on the host itself."""
        return [host.run("curl -sS http://127.0.0.1:8080/").split()[1] for host in self.fleet]

    async def deploy(self, deployment_id: str, bundle: str, *options: str) -> Done:
        """`towline deploy`, to its end."""
        words = ["--revision", bundle, "--id", deployment_id, *options]
        return await self.site.towline("deploy", "shop", "production", *words)

    @contextlib.asynccontextmanager
    async def load(self) -> AsyncIterator[dict[str, Any]]:
        """A steady load for the block; the counts are there after it."""
        counts: dict[str, Any] = {}
        command = [sys.executable, "-m", "examples.haproxy.load", f"http://{self.address}:8080/"]
        process = await asyncio.create_subprocess_exec(
            *command, "--rate", str(RATE), "--json", cwd=ROOT, stdout=subprocess.PIPE
        )
        try:
            yield counts
        finally:
            process.send_signal(signal.SIGINT)
            out, _ = await process.communicate()
        counts.update(json.loads(out))


def program() -> str:
    """HAProxy's path; skips where there is none."""
    found = shutil.which("haproxy", path=f"{os.environ.get('PATH', '')}:{SBIN}")
    return found or pytest.skip("no haproxy (apt-get install haproxy)")


@contextlib.contextmanager
def haproxy(fleet: Fleet, folder: Path) -> Iterator[None]:
    """The example's HAProxy, on the fleet's addresses."""
    address = f"10.213.{fleet.number}.1"
    text = (EXAMPLE / "haproxy.cfg").read_text()
    changes = {f"{host.name}.example.com": host.address for host in fleet} | NO_SECOND_CHANCES
    for old, new in {**changes, "bind :80\n": f"bind {address}:8080\n", "bind 10.0.0.2:": f"bind {address}:"}.items():
        assert old in text, f"haproxy.cfg has no {old!r}"
        text = text.replace(old, new)
    (folder / "haproxy.cfg").write_text(text)
    command = [program(), "-db", "-f", str(folder / "haproxy.cfg")]
    with (folder / "haproxy.log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            yield
        finally:
            process.terminate()


def manifest(fleet: Fleet) -> str:
    """The example's towline.yaml, with the fleet's addresses and keys."""
    told = yaml.safe_load((EXAMPLE / "towline.yaml").read_text())
    keys = {"identityFile": str(fleet.key), "knownHostsFile": str(fleet.known_hosts), "python": "/usr/bin/python3"}
    told["ssh"]["default"] |= {**keys, "username": "root"}
    (instances,) = told["instances"]
    told["instances"] = [
        {**instances, "instanceName": host.name, "ssh": {"host": host.address, "username": "root"}} for host in fleet
    ]
    return yaml.safe_dump(told)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def stage(
    can_box: None, temporal: TemporalServer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Stage]:
    """Release 1.0 runs everywhere, and a worker is at work."""
    folder = tmp_path_factory.mktemp("zero-downtime")
    client = await temporal.new_namespace()
    site = Site(folder, environment(folder, temporal.address, client.namespace), client)
    with Fleet(10) as fleet, haproxy(fleet, folder):
        stage = Stage(fleet, site)
        for host in fleet:
            host.write("/etc/shop/balancers", f"{stage.state}\n")
        try:
            (folder / "towline.yaml").write_text(manifest(fleet))
            await site.start_worker()
            applied = await site.towline("apply", "-f", "towline.yaml", "--yes")
            assert applied.status == 0, applied.err
            first = await stage.deploy("d-1", stage.bundle("1.0"), "--config", "CodeDeployDefault.AllAtOnce")
            assert first.status == 0, first.text
            assert stage.statuses() == ["UP"] * 10
            yield stage
        finally:
            site.close()


async def test_a_rolling_deployment_fails_no_request(stage: Stage) -> None:
    async with stage.load() as counts:
        done = await stage.deploy("d-2", stage.bundle("2.0"))
    assert done.status == 0, done.text
    assert_none_failed(counts)
    assert counts["answers"].keys() == {"shop 1.0", "shop 2.0"}, "load from before the first host to the last"
    assert stage.running() == ["2.0"] * 10


async def test_a_worker_killed_in_the_middle_fails_no_request(stage: Stage) -> None:
    async with stage.load() as counts:
        rollout = asyncio.create_task(stage.deploy("d-3", stage.bundle("3.0")))
        await eventually(lambda: "NOLB" in stage.statuses())  # drained, their shops about to end
        stage.site.workers[-1].kill()
        await stage.site.start_worker()
        done = await rollout
    assert done.status == 0, done.text
    assert_none_failed(counts)
    assert stage.running() == ["3.0"] * 10


async def test_a_bad_revision_that_is_taken_back_fails_no_request(stage: Stage) -> None:
    before = stage.running()
    async with stage.load() as counts:
        done = await stage.deploy("d-4", stage.bundle("4.0", page="shop {release} on {hots}\n"))
    assert done.status == 1, done.text
    assert "validate.sh" in done.text
    assert_none_failed(counts)
    assert len(counts["answers"]) == 1, "the bad release has answered nobody"
    assert stage.running() == before


def assert_none_failed(counts: dict[str, Any]) -> None:
    """There was load, and every request was answered."""
    print(counts)
    assert counts["requests"] > RATE
    assert counts["failed"] == 0, counts["failures"]
