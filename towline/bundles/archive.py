"""Reads bundles: the members of an archive or a directory, and the bytes of its AppSpec. Nothing is unpacked.

An archive is read once, from start to end, by the reader that hosts unpack with
(`towline/host/runner/archive_reader.py`): a truncated one is detected, every file's digest is known, and a bad one is
rejected before a host is touched. `towline/model/appspec/parser.py` parses the AppSpec.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from towline.bundles.appspec_file import find_appspec
from towline.bundles.members import BundleLimits, Collector
from towline.errors import InvalidBundle, OurFault, hint_of
from towline.host.runner.archive_reader import ArchiveReader, open_regular
from towline.host.runner.archive_rules import (
    DIRECTORY,
    FILE,
    SYMLINK,
    ArchiveLimits,
    ArchiveMember,
    BadArchive,
    MemberTree,
    link_target,
    plain_path,
)
from towline.host.runner.archive_stream import GZIP, refuse_other
from towline.model.appspec.parser import TEXT_LIMIT_BYTES
from towline.model.bundle.listing import Listing
from towline.model.bundle.revision import BundleType
from towline.settings import read_settings

_CHUNK = 1024 * 1024
_HEAD = 512


@dataclass(frozen=True)
class Bundle:
    """The contents of a bundle: its members, and its AppSpec's name and bytes."""

    listing: Listing
    appspec_name: str
    appspec: bytes
    unpacked_bytes: int = 0


def read_archive(path: Path, bundle_type: BundleType, name: str = "", limits: BundleLimits | None = None) -> Bundle:
    """Reads an archive; raises InvalidBundle if it is broken, hostile or has no AppSpec.

    `name` is used in error messages; by default the file's name.
    """
    shown = name or path.name
    given = vars(limits or BundleLimits(read_settings().max_unpacked_bytes))
    with _translated(shown):
        if bundle_type == "tgz":
            _check_gzip(path)
        reader, collector = ArchiveReader(path, bundle_type, given), Collector()
        for member in reader.members():
            collector.take(member)
        prefix = reader.tree.surrounding()
        listing = collector.listing(prefix)
        appspec_name, found = find_appspec(listing, shown)
        inside = f"{prefix}/{found}" if prefix else found
        appspec, unpacked_bytes = collector.appspec(inside), reader.unpacked_bytes()
        if appspec is None:  # the path is a link: read the member it leads to
            appspec = _bytes_of_member(ArchiveReader(path, bundle_type, given), collector.content(inside))
        return Bundle(listing, appspec_name, appspec, unpacked_bytes)


def _check_gzip(path: Path) -> None:
    """Like GNU tar: the compression of `tar` is detected, but `tgz` must be gzip. Raises BadArchive."""
    with open_regular(path) as file:
        first = file.read(_HEAD)
    refuse_other(first)
    if not first.startswith(GZIP):
        hint = "Name it .tar if it is one" if first else "Build it anew, with: towline push"
        raise BadArchive("not a sound tgz archive: it is not packed with gzip", hint=hint)


def _bytes_of_member(reader: ArchiveReader, number: int) -> bytes:
    """The bytes of the member with this index, read up to one byte over an AppSpec's limit."""
    for count, member in enumerate(reader.members()):
        if count == number:
            begin = b""
            for piece in member.pieces:
                begin += piece[: TEXT_LIMIT_BYTES + 1 - len(begin)]
            return begin
    raise BadArchive("it changed while it was read")


def read_directory(path: Path) -> Bundle:
    """Reads a directory as the bundle that `pack` would make of it; raises InvalidBundle."""
    name = path.name or str(path)
    with _translated(name):
        tree, collector = MemberTree(ArchiveLimits(0)), Collector()
        for entry, relative_name in walk(path):
            member = _member_of(entry, relative_name)
            tree.take(member)
            collector.take(member)
        prefix = tree.surrounding()
        listing = collector.listing(prefix)
        appspec_name, found = find_appspec(listing, name)
        with (path / prefix / found).open("rb") as file:
            return Bundle(listing, appspec_name, file.read(TEXT_LIMIT_BYTES + 1))


def walk(root: Path) -> Iterator[tuple[Path, str]]:
    """Every entry below a directory with its relative name: parents first, sorted by the bytes of names.

    Leaves out `.git` at the top.
    """
    waiting = [(path, path.name) for path in _sorted(root) if path.name != ".git"]
    while waiting:
        path, name = waiting.pop()
        yield path, name
        if path.is_dir() and not path.is_symlink():
            waiting += [(child, f"{name}/{child.name}") for child in _sorted(path)]


def _sorted(directory: Path) -> list[Path]:
    """The entries of a directory in reverse order, for a stack."""
    return sorted(directory.iterdir(), key=lambda path: os.fsencode(path.name), reverse=True)


def _member_of(path: Path, name: str) -> ArchiveMember:
    """A directory entry as an archive member; raises BadArchive for what a bundle may not contain."""
    mode, raw = path.lstat().st_mode, os.fsencode(name)
    plain = plain_path(raw)
    if stat.S_ISLNK(mode):
        return ArchiveMember(plain, SYMLINK, 0o777, target=link_target(os.fsencode(path.readlink()), raw))
    if stat.S_ISDIR(mode):
        return ArchiveMember(plain, DIRECTORY, mode)
    if stat.S_ISREG(mode):
        return ArchiveMember(plain, FILE, mode, pieces=_pieces(path))
    raise BadArchive("it is neither a file, a directory nor a symbolic link", raw)


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(_CHUNK):
            yield piece


@contextmanager
def _translated(name: str) -> Iterator[None]:
    try:
        yield
    except BadArchive as bad:
        hint = bad.hint or ("Leave it out of the bundle" if bad.member else "")
        raise InvalidBundle(f"{name}: {bad}", hint) from bad
    except OSError as error:
        raise OurFault(f"{name}: {error.strerror}: {error.filename or name}", hint_of(error.errno)) from error
