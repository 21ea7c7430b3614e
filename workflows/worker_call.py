"""Ask: lets a client have a worker look at something (paths on the worker, what runs on hosts) and tell."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from towline.model import names
    from towline.model.worker_call import ASKABLE, Question


@workflow.defn(name=names.ASK)
class Ask:
    """Runs one allowed read-only activity and returns its value."""

    @workflow.run
    async def run(self, question: Question) -> Any:
        """Answers a question; raises `InvalidRequest` for an activity that may not be asked for."""
        if question.activity not in ASKABLE:
            known = ", ".join(ASKABLE)
            raise ApplicationError(
                f"no question {question.activity!r}; there are {known}", type="InvalidRequest", non_retryable=True
            )
        return await workflow.execute_activity(
            question.activity,
            question.argument,
            task_queue=question.task_queue or None,
            schedule_to_close_timeout=timedelta(seconds=question.timeout_seconds),
            retry_policy=RetryPolicy(maximum_attempts=2),
            summary=question.summary or None,
        )
