"""Reads a bundle's archive: the one way into it, for the host that unpacks it and for what checks it before."""

import os
import stat

from towline.host.runner.archive_rules import ArchiveLimits, BadArchive, MemberTree, TornArchive
from towline.host.runner.tar_archive import tar_members
from towline.host.runner.zip_archive import zip_members

PACK_ANEW = "Build it anew, with: towline push"


class ArchiveReader:
    """One pass through an archive of type `zip`, `tar` or `tgz`; how a tar is packed is told by its content.

    `tree` has what was seen so far. `limits` are those of an order: `unpacked_bytes` and `members`.
    """

    def __init__(self, path, bundle_type, limits):
        self._path, self._type, self._given = path, bundle_type, limits
        self.tree = self._limits = None

    def members(self):
        """Yields the members, each checked. Raises BadArchive, and OSError where it cannot be read."""
        with open_regular(self._path) as file:
            size = os.fstat(file.fileno()).st_size
            limits = self._limits = ArchiveLimits(size, self._given.get("unpacked_bytes"), self._given.get("members"))
            self.tree = MemberTree(limits)
            found = zip_members(file, limits) if self._type == "zip" else tar_members(file, limits)
            for member in self._telling(found):
                self.tree.take(member)
                if member.size:
                    member.pieces = self._telling(member.pieces)
                yield member

    def unpacked_bytes(self):
        """How much was unpacked so far; a host that is given this as its limit takes the archive."""
        return self._limits.unpacked_bytes - self._limits.bytes_left if self._limits else 0

    def _telling(self, pieces):
        """Yields the same; what is damaged is told with the archive's type, and what to do."""
        try:
            for piece in pieces:
                yield piece
        except TornArchive as torn:
            why = "not a sound %s archive: %s" % (self._type, torn.why)
            raise BadArchive(why, hint=torn.hint or PACK_ANEW) from None


def open_regular(path):
    """Opens a file to read its bytes. Raises BadArchive for a pipe, a device or a directory, and does not wait."""
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    file = open(fd, "rb", buffering=0)
    mode = os.fstat(fd).st_mode
    if not stat.S_ISREG(mode):
        file.close()
        raise BadArchive("it is %s, not a file" % kind_of_file(mode), hint="Name a directory or an archive")
    return file


def kind_of_file(mode):
    """What the mode of a path that is no file says, in words."""
    for is_kind, name in ((stat.S_ISDIR, "a directory"), (stat.S_ISFIFO, "a named pipe"), (stat.S_ISSOCK, "a socket")):
        if is_kind(mode):
            return name
    return "a device"
