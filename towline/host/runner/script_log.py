"""The script log of a deployment, and the tail of it that a failure carries."""

import os
import time

from towline.host.runner.constants import LOG_TAIL, LONG_LINE
from towline.host.runner.errors import why
from towline.host.runner.files import write_all
from towline.host.runner.text import as_text


class ScriptLog:
    """One event's part of the script log, and the tail of it that a failure carries."""

    def __init__(self, path, deployment, limit, poke):
        self.trouble = ""  # why it is not written any more
        self.poke = poke
        self.entries, self.size = [], 0
        try:
            os.makedirs(os.path.dirname(path), 0o755, exist_ok=True)
            self.fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640)
        except OSError as error:
            self.fd, self.trouble = os.open("/dev/null", os.O_WRONLY), why(error)
        self.left = limit - os.fstat(self.fd).st_size

    def add(self, *entries):
        """Appends entries (bytes, with their line ends), each with the time before it.

        A log that cannot be written ends nothing: the script may be what has filled the disk, and still runs.
        """
        stamp = time.strftime("%Y-%m-%d %H:%M:%S ").encode()
        for entry in self._last(entries):
            self._remember(as_text(entry))
        if self.left > 0 and not self.trouble:
            data = b"".join(stamp + entry for entry in entries)
            self.left -= len(data)
            if self.left <= 0:
                data += stamp + b"(the script log has reached its limit; further output is not kept)\n"
            try:
                write_all(self.fd, data)
            except OSError as error:
                self.trouble = why(error)
        self.poke()

    def _last(self, entries):
        """Those that may be in the tail when all are added: a script may write more than can be looked at."""
        size, first = 0, len(entries)
        while first and size < LOG_TAIL:
            first -= 1
            size += min(len(entries[first]), LOG_TAIL)
        return entries[max(0, first - 1) :]

    def _remember(self, text):
        if len(text) >= LOG_TAIL:
            text = "%s... (%d characters)\n" % (text[:LONG_LINE], len(text))
        self.entries.append(text)
        self.size += len(text)
        while self.size >= LOG_TAIL:
            self.size -= len(self.entries.pop(0))

    def tail(self):
        return "".join(self.entries)

    def close(self):
        os.close(self.fd)
