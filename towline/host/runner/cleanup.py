"""The clean-up list of the last install, and what of it is removed."""

import errno
import os
import stat

from towline.host.runner.errors import why
from towline.host.runner.files import read_bytes, remove, write_synced
from towline.host.runner.install_record import InstallRecord
from towline.host.runner.owned_path import ForeignLink, Parents, is_ours
from towline.host.runner.text import as_text
from towline.host.runner.tools import run_tool

CONTEXT = "semanage\0"

SAID_AT_MOST = 10  # warnings of one kind


def read_cleanup(path):
    """The lines of a clean-up list, oldest first; a last line without its end was torn and does not count."""
    data = read_bytes(path) or b""
    return [os.fsdecode(line) for line in data[: data.rfind(b"\n") + 1].split(b"\n")[:-1]]


class CleanupList:
    """The paths of the clean-up list that can be what this group has made on this host, oldest first.

    The list is the agent's, and names in it were an archive's. Whatever is not absolute and below the root, or is not
    in the runner's own record of what it made, is left alone. Where AWS's agent wrote the list there is no record.
    """

    def __init__(self, group):
        self.group = group
        self.paths = []  # what is to be removed, in the order in which it was made
        self.contexts = []  # paths whose SELinux context was set
        self.warnings = []
        self._ignored = 0
        record = InstallRecord(group)
        known = set(record.lines) if record.is_of_list() else None
        self.hidden = set() if known is None else {record.here(path) for path in record.hidden}
        lines = read_cleanup(group.cleanup)
        if lines and not self._is_trusted(known is None):
            lines = record.lines if known else []
        for line in lines:
            self._line(line, record, known)
        if self._ignored > SAID_AT_MOST:
            self.warnings.append(
                "%d more lines of %s are ignored, too" % (self._ignored - SAID_AT_MOST, as_text(group.cleanup))
            )

    def _is_trusted(self, is_only_one):
        """Whether only root can have written the list. `is_only_one`: there is no record to take in its place."""
        info = os.lstat(self.group.cleanup)
        if stat.S_ISREG(info.st_mode) and is_ours(info.st_uid) and not info.st_mode & 0o022:
            return True
        self.warnings.append(
            "%s is ignored: others than root can write it (chmod go-w)%s"
            % (as_text(self.group.cleanup), ". What the last deployment installed stays" if is_only_one else "")
        )
        return False

    def _line(self, line, record, known):
        is_context = line.startswith(CONTEXT)
        path = line[len(CONTEXT) :].strip() if is_context else line
        if known is None:
            path = path if is_context else exact(path)
        elif line not in known:
            if line.strip():
                self._ignore(line, "it names nothing that this group has made")
            return
        path = record.here(path)
        if not path:
            return
        if not path.startswith(self.group.host.root + "/") or os.path.normpath(path) != path:
            self._ignore(line, "it is no absolute path below %s" % (self.group.host.root or "/"))
        elif is_context:
            self.contexts.append(path)
        else:
            self.paths.append(path)

    def _ignore(self, line, reason):
        self._ignored += 1
        if self._ignored <= SAID_AT_MOST:
            self.warnings.append(
                "%s: the line %s is ignored: %s" % (as_text(self.group.cleanup), as_text(line)[:300], reason)
            )


def exact(path):
    """The path that a line of AWS's agent means: blanks around it count if such a name is there; it drops them."""
    plain = path.strip()
    return path if path == plain or os.path.lexists(path) else plain


def clean_up(group, disk):
    """Removes what an AfterCleanup says will go, newest first. Returns warnings of what is left alone.

    Nothing that the disk refuses after all keeps the rest from going: half a release is of no use to anybody.
    """
    for path in disk.list.contexts:
        run_tool(["semanage", "fcontext", "-d", path])
    warnings, left, parents = [], set(disk.left), Parents()
    for path in reversed(disk.list.paths):
        if path in disk.left:
            continue
        try:
            directory, name = parents.of(path)
            remove_one(directory, name)
        except ForeignLink as error:
            warnings.append("%s is left alone: %s" % (as_text(path), error.strerror))
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ENOTEMPTY, errno.EEXIST):
                left.add(path)
                warnings.append("%s of the last deployment is left alone: %s" % (as_text(path), why(error)))
    parents.close()
    left |= directories_above(left)
    keep_listed(group, [path for path in disk.list.paths if path in left], disk.hidden)
    return warnings


def remove_one(directory, name):
    """A file or a link, or a directory if it is empty."""
    try:
        os.unlink(name, dir_fd=directory)
    except IsADirectoryError:
        os.rmdir(name, dir_fd=directory)


def directories_above(paths):
    """Those that cannot go before what is left in them has gone."""
    found = set()
    for path in paths:
        path = os.path.dirname(path)
        while path not in found and path != "/":
            found.add(path)
            path = os.path.dirname(path)
    return found


def keep_listed(group, left, hidden):
    """The next clean-up tries again what this one had to leave; what is gone is in neither list nor record."""
    record = InstallRecord(group)
    record.hidden = hidden
    os.close(record.begin(left))
    if left:
        write_synced(group.cleanup, b"".join(os.fsencode(path) + b"\n" for path in left), 0o644)
    else:
        remove(group.cleanup)
