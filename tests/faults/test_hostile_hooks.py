"""Hooks that misbehave in every way that they can: the runner outlives them, ends them, and says what they did."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.harness.activity_bench import Bench
from tests.harness.fleet.box import Fleet
from tests.harness.host.local_host import RUNNER, LocalHost, eventually, plan_of, script, tar_of
from towline.model.deployment.status import Outcome

pytestmark = pytest.mark.slow

GIGABYTE = 1_000_000_000
MOST_MEMORY_KIB = 64 * 1024
# User ids that nobody has, a new one for each test: their processes can be counted and limited, and those that are
# dead count until this machine's process 1 gets round to them.
STRANGERS = itertools.count(50_000 + 4 * (os.getpid() % 2_000))


def peak_memory(pid: int) -> int:
    """The most memory that a process has had, in KiB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1])


def test_a_hook_that_prints_a_gigabyte_costs_the_runner_little(host: LocalHost) -> None:
    line = "a line of a script that does not know when to stop, and that nobody will ever want to read to its end"
    text = f'yes "{line}" | head -c {GIGABYTE}; head -c {GIGABYTE // 10} /dev/zero; echo; echo last words\n'
    text += 'touch "$TOWLINE_ROOT/printed"\n'
    text += 'while [ ! -e "$TOWLINE_ROOT/go" ]; do sleep 0.05; done; exit 1'
    archive = tar_of({"hook.sh": f"#!/bin/sh\n{text}\n"})
    plan = plan_of(hooks={"AfterInstall": [script("hook.sh")]})
    limits = {"lock_wait": 30, "log_bytes": 1_000_000}
    with host.call("deploy", "d-1", archive, plan=plan, limits=limits) as call:
        call.until("need")
        call.send(archive)
        call.until("script_started")
        eventually(host.path("/printed").exists, seconds=120)
        peaks = [peak_memory(pid) for pid in (int(host.journal("d-1")[0]["pid"]), call.process.pid)]
        host.path("/go").touch()
        end = call.finish()
    assert max(peaks) < MOST_MEMORY_KIB, peaks
    assert end["outcome"] == "failed" and end["log"].endswith("[stdout]last words\n"), "the tail is of the end"
    log = host.deployment("d-1") / "logs/scripts.log"
    assert 1_000_000 <= log.stat().st_size < 1_200_000 and "has reached its limit" in log.read_text()[-200:]


def test_a_hook_that_kills_its_own_session_is_told_as_that(host: LocalHost) -> None:
    archive = tar_of({"hook.sh": "#!/bin/sh\necho going down\n(sleep 100) &\nkill -9 0\n"})
    end = host.deploy("d-1", archive, plan_of(hooks={"AfterInstall": [script("hook.sh")]})).events[-1]
    assert (end["outcome"], end["failed_event"], end["error_code"]) == ("failed", "AfterInstall", 4)
    assert "ended by signal 9" in end["message"] and "going down" in end["log"]


@pytest.fixture
def crowded() -> Iterator[LocalHost]:
    """A host whose user may have twenty processes. Not below pytest's folder, which other users may not enter."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to become another user")
    with tempfile.TemporaryDirectory(prefix="towline-crowded-") as name:
        folder, user = Path(name), next(STRANGERS)
        folder.chmod(0o755)
        python = folder / "python"
        python.write_text('#!/bin/bash\nulimit -u 20\nexec /usr/bin/python3 "$@"\n')
        python.chmod(0o755)
        (folder / "host").mkdir()
        os.chown(folder / "host", user, user)
        yield LocalHost(folder / "host", str(python), user=user, runner=Path(shutil.copy(RUNNER, folder)))
        for pid in processes_of(user):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def processes_of(user: int | None) -> list[int]:
    """A user's processes."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            if (
                os.stat(f"/proc/{name}").st_uid == user
                and "\nState:\tZ" not in Path(f"/proc/{name}/status").read_text()
            ):
                found.append(int(name))
    return found


BOMB = """#!/usr/bin/python3
import os, random, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
while True:
    try:
        if os.fork() == 0 and random.random() < 0.5:
            os.setsid()
    except OSError:
        time.sleep(0.005)
"""


def test_a_hook_that_makes_processes_and_sessions_without_end_is_ended_with_all_of_them(crowded: LocalHost) -> None:
    plan = plan_of(hooks={"AfterInstall": [script("hook.sh", timeout=1)]})
    end = crowded.deploy("d-1", tar_of({"hook.sh": BOMB}), plan).events[-1]
    assert (end["outcome"], end["error_code"]) == ("failed", 3)
    assert "failed to complete in 1 seconds" in end["message"]
    eventually(lambda: not processes_of(crowded.user))


def test_a_hook_that_cannot_be_started_for_want_of_processes_says_so(crowded: LocalHost) -> None:
    waits = "#!/usr/bin/python3\nimport os, time\n"  # a shell would start `sleep` now and then
    waits += 'while not os.path.exists(os.environ["TOWLINE_ROOT"] + "/go"):\n    time.sleep(0.05)\n'
    archive = tar_of({"hook.sh": waits, "next.sh": "#!/bin/sh\n"})
    plan = plan_of(hooks={"AfterInstall": [script("hook.sh")], "ApplicationStart": [script("next.sh")]})
    with crowded.call("deploy", "d-1", archive, plan=plan) as call:
        call.until("need")
        call.send(archive)
        call.until("script_started")
        others = "for i in 1 2; do for j in 1 2 3 4 5 6 7 8 9 10; do sleep 1000 & done; done; wait"
        with subprocess.Popen(["sh", "-c", others], user=crowded.user, cwd="/") as crowd:
            eventually(lambda: len(processes_of(crowded.user)) > 21)
            crowded.path("/go").touch()
            end = call.finish()
            for pid in set(processes_of(crowded.user)) - {crowd.pid}:
                os.kill(pid, signal.SIGKILL)
    assert (end["outcome"], end["failed_event"], end["script_name"]) == ("failed", "ApplicationStart", "next.sh")
    assert "could not be started: Resource temporarily unavailable" in end["message"]


@pytest.mark.fleet
async def test_a_hook_that_kills_every_process_of_its_host_is_interrupted(
    new_fleet: Callable[..., Fleet], tmp_path: Path
) -> None:
    fleet = new_fleet(1)
    bench = Bench(tmp_path)
    bench.attempt()
    files = {"hook.sh": "#!/bin/sh\necho run >> /srv/runs\nsync /srv/runs\nkill -9 -1\n"}
    bench.freeze(fleet.target("web-01"), files=files, hooks={"AfterInstall": [{"location": "hook.sh"}]})
    outcome = await bench.deploy("web-01")
    assert (outcome.outcome, outcome.failed_event) == (Outcome.INTERRUPTED, "AfterInstall")
    bench.restart()
    bench.freeze(fleet.target("web-01"), deployment_id="d-2")
    assert (await bench.deploy("web-01", deployment_id="d-2")).outcome is Outcome.SUCCEEDED
    await bench.pool.close()
    assert fleet["web-01"].read("/srv/runs") == "run\n"
