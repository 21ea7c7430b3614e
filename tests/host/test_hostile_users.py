"""Local users who own a part of what is deployed: none of it leads root to other files, or to scripts of theirs."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.host.local_host import LocalHost, plan_of, script, tar_of

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]
USER = 1000
PLAN = plan_of({"site": "/srv/app"})


def of_user(path: Path) -> Path:
    os.chown(path, USER, USER, follow_symlinks=False)
    return path


def link_of_user(path: Path, to: Path) -> None:
    path.symlink_to(to)
    of_user(path)


def bundle(members: dict[str, bytes], *, uid: int = 0, mode: int = 0o644, mtime: int = 1_577_836_800) -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w:gz") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode, info.mtime = len(data), mode, mtime
            info.uid = info.gid = uid
            tar.addfile(info, io.BytesIO(data))
    return raw.getvalue()


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    """A file of root's outside of the host."""
    folder = tmp_path / "etc"
    folder.mkdir()
    (folder / "passwd").write_text("root\n")
    return folder / "passwd"


def outcome(host: LocalHost, deployment: str, archive: bytes, **changes: object) -> str:
    return str(host.deploy(deployment, archive, PLAN, **changes).events[-1]["outcome"])


def warnings(host: LocalHost, deployment: str) -> str:
    return "\n".join(one["message"] for one in host.journal(deployment) if one["kind"] == "warning")


def test_scripts_lie_where_only_root_can_change_them_and_files_arrive_with_their_owner(host: LocalHost) -> None:
    archive = bundle({"stop.sh": b"#!/bin/sh\n", "site/f": b"x"}, uid=USER, mode=0o777)
    plan = plan_of({"site": "/srv/app"}, {"ApplicationStop": [script("stop.sh")]})
    host.deploy("d-1", archive, plan)
    unpacked = host.deployment("d-1") / "deployment-archive"
    for path in [unpacked, *unpacked.rglob("*"), host.deployment("d-1") / "plan.json"]:
        info = path.lstat()
        assert (info.st_uid, info.st_mode & 0o022) == (0, 0), path
    installed = host.path("/srv/app/f").stat()
    assert (installed.st_uid, installed.st_gid, installed.st_mode & 0o7777) == (USER, USER, 0o777)


def test_clean_up_does_not_follow_a_directory_that_a_user_swapped_for_a_link(host: LocalHost, victim: Path) -> None:
    assert outcome(host, "d-1", bundle({"site/data/passwd": b"1"})) == "succeeded"
    data = host.path("/srv/app/data")
    of_user(host.path("/srv/app"))
    data.rename(data.with_name("moved"))
    link_of_user(data, victim.parent)
    host.deploy("d-2", bundle({"site/other": b"2"}), PLAN)
    assert victim.read_text() == "root\n"


@pytest.mark.parametrize("behavior", ["OVERWRITE", "DISALLOW", "RETAIN"])
@pytest.mark.parametrize("dangling", [False, True])
def test_nothing_is_written_through_a_link_of_a_user(
    host: LocalHost, victim: Path, behavior: str, dangling: bool
) -> None:
    host.path("/srv/app").mkdir(parents=True)
    of_user(host.path("/srv/app"))
    target = victim.with_name("shadow") if dangling else victim
    link_of_user(host.path("/srv/app/f"), target)
    host.deploy("d-1", bundle({"site/f": b"evil"}, uid=USER), PLAN, file_exists_behavior=behavior)
    assert victim.read_text() == "root\n" and victim.stat().st_uid == 0
    assert not victim.with_name("shadow").exists()


def test_a_link_of_root_in_the_path_is_followed(host: LocalHost) -> None:
    host.path("/srv/releases/v1").mkdir(parents=True)
    host.path("/srv/app").symlink_to("releases/v1")
    assert outcome(host, "d-1", bundle({"site/f": b"1"})) == "succeeded"
    assert host.path("/srv/releases/v1/f").read_text() == "1"
    assert outcome(host, "d-2", bundle({"site/g": b"2"})) == "succeeded"
    assert [one.name for one in host.path("/srv/releases/v1").iterdir()] == ["g"]


def test_a_line_end_in_a_name_forges_no_line_of_the_clean_up_list(host: LocalHost, victim: Path) -> None:
    theirs = host.path("/srv/theirs")
    theirs.parent.mkdir(parents=True)
    theirs.write_text("theirs")
    for number, path in enumerate((victim, theirs)):
        host.deploy(f"d-{number}-1", bundle({f"site/x\n{path}": b"1", "site/f": b"1"}), PLAN)
        for record in host.state("groups").glob("*.installed"):
            record.unlink()  # as where AWS's agent had deployed: the list is all there is
        host.deploy(f"d-{number}-2", bundle({"site/g": b"2"}), PLAN)
        assert path.exists()


