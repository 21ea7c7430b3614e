"""Sees to it that no file whose content has changed is installed with the time that the old one had."""

import os
import stat
import time

from towline.host.runner.constants import CHUNK
from towline.host.runner.files import read_json, write_json
from towline.host.runner.text import as_json_path

FIRST_LOOK = 4096  # bytes: where two files differ, they mostly do so here

REMEMBERED = 20  # Installs for which the time of a file is remembered that is no longer installed


class FileTimes:
    """The modification times of installed files, in seconds, where the archive's own would tell an untruth.

    Archives made with fixed times have the same for every version of a file. Python's .pyc, make, rsync and the ETags
    of web servers would then take the old content for the new. And make, like a web server that is asked for what was
    modified since, takes a file for unchanged whose time is older than what was made of the old one. A file keeps its
    archive's time unless it replaces other content that was last seen with that very time, or that came here later.
    """

    def __init__(self, group):
        self.group = group
        self.known = read_json(group.times) or {}  # path below the root -> [age in Installs, seconds...]
        self._chosen = {}  # destination -> nanoseconds, or None for the archive's
        self._given = {}  # destination -> the archive's seconds

    def of(self, destination):
        """The time that a file is to have, in nanoseconds, or None for that of the archive."""
        return self._chosen.get(destination)

    def choose(self, plan):
        """Before clean-up, while the old files are there. A second time, in an undo, what was chosen stays."""
        before = dict(self.known)
        for destination, source in plan.copies.items():
            if destination not in self._chosen:
                new = os.lstat(source)
                if not stat.S_ISLNK(new.st_mode):
                    self._choose(source, destination, new)
        if self.known != before:
            write_json(self.group.times, self.known)

    def _choose(self, source, destination, new):
        key = self._key(destination)
        given = new.st_mtime_ns // NANOSECONDS
        seen = set(self.known.get(key, ())[1:])
        old = regular(destination)
        if old:
            seen.add(old.st_mtime_ns // NANOSECONDS)
        chosen = None
        if given in seen or (old and new.st_mtime_ns < old.st_ctime_ns):
            if old and old.st_size == new.st_size and same_content(source, destination):
                chosen = old.st_mtime_ns if given in seen else None
            else:
                chosen = newer(seen, old.st_mtime_ns // NANOSECONDS if old else 0)
        self._chosen[destination], self._given[destination] = chosen, given
        if seen:
            self.known[key] = [0, *sorted(seen)]

    def _key(self, destination):
        return as_json_path(destination[len(self.group.host.root) :])

    def remember(self):
        """After Install: the times that the files have now, and for a while those of files that are gone."""
        kept = {key: [value[0] + 1, *value[1:]] for key, value in self.known.items() if value[0] < REMEMBERED}
        for destination, given in self._given.items():
            chosen = self._chosen[destination]
            times = {given} if chosen is None else {given, chosen // NANOSECONDS}
            kept[self._key(destination)] = [0, *sorted(times)]
        write_json(self.group.times, kept)


NANOSECONDS = 1000000000


def regular(path):
    """What `os.stat` says of a file, or None if there is no regular file."""
    try:
        info = os.stat(path)
    except OSError:
        return None
    return info if stat.S_ISREG(info.st_mode) else None


def newer(seen, old):
    """Now, in nanoseconds, or the next second that is later than the old file's and was not seen with other content.

    Several deployments in one second give times that are ahead of the clock: each is later than the one before.
    """
    now = int(time.time() * NANOSECONDS)
    seconds = max(now // NANOSECONDS, old + 1)
    while seconds in seen:
        seconds += 1
    return max(now, seconds * NANOSECONDS)


def same_content(one, other):
    """Whether two files have the same bytes."""
    first = second = -1
    try:
        first, second = os.open(one, os.O_RDONLY), os.open(other, os.O_RDONLY)
        size = FIRST_LOOK
        while True:
            piece = os.read(first, size)
            if piece != os.read(second, size):
                return False
            if not piece:
                return True
            size = CHUNK
    except OSError:
        return False
    finally:
        for fd in (first, second):
            if fd >= 0:
                os.close(fd)
