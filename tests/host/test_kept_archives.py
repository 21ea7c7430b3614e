"""Archives that AWS's agent or an older runner unpacked with the owners that they came with: users may own scripts."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness.host.local_host import Call, Event, LocalHost, plan_of, script, tar_of

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]
USER = 1000
STOP = '#!/bin/sh\nid -u >> "$TOWLINE_ROOT/stopped"\n'
HOOKS = {"ApplicationStop": [script("bin/stop.sh")]}
OLD_PLAN = plan_of({"site": "/srv/app"}, HOOKS)
NEW, NEW_PLAN = tar_of({"site/f": "new"}), plan_of({"site": "/srv/app"})
NEW_FAILS = plan_of({"site": "/srv/app"}, {"AfterInstall": [script("missing.sh")]})


@pytest.fixture
def archive(host: LocalHost) -> Path:
    """What AWS's agent has unpacked, all of it root's, as the last revision that was installed."""
    folder = host.deployment("d-OLD") / "deployment-archive"
    for name, content in {"bin/stop.sh": STOP, "site/f": "old", "appspec.yml": "version: 0.0\nos: linux\n"}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    (folder / "bin/stop.sh").chmod(0o755)
    instructions = host.deployment("d-OLD").parents[1] / "deployment-instructions"
    instructions.mkdir()
    (instructions / f"{host.group['id']}_last_successful_install").write_text(str(host.deployment("d-OLD")))
    installed = host.path("/srv/app/f")
    installed.parent.mkdir(parents=True)
    installed.write_text("old")
    (instructions / f"{host.group['id']}-cleanup").write_text(f"{installed.parent}\n{installed}\n")
    return folder


def deploy(host: LocalHost, plan: dict[str, Any] = NEW_PLAN, old: dict[str, Any] = OLD_PLAN, **changes: Any) -> Call:
    with host.call("deploy", "d-2", NEW, plan=plan, **changes) as call:
        call.finish(NEW, {"d-OLD": old})
    return call


def undo(host: LocalHost) -> Event:
    with host.call("undo", "d-3", undo="d-2") as call:
        return call.finish()


def of_user(path: Path) -> None:
    os.chown(path, USER, USER, follow_symlinks=False)


def as_link(archive: Path) -> None:
    """The script is a link of root's to another one in the archive, which is a user's."""
    (archive / "bin/stop.sh").rename(archive / "site/real.sh")
    (archive / "bin/stop.sh").symlink_to("../site/real.sh")
    of_user(archive / "site/real.sh")


def let_group_write(archive: Path) -> None:
    os.chown(archive / "bin/stop.sh", 0, USER)
    (archive / "bin/stop.sh").chmod(0o775)


def name_in_acl(archive: Path) -> None:
    subprocess.run(["setfacl", "-m", f"u:{USER}:rwx", str(archive / "bin/stop.sh")], check=True)


WEAK: dict[str, Callable[[Path], None]] = {
    "a script of a user": lambda archive: of_user(archive / "bin/stop.sh"),
    "its directory is a user's": lambda archive: of_user(archive / "bin"),
    "the archive is a user's": of_user,
    "the deployment's directory is a user's": lambda archive: of_user(archive.parent),
    "everybody may write the script": lambda archive: (archive / "bin/stop.sh").chmod(0o757),
    "everybody may write its directory": lambda archive: (archive / "bin").chmod(0o777),
    "a group of users may write it": let_group_write,
    "a link to a script of a user": as_link,
    "an access control list": name_in_acl,
}


@pytest.mark.parametrize("weaken", WEAK.values(), ids=WEAK.keys())
def test_a_script_that_others_could_have_changed_is_refused_before_the_first_event(
    host: LocalHost, archive: Path, weaken: Callable[[Path], None]
) -> None:
    weaken(archive)
    refused = deploy(host).events[-1]
    assert (refused["kind"], refused["code"]) == ("refused", "HostNotReady")
    assert "bin/stop.sh" in refused["message"] and f"chown -R root:root {archive}" in refused["message"]
    assert not host.path("/stopped").exists() and host.path("/srv/app/f").read_text() == "old"
    with host.call("plan", "d-2", NEW, plan=NEW_PLAN) as preview:
        assert refused["message"] == preview.finish()["problem"]
    subprocess.run(["chown", "-R", "root:root", str(archive.parent)], check=True)
    subprocess.run(["setfacl", "-R", "-b", str(archive)], check=True)
    subprocess.run(["chmod", "-R", "go-w", str(archive)], check=True)
    assert deploy(host).events[-1]["outcome"] == "succeeded"
    assert host.path("/stopped").exists()


def test_where_its_failure_is_ignored_it_is_left_out(host: LocalHost, archive: Path) -> None:
    of_user(archive / "bin/stop.sh")
    call = deploy(host, ignore_application_stop_failures=True)
    stop = next(one for one in call.kinds("event_ended") if one["event"] == "ApplicationStop")
    assert stop["status"] == "Failed" and f"user id {USER}" in stop["message"]
    assert call.events[-1]["outcome"] == "succeeded" and not host.path("/stopped").exists()


def test_a_script_that_runs_as_its_user_may_be_that_users(host: LocalHost, archive: Path) -> None:
    of_user(archive / "bin/stop.sh")
    old = plan_of({"site": "/srv/app"}, {"ApplicationStop": [script("bin/stop.sh", runas="nobody")]})
    stop = next(one for one in deploy(host, old=old).kinds("event_ended") if one["event"] == "ApplicationStop")
    assert "could have changed it" not in stop["message"], "whether nobody has a shell is the system's business"


def test_what_root_alone_can_change_runs_whatever_else_its_mode_says(host: LocalHost, archive: Path) -> None:
    """A CI's umask 002 in a zip: group root may write, and root alone is in it."""
    for path in (archive, archive / "bin", archive / "bin/stop.sh"):
        path.chmod(0o775)
    archive.parent.chmod(0o1777)
    assert deploy(host).events[-1]["outcome"] == "succeeded" and host.path("/stopped").exists()


