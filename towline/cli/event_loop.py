"""Runs what a command does: connects, and ends on SIGTERM."""

from __future__ import annotations

import asyncio
import gc
import signal
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from towline import errors
from towline.deployments.service import DeploymentService, connect

T = TypeVar("T")


def with_client(story: Callable[[DeploymentService], Awaitable[T]]) -> T:
    """Connects, runs a command's story, and returns what it returns. Raises `Terminated` as `run_async`."""

    async def run() -> T:
        return await story(await connect())

    return run_async(run)


def run_async(story: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Runs what a command does once everything is loaded. Raises `Terminated` where SIGTERM comes meanwhile."""
    gc.freeze()  # what is loaded stays; what comes may be much, and is looked through for garbage again
    gc.set_threshold(10_000, 10, 10)  # the report of a large fleet is read in half of the time
    gc.enable()
    is_terminated = False

    async def run() -> T:
        task = asyncio.current_task()

        def terminate() -> None:
            nonlocal is_terminated
            is_terminated = True
            if task:
                task.cancel()

        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, terminate)
        return await story()

    try:
        return asyncio.run(run())
    except asyncio.CancelledError:
        if is_terminated:
            raise errors.Terminated from None
        raise
