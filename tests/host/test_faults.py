"""Whatever dies: a hook runs at most once, nothing is taken for a success, and the next one finds the host usable."""

from __future__ import annotations

import concurrent.futures
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.harness.host.local_host import RUNNER, Call, Event, LocalHost, eventually, plan_of, script, tar_of

pytestmark = pytest.mark.slow

WAITS = """#!/bin/sh
echo run >> "$TOWLINE_ROOT/runs"
sleep 1000 &
echo $! > "$TOWLINE_ROOT/child"
touch "$TOWLINE_ROOT/begun"
while [ ! -e "$TOWLINE_ROOT/go" ]; do sleep 0.01; done
kill $(cat "$TOWLINE_ROOT/child")
echo went
"""
BUNDLE = tar_of({"waits.sh": WAITS, "later.sh": '#!/bin/sh\ntouch "$TOWLINE_ROOT/later"\n', "f.txt": "f"})
PLAN = plan_of({"f.txt": "/srv"}, {"AfterInstall": [script("waits.sh")], "ApplicationStart": [script("later.sh")]})


def begin(host: LocalHost, deployment: str = "d-1", **changes: Any) -> Call:
    """A deployment that is in the middle of its first hook."""
    call = host.call("deploy", deployment, BUNDLE, plan=PLAN, **changes)
    call.until("need")
    call.send(BUNDLE)
    call.until("script_started")
    eventually(host.path("/begun").exists)
    return call


def attach(host: LocalHost, deployment: str = "d-1", **changes: Any) -> Call:
    return host.call("deploy", deployment, BUNDLE, plan=PLAN, started=True, **changes)


def runner_pid(host: LocalHost, deployment: str = "d-1") -> int:
    return int(host.journal(deployment)[0]["pid"])


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def go(host: LocalHost) -> None:
    host.root.mkdir(exist_ok=True)
    host.path("/go").touch()


def runs(host: LocalHost) -> int:
    return len(host.path("/runs").read_text().split())


def open_script(host: LocalHost) -> Event:
    return next(event for event in host.journal("d-1") if event["kind"] == "script_started")


def test_a_runner_killed_in_a_hook_is_interrupted_and_the_hook_ended(host: LocalHost) -> None:
    with begin(host) as call:
        child = int(host.path("/child").read_text())
        leader = call.kinds("script_started")[0]["pid"]
        os.kill(runner_pid(host), signal.SIGKILL)
        end = call.finish()
    assert (end["outcome"], end["failed_event"], end["error_code"]) == ("interrupted", "AfterInstall", 7)
    assert not is_alive(leader) and not is_alive(child)
    with attach(host) as again:
        assert again.finish() == end
    assert runs(host) == 1 and not host.path("/later").exists()


def test_whoever_takes_the_host_next_ends_what_a_dead_runner_left(host: LocalHost) -> None:
    with begin(host) as call:
        call.kill()
        pid = runner_pid(host)
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: not is_alive(pid))
    child = int(host.path("/child").read_text())
    assert is_alive(child), "nobody has looked yet"
    host.group["id"] = "group-2"
    other = host.deploy("d-2", BUNDLE, plan_of())
    assert other.events[-1]["outcome"] == "succeeded"
    assert not is_alive(child)
    assert host.journal("d-1")[-1]["outcome"] == "interrupted"


def test_a_torn_last_line_is_cut_off(host: LocalHost) -> None:
    with begin(host) as call:
        call.kill()
        os.kill(runner_pid(host), signal.SIGKILL)
    with host.state("journals/d-1.jsonl").open("ab") as file:
        file.write(b'{"kind": "script_ended", "exit": 0, "se')
    with attach(host) as again:
        assert again.finish()["outcome"] == "interrupted"
    assert [event["seq"] for event in host.journal("d-1")] == list(range(1, len(host.journal("d-1")) + 1))


def test_two_who_attach_both_hear_the_end_and_the_hook_runs_once(host: LocalHost) -> None:
    with begin(host) as first, attach(host, after=3) as second:
        assert next(iter(second))["kind"] == "attached"
        go(host)
        assert first.finish()["outcome"] == second.finish()["outcome"] == "succeeded"
    assert next(event["seq"] for event in second.events if "seq" in event) == 4
    assert runs(host) == 1


def test_many_attempts_at_once_run_it_once(host: LocalHost) -> None:
    go(host)
    with contextlib.ExitStack() as stack:
        calls = [stack.enter_context(host.call("deploy", "d-1", BUNDLE, plan=PLAN)) for _ in range(6)]
        with concurrent.futures.ThreadPoolExecutor(6) as threads:
            ends = list(threads.map(lambda call: call.finish(BUNDLE), calls))
    assert {end["outcome"] for end in ends} == {"succeeded"}
    assert runs(host) == 1
    assert sum(bool(call.kinds("attached")) for call in calls) == 5


