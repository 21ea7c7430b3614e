"""What cannot be removed whoever asks: mount points, and files with the attributes of `chattr`."""

import os
import sys

from towline.host.runner.files import read_bytes

IMMUTABLE, APPEND_ONLY = 0x10, 0x20  # FS_IMMUTABLE_FL, FS_APPEND_FL


def mount_points():
    """The paths at which something is mounted, bind-mounted files included."""
    lines = (read_bytes("/proc/self/mountinfo") or b"").split(b"\n")
    return {os.fsdecode(unescaped(line.split(b" ")[4])) for line in lines if line.count(b" ") > 4}


def unescaped(field):
    for code, plain in ((b"\\040", b" "), (b"\\011", b"\t"), (b"\\012", b"\n"), (b"\\134", b"\\")):
        field = field.replace(code, plain)
    return field


def is_at_or_below(path, directory):
    return path == directory or path.startswith(directory.rstrip("/") + "/")


def attribute_of(path):
    """Why a file or directory, which is no link, may not be changed or removed: `immutable`, `append-only`, or None."""
    import fcntl

    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        flags = int.from_bytes(fcntl.ioctl(fd, GET_FLAGS, NO_FLAGS)[:4], sys.byteorder)
    except OSError:
        return None  # this file system has no such attributes
    finally:
        os.close(fd)
    return "immutable" if flags & IMMUTABLE else "append-only" if flags & APPEND_ONLY else None


def get_flags():
    """FS_IOC_GETFLAGS: a number that holds the size of a long, and on some machines other bits for its direction."""
    of_others = os.uname().machine.startswith(("mips", "ppc", "powerpc", "sparc", "alpha", "parisc"))
    return (1 << 30 if of_others else 2 << 30) | len(NO_FLAGS) << 16 | ord("f") << 8 | 1


NO_FLAGS = b"\0" * (8 if sys.maxsize > 1 << 32 else 4)  # a long

GET_FLAGS = get_flags()
