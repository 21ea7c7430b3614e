"""Zip archives as different tools make them, read as Info-ZIP's `unzip` unpacks them: AWS's agent calls it.

Where unzip of Debian garbles a name (its table of code pages), the row says what is right instead.
"""

from __future__ import annotations

import os
import stat
import struct
import subprocess
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from towline.bundles.archive import read_archive
from towline.host.runner.unpacking import unpack

APPSPEC = b"version: 0.0\nos: linux\n"


def entry(
    name: bytes,
    *,
    system: int = 3,
    mode: int = 0o100644,
    flags: int = 0,
    extra: bytes = b"",
    version: int = 20,
    attributes: int | None = None,
) -> Callable[[int], tuple[bytes, bytes]]:
    """A stored file as (local header and data, entry of the central directory), for a place in the archive."""

    def at(offset: int) -> tuple[bytes, bytes]:
        data = b"" if name.endswith((b"/", b"\\")) else APPSPEC
        crc, size = zlib.crc32(data), len(data)
        external = mode << 16 if attributes is None else attributes
        common = (version, flags, 0, 0, 0x5A21, crc, size, size, len(name), len(extra))
        local = struct.pack("<4s5H3I2H", b"PK\3\4", *common) + name + extra + data
        fields = (version, system, version, 0, flags, 0, 0, 0x5A21, crc, size, size, len(name), len(extra))
        central = struct.pack("<4s2B2B4H3I5H2I", b"PK\1\2", *fields, 0, 0, 0, external, offset) + name + extra
        return local, central

    return at


def archive(path: Path, *entries: Callable[[int], tuple[bytes, bytes]]) -> Path:
    """A zip of these entries and an AppSpec."""
    body, directory = b"", b""
    every = [entry(b"appspec.yml"), *entries]
    for one in every:
        local, central = one(len(body))
        body, directory = body + local, directory + central
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, len(every), len(every), len(directory), len(body), 0)
    path.write_bytes(body + directory + end)
    return path


UTF8 = "site/menü-日本.txt".encode()
UNICODE_PATH = struct.pack("<2HBI", 0x7075, 5 + len(UTF8), 1, zlib.crc32(b"site/men#.txt")) + UTF8

CASES: dict[str, tuple[Callable[[int], tuple[bytes, bytes]], ...]] = {
    "UTF-8 with the flag": (entry(UTF8, flags=0x800),),
    "UTF-8 of Linux's zip, without the flag": (entry(UTF8),),
    "Info-ZIP's Unicode path": (entry(b"site/men#.txt", extra=UNICODE_PATH),),
    "backslashes of Windows": (entry(b"site\\a\\b.txt", system=0, attributes=0x20),),
    "a backslash of Unix is part of the name": (entry(b"a\\b.txt"),),
    "no mode, made on FAT": (entry(b"a.txt", system=0, attributes=0x20),),
    "read-only, made on FAT": (entry(b"a.txt", system=0, attributes=0x21),),
    "a directory of FAT": (entry(b"d/", system=0, attributes=0x10), entry(b"d/a", system=0, attributes=0x20)),
    "modes of Unix": (entry(b"run.sh", mode=0o100755), entry(b"secret", mode=0o100600)),
    "modes of macOS": (entry(b"run.sh", system=19, mode=0o100755),),
    "a version of VMS": (entry(b"a.txt;7"),),
    "a link": (entry(b"l", mode=0o120777),),
}


def tree(root: Path) -> dict[str, tuple[str, int]]:
    """Path → kind and permission bits, for every entry below a folder."""
    found = {}
    for path in sorted(root.rglob("*")):
        mode = path.lstat().st_mode
        kind = "link" if stat.S_ISLNK(mode) else "directory" if stat.S_ISDIR(mode) else "file"
        found[os.fsencode(path.relative_to(root)).decode("utf-8", "backslashreplace")] = (
            kind,
            0 if kind == "link" else stat.S_IMODE(mode),
        )
    return found


def unzipped(path: Path, target: Path) -> dict[str, tuple[str, int]]:
    environ = {"LC_ALL": "C.UTF-8", "PATH": os.environ["PATH"]}
    done = subprocess.run(["unzip", "-q", str(path), "-d", str(target)], env=environ, capture_output=True, text=True)
    assert done.returncode in (0, 1), done.stderr  # 1: a warning
    return tree(target)


@pytest.mark.parametrize("case", CASES)
def test_a_zip_is_unpacked_as_unzip_does_it(case: str, tmp_path: Path) -> None:
    path = archive(tmp_path / "b.zip", *CASES[case])
    os.umask(0o022)
    unpack(str(path), "zip", str(tmp_path / "ours"), {})
    assert tree(tmp_path / "ours") == unzipped(path, tmp_path / "theirs")
    listed = {m.path for m in read_archive(path, "zip").listing.members}
    assert listed == set(tree(tmp_path / "ours")), "the control side sees what hosts get"


@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
def test_what_zip_makes_on_linux_arrives_by_its_names(locale: str, tmp_path: Path) -> None:
    site = tmp_path / "in"
    (site / "skripte").mkdir(parents=True)
    (site / "appspec.yml").write_bytes(APPSPEC)
    (site / "skripte" / "después-日本.sh").write_text("#!/bin/sh\n")
    (site / "skripte" / "después-日本.sh").chmod(0o755)
    environ = {"LC_ALL": locale, "PATH": os.environ["PATH"]}
    subprocess.run(["zip", "-qr", str(tmp_path / "b.zip"), "."], cwd=site, env=environ, check=True)
    unpack(str(tmp_path / "b.zip"), "zip", str(tmp_path / "ours"), {})
    assert tree(tmp_path / "ours") == tree(site)


def test_what_pythons_zipfile_makes_arrives_by_its_names(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "b.zip", "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("appspec.yml", APPSPEC)
        made.writestr("menü/日本.txt", "x" * 100_000)
    unpack(str(tmp_path / "b.zip"), "zip", str(tmp_path / "ours"), {})
    assert tree(tmp_path / "ours") == unzipped(tmp_path / "b.zip", tmp_path / "theirs")