@pytest.mark.parametrize("how", ["kill", "hang_up"])
def test_the_runner_goes_on_without_a_connection(host: LocalHost, how: str) -> None:
    with begin(host) as call:
        getattr(call, how)()
    go(host)
    eventually(lambda: host.journal("d-1")[-1]["kind"] == "finished")
    with attach(host, after=call.events[-1]["seq"], log_after=0) as again:
        assert again.finish()["outcome"] == "succeeded"
    assert "[stdout]went" in "".join(event["text"] for event in again.kinds("log"))
    assert runs(host) == 1


def test_a_connected_end_that_dies_before_the_archive_came_leaves_nothing(host: LocalHost) -> None:
    with host.call("deploy", "d-1", BUNDLE, plan=PLAN) as call:
        call.until("need")
        call.say({"reply": "archive", "size": len(BUNDLE)})
        call.hang_up()
    assert not host.deployment("d-1").exists()
    go(host)
    assert host.deploy("d-1", BUNDLE, PLAN).events[-1]["outcome"] == "succeeded"


def test_a_host_that_is_busy_is_waited_for(host: LocalHost) -> None:
    with begin(host) as first, host.call("deploy", "d-2", BUNDLE, plan=plan_of()) as second:
        assert second.until("waiting")["holder"] == "d-1"
        go(host)
        assert first.finish()["outcome"] == "succeeded"
        assert second.finish(BUNDLE)["outcome"] == "succeeded"


def test_a_host_that_stays_busy_is_refused_by_name(host: LocalHost) -> None:
    with begin(host) as first:
        with host.call("deploy", "d-2", BUNDLE, plan=plan_of(), limits={"lock_wait": 0.1}) as second:
            end = second.finish()
        assert (end["kind"], end["code"]) == ("refused", "HostBusy") and "d-1" in end["message"]
        go(host)
        first.finish()


def test_who_waits_can_be_stopped(host: LocalHost) -> None:
    with begin(host) as first, host.call("deploy", "d-2", BUNDLE, plan=PLAN) as second:
        second.until("waiting")
        host.ask("halt", deployment="d-2", halt="boundary")
        assert second.finish()["code"] == "Stopped"
        go(host)
        assert first.finish()["outcome"] == "succeeded"
    assert runs(host) == 1


def test_a_journal_of_another_run_is_refused(host: LocalHost) -> None:
    host.deploy("d-1", BUNDLE, plan_of())
    with host.call("deploy", "d-1", BUNDLE, plan=plan_of(), run="run-2") as other:
        assert other.finish()["code"] == "JournalOfAnotherRun"


def test_one_host_under_two_names_tells_neither_the_other_ones_end(host: LocalHost) -> None:
    """Whoever attaches, too: one name's run is no news of the other's."""
    with begin(host) as first, host.call("deploy", "d-1", BUNDLE, plan=PLAN, instance="web-02") as second:
        refused = second.finish()
        assert (refused["kind"], refused["code"]) == ("refused", "JournalOfAnotherRun")
        assert "web-01 and web-02 are one host" in refused["message"]
        assert not second.kinds("started") and not second.kinds("log")
        go(host)
        assert first.finish()["outcome"] == "succeeded"
    assert host.deploy("d-1", BUNDLE, PLAN, instance="web-02").events[-1]["code"] == "JournalOfAnotherRun"


def test_a_start_that_is_known_and_has_no_journal_is_interrupted_for_good(host: LocalHost) -> None:
    for _ in range(2):
        with attach(host, after=7) as call:
            assert call.finish()["outcome"] == "interrupted"
    assert not host.path("/runs").exists()


def test_halt_at_the_boundary_lets_the_hook_finish(host: LocalHost) -> None:
    with begin(host) as call:
        assert host.ask("halt", deployment="d-1", halt="boundary")["finished"] is False
        go(host)
        end = call.finish()
    assert end["outcome"] == "stopped"
    assert not host.path("/later").exists()
    assert [event["event"] for event in call.kinds("event_ended") if event["status"] == "Skipped"] == [
        "ApplicationStart",
        "ValidateService",
    ]
    assert host.ask("halt", deployment="d-1", halt="now")["finished"] is True


@pytest.mark.parametrize("by", ["connection", "order"])
def test_halt_now_ends_the_hook(host: LocalHost, by: str) -> None:
    with begin(host) as call:
        child = int(host.path("/child").read_text())
        if by == "connection":
            call.say({"halt": "now"})
        else:
            host.ask("halt", deployment="d-1", halt="now")
        end = call.finish()
    assert (end["outcome"], end["failed_event"]) == ("interrupted", "AfterInstall")
    assert not is_alive(child)


