"""A bundle as a source of files, from the list of its members alone: links are followed as in the unpacked archive."""

from towline.host.runner.bundle_links import LeavesBundle, follow_links
from towline.host.runner.text import join_below


class BundleTree:
    """The members of a bundle by path; the top is the empty path. Has the methods that `OnDisk` has."""

    def __init__(self, members):
        self.members = {"": {"type": "directory"}}
        self.children = {}  # the names in each directory
        for member in members:
            path = member["path"]
            if path not in self.members:
                self._add(path)
            self.members[path] = member
        self.links = {path: member["target"] for path, member in self.members.items() if is_link(member)}

    def _add(self, path):
        while path not in self.members:
            self.members[path] = {"type": "directory"}
            above, _, name = path.rpartition("/")
            self.children.setdefault(above, []).append(name)
            path = above

    def path(self, source):
        """A source of the AppSpec as a path in the bundle, its links not yet followed."""
        return source.lstrip("/")

    def exists(self, path):
        """Whether there is a member at a path, if only a link that leads nowhere."""
        return self.member(path) is not None

    def member(self, path):
        """The member at a path, which may be a link; None if there is none."""
        folder, _, name = path.rpartition("/")
        try:
            if name in ("", ".", ".."):
                return self.members.get(follow_links(self.links, path))
            return self.members.get(join_below(follow_links(self.links, folder), name))
        except LeavesBundle:
            return None

    def why_missing(self):
        return "is not in the revision"

    def is_directory(self, path):
        """Whether a path is a directory or leads to one, in the bundle or outside."""
        try:
            return self.members.get(follow_links(self.links, path), {}).get("type") == "directory"
        except LeavesBundle as leaves:
            return leaves.is_directory()

    def real(self, path):
        """Where a path really is in the bundle; None outside of it."""
        try:
            return follow_links(self.links, path)
        except LeavesBundle:
            return None

    def real_below(self, path, real):
        """The same where a directory's real path is known but for its last name."""
        return self.real(real) if real in self.links else real

    def entries(self, real):
        """(name, whether it is a directory or leads to one) of what is in a directory, in the order of names."""
        return [(name, self._is_directory_at(join_below(real, name))) for name in sorted(self.children.get(real, ()))]

    def _is_directory_at(self, real):
        return self.is_directory(real) if real in self.links else self.members[real]["type"] == "directory"

    def outside(self, path):
        """Where a link to a directory leads outside of the bundle; None for anything else."""
        try:
            follow_links(self.links, path)
        except LeavesBundle as leaves:
            return leaves.rest
        return None


def is_link(member):
    return member["type"] == "symlink" and bool(member.get("target"))
