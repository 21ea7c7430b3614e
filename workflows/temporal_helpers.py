"""What the workflows share in their use of Temporal: calling activities, signals, surviving a cancel."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from temporalio import workflow
from temporalio.exceptions import ApplicationError

from workflows.options import Options

EVENTS_PER_RUN = 1000
"""Well before Temporal suggests a new run (4,096 events): a worker that takes a run over must replay it first."""

In = TypeVar("In")
Out = TypeVar("Out")
Shape = TypeVar("Shape", bound=BaseModel)


async def call(
    activity: Callable[[In], Awaitable[Out]],
    argument: In,
    options: Options,
    *,
    summary: str | None = None,
    queue: str | None = None,
) -> Out:
    """Runs an activity stub of `calls.py` and returns its typed answer; raises ActivityError."""
    return await workflow.execute_activity(
        activity,
        argument,
        task_queue=queue or None,
        start_to_close_timeout=options.start_to_close,
        schedule_to_close_timeout=options.schedule_to_close,
        heartbeat_timeout=options.heartbeat,
        retry_policy=options.retry,
        cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
        summary=summary,
    )


async def signal(workflow_id: str, name: str, argument: object) -> bool:
    """Signals another workflow; False where it is closed already (Temporal raises then)."""
    try:
        await workflow.get_external_workflow_handle(workflow_id).signal(name, argument)
    except ApplicationError:
        return False
    return True


def parse_signal(shape: type[Shape], raw: object) -> Shape | None:
    """A signal's message, or None (and a warning in the log) where it is malformed.

    Signal handlers take any argument: with a typed one, a malformed signal would fail the workflow's task for ever.
    """
    try:
        return shape.model_validate(raw)
    except ValidationError as error:
        workflow.logger.warning("a signal that is no %s was ignored: %s", shape.__name__, error)
        return None


async def signal_on_change(workflow_id: str, name: str, current: Callable[[], Any], *, last_sent: Any) -> None:
    """Signals `current()` whenever it differs from what was sent last, until the task is ended (`end`).

    One signal at a time: Temporal does not promise that two that are under way arrive in order, and a burst of changes
    becomes one signal.
    """

    def has_changed() -> bool:
        return bool(current() != last_sent)

    while True:
        await workflow.wait_condition(has_changed)
        last_sent = current()
        await signal(workflow_id, name, last_sent)


def end(sender: asyncio.Task[None]) -> None:
    """Cancels a task that sends signals.

    One that was about to send ends with Temporal's own CancelledError, which the event loop would report as an error
    that was never retrieved.
    """
    sender.add_done_callback(lambda done: done.cancelled() or done.exception())
    sender.cancel()


def history_is_long() -> bool:
    """Whether a workflow that never ends should go on as a new run."""
    info = workflow.info()
    return info.is_continue_as_new_suggested() or info.get_current_history_length() >= EVENTS_PER_RUN


async def shield_from_cancel(story: Awaitable[Out], on_cancel: Callable[[], None]) -> Out:
    """Runs a story to its end, in a task of its own, so that Temporal's cancel only calls `on_cancel`.

    A native cancel is delivered once, to the task that runs the workflow; shielded, the story goes on and decides by
    the flag that `on_cancel` sets. A story that raises its own CancelledError is a bug; the error is passed on.
    """
    task = asyncio.ensure_future(story)
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.cancelled():
                raise
            on_cancel()
    return task.result()
