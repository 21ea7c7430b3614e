"""Packing: the same directory always gives the same bytes, and what is packed is what was there."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from towline.bundles.archive import read_archive, read_directory
from towline.bundles.local import as_archive, location_of, read_local, revision_key
from towline.bundles.pack import pack
from towline.errors import InvalidInput, NotFound
from towline.model.revision import BundleType

APPSPEC = "version: 0.0\nos: linux\n"
TYPES: list[BundleType] = ["tar", "tgz", "zip"]

_name = st.text("abcXYZ.-_ é", min_size=1, max_size=6).filter(lambda n: n not in (".", "..", ".git", "appspec.yml"))
_files = st.dictionaries(
    _name, st.tuples(st.binary(max_size=200), st.sampled_from([0o644, 0o664, 0o755, 0o775])), max_size=6
)
_trees = st.dictionaries(_name, _files, max_size=4)


def _write(root: Path, tree: dict[str, dict[str, tuple[bytes, int]]], mtime: int, *, backwards: bool) -> None:
    root.mkdir()
    (root / "appspec.yml").write_text(APPSPEC)
    for folder in sorted(tree, reverse=backwards):
        (root / folder).mkdir(mode=0o755 if backwards else 0o775)
        for name in sorted(tree[folder], reverse=backwards):
            data, mode = tree[folder][name]
            file = root / folder / name
            file.write_bytes(data)
            file.chmod(mode & (0o755 if backwards else 0o777))  # another umask
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
        assert [(m.path, m.type, m.sha256) for m in packed.members] == [
            (m.path, m.type, m.sha256) for m in there.members
        ]


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
def test_modes_and_links_are_as_a_host_should_have_them(app: Path, tmp_path: Path, bundle_type: BundleType) -> None:
    packed = pack(app, tmp_path / f"b.{bundle_type}", bundle_type)
    members = {m.path: (m.type, m.mode, m.target) for m in read_archive(packed.path, bundle_type).listing.members}
    assert members == {
        "appspec.yml": ("file", "0644", ""),
        "bin": ("directory", "0755", ""),
        "bin/run.sh": ("file", "0755", ""),
        "current": ("symlink", "0777", "bin"),
        "secret": ("file", "0600", ""),
    }


def test_gnu_tar_and_unzip_agree(app: Path, tmp_path: Path) -> None:
    for bundle_type, command in (("tgz", ["tar", "-zxpsf"]), ("zip", ["unzip", "-qo"])):
        target = tmp_path / f"out-{bundle_type}"
        target.mkdir()
        packed = pack(app, tmp_path / f"b.{bundle_type}", bundle_type)  # type: ignore[arg-type]
        subprocess.run([*command, packed.path], cwd=target, check=True)
        assert (target / "bin" / "run.sh").stat().st_mode & 0o777 == 0o755
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
