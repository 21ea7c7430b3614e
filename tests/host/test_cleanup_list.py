"""The clean-up list and the runner's own record of it: which is believed, and what is said where one is lost."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness.host.local_host import LocalHost, plan_of, tar_of

PLAN = plan_of({"site": "/srv/app"})


def deploy(host: LocalHost, deployment: str, *names: str) -> str:
    """Deploys files of these names; returns what went wrong, or nothing."""
    archive = tar_of({f"site/{name}": deployment for name in names})
    return str(host.deploy(deployment, archive, PLAN).events[-1]["message"])


def names(host: LocalHost) -> list[str]:
    return sorted(path.name for path in host.path("/srv/app").iterdir())


def warnings(host: LocalHost, deployment: str) -> str:
    return "\n".join(one["message"] for one in host.journal(deployment) if one["kind"] == "warning")


def instructions(host: LocalHost) -> Path:
    return host.root / "opt/codedeploy-agent/deployment-root/deployment-instructions"


def clean_up_list(host: LocalHost) -> Path:
    return instructions(host) / f"{host.group['id']}-cleanup"


def record(host: LocalHost) -> Path:
    return host.state(f"groups/{host.group['id']}.installed")


def forge(host: LocalHost, mode: int) -> Path:
    """Adds a file that is not ours to the list, as one can who may write it."""
    theirs = host.path("/srv/theirs")
    theirs.write_text("theirs")
    with clean_up_list(host).open("a") as file:
        file.write(f"{theirs}\n")
    clean_up_list(host).chmod(mode)
    return theirs


@pytest.mark.parametrize("mode", [0o664, 0o646, 0o666])
def test_a_list_that_others_can_write_is_not_believed_and_our_own_record_is_taken(host: LocalHost, mode: int) -> None:
    deploy(host, "d-1", "a", "old")
    theirs = forge(host, mode)
    assert deploy(host, "d-2", "a") == ""
    assert theirs.exists() and names(host) == ["a"]
    assert "others than root can write it" in warnings(host, "d-2")
    assert clean_up_list(host).stat().st_mode & 0o777 == 0o644, "a new one takes its place"


def test_a_list_of_aws_s_agent_that_others_can_write_removes_nothing(host: LocalHost) -> None:
    deploy(host, "d-1", "old")
    record(host).unlink()
    theirs = forge(host, 0o664)
    assert deploy(host, "d-2", "new") == ""
    assert theirs.exists() and names(host) == ["new", "old"]
    assert "What the last deployment installed stays" in warnings(host, "d-2")


def wipe_instructions(host: LocalHost) -> None:
    shutil.rmtree(instructions(host))


def wipe_list_and_record(host: LocalHost) -> None:
    clean_up_list(host).unlink()
    record(host).unlink()


def wipe_everything(host: LocalHost) -> None:
    shutil.rmtree(host.root / "opt")
    shutil.rmtree(host.root / "var")


@pytest.mark.parametrize(
    ("wipe", "said"),
    [
        (wipe_instructions, "This group installed it, but the list of what it installed"),
        (wipe_list_and_record, "Whether this group installed it is not known"),
        (wipe_everything, "This group has no record of having installed it"),
    ],
)
def test_of_a_file_in_the_way_nothing_untrue_is_said(
    host: LocalHost, wipe: Callable[[LocalHost], None], said: str
) -> None:
    deploy(host, "d-1", "a")
    wipe(host)
    assert said in deploy(host, "d-2", "a")


def test_a_file_that_came_after_ours_was_removed_is_not_told_as_ours(host: LocalHost) -> None:
    deploy(host, "d-1", "a")
    assert deploy(host, "d-2", "b") == ""
    host.path("/srv/app/a").write_text("theirs")
    said = deploy(host, "d-3", "a")
    assert "This group has no record of having installed it" in said and names(host) == ["a", "b"]


def test_what_a_clean_up_removed_is_no_longer_told_as_ours_where_install_then_failed(host: LocalHost) -> None:
    deploy(host, "d-1", "a")
    with host.call("undo", "d-undo", undo="d-1") as undo:
        assert undo.finish()["outcome"] == "succeeded"
    host.path("/srv/app").mkdir(parents=True, exist_ok=True)
    host.path("/srv/app/a").write_text("theirs")
    assert "This group has no record of having installed it" in deploy(host, "d-2", "a")
