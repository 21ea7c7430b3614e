"""The clean-up list of the last install, and the disk as it will be once the list has been worked off."""

import errno
import os
import stat

from towline.host.runner.errors import StepFailed, why
from towline.host.runner.files import read_bytes, remove
from towline.host.runner.text import as_text
from towline.host.runner.tools import run_tool

CONTEXT = "semanage\0"


def read_cleanup(path):
    """The lines of a clean-up list, oldest first; a last line without its end was torn and does not count."""
    data = read_bytes(path) or b""
    return [os.fsdecode(line) for line in data[: data.rfind(b"\n") + 1].split(b"\n")[:-1]]


def exact(path):
    """The path that a line means: blanks around it count if such a name is there (the agent always drops them)."""
    plain = path.strip()
    return path if path == plain or os.path.lexists(path) else plain


def clean_up(group):
    """Removes what the list names, newest first: files and links always, directories only when empty. Returns the
    number of things that were removed."""
    removed = 0
    for line in reversed(read_cleanup(group.cleanup)):
        if line.startswith(CONTEXT):
            run_tool(["semanage", "fcontext", "-d", line[len(CONTEXT) :].strip()])
            continue
        path = exact(line)
        if not path:
            continue
        try:
            try:
                os.unlink(path)
            except IsADirectoryError:
                os.rmdir(path)
            removed += 1
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ENOTEMPTY, errno.EEXIST):
                raise StepFailed(
                    "Install: cannot remove %s of the last deployment: %s" % (as_text(path), why(error))
                ) from None
    remove(group.cleanup)
    return removed


def need_writable(directory):
    """Raises StepFailed where nothing can be made or removed in a directory that is there."""
    if os.access(directory, os.W_OK):
        return
    if os.statvfs(directory).f_flag & os.ST_RDONLY:
        reason = "its file system is read-only"
    else:
        reason = "user id %d, as whom the runner works, has no permission" % os.geteuid()
    raise StepFailed("Install: %s cannot be written: %s" % (as_text(directory), reason))


class AfterCleanup:
    """Looks at the disk as it will be once a clean-up list has been worked off. Follows links as the kernel will."""

    def __init__(self, lines):
        self.directories = {}  # path as written -> the real directory, or None
        self.parents = {}  # the same, as it is now
        self.gone = set()
        self.changed = set()  # the directories in which something goes
        for line in reversed(lines):
            if line and not line.startswith(CONTEXT):
                self._doom(exact(line))

    def _doom(self, path):
        parent, name = os.path.split(path)
        if parent not in self.parents:
            self.parents[parent] = os.path.realpath(parent).rstrip("/")
        here = self.parents[parent] + "/" + name
        try:
            is_directory = stat.S_ISDIR(os.lstat(here).st_mode)
            if is_directory and any(here + "/" + name not in self.gone for name in os.listdir(here)):
                return
        except OSError:
            return
        self.gone.add(here)
        if self.parents[parent] not in self.changed:
            self.changed.add(self.parents[parent])
            need_writable(self.parents[parent] or "/")

    def real(self, path, links=0):
        """The real path of what will be there, or None: nothing, or a link to nothing."""
        if path == "/":
            return path
        parent, name = os.path.split(path)
        if parent not in self.directories:
            found = self.real(parent, links)
            self.directories[parent] = found if found and os.path.isdir(found) else None
        here = self.directories[parent]
        if here is None or links > 40:
            return None
        here = here.rstrip("/") + "/" + name
        if here in self.gone:
            return None
        try:
            mode = os.lstat(here).st_mode
        except OSError:
            return None
        if stat.S_ISLNK(mode):
            target = os.path.normpath(os.path.join(os.path.dirname(here), os.readlink(here)))
            return self.real(target, links + 1)
        return here

    def exists(self, path):
        return self.real(path) is not None

    def is_directory(self, path):
        real = self.real(path)
        return real is not None and os.path.isdir(real)
