"""Where Install takes files from: an unpacked archive, or a list of an archive's members."""

import os
import stat

from towline.host.runner.bundle_tree import BundleTree, is_link
from towline.host.runner.files import read_json, sha256_of
from towline.host.runner.protected_files import is_at_or_below
from towline.host.runner.text import as_json_path, as_text, join
from towline.host.runner.unpacking import MEANT, WRITABLE_BY_OTHERS


class OnDisk:
    """The unpacked archive as a source of files; links are followed as the agent follows them."""

    def __init__(self, archive):
        self.archive = archive
        self.real_archive = os.path.realpath(archive)
        self._real_directories = {}  # directory as written -> its real path
        self._meant = read_json(archive + MEANT) or {}

    def path(self, source):
        return join(self.archive, source)

    def exists(self, path):
        return os.path.lexists(path)

    def why_missing(self):
        if not os.path.isdir(self.archive):
            return "cannot be installed: the deployment's archive was deleted while it ran (%s)" % as_text(self.archive)
        return "is not in the revision's archive (%s)" % as_text(self.archive)

    def is_directory(self, path):
        return os.path.isdir(path)

    def real(self, path):
        return os.path.realpath(path)

    def real_below(self, path, real):
        """The same where a directory's real path is known but for its last name."""
        return os.path.realpath(path) if os.path.islink(path) else real

    def owner_and_mode(self, path, info):
        """(uid, gid, mode) that an installed file gets; `info` is the archive's.

        Those of the bundle's member, unless a hook has given the unpacked file others.
        """
        mode = stat.S_IMODE(info.st_mode)
        meant = self._meant and self._meant.get(as_json_path(self._member(path)))
        given = meant and (meant[3] if len(meant) > 3 else meant[2] & ~WRITABLE_BY_OTHERS)
        if meant and (info.st_uid, info.st_gid, mode & 0o666) == (0, 0, given & 0o666):
            return meant[0], meant[1], meant[2] | mode & ~given & 0o111  # a script may have been made executable
        return info.st_uid, info.st_gid, mode

    def _member(self, path):
        """The name in the archive of a file, which is no link. A directory's real path is looked up once: 30 us."""
        directory, name = os.path.split(path)
        if directory not in self._real_directories:
            self._real_directories[directory] = self.real(directory)
        return join(self._real_directories[directory], name)[len(self.real_archive) + 1 :]

    def entries(self, path):
        """(name, whether it is a directory or leads to one) of what is inside, in the order of the names' bytes."""
        with os.scandir(path) as found:
            entries = [
                (entry.name, os.path.isdir(entry.path) if entry.is_symlink() else entry.is_dir()) for entry in found
            ]
        return sorted(entries, key=lambda entry: os.fsencode(entry[0]))

    def outside(self, path):
        """Where a link to a directory leads outside of the archive; None for anything else."""
        if not os.path.islink(path):
            return None
        real = os.path.realpath(path)
        return None if is_at_or_below(real, self.real_archive) else real

    def same(self, path, destination):
        """Whether an installed file has this content already."""
        if os.path.islink(path) or os.path.islink(destination):
            return (
                os.path.islink(path) and os.path.islink(destination) and os.readlink(path) == os.readlink(destination)
            )
        return sha256_of(path) == sha256_of(destination)


class Listed(BundleTree):
    """The same from a list of an archive's members, for `plan` on a host that does not have the archive."""

    def same(self, path, destination):
        member = self.member(path) or {}
        if os.path.islink(destination) or is_link(member):
            return is_link(member) and os.path.islink(destination) and os.readlink(destination) == member["target"]
        digest = member.get("sha256")
        return bool(digest) and sha256_of(destination)[0] == digest
