"""A client's question to a worker: one read-only activity, through the workflow `Ask`."""

from __future__ import annotations

import asyncio
import uuid
from datetime import timedelta
from typing import TypeVar

from temporalio.client import Client, WorkflowFailureError
from temporalio.exceptions import ActivityError, ApplicationError

from towline import errors
from towline.catalogue import talking
from towline.model import names
from towline.model.ask import Question

Answer = TypeVar("Answer")

TASK_TIMEOUT = timedelta(seconds=5)


async def ask(
    client: Client, question: Question, answer_type: type[Answer], *, task_queue: str = names.TASK_QUEUE
) -> Answer:
    """The activity's value. Raises `TemporalUnavailable` where no worker answers in time, `TowlineError` with the
    activity's own code and words where it fails."""
    doing = f"asking a worker: {question.activity}"
    try:
        async with talking(doing), asyncio.timeout(question.timeout_seconds + 5):
            answer: Answer = await client.execute_workflow(
                names.ASK,
                question,
                id=f"towline-ask-{uuid.uuid4()}",
                task_queue=task_queue,
                result_type=answer_type,
                execution_timeout=timedelta(seconds=question.timeout_seconds + 5),  # nobody waits for it any longer
                task_timeout=TASK_TIMEOUT,
                static_summary=question.summary or question.activity,
            )
    except WorkflowFailureError as failure:
        cause: BaseException | None = failure.cause
        while isinstance(cause, ActivityError) and cause.cause:
            cause = cause.cause
        if isinstance(cause, ApplicationError):
            raise errors.TowlineError(cause.message, code=cause.type or "") from failure
        raise errors.TemporalUnavailable(
            f"no worker answered ({doing}): {cause}", "Start one: towline worker"
        ) from None
    return answer
