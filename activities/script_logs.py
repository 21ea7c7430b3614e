"""The script logs that a worker keeps in memory while it follows instances, within one budget."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from towline.model.host.events import LogText

LOG_BUDGET_BYTES = 64 * 1024 * 1024


class Log:
    """The script log of one run. What exceeds the budget is counted, not kept."""

    def __init__(self, limit: int, budget: LogBudget) -> None:
        self._limit = limit
        self._budget = budget
        self._parts: list[bytes] = []
        self._is_cut = False
        self.kept = 0
        self.end = 0  # bytes of the host's log that have been seen

    def add(self, event: LogText) -> None:
        """Adds a piece, unless it has been seen already, over an earlier connection."""
        if event.at < self.end:
            return
        self.end, data = event.end, event.text.encode()
        room = min(len(data), self._limit - self.kept, self._budget.left)
        self._is_cut = self._is_cut or room < len(data)
        if room > 0:
            self._parts.append(data[:room])
            self.kept += room
            self._budget.left -= room

    def text(self) -> str:
        """Returns what was kept, with a note if that is not all."""
        text = b"".join(self._parts).decode(errors="replace")
        return f"{text}\n[the rest of {self.end} bytes is only on the host]\n" if self._is_cut else text


@dataclass
class LogBudget:
    """The bytes of logs that a worker keeps in memory, over all instances that it follows."""

    left: int = LOG_BUDGET_BYTES

    @contextlib.contextmanager
    def log(self, limit: int) -> Iterator[Log]:
        """Yields a log of at most `limit` bytes; the block's end releases its memory."""
        log = Log(limit, self)
        try:
            yield log
        finally:
            self.left += log.kept
