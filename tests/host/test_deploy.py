"""The runner's main path on a local root, under every Python that a host may have."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.harness.host.local_host import RUNNER, LocalHost, plan_of, script, tar_of


def pythons() -> list[str]:
    """python3.6 to python3.13, as far as they are here: on the path, or where pyenv puts them."""
    found = []
    for minor in range(6, 14):
        names = sorted(Path.home().glob(f".pyenv/versions/3.{minor}.*/bin/python3.{minor}"))
        path = shutil.which(f"python3.{minor}")
        if names:
            found.append(str(names[0]))
        elif path:
            found.append(path)
    return found


BUNDLE = tar_of(
    {
        "app/one.txt": "1\n",
        "app/sub/two.txt": "2\n",
        "hello.sh": "#!/bin/sh\necho hello $DEPLOYMENT_ID in $TOWLINE_ROOT\n",
    }
)
PLAN = plan_of({"app": "/srv/app"}, {"AfterInstall": [script("hello.sh")]})


@pytest.mark.parametrize("python", pythons(), ids=lambda path: Path(path).name)
def test_a_deployment_installs_and_runs_hooks_on_every_python(tmp_path: Path, python: str) -> None:
    host = LocalHost(tmp_path / "host", python)
    call = host.deploy("d-1", BUNDLE, PLAN)
    end = call.events[-1]
    assert end["outcome"] == "succeeded", end
    assert host.path("/srv/app/sub/two.txt").read_text() == "2\n"
    assert f"[stdout]hello d-1 in {host.root}\n" in "".join(event["text"] for event in call.kinds("log"))
    assert [event["event"] for event in call.kinds("event_ended")] == host.order("deploy")["events"]
    assert host.ask("inventory")["groups"]["group-1"]["succeeded"]["deployment"] == "d-1"


def test_what_is_told_is_what_the_journal_has(host: LocalHost) -> None:
    call = host.deploy("d-1", BUNDLE, PLAN)
    told = [event for event in call.events if "seq" in event]
    assert told == host.journal("d-1")
    assert [event["seq"] for event in told] == list(range(1, len(told) + 1))


def test_attaching_to_what_has_ended_tells_the_rest(host: LocalHost) -> None:
    host.deploy("d-1", BUNDLE, PLAN)
    with host.call("deploy", "d-1", BUNDLE, plan=PLAN, after=5) as again:
        assert again.finish()["kind"] == "finished"
    assert again.events[0]["kind"] == "attached"
    assert next(event["seq"] for event in again.events if "seq" in event) == 6


def test_an_inherited_umask_keeps_nobody_from_the_archive(host: LocalHost) -> None:
    before = os.umask(0o077)
    try:
        host.deploy("d-1", BUNDLE, PLAN)
    finally:
        os.umask(before)
    for path in (host.deployment("d-1"), host.deployment("d-1") / "deployment-archive", host.path("/srv/app")):
        assert path.stat().st_mode & 0o777 == 0o755
    assert host.state("").stat().st_mode & 0o777 == 0o700


def test_what_is_pruned_goes_with_its_journal(host: LocalHost) -> None:
    for number in range(4):
        host.deploy(f"d-{number}", BUNDLE, PLAN, limits={"max_revisions": 2})
    assert sorted(path.name for path in host.deployment("d-1").parent.iterdir()) == ["d-2", "d-3"]
    assert sorted(path.stem for path in host.state("journals").iterdir()) == ["d-2", "d-3"]
    assert sorted(path.name for path in host.state("locks").iterdir()) == ["deployment-d-2", "deployment-d-3", "host"]
    assert not list(host.state("asked").iterdir()) and not host.state("working").exists()


def test_of_what_has_no_directory_the_newest_are_remembered(host: LocalHost, tmp_path: Path) -> None:
    host.runner = tmp_path / "runner.py"
    host.runner.write_text(RUNNER.read_text().replace("\nLOOSE = 20\n", "\nLOOSE = 2\n"))
    for number in range(4):
        with host.call("undo", f"u-{number}", undo="d-0") as undo:
            assert undo.finish()["nothing_to_do"]
    host.deploy("d-1", BUNDLE, PLAN)
    assert sorted(path.stem for path in host.state("journals").iterdir()) == ["d-1", "u-2", "u-3"]
    locks = ["deployment-d-1", "deployment-u-2", "deployment-u-3", "host"]
    assert sorted(path.name for path in host.state("locks").iterdir()) == locks