def test_a_runner_that_nobody_asks_about_halts(host: LocalHost) -> None:
    with begin(host, limits={"lock_wait": 5, "silence": 0.3}) as call:
        call.kill()
    time.sleep(0.5)
    go(host)
    end = eventually(lambda: host.journal("d-1")[-1]["kind"] == "finished" and host.journal("d-1")[-1])
    assert end["outcome"] == "stopped" and "nobody has asked" in end["message"]


def test_the_time_of_a_deployment_ends_its_hook(host: LocalHost) -> None:
    with begin(host, limits={"lock_wait": 5, "deadline": 0.7}) as call:
        end = call.finish()
    assert (end["outcome"], end["error_code"]) == ("failed", 3)


@pytest.mark.parametrize("what", ["boot_id", "start_time"])
def test_a_process_that_only_has_the_number_is_left_alone(host: LocalHost, what: str) -> None:
    """After a reboot, or when the number went to another process."""
    with begin(host) as call:
        call.kill()
        os.kill(runner_pid(host), signal.SIGKILL)
    events = host.journal("d-1")
    record = events[0] if what == "boot_id" else next(e for e in events if e["kind"] == "script_started")
    record[what] = "other" if what == "boot_id" else record[what] - 1
    host.state("journals/d-1.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    with attach(host) as again:
        assert again.finish()["outcome"] == "interrupted"
    assert is_alive(open_script(host)["pid"])
    os.killpg(open_script(host)["pid"], signal.SIGKILL)


def test_a_script_whose_runner_dies_at_the_gate_never_starts(tmp_path: Path) -> None:
    proof = tmp_path / "ran"
    program = f"""
import importlib.util, os
spec = importlib.util.spec_from_file_location("runner", {str(RUNNER)!r})
runner = importlib.util.module_from_spec(spec)
spec.loader.exec_module(runner)
script = runner.HookScript(["touch", {str(proof)!r}], dict(os.environ), "/")
script.fork()
print(script.pid, flush=True)
os._exit(1)
"""
    done = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, check=False)
    pid = int(done.stdout)
    eventually(lambda: not is_alive(pid))
    assert not proof.exists()


DAEMON = """#!/bin/sh
( while [ ! -e "$TOWLINE_ROOT/go" ]; do echo noise; sleep 0.02; done; touch "$TOWLINE_ROOT/survived" ) &
echo started
"""


def test_a_daemon_that_keeps_the_output_open_lives_on(host: LocalHost) -> None:
    archive = tar_of({"daemon.sh": DAEMON})
    call = host.deploy("d-1", archive, plan_of(hooks={"ApplicationStart": [script("daemon.sh")]}))
    assert call.events[-1]["outcome"] == "succeeded"
    assert "keeps its stdout and stderr open" in call.kinds("warning")[0]["message"]
    host.deploy("d-2", archive, plan_of())
    go(host)
    eventually(host.path("/survived").exists)


KILLS = """#!/bin/sh
echo "$DEPLOYMENT_ID $PPID" >> "$TOWLINE_ROOT/stops"
tr '\\0' ' ' < /proc/$PPID/cmdline > "$TOWLINE_ROOT/cmdline"
cat /proc/$PPID/comm > "$TOWLINE_ROOT/comm"
kill -9 $PPID
sleep 1000
"""
SELFISH = tar_of({"stop.sh": KILLS, "f.txt": "f", "later.sh": '#!/bin/sh\ntouch "$TOWLINE_ROOT/later"\n'})
SELFISH_PLAN = plan_of(
    {"f.txt": "/srv"}, {"ApplicationStop": [script("stop.sh")], "ApplicationStart": [script("later.sh")]}
)


def stops(host: LocalHost) -> list[str]:
    """The deployments whose stop script has run, each as often as it has."""
    path = host.path("/stops")
    return [line.split()[0] for line in path.read_text().splitlines()] if path.exists() else []


def test_a_stop_script_that_ends_the_runner_is_named_with_the_way_out(host: LocalHost) -> None:
    host.deploy("d-1", SELFISH, SELFISH_PLAN)
    end = host.deploy("d-2", SELFISH, SELFISH_PLAN).events[-1]
    assert (end["outcome"], end["failed_event"], end["script_name"]) == ("interrupted", "ApplicationStop", "stop.sh")
    assert "stop.sh" in end["message"] and "--ignore-application-stop-failures" in end["message"]
    assert stops(host) == ["d-2"]


