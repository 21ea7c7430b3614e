"""Hostile archives, made by code: refused on both sides alike, in little time and memory, nothing written outside."""

from __future__ import annotations

import gzip
import os
import resource
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from towline.bundles.archive import read_archive
from towline.errors import InvalidBundle
from towline.host.runner.errors import StepFailed
from towline.host.runner.files import remove_tree
from towline.host.runner.unpacking import unpack

APPSPEC = b"version: 0.0\nos: linux\n"
MEMORY_BYTES = 300 * 1024 * 1024


def header(name: bytes, kind: bytes, size: int = 0, *, link: bytes = b"", uid: bytes = b"0000000") -> bytes:
    """A member's header, as anyone may write it."""
    block = bytearray(512)
    block[0 : len(name)] = name
    block[100:107], block[108:115], block[116:123] = b"0000644", uid, b"0000000"
    block[124:135] = b"%011o" % size
    block[156:157] = kind
    block[157 : 157 + len(link)] = link
    block[257:265] = b"ustar\x0000"
    block[148:156] = b" " * 8
    block[148:155] = b"%06o\0" % sum(block)
    return bytes(block)


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 512)


def file(name: bytes, data: bytes = b"x", **fields: bytes) -> bytes:
    return header(name, b"0", len(data), **fields) + padded(data)


def pax(record: bytes, kind: bytes = b"x") -> bytes:
    return header(b"pax", kind, len(record)) + padded(record)


def record(key: bytes, value: bytes) -> bytes:
    length = len(key) + len(value) + 3
    length += len(str(length + len(str(length))))
    return b"%d %s=%s\n" % (length, key, value)


SPEC = file(b"appspec.yml", APPSPEC)

TARS: dict[str, tuple[bytes, str]] = {
    "a number of 150,000 digits": (SPEC + pax(record(b"size", b"9" * 150_000)) + file(b"a"), "extended header"),
    "a length of 150,000 digits": (SPEC + pax(b"9" * 150_000 + b" path=a\n") + file(b"a"), "extended header"),
    "an extension header of 512 MiB": (SPEC + header(b"x", b"L", 512 << 20) + bytes(512), "extension header"),
    "a pax header of 512 MiB": (SPEC + header(b"x", b"x", 512 << 20) + bytes(512), "extension header"),
    "a chain of long names": (
        SPEC + (header(b"n", b"L", 2) + padded(b"a\0")) * 10_000 + file(b"a"),
        "extension headers",
    ),
    "a time that is none": (SPEC + pax(record(b"mtime", b"nan")) + file(b"a"), "time"),
    "a time past all file systems": (SPEC + pax(record(b"mtime", b"9" * 30)) + file(b"a"), "time"),
    "a user id past all systems": (SPEC + file(b"a", uid=b"\x80" + b"\xff" * 6), "user id"),
    "a name of 256 bytes": (SPEC + pax(record(b"path", b"n" * 256)) + file(b"a"), "256 bytes"),
    "a path of 5,000 bytes": (SPEC + pax(record(b"path", b"n/" * 2500 + b"n")) + file(b"a"), "bytes"),
    "a hard link to itself": (SPEC + header(b"a", b"1", link=b"a"), "hard link to itself"),
    "a hard link to a member that became a link": (
        SPEC + file(b"a") + header(b"a", b"2", link=b"/etc/passwd") + header(b"b", b"1", link=b"a"),
        "hard link to a",
    ),
    "a directory that became a link": (
        SPEC + file(b"d/a") + header(b"d", b"2", link=b"/etc") + file(b"d/passwd"),
        "directory",
    ),
    "a link's target that is not UTF-8": (SPEC + header(b"l", b"2", link=b"\xff\xfe"), "not UTF-8"),
    "a path that climbs out": (SPEC + file(b"../a"), "leave the archive"),
    "an absolute path": (SPEC + file(b"/etc/a"), "absolute"),
    "a device": (SPEC + header(b"null", b"3"), "a device"),
    "a sparse file": (SPEC + header(b"s", b"S"), "sparse"),
    "a pax sparse file": (SPEC + pax(record(b"GNU.sparse.major", b"1")) + file(b"a"), "sparse"),
}


