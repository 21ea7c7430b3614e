"""Interleavings on one host, each forced: who dies between which two steps, and what the next one finds.

The runner is the real one, or a copy of it that dies, or loses what it had not synced, at a point that is named here.
What is on `tests/host/test_faults.py` already is not here: a journal gone, torn, of another run.
"""

from __future__ import annotations

import collections
import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.harness.host.local_host import RUNNER, Call, LocalHost, eventually, plan_of, script, tar_of

pytestmark = pytest.mark.slow

HOOK = """#!/bin/sh
echo "$DEPLOYMENT_ID $LIFECYCLE_EVENT" >> "$TOWLINE_ROOT/runs" && sync "$TOWLINE_ROOT/runs"
touch "$TOWLINE_ROOT/begun-$DEPLOYMENT_ID-$LIFECYCLE_EVENT"
while [ -e "$TOWLINE_ROOT/hold-$LIFECYCLE_EVENT" ]; do sleep 0.01; done
"""
EVENTS = ("BeforeInstall", "AfterInstall", "ApplicationStart")
PLAN = plan_of({"page": "/srv"}, {event: [script("hook.sh")] for event in EVENTS})


@pytest.fixture
def host(tmp_path: Path) -> LocalHost:
    return LocalHost(tmp_path / "host")


def revision(text: str) -> bytes:
    return tar_of({"page": text, "hook.sh": HOOK})


def hold(host: LocalHost, event: str) -> None:
    host.root.mkdir(exist_ok=True)
    host.path(f"/hold-{event}").touch()


def let_go(host: LocalHost, event: str) -> None:
    host.path(f"/hold-{event}").unlink()


def runs(host: LocalHost, deployment: str) -> dict[str, int]:
    """How often each hook of a deployment began, by the host's own word."""
    file = host.path("/runs")
    lines = file.read_text().splitlines() if file.exists() else []
    return dict(collections.Counter(line.split()[1] for line in lines if line.split()[0] == deployment))


def once(*events: str) -> dict[str, int]:
    return dict.fromkeys(events or EVENTS, 1)


def page(host: LocalHost) -> str:
    return host.path("/srv/page").read_text()


def started(host: LocalHost, deployment: str, text: str, event: str = "AfterInstall") -> Call:
    """A deployment in the middle of a held hook."""
    hold(host, event)
    call = host.call("deploy", deployment, revision(text), plan=PLAN)
    for each in call:
        if each["kind"] == "need":
            call.send(revision(text))
        if each["kind"] == "script_started" and each["event"] == event:
            break
    eventually(host.path(f"/begun-{deployment}-{event}").exists)
    return call


def heard(call: Call, *kinds: str) -> str:
    """The kind of the next event that is one of these."""
    return next(str(event["kind"]) for event in call if event["kind"] in kinds)


def changed_runner(path: Path, *changes: tuple[str, str]) -> Path:
    """A copy of the runner with some lines in other words; each must be there exactly once."""
    text = RUNNER.read_text()
    for old, new in changes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    path.write_text(text)
    return path


# ── locks ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("first_dies", [False, True], ids=["both live", "the first dies waiting"])
def test_two_attempts_wait_for_a_host_that_frees_late(host: LocalHost, first_dies: bool) -> None:
    with (
        started(host, "d-0", "zero") as busy,
        host.call("deploy", "d-1", revision("one"), plan=PLAN) as first,
        host.call("deploy", "d-1", revision("one"), plan=PLAN) as second,
    ):
        # One of them has the deployment's lock and waits for the host, the other one follows it.
        told = {heard(call, "waiting", "attached"): call for call in (first, second)}
        waits, follows = told["waiting"], told["attached"]
        if first_dies:
            waits.kill()
            assert follows.until("waiting")["holder"] == "d-0", "it takes the other one's place"
        let_go(host, "AfterInstall")
        assert busy.finish()["outcome"] == "succeeded"
        for call in (follows,) if first_dies else (waits, follows):
            assert call.finish(revision("one"))["outcome"] == "succeeded"
    assert runs(host, "d-1") == once() and page(host) == "one"