def test_a_stop_script_that_ends_the_runner_is_a_failed_one_where_that_is_ignored(host: LocalHost) -> None:
    host.deploy("d-1", SELFISH, SELFISH_PLAN)
    host.path("/later").unlink()
    call = host.deploy("d-2", SELFISH, SELFISH_PLAN, ignore_application_stop_failures=True)
    assert call.events[-1]["outcome"] == "succeeded"
    stopped = next(event for event in call.kinds("event_ended") if event["event"] == "ApplicationStop")
    assert (stopped["status"], stopped["script_name"]) == ("Failed", "stop.sh") and "goes on" in stopped["message"]
    assert len(call.kinds("resumed")) == 1 and host.path("/later").exists()
    assert stops(host) == ["d-2"], "no hook twice"
    seqs = [event["seq"] for event in host.journal("d-2")]
    assert seqs == list(range(1, len(seqs) + 1))


def test_an_undo_goes_on_behind_a_stop_script_that_ends_the_runner(host: LocalHost) -> None:
    host.deploy("d-1", tar_of({"f.txt": "one"}), plan_of({"f.txt": "/srv"}))
    host.deploy("d-2", SELFISH, SELFISH_PLAN)
    with host.call("undo", "d-3", undo="d-2") as undo:
        assert undo.finish()["outcome"] == "succeeded"
    assert host.path("/srv/f.txt").read_text() == "one" and stops(host) == ["d-3"]


def test_a_runner_that_keeps_dying_is_not_started_for_ever(tmp_path: Path) -> None:
    """Where ApplicationStop's failure is ignored, and not the script is what ends it."""
    dies = '        journal.add("resumed", **process)\n        os.kill(os.getpid(), 9)\n'
    runner = changed_runner(tmp_path, '        journal.add("resumed", **process)\n', dies)
    host = LocalHost(tmp_path / "host", runner=runner)
    host.deploy("d-1", SELFISH, SELFISH_PLAN)
    call = host.deploy("d-2", SELFISH, SELFISH_PLAN, ignore_application_stop_failures=True)
    assert call.events[-1]["outcome"] == "interrupted" and len(call.kinds("resumed")) == 3
    assert stops(host) == ["d-2"]


def test_no_pattern_that_a_stop_script_may_use_meets_the_runner(host: LocalHost) -> None:
    """`pkill NAME` looks at the name, `pkill -f PATTERN` and `ps | grep` at the command line."""
    host.deploy("d-1", SELFISH, SELFISH_PLAN)
    archive = tar_of({"f.txt": "2"})
    with host.call("deploy", "d-2", archive, plan=plan_of()) as call:
        call.until("need")
        connected = Path(f"/proc/{call.process.pid}")
        shown = (connected / "cmdline").read_bytes(), (connected / "comm").read_bytes()
        call.send(archive)
        call.finish()
    assert shown[0].strip(b"\0") == b"towline" and shown[1].strip() == b"towline"
    assert host.path("/cmdline").read_text().split() == ["towline"]
    assert host.path("/comm").read_text() == "towline\n"


def test_a_signal_that_sudo_passes_on_does_not_end_the_connected_end(host: LocalHost) -> None:
    with begin(host) as call:
        call.process.terminate()
        go(host)
        assert call.finish()["outcome"] == "succeeded"


def changed_runner(tmp_path: Path, lines: str, instead: str) -> Path:
    """A runner in which a fault has been built."""
    source = RUNNER.read_text()
    assert source.count(lines) == 1
    runner = tmp_path / "runner.py"
    runner.write_text(source.replace(lines, instead))
    return runner


def test_a_runner_that_cannot_write_its_journal_is_refused_with_the_reason(host: LocalHost) -> None:
    host.ask("check")
    journals = host.state("journals")
    journals.rmdir()
    journals.symlink_to("nowhere")
    refused = host.deploy("d-1", BUNDLE, PLAN).events[-1]
    assert (refused["kind"], refused["code"]) == ("refused", "CannotStore")
    assert "journals/d-1.jsonl cannot be written: No such file or directory" in refused["message"]
    journals.unlink()
    journals.mkdir()
    go(host)
    assert host.deploy("d-1", BUNDLE, PLAN).events[-1]["outcome"] == "succeeded"


@pytest.mark.parametrize("folder", ["locks", "asked", "halt"])
def test_no_folder_of_ours_that_cannot_be_written_ends_in_a_traceback(host: LocalHost, folder: str) -> None:
    host.ask("check")
    host.state(folder).rmdir()
    host.state(folder).touch()
    if folder == "halt":
        with host.call("halt", "d-1", halt="now") as call:
            refused = call.finish()
    else:
        refused = host.deploy("d-1", BUNDLE, PLAN).events[-1]
    assert (refused["kind"], refused["code"]) == ("refused", "CannotStore"), refused
    assert folder in refused["message"] and refused["hint"]


