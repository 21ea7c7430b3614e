"""A deployment's messages to its group: joining the queue, leaving it, outcomes of instances. Pure."""

from __future__ import annotations

from towline.model.deployment.state import DeploymentState
from towline.model.group.queue import as_rolled_back
from towline.model.messages.group import GroupKey, JoinQueue, LeaveQueue, OutcomePage
from towline.model.messages.shard import ShardOutcome


def join_queue(state: DeploymentState, *, handed_over_by: str) -> JoinQueue:
    """Return the request to become the active deployment; `handed_over_by` is an automatic rollback's parent."""
    return JoinQueue(
        **_key(state),
        run_id=state.run_id,
        if_busy=state.request.if_busy,
        handed_over_by=handed_over_by,
        by=state.request.requested_by,
    )


def leave_queue(state: DeploymentState) -> LeaveQueue:
    """Return the message that lets the group's next deployment begin."""
    return LeaveQueue(
        **_key(state),
        status=state.status,
        revision=state.revision_label,
        sha256=state.sha256,
        is_undo=state.is_rollback,
        not_restored=state.not_restored if state.is_rollback else (),
    )


def outcome_page(state: DeploymentState, outcome: ShardOutcome) -> OutcomePage:
    """Return the outcomes of one shard's instances."""
    return OutcomePage(
        **_key(state),
        revision=state.revision_label,
        sha256=state.sha256,
        is_undo=state.is_rollback,
        results=as_rolled_back(outcome.results) if state.is_rollback else outcome.results,
        now=outcome.now,
    )


def _key(state: DeploymentState) -> GroupKey:
    group = state.group
    return GroupKey(
        application=group.application_name,
        group=group.deployment_group_name,
        group_id=group.deployment_group_id,
        deployment_id=state.deployment_id,
    )
