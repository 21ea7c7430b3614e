"""What may be in a bundle. Archives and directories alike are hostile until each member was looked at here.

Refused, with the member's name: paths that are absolute or climb out, hard links that leave, members below a link or
a file, devices and pipes, names that are no UTF-8, and whatever grows past the limits. Let pass, since bundles rely on
it (`storage -> /var/shared`, a virtualenv's `bin/python`): symbolic links that lead out, which hosts make as links and
never write or copy through; and setuid bits, which hosts clear. `appspec_lint` warns of both.
"""

from __future__ import annotations

import hashlib
import posixpath
import stat
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO

from towline.errors import InvalidBundle
from towline.model.appspec import APPSPEC_NAMES, TEXT_LIMIT_BYTES
from towline.model.listing import Listing, Mark, Member

_CHUNK = 1024 * 1024
_HEAD = 4096
_SETUID_SETGID = stat.S_ISUID | stat.S_ISGID


@dataclass(frozen=True)
class Limits:
    """How large a bundle may become; a bomb is small and grows past one of these."""

    members: int = 200_000
    total_bytes: int = 20 * 1024**3
    ratio: int = 200  # unpacked to packed, looked at above `ratio_from_bytes`
    ratio_from_bytes: int = 256 * 1024**2


class Collector:
    """Takes the members of one bundle one by one; `listing` says what is in it."""

    def __init__(self, name: str, limits: Limits, packed_bytes: int | None = None) -> None:
        """`name` is the bundle's, for errors; `packed_bytes` the archive's size, None for a directory."""
        self._name = name
        self._limits = limits
        self._packed = packed_bytes
        self._members: dict[str, Member] = {}
        self._appspecs: dict[str, bytes] = {}
        self._first = ""  # the first member's top directory: the only one that may surround a bundle
        self._total = 0
        self._count = 0

    def directory(self, name: str, mode: int) -> None:
        """Takes a directory. Its mode is of no consequence: hosts make directories by their umask."""
        path = self._path(name)
        if path:
            self._add(Member(path=path, type="directory", mode=_octal(mode)))

    def file(self, name: str, mode: int, content: Callable[[], IO[bytes]]) -> None:
        """Takes a regular file and reads it to its end."""
        path = self._path(name)
        directory, _, last = path.rpartition("/")
        is_appspec = last in APPSPEC_NAMES and directory in ("", self._first)
        with content() as stream:
            sha256, size, marks, begin = self._read(stream, keep=TEXT_LIMIT_BYTES + 1 if is_appspec else _HEAD)
        if mode & _SETUID_SETGID:
            mode, marks = mode & ~_SETUID_SETGID, (*marks, "setid")
        self._add(Member(path=path, type="file", mode=_octal(mode), size=size, sha256=sha256, marks=marks))
        if is_appspec:
            self._appspecs[path] = begin

    def symlink(self, name: str, target: str) -> None:
        """Takes a symbolic link, wherever it points: hosts make it as it is, and nothing may lie below it."""
        path = self._path(name)
        if not target or "\0" in target:
            raise self.refused(name, "it is a link to nothing")
        self._add(Member(path=path, type="symlink", mode="0777", target=target))

    def hard_link(self, name: str, target: str) -> None:
        """Takes a hard link to a file that came before."""
        path, original = self._path(name), self._members.get(self._path(target))
        if original is None or original.type != "file":
            raise self.refused(name, f"it is a hard link to {target}, which is no file of the bundle")
        self._add(original.model_copy(update={"path": path}))

    def appspec(self, path: str) -> bytes | None:
        """The bytes of an AppSpec, one more at most than one may have; None where a link leads to it."""
        return self._appspecs.get(path)

    def refused(self, name: str, why: str, hint: str = "") -> InvalidBundle:
        """The error that names the member."""
        shown = name.encode("utf-8", "backslashreplace").decode()
        return InvalidBundle(f"{self._name}: member {shown!r}: {why}", hint or "Leave it out of the bundle")

    def listing(self) -> tuple[Listing, str]:
        """The members, and the prefix of their names in the archive that was taken away (`top/`, or nothing).

        A single surrounding directory is taken away where something in it is called like an AppSpec: the agent's rule.
        """
        self._add_parents()
        top = _surrounding(self._members)
        prefix = f"{top}/" if top else ""
        inside = [member for member in self._members.values() if member.path.startswith(prefix)]
        if top:
            inside = [member.model_copy(update={"path": member.path.removeprefix(prefix)}) for member in inside]
        listing = Listing(members=tuple(sorted(inside, key=lambda member: member.path)))
        return listing, prefix

    def _path(self, name: str) -> str:
        try:
            name.encode()
        except UnicodeEncodeError:
            raise self.refused(name, "its name is not UTF-8") from None
        if name.startswith("/"):
            raise self.refused(name, "its path is absolute")
        parts = [part for part in name.split("/") if part not in ("", ".")]
        if ".." in parts:
            raise self.refused(name, "its path has '..' in it")
        if "\0" in name:
            raise self.refused(name, "its name has a zero byte in it")
        self._first = self._first or "".join(parts[:1])
        return "/".join(parts)

    def _add(self, member: Member) -> None:
        self._count += 1
        if self._count > self._limits.members:
            raise InvalidBundle(f"{self._name}: more than {self._limits.members} members")
        if not member.path:
            raise self.refused(".", "the top of a bundle must be a directory")
        self._members[member.path] = member  # of members with the same name the last one is unpacked over the others
        self._appspecs.pop(member.path, None)

    def _read(self, stream: IO[bytes], keep: int) -> tuple[str, int, tuple[Mark, ...], bytes]:
        digest, size, begin = hashlib.sha256(), 0, b""
        while chunk := stream.read(_CHUNK):
            begin += chunk[: keep - len(begin)]
            size += len(chunk)
            self.grow(len(chunk))
            digest.update(chunk)
        return digest.hexdigest(), size, _marks(begin[:_HEAD]), begin

    def grow(self, count: int) -> None:
        """Counts bytes that were unpacked; raises InvalidBundle past a limit."""
        self._total += count
        limits = self._limits
        if self._total > limits.total_bytes:
            raise InvalidBundle(f"{self._name}: it unpacks to more than {limits.total_bytes} bytes")
        if self._packed is not None and self._total > max(limits.ratio_from_bytes, self._packed * limits.ratio):
            rule = f"it unpacks to more than {limits.ratio} times its size, as an archive bomb does"
            raise InvalidBundle(f"{self._name}: {rule}")

    def _add_parents(self) -> None:
        for path, member in list(self._members.items()):
            parent = posixpath.dirname(path)
            while parent:
                known = self._members.get(parent)
                if known is None:
                    self._members[parent] = Member(path=parent, type="directory", mode="0755")
                elif known.type != "directory":
                    kind = "a link" if known.type == "symlink" else "a file"
                    raise self.refused(member.path, f"{parent!r} above it is {kind}, not a directory")
                parent = posixpath.dirname(parent)


def _surrounding(members: dict[str, Member]) -> str:
    top = [path for path in members if "/" not in path]
    if len(top) != 1 or members[top[0]].type != "directory":
        return ""
    depth = len(top[0]) + 1
    inside = (path[depth:] for path in members if path.startswith(f"{top[0]}/"))
    return top[0] if any("appspec" in name.casefold() for name in inside if "/" not in name) else ""


def _marks(head: bytes) -> tuple[Mark, ...]:
    marks: list[Mark] = []
    if head.startswith(b"\xef\xbb\xbf"):
        marks.append("bom")
    if head.removeprefix(b"\xef\xbb\xbf").startswith(b"#!") and b"\r\n" in head[: head.find(b"\n") + 1]:
        marks.append("crlf")
    return tuple(marks)


def _octal(mode: int) -> str:
    return f"{stat.S_IMODE(mode):04o}"
