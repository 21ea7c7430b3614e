"""What a host lacks is found before its first event; a hook that cannot run says why, and none is left unwatched."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.harness.host.local_host import LocalHost, eventually, plan_of, script, tar_of
from towline.host.runner.processes import process

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
STOP = {"ApplicationStop": [script("stop.sh")]}


def running(host: LocalHost) -> Path:
    """A release whose ApplicationStop leaves a mark; returns the mark's place."""
    mark = host.root / "stopped"
    archive = tar_of({"stop.sh": f"#!/bin/sh\ntouch {mark}\n", "site/f": "1"})
    assert host.deploy("d-1", archive, plan_of({"site": "/srv"}, STOP)).events[-1]["outcome"] == "succeeded"
    return mark


LACKING = {
    "a user of runas": (plan_of(hooks={"AfterInstall": [script("a.sh", runas="nosuchuser")]}), "no user nosuchuser"),
    "a user of runas, through sudo": (
        plan_of(hooks={"AfterInstall": [script("a.sh", runas="nosuchuser", sudo=True)]}),
        "no user nosuchuser",
    ),
}


@as_root
@pytest.mark.parametrize("case", LACKING)
def test_what_is_not_on_the_host_is_refused_before_the_application_is_stopped(host: LocalHost, case: str) -> None:
    plan, reason = LACKING[case]
    mark = running(host)
    archive = tar_of({"a.sh": "#!/bin/sh\n", "site/f": "2"})
    refused = host.deploy("d-2", archive, plan).events[-1]
    assert (refused["kind"], refused["code"]) == ("refused", "HostNotReady")
    assert reason in refused["message"] and not mark.exists()
    with host.call("plan", "d-3", archive, plan=plan, files=[]) as call:
        assert reason in call.finish(archive)["problem"]


@as_root
def test_an_owner_who_is_not_there_is_a_warning_since_permissions_may_match_nothing(
    host: LocalHost,
) -> None:
    permission = {"object": "/srv", "pattern": "**", "except": [], "type": ["file"], "owner": "nosuchuser"}
    plan, archive = plan_of({"site": "/srv"}, permissions=[permission]), tar_of({"site/f": "1"})
    with host.call("plan", "d-1", archive, plan=plan, files=[]) as call:
        assert any("no user nosuchuser" in warning for warning in call.finish(archive)["warnings"])


@as_root
def test_a_user_that_an_earlier_script_may_make_is_no_reason_to_refuse(host: LocalHost) -> None:
    hooks = {"BeforeInstall": [script("make-user.sh")], "AfterInstall": [script("a.sh", runas="nosuchuser")]}
    archive = tar_of({"make-user.sh": "#!/bin/sh\n", "a.sh": "#!/bin/sh\n"})
    with host.call("plan", "d-0", archive, plan=plan_of(hooks=hooks), files=[]) as call:
        answer = call.finish(archive)
    assert "problem" not in answer
    assert any("unless make-user.sh makes it" in warning for warning in answer["warnings"])
    end = host.deploy("d-1", archive, plan_of(hooks=hooks)).events[-1]
    assert (end["outcome"], end["failed_event"]) == ("failed", "AfterInstall")


@pytest.mark.parametrize(
    ("first_line", "reason"),
    [
        ("#!/opt/bash5/bin/bash\n", "names /opt/bash5/bin/bash, which is not on this host"),
        ("#!/bin/sh\r\n", "ends with CR LF"),
        ("#!/usr/bin/env nosuchprogram\n", "names nosuchprogram, which is not in PATH"),
    ],
)
def test_an_interpreter_that_is_missing_is_named(host: LocalHost, first_line: str, reason: str) -> None:
    plan = plan_of(hooks={"AfterInstall": [script("a.sh")]})
    end = host.deploy("d-1", tar_of({"a.sh": first_line + "true\n"}), plan).events[-1]
    assert end["outcome"] == "failed" and reason in end["message"], end["message"]


@pytest.mark.parametrize("timeout", [10**400, 1e308, 10**18])
def test_no_time_limit_leaves_a_hook_unwatched(host: LocalHost, timeout: float) -> None:
    plan = plan_of(hooks={"AfterInstall": [script("a.sh", timeout=timeout)]})
    end = host.deploy("d-1", tar_of({"a.sh": "#!/bin/sh\necho done\n"}), plan).events[-1]
    assert end["outcome"] == "succeeded", end


def test_a_fault_behind_a_hooks_start_ends_the_hook(host: LocalHost, tmp_path: Path) -> None:
    broken = tmp_path / "runner.py"
    text = host.runner.read_text()
    line = "        reason, left_open = running.follow("
    assert text.count(line) == 1
    broken.write_text(text.replace(line, "        eval('1/0')\n" + line))
    host.runner = broken
    pid = tmp_path / "pid"
    hook = f"#!/bin/sh\necho $$ > {pid}\nexec sleep 600\n"
    end = host.deploy("d-1", tar_of({"a.sh": hook}), plan_of(hooks={"AfterInstall": [script("a.sh")]})).events[-1]
    assert end["outcome"] == "failed" and "a fault of the runner" in end["message"]
    if pid.exists() and pid.read_text().strip():
        eventually(lambda: process(int(pid.read_text())) is None)


@as_root
def test_a_profile_that_hangs_is_left_by_a_stop(host: LocalHost, tmp_path: Path) -> None:
    slow = tmp_path / "runner.py"
    text = host.runner.read_text()
    source = ". /etc/profile >/dev/null 2>&1; exec env -0"
    assert text.count(source) == 1
    slow.write_text(text.replace(source, "exec sleep 600"))
    host.runner = slow
    archive = tar_of({"a.sh": "#!/bin/sh\n"})
    plan = plan_of(hooks={"AfterInstall": [script("a.sh")]})
    with host.call("deploy", "d-1", archive, plan=plan, profile=True) as call:
        for event in call:
            if event["kind"] == "need":
                call.send(archive)
            if event.get("event") == "AfterInstall" and event["kind"] == "event_started":
                call.say({"halt": "now"})
            if event["kind"] == "finished":
                break
    assert call.events[-1]["outcome"] in ("stopped", "interrupted")
