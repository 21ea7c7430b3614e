"""One deployment's workflow as Temporal holds it: whether it is open, its view, how it ended, how it was requested.

A deployment is a workflow whose id is the deployment id. Errors of Temporal's client are raised as towline's.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from temporalio.client import (
    Client,
    WorkflowContinuedAsNewError,
    WorkflowExecutionDescription,
    WorkflowExecutionStatus,
    WorkflowFailureError,
    WorkflowHandle,
)
from temporalio.exceptions import ApplicationError, TerminatedError
from temporalio.service import RPCError

from towline import errors
from towline.deployments.final_view import checked_view, view_from_outside, view_of_failure
from towline.model import names
from towline.model.deployment.memo import DeploymentMemo
from towline.model.messages.deploy import DeployRequest
from towline.model.messages.view import DeploymentView
from towline.temporal import asking, is_absent

QUERY_TIMEOUT = timedelta(seconds=5)

FROM_OUTSIDE = (WorkflowExecutionStatus.TERMINATED, WorkflowExecutionStatus.TIMED_OUT, WorkflowExecutionStatus.CANCELED)
"""How a deployment ends that could not tell itself."""


class DeploymentHandle:
    """Reads one deployment's workflow. Every method raises `TemporalUnavailable` where Temporal does not answer."""

    def __init__(self, client: Client, deployment_id: str) -> None:
        self.deployment_id = deployment_id
        self._client = client

    async def describe(self) -> WorkflowExecutionDescription | None:
        """Return Temporal's description of the newest run; None where it knows no workflow of this id."""
        with asking(f"looking for {self.deployment_id}"):
            try:
                return await self._client.get_workflow_handle(self.deployment_id).describe(rpc_timeout=QUERY_TIMEOUT)
            except RPCError as error:
                if is_absent(error):
                    return None
                raise

    async def exists(self) -> bool:
        """Return whether Temporal knows a workflow of this id."""
        return await self.describe() is not None

    async def is_deployment(self) -> bool:
        """Return whether Temporal knows a deployment of this id."""
        description = await self.describe()
        return description is not None and description.workflow_type == names.DEPLOYMENT

    async def is_open(self) -> bool:
        """Return whether the workflow still runs: a failed deployment stays open while its rollback runs."""
        return _is_running(await self.describe())

    async def run_id(self) -> str:
        """Return the first execution run id, by which hosts know the deployment; empty: Temporal has forgotten it."""
        description = await self.describe()
        return description.raw_description.workflow_execution_info.first_run_id if description else ""

    async def view(self) -> DeploymentView | None:
        """Return the view: of an open deployment by query, of a closed one from how it ended; None: there is none.

        Raises `TemporalUnavailable` also where no worker answers for an open one.
        """
        description = await self.describe()
        if description is None or description.workflow_type != names.DEPLOYMENT:
            return None
        if not _is_running(description):
            return await self.result()
        try:
            return await self.query()
        except errors.NotFound:
            return None

    async def memo(self) -> DeploymentMemo | None:
        """Return what Temporal answers without a worker; None: it knows no such deployment, or only `view` tells more.

        The memo of a deployment that was ended from outside cannot tell how it ended.
        """
        description = await self.describe()
        if description is None or description.status in FROM_OUTSIDE or description.workflow_type != names.DEPLOYMENT:
            return None
        memo = DeploymentMemo.read(await description.memo())
        if memo and not memo.info.create_time:  # no worker has begun with it yet
            info = memo.info.model_copy(update={"create_time": description.start_time.isoformat()})
            return memo.model_copy(update={"info": info})
        return memo

    async def query(self) -> DeploymentView:
        """Return the view of an open deployment. Raises `NotFound` where it is not open."""
        handle = self._client.get_workflow_handle(self.deployment_id)
        with asking(f"asking {self.deployment_id} for its status"):
            view: DeploymentView = await handle.query(
                names.STATUS, result_type=DeploymentView, rpc_timeout=QUERY_TIMEOUT
            )
        return view

    async def result(self) -> DeploymentView:
        """Wait for the end by long poll, and return the final view. Raises `NotFound`."""
        handle = self._client.get_workflow_handle(self.deployment_id, result_type=DeploymentView)
        with asking(f"waiting for {self.deployment_id}"):
            try:
                return checked_view(await handle.result())
            except WorkflowFailureError as error:
                if isinstance(error.cause, TerminatedError) and await self.is_open():  # reset: another run goes on
                    return await self.result()
                if isinstance(error.cause, ApplicationError):
                    return view_of_failure(self.deployment_id, error.cause)
                return view_from_outside(self.deployment_id, error.cause, await self.request())
            except WorkflowContinuedAsNewError:  # never ours; some other workflow of this id
                raise errors.NotFound(f"{self.deployment_id} is no deployment.", "See: towline list") from None

    async def request(self, run_id: str | None = None) -> DeployRequest | None:
        """Return what was requested, from the first event of a run; None where that was no valid request."""
        handle: WorkflowHandle[Any, Any] = self._client.get_workflow_handle(self.deployment_id, run_id=run_id)
        with asking(f"reading how {self.deployment_id} was started"):
            async for event in handle.fetch_history_events(page_size=1):
                payloads = event.workflow_execution_started_event_attributes.input.payloads
                values = await self._client.data_converter.decode(payloads) if payloads else []
                try:
                    return DeployRequest.model_validate(values[0]) if values else None
                except ValueError:
                    return None
        return None


def _is_running(description: WorkflowExecutionDescription | None) -> bool:
    return description is not None and description.status == WorkflowExecutionStatus.RUNNING