def test_a_line_that_was_added_to_the_clean_up_list_is_ignored_and_said(host: LocalHost, victim: Path) -> None:
    outcome(host, "d-1", bundle({"site/f": b"1"}))
    (listed,) = (host.root / "opt/codedeploy-agent/deployment-root/deployment-instructions").glob("*-cleanup")
    kept = host.path("/srv/kept")
    kept.write_text("x")
    with listed.open("a") as file:
        file.write(f"{victim}\nrelative\n{kept}\n")
    assert outcome(host, "d-2", bundle({"site/g": b"2"})) == "succeeded"
    assert victim.exists() and kept.exists() and not host.path("/srv/app/f").exists()
    assert "is ignored" in warnings(host, "d-2")


@pytest.fixture
def mounted(host: LocalHost) -> Iterator[Path]:
    """A file system on an empty directory that the first deployment brought."""
    host.deploy("d-1", bundle({"site/a.txt": b"v1", "site/uploads/x": b"1", "site/zzz/f": b"1"}), PLAN)
    uploads = host.path("/srv/app/uploads")
    (uploads / "x").unlink()
    subprocess.run(["mount", "-t", "tmpfs", "none", str(uploads)], check=True)
    yield uploads
    subprocess.run(["umount", str(uploads)], check=True)


def test_a_mount_point_is_left_alone_and_the_release_is_whole(host: LocalHost, mounted: Path) -> None:
    (mounted / "theirs").write_text("x")
    assert outcome(host, "d-2", bundle({"site/a.txt": b"v2", "site/b.txt": b"v2"})) == "succeeded"
    assert sorted(one.name for one in host.path("/srv/app").iterdir()) == ["a.txt", "b.txt", "uploads"]
    assert (mounted / "theirs").exists() and host.path("/srv/app/a.txt").read_text() == "v2"


def test_an_immutable_file_is_left_alone_and_said(host: LocalHost) -> None:
    outcome(host, "d-1", bundle({"site/.user.ini": b"1", "site/a": b"1"}))
    ini = host.path("/srv/app/.user.ini")
    if subprocess.run(["chattr", "+i", str(ini)], capture_output=True).returncode:
        pytest.fail("this file system has no attributes")
    try:
        assert outcome(host, "d-2", bundle({"site/a": b"2"})) == "succeeded"
        assert ini.exists() and host.path("/srv/app/a").read_text() == "2"
        assert "immutable" in warnings(host, "d-2")
    finally:
        subprocess.run(["chattr", "-i", str(ini)], check=True)


def test_a_link_to_nothing_where_a_directory_is_needed_is_found_before_the_old_release_goes(host: LocalHost) -> None:
    outcome(host, "d-1", bundle({"site/f": b"1"}))
    host.path("/srv/current").symlink_to("/data/not-mounted")
    plan = plan_of({"site": "/srv/current"})
    with host.call("deploy", "d-2", bundle({"site/f": b"2"}), plan=plan) as call:
        ended = call.finish(bundle({"site/f": b"2"}))
    assert ended["outcome"] == "failed" and "/data/not-mounted" in ended["message"]
    assert host.path("/srv/app/f").read_text() == "1"


def test_changed_content_never_arrives_with_the_time_of_the_old(host: LocalHost) -> None:
    """Python's .pyc, make, rsync and ETags know a file by its size and time."""
    times = []
    for number, content in enumerate((b'VERSION = "one"', b'VERSION = "two"', b'VERSION = "one"'), 1):
        assert outcome(host, f"d-{number}", bundle({"site/appmod.py": content})) == "succeeded"
        code = "import appmod; print(appmod.VERSION)"
        shown = subprocess.run(
            ["python3", "-c", code], cwd=host.path("/srv/app"), capture_output=True, text=True, check=True
        )
        assert shown.stdout.strip().encode() in content
        times.append(host.path("/srv/app/appmod.py").stat().st_mtime)
    assert len(set(times)) == 3 and max(times) <= time.time() + 5


def test_an_old_revision_with_something_mounted_is_a_warning(host: LocalHost) -> None:
    for number in range(1, 7):
        outcome(host, f"d-{number}", tar_of({"site/f": str(number)}))
    old = host.deployment("d-2") / "deployment-archive" / "m"
    old.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "none", str(old)], check=True)
    try:
        (old / "theirs").write_text("x")
        assert outcome(host, "d-7", tar_of({"site/f": "7"})) == "succeeded"
        assert (old / "theirs").exists() and "mounted" in warnings(host, "d-7")
    finally:
        subprocess.run(["umount", str(old)], check=True)
