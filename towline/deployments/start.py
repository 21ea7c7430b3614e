"""Starting a deployment, or attaching to the one of the same id that has the same parameters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from temporalio.client import Client, WorkflowExecutionDescription
from temporalio.common import (
    SearchAttributeKey,
    SearchAttributePair,
    TypedSearchAttributes,
    WorkflowIDConflictPolicy,
    WorkflowIDReusePolicy,
)
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from towline import errors
from towline.deployments.handle import DeploymentHandle
from towline.model import names
from towline.model.bundle.revision import shortened
from towline.model.deployment.info import DeploymentInfo
from towline.model.deployment.request import fingerprint
from towline.model.deployment.status import DeploymentStatus
from towline.model.deployment.view import with_request
from towline.model.deployment.web_ui import steering_page
from towline.model.messages.deploy import DeployRequest
from towline.temporal import asking

if TYPE_CHECKING:
    from towline.model.deployment.report import DeploymentReport

MEMO_REQUEST = "towlineRequest"


@dataclass(frozen=True)
class StartedDeployment:
    """A deployment that runs, or has run, under this id; `attached`: it was there already, with the same parameters."""

    deployment_id: str
    attached: bool


async def start(
    client: Client, request: DeployRequest, deployment_id: str, *, task_queue: str = names.TASK_QUEUE
) -> StartedDeployment:
    """Start a deployment, or attach to the one of this id that has the same parameters.

    Raises:
        Conflict: the id is taken by a deployment with other parameters, or by another kind of workflow.
        TemporalUnavailable: Temporal does not answer.
    """
    try:
        with asking(f"starting {deployment_id}"):
            await _start_workflow(client, request, deployment_id, task_queue)
    except WorkflowAlreadyStartedError:
        await _check_same(client, request, deployment_id)
        return StartedDeployment(deployment_id, attached=True)
    return StartedDeployment(deployment_id, attached=False)


def conflict(deployment_id: str, see: str) -> errors.Conflict:
    """Return the error of an id whose deployment has other parameters; `see` is the command that shows it."""
    return errors.Conflict(
        f"deployment {deployment_id} already exists with different parameters.",
        f"See it with: towline {see} {deployment_id}   or leave --id out.",
    )


def is_same_request(report: DeploymentReport, request: DeployRequest) -> bool:
    """Return whether a report is of this request: the same rule as for a deployment that Temporal knows."""
    return report.request_fingerprint == fingerprint(request)


async def _start_workflow(client: Client, request: DeployRequest, deployment_id: str, task_queue: str) -> None:
    options: dict[str, Any] = {
        "id": deployment_id,
        "task_queue": task_queue,
        "id_conflict_policy": WorkflowIDConflictPolicy.FAIL,
        "id_reuse_policy": WorkflowIDReusePolicy.REJECT_DUPLICATE,
        "task_timeout": names.TASK_TIMEOUT,
        "memo": {
            MEMO_REQUEST: fingerprint(request),
            names.MEMO_BY: request.requested_by,
            names.MEMO_INFO: _first_info(request, deployment_id).as_json(),
        },
        "static_summary": _summary(request),
        "static_details": steering_page(deployment_id, request.description),
    }
    plain = request.model_dump(mode="json", by_alias=True, exclude_none=True)
    try:
        await client.start_workflow(names.DEPLOYMENT, plain, search_attributes=_search_attributes(request), **options)
    except RPCError as error:
        # No worker has registered the search attributes yet: the first one will, and the workflow sets them.
        if error.status != RPCStatusCode.INVALID_ARGUMENT or "search attribute" not in error.message.lower():
            raise
        await client.start_workflow(names.DEPLOYMENT, plain, **options)


async def _check_same(client: Client, request: DeployRequest, deployment_id: str) -> None:
    handle = DeploymentHandle(client, deployment_id)
    description = await handle.describe()
    if description is None or description.workflow_type != names.DEPLOYMENT:
        raise errors.Conflict(
            f"the id {deployment_id} belongs to another workflow.", "Choose another --id, or leave it out."
        )
    if await _fingerprint_of(handle, description) != fingerprint(request):
        raise conflict(deployment_id, "status")


async def _fingerprint_of(handle: DeploymentHandle, description: WorkflowExecutionDescription) -> str:
    """The fingerprint of what a deployment was started with; empty where that was no valid request."""
    memo = await description.memo()
    if MEMO_REQUEST in memo:
        return str(memo[MEMO_REQUEST])
    request = await handle.request(description.run_id)
    return fingerprint(request) if request else ""


def _first_info(request: DeployRequest, deployment_id: str) -> DeploymentInfo:
    """What can be said before a worker has begun with it."""
    return with_request(DeploymentInfo(deployment_id=deployment_id, status=DeploymentStatus.CREATED), request)


def _summary(request: DeployRequest) -> str:
    what = names.rollback_label(request.undo.deployment_id) if request.undo else "no revision"
    if request.revision:
        what = shortened(request.revision.label)
    return f"{request.application_name}/{request.deployment_group_name} · {what}"


def _search_attributes(request: DeployRequest) -> TypedSearchAttributes:
    values = {
        names.SEARCH_APPLICATION: request.application_name,
        names.SEARCH_GROUP: request.deployment_group_name,
        names.SEARCH_STATUS: DeploymentStatus.CREATED.value,
    }
    pairs = [SearchAttributePair(SearchAttributeKey.for_keyword(name), value) for name, value in values.items()]
    return TypedSearchAttributes(pairs)
