"""Packing: the same directory always gives the same bytes, and what is packed is what was there."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from towline.bundles.archive import read_archive, read_directory
from towline.bundles.local import as_archive, location_of, read_local, revision_key
from towline.bundles.pack import pack, time_of
from towline.errors import InvalidInput, NotFound
from towline.model.bundle.revision import BundleType

APPSPEC = "version: 0.0\nos: linux\n"
TYPES: list[BundleType] = ["tar", "tgz", "zip"]

_name = st.text("abcXYZ.-_ é", min_size=1, max_size=6).filter(lambda n: n not in (".", "..", ".git", "appspec.yml"))
_files = st.dictionaries(
    _name, st.tuples(st.binary(max_size=200), st.sampled_from([0o400, 0o640, 0o664, 0o755, 0o777])), max_size=6
)
_trees = st.dictionaries(_name, _files, max_size=4)


def _write(root: Path, tree: dict[str, dict[str, tuple[bytes, int]]], mtime: int, *, backwards: bool) -> None:
    root.mkdir()
    (root / "appspec.yml").write_text(APPSPEC)
    for folder in sorted(tree, reverse=backwards):
        (root / folder).mkdir()
        for name in sorted(tree[folder], reverse=backwards):
            data, mode = tree[folder][name]
            file = root / folder / name
            file.write_bytes(data)
            file.chmod(mode)
            os.utime(file, (mtime, mtime))


@pytest.mark.parametrize("bundle_type", TYPES)
@given(tree=_trees)
@settings(max_examples=25, deadline=None)
def test_the_same_content_gives_the_same_bytes(
    bundle_type: BundleType, tree: dict[str, dict[str, tuple[bytes, int]]]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        one, two = Path(folder, "one"), Path(folder, "two")
        _write(one, tree, 1_000_000_000, backwards=False)
        _write(two, tree, 1_700_000_000, backwards=True)
        first = pack(one, Path(folder, f"1.{bundle_type}"), bundle_type)
        second = pack(two, Path(folder, f"2.{bundle_type}"), bundle_type)
        assert first.sha256 == second.sha256
        assert first.size == first.path.stat().st_size
        packed, there = read_archive(first.path, bundle_type).listing, read_directory(one).listing
        assert packed == there


@pytest.fixture
def app(tmp_path: Path) -> Path:
    root = tmp_path / "shop"
    (root / "bin").mkdir(parents=True)
    (root / "appspec.yml").write_text(APPSPEC)
    (root / "bin" / "run.sh").write_text("#!/bin/sh\n")
    (root / "bin" / "run.sh").chmod(0o775)
    (root / "secret").write_text("s")
    (root / "secret").chmod(0o600)
    (root / "current").symlink_to("bin")
    (root / ".git").mkdir()
    (root / ".git" / "HEAD").write_text("x")
    return root


@pytest.mark.parametrize("bundle_type", TYPES)
def test_modes_and_links_are_as_they_were(app: Path, tmp_path: Path, bundle_type: BundleType) -> None:
    modes = {"open": 0o777, "shut": 0o400, "group": 0o640, "root-tool": 0o4755, "mail-tool": 0o2711}
    for name, mode in modes.items():
        (app / name).write_text(name)
        (app / name).chmod(mode)
    (app / "bin").chmod(0o2750)
    packed = pack(app, tmp_path / f"b.{bundle_type}", bundle_type)
    members = {m.path: (m.type, m.mode, m.target) for m in read_archive(packed.path, bundle_type).listing.members}
    assert members == {
        "appspec.yml": ("file", "0644", ""),
        "bin": ("directory", "0750", ""),
        "bin/run.sh": ("file", "0775", ""),
        "current": ("symlink", "0777", "bin"),
        "group": ("file", "0640", ""),
        "mail-tool": ("file", "0711", ""),
        "open": ("file", "0777", ""),
        "root-tool": ("file", "0755", ""),
        "secret": ("file", "0600", ""),
        "shut": ("file", "0400", ""),
    }
    marked = [m.path for m in read_directory(app).listing.members if "setid" in m.marks]
    assert marked == ["mail-tool", "root-tool"], "of these bits validate, push and deploy warn"


def unpacked(directory: Path, folder: Path, bundle_type: BundleType) -> Path:
    """The directory, packed and unpacked again by the programs that hosts elsewhere use."""
    archive = pack(directory, folder.with_name(f"{folder.name}.{bundle_type}"), bundle_type)
    folder.mkdir()
    command = ["unzip", "-qo"] if bundle_type == "zip" else ["tar", "-xpf"]
    subprocess.run([*command, archive.path], cwd=folder, check=True)
    return folder


@pytest.mark.parametrize("bundle_type", TYPES)
def test_a_file_whose_content_changed_is_taken_for_changed(tmp_path: Path, bundle_type: BundleType) -> None:
    """Of the same size, with one time on disk, as build tools make them: what Python, rsync and web servers look at."""
    source, host = tmp_path / "source", tmp_path / "host"
    source.mkdir()
    host.mkdir()
    (source / "appspec.yml").write_text(APPSPEC)
    tags: list[tuple[int, float]] = []
    for version in ("one", "two", "one"):
        (source / "appmod.py").write_text(f'VERSION = "{version}"\n')
        os.utime(source / "appmod.py", (0, 0))
        release = unpacked(source, tmp_path / f"release-{len(tags)}", bundle_type)
        before = os.stat(host / "appmod.py") if tags else None
        subprocess.run(["cp", "-p", release / "appmod.py", host], check=True)  # as Install does, with its time
        now = os.stat(host / "appmod.py")
        assert before is None or (before.st_size == now.st_size and before.st_mtime != now.st_mtime)
        told = subprocess.run(
            [sys.executable, "-c", "import appmod; print(appmod.VERSION)"],
            cwd=host,
            env={"PATH": os.environ["PATH"]},
            check=True,
            capture_output=True,
            text=True,
        )
        assert told.stdout == f"{version}\n"
        tags.append((now.st_size, now.st_mtime))
    assert list((host / "__pycache__").iterdir()), "Python keeps what it compiled, else nothing was tested"
    assert tags[0] == tags[2] != tags[1], "the same content has the same tag on each host"


@given(st.binary(min_size=32, max_size=32))
def test_each_time_is_one_that_every_archive_can_hold(digest: bytes) -> None:
    time = time_of(digest)
    assert time % 2 == 0 and datetime(1980, 1, 2, tzinfo=UTC).timestamp() <= time < 1_420_000_000


def test_gnu_tar_and_unzip_agree(app: Path, tmp_path: Path) -> None:
    for bundle_type, command in (("tgz", ["tar", "-zxpsf"]), ("zip", ["unzip", "-qo"])):
        target = tmp_path / f"out-{bundle_type}"
        target.mkdir()
        packed = pack(app, tmp_path / f"b.{bundle_type}", bundle_type)  # type: ignore[arg-type]
        subprocess.run([*command, packed.path], cwd=target, check=True)
        assert (target / "bin" / "run.sh").stat().st_mode & 0o777 == 0o775
        assert (target / "secret").stat().st_mode & 0o777 == 0o600
        assert os.readlink(target / "current") == "bin"


def test_an_archive_in_the_directory_does_not_pack_itself(app: Path) -> None:
    first = pack(app, app / "b.tgz", "tgz").sha256
    assert pack(app, app / "b.tgz", "tgz").sha256 == first
    assert sorted(os.listdir(app)) == [".git", "appspec.yml", "b.tgz", "bin", "current", "secret"]


def test_a_clients_revision_has_a_location_in_the_store(app: Path, tmp_path: Path) -> None:
    packed = as_archive(app, tmp_path)
    assert packed.path.name == "shop.tgz"
    location = location_of(packed, "shop")
    assert location.label == f"shop (sha256 {packed.sha256[:7]})"
    assert revision_key(packed.sha256, "tgz") == f"revisions/{packed.sha256}.tgz"
    again = as_archive(packed.path, tmp_path)
    assert again == packed
    assert read_local(packed.path).appspec == read_local(app).appspec


def test_what_is_no_revision_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("")
    with pytest.raises(InvalidInput, match=r"\.tgz"):
        read_local(tmp_path / "x.txt")
    with pytest.raises(NotFound):
        as_archive(tmp_path / "absent", tmp_path)