def test_a_rollback_comes_while_the_runner_is_dead_and_its_hook_lives(host: LocalHost) -> None:
    host.deploy("d-1", revision("one"), PLAN)
    with started(host, "d-2", "two") as call:
        call.kill()
        hook = next(each for each in reversed(host.journal("d-2")) if each["kind"] == "script_started")
        os.kill(host.journal("d-2")[0]["pid"], signal.SIGKILL)
    assert Path(f"/proc/{hook['pid']}").exists() and page(host) == "two"
    with host.call("undo", "d-3", undo="d-2") as undo:
        eventually(lambda: not Path(f"/proc/{hook['pid']}").exists())
        let_go(host, "AfterInstall")
        assert undo.finish()["outcome"] == "succeeded"
    assert host.journal("d-2")[-1]["outcome"] == "interrupted"
    assert page(host) == "one" and runs(host, "d-2") == once("BeforeInstall", "AfterInstall")


DAEMON = """#!/bin/sh
sh -c 'echo $$ > "$TOWLINE_ROOT/daemon"; while :; do sleep 0.05; done' > /dev/null 2>&1 &
while [ ! -s "$TOWLINE_ROOT/daemon" ]; do sleep 0.01; done
"""


@pytest.mark.parametrize("dies_in", ["the hook after it", "nothing"])
def test_a_daemon_that_a_hook_left_outlives_runner_recovery_and_undo(host: LocalHost, dies_in: str) -> None:
    archive = tar_of({"page": "two", "hook.sh": HOOK, "daemon.sh": DAEMON})
    hooks = {"AfterInstall": [script("daemon.sh")], "ApplicationStart": [script("hook.sh")]}
    hold(host, "ApplicationStart")
    with host.call("deploy", "d-1", archive, plan=plan_of({"page": "/srv"}, hooks)) as call:
        call.until("need")
        call.send(archive)
        eventually(host.path("/begun-d-1-ApplicationStart").exists)
        daemon = int(host.path("/daemon").read_text())
        if dies_in == "the hook after it":
            os.kill(host.journal("d-1")[0]["pid"], signal.SIGKILL)
        else:
            let_go(host, "ApplicationStart")
        assert call.finish()["outcome"] == ("interrupted" if dies_in == "the hook after it" else "succeeded")
    with host.call("undo", "d-2", undo="d-1") as undo:
        assert undo.finish()["outcome"] == "succeeded"
    try:
        assert Path(f"/proc/{daemon}").exists()
    finally:
        os.kill(daemon, signal.SIGKILL)


# ── the journal ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_every_beginning_of_a_journal_is_taken_for_what_it_is(host: LocalHost) -> None:
    """Whatever a power cut left of a journal, down to half a line: nothing runs again, and only an end is an end."""
    host.deploy("d-1", revision("one"), PLAN)
    file = host.state("journals/d-1.jsonl")
    whole = file.read_bytes()
    ends = [number + 1 for number, byte in enumerate(whole) if byte == ord("\n")]
    known = len(ends)
    for cut in sorted({0, *ends[::2], len(whole), *(end - 7 for end in (ends[0], ends[7], ends[-1]))}):
        file.write_bytes(whole[:cut])
        with host.call("deploy", "d-1", revision("one"), plan=PLAN, started=True, after=known) as call:
            outcome = call.finish()["outcome"]
        assert outcome == ("succeeded" if cut == len(whole) else "interrupted"), cut
        assert host.journal("d-1")[-1]["outcome"] == outcome, cut
    assert runs(host, "d-1") == once()


LOSE = """
class PowerCut:
    left, safe = int(os.environ.get("POWER_CUT_AT") or 0), 0

def sync_or_lose_power(fd):
    PowerCut.left -= 1
    if PowerCut.left == 0:
        os.ftruncate(fd, PowerCut.safe)
        os.kill(os.getppid(), signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGKILL)
    os.fdatasync(fd)
    PowerCut.safe = os.fstat(fd).st_size


class Journal:
"""
"""The host loses its power at the Nth sync: what was not synced before is gone, and so are runner and connection."""

CUTS = (
    ("            os.fdatasync(self.fd)\n", "            sync_or_lose_power(self.fd)\n"),
    ("\nclass Journal:\n", LOSE),
)


