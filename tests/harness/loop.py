"""Whether an event loop stands still, and how time grows with size: for work on what others send."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from tests.harness.hostile import repeated

STANDS_STILL_SECONDS = 0.1


def ratio_of_times(work: Callable[[str], object], unit: str, *, small: int, factor: int) -> float:
    """By how much more processor time `factor` times the text takes; each the best of three."""
    first, second = (_seconds(work, repeated(unit, size)) for size in (small, small * factor))
    return second / max(first, 50e-6)


def _seconds(work: Callable[[str], object], text: str) -> float:
    best = float("inf")
    gc.disable()
    try:
        for _ in range(3):
            began = time.thread_time()  # of this thread: other work on the machine does not count
            work(text)
            best = min(best, time.thread_time() - began)
    finally:
        gc.enable()
    return best


@dataclass
class Watch:
    """What the loop's watchdog saw: for each time that the loop stood still, how long, and what it was at."""

    stalls: list[str] = field(default_factory=list)


@contextlib.contextmanager
def loop_goes_on(seconds: float = STANDS_STILL_SECONDS) -> Iterator[Watch]:
    """Fails where this thread's event loop uses the processor for `seconds` without a turn, and shows what it did.

    Counted is this thread's processor time, not the clock: a busy machine is not a loop that stands still. Python's
    garbage collection waits meanwhile: in a process full of tests it takes longer than in a worker, which freezes
    what stays.
    """
    gc.collect()
    gc.disable()
    watch, loop = Watch(), asyncio.get_running_loop()
    thread = threading.get_ident()
    clock = time.pthread_getcpuclockid(thread)
    turn, over = time.clock_gettime(clock), threading.Event()
    timer: asyncio.TimerHandle

    def beat() -> None:
        nonlocal turn, timer
        spent, turn = time.clock_gettime(clock) - turn, time.clock_gettime(clock)
        if spent > seconds:
            watch.stalls.append(f"the loop stood still for {spent:.3f} s of processor time\n{seen.get('at', '')}")
        seen.clear()
        timer = loop.call_later(0.005, beat)

    def look() -> None:
        while not over.wait(0.02):
            if time.clock_gettime(clock) - turn > seconds and "at" not in seen:
                seen["at"] = "".join(traceback.format_stack(sys._current_frames()[thread]))

    seen: dict[str, str] = {}
    timer = loop.call_later(0, beat)
    looker = threading.Thread(target=look, daemon=True)
    looker.start()
    try:
        yield watch
        beat()
    finally:
        over.set()
        looker.join()
        timer.cancel()
        gc.enable()
    assert not watch.stalls, "\n".join(watch.stalls)
