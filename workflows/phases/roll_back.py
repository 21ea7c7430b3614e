"""Automatic rollback: a deployment of its own takes the touched instances back to what they ran before."""

from __future__ import annotations

from temporalio import workflow
from temporalio.exceptions import ApplicationError, ChildWorkflowError

from workflows.publish import publish

with workflow.unsafe.imports_passed_through():
    from towline.model import names
    from towline.model.deployment.rollback import automatic_rollback, end_of_rollback
    from towline.model.deployment.state import DeploymentState
    from towline.model.deployment.status import Phase
    from towline.model.messages.view import DeploymentView


async def roll_back(state: DeploymentState) -> None:
    """Starts the rollback and waits for its end."""
    state.enter(Phase.ROLL_BACK, state.status)
    state.begin_rollback(_new_deployment_id())
    publish(state)
    view = await _run_rollback(state)
    state.end_rollback(*end_of_rollback(state, view))
    publish(state)


async def _run_rollback(state: DeploymentState) -> DeploymentView | None:
    """The view with which the rollback has ended, well or badly; None where it was ended from outside."""
    assert state.rollback, "it was begun"
    request = automatic_rollback(state)
    try:
        view: DeploymentView = await workflow.execute_child_workflow(
            names.DEPLOYMENT,
            request.model_dump(mode="json", by_alias=True, exclude_none=True),
            id=state.rollback.deployment_id,
            # Whatever becomes of this workflow, the fleet is taken back.
            parent_close_policy=workflow.ParentClosePolicy.ABANDON,
            task_timeout=names.TASK_TIMEOUT,
            result_type=DeploymentView,
            static_summary=names.rollback_label(state.deployment_id),
        )
    except ChildWorkflowError as error:
        details = error.cause.details if isinstance(error.cause, ApplicationError) else ()
        return DeploymentView.model_validate(details[0]) if details else None
    return view


def _new_deployment_id() -> str:
    """CodeDeploy's form, `d-` and nine of A-Z and 0-9, from the workflow's own random numbers."""
    return "d-" + "".join(workflow.random().choices("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", k=9))
