"""Packs a directory into an archive, reproducibly: the same directory always gives the same bytes.

Members are sorted and keep their permission bits on disk, without set-id bits. Owners and comments are fixed. A file's
time is derived from its content (`time_of`): the time of a checkout would give each CI job a different archive, and one
fixed time would make new content look unchanged. Symbolic links stay links. `.git` at the top is left out.
"""

from __future__ import annotations

import gzip
import os
import shutil
import stat
import tarfile
import time
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from towline.bundles.archive import walk
from towline.bundles.digest import digest_of
from towline.errors import InvalidBundle, OurFault, hint_of
from towline.model.bundle.revision import BundleType

_ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)
_FIRST_TIME = 315_619_200  # 2 January 1980: zip times start a day earlier, in the reader's time zone
_PERMISSIONS = 0o777
_UNIX = 3
_LEVEL = 6


@dataclass(frozen=True)
class Packed:
    """A finished archive."""

    path: Path
    bundle_type: BundleType
    sha256: str
    size: int


def pack(directory: Path, archive: Path, bundle_type: BundleType) -> Packed:
    """Packs a directory into `archive`, atomically; raises InvalidBundle or OurFault.

    Call `read_directory` first: it rejects what a bundle may not contain.
    """
    entries = list(walk(directory))
    resolved = archive.absolute()
    inside = [
        entry for entry in entries if entry[0].absolute() != resolved
    ]  # do not pack the archive of an earlier run
    unfinished = archive.with_name(f".{archive.name}.unfinished")
    try:
        with unfinished.open("wb") as file:
            _WRITERS[bundle_type](file, (e for e in inside if e[0].name != unfinished.name))
        unfinished.replace(archive)
    except OSError as error:
        raise OurFault(f"{archive}: {error.strerror}: {error.filename}", hint_of(error.errno)) from error
    finally:
        unfinished.unlink(missing_ok=True)
    return Packed(archive, bundle_type, *digest_of(archive))


def time_of(content: bytes) -> int:
    """A modification time derived from a file's SHA-256, in seconds since 1970.

    Python's `.pyc` files, rsync, web servers (ETag, Last-Modified) and caches take a file of the same size and time to
    be unchanged, so different content needs a different time. Times are even, as in a zip, and between 1980 and 2014:
    within the range of every archive format and never in the future. Two contents collide with a probability of
    1 in 2**29; Install on the host covers that case.

    >>> time_of(bytes(32)), time_of(bytes([255]) * 32)
    (315619200, 1389361022)
    """
    return _FIRST_TIME + 2 * (int.from_bytes(content[:4], "big") >> 3)


def _write_tar(file: IO[bytes], entries: Iterable[tuple[Path, str]]) -> None:
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT, encoding="utf-8") as tar:
        for path, name in entries:
            info = tarfile.TarInfo(name)
            status = path.lstat()
            info.mode = status.st_mode & _PERMISSIONS
            if stat.S_ISLNK(status.st_mode):
                info.type, info.linkname, info.mode = tarfile.SYMTYPE, str(path.readlink()), 0o777
                tar.addfile(info)
            elif stat.S_ISDIR(status.st_mode):
                info.type = tarfile.DIRTYPE
                tar.addfile(info)
            else:
                info.size, info.mtime = status.st_size, _time_of_file(path)
                with _unchanged(path, status) as content:
                    tar.addfile(info, content)


def _write_tgz(file: IO[bytes], entries: Iterable[tuple[Path, str]]) -> None:
    # No file name or time in gzip's header: nothing else would differ between two runs.
    with gzip.GzipFile(filename="", mode="wb", compresslevel=_LEVEL, fileobj=file, mtime=0) as packed:
        _write_tar(cast(IO[bytes], packed), entries)


def _write_zip(file: IO[bytes], entries: Iterable[tuple[Path, str]]) -> None:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=_LEVEL) as archive:
        for path, name in entries:
            status = path.lstat()
            is_directory, is_link = stat.S_ISDIR(status.st_mode), stat.S_ISLNK(status.st_mode)
            info = zipfile.ZipInfo(f"{name}/" if is_directory else name, _ZIP_EPOCH)
            if not is_directory and not is_link:
                info.date_time = time.gmtime(_time_of_file(path))[:6]
            info.create_system = _UNIX
            mode = 0o777 if is_link else status.st_mode & _PERMISSIONS
            info.external_attr = (stat.S_IFMT(status.st_mode) | mode) << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            if is_directory:
                archive.writestr(info, b"", zipfile.ZIP_STORED)
            elif is_link:
                archive.writestr(info, os.fsencode(path.readlink()))
            else:
                with (
                    _unchanged(path, status) as content,
                    archive.open(info, "w", force_zip64=status.st_size > 2**31) as to,
                ):
                    shutil.copyfileobj(content, to, 1024 * 1024)


def _time_of_file(path: Path) -> int:
    return time_of(bytes.fromhex(digest_of(path)[0]))


@contextmanager
def _unchanged(path: Path, before: os.stat_result) -> Iterator[IO[bytes]]:
    """Opens the file; raises InvalidBundle if it changed while it was read."""
    with path.open("rb") as content:
        yield content
        after = os.fstat(content.fileno())
    if (after.st_size, after.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
        raise InvalidBundle(f"{path}: it changed while it was packed", "Wait for the build to end, then pack again")


_WRITERS = {"tar": _write_tar, "tgz": _write_tgz, "zip": _write_zip}
