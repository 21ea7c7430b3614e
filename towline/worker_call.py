"""Has a worker run one read-only activity (the workflow `CallWorker`) and returns its answer."""

from __future__ import annotations

import asyncio
import secrets
from datetime import timedelta
from typing import Any, TypeVar

from temporalio.client import Client, WorkflowFailureError, WorkflowHandle
from temporalio.exceptions import ActivityError, ApplicationError, FailureError
from temporalio.exceptions import TimeoutError as TemporalTimeout

from towline import errors
from towline.model import names
from towline.model.problem import Problem
from towline.model.worker_call import WorkerCall
from towline.temporal import asking

T = TypeVar("T")

WORKER_SECONDS = 5.0
"""How long a worker may take to begin before it is said that there is none."""

UNTOUCHED_EVENTS = 2
"""Events of a workflow that no worker has seen: started, and its first task scheduled."""


_ERRORS: dict[str, type[errors.TowlineError]] = {
    error.code: error
    for error in (
        errors.InvalidInput,
        errors.InvalidRequest,
        errors.InvalidAppSpec,
        errors.InvalidBundle,
        errors.NotFound,
        errors.Conflict,
        errors.OurFault,
        errors.TemporalUnavailable,
    )
}


async def call_worker(client: Client, call: WorkerCall, answer: type[T], *, task_queue: str = names.TASK_QUEUE) -> T:
    """What the activity answers.

    Raises:
        TowlineError: what the activity raised, in its own class where that is known.
        TemporalUnavailable: no worker took the call, or none answered in time.
    """
    with asking(f"asking a worker ({call.activity})"):
        handle: WorkflowHandle[Any, T] = await client.start_workflow(
            names.WORKER_CALL,
            call,
            id=f"towline-ask-{secrets.token_hex(8)}",
            task_queue=task_queue,
            task_timeout=names.TASK_TIMEOUT,
            execution_timeout=timedelta(seconds=call.timeout_seconds + WORKER_SECONDS),
            result_type=answer,
            static_summary=call.summary or call.activity,
        )
        result = asyncio.ensure_future(handle.result())
        try:
            await _until_begun(handle, result)
            return await result
        except WorkflowFailureError as error:
            raise as_towline_error(error.cause) from error
        finally:
            result.cancel()


async def _until_begun(handle: WorkflowHandle[Any, T], result: asyncio.Future[T]) -> None:
    await asyncio.wait({result}, timeout=WORKER_SECONDS)
    if result.done():
        return
    if (await handle.describe()).history_length <= UNTOUCHED_EVENTS:
        await handle.terminate("no worker")
        raise errors.TemporalUnavailable(
            "no worker answers.", "Start one: towline worker   (or all in one: towline up)"
        )


def as_towline_error(cause: BaseException | None) -> errors.TowlineError:
    """The error of ours that an activity raised (activities/errors.py made it an ApplicationError)."""
    while isinstance(cause, ActivityError) and cause.cause:
        cause = cause.cause
    if isinstance(cause, TemporalTimeout):
        return errors.TemporalUnavailable("the worker did not answer in time.", "Its log says more.")
    if not isinstance(cause, ApplicationError):
        message = cause.message if isinstance(cause, FailureError) else str(cause)
        return errors.TowlineError(f"the worker failed: {message}", "Its log says more.")
    details = cause.details[0] if cause.details and isinstance(cause.details[0], dict) else {}
    message, hint = details.get("message", cause.message), details.get("hint", "")
    kind = _ERRORS.get(cause.type or "")
    if kind is None:
        # A code of CodeDeploy's own, such as APPLICATION_MISSING: what is not tried again is the input's fault.
        kind = errors.InvalidInput if cause.non_retryable else errors.TowlineError
    if issubclass(kind, errors.WithProblems):
        problems = [Problem.model_validate(problem) for problem in details.get("problems", [])]
        return kind(message, problems, hint)
    return kind(message, hint, code=cause.type or "")
