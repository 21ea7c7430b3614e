"""Copies files with what belongs to them."""

import errno
import os
import stat


def attributes_of(path):
    """Extended attributes (ACLs, SELinux contexts), as far as this file system has them."""
    found = {}
    try:
        for name in os.listxattr(path):
            found[name] = os.getxattr(path, name).hex()
    except OSError:
        pass
    return found


def copy_file(source, destination, preserve=False, fresh=False):
    """Content, and with `preserve` owner (as root), mode and times too; into the existing file where there is one.

    With `fresh` there must be none: raises FileExistsError.
    """
    reading = os.open(source, os.O_RDONLY)
    try:
        info = os.fstat(reading)
        if not stat.S_ISREG(info.st_mode):
            raise OSError(errno.EINVAL, "not a regular file")
        writing = os.open(destination, FRESH, 0o600) if fresh else open_for_copy(destination)
        try:
            left = info.st_size
            while left > 0:
                sent = os.sendfile(writing, reading, None, left)
                if not sent:
                    break
                left -= sent
            if preserve:
                if os.geteuid() == 0:
                    os.fchown(writing, info.st_uid, info.st_gid)
                os.fchmod(writing, stat.S_IMODE(info.st_mode))
                os.utime(writing, ns=(info.st_atime_ns, info.st_mtime_ns))
        finally:
            os.close(writing)
    finally:
        os.close(reading)


FRESH = os.O_WRONLY | os.O_CREAT | os.O_EXCL


def open_for_copy(destination):
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    try:
        return os.open(destination, flags, 0o600)
    except OSError as error:
        if error.errno != errno.ETXTBSY:
            raise
        os.unlink(destination)  # a program that runs keeps its old file
        return os.open(destination, flags, 0o600)
