"""What is in a bundle: its members after the surrounding directory was taken away, as the host will unpack them."""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any, Literal

from towline.model.base import Message

MemberType = Literal["file", "directory", "symlink"]
Mark = Literal["bom", "crlf", "setid"]
_MOST_LINKS = 40  # as Linux has it
# What is a directory on every Linux host; `..` and so on are those around the unpacked bundle.
_DIRECTORY = re.compile(
    r"\.\.(/\.\.){0,2}|/|/(bin|dev|etc|home|lib|opt|proc|root|run|sbin|srv|sys|tmp|usr|var)|"
    r"/usr/(bin|lib|local|sbin|share|local/bin|local/lib)|/var/(cache|lib|log|spool|tmp)"
)


class Member(Message):
    """One member. `path` is relative, without `./`; `mode` is octal text; `sha256` a file's, `target` a link's.

    `marks` tell of a script that begins with a byte order mark or whose first line ends with CRLF, and of a file whose
    setuid or setgid bit is not taken over.
    """

    path: str
    type: MemberType
    mode: str = "0644"
    size: int = 0
    sha256: str = ""
    target: str = ""
    marks: tuple[Mark, ...] = ()


class Listing(Message):
    """All members, sorted by path; directories that an archive only implies are among them."""

    members: tuple[Member, ...]

    def as_json(self) -> bytes:
        """As `model_dump_json`, member by member: of 200,000 a single call would keep all threads waiting."""
        return b'{"members":[%s]}' % b",".join(member.model_dump_json().encode() for member in self.members)

    @cached_property
    def by_path(self) -> dict[str, Member]:
        """The members by their path."""
        return {member.path: member for member in self.members}

    @cached_property
    def children(self) -> dict[str, list[Member]]:
        """The members directly in each directory; the top is the empty path."""
        found: dict[str, list[Member]] = {}
        for member in self.members:
            found.setdefault(posixpath.dirname(member.path), []).append(member)
        return found

    def find(self, path: str) -> Member | None:
        """The member at a path as a script or source names it, symbolic links followed; None where there is none.

        The top itself is a directory with the empty path.
        """
        try:
            found = follow(self.by_path, path)
        except LeavesBundle:
            return None
        return self.by_path.get(found) if found else Member(path="", type="directory", mode="0755")

    def find_link(self, path: str) -> Member | None:
        """The member at a path, where the path's last part may be a link that leads nowhere; None: there is none."""
        folder, _, name = path.rstrip("/").rpartition("/")
        if name in ("", ".", ".."):
            return self.find(path)
        try:
            return self.by_path.get(posixpath.join(follow(self.by_path, folder), name))
        except LeavesBundle:
            return None

    def leads_out(self, path: str) -> bool:
        """Whether a path leads out of the bundle through a symbolic link."""
        if ".." in relative(path).split("/"):
            return False  # by itself, then
        leaves = self._leaves(path)
        return leaves is not None and not leaves.is_circle

    def leads_to_directory_outside(self, member: Member) -> bool:
        """Whether a link leads to what is a directory on every host, outside of the bundle: `/etc`, `../..`."""
        leaves = self._leaves(member.path)
        if leaves is None or leaves.is_circle:
            return False
        return bool(_DIRECTORY.fullmatch(posixpath.normpath(leaves.rest)))

    @cached_property
    def links_out(self) -> tuple[Member, ...]:
        """The symbolic links that lead out of the bundle."""
        return tuple(member for member in self._links if self.leads_out(member.path))

    @cached_property
    def links_in_circles(self) -> tuple[Member, ...]:
        """The symbolic links that lead to each other and nowhere else."""
        return tuple(link for link in self._links if (leaves := self._leaves(link.path)) and leaves.is_circle)

    @cached_property
    def by_name(self) -> dict[str, list[str]]:
        """The paths of all members by their last part, in small letters."""
        found: dict[str, list[str]] = {}
        for member in self.members:
            found.setdefault(posixpath.basename(member.path).casefold(), []).append(member.path)
        return found

    @cached_property
    def _links(self) -> tuple[Member, ...]:
        return tuple(member for member in self.members if member.type == "symlink")

    def _leaves(self, path: str) -> LeavesBundle | None:
        try:
            follow(self.by_path, path)
        except LeavesBundle as leaves:
            return leaves
        return None


def members_in(listing: bytes) -> Iterator[dict[str, Any]]:
    """The members of a listing's JSON as plain values, one after the other, for the same reason.

    >>> [member["path"] for member in members_in(Listing(members=(Member(path="a", type="file"),)).as_json())]
    ['a']
    """
    text, decoder = listing.decode(), json.JSONDecoder()
    at = text.index("[") + 1
    while text[at : at + 1] == "{":
        member, at = decoder.raw_decode(text, at)
        yield member
        at += 1


class LeavesBundle(Exception):
    """A path that leads out of the bundle, or round in a circle.

    `rest` is where it leads outside, absolute or from the top of the unpacked bundle (`..`).
    """

    def __init__(self, path: str, rest: str = "", *, is_circle: bool = False) -> None:
        super().__init__(path)
        self.rest = rest
        self.is_circle = is_circle


def follow(members: Mapping[str, Member], path: str) -> str:
    """Where a path leads when its symbolic links are followed, as a kernel would at the top of the unpacked bundle.

    Part by part, since `link/..` is not where `link` lies. What is not there is taken for a directory. Raises
    LeavesBundle.
    """
    at, todo, links = "", path.split("/")[::-1], 0
    while todo:
        part = todo.pop()
        if part in ("", "."):
            continue
        if part == "..":
            if not at:
                raise LeavesBundle(path, "/".join(["..", *todo[::-1]]))
            at = posixpath.dirname(at)
            continue
        member = members.get(posixpath.join(at, part))
        if member is None or member.type != "symlink":
            at = posixpath.join(at, part)
            continue
        links += 1
        if links > _MOST_LINKS:
            raise LeavesBundle(path, is_circle=True)
        if member.target.startswith("/"):
            raise LeavesBundle(path, "/".join([member.target, *todo[::-1]]))
        todo += member.target.split("/")[::-1]
    return at


def relative(path: str) -> str:
    """A path within a bundle in its plain form: `/` and `./` are the top, a leading `/` means nothing.

    >>> relative("/scripts//stop.sh"), relative("./"), relative("/")
    ('scripts/stop.sh', '', '')
    """
    plain = posixpath.normpath(path.lstrip("/") or ".")
    return "" if plain == "." else plain
