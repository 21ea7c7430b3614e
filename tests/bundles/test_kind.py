"""The type of an archive comes from its content; name and option only where that tells nothing."""

from __future__ import annotations

import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest

from towline.bundles.kind import bundle_type, kind_of
from towline.bundles.local import as_archive, read_local
from towline.errors import InvalidInput
from towline.model.bundle.revision import BundleType

MAKERS = {
    "tgz": (["tar", "-czf", "{}", "appspec.yml"], "tgz"),
    "tar": (["tar", "-cf", "{}", "appspec.yml"], "tar"),
    "tar without the magic of POSIX": (["tar", "--format=v7", "-cf", "{}", "appspec.yml"], "tar"),
    "tar.xz": (["tar", "-cJf", "{}", "appspec.yml"], "tar"),
    "tar.bz2": (["tar", "-cjf", "{}", "appspec.yml"], "tar"),
    "zip": (["zip", "-q", "-r", "{}", "appspec.yml"], "zip"),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "appspec.yml").write_text("version: 0.0\nos: linux\n")
    return tmp_path


@pytest.mark.parametrize("how", MAKERS)
def test_the_content_tells_whatever_the_name(folder: Path, how: str) -> None:
    command, expected = MAKERS[how]
    made = folder / "made.zip"
    subprocess.run([part.format(made) for part in command], cwd=folder, check=True)
    for name in ("h3Xk9aQ", "latest.tar", "odd.zip", "app.v2"):
        archive = made.rename(folder / name)
        made = archive
        assert kind_of(archive) == expected
        found = as_archive(archive, folder)
        assert found.bundle_type == ("tar" if (expected, name) == ("tgz", "latest.tar") else expected)
        assert read_local(archive).appspec_name == "appspec.yml"


def test_a_zip_behind_something_else_is_a_zip(folder: Path) -> None:
    with zipfile.ZipFile(folder / "plain", "w") as archive:
        archive.write(folder / "appspec.yml", "appspec.yml")
    (folder / "setup").write_bytes(b"#!/bin/sh\nexec unzip $0\n" + (folder / "plain").read_bytes())
    assert kind_of(folder / "setup") == "zip"


def test_a_tar_that_has_a_zip_in_it_is_a_tar(folder: Path) -> None:
    with zipfile.ZipFile(folder / "inner.zip", "w") as archive:
        archive.write(folder / "appspec.yml", "appspec.yml")
    with tarfile.open(folder / "outer", "w") as tar:
        tar.add(folder / "appspec.yml", "appspec.yml")
        tar.add(folder / "inner.zip", "inner.zip")
    assert kind_of(folder / "outer") == "tar"


def test_where_the_content_tells_nothing_the_option_and_the_ending_do(folder: Path) -> None:
    torn = folder / "torn.tgz"
    torn.write_bytes(b"torn")
    assert kind_of(torn) is None
    assert bundle_type(torn, None) == "tgz"
    assert bundle_type(torn, "zip") == "zip"
    with pytest.raises(InvalidInput, match=r"neither a tar archive .* nor a zip archive.*--bundle-type"):
        bundle_type(torn, None, "s3://b/h3Xk9aQ")


@pytest.mark.parametrize(("told", "is_refused"), [("tar", True), ("zip", False), (None, False)])
def test_an_option_that_the_content_contradicts_is_refused(
    folder: Path, told: BundleType | None, is_refused: bool
) -> None:
    archive = folder / "x"
    subprocess.run(["zip", "-q", "-r", archive.with_suffix(".zip"), "appspec.yml"], cwd=folder, check=True)
    archive.with_suffix(".zip").rename(archive)
    if is_refused:
        with pytest.raises(InvalidInput, match="it is a zip archive, not tar"):
            as_archive(archive, folder, told)
    else:
        assert as_archive(archive, folder, told).bundle_type == "zip"
