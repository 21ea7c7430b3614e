"""Lets a workflow continue at once after its worker was killed.

Temporal offers a workflow's next task to the worker that has the workflow in memory, and to others only when that one
has not taken it for some seconds (`STICKY` in worker.py). A second attempt of an activity is the first sign that this
worker may be dead: the worker that gets the attempt resets the stickiness of the workflow, and of the deployment that a
shard belongs to. The history is then read once more, so it is done once per run, not for each of hundreds of instances.
"""

from __future__ import annotations

import contextlib
from datetime import timedelta
from typing import Any

from temporalio import activity
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import ResetStickyTaskQueueRequest
from temporalio.client import Client
from temporalio.service import RPCError
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

PATIENCE = timedelta(seconds=2)
REMEMBERED = 1000


class Takeover(Interceptor):
    """Give it to each worker."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._done: set[str] = set()

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002
        """See Interceptor."""
        return _TakingOver(next, self)

    async def take_over(self, info: activity.Info) -> None:
        """Resets the stickiness of the activity's workflow and of its deployment."""
        run = info.workflow_run_id or ""
        if run in self._done:
            return
        if len(self._done) >= REMEMBERED:
            self._done.clear()
        self._done.add(run)
        workflow = info.workflow_id or ""
        await self._forget(WorkflowExecution(workflow_id=workflow, run_id=run))
        deployment, _, shard = workflow.partition("/")
        if shard:
            await self._forget(WorkflowExecution(workflow_id=deployment))

    async def _forget(self, execution: WorkflowExecution) -> None:
        request = ResetStickyTaskQueueRequest(namespace=self._client.namespace, execution=execution)
        # Where it cannot be said, or the workflow has ended: the task is offered to others in a while, as ever.
        with contextlib.suppress(RPCError):
            await self._client.workflow_service.reset_sticky_task_queue(request, timeout=PATIENCE)


class _TakingOver(ActivityInboundInterceptor):
    def __init__(self, next: ActivityInboundInterceptor, takeover: Takeover) -> None:  # noqa: A002
        super().__init__(next)
        self._takeover = takeover

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002
        info = activity.info()
        if info.attempt > 1:
            await self._takeover.take_over(info)
        return await self.next.execute_activity(input)
