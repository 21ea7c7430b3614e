"""Record: tells the group how instances ended, writes the report, leaves the queue."""

from __future__ import annotations

import asyncio

from temporalio import workflow
from temporalio.exceptions import ActivityError

from workflows.options import RECORD, TURN
from workflows.publish import publish
from workflows.temporal_helpers import call

with workflow.unsafe.imports_passed_through():
    from towline.model.deployment import group_messages
    from towline.model.deployment.state import DeploymentState
    from towline.model.deployment.state_view import record_of
    from towline.model.deployment.status import Phase
    from workflows import calls


async def record_outcomes(state: DeploymentState) -> None:
    """Tells the group how the instances ended, and writes the report."""
    await asyncio.gather(_tell_the_group(state), write_report(state))


async def _tell_the_group(state: DeploymentState) -> None:
    for outcome in state.rollout.outcomes:  # one message a shard: none grows with the fleet
        await call(calls.record_outcomes, group_messages.outcome_page(state, outcome), TURN)


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
        await call(calls.leave_turn, group_messages.leave_queue(state), TURN)
    state.enter(Phase.ENDED, state.status)
    publish(state)
