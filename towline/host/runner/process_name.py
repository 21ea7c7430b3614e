"""The name of the runner's processes: hooks that end "all Python" must not end the runner, which is Python."""

import os

PROCESS_NAME = b"towline"


def take_own_name():
    """Shows this process as `towline`, without arguments, in ps, pkill, killall and top; children inherit that.

    The arguments hold an interpreter's name and a program, and a pattern such as `main` or `python` would meet one of
    them. They are overwritten in place: a second exec would take as long as the first. A system that does not let us
    leaves the old ones.
    """
    try:
        with open("/proc/self/comm", "wb", 0) as file:
            file.write(PROCESS_NAME)
        with open("/proc/self/stat", "rb", 0) as file:
            fields = file.read(4096).rpartition(b")")[2].split()
        start, end = int(fields[45]), int(fields[46])  # arg_start and arg_end, proc(5)
        if end - start <= len(PROCESS_NAME):
            return
        fd = os.open("/proc/self/mem", os.O_WRONLY)
        try:
            os.pwrite(fd, PROCESS_NAME + bytes(end - start - len(PROCESS_NAME)), start)
        finally:
            os.close(fd)
    except (OSError, ValueError, IndexError):
        pass
