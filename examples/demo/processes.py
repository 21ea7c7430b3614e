"""Whose processes are the demo's, and how they are ended.

Hooks start daemons, and a runner outlives the worker that started it: neither is our child. What they all have is the
environment that they were started with, so the demo's own TMPDIR in there says that a process belongs to it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

TERM_SECONDS = 3.0
KILL_SECONDS = 10.0


def of_folder(folder: Path) -> list[int]:
    """The processes, except ours, that were started with `TMPDIR` set to `folder`."""
    mark = f"TMPDIR={folder}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            # Others' processes cannot be read, and some end while we look.
            with contextlib.suppress(OSError):
                if mark in (entry / "environ").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
    return found


def end_all(folder: Path) -> list[int]:
    """Ends them, also those that begin meanwhile: SIGTERM first, later SIGKILL. Returns those that would not end."""
    begun = time.monotonic()
    while (left := of_folder(folder)) and time.monotonic() - begun < KILL_SECONDS:
        is_polite = time.monotonic() - begun < TERM_SECONDS
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM if is_polite else signal.SIGKILL)
        time.sleep(0.1)
    return left
