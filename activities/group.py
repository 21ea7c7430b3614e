"""A group's queue: join, leave and remember for deployments; for the group, the end of its active one."""

from __future__ import annotations

import asyncio

from temporalio import activity
from temporalio.client import (
    Client,
    WorkflowExecutionDescription,
    WorkflowExecutionStatus,
)
from temporalio.service import RPCError, RPCStatusCode

from activities.errors import translated
from activities.records import RecordActivities
from towline.deployments.group_updates import GroupUpdates
from towline.deployments.handle import FROM_OUTSIDE, DeploymentHandle
from towline.model.deployment.status import Outcome
from towline.model.messages.deploy import Undo
from towline.model.messages.group import ActiveEnd, JoinQueue, LeaveQueue, OutcomePage, QueueAnswer, WatchActive
from towline.model.messages.view import DeploymentRecord
from towline.store import Store
from towline.store.deployment_records import DeploymentRecords

WATCH_SECONDS = 2.0
"""How often the active deployment is looked at."""


class GroupActivities:
    """Needs Temporal's client, and the store for what a terminated deployment left."""

    def __init__(self, client: Client, store: Store) -> None:
        self._client = client
        self._updates = GroupUpdates(client)
        self._store = store
        self._records = DeploymentRecords(store)

    @activity.defn
    async def join_turn(self, request: JoinQueue) -> QueueAnswer:
        """Joins the queue; starts the group's workflow at its first deployment."""
        answer: QueueAnswer = await self._updates.send("join", request, QueueAnswer)
        return answer

    @activity.defn
    async def leave_turn(self, end: LeaveQueue) -> None:
        """Leaves the queue, whether the deployment was active or waiting."""
        await self._updates.send("leave", end)

    @activity.defn
    async def record_outcomes(self, page: OutcomePage) -> None:
        """Sends instances' outcomes to the group."""
        await self._updates.send("remember", page)

    @activity.defn
    async def watch_active(self, request: WatchActive) -> ActiveEnd:
        """Returns when the active deployment's workflow is closed, with what the store knows of its instances.

        Cancelled, it checks once more: the rollback of one that was terminated a moment ago may be active now.
        """
        try:
            while True:
                active = await self._describe(request.deployment_id)
                if active is None or active.status is not WorkflowExecutionStatus.RUNNING:
                    return await self._end_of(request, active)
                activity.heartbeat(WorkflowExecutionStatus.RUNNING.name)
                await asyncio.sleep(WATCH_SECONDS)
        except asyncio.CancelledError:
            details = activity.cancellation_details()
            if details and details.cancel_requested:
                active = await self._describe(request.deployment_id)
                if active and active.status in FROM_OUTSIDE:
                    await self._end_of(request, active)
            raise

    async def _end_of(self, request: WatchActive, active: WorkflowExecutionDescription | None) -> ActiveEnd:
        """What a closed deployment left; writes the report where it could not itself."""
        status = active.status.name if active and active.status else "NOT_FOUND"
        with translated():
            undo = await self._undo_of(active) if active else None
            end = await asyncio.to_thread(self._read_wreck, request.deployment_id, status, undo)
            if active:
                first_run = active.raw_description.workflow_execution_info.first_run_id
                await self._write_report(active, request.run_id or first_run, end)
        return end

    async def _describe(self, deployment_id: str) -> WorkflowExecutionDescription | None:
        try:
            return await self._client.get_workflow_handle(deployment_id).describe()
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                return None
            raise

    async def _undo_of(self, active: WorkflowExecutionDescription) -> Undo | None:
        """What a rollback was to roll back; None of any other deployment."""
        request = await DeploymentHandle(self._client, active.id).request()
        return request.undo if request else None

    async def _write_report(self, active: WorkflowExecutionDescription, run_id: str, end: ActiveEnd) -> None:
        """The report that a deployment ended from outside could not write itself; one that is there is kept."""
        if await asyncio.to_thread(self._records.has_report, active.id):
            return
        view = await DeploymentHandle(self._client, active.id).view()
        if view is None:
            return
        times = {"create_time": active.start_time, "complete_time": active.close_time}
        interrupted = (*end.results.get(Outcome.INTERRUPTED, ()), *end.unknown)
        results = {**end.results, Outcome.INTERRUPTED: interrupted} if interrupted else end.results
        record = DeploymentRecord(
            info=view.info.model_copy(update={key: time.isoformat() for key, time in times.items() if time}),
            progress=view.progress,
            run_id=run_id,
            members=tuple(name for names_ in results.values() for name in names_),
            results=results,
        )
        await RecordActivities(self._store).write_report(record)

    def _read_wreck(self, deployment_id: str, status: str, undo: Undo | None) -> ActiveEnd:
        """What a terminated deployment left: the records of those that ended, and the names of the others."""
        results: dict[Outcome, tuple[str, ...]] = {}
        asked_for = undo.instances if undo and undo.instances else ()  # it may have been ended before its plan
        names = tuple(self._records.targets(deployment_id)) or asked_for
        records = self._records.instances(deployment_id, names)
        for name, record in records.items():
            outcome = record.outcome.outcome
            results[outcome] = (*results.get(outcome, ()), name)
        return ActiveEnd(
            deployment_id=deployment_id,
            status=status,
            results=results,
            unknown=tuple(name for name in names if name not in records),
            is_undo=undo is not None,
        )
