"""Builds the listing of a bundle from its members.

`towline/host/runner/archive_rules.py` defines what a bundle may contain, on hosts and here. Symbolic links that lead
out of the bundle are allowed, since bundles rely on them (`storage -> /var/shared`, a virtualenv's `bin/python`);
set-id bits are allowed, too, and cleared by hosts. The AppSpec lint warns about both.
"""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Iterable
from dataclasses import dataclass

from towline.host.runner.archive_rules import DIRECTORY, FILE, SYMLINK, ArchiveMember
from towline.model.appspec.parser import APPSPEC_NAMES, TEXT_LIMIT_BYTES
from towline.model.bundle.listing import Listing, Mark, Member

_HEAD = 4096
_SETUID_SETGID = stat.S_ISUID | stat.S_ISGID


@dataclass(frozen=True)
class BundleLimits:
    """Limits on an unpacked archive, in bytes and members; None: the archive reader's own limit."""

    unpacked_bytes: int | None = None
    members: int | None = None


class Collector:
    """Collects the members of one bundle that the archive's rules have accepted, and builds the `Listing`."""

    def __init__(self) -> None:
        self._members: dict[str, Member] = {}
        self._appspecs: dict[str, bytes] = {}
        self._content: dict[str, int] = {}  # path -> index of the member with its bytes
        self._first = ""  # the first member's top directory, the only one that may be stripped
        self._count = 0

    def take(self, member: ArchiveMember) -> None:
        """Adds a member, reading the bytes of a file. The last member of a path wins, as on hosts."""
        path = member.path
        self._first = self._first or path.partition("/")[0]
        for parent in member.parents:
            self._members[parent] = Member(path=parent, type="directory", mode="0755")
        self._appspecs.pop(path, None)
        if member.kind == FILE:
            self._file(member)
        elif member.kind == DIRECTORY:
            self._members[path] = Member(path=path, type="directory", mode=_octal(member.mode))
        elif member.kind == SYMLINK:
            self._members[path] = Member(path=path, type="symlink", mode="0777", target=member.target)
        else:
            self._members[path] = self._members[member.target].model_copy(update={"path": path})
            self._content[path] = self._content.get(member.target, -1)
        self._count += 1

    def _file(self, member: ArchiveMember) -> None:
        directory, _, last = member.path.rpartition("/")
        is_appspec = last in APPSPEC_NAMES and directory in ("", self._first)
        sha256, size, begin = _read(member.pieces, keep=TEXT_LIMIT_BYTES + 1 if is_appspec else _HEAD)
        marks, mode = _marks(begin[:_HEAD]), member.mode
        if mode & _SETUID_SETGID:
            mode, marks = mode & ~_SETUID_SETGID, (*marks, "setid")
        path = member.path
        self._members[path] = Member(path=path, type="file", mode=_octal(mode), size=size, sha256=sha256, marks=marks)
        self._content[path] = self._count
        if is_appspec:
            self._appspecs[path] = begin

    def appspec(self, path: str) -> bytes | None:
        """The bytes of an AppSpec, at most one over the limit; None if the path is a link."""
        return self._appspecs.get(path)

    def content(self, path: str) -> int:
        """The index of the archive member that holds the bytes of a path."""
        return self._content[path]

    def listing(self, surrounding: str) -> Listing:
        """The members, with the surrounding directory stripped."""
        prefix = f"{surrounding}/" if surrounding else ""
        inside = [member for member in self._members.values() if member.path.startswith(prefix)]
        if surrounding:
            inside = [member.model_copy(update={"path": member.path.removeprefix(prefix)}) for member in inside]
        return Listing(members=tuple(sorted(inside, key=lambda member: member.path)))


def _read(pieces: Iterable[bytes], keep: int) -> tuple[str, int, bytes]:
    """Digest, size and the first bytes of a file."""
    digest, size, begin = hashlib.sha256(), 0, b""
    for piece in pieces:
        if len(begin) < keep:
            begin += piece[: keep - len(begin)]
        size += len(piece)
        digest.update(piece)
    return digest.hexdigest(), size, begin


def _marks(head: bytes) -> tuple[Mark, ...]:
    marks: list[Mark] = []
    if head.startswith(b"\xef\xbb\xbf"):
        marks.append("bom")
    if head.removeprefix(b"\xef\xbb\xbf").startswith(b"#!") and b"\r\n" in head[: head.find(b"\n") + 1]:
        marks.append("crlf")
    return tuple(marks)


def _octal(mode: int) -> str:
    return f"{stat.S_IMODE(mode):04o}"
