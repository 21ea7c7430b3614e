"""Plan: freezes the instances, their state and their order, and how many may be out of service."""

from __future__ import annotations

from temporalio import workflow

from workflows.options import READ
from workflows.publish import publish
from workflows.temporal_helpers import call
from workflows.waits import Ended, attempt

with workflow.unsafe.imports_passed_through():
    from towline.model.deployment.activity_inputs import fleet_question, order_of
    from towline.model.deployment.ending import why_not_begun
    from towline.model.deployment.state import DeploymentState
    from towline.model.deployment.status import DeploymentStatus, Phase
    from towline.model.rollout.health import floor_of, slots_of
    from workflows import calls


async def plan(state: DeploymentState) -> None:
    """Reads the fleet; ends the deployment where no instance of it may be deployed to."""
    state.enter(Phase.PLAN, DeploymentStatus.IN_PROGRESS)
    publish(state)
    request = state.request
    order = order_of(request, state.group, state.revision, deployment_id=state.deployment_id, run_id=state.run_id)
    fleet = await attempt(state, call(calls.read_fleet, fleet_question(request, state.group, order), READ))
    rule, hosts = state.config.minimum_healthy_hosts, len(fleet.members)
    state.take_fleet(
        fleet,
        floor=floor_of(rule, hosts),
        slots=slots_of(rule, hosts, request.undo),
        now=workflow.now(),
        time=workflow.time(),
    )
    if ending := why_not_begun(rule, hosts, is_rollback=state.is_rollback):
        raise Ended(ending)
