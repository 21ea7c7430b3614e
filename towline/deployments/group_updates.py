"""Updates of a deployment group's workflow, which is started by the first. For activities and for the API."""

from __future__ import annotations

import asyncio
from typing import Any
from weakref import WeakValueDictionary

from temporalio.client import Client, WithStartWorkflowOperation
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.service import RPCError

from towline.model import names
from towline.model.group.group import DeploymentGroup
from towline.model.group.queue import GroupState
from towline.model.messages.group import GroupMessage, Reservation
from towline.temporal import asking, is_absent

AT_ONCE = 3
"""Updates of one group that a process has in flight. Temporal takes ten at a time; more would wait for seconds."""


class GroupUpdates:
    """Sends updates to the workflows of groups."""

    def __init__(self, client: Client, *, task_queue: str = names.TASK_QUEUE) -> None:
        self._client, self._task_queue = client, task_queue
        self._limits: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    async def reserve(self, group: DeploymentGroup, deployment_id: str, by: str, *, seconds: float = 30.0) -> None:
        """Makes a deployment that is about to be started the group's active one, so that no other can come before it.

        One that exists after these seconds keeps its place. Raises `Conflict` where the group is busy, with nothing
        left behind, and `TemporalUnavailable`.
        """
        reservation = Reservation(
            application=group.application_name,
            group=group.deployment_group_name,
            group_id=group.deployment_group_id,
            deployment_id=deployment_id,
            by=by,
            seconds=seconds,
        )
        with asking(f"reserving {group.full_name}"):
            await self.send("reserve", reservation)

    async def send(self, update: str, message: GroupMessage, result: type | None = None) -> Any:
        """Sends an update and returns its answer; raises what Temporal's client raises."""
        workflow_id = names.group_workflow_id(message.group_id)
        limit = self._limits.setdefault(workflow_id, asyncio.Semaphore(AT_ONCE))
        async with limit:
            try:
                handle = self._client.get_workflow_handle(workflow_id)
                return await handle.execute_update(update, message, result_type=result)
            except RPCError as error:
                if not is_absent(error):
                    raise
            # An update that may start the workflow costs Temporal much more than a plain one: only the first needs it.
            return await self._send_and_start(workflow_id, update, message, result)

    async def _send_and_start(
        self,
        workflow_id: str,
        update: str,
        message: GroupMessage,
        result: type | None,
    ) -> Any:
        start: WithStartWorkflowOperation[Any, Any] = WithStartWorkflowOperation(
            names.GROUP,
            GroupState(application=message.application, group=message.group, group_id=message.group_id),
            id=workflow_id,
            task_queue=self._task_queue,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            task_timeout=names.TASK_TIMEOUT,
            static_summary=f"queue of {message.application}/{message.group}",
        )
        return await self._client.execute_update_with_start_workflow(
            update, message, start_workflow_operation=start, result_type=result
        )
