"""For workflows that never end (`Catalogue`, `DeploymentGroup`): a native cancel neither ends nor breaks them.

Temporal's Web UI offers "Cancel" on every workflow. For these it would lose what the whole fleet relies on, so the
request is noted and waited past. It is delivered once a run, to whatever the main task awaits; hence the main task
of such a workflow awaits nothing but these functions, and its work is done in handlers and tasks of their own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta

from temporalio import workflow

EVENTS_PER_RUN = 1000
"""Well before Temporal suggests it (4,096 events), since a worker that takes a run over must replay it first."""


async def wait_past_cancel(condition: Callable[[], bool], *, timeout: timedelta | None = None) -> bool:
    """Waits until `condition()` is true, ignoring native cancel; False if `timeout` passed first."""
    end = None if timeout is None else workflow.now() + timeout
    while True:
        left = None if end is None else end - workflow.now()
        if left is not None and left <= timedelta(0):
            return condition()
        try:
            await workflow.wait_condition(condition, timeout=left)
        except asyncio.CancelledError:
            workflow.logger.warning("cancel request ignored: this workflow keeps towline's records")
        except TimeoutError:
            return condition()
        else:
            return True


async def wait_for_end_of_run(is_idle: Callable[[], bool] = lambda: True) -> None:
    """Waits until the run should continue as new, `is_idle()` holds, and every handler has finished."""
    await wait_past_cancel(lambda: is_long() and is_idle() and workflow.all_handlers_finished())


def is_long() -> bool:
    """Whether this run's history is long enough to go on as a new run."""
    info = workflow.info()
    return info.is_continue_as_new_suggested() or info.get_current_history_length() >= EVENTS_PER_RUN
