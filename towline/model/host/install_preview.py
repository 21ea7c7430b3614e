"""What an Install will make of a bundle: which paths, by the agent's rules for `files`. Pure, from the listing alone.

The host decides again by what lies on its disk. This is what can be known before: what would be refused everywhere.
Nothing here is recursive or without a bound, since an archive decides how deep and how large it is.
"""

from __future__ import annotations

import bisect
import posixpath
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from towline.host.runner.glob import glob_matches
from towline.model.appspec.plan import CompiledPlan, Permission
from towline.model.bundle.listing import Listing, Member, relative

MOST_STEPS = 1_000_000
"""Members that are walked over at most. Entries of `files` and links to directories can repeat those of an archive."""


@dataclass(frozen=True)
class Clash:
    """Two entries of `files` that want the same path; `entry` is the later one."""

    entry: int
    path: str
    is_directory: bool  # one of the two needs a directory there


@dataclass
class Preview:
    """The files and directories that would be installed, and by which entry of `files`.

    `loops` are links to a directory that they lie in, `leaving` links to directories outside of the bundle, each with
    the first entry of `files` that meets it; `is_endless`: there were more paths than are looked at.
    """

    files: dict[str, int] = field(default_factory=dict)
    directories: dict[str, int] = field(default_factory=dict)
    clashes: list[Clash] = field(default_factory=list)
    loops: dict[str, int] = field(default_factory=dict)
    leaving: dict[str, int] = field(default_factory=dict)
    is_endless: bool = False
    steps: int = 0

    def kind(self, path: str) -> Literal["file", "directory"] | None:
        """What would be installed at a path, if anything."""
        if path in self.files:
            return "file"
        return "directory" if path in self.directories else None

    def below(self, directory: str, kind: Literal["file", "directory"]) -> list[str]:
        """The files or directories below a directory, at any depth, sorted."""
        paths = self._sorted_files if kind == "file" else self._sorted_directories
        prefix = directory.rstrip("/") + "/"
        return paths[bisect.bisect_left(paths, prefix) : bisect.bisect_left(paths, prefix[:-1] + "0")]  # 0 follows /

    @cached_property
    def _sorted_files(self) -> list[str]:
        return sorted(self.files)

    @cached_property
    def _sorted_directories(self) -> list[str]:
        return sorted(self.directories)


def preview(plan: CompiledPlan, listing: Listing) -> Preview:
    """Walks through `files`; an entry whose source is not in the bundle installs nothing."""
    result = Preview()
    for index, entry in enumerate(plan.files):
        source = listing.find(entry.source) or listing.find_link(entry.source)  # what leads nowhere is made as a link
        if source is None:
            continue
        destination = absolute(entry.destination)
        if source.type == "directory":
            _directory(result, destination, index)
            _tree(result, listing, source.path, destination, index)
        else:
            _directory(result, destination, index)
            _link_out(result, listing, source, index)
            _file(result, posixpath.join(destination, posixpath.basename(relative(entry.source))), index)
    return result


def absolute(path: str) -> str:
    """A path on a host in its plain form; a relative one is taken from `/`, the agent's working directory.

    >>> absolute("//srv/./app/"), absolute("srv")
    ('/srv/app', '/srv')
    """
    return posixpath.normpath("/" + path.lstrip("/"))


def selected(permission: Permission, found: Preview) -> Iterator[str]:
    """The installed paths that a permission is for, as the agent selects them; not the object itself if a directory."""
    target = absolute(permission.object)
    if target in found.files:
        if "file" in permission.type:
            yield target
        return
    start = len(target.rstrip("/")) + 1
    is_all = permission.pattern == "**"
    for kind in permission.type:
        for path in found.below(target, kind):
            name = path[start:]
            if (is_all or glob_matches(name, permission.pattern)) and not any(
                glob_matches(name, one) for one in permission.except_
            ):
                yield path


@dataclass(frozen=True)
class _Visit:
    """A directory that is walked through: its path in the bundle, where it goes, and the visit that led to it."""

    source: str
    destination: str
    above: _Visit | None = None

    def is_within(self, source: str) -> bool:
        """Whether a directory of the bundle is this one or one that the way here has led through."""
        visit: _Visit | None = self
        while visit:
            if visit.source == source:
                return True
            visit = visit.above
        return False


def _tree(result: Preview, listing: Listing, source: str, destination: str, index: int) -> None:
    todo = [_Visit(source, destination)]
    while todo:
        visit = todo.pop()
        for child in listing.children.get(visit.source, ()):
            result.steps += 1
            if result.steps > MOST_STEPS:
                result.is_endless = True
                return
            name = posixpath.join(visit.destination, posixpath.basename(child.path))
            # A link to a directory is walked into: the agent makes a real directory of it.
            real = listing.find(child.path) if child.type == "symlink" else child
            if real is None or real.type != "directory":
                _link_out(result, listing, child, index)
                _file(result, name, index)
            elif child.type == "symlink" and visit.is_within(real.path):
                result.loops.setdefault(child.path, index)
            else:
                _directory(result, name, index)
                todo.append(_Visit(real.path, name, visit))


def _link_out(result: Preview, listing: Listing, member: Member, index: int) -> None:
    if member.type == "symlink" and listing.leads_to_directory_outside(member):
        result.leaving.setdefault(member.path, index)


def _file(result: Preview, path: str, index: int) -> None:
    if path in result.files or path in result.directories:
        result.clashes.append(Clash(index, path, path in result.directories))
    else:
        result.files[path] = index


def _directory(result: Preview, path: str, index: int) -> None:
    """Adds a directory and those above it."""
    while path not in result.directories and path != "/":
        if path in result.files:
            result.clashes.append(Clash(index, path, True))
            return
        result.directories[path] = index
        path = posixpath.dirname(path)
