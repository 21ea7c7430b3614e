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
    from towline.model.deployment.group_messages import join_queue
    from towline.model.deployment.state import DeploymentState
    from towline.model.deployment.status import DeploymentStatus, ErrorCode, Phase
    from workflows import calls

ASK_AGAIN = timedelta(seconds=60)
"""How often a deployment that waits asks for its turn, in case the signal that grants it was lost."""


async def wait_for_turn(state: DeploymentState) -> None:
    """Joins the group's queue, and returns when it is this deployment's turn."""
    state.enter(Phase.TURN, DeploymentStatus.QUEUED)
    publish(state)
    queue, request = state.queue, join_queue(state, handed_over_by=_handed_over_by(state))
    while not queue.is_active:
        answer = await attempt(state, call(calls.join_turn, request, TURN))
        if answer.refused:
            raise Ended(failure(ErrorCode.DEPLOYMENT_LIMIT, answer.refused))
        queue.answered(answer)
        publish(state)
        if not queue.is_active:
            await gate(state, lambda: queue.is_active or queue.has_news, timeout=ASK_AGAIN)
    queue.left()


def _handed_over_by(state: DeploymentState) -> str:
    """The deployment whose automatic rollback this is. A rollback that a person starts waits like any other."""
    parent, undo = workflow.info().parent, state.request.undo
    return undo.deployment_id if undo and parent and parent.workflow_id == undo.deployment_id else ""
