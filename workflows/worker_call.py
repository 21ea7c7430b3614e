"""Lets a client run a read-only activity on a worker: checks of its paths, reads of hosts, the preview."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from towline.model import names
    from towline.model.worker_call import ALLOWED_ACTIVITIES, WorkerCall


@workflow.defn(name=names.WORKER_CALL)
class CallWorker:
    """Runs one allowed read-only activity and returns its value."""

    @workflow.run
    async def run(self, call: WorkerCall) -> Any:
        """Returns what the activity returned; raises `InvalidRequest` for one that may not be called."""
        if call.activity not in ALLOWED_ACTIVITIES:
            allowed = ", ".join(ALLOWED_ACTIVITIES)
            raise ApplicationError(
                f"{call.activity!r} may not be called; allowed are {allowed}", type="InvalidRequest", non_retryable=True
            )
        return await workflow.execute_activity(
            call.activity,
            call.argument,
            task_queue=call.task_queue or None,
            schedule_to_close_timeout=timedelta(seconds=call.timeout_seconds),
            retry_policy=RetryPolicy(maximum_attempts=2),
            summary=call.summary or None,
        )
