"""Whether a deployment is to stop: a halt file, silence, or the end of its time."""

import os
import time

from towline.host.runner.files import read_bytes
from towline.host.runner.limits import LONGEST, in_seconds


class StopSignals:
    """Knows whether to stop: a halt file, silence, or the end of the deployment's time."""

    def __init__(self, host, deployment, limits):
        self.halt, self.asked = host.halt(deployment), host.asked(deployment)
        now = time.monotonic()
        self.silence = limits.get("silence")
        left = limits.get("deadline")
        self.deadline = float("inf") if left is None else now + (left and in_seconds(left, LONGEST))
        self.last_asked, self.last_mark = now, self._mark()

    def _mark(self):
        try:
            return os.stat(self.asked).st_mtime_ns
        except OSError:
            return None

    def reason(self):
        """`now`, `boundary`, `silence` or None."""
        word = read_bytes(self.halt)
        if word is not None:
            return "now" if word.strip() == b"now" else "boundary"
        return "silence" if self._is_silent() else None

    def reason_now(self):
        """While a script runs: only `now` ends it."""
        self._is_silent()
        return "now" if (read_bytes(self.halt) or b"").strip() == b"now" else None

    def _is_silent(self):
        # by changes of the mark and our own clock: the wall clock may jump
        mark, now = self._mark(), time.monotonic()
        if mark != self.last_mark:
            self.last_asked, self.last_mark = now, mark
        return bool(self.silence) and now - self.last_asked > self.silence

    def is_late(self):
        return time.monotonic() >= self.deadline

    def message(self, reason):
        if reason == "silence":
            return "halted: nobody has asked about this deployment for %d seconds" % self.silence
        return "halted on request"
