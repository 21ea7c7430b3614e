"""What an Install will make of a bundle, found by the runner's own rules from the list of members alone.

The host decides again by what is on its disk. This is what can be known before: what would be refused everywhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from towline.host.runner.bundle_tree import BundleTree
from towline.host.runner.install_tree import InstallTree
from towline.host.runner.text import absolute
from towline.model.appspec.plan import CompiledPlan, Permission
from towline.model.bundle.listing import Listing

Kind = Literal["file", "directory"]


@dataclass(frozen=True)
class InstallRefusal:
    """Why hosts would refuse an Install: one of the runner's constants, the path, and the entry of `files`."""

    kind: str
    path: str
    entry: int


class BundleInstall:
    """The files and directories that would be installed on an empty disk, and all that would be refused."""

    def __init__(self, plan: CompiledPlan, listing: Listing) -> None:
        self.refusals: list[InstallRefusal] = []
        self._entry = 0
        self._tree = InstallTree(BundleTree(vars(member) for member in listing.members), self._refuse)
        self._files: dict[str, str] = self._tree.copies
        self.directories: dict[str, None] = self._tree.directories
        for self._entry, entry in enumerate(plan.files):
            self._tree.add_entry({"source": entry.source, "destination": entry.destination})

    def _refuse(self, kind: str, path: str, _message: str) -> None:
        self.refusals.append(InstallRefusal(kind, path, self._entry))

    def refused(self, *kinds: str) -> list[InstallRefusal]:
        """The refusals of some kinds, the first of each path."""
        return list({one.path: one for one in reversed(self.refusals) if one.kind in kinds}.values())[::-1]

    def kind(self, path: str) -> Kind | None:
        """What would be installed at a path, if anything."""
        if path in self._files:
            return "file"
        return "directory" if path in self.directories else None

    def below(self, directory: str, kind: Kind) -> list[str]:
        """The files or directories below a directory, at any depth, sorted."""
        found: list[str] = self._tree.below(directory, kind)
        return found

    def of_permission(self, permission: Permission) -> Iterator[str]:
        """The installed paths that a permission is for; not the object itself if that is a directory."""
        target = absolute(permission.object)
        if target in self._files:
            if "file" in permission.type:
                yield target
            return
        for kind in permission.type:
            yield from self._tree.selected(target, kind, permission.pattern, permission.except_)
