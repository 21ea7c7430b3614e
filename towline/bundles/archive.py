"""Bundles opened: what is in an archive or a directory, and the text of its AppSpec. Nothing is unpacked here.

An archive is read through once, from end to end: so a torn one is found, and every file's digest is known. What may
be in it is told by `members.py`; what the AppSpec says is read by `towline/model/appspec.py`.
"""

from __future__ import annotations

import errno
import functools
import gzip
import io
import lzma
import os
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from towline.bundles.members import Collector, Limits
from towline.errors import InvalidBundle, OurFault, hint_of
from towline.model.appspec import APPSPEC_NAMES, TEXT_LIMIT_BYTES
from towline.model.listing import Listing
from towline.model.revision import BundleType

_TYPES_OF_TAR = {tarfile.CHRTYPE: "a device", tarfile.BLKTYPE: "a device", tarfile.FIFOTYPE: "a named pipe"}


@dataclass(frozen=True)
class Bundle:
    """A bundle that was looked at: its members, and its AppSpec's name and bytes."""

    listing: Listing
    appspec_name: str
    appspec: bytes


def read_archive(path: Path, bundle_type: BundleType, name: str = "", limits: Limits | None = None) -> Bundle:
    """Reads an archive; raises InvalidBundle where it is broken, hostile or without an AppSpec.

    `name` is what people call it, for errors; by default the file's name.
    """
    shown = name or path.name
    limits = limits or Limits()
    reader = _read_zip if bundle_type == "zip" else _read_tar
    with _translated(shown, bundle_type):
        collector = Collector(shown, limits, path.stat().st_size)
        reader(path, bundle_type, collector)
        listing, prefix = collector.listing()
        appspec_name, member = find_appspec(listing, shown)
        appspec = collector.appspec(prefix + member)
        if appspec is None:  # a link leads to it: the bytes are another member's
            appspec = _member_bytes(path, bundle_type, prefix, member)
        return Bundle(listing, appspec_name, appspec)


def read_directory(path: Path, limits: Limits | None = None) -> Bundle:
    """Reads a directory as the bundle that `pack` would make of it; raises InvalidBundle."""
    name = path.name or str(path)
    with _translated(name, "directory"):
        collector = Collector(name, limits or Limits())
        for entry, relative_name in walk(path):
            take_entry(collector, entry, relative_name)
        listing, prefix = collector.listing()
        appspec_name, member = find_appspec(listing, name)
        with (path / (prefix + member)).open("rb") as file:
            return Bundle(listing, appspec_name, file.read(TEXT_LIMIT_BYTES + 1))


def walk(root: Path) -> Iterator[tuple[Path, str]]:
    """Every entry below a directory with its relative name, in the order of the names' bytes.

    `.git` at the top is left out.
    """
    todo = _entries(root, "")[::-1]
    while todo:
        path, name = todo.pop()
        if name == ".git":
            continue
        yield path, name
        if path.is_dir() and not path.is_symlink():
            todo += _entries(path, f"{name}/")[::-1]


def _entries(directory: Path, prefix: str) -> list[tuple[Path, str]]:
    names = sorted((entry.name for entry in directory.iterdir()), key=os.fsencode)
    return [(directory / name, prefix + name) for name in names]


def take_entry(collector: Collector, path: Path, name: str) -> None:
    """Gives one entry of a directory to the collector; raises InvalidBundle for what may not be in a bundle."""
    mode = path.lstat().st_mode
    if stat.S_ISLNK(mode):
        collector.symlink(name, str(path.readlink()))
    elif stat.S_ISDIR(mode):
        collector.directory(name, mode)
    elif stat.S_ISREG(mode):
        collector.file(name, mode, lambda: path.open("rb"))
    else:
        raise collector.refused(name, "it is neither a file, a directory nor a symbolic link")


def find_appspec(listing: Listing, name: str) -> tuple[str, str]:
    """The AppSpec's name and the path of the member that holds it; raises InvalidBundle where there is none."""
    for candidate in APPSPEC_NAMES:
        member = listing.find(candidate)
        if member and member.type == "file":
            return candidate, member.path
    raise InvalidBundle(f"{name}: no appspec.yml (or appspec.yaml) at the top of the bundle", _where_it_may_be(listing))


def _where_it_may_be(listing: Listing) -> str:
    """The next step: which file of the bundle was meant as its AppSpec."""
    deeper = [path for one in APPSPEC_NAMES for path in listing.by_name.get(one, ()) if "/" in path]
    top = [member.path for member in listing.children.get("", []) if member.type == "file"]
    alike = [path for path in top if "appspec" in path.casefold()]
    meant = sorted((path for path in alike if not path.startswith("._")), key=len)
    if meant:
        return f"There is {meant[0]}: call it appspec.yml"
    if deeper:
        return f"There is {min(deeper, key=len)}: it must lie at the top of the bundle"
    if alike:
        return f"{alike[0]} is what macOS keeps beside a file, not the AppSpec: put appspec.yml into the bundle"
    return "It must be called appspec.yml and lie at the top"


