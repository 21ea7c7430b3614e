"""What clean-up cannot or must not remove: mounts, also over what was installed, and files that chattr protects."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.harness.host.local_host import Event, LocalHost, plan_of, tar_of

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: mount, chattr")
PLAN = plan_of({"site": "/srv/app"})
FIRST = {"a.txt": "v1", "conf/app.ini": "v1", "zzz/f": "v1"}
SECOND = {"a.txt": "v2", "zzz/g": "v2"}


@pytest.fixture
def undone() -> Iterator[ExitStack]:
    """Takes mounts and attributes away again, so that the test's directory can be removed."""
    with ExitStack() as stack:
        yield stack


def run(*command: object) -> None:
    subprocess.run([str(part) for part in command], check=True, capture_output=True)


def mount(undone: ExitStack, path: Path, what: Path) -> None:
    run("mount", "--bind", what, path)
    undone.callback(subprocess.run, ["umount", str(path)], check=False, capture_output=True)


def protect(undone: ExitStack, path: Path, attribute: str) -> None:
    run("chattr", f"+{attribute}", path)
    undone.callback(run, "chattr", f"-{attribute}", path)


def bundle(files: dict[str, str]) -> bytes:
    return tar_of({f"site/{name}": content for name, content in files.items()})


def deploy(host: LocalHost, deployment: str, files: dict[str, str], **changes: Any) -> Event:
    return host.deploy(deployment, bundle(files), PLAN, **changes).events[-1]


def preview(host: LocalHost, files: dict[str, str]) -> Event:
    listed = [{"path": f"site/{name}", "type": "file", "mode": "644"} for name in files]
    with host.call("plan", "preview", bundle(files), plan=PLAN, files=listed) as call:
        return call.finish()


def warnings(host: LocalHost, deployment: str) -> list[str]:
    return [one["message"] for one in host.journal(deployment) if one["kind"] == "warning"]


def tree(host: LocalHost) -> dict[str, str]:
    app = host.path("/srv/app")
    return {str(path.relative_to(app)): path.read_text() for path in sorted(app.rglob("*")) if path.is_file()}


@pytest.fixture
def ini(host: LocalHost) -> Path:
    """A file of the first deployment, which the second one does not have."""
    assert deploy(host, "d-1", FIRST)["outcome"] == "succeeded"
    return host.path("/srv/app/conf/app.ini")


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    """A directory of others, which they mount."""
    folder = tmp_path / "theirs"
    folder.mkdir()
    (folder / "app.ini").write_text("theirs")
    return folder


Protect = Callable[[ExitStack, Path, Path], None]
PROTECTED: dict[str, tuple[Protect, str]] = {
    "a bind-mounted file": (lambda undone, ini, theirs: mount(undone, ini, theirs / "app.ini"), "mounted"),
    "an immutable file": (lambda undone, ini, theirs: protect(undone, ini, "i"), "immutable"),
    "an append-only file": (lambda undone, ini, theirs: protect(undone, ini, "a"), "append-only"),
    "a mount over its directory": (lambda undone, ini, theirs: mount(undone, ini.parent, theirs), "mounted"),
}


@pytest.mark.parametrize(("guard", "reason"), PROTECTED.values(), ids=PROTECTED.keys())
def test_what_is_protected_is_left_alone_the_release_is_whole_and_the_plan_says_so(
    host: LocalHost, ini: Path, theirs: Path, undone: ExitStack, guard: Protect, reason: str
) -> None:
    guard(undone, ini, theirs)
    before = ini.read_text()
    told = preview(host, SECOND)
    assert "problem" not in told and str(ini) not in told["removed"]
    assert deploy(host, "d-2", SECOND)["outcome"] == "succeeded"
    assert tree(host) == {**SECOND, "conf/app.ini": before}
    (warning,) = warnings(host, "d-2")
    assert reason in warning and "left alone" in warning and told["warnings"] == [warning]
    undone.close()
    assert deploy(host, "d-3", SECOND)["outcome"] == "succeeded"
    assert tree(host) == SECOND and not ini.parent.exists(), "what had to stay is tried again"
    assert (theirs / "app.ini").read_text() == "theirs"


@pytest.mark.parametrize(("guard", "reason"), PROTECTED.values(), ids=PROTECTED.keys())
def test_a_new_version_of_what_is_protected_is_refused_before_anything_is_removed(
    host: LocalHost, ini: Path, theirs: Path, undone: ExitStack, guard: Protect, reason: str
) -> None:
    guard(undone, ini, theirs)
    before = tree(host)
    second = {**SECOND, "conf/app.ini": "v2"}
    told, end = preview(host, second), deploy(host, "d-2", second)
    assert (end["outcome"], end["failed_event"]) == ("failed", "Install")
    assert str(ini) in end["message"] and reason in end["message"] and told["problem"] == end["message"]
    assert tree(host) == before


@pytest.mark.parametrize(("guard", "reason"), PROTECTED.values(), ids=PROTECTED.keys())
def test_the_same_version_of_what_is_protected_needs_no_change(
    host: LocalHost, ini: Path, theirs: Path, undone: ExitStack, guard: Protect, reason: str
) -> None:
    guard(undone, ini, theirs)
    second = {**SECOND, "conf/app.ini": ini.read_text()}
    assert deploy(host, "d-2", second)["outcome"] == "succeeded"
    assert tree(host) == second


def test_what_was_installed_on_a_mount_is_cleaned_up_and_what_the_mount_hides_later(
    host: LocalHost, ini: Path, theirs: Path, undone: ExitStack
) -> None:
    """d-2 to d-4 install onto the mount; what it hides comes to light when it is gone."""
    mount(undone, ini.parent, theirs)
    for number in (2, 3):
        assert deploy(host, f"d-{number}", {**SECOND, "conf/new.ini": f"v{number}"})["outcome"] == "succeeded"
        assert (theirs / "new.ini").read_text() == f"v{number}"
    assert deploy(host, "d-4", SECOND)["outcome"] == "succeeded"
    assert [path.name for path in theirs.iterdir()] == ["app.ini"]
    undone.close()
    assert deploy(host, "d-5", SECOND)["outcome"] == "succeeded"
    assert tree(host) == SECOND


def test_an_overwrite_writes_to_what_is_mounted(host: LocalHost, ini: Path, theirs: Path, undone: ExitStack) -> None:
    mount(undone, ini, theirs / "app.ini")
    second = {**SECOND, "conf/app.ini": "v2"}
    assert deploy(host, "d-2", second, file_exists_behavior="OVERWRITE")["outcome"] == "succeeded"
    assert tree(host) == second and (theirs / "app.ini").read_text() == "v2"


@pytest.mark.parametrize("attribute", ["i", "a"])
def test_a_directory_in_which_nothing_can_be_removed_is_found_before_anything_is(
    host: LocalHost, ini: Path, undone: ExitStack, attribute: str
) -> None:
    protect(undone, ini.parent, attribute)
    before = tree(host)
    told, end = preview(host, SECOND), deploy(host, "d-2", SECOND)
    assert end["outcome"] == "failed" and f"chattr -{attribute}" in end["message"] and told["problem"] == end["message"]
    assert tree(host) == before