def test_power_is_lost_between_each_write_of_the_journal_and_its_sync(tmp_path: Path) -> None:
    runner = changed_runner(tmp_path / "runner.py", *CUTS)
    outcomes: list[Any] = []
    while len(outcomes) < 100:
        number = len(outcomes) + 1
        host = LocalHost(tmp_path / f"host-{number}", env={**os.environ, "POWER_CUT_AT": str(number)}, runner=runner)
        with host.call("deploy", "d-1", revision("one"), plan=PLAN) as call:
            for event in call:
                if event["kind"] == "need":
                    call.send(revision("one"))
        if call.kinds("finished"):
            break  # fewer syncs than this: the power stayed
        host.runner, host.env = RUNNER, None
        with host.call("deploy", "d-1", revision("one"), plan=PLAN, started=bool(call.kinds("started"))) as again:
            outcomes.append(again.finish(revision("one"))["outcome"])
        assert max(runs(host, "d-1").values(), default=0) <= 1, number
        if outcomes[-1] == "succeeded":
            assert runs(host, "d-1") == once() and page(host) == "one"
    assert len(outcomes) > 2 * len(EVENTS) and "interrupted" in outcomes, outcomes


def test_a_journal_of_an_older_version_is_followed_and_ended(host: LocalHost) -> None:
    """Of records nothing but `kind` and what a step needs is relied on; what is unknown is passed over."""
    with started(host, "d-1", "one") as call:
        call.kill()
        os.kill(host.journal("d-1")[0]["pid"], signal.SIGKILL)
    file = host.state("journals/d-1.jsonl")
    records = host.journal("d-1")
    for record in records:
        record.update(v=0, of_old="x")
        del record["offset"], record["time"]
    records.insert(2, {"kind": "weather", "v": 0, "seq": 2.5})
    records[0].pop("before")
    file.write_text("".join(json.dumps(record) + "\n" for record in records) + "not even JSON\n[1]\n")
    with host.call("deploy", "d-1", revision("one"), plan=PLAN, started=True) as again:
        again.are_events_known = False
        end = again.finish()
    assert (end["outcome"], end["failed_event"]) == ("interrupted", "AfterInstall")
    assert runs(host, "d-1") == once("BeforeInstall", "AfterInstall")
    let_go(host, "AfterInstall")
    assert host.deploy("d-2", revision("two"), PLAN).events[-1]["outcome"] == "succeeded"


# ── archives ─────────────────────────────────────────────────────────────────────────────────────────────────────────

DIES = ("runner = start_detached(self.order", "runner = os._exit(9) or start_detached(self.order")


@pytest.mark.parametrize("pruned", [False, True])
def test_an_attempt_dies_between_the_archive_and_the_start(host: LocalHost, tmp_path: Path, pruned: bool) -> None:
    """The next one takes the archive that is there, or, where it has been pruned meanwhile, asks for it again."""
    host.runner = changed_runner(tmp_path / "runner.py", DIES)
    with host.call("deploy", "d-1", revision("one"), plan=PLAN) as call:
        call.until("need")
        call.send(revision("one"))
        assert [event["kind"] for event in call] == ["transfer"] and call.process.wait(30) == 9
    assert host.deployment("d-1").is_dir()
    if pruned:
        shutil.rmtree(host.deployment("d-1"))
    host.runner = RUNNER
    again = host.deploy("d-1", revision("one"), PLAN)
    assert again.events[-1]["outcome"] == "succeeded" and bool(again.kinds("need")) == pruned
    assert runs(host, "d-1") == once()


def test_the_archive_that_an_undo_goes_back_to_is_pruned_between_two_attempts(host: LocalHost, tmp_path: Path) -> None:
    host.deploy("d-1", revision("one"), PLAN)
    host.deploy("d-2", revision("two"), PLAN)
    host.runner = changed_runner(tmp_path / "runner.py", DIES)
    with host.call("undo", "d-3", undo="d-2") as call:
        assert list(call) == [] and call.process.wait(30) == 9
    shutil.rmtree(host.deployment("d-1"))
    host.runner = RUNNER
    with host.call("undo", "d-3", undo="d-2") as again:
        assert again.finish()["code"] == "NothingToGoBackTo"
    assert page(host) == "two" and runs(host, "d-3") == {}, "nothing was begun"
