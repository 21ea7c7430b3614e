"""One of the catalogue's two workflows, from outside: its query, its update, and how it comes to exist."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import timedelta
from typing import Any

from temporalio.client import Client, WithStartWorkflowOperation, WorkflowHandle
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from towline.model import names
from towline.model.catalogue.records import CatalogueState, Delta, Known, WriteAnswer, WriteRequest
from towline.temporal import asking, is_absent

READ_TIMEOUT = timedelta(seconds=5)
WRITE_TIMEOUT_SECONDS = 20.0
CLOSING_SECONDS = 0.1


class TableWorkflow:
    """A table's workflow. It is started by the first write, so that a new installation needs no preparation."""

    def __init__(self, client: Client, workflow_id: str, task_queue: str) -> None:
        self._client, self._id, self._task_queue = client, workflow_id, task_queue

    async def since(self, known: Known) -> Delta:
        """What changed since a version; raises `TemporalUnavailable`."""
        with asking(f"reading {self._id}"):
            try:
                delta: Delta = await self._handle().query("since", known, result_type=Delta, rpc_timeout=READ_TIMEOUT)
            except RPCError as error:
                if is_absent(error):
                    return Delta(known=Known(), is_whole=True)  # nothing was ever written to this table
                raise
            return delta

    async def write(self, request: WriteRequest) -> WriteAnswer:
        """Makes the request's batches, each by itself; raises `TemporalUnavailable`."""
        with asking(f"writing {self._id}"):
            async with asyncio.timeout(WRITE_TIMEOUT_SECONDS):
                while True:
                    try:
                        return await self._write(request)
                    except RPCError as error:
                        # A run that is closing takes no update, and the next one does in a moment.
                        if error.status is not RPCStatusCode.RESOURCE_EXHAUSTED:
                            raise
                    await asyncio.sleep(CLOSING_SECONDS)

    async def _write(self, request: WriteRequest) -> WriteAnswer:
        try:
            return await self._update(request)
        except RPCError as error:
            if not is_absent(error):
                raise
        # An update that may start the workflow costs Temporal much more than a plain one: only the first needs it.
        try:
            return await self._update_with_start(request)
        except WorkflowAlreadyStartedError:
            # The table's last run was ended from outside (terminated): an empty one in its place would lose what
            # it kept. So it goes on from there.
            await self._revive()
            return await self._update(request)

    async def touch(self) -> None:
        """Has a worker load the table, if there is one; raises `TemporalUnavailable`.

        A worker that has only answered queries since its start replays the whole history for each: one workflow task
        makes it keep the table in memory.
        """
        with asking(f"writing {self._id}"):
            try:
                await self._update(WriteRequest())
            except RPCError as error:
                if not is_absent(error):
                    raise

    def _handle(self) -> WorkflowHandle[Any, Any]:
        return self._client.get_workflow_handle(self._id)

    async def _update(self, request: WriteRequest) -> WriteAnswer:
        async with asyncio.timeout(WRITE_TIMEOUT_SECONDS):
            answer: WriteAnswer = await self._handle().execute_update("write", request, result_type=WriteAnswer)
        return answer

    async def _update_with_start(self, request: WriteRequest) -> WriteAnswer:
        start: WithStartWorkflowOperation[Any, Any] = WithStartWorkflowOperation(
            names.CATALOGUE,
            CatalogueState(),
            id=self._id,
            task_queue=self._task_queue,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
            task_timeout=names.TASK_TIMEOUT,
            static_summary=names.CATALOGUE_SUMMARY,
        )
        try:
            async with asyncio.timeout(WRITE_TIMEOUT_SECONDS):
                answer: WriteAnswer = await self._client.execute_update_with_start_workflow(
                    "write", request, start_workflow_operation=start, result_type=WriteAnswer
                )
        except BaseException:
            # The operation keeps the error in a future of its own, of which asyncio complains unless it is looked at.
            with contextlib.suppress(Exception, asyncio.CancelledError):
                await start.workflow_handle()
            raise
        return answer

    async def _revive(self) -> None:
        state = await self._handle().query("state", result_type=CatalogueState, rpc_timeout=READ_TIMEOUT)
        await self._client.start_workflow(
            names.CATALOGUE,
            state,
            id=self._id,
            task_queue=self._task_queue,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
            task_timeout=names.TASK_TIMEOUT,
            static_summary=names.CATALOGUE_SUMMARY,
        )
