"""Runs CPU-bound work on untrusted input off the event loop, in a single thread.

A single one, not a pool: only one thread holds the GIL at a time, and with a pool the event loop would queue behind all
of its threads. The work must not stay in one C call for long, since that does not release the GIL.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

_P = ParamSpec("_P")
_T = TypeVar("_T")

_thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="aside")


async def aside(work: Callable[_P, _T], *args: _P.args, **named: _P.kwargs) -> _T:
    """Runs `work` in the thread and returns its result, without blocking the event loop."""
    return await asyncio.get_running_loop().run_in_executor(_thread, partial(work, *args, **named))
