"""The host breaks: a disk full or read-only, a clock that is wrong, no power, an old Python, others who meddle."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.harness.activity_bench import Bench
from tests.harness.fleet.box import Fleet
from tests.harness.host.local_host import RUNNER, LocalHost, eventually, plan_of, script, tar_of
from tests.harness.temporal import eventually as until
from towline.model.deployment.status import Outcome
from towline.model.host.events import EVENT
from towline.model.host.state import HostState
from towline.model.messages.deploy import Undo
from towline.transports.base import ended_early
from towline.transports.bootstrap import start_command

pytestmark = pytest.mark.slow

# ── disks ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def disk(can_box: None, tmp_path: Path) -> Iterator[Callable[..., LocalHost]]:
    """Makes the host whose only disk has so many KiB, and so many inodes if they are given."""
    place = tmp_path / "disk"
    place.mkdir()

    def make(kib: int, inodes: int = 0) -> LocalHost:
        options = f"size={kib}k" + (f",nr_inodes={inodes}" if inodes else "")
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)], check=True)
        return LocalHost(place)

    yield make
    subprocess.run(["umount", "-l", str(place)], check=False)


LARGE = tar_of({"app/large": os.urandom(600_000), "app/page": "v2"})
SMALL = tar_of({"app/page": "v1"})
APP = plan_of({"app": "/srv/app"})
NO_ROOM = "No space left on device"


@pytest.mark.fleet
async def test_a_disk_without_room_for_the_archive_is_reported_as_that_and_not_as_unreachable(
    new_fleet: Callable[..., Fleet], tmp_path: Path
) -> None:
    fleet = new_fleet(1)
    host = fleet["web-01"]
    host.run("mkdir -p /opt && mount -t tmpfs -o size=1m tmpfs /opt")
    bench = Bench(tmp_path)
    bench.attempt()
    target = fleet.target("web-01", unreachable_after_seconds=3)
    bench.freeze(target, files={"large": os.urandom(6_000_000)})
    outcome = await bench.deploy("web-01")
    await bench.pool.close()
    assert (outcome.outcome, outcome.was_touched) == (Outcome.FAILED, False)
    assert outcome.fault and outcome.fault.code == "HostNotReady"
    assert "no room at /opt/" in outcome.message and "df -h" in outcome.message
    assert host.run("find /opt -type f") == "", "nothing of the archive was sent"


@pytest.mark.fleet
async def test_an_archive_that_cannot_be_written_to_its_end_is_reported_as_that_and_not_as_unreachable(
    new_fleet: Callable[..., Fleet], tmp_path: Path
) -> None:
    fleet = new_fleet(1)
    host = fleet["web-01"]
    host.run("printf '#!/bin/sh\\nulimit -f 2048\\nexec python3 \"$@\"\\n' > /usr/local/bin/python-limited")
    host.run("chmod 755 /usr/local/bin/python-limited")
    bench = Bench(tmp_path)
    bench.attempt()
    target = fleet.target("web-01", python="/usr/local/bin/python-limited", unreachable_after_seconds=3)
    bench.freeze(target, files={"large": os.urandom(6_000_000)})
    outcome = await bench.deploy("web-01")
    await bench.pool.close()
    assert (outcome.outcome, outcome.was_touched) == (Outcome.FAILED, False)
    assert outcome.fault and outcome.fault.code == "CannotStore"
    assert "File too large" in outcome.message
    assert host.run("find /opt -type f -size +100k") == "", "what had come is gone again"


@pytest.mark.fleet
def test_a_disk_that_fills_up_during_install_fails_it_and_undo_makes_room_for_what_ran_before(
    disk: Callable[..., LocalHost],
) -> None:
    host = disk(1600)
    host.deploy("d-1", SMALL, APP)
    end = host.deploy("d-2", LARGE, APP).events[-1]
    assert (end["outcome"], end["failed_event"]) == ("failed", "Install")
    assert "/srv/app/large" in end["message"] and NO_ROOM in end["message"]
    with host.call("undo", "d-3", undo="d-2") as undo:
        assert undo.finish()["outcome"] == "succeeded"
    assert host.path("/srv/app/page").read_text() == "v1"
    assert not host.path("/srv/app/large").exists()


FILLS = """#!/bin/sh
if [ ! -e "$TOWLINE_ROOT/full" ]; then cat /dev/zero > "$TOWLINE_ROOT/full" 2>/dev/null; fi
yes a line for which the log has no room | head -c 200000
"""


@pytest.mark.fleet
def test_a_hook_that_fills_the_disk_is_followed_to_its_end_and_the_journal_has_it(
    disk: Callable[..., LocalHost],
) -> None:
    host = disk(1000)
    archive = tar_of({"fills.sh": FILLS})
    plan = plan_of(hooks={"AfterInstall": [script("fills.sh")] * 60})  # more records than a page has room for
    call = host.deploy("d-1", archive, plan)
    end = call.events[-1]
    assert len(call.kinds("script_ended")) == 60, "a log that cannot be written ends no script"
    assert NO_ROOM in next(one["message"] for one in call.kinds("warning"))
    assert end["outcome"] == "succeeded", "what undo relies on has its room, too"
    assert host.journal("d-1")[-1] == end
    with host.call("deploy", "d-2", archive, plan=plan) as call:
        refused = call.finish(archive)
    assert (refused["kind"], refused["code"]) == ("refused", "CannotStore"), "without room for a journal nothing begins"
    host.path("/full").unlink()
    assert host.deploy("d-3", archive, plan_of()).events[-1]["outcome"] == "succeeded"


MANY = tar_of({f"app/{number}": "" for number in range(200)})


def use_up_inodes(host: LocalHost, left: int = 0) -> None:
    """Makes empty files until there is no inode any more, and then removes some."""
    folder = host.path("/filler")
    folder.mkdir()
    number = 0
    with contextlib.suppress(OSError):
        while True:
            (folder / str(number)).touch()
            number += 1
    for one in range(number - left, number):
        (folder / str(one)).unlink()


@pytest.mark.fleet
def test_inodes_that_run_out_during_install_fail_it_and_undo_makes_room(disk: Callable[..., LocalHost]) -> None:
    host = disk(50_000, inodes=400)
    host.deploy("d-1", SMALL, APP)
    end = host.deploy("d-2", MANY, APP).events[-1]
    assert (end["outcome"], end["failed_event"]) == ("failed", "Install") and NO_ROOM in end["message"]
    use_up_inodes(host)
    with host.call("undo", "d-3", undo="d-2") as undo:
        assert undo.finish()["outcome"] == "succeeded"
    assert host.path("/srv/app/page").read_text() == "v1"


@pytest.mark.fleet
@pytest.mark.parametrize("left", [0, 1, 3, 6, 12])
def test_a_host_without_inodes_refuses_with_that_reason_and_keeps_no_process(
    disk: Callable[..., LocalHost], left: int
) -> None:
    host = disk(50_000, inodes=400)
    host.deploy("d-1", SMALL, APP)
    for spare in host.state("").glob("reserve*"):
        spare.unlink()
    use_up_inodes(host, left)
    refused = host.deploy("d-2", SMALL, APP).events[-1]
    assert (refused["kind"], refused["code"]) == ("refused", "CannotStore")
    assert NO_ROOM in refused["message"] and "df -i" in refused["hint"]
    with host.call("halt", "d-2", halt="now") as halt:
        told = halt.finish()
    assert told["kind"] == "halt" or told["code"] == "CannotStore"


@pytest.mark.fleet
def test_a_hook_that_uses_up_the_inodes_can_be_stopped_and_the_journal_has_its_end(
    disk: Callable[..., LocalHost],
) -> None:
    host = disk(50_000, inodes=400)
    waits = '#!/bin/sh\ntouch "$TOWLINE_ROOT/begun"\nsleep 1000\n'
    archive = tar_of({"waits.sh": waits})
    with host.call("deploy", "d-1", archive, plan=plan_of(hooks={"AfterInstall": [script("waits.sh")]})) as call:
        call.until("need")
        call.send(archive)
        call.until("script_started")
        eventually(host.path("/begun").exists)
        use_up_inodes(host)
        assert host.ask("halt", deployment="d-1", halt="now")["finished"] is False
        assert call.finish()["outcome"] == "interrupted"
    assert host.journal("d-1")[-1]["kind"] == "finished"


@pytest.mark.fleet
def test_a_read_only_destination_fails_before_anything_old_is_removed(
    can_box: None, host: LocalHost, tmp_path: Path
) -> None:
    both = plan_of({"conf": "/srv/conf", "app": "/srv/app"})  # clean-up goes backwards
    host.path("/srv/conf").mkdir(parents=True)  # not made by Install: what is mounted there was there before
    host.deploy("d-1", tar_of({"app/page": "v1", "conf/old": "v1"}), both)
    conf = str(host.path("/srv/conf"))
    subprocess.run(["mount", "--bind", conf, conf], check=True)
    subprocess.run(["mount", "-o", "remount,bind,ro", conf], check=True)
    try:
        end = host.deploy("d-2", tar_of({"app/page": "v2"}), APP).events[-1]  # clean-up alone would meet it
    finally:
        subprocess.run(["umount", conf], check=True)
    assert (end["outcome"], end["failed_event"]) == ("failed", "Install")
    assert "/srv/conf" in end["message"] and "read-only" in end["message"].lower()
    assert host.path("/srv/app/page").read_text() == "v1" and host.path("/srv/conf/old").read_text() == "v1"


@pytest.mark.fleet
def test_a_state_folder_on_a_read_only_disk_refuses_in_clear_words(disk: Callable[..., LocalHost]) -> None:
    host = disk(1000)
    host.deploy("d-1", SMALL, APP)
    subprocess.run(["mount", "-o", "remount,ro", str(host.root)], check=True)
    refused = host.deploy("d-2", SMALL, APP).events[-1]
    assert (refused["kind"], refused["code"]) == ("refused", "CannotStore")
    assert "Read-only file system" in refused["message"] and "dmesg" in refused["hint"]


@pytest.mark.fleet
def test_a_destination_that_the_runner_may_not_write_is_named(can_box: None) -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        host = LocalHost(Path(folder), "/usr/bin/python3", runner=Path(shutil.copy(RUNNER, folder)), user=50_000)
        for name in ("opt", "var"):
            host.path(name).mkdir()
            os.chown(host.path(name), 50_000, 50_000)
        host.path("/srv/app").mkdir(parents=True)
        end = host.deploy("d-1", SMALL, APP).events[-1]
    assert (end["outcome"], end["failed_event"]) == ("failed", "Install")
    assert "/srv/app" in end["message"] and "user id 50000" in end["message"]


# ── others on the host ───────────────────────────────────────────────────────────────────────────────────────────────


def test_a_file_that_appears_between_check_and_copy_is_left_alone_now_and_later(tmp_path: Path) -> None:
    host = LocalHost(tmp_path / "host")
    host.deploy("d-1", SMALL, APP)
    page = host.path("/srv/app/page")
    page.with_name("theirs").touch()  # so that the directory stays

    def put_theirs_once_it_is_gone() -> None:
        eventually(lambda: not page.exists())
        page.write_text("theirs\n")

    others = {f"app/{number:04}": "x" for number in range(3000)}  # what is copied before `page` gives time
    other_user = threading.Thread(target=put_theirs_once_it_is_gone)
    other_user.start()
    end = host.deploy("d-2", tar_of({**others, "app/page": "v2"}), APP).events[-1]
    other_user.join()
    assert (end["outcome"], end["failed_event"]) == ("failed", "Install")
    assert str(page) in end["message"]
    assert page.read_text() == "theirs\n"
    end = host.deploy("d-3", tar_of({"other": "v3"}), plan_of({"other": "/srv/other"})).events[-1]
    assert end["outcome"] == "succeeded"
    assert page.read_text() == "theirs\n", "it is not on the list of what to remove"


@pytest.mark.fleet
async def test_two_workers_that_believe_that_they_own_one_host_run_its_hooks_once(
    new_fleet: Callable[..., Fleet], tmp_path: Path
) -> None:
    fleet = new_fleet(1, relayed=True)
    host = fleet["web-01"]
    hook = "#!/bin/sh\necho run >> /srv/runs\nwhile [ ! -e /srv/go ]; do sleep 0.05; done\n"
    benches = [Bench(tmp_path), Bench(tmp_path)]
    for bench in benches:
        bench.attempt()
    benches[0].freeze(
        fleet.target("web-01"), files={"hook.sh": hook}, hooks={"AfterInstall": [{"location": "hook.sh"}]}
    )
    first = asyncio.create_task(benches[0].deploy("web-01"))
    await until(lambda: benches[0].beats and benches[0].beats[-1].script == "hook.sh")
    host.relay.set(stalled=True, one_way="from_host")  # the first is deaf and does not know it
    host.relay.heal()
    second = asyncio.create_task(benches[1].deploy("web-01"))
    await until(lambda: benches[1].beats and benches[1].beats[-1].script == "hook.sh")
    host.write("/srv/go", "")
    outcomes = [await first, await second]
    for bench in benches:
        await bench.pool.close()
    assert [outcome.outcome for outcome in outcomes] == [Outcome.SUCCEEDED] * 2
    assert host.read("/srv/runs") == "run\n"


# ── power ────────────────────────────────────────────────────────────────────────────────────────────────────────────

# An SELinux context is set within Install, behind the copies; this stand-in for the tool waits there.
SEMANAGE = "#!/bin/sh\n[ ! -e /srv/hold ] || touch /srv/held\nwhile [ -e /srv/hold ]; do sleep 0.05; done\n"


@pytest.mark.fleet
async def test_power_cut_in_the_middle_of_install_is_interrupted_and_undone_after_the_boot(
    new_fleet: Callable[..., Fleet], tmp_path: Path
) -> None:
    fleet = new_fleet(1)
    host, bench = fleet["web-01"], Bench(tmp_path)
    for tool in ("semanage", "restorecon"):
        host.write(f"/usr/local/sbin/{tool}", SEMANAGE, 0o755)
    context = [{"object": "/srv/app", "pattern": "**", "context": {"type": "httpd_sys_content_t"}}]
    bench.attempt()
    target = fleet.target("web-01", connect_timeout_seconds=0.5)
    for version in ("v1", "v2"):
        bench.restart()
        bench.freeze(
            target,
            deployment_id=f"d-{version}",
            files={"app/page": version, f"app/{version}": ""},
            install={"app": "/srv/app"},
            permissions=context,
        )
        if version == "v1":
            assert (await bench.deploy("web-01", deployment_id="d-v1")).outcome is Outcome.SUCCEEDED
            await bench.pool.close()
    host.write("/srv/hold", "")
    running = asyncio.create_task(bench.deploy("web-01", deployment_id="d-v2"))
    await until(lambda: host.path("/srv/held").exists())
    host.power_off()
    await asyncio.to_thread(fleet.boot, host)
    host.run("rm /srv/hold")
    outcome = await running
    assert (outcome.outcome, outcome.failed_event, outcome.was_touched) == (Outcome.INTERRUPTED, "Install", True)
    bench.freeze(target, deployment_id="d-undo", revision=None, undo=Undo(deployment_id="d-v2"))
    assert (await bench.deploy("web-01", deployment_id="d-undo")).outcome is Outcome.SUCCEEDED
    await bench.pool.close()
    assert host.run("cat /srv/app/page; ls /srv/app") == "v1page\nv1\n"


# ── clocks ───────────────────────────────────────────────────────────────────────────────────────────────────────────

# The whole runner lives with another wall clock, which can be set while it runs; CLOCK_REALTIME itself is everybody's.
OTHER_CLOCK = """
import runpy, sys, time
real, file = time.time, {file!r}
def off():
    with open(file) as text:
        return float(text.read() or 0)
