"""Work on what others send, beside the event loop: one thread takes it, one piece after the other.

One, not a pool's many: in Python only one of them works at a time, and the event loop would wait behind all others
for its turn. What is given here must not stay in one call of C code for long.
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
    """What `work` returns or raises, while the event loop goes on."""
    return await asyncio.get_running_loop().run_in_executor(_thread, partial(work, *args, **named))
