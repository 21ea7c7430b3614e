"""A destination that belongs to a user, who swaps a part of it in the middle of clean-up or Install.

No race: the runner is given a line that waits for the swap right before a named step.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.harness.host.local_host import RUNNER, Event, LocalHost, plan_of, tar_of

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
USER = 1000
BEFORE_A_STEP = '                    getattr(self, "_" + step[0])(*step[1:])\n'
BEFORE_A_REMOVAL = "            directory, name = parents.of(path)\n            remove_one(directory, name)\n"
BEFORE_A_COPY = "                self._file(source, destination, target, replaces)\n"

TO_A_LINK = """
os.rename(path, path + ".moved")
os.symlink(victim, path)
os.chown(path, 1000, 1000, follow_symlinks=False)
"""
TO_A_HARD_LINK = """
os.unlink(path)
os.link(victim, path)
"""
TO_A_DIRECTORY_OF_THEIRS = """
os.rename(path, path + ".moved")
os.mkdir(path)
os.symlink(victim, path + "/f")
for made in (path, path + "/f"):
    os.chown(made, 1000, 1000, follow_symlinks=False)
"""


def swapping(tmp_path: Path, line: str, when: str, swap: str, path: Path, victim: Path) -> Path:
    """The runner with a swap in front of the line, once, where the condition `when` is true."""
    source = RUNNER.read_text()
    assert source.count(line) == 1
    action = tmp_path / "swap.py"
    action.write_text(
        f"import os\npath, victim = {str(path)!r}, {str(victim)!r}\n{swap}\nos.rename(__file__, __file__ + '.done')\n"
    )
    indent = line[: len(line) - len(line.lstrip())]
    call = f"{indent}if {when} and os.path.exists({str(action)!r}): __import__('runpy').run_path({str(action)!r})\n"
    runner = tmp_path / "runner.py"
    runner.write_text(source.replace(line, call + line))
    return runner


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    """A directory of root's, with a file called as one of the bundle's."""
    folder = tmp_path / "etc"
    folder.mkdir()
    (folder / "f").write_text("root")
    (folder / "f").chmod(0o600)
    return folder


def of_user(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    os.chown(path, USER, USER)
    return path


def whole(folder: Path) -> list[tuple[str, int, int, int, str]]:
    """What must not change."""
    paths = [folder, *sorted(folder.iterdir())]
    infos = [(path, path.stat()) for path in paths]
    return [
        (path.name, info.st_uid, info.st_gid, info.st_mode, path.read_text() if path.is_file() else "")
        for path, info in infos
    ]


def permission(**what: Any) -> list[dict[str, Any]]:
    return [{"object": "/srv/app", "pattern": "**", **what}]


SWAPS: dict[str, tuple[str, str, str, str, str, list[dict[str, Any]]]] = {
    # name: line, condition, swap, path below /srv/app, what it leads to below the victim, permissions
    "a directory before a file is copied into it": (BEFORE_A_STEP, "step[0] == 'copy'", TO_A_LINK, "data", "", []),
    "a directory for another one": (BEFORE_A_STEP, "step[0] == 'copy'", TO_A_DIRECTORY_OF_THEIRS, "data", "f", []),
    "a file before its mode is set": (
        BEFORE_A_STEP, "step[0] == 'mode'", TO_A_LINK, "data/f", "f", permission(mode="777"),
    ),
    "a file for a hard link before its mode is set": (
        BEFORE_A_STEP, "step[0] == 'mode'", TO_A_HARD_LINK, "data/f", "f", permission(mode="777"),
    ),
    "a file before its owner is set": (
        BEFORE_A_STEP, "step[0] == 'owner'", TO_A_LINK, "data/f", "f", permission(owner="nobody"),
    ),
    "a file for a hard link before its owner is set": (
        BEFORE_A_STEP, "step[0] == 'owner'", TO_A_HARD_LINK, "data/f", "f", permission(owner="nobody"),
    ),
    "a directory before its owner is set": (
        BEFORE_A_STEP, "step[0] == 'owner'", TO_A_LINK, "data", "", permission(owner="nobody"),
    ),
    "a directory above before an ACL is set": (
        BEFORE_A_STEP, "step[0] == 'acl'", TO_A_LINK, "data", "",
        permission(acls=[{"type": "user", "name": "nobody", "perms": "rwx", "default": False}]),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("line", "when", "swap", "path", "to", "permissions"), SWAPS.values(), ids=SWAPS.keys())
def test_nothing_of_roots_changes_when_a_user_swaps(
    host: LocalHost, tmp_path: Path, victim: Path, line: str, when: str, swap: str, path: str, to: str,
    permissions: list[dict[str, Any]],
) -> None:  # fmt: skip
    app = of_user(host.path("/srv/app"))
    before = whole(victim)
    host.runner = swapping(tmp_path, line, when, swap, app / path, victim / to if to else victim)
    plan = plan_of({"site": "/srv/app"}, permissions=permissions)
    end = host.deploy("d-1", tar_of({"site/data/f": "new"}), plan).events[-1]
    assert (tmp_path / "swap.py.done").exists(), end
    assert whole(victim) == before
    if swap is not TO_A_DIRECTORY_OF_THEIRS:
        assert (end["outcome"], end["failed_event"]) == ("failed", "Install"), end
        assert any(word in end["message"] for word in ("is a link", "replaced meanwhile", "Not a directory"))


def deploy_twice(host: LocalHost, runner: Path, **changes: Any) -> Event:
    """The second one, which removes or replaces what the first has installed, by the runner that swaps."""
    plan = plan_of({"site": "/srv/app"})
    host.deploy("d-1", tar_of({"site/data/f": "1", "site/data/g": "1"}), plan)
    for path in ("/srv/app", "/srv/app/data"):
        of_user(host.path(path))
    host.runner = runner
    return host.deploy("d-2", tar_of({"site/h": "2"}), plan, **changes).events[-1]


@pytest.mark.parametrize("name", ["g", "f"])
def test_clean_up_removes_nothing_through_a_directory_swapped_meanwhile(
    host: LocalHost, tmp_path: Path, victim: Path, name: str
) -> None:
    """Before the first file is removed, and before the second: the directory is open by then."""
    before, data = whole(victim), host.path("/srv/app/data")
    runner = swapping(tmp_path, BEFORE_A_REMOVAL, f"path.endswith('/{name}')", TO_A_LINK, data, victim)
    deploy_twice(host, runner)  # fails, or not, by whether what was swapped is in the way
    assert (tmp_path / "swap.py.done").exists() and whole(victim) == before


@pytest.mark.parametrize("swap", [TO_A_LINK, TO_A_HARD_LINK], ids=["link", "hard link"])
def test_overwrite_writes_through_no_link_that_came_after_the_old_file_was_kept(
    host: LocalHost, tmp_path: Path, victim: Path, swap: str
) -> None:
    theirs = of_user(host.path("/srv/app")) / "f"
    theirs.write_text("theirs")
    os.chown(theirs, USER, USER)
    before = whole(victim)
    host.runner = swapping(tmp_path, BEFORE_A_COPY, "replaces", swap, theirs, victim / "f")
    host.deploy("d-1", tar_of({"site/f": "new"}), plan_of({"site": "/srv/app"}, file_exists_behavior="OVERWRITE"))
    assert (tmp_path / "swap.py.done").exists() and whole(victim) == before


def test_what_appears_after_the_files_were_checked_is_left_alone_now_and_by_the_next_clean_up(
    host: LocalHost, tmp_path: Path
) -> None:
    theirs = of_user(host.path("/srv/app")) / "f"
    host.runner = swapping(
        tmp_path, BEFORE_A_COPY, "target.endswith('/f')", "open(path, 'w').write('theirs')", theirs, theirs
    )
    end = host.deploy("d-1", tar_of({"site/a": "1", "site/f": "1"}), plan_of({"site": "/srv/app"})).events[-1]
    assert "was not there when the files were checked" in end["message"], end
    host.deploy("d-2", tar_of({"site/b": "2"}), plan_of({"site": "/srv/app"}))
    assert sorted(path.name for path in theirs.parent.iterdir()) == ["b", "f"]
    assert theirs.read_text() == "theirs"