time.time = lambda: real() + off()
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def test_a_clock_that_is_two_hours_off_and_set_right_in_between_ends_nothing(tmp_path: Path) -> None:
    clock, python = tmp_path / "clock", tmp_path / "python"
    clock.write_text("-7200")
    (tmp_path / "clock.py").write_text(OTHER_CLOCK.format(file=str(clock)))
    python.write_text(f'#!/bin/sh\nshift 2\nexec /usr/bin/python3 -I -S {tmp_path}/clock.py "$@"\n')
    python.chmod(0o755)
    host = LocalHost(tmp_path / "host", str(python))
    waits = '#!/bin/sh\ntouch "$TOWLINE_ROOT/begun"\nwhile [ ! -e "$TOWLINE_ROOT/go" ]; do sleep 0.05; done\n'
    archive = tar_of({"hook.sh": waits})
    plan = plan_of(hooks={"AfterInstall": [script("hook.sh", timeout=50)]})
    limits = {"lock_wait": 30, "deadline": 60, "silence": 60, "event": 55}
    state, began = HostState(), time.time()
    with host.call("deploy", "d-1", archive, plan=plan, limits=limits) as call:
        call.until("need")
        call.send(archive)
        call.until("script_started")
        eventually(host.path("/begun").exists)
        clock.write_text("7200")
        time.sleep(0.4)  # longer than the runner's look at its limits
        host.path("/go").touch()
        end = call.finish()
    assert end["outcome"] == "succeeded"
    assert abs(end["time"] - time.time() - 7200) < 60 and 0 < end["offset"] < 50
    for event in call.events:
        state = state.after(EVENT.validate_json(json.dumps(event)), time.time())
    assert state.epoch and began - 1 < state.epoch < time.time(), "what is shown is the control side's time"
    assert abs(host.ask("check")["time"] - time.time() - 7200) < 60, "and `check` shows the difference"


