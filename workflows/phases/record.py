"""Record: tells the group how instances ended, writes the report, leaves the queue."""

from __future__ import annotations

import asyncio

from temporalio import workflow
from temporalio.exceptions import ActivityError

from workflows.options import RECORD, TURN
from workflows.publish import publish
from workflows.temporal_helpers import call

with workflow.unsafe.imports_passed_through():
    from towline.model.deployment.state import DeploymentState
    from towline.model.deployment.state_view import record_of
    from towline.model.deployment.status import Phase
    from towline.model.group.queue import as_rolled_back
    from towline.model.messages.group import LeaveQueue, OutcomePage
    from towline.model.messages.shard import ShardOutcome
    from workflows import calls


async def record_outcomes(state: DeploymentState) -> None:
    """Tells the group how the instances ended, and writes the report."""
    await asyncio.gather(_tell_the_group(state), write_report(state))


async def _tell_the_group(state: DeploymentState) -> None:
    for outcome in state.rollout.outcomes:  # one message a shard: none grows with the fleet
        await call(calls.record_outcomes, _outcome_page(state, outcome), TURN)


async def write_report(state: DeploymentState) -> None:
    """Writes the report. Without a store for an hour the deployment ends without it, and says so."""
    if not state.request_if_valid:
        return
    phase = state.phase
    state.enter(Phase.RECORD, state.status)
    publish(state)
    try:
        written = await call(calls.write_report, record_of(state), RECORD)
        state.report = written.address or written.key
    except ActivityError as error:
        state.warnings.append(f"the report could not be written: {error.cause}")
    state.phase = phase


async def leave_queue(state: DeploymentState) -> None:
    """Lets the group's next deployment go on."""
    if state.facts:
        await call(calls.leave_turn, _turn_end(state), TURN)
    state.enter(Phase.ENDED, state.status)
    publish(state)


def _turn_end(state: DeploymentState) -> LeaveQueue:
    return LeaveQueue(
        application=state.group.application_name,
        group=state.group.deployment_group_name,
        group_id=state.group.deployment_group_id,
        deployment_id=state.deployment_id,
        status=state.status,
        revision=state.revision_label,
        sha256=state.sha256,
        is_undo=state.is_rollback,
        not_restored=state.not_restored if state.is_rollback else (),
    )


def _outcome_page(state: DeploymentState, outcome: ShardOutcome) -> OutcomePage:
    return OutcomePage(
        application=state.group.application_name,
        group=state.group.deployment_group_name,
        group_id=state.group.deployment_group_id,
        deployment_id=state.deployment_id,
        revision=state.revision_label,
        sha256=state.sha256,
        is_undo=state.is_rollback,
        results=as_rolled_back(outcome.results) if state.is_rollback else outcome.results,
        now=outcome.now,
    )
