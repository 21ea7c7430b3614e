"""Where Install takes files from: an unpacked archive, or a list of an archive's members."""

import os

from towline.host.runner.errors import StepFailed
from towline.host.runner.files import sha256_of
from towline.host.runner.text import as_text, join


class OnDisk:
    """The unpacked archive as a source of files; links are followed as the agent follows them."""

    def __init__(self, archive):
        self.archive = archive
        self.real = os.path.realpath(archive)

    def path(self, source):
        return join(self.archive, source)

    def exists(self, path):
        return os.path.lexists(path)

    def is_directory(self, path):
        return os.path.isdir(path)

    def entries(self, path):
        """(name, whether it is a directory or leads to one) of what is inside, in the order of the names' bytes."""
        with os.scandir(path) as found:
            entries = [
                (entry.name, os.path.isdir(entry.path) if entry.is_symlink() else entry.is_dir()) for entry in found
            ]
        return sorted(entries, key=lambda entry: os.fsencode(entry[0]))

    def check_link(self, path):
        """A linked directory is copied as a real one, so it must not lead out of the archive."""
        if os.path.islink(path):
            real = os.path.realpath(path)
            if real != self.real and not real.startswith(self.real + "/"):
                raise StepFailed(
                    "Install: %s is a link to the directory %s, outside of the archive; put the files into the bundle"
                    % (as_text(path), as_text(real))
                )

    def same(self, path, destination):
        """Whether an installed file has this content already."""
        if os.path.islink(path) or os.path.islink(destination):
            return (
                os.path.islink(path) and os.path.islink(destination) and os.readlink(path) == os.readlink(destination)
            )
        return sha256_of(path) == sha256_of(destination)


class Listed:
    """The same from a list of an archive's members, for `plan` on a host that does not have the archive."""

    def __init__(self, members):
        self.members = {}
        for member in members:
            path = os.path.normpath("/" + member["path"])
            self.members[path] = member
            while path != "/":
                path = os.path.dirname(path)
                self.members.setdefault(path, {"type": "directory"})

    def path(self, source):
        return os.path.normpath("/" + source.lstrip("/"))

    def exists(self, path):
        return path in self.members

    def is_directory(self, path):
        return self.members.get(path, {}).get("type") in ("directory", "dir", "d")

    def entries(self, path):
        base = path.rstrip("/") + "/"
        inner = (p for p in self.members if p.startswith(base) and "/" not in p[len(base) :] and p != base)
        return sorted((p[len(base) :], self.is_directory(p)) for p in inner)

    def check_link(self, path):
        pass

    def same(self, path, destination):
        digest = self.members[path].get("sha256")
        return bool(digest) and not os.path.islink(destination) and sha256_of(destination)[0] == digest