def test_a_runner_that_is_killed_before_its_first_record_is_started_a_few_times_and_then_refused(
    tmp_path: Path,
) -> None:
    count = tmp_path / "starts"
    dies = f"    poke()\n    open({str(count)!r}, 'a').write('x')\n    os.kill(os.getpid(), 9)\n    deployment = order"
    runner = changed_runner(tmp_path, "    poke()\n    deployment = order", dies)
    with LocalHost(tmp_path / "host", runner=runner).call("deploy", "d-1", BUNDLE, plan=PLAN) as call:
        refused = call.finish(BUNDLE)
        assert (refused["kind"], refused["code"]) == ("refused", "CannotStart")
        assert "3 times" in refused["message"] and "signal 9" in refused["message"]
    assert count.read_text() == "xxx"


def test_a_fault_before_the_first_record_is_refused_with_its_name(tmp_path: Path) -> None:
    runner = changed_runner(
        tmp_path, "    poke()\n    deployment = order", "    poke()\n    1 / 0\n    deployment = order"
    )
    refused = LocalHost(tmp_path / "host", runner=runner).deploy("d-1", BUNDLE, PLAN).events[-1]
    assert (refused["code"], "ZeroDivisionError" in refused["message"]) == ("CannotStart", True)


def test_a_dead_runners_end_that_cannot_be_written_is_told_all_the_same(tmp_path: Path) -> None:
    """As on a disk that is full to the last byte: the journal stays open, and the next one who comes ends it."""
    full = "    last = records.all[-1]\n    raise OSError(28, 'No space left on device')\n    base ="
    runner = changed_runner(tmp_path, "    last = records.all[-1]\n    base =", full)
    host = LocalHost(tmp_path / "host", runner=runner)
    with begin(host) as call:
        os.kill(runner_pid(host), signal.SIGKILL)
        end = call.finish()
    assert (end["outcome"], end["failed_event"]) == ("interrupted", "AfterInstall")
    assert "waits.sh" in end["message"] and "No space left" in end["message"]
    assert host.journal("d-1")[-1]["kind"] == "script_started"
    host.runner = RUNNER
    with attach(host) as again:
        assert again.finish()["outcome"] == "interrupted"
    assert runs(host) == 1


SCOPE = """#!/bin/sh
echo "$@" > {said}
while [ "$1" != -- ]; do shift; done
shift
{do}
"""


@pytest.mark.parametrize("works", [True, False])
def test_under_systemd_the_runner_goes_into_a_scope_of_its_own(tmp_path: Path, works: bool) -> None:
    """With a stand-in for systemd-run, which is no part of a container; where it fails, the runner starts without."""
    tools, said = tmp_path / "tools", tmp_path / "said"
    tools.mkdir()
    fake = tools / "systemd-run"
    fake.write_text(SCOPE.format(said=said, do='exec "$@"' if works else "exit 1"))
    fake.chmod(0o755)
    runner = tmp_path / "runner.py"
    runner.write_text(RUNNER.read_text().replace('"/run/systemd/system"', repr(str(tools))))
    host = LocalHost(tmp_path / "host", env={**os.environ, "PATH": f"{tools}:{os.environ['PATH']}"}, runner=runner)
    host.root.mkdir()
    go(host)
    assert host.deploy("d-1", BUNDLE, PLAN).events[-1]["outcome"] == "succeeded"
    assert said.read_text().startswith("--scope --quiet --collect")
    assert runs(host) == 1


def test_aws_agent_on_the_host_is_refused_unless_allowed(tmp_path: Path) -> None:
    host = LocalHost(tmp_path)
    places = {"root": "", "deployment_root": str(tmp_path / "deployments"), "state_dir": str(tmp_path / "state")}
    agent = subprocess.Popen(["bash", "-c", "exec -a 'codedeploy-agent: master 1' sleep 1000"])
    try:
        eventually(lambda: b"codedeploy-agent" in Path(f"/proc/{agent.pid}/cmdline").read_bytes())
        refused = host.deploy("d-1", BUNDLE, plan_of(), **places).events[-1]
        assert refused["code"] == "AwsAgentRuns" and str(agent.pid) in refused["message"]
        assert (
            host.deploy("d-1", BUNDLE, plan_of(), allow_aws_agent=True, **places).events[-1]["outcome"] == "succeeded"
        )
    finally:
        agent.kill()
        agent.wait()
