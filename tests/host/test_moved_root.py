"""A `local` root that was copied or moved: what is absolute in its state leads nowhere but below it."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness.host.local_host import LocalHost, eventually, plan_of, script, tar_of
from tests.host.test_faults import attach, begin, is_alive, runner_pid

Move = Callable[[LocalHost, Path], LocalHost]
PLAN = plan_of({"app": "/srv/app"}, {"AfterInstall": [script("hook.sh")]})
OVERWRITE = {**PLAN, "file_exists_behavior": "OVERWRITE"}
HOOK = '#!/bin/sh\necho "$TOWLINE_ROOT" >> "$TOWLINE_ROOT/hooks"\ntest ! -e "$TOWLINE_ROOT/fail"\n'


def bundle(version: str) -> bytes:
    return tar_of({"hook.sh": HOOK, "app/page": version, f"app/{version}": ""})


def pages(host: LocalHost) -> list[str]:
    return sorted(path.name for path in host.path("/srv/app").iterdir())


def everything(host: LocalHost) -> dict[str, tuple[int, bytes]]:
    """Mode and content of all files below a root."""
    files = [path for path in host.root.rglob("*") if path.is_file() and not path.is_symlink()]
    return {str(path): (path.stat().st_mode, path.read_bytes()) for path in files}


def copied(host: LocalHost, to: Path) -> LocalHost:
    subprocess.run(["cp", "-a", str(host.root), str(to)], check=True)
    return LocalHost(to)


def moved(host: LocalHost, to: Path) -> LocalHost:
    host.root.rename(to)
    return LocalHost(to)


@pytest.fixture
def original(host: LocalHost) -> LocalHost:
    """A file of the user's was replaced by the first deployment; a second one followed."""
    host.path("/srv/app").mkdir(parents=True)
    host.path("/srv/app/page").write_text("the user's")
    for version in ("v1", "v2"):
        assert host.deploy(f"d-{version}", bundle(version), OVERWRITE).events[-1]["outcome"] == "succeeded"
    return host


@pytest.mark.parametrize("how", [copied, moved])
def test_the_next_deployment_and_its_undo_work_where_the_root_lies_now(
    original: LocalHost, tmp_path: Path, how: Move
) -> None:
    before = everything(original)
    host = how(original, tmp_path / "elsewhere")
    host.path("/fail").touch()
    assert host.deploy("d-v3", bundle("v3"), PLAN).events[-1]["failed_event"] == "AfterInstall"
    assert pages(host) == ["page", "v3"]
    host.path("/fail").unlink()
    with host.call("undo", "d-undo", undo="d-v3") as undo:
        assert undo.finish()["outcome"] == "succeeded"
    assert pages(host) == ["page", "v2"] and host.path("/srv/app/page").read_text() == "v2"
    assert host.path("/hooks").read_text().split()[2:] == [str(host.root)] * 2
    assert everything(original) == (before if how is copied else {})


def test_what_an_overwrite_replaced_comes_back_in_the_copy_alone(host: LocalHost, tmp_path: Path) -> None:
    host.path("/srv/app").mkdir(parents=True)
    host.path("/srv/app/page").write_text("the user's")
    host.deploy("d-v1", bundle("v1"), OVERWRITE)
    before, copy = everything(host), copied(host, tmp_path / "copy")
    with copy.call("undo", "d-undo", undo="d-v1") as undo:
        assert undo.finish()["outcome"] == "succeeded"
    assert copy.path("/srv/app/page").read_text() == "the user's"
    assert everything(host) == before


def test_a_list_without_a_record_removes_nothing_of_the_original(original: LocalHost, tmp_path: Path) -> None:
    """As AWS's agent would have left it: its paths are absolute."""
    copy = copied(original, tmp_path / "copy")
    for record in copy.state("groups").glob("*.installed"):
        record.unlink()
    before = everything(original)
    call = copy.deploy("d-v3", bundle("v3"), OVERWRITE)
    assert call.events[-1]["outcome"] == "succeeded"
    assert "is ignored" in "".join(one["message"] for one in call.kinds("warning"))
    assert everything(original) == before


@pytest.mark.parametrize("how", [copied, moved])
def test_a_script_that_runs_in_the_original_is_not_ended_for_its_copy(
    host: LocalHost, tmp_path: Path, how: Move
) -> None:
    """The copy's journal has its process number; of a root that was moved it is the script that a dead runner left."""
    with begin(host) as call:
        leader = call.kinds("script_started")[0]["pid"]
        call.kill()
    if how is moved:
        os.kill(runner_pid(host), signal.SIGKILL)
    elsewhere = how(host, tmp_path / "elsewhere")
    with attach(elsewhere) as other:
        assert other.finish()["outcome"] == "interrupted"
    if how is moved:
        eventually(lambda: not is_alive(leader))
        return
    assert is_alive(leader)
    host.path("/go").touch()
    with attach(host) as again:
        assert again.finish()["outcome"] == "succeeded"
