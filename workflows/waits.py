"""The two ways in which a deployment waits before and between its stages: for a condition, and for an activity.

A stop ends every wait.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any, TypeVar

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError

with workflow.unsafe.imports_passed_through():
    from towline.model.deployment.ending import Ending, failure, stopped_by
    from towline.model.deployment.state import DeploymentState
    from towline.model.deployment.status import deployment_error

Answer = TypeVar("Answer")


class Ended(Exception):
    """The deployment ends here, before or instead of the rest of its rollout."""

    def __init__(self, ending: Ending) -> None:
        super().__init__(ending.message)
        self.ending = ending


async def gate(state: DeploymentState, condition: Callable[[], bool], timeout: timedelta | None = None) -> None:
    """Waits until the condition holds or some time has passed; raises Ended on a stop."""
    try:
        await workflow.wait_condition(lambda: condition() or state.stop is not None, timeout=timeout)
    except TimeoutError:
        return
    if state.stop:
        raise Ended(stopped_by(state.stop))


async def attempt(
    state: DeploymentState, activity: Coroutine[Any, Any, Answer], *, of_revision: bool = False
) -> Answer:
    """Runs an activity of the time before the rollout; raises Ended on a stop, and where the activity fails."""
    task = asyncio.ensure_future(activity)
    await workflow.wait_condition(lambda: task.done() or state.stop is not None)
    if not task.done():
        task.cancel()
        assert state.stop
        raise Ended(stopped_by(state.stop))
    try:
        return task.result()
    except ActivityError as error:
        cause = error.cause
        kind = cause.type if isinstance(cause, ApplicationError) and cause.type else ""
        message = cause.message if isinstance(cause, ApplicationError) else str(cause or error)
        raise Ended(failure(deployment_error(kind, of_revision=of_revision), message)) from error
