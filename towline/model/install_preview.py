"""What an Install will make of a bundle: which paths, by the agent's rules for `files`. Pure, from the listing alone.

The host decides again by what lies on its disk. This is what can be known before: what would be refused everywhere.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from towline.model.listing import Listing, relative
from towline.model.plan import CompiledPlan, Permission


@dataclass(frozen=True)
class Clash:
    """Two entries of `files` that want the same path; `entry` is the later one."""

    entry: int
    path: str
    is_directory: bool  # one of the two needs a directory there


@dataclass
class Preview:
    """The files and directories that would be installed, and by which entry of `files`."""

    files: dict[str, int] = field(default_factory=dict)
    directories: dict[str, int] = field(default_factory=dict)
    clashes: list[Clash] = field(default_factory=list)

    def kind(self, path: str) -> Literal["file", "directory"] | None:
        """What would be installed at a path, if anything."""
        if path in self.files:
            return "file"
        return "directory" if path in self.directories else None


def preview(plan: CompiledPlan, listing: Listing) -> Preview:
    """Walks through `files`; an entry whose source is not in the bundle installs nothing."""
    result = Preview()
    for index, entry in enumerate(plan.files):
        source = listing.find(entry.source)
        if source is None and listing.leads_out(entry.source):
            source = listing.by_path.get(relative(entry.source))  # a link out is installed as the link that it is
        if source is None:
            continue
        destination = absolute(entry.destination)
        _directory(result, destination, index)
        if source.type == "directory":
            _tree(result, listing, source.path, destination, index)
        else:
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
    prefix = target.rstrip("/") + "/"
    pools = [
        pool for kind, pool in (("file", found.files), ("directory", found.directories)) if kind in permission.type
    ]
    for pool in pools:
        for path in pool:
            name = path.removeprefix(prefix) if path.startswith(prefix) and path != target else ""
            if name and _matches(name, permission.pattern) and not any(matches(name, e) for e in permission.except_):
                yield path


def matches(name: str, pattern: str) -> bool:
    """The agent's matcher: one level only, `*` for any run of characters, nothing else special.

    >>> matches("a.sh", "*.sh"), matches("bin/a.sh", "*.sh"), matches(".sh", "*.sh"), matches("a", "?")
    (True, False, True, False)
    """
    if "/" in name:
        return False
    return re.fullmatch(".*".join(re.escape(part) for part in pattern.split("*")), name, re.DOTALL) is not None


def _matches(name: str, pattern: str) -> bool:
    return pattern == "**" or matches(name, pattern)


def _tree(
    result: Preview, listing: Listing, source: str, destination: str, index: int, above: tuple[str, ...] = ()
) -> None:
    if source in above:  # a link to a directory above itself: the host will find out
        return
    for child in listing.children.get(source, ()):
        name = posixpath.join(destination, posixpath.basename(child.path))
        # A link to a directory is walked into: the agent makes a real directory of it.
        real = listing.find(child.path) if child.type == "symlink" else child
        if real is not None and real.type == "directory":
            _directory(result, name, index)
            _tree(result, listing, real.path, name, index, (*above, source))
        else:
            _file(result, name, index)


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