def test_an_undo_takes_the_agents_archive_with_its_owners_and_makes_it_roots(host: LocalHost, archive: Path) -> None:
    of_user(archive / "site/f")
    (archive / "site/f").chmod(0o660)
    os.mkfifo(archive / "site/pipe-of-a-hook")
    deploy(host, NEW_FAILS)
    assert undo(host)["outcome"] == "succeeded"
    installed = host.path("/srv/app/f")
    assert installed.read_text() == "old"
    assert (installed.stat().st_uid, installed.stat().st_gid, installed.stat().st_mode & 0o777) == (USER, USER, 0o660)
    for path in (host.deployment("d-3") / "deployment-archive").rglob("*"):
        assert (path.lstat().st_uid, path.lstat().st_mode & 0o002) == (0, 0), path


def test_an_undo_does_not_run_what_others_could_have_changed(host: LocalHost, archive: Path) -> None:
    deploy(host, NEW_FAILS)
    of_user(archive / "bin")
    end = undo(host)
    assert (end["outcome"], end["failed_event"]) == ("failed", "DownloadBundle") and "chown -R" in end["message"]


@pytest.mark.parametrize("packed", ["tar", "tgz"])
def test_an_undo_unpacks_the_agents_bundle_where_that_is_roots(host: LocalHost, archive: Path, packed: str) -> None:
    """Whatever has become of the unpacked archive."""
    bundle = tar_of({"bin/stop.sh": STOP, "site/f": "from the bundle"}, compressed=packed == "tgz")
    (archive.parent / "bundle.tar").write_bytes(bundle)
    deploy(host, NEW_FAILS)
    of_user(archive / "bin")
    assert undo(host)["outcome"] == "succeeded"
    assert host.path("/srv/app/f").read_text() == "from the bundle"


def test_an_undo_does_not_take_a_bundle_that_others_could_have_changed(host: LocalHost, archive: Path) -> None:
    (archive.parent / "bundle.tar").write_bytes(tar_of({"site/f": "forged"}))
    of_user(archive.parent / "bundle.tar")
    deploy(host, NEW_FAILS)
    assert undo(host)["outcome"] == "succeeded"
    assert host.path("/srv/app/f").read_text() == "old"


