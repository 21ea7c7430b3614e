"""Locks that end with the process that holds them."""

import fcntl
import os


class Lock:
    """A lock that ends with the last process that has it open, however it ends. Scripts never inherit it."""

    def __init__(self, path=None, fd=None):
        self.fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600) if fd is None else fd

    def try_take(self):
        """Whether it is ours now."""
        try:
            fcntl.flock(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def close(self):
        """Lets go of this copy; one that a child has keeps the lock."""
        if self.fd is not None:
            os.close(self.fd)
            self.fd = None


def take(path):
    """The lock, or None where somebody else has it."""
    lock = Lock(path)
    if lock.try_take():
        return lock
    lock.close()
    return None
