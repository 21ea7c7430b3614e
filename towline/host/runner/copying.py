"""Copies files with what belongs to them, from and to open directories."""

import errno
import os
import stat

FRESH = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW

EXISTING = os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK  # a fifo must not make us wait for its reader


def attributes_of(descriptor):
    """Extended attributes (ACLs, SELinux contexts) of an open file, as far as this file system has them."""
    found = {}
    try:
        for name in os.listxattr(descriptor):
            found[name] = os.getxattr(descriptor, name).hex()
    except OSError:
        pass
    return found


def open_source(path, directory=None):
    """(descriptor, what `fstat` says) of a regular file to read; with `directory`, a name in that one, and no link."""
    flags = os.O_RDONLY | os.O_NONBLOCK | (0 if directory is None else os.O_NOFOLLOW)
    reading = os.open(path, flags, dir_fd=directory)
    info = os.fstat(reading)
    if not stat.S_ISREG(info.st_mode):
        os.close(reading)
        raise OSError(errno.EINVAL, "not a regular file")
    return reading, info


def open_existing(directory, name):
    """A file that is there, emptied, to be written; what others may hold open, or have linked here, is made anew."""
    writing = -1
    try:
        writing = os.open(name, EXISTING, dir_fd=directory)
        if is_only_ours(os.fstat(writing), directory):
            os.ftruncate(writing, 0)
            return writing
    except OSError as error:
        if error.errno not in (errno.ETXTBSY, errno.ELOOP, errno.ENXIO):
            raise
    return open_anew(directory, name, writing)


def is_only_ours(info, directory):
    """Whether no other user can have a hand in a file: its owner, or who may link what he likes under this name."""
    if not stat.S_ISREG(info.st_mode) or info.st_uid not in (0, os.geteuid()) or info.st_mode & 0o022:
        return False
    above = os.fstat(directory)
    return info.st_nlink == 1 or (above.st_uid in (0, os.geteuid()) and not above.st_mode & 0o022)


def open_anew(directory, name, writing):
    """A new file in the place of one; a program that runs keeps its old file."""
    try:
        os.unlink(name, dir_fd=directory)
    except OSError as error:
        if error.errno != errno.EBUSY or writing < 0:
            raise
        os.ftruncate(writing, 0)  # something is mounted on this very file: it can only be written to
        return writing
    if writing >= 0:
        os.close(writing)
    return os.open(name, FRESH, 0o600, dir_fd=directory)


def copy_content(reading, writing, size):
    while size > 0:
        sent = os.sendfile(writing, reading, None, size)
        if not sent:
            break
        size -= sent


def set_attributes(writing, owner, mode, times):
    """Owner (as root), mode, and (access, modification) times in nanoseconds of an open file."""
    if os.geteuid() == 0:
        os.fchown(writing, *owner)
    os.fchmod(writing, mode)
    os.utime(writing, ns=times)
