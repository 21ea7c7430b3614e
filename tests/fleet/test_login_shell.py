"""A login shell whose start-up files wait or read: no deployment waits for it for ever, and a stop ends the wait."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio
from temporalio.activity import ActivityCancellationDetails

from tests.harness.activity_bench import Bench
from tests.harness.fleet.box import USER, Fleet
from tests.harness.temporal import eventually
from towline.model.deployment.status import Outcome
from towline.transports import ssh

pytestmark = pytest.mark.fleet
BASHRC = f"/home/{USER}/.bashrc"


@pytest_asyncio.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    bench = Bench(tmp_path)
    bench.attempt()
    yield bench
    await bench.pool.close()


@pytest.mark.parametrize("line", ["sleep infinity", "read answer", "cat > /dev/null", "while :; do sleep 1; done"])
async def test_a_shell_that_never_runs_a_command_fails_the_host_with_the_cause(
    new_fleet: Callable[..., Fleet], bench: Bench, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    monkeypatch.setattr(ssh, "SHELL_SECONDS", 1.0)
    fleet = new_fleet(1)
    host = fleet["web-01"]
    host.write(BASHRC, f"touch /tmp/begun\n{line}\n")
    bench.freeze(fleet.target("web-01", username=USER))
    outcome = await bench.deploy("web-01")
    assert host.path("/tmp/begun").exists(), "the file was read"
    assert (outcome.outcome, outcome.was_touched) == (Outcome.FAILED, False)
    assert outcome.fault and outcome.fault.code == "LoginShellHangs" and "~/.bashrc" in outcome.fault.hint
    assert not host.path("/opt/codedeploy-agent").exists()
    await eventually(lambda: "sleep infinity" not in host.run("cat /proc/[0-9]*/cmdline | tr '\\0' ' '"))


async def test_a_stop_does_not_wait_for_a_shell_that_hangs(new_fleet: Callable[..., Fleet], bench: Bench) -> None:
    fleet = new_fleet(1)
    host = fleet["web-01"]
    host.write(BASHRC, "touch /tmp/begun\nsleep infinity\n")
    bench.freeze(fleet.target("web-01", username=USER))
    task = asyncio.create_task(bench.deploy("web-01"))
    await eventually(host.path("/tmp/begun").exists)
    bench.environment.cancel(ActivityCancellationDetails(cancel_requested=True))
    outcome = await task
    assert (outcome.outcome, outcome.was_touched) == (Outcome.SKIPPED, False)
    assert outcome.seconds < ssh.SHELL_SECONDS
    assert not host.path("/opt/codedeploy-agent").exists()
