"""Watching a deployment: its view again and again, until it has ended."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

from towline import errors
from towline.deployments.handle import DeploymentHandle
from towline.model.messages.view import DeploymentView

PATIENCE_SECONDS = 120.0
LOOK_SECONDS = 0.5  # how often a watcher looks; a long poll answers at the end, at once
LARGE_FLEET = 300
LOOK_SECONDS_LARGE = 2.0  # each look at a large fleet costs its workers many queries


@dataclass(frozen=True)
class Snapshot:
    """A deployment at one moment: the view, or, where it could not be read, why not."""

    view: DeploymentView | None
    trouble: str = ""
    has_ended: bool = False


async def watch(
    handle: DeploymentHandle, patience: float = PATIENCE_SECONDS, pace: float = LOOK_SECONDS, *, is_new: bool = False
) -> AsyncIterator[Snapshot]:
    """Yield a deployment's state every `pace` seconds (a large one's more rarely) until it has ended.

    The last snapshot has the final view, the moment it is there. At a deployment that was started just now (`is_new`)
    there is nothing to see yet, and a query would hold its workers up.

    While no worker answers, snapshots say so and the watch goes on, for `patience` seconds at most: then, as when
    Temporal itself stays away for so long, `TemporalUnavailable` is raised. The rollout is not touched by that.
    """
    loop = asyncio.get_running_loop()
    ending = asyncio.ensure_future(handle.result())
    seen = loop.time()
    try:
        if is_new:
            await asyncio.wait({ending}, timeout=pace)
        while True:
            try:
                snapshot = await _look(handle, ending)
                seen = loop.time()
            except errors.TemporalUnavailable as error:
                if loop.time() - seen > patience:
                    raise
                snapshot = Snapshot(None, trouble=error.message)
                if ending.done():  # it was the long poll that broke
                    ending = asyncio.ensure_future(handle.result())
            yield snapshot
            if snapshot.has_ended:
                return
            is_large = snapshot.view is not None and snapshot.view.progress.total > LARGE_FLEET
            await asyncio.wait({ending}, timeout=max(pace, LOOK_SECONDS_LARGE) if is_large else pace)
    finally:
        ending.cancel()


async def _look(handle: DeploymentHandle, ending: asyncio.Future[DeploymentView]) -> Snapshot:
    """One look; gives the query up as soon as the end is known: a closing workflow would let it hang."""
    query = asyncio.ensure_future(handle.query())
    query.add_done_callback(lambda done: done.cancelled() or done.exception())  # read, whichever came first
    await asyncio.wait({query, ending}, return_when=asyncio.FIRST_COMPLETED)
    if not ending.done() and query.exception() is None:
        return Snapshot(query.result())
    if ending.done() or isinstance(query.exception(), errors.NotFound):
        query.cancel()
        return Snapshot(await ending, has_ended=True)
    return Snapshot(query.result())  # raises
