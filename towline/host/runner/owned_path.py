"""Opens paths of which other users may own a part: by descriptors, and through no link that another user could make."""

import errno
import os
import stat

from towline.host.runner.text import as_text

NOT_OPENED = os.O_PATH | os.O_NOFOLLOW  # the thing itself, whatever it is, without opening it

MOST_LINKS = 40  # as the kernel


class ForeignLink(OSError):
    """A link in a path belongs to another user, who may have made it to lead us elsewhere."""

    def __init__(self, path, uid):
        OSError.__init__(self, errno.ELOOP, foreign_link(path, uid))


def foreign_link(path, uid):
    return (
        "%s is a link that belongs to user id %d, and only links of root%s are followed (chown -h root makes it one)"
        % (as_text(path), uid, "" if os.geteuid() == 0 else " and of user id %d" % os.geteuid())
    )


def is_ours(uid):
    """Whether what belongs to this user can be trusted: to root, or to the runner's own user."""
    return uid == 0 or uid == os.geteuid()


def open_directory(path):
    """A descriptor of a directory, to be used as `dir_fd`. Raises OSError; ForeignLink for a link that is not ours."""
    directory, name = open_place(path)
    try:
        return os.open(name, NOT_OPENED | os.O_DIRECTORY, dir_fd=directory)
    finally:
        os.close(directory)


def open_place(path):
    """(descriptor of a directory, name in it): where a path leads to through all links of ours, the last one included.

    The name may be of nothing, or of a link of another user; it is never of a link of ours. Raises OSError.
    """
    directory = os.open("/", NOT_OPENED)
    parts, links = parts_of(path), 0
    try:
        while True:
            name = parts.pop() if parts else "."
            try:
                inner = os.open(name, NOT_OPENED, dir_fd=directory)
            except FileNotFoundError:
                if parts:
                    raise
                return directory, name
            try:
                info = os.fstat(inner)
                if stat.S_ISLNK(info.st_mode) and (parts or is_ours(info.st_uid)):
                    links += 1
                    target = target_of(inner, info, path, links)
                    parts += parts_of(target)
                    if target.startswith("/"):
                        root = os.open("/", NOT_OPENED)
                        os.close(directory)
                        directory = root
                elif not parts:
                    return directory, name
                elif not stat.S_ISDIR(info.st_mode):
                    raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
                else:
                    directory, inner = inner, directory
            finally:
                os.close(inner)
    except BaseException:
        os.close(directory)
        raise


def parts_of(path):
    """The names of a path, the last one first."""
    return [part for part in reversed(path.split("/")) if part not in ("", ".")]


def target_of(link, info, path, links):
    """Where an open link leads to, if it may be followed."""
    if not is_ours(info.st_uid):
        raise ForeignLink(path, info.st_uid)
    if links > MOST_LINKS:
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
    return os.readlink("", dir_fd=link)


def real_path(descriptor):
    """The path of an open file or directory, as it is now."""
    return os.readlink("/proc/self/fd/%d" % descriptor)


def stat_at(directory, name):
    """What a directory has under a name, a link as itself; None where there is nothing."""
    try:
        return os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return None


class Parents:
    """Opens the directory that a path lies in; the last one is kept open, since most files follow their neighbours."""

    def __init__(self):
        self.path, self.directory = None, -1

    def of(self, path):
        """(descriptor, name): what the name is of is not looked at. Raises OSError."""
        parent, name = os.path.split(path)
        if parent != self.path:
            self.close()
            self.directory = open_directory(parent)
            self.path = parent
        return self.directory, name

    def close(self):
        if self.path is not None:
            os.close(self.directory)
            self.path = None