def _read_tar(path: Path, bundle_type: BundleType, collector: Collector) -> None:
    with _open_tar(path, bundle_type) as tar:
        for member in tar:
            _take_tar_member(collector, tar, member)
        # tarfile takes a broken header after the first for the end; tar itself does not.
        assert tar.fileobj
        tar.fileobj.seek(tar.offset)
        if any(tar.fileobj.read(tarfile.BLOCKSIZE)):
            raise tarfile.ReadError("a member's header is broken")
        while rest := tar.fileobj.read(1024 * 1024):  # to the end, where gzip has its checksum
            collector.grow(len(rest))


@contextmanager
def _open_tar(path: Path, bundle_type: BundleType) -> Iterator[tarfile.TarFile]:
    """GNU tar tells compression by itself for `tar`, and insists on gzip for `tgz`."""
    if bundle_type == "tgz":
        # in large pieces, which halves the time
        with io.BufferedReader(gzip.GzipFile(path), _PIECE) as file, _read_plain(fileobj=file, mode="r:") as tar:
            yield tar
    else:
        with _read_plain(path, "r:*") as tar:
            yield tar


_PIECE = 256 * 1024
_read_plain = functools.partial(tarfile.open, encoding="utf-8", errors="surrogateescape")


def _take_tar_member(collector: Collector, tar: tarfile.TarFile, member: tarfile.TarInfo) -> None:
    if member.type in _TYPES_OF_TAR:
        raise collector.refused(member.name, f"it is {_TYPES_OF_TAR[member.type]}")
    if member.isdir():
        collector.directory(member.name, member.mode)
    elif member.issym():
        collector.symlink(member.name, member.linkname)
    elif member.islnk():
        collector.hard_link(member.name, member.linkname)
    else:
        collector.file(member.name, member.mode, lambda: tar.extractfile(member) or io.BytesIO())


def _read_zip(path: Path, bundle_type: BundleType, collector: Collector) -> None:
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            _take_zip_member(collector, archive, info)


def _take_zip_member(collector: Collector, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> None:
    mode = info.external_attr >> 16 if info.create_system == 3 else 0  # only Unix stores modes
    kind = stat.S_IFMT(mode)
    if info.flag_bits & 1:
        raise collector.refused(info.filename, "it is encrypted")
    if info.filename.endswith("/"):
        collector.directory(info.filename, mode or 0o755)
    elif kind == stat.S_IFLNK:
        with archive.open(info) as content:
            collector.symlink(info.filename, content.read(4096).decode("utf-8", "surrogateescape"))
    elif kind in (0, stat.S_IFREG):
        collector.file(info.filename, mode or 0o644, lambda: archive.open(info))
    else:
        raise collector.refused(info.filename, "it is neither a file, a directory nor a symbolic link")


def _member_bytes(path: Path, bundle_type: BundleType, prefix: str, member: str) -> bytes:
    """The bytes of one member, by its path in the listing; one more than an AppSpec may have is enough."""
    wanted = prefix + member
    if bundle_type == "zip":
        with zipfile.ZipFile(path) as archive:
            names = [info for info in archive.infolist() if _plain(info.filename) == wanted]
            with archive.open(names[-1]) as content:
                return content.read(TEXT_LIMIT_BYTES + 1)
    with _open_tar(path, bundle_type) as tar:
        last = [info for info in tar if _plain(info.name) == wanted][-1]
        stream: IO[bytes] = tar.extractfile(last) or io.BytesIO()
        return stream.read(TEXT_LIMIT_BYTES + 1)


def _plain(name: str) -> str:
    return "/".join(part for part in name.split("/") if part not in ("", "."))


_BROKEN: tuple[type[Exception], ...] = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    ValueError,
    RuntimeError,
    NotImplementedError,
    LookupError,
)


@contextmanager
def _translated(name: str, kind: str) -> Iterator[None]:
    try:
        yield
    except InvalidBundle:
        raise
    except _BROKEN as error:
        raise InvalidBundle(
            f"{name}: not a sound {kind} archive: {error}", "Build it anew, with: towline push"
        ) from error
    except OSError as error:
        # Without a number: gzip's and bz2's own way to say that the data are broken. EINVAL: a zip's directory names a
        # place in front of the file.
        if error.errno in (None, errno.EINVAL):
            message = f"{name}: not a sound {kind} archive: {error}"
            raise InvalidBundle(message, "Build it anew, with: towline push") from error
        raise OurFault(f"{name}: {error.strerror}: {error.filename or name}", hint_of(error.errno)) from error
