"""Queue: a group has one active deployment; the others wait for their turn, in order."""

from __future__ import annotations

from datetime import timedelta

from temporalio import workflow

from workflows.options import TURN
from workflows.publish import publish
from workflows.temporal_helpers import call
from workflows.waits import Ended, attempt, gate

with workflow.unsafe.imports_passed_through():
    from towline.model.deployment.ending import failure
    from towline.model.deployment.state import DeploymentState
    from towline.model.deployment.status import DeploymentStatus, ErrorCode, Phase
    from towline.model.messages.group import JoinQueue
    from workflows import calls

ASK_AGAIN = timedelta(seconds=60)
"""How often a deployment that waits asks for its turn, in case the signal that grants it was lost."""


async def wait_for_turn(state: DeploymentState) -> None:
    """Joins the group's queue, and returns when it is this deployment's turn."""
    state.enter(Phase.TURN, DeploymentStatus.QUEUED)
    publish(state)
    queue = state.queue
    while not queue.is_active:
        answer = await attempt(state, call(calls.join_turn, _turn_request(state), TURN))
        if answer.refused:
            raise Ended(failure(ErrorCode.DEPLOYMENT_LIMIT, answer.refused))
        queue.answered(answer)
        publish(state)
        if not queue.is_active:
            await gate(state, lambda: queue.is_active or queue.has_news, timeout=ASK_AGAIN)
    queue.left()


def _turn_request(state: DeploymentState) -> JoinQueue:
    return JoinQueue(
        application=state.group.application_name,
        group=state.group.deployment_group_name,
        group_id=state.group.deployment_group_id,
        deployment_id=state.deployment_id,
        run_id=state.run_id,
        if_busy=state.request.if_busy,
        handed_over_by=_handed_over_by(state),
        by=state.request.requested_by,
    )


def _handed_over_by(state: DeploymentState) -> str:
    """The deployment whose automatic rollback this is. A rollback that a person starts waits like any other."""
    parent, undo = workflow.info().parent, state.request.undo
    return undo.deployment_id if undo and parent and parent.workflow_id == undo.deployment_id else ""
