"""The contents of a bundle: its members with the surrounding directory stripped, as hosts unpack them."""

from __future__ import annotations

import json
import posixpath
from collections.abc import Iterator
from functools import cached_property
from typing import Any, Literal

from towline.host.runner.bundle_links import LeavesBundle, follow_links
from towline.model.base import Message

MemberType = Literal["file", "directory", "symlink"]
Mark = Literal["bom", "crlf", "setid"]


class Member(Message):
    """One member. `path` is relative, without `./`; `mode` is octal text; files have `sha256`, links `target`.

    `marks` note a script that starts with a byte order mark or whose first line ends with CRLF, and a file whose setuid
    or setgid bit is dropped.
    """

    path: str
    type: MemberType
    mode: str = "0644"
    size: int = 0
    sha256: str = ""
    target: str = ""
    marks: tuple[Mark, ...] = ()


class Listing(Message):
    """All members, sorted by path, including directories that the archive only implies."""

    members: tuple[Member, ...]

    def as_json(self) -> bytes:
        """Like `model_dump_json`, but member by member: a single call for 200,000 would block all threads."""
        return b'{"members":[%s]}' % b",".join(member.model_dump_json().encode() for member in self.members)

    @cached_property
    def by_path(self) -> dict[str, Member]:
        """The members by their path."""
        return {member.path: member for member in self.members}

    @cached_property
    def children(self) -> dict[str, list[Member]]:
        """The members directly in each directory; the top has the empty path."""
        found: dict[str, list[Member]] = {}
        for member in self.members:
            found.setdefault(posixpath.dirname(member.path), []).append(member)
        return found

    def find(self, path: str) -> Member | None:
        """The member at a path as a script or source names it, symbolic links followed; None if there is none.

        The top itself is a directory with the empty path.
        """
        try:
            found = follow_links(self._targets, path)
        except LeavesBundle:
            return None
        return self.by_path.get(found) if found else Member(path="", type="directory", mode="0755")

    def find_link(self, path: str) -> Member | None:
        """The member at a path without following a link in its last part; None if there is none."""
        folder, _, name = path.rstrip("/").rpartition("/")
        if name in ("", ".", ".."):
            return self.find(path)
        try:
            return self.by_path.get(posixpath.join(follow_links(self._targets, folder), name))
        except LeavesBundle:
            return None

    def leads_out(self, path: str) -> bool:
        """Whether a path leads out of the bundle through a symbolic link."""
        if ".." in relative(path).split("/"):
            return False  # the path itself leads out, not a link
        leaves = self._leaves(path)
        return leaves is not None and not leaves.is_circle

    @cached_property
    def links_out(self) -> tuple[Member, ...]:
        """The symbolic links that lead out of the bundle."""
        return tuple(member for member in self._links if self.leads_out(member.path))

    @cached_property
    def links_in_circles(self) -> tuple[Member, ...]:
        """The symbolic links that only lead to each other."""
        return tuple(link for link in self._links if (leaves := self._leaves(link.path)) and leaves.is_circle)

    @cached_property
    def by_name(self) -> dict[str, list[str]]:
        """The paths of all members by their last part, case-folded."""
        found: dict[str, list[str]] = {}
        for member in self.members:
            found.setdefault(posixpath.basename(member.path).casefold(), []).append(member.path)
        return found

    @cached_property
    def _links(self) -> tuple[Member, ...]:
        return tuple(member for member in self.members if member.type == "symlink")

    @cached_property
    def _targets(self) -> dict[str, str]:
        return {member.path: member.target for member in self._links}

    def _leaves(self, path: str) -> LeavesBundle | None:
        try:
            follow_links(self._targets, path)
        except LeavesBundle as leaves:
            return leaves
        return None


def members_in(listing: bytes) -> Iterator[dict[str, Any]]:
    """The members of a listing's JSON as plain values, parsed one by one for the same reason.

    >>> [member["path"] for member in members_in(Listing(members=(Member(path="a", type="file"),)).as_json())]
    ['a']
    """
    text, decoder = listing.decode(), json.JSONDecoder()
    at = text.index("[") + 1
    while text[at : at + 1] == "{":
        member, at = decoder.raw_decode(text, at)
        yield member
        at += 1


def relative(path: str) -> str:
    """A path within a bundle in normal form: `/` and `./` are the top, a leading `/` is ignored.

    >>> relative("/scripts//stop.sh"), relative("./"), relative("/")
    ('scripts/stop.sh', '', '')
    """
    plain = posixpath.normpath(path.lstrip("/") or ".")
    return "" if plain == "." else plain
