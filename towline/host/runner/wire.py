"""JSON lines between the caller and the runner."""

import os
import select
import time

from towline.host.runner.constants import REPLY_SECONDS
from towline.host.runner.errors import Disconnected, Refused
from towline.host.runner.files import write_all
from towline.host.runner.json_binding import dumps, loads


class Wire:
    """JSON lines from the caller on one descriptor, events to it on another."""

    def __init__(self, source=0, sink=1):
        self.source, self.sink = source, sink
        self.buffer = b""

    def send(self, *events):
        """Raises Disconnected where nobody listens any more."""
        try:
            write_all(self.sink, b"".join(dumps(event).encode() + b"\n" for event in events))
        except OSError:
            raise Disconnected() from None

    def wait(self, seconds, *others):
        """Waits for the caller or for one of `others` (descriptors). Returns those that have something."""
        if b"\n" in self.buffer:  # a line that came along with the end of an archive
            return [self.source, *select.select(others, [], [], 0)[0]]
        return select.select([self.source, *others], [], [], seconds)[0]

    def rest(self, seconds, other):
        """Waits, but not past a word of the caller's or the end of `other`, whatever else that one has."""
        poll = select.poll()
        poll.register(self.source, select.POLLIN)
        poll.register(other, 0)
        if b"\n" not in self.buffer:
            poll.poll(int(seconds * 1000))

    def _fill(self):
        try:
            data = os.read(self.source, 65536)
        except OSError:
            data = b""
        if not data:
            raise Disconnected()
        self.buffer += data

    def line(self, seconds):
        """The next JSON object, or None if there is none in time. Raises Disconnected at the end of input."""
        ends = time.monotonic() + seconds
        while b"\n" not in self.buffer:
            if self.source not in select.select([self.source], [], [], max(0.0, ends - time.monotonic()))[0]:
                return None
            self._fill()
        line, _, self.buffer = self.buffer.partition(b"\n")
        try:
            value = loads(line.decode())
        except ValueError as error:
            raise Refused("InvalidOrder", "not a line of JSON: %s" % error) from None
        if not isinstance(value, dict):
            raise Refused("InvalidOrder", "not a JSON object")
        return value

    def pieces(self, size):
        """Exactly `size` bytes, in pieces. Raises Disconnected at the end of input, Refused where they stop coming."""
        while size:
            if not self.buffer:
                if not select.select([self.source], [], [], REPLY_SECONDS)[0]:
                    raise Refused("TransferStalled", "the archive stopped coming")
                self._fill()
            piece, self.buffer = self.buffer[:size], self.buffer[size:]
            size -= len(piece)
            yield piece
