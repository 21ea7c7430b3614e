"""The journal of a deployment: records that are on disk before the step that they announce begins."""

import os
import time

from towline.host.runner.constants import FULL, RESERVE_BYTES, RESERVE_FILES, RESERVE_PIECE, VERSION
from towline.host.runner.files import remove, sync_directory, write_all
from towline.host.runner.json_binding import dumps, loads
from towline.host.runner.text import as_text


class Records:
    """What a journal holds, read as far as it is whole."""

    def __init__(self, path):
        self.path, self.offset, self.all = path, 0, []
        self.read_more()

    def read_more(self):
        """The records that came since; a torn last line is left for later."""
        try:
            with open(self.path, "rb") as file:
                file.seek(self.offset)
                data = file.read()
        except FileNotFoundError:
            return []
        whole = data[: data.rfind(b"\n") + 1]
        self.offset += len(whole)
        new = []
        for line in whole.splitlines():
            try:
                record = loads(line.decode())
            except ValueError:
                continue  # a line that a power cut damaged
            if isinstance(record, dict):
                new.append(record)
        self.all.extend(new)
        return new

    @property
    def key(self):
        for record in self.all:
            if "key" in record:
                return record["key"]
        return None

    @property
    def finished(self):
        return self.all[-1] if self.all and self.all[-1].get("kind") == "finished" else None

    def open_step(self, started, ended):
        """The last record of kind `started` without an `ended` one behind it, or None."""
        for record in reversed(self.all):
            if record.get("kind") == ended:
                return None
            if record.get("kind") == started:
                return record
        return None


class Journal:
    """Appends records, and syncs them before the step that they announce begins."""

    def __init__(self, path, seq=0, base=None, poke=None, reserve=None):
        self.reserve = reserve
        self.earlier = Records(path).all  # of the runner before, whose work goes on
        new = not os.path.exists(path)
        self.fd = with_room(reserve, os.open, path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        self._cut_torn_line()
        if new:
            sync_directory(os.path.dirname(path))
        self.seq = seq
        self.base = time.monotonic() if base is None else base
        self.poke = poke or (lambda: None)

    def _cut_torn_line(self):
        size = os.fstat(self.fd).st_size
        tail = os.pread(self.fd, min(size, 1 << 20), max(0, size - (1 << 20)))
        if tail and not tail.endswith(b"\n"):
            os.ftruncate(self.fd, size - (len(tail) - tail.rfind(b"\n") - 1))

    def add(self, kind, sync=True, **fields):
        """Appends a record; without `sync` the next synced one takes it along."""
        self.seq += 1
        offset = round(time.monotonic() - self.base, 6)
        record = {"kind": kind, "v": VERSION, "seq": self.seq, "time": round(time.time(), 3), "offset": offset}
        for key, value in fields.items():
            record[key] = as_text(value) if isinstance(value, str) else value
        self._append(dumps(record).encode() + b"\n")
        if sync:
            os.fdatasync(self.fd)
        self.poke()
        return record

    def _append(self, line):
        size = os.fstat(self.fd).st_size
        while True:
            try:
                write_all(self.fd, line)
                return
            except OSError as error:
                if error.errno not in FULL or not give_room(self.reserve):
                    raise
            os.ftruncate(self.fd, size)

    def close(self):
        os.close(self.fd)


def with_room(reserve, action, *arguments):
    """What `action` returns; tried again with pieces of the reserve while the disk is full and there are any."""
    while True:
        try:
            return action(*arguments)
        except OSError as error:
            if error.errno not in FULL or not give_room(reserve):
                raise


def spare_files(reserve):
    """The empty files that keep inodes, some of `reserve.0`, `reserve.1`, …"""
    folder, name = os.path.split(reserve)
    return [folder + "/" + found for found in os.listdir(folder) if found.startswith(name + ".")]


def give_room(reserve):
    """Gives up a piece of the reserve and a spare file: the error does not say which of the two is lacking.

    Whether there was one left."""
    if not reserve:
        return False
    spare = spare_files(reserve)[:1]
    for path in spare:
        remove(path)
    try:
        left = os.path.getsize(reserve)
        if left:
            os.truncate(reserve, max(0, left - RESERVE_PIECE))
    except FileNotFoundError:
        left = 0
    return left > 0 or bool(spare)


def keep_reserve(path):
    """Takes the room and the inodes that a journal gets when the disk is full; raises OSError where there are none."""
    if not os.path.exists(path) or os.path.getsize(path) != RESERVE_BYTES:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            os.posix_fallocate(fd, 0, RESERVE_BYTES)
        except OSError:
            remove(path)
            raise
        finally:
            os.close(fd)
    spare = set(spare_files(path))
    for number in range(RESERVE_FILES):
        name = "%s.%d" % (path, number)
        if name not in spare:
            os.close(os.open(name, os.O_WRONLY | os.O_CREAT, 0o600))