# ── owners of what the runner unpacks itself ─────────────────────────────────────────────────────────────────────────


@pytest.fixture
def open_host() -> Iterator[LocalHost]:
    """A host whose directories every user may enter."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        yield LocalHost(Path(folder))


def member(name: str, mode: int = 0o644, uid: int = USER, **fields: Any) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.mode, info.uid, info.gid = mode, uid, uid
    for field, value in fields.items():
        setattr(info, field, value)
    return info


def pack(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w:gz") as tar:
        for info, data in members:
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return raw.getvalue()


def installed(host: LocalHost, *names: str) -> list[tuple[int, int, int]]:
    """(user, group, mode) of installed files."""
    found = [host.path(f"/srv/app/{name}").stat() for name in names]
    return [(info.st_uid, info.st_gid, info.st_mode & 0o777) for info in found]


def test_a_member_for_its_owner_alone_can_be_read_by_that_owner_and_by_no_other(open_host: LocalHost) -> None:
    host = open_host
    folder = member("site", 0o700, type=tarfile.DIRTYPE)
    archive = pack(
        (folder, b""), (member("site/key", 0o600), b"secret"), (member("site/run.sh", 0o700), b"#!/bin/sh\n")
    )
    assert host.deploy("d-1", archive, NEW_PLAN).events[-1]["outcome"] == "succeeded"
    unpacked = host.deployment("d-1") / "deployment-archive/site"

    def can(user: int, *command: str) -> bool:
        return not subprocess.run([*command], user=user, group=user, extra_groups=[], capture_output=True).returncode

    assert can(USER, "cat", f"{unpacked}/key") and can(USER, f"{unpacked}/run.sh")
    assert not can(USER, "sh", "-c", f"echo >> {unpacked}/key") and not can(USER, "touch", f"{unpacked}/new")
    assert not can(USER + 1, "cat", f"{unpacked}/key")
    (unpacked.parent / "site").chmod(0o755)
    assert not can(USER + 1, "cat", f"{unpacked}/key"), "the file's own list says the same"
    assert installed(host, "key", "run.sh") == [(USER, USER, 0o600), (USER, USER, 0o700)]


def test_a_hard_link_arrives_with_its_owner(host: LocalHost) -> None:
    link = member("site/link", 0o640, type=tarfile.LNKTYPE, linkname="site/f")
    host.deploy("d-1", pack((member("site/f", 0o640), b"x"), (link, b"")), NEW_PLAN)
    assert installed(host, "f", "link") == [(USER, USER, 0o640)] * 2


def test_a_member_that_is_replaced_later_in_the_archive_leaves_no_owner_behind(host: LocalHost) -> None:
    host.deploy("d-1", pack((member("site/f"), b"1"), (member("site/f", uid=0), b"2")), NEW_PLAN)
    assert installed(host, "f") == [(0, 0, 0o644)]


# ── what lies above the deployment root ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("owner", [0, USER])
def test_a_deployment_root_below_what_others_can_write_is_refused_with_the_mend(tmp_path: Path, owner: int) -> None:
    host, above = LocalHost(tmp_path), tmp_path / "theirs"
    above.mkdir(mode=0o755)
    os.chown(above, owner, owner)
    above.chmod(0o777 if owner == 0 else 0o755)
    places = {"root": "", "deployment_root": str(above / "deployments"), "state_dir": str(tmp_path / "state")}
    refused = host.deploy("d-1", NEW, plan_of(), allow_aws_agent=True, **places).events[-1]
    assert (refused["kind"], refused["code"]) == ("refused", "HostNotReady")
    assert str(above) in refused["message"] and "deploymentRoot" in refused["message"]
    os.chown(above, 0, 0)
    above.chmod(0o755)
    assert host.deploy("d-2", NEW, plan_of(), allow_aws_agent=True, **places).events[-1]["outcome"] == "succeeded"