def written(tmp_path: Path, data: bytes) -> Path:
    path = tmp_path / "b.tgz"
    path.write_bytes(gzip.compress(data + bytes(1024), compresslevel=1))
    return path


@pytest.mark.parametrize("case", TARS)
def test_it_is_refused_on_both_sides_with_the_same_reason(case: str, tmp_path: Path) -> None:
    data, reason = TARS[case]
    path = written(tmp_path, data)
    with pytest.raises(InvalidBundle) as ours:
        read_archive(path, "tgz")
    (tmp_path / "host").mkdir()
    with pytest.raises(StepFailed) as theirs:
        unpack(str(path), "tgz", str(tmp_path / "host" / "archive"), {})
    assert reason in ours.value.message
    assert ours.value.message.partition(": ")[2] in theirs.value.message, "one reader, one verdict"
    outside = {one.name for one in tmp_path.iterdir()} - {"host", "b.tgz"}
    assert not outside and {one.name for one in (tmp_path / "host").iterdir()} <= {"archive"}


def test_a_volume_label_is_passed_over_as_tar_does_it(tmp_path: Path) -> None:
    (tmp_path / "appspec.yml").write_bytes(APPSPEC)
    subprocess.run(["tar", "-cf", "b.tar", "-V", "a label", "appspec.yml"], cwd=tmp_path, check=True)
    assert [one.path for one in read_archive(tmp_path / "b.tar", "tar").listing.members] == ["appspec.yml"]
    unpack(str(tmp_path / "b.tar"), "tar", str(tmp_path / "ours"), {})
    assert os.listdir(tmp_path / "ours") == ["appspec.yml"]


@pytest.mark.parametrize("case", ["an extension header of 512 MiB", "a number of 150,000 digits"])
def test_reading_takes_little_memory(case: str, tmp_path: Path) -> None:
    """Its address space is limited: reading what the header announces would not fit."""
    path = written(tmp_path, TARS[case][0])
    code = (
        "import sys; from pathlib import Path; from towline.bundles.archive import read_archive\n"
        "from towline.errors import InvalidBundle\n"
        "import resource; base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024\n"
        "try:\n    read_archive(Path(sys.argv[1]), 'tgz')\nexcept InvalidBundle:\n    pass\n"
        f"assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - base < {MEMORY_BYTES // 4}"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], check=True)


@pytest.mark.parametrize("make", [lambda path: os.mkfifo(path), lambda path: path.symlink_to("/dev/zero")])
def test_what_is_no_file_is_refused_at_once(make: Callable[[Path], None], tmp_path: Path) -> None:
    make(tmp_path / "b.tgz")
    with pytest.raises(InvalidBundle, match="not a file"):
        read_archive(tmp_path / "b.tgz", "tgz")


def test_a_torn_zip_is_the_archives_fault(tmp_path: Path) -> None:
    (tmp_path / "b.zip").write_bytes(b"PK\3\4" + os.urandom(300))
    with pytest.raises(InvalidBundle, match="not a sound zip archive"):
        read_archive(tmp_path / "b.zip", "zip")


def test_a_deep_tree_is_unpacked_listed_and_removed_without_recursion(tmp_path: Path) -> None:
    deep = b"d/" * 1700 + b"f"
    path = written(tmp_path, SPEC + pax(record(b"path", deep)) + file(b"f"))
    descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    assert len(read_archive(path, "tgz").listing.members) == 1702
    unpack(str(path), "tgz", str(tmp_path / "t"), {})
    assert len(os.listdir("/proc/self/fd")) < descriptors
    remove_tree(str(tmp_path / "t"))
    assert not (tmp_path / "t").exists()


def test_what_tarfile_writes_is_read_with_its_names_and_times(tmp_path: Path) -> None:
    for number, form in enumerate((tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)):
        with tarfile.open(tmp_path / f"{number}.tgz", "w:gz", format=form) as made:
            for name in ("appspec.yml", "long/" + "n" * 90 + "/" + "m" * 60):
                info = tarfile.TarInfo(name)
                info.mtime = 1_577_836_800
                made.addfile(info)
        unpack(str(tmp_path / f"{number}.tgz"), "tgz", str(tmp_path / str(number)), {})
        (found,) = (tmp_path / str(number) / "long").rglob("m*")
        assert found.stat().st_mtime == 1_577_836_800
