"""Standard input, output and error as commands use them: there, encodable, and never the reason of an exit status.

A command's exit status tells what became of its work. So a terminal that went away, a full disk behind `>` or a closed
descriptor must not end it: what cannot be written is dropped, and the first reason is kept.
"""

from __future__ import annotations

import io
import os
import select
import sys

LOST_ENCODING = "utf-8"


class Forgiving(io.RawIOBase):
    """A descriptor to write to. What it does not take is dropped, and why is in `error`; `is_strict`: it is raised."""

    def __init__(self, descriptor: int, *, is_strict: bool = False) -> None:
        self._descriptor = descriptor
        self.is_strict = is_strict
        self.error: OSError | None = None

    def fileno(self) -> int:
        """The descriptor, as terminals are asked by it."""
        return self._descriptor

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return os.isatty(self._descriptor)

    def writable(self) -> bool:
        """Always."""
        return True

    def write(self, data: object) -> int:
        """Takes all of it, if need be by dropping it. Raises OSError the first time where `is_strict`."""
        left = memoryview(data).cast("B")  # type: ignore[arg-type]
        size = len(left)
        while left and self.error is None:
            try:
                left = left[os.write(self._descriptor, left) :]
            except BlockingIOError:  # another process has made it non-blocking; ssh does that to a terminal
                select.select([], [self._descriptor], [])
            except OSError as error:
                self.error = error
                if self.is_strict:
                    raise
        return size


def prepare() -> tuple[Forgiving, Forgiving]:
    """Puts such streams in the place of Python's own; closed descriptors are opened on /dev/null first.

    Returns what is below stdout and stderr.
    """
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:  # closed by the caller; the next file that is opened would take its place
            os.dup2(os.open(os.devnull, os.O_RDWR), descriptor)
    if sys.stdin is None:
        sys.stdin = os.fdopen(0, encoding=LOST_ENCODING)
    out, err = Forgiving(1), Forgiving(2)
    sys.stdout = _text(out, sys.stdout)
    sys.stderr = _text(err, sys.stderr)
    return out, err


def _text(raw: Forgiving, old: object) -> io.TextIOWrapper:
    """A text stream with the old one's encoding; what that does not have is written as an escape."""
    encoding = getattr(old, "encoding", None) or LOST_ENCODING
    return io.TextIOWrapper(
        io.BufferedWriter(raw), encoding=encoding, errors="backslashreplace", write_through=True, line_buffering=True
    )
