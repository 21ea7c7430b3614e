"""Sends the caller the journal and the script log as they grow."""

import os
import time

from towline.host.runner.files import touch
from towline.host.runner.journal import Records
from towline.host.runner.recovery import check_key
from towline.host.runner.text import as_text


class Follower:
    """Tells the caller the journal's records and the script log as they grow."""

    def __init__(self, order, host, wire):
        self.order, self.host, self.wire = order, host, wire
        self.after = int(order.get("after") or 0)
        self.log_at = int(order.get("log_after") or 0)
        self.records = Records(host.journal(order["deployment"]))
        self.unsent = list(self.records.all)
        self.interest = 0.0

    def step(self):
        """Tells what is new. True once `finished` is told. Raises Refused where the journal is of another run."""
        self.unsent.extend(self.records.read_more())
        check_key(self.records, self.order)
        finished = bool(self.records.finished)
        self._log(finished)
        # `finished` is told in any case: after a power cut a caller may know of records that the disk does not
        events = [r for r in self.unsent if r.get("seq", 0) > self.after or r.get("kind") == "finished"]
        self.unsent = []
        if events:
            self.wire.send(*events)
        return finished

    def _log(self, to_the_end):
        try:
            fd = os.open(self.host.script_log(self.order["group"]["id"], self.order["deployment"]), os.O_RDONLY)
        except OSError:
            return
        try:
            while True:
                data = os.pread(fd, 32768, self.log_at)
                whole = data if to_the_end or len(data) == 32768 else data[: data.rfind(b"\n") + 1]
                if not whole:
                    return
                ends = self.log_at + len(whole)  # text may be longer: bytes that are no UTF-8 are replaced
                self.wire.send({"kind": "log", "at": self.log_at, "end": ends, "text": as_text(whole)})
                self.log_at = ends
        finally:
            os.close(fd)

    def show_interest(self):
        now = time.monotonic()
        if now - self.interest >= 1:
            self.interest = now
            try:
                touch(self.host.asked(self.order["deployment"]))
            except OSError:
                pass  # a disk that takes no more is no reason to leave a runner that works