# ── Python ───────────────────────────────────────────────────────────────────────────────────────────────────────────

# No such Python can be had any more: this one says of itself that it is old, which is what is looked at.
OLD = """#!/bin/sh
exec /usr/bin/python3 -I -S -c 'import sys
sys.version_info, sys.version = (3, 5, 2, "final", 0), "3.5.2 (default)"
code, sys.argv = sys.argv[4], ["-c", sys.argv[5]]
exec(code)' "$@"
"""


def refusal(python: str) -> dict[str, str]:
    """What a host says to the command that starts the runner."""
    command = start_command("ab" * 32, python=python, become_root=False)
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL)
    answer: dict[str, str] = json.loads(done.stdout)
    assert answer["kind"] == "refused" and "ssh.python" in answer["hint"]
    return answer


def test_a_python_that_is_too_old_is_named_with_what_is_needed(tmp_path: Path) -> None:
    old = tmp_path / "python3.5"
    old.write_text(OLD)
    old.chmod(0o755)
    answer = refusal(str(old))
    assert answer["code"] == "PythonTooOld"
    assert "3.6 or newer" in answer["message"] and "3.5.2" in answer["message"]


def test_python_2_is_told_as_too_old() -> None:
    said = "Unknown option: -I\nusage: /usr/bin/python2 [option] ... [-c cmd | -m mod | file | -] [arg] ..."
    error = ended_early(2, said, "", spoke=False)
    assert error.code == "PythonTooOld" and "3.6 or newer" in error.message and "ssh.python" in error.hint


def test_a_python_that_is_not_there_is_named() -> None:
    answer = refusal("/opt/nowhere/python3.9")
    assert answer["code"] == "NoPython" and "/opt/nowhere/python3.9" in answer["message"]
