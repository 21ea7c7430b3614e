"""Rollout: one stage after the other (a zone each, or one for all), as long as nothing ends it."""

from __future__ import annotations

from datetime import timedelta

from temporalio import workflow

from workflows.publish import publish
from workflows.stage import run_stage
from workflows.waits import gate

with workflow.unsafe.imports_passed_through():
    from towline.model.deployment.state import DeploymentState
    from towline.model.deployment.status import DeploymentStatus, Phase
    from towline.model.rollout.zones import stages


async def roll_out(state: DeploymentState) -> None:
    """Deploys to the fleet; what it came to is in the state."""
    state.enter(Phase.ROLL_OUT, DeploymentStatus.IN_PROGRESS)
    publish(state)
    for stage in stages(state.config, state.rollout.members, use_zones=not state.is_rollback):
        await gate(state, lambda: not state.is_paused)
        state.rollout.tick(workflow.time(), counts=False)  # a pause does not run against the deployment's limit
        await run_stage(state, stage)
        if state.starts_nothing_more:
            return
        if stage.monitor_seconds:
            await _monitor(state, timedelta(seconds=stage.monitor_seconds))
        state.rollout.tick(workflow.time(), counts=True)


async def _monitor(state: DeploymentState, duration: timedelta) -> None:
    state.enter(Phase.ROLL_OUT, DeploymentStatus.BAKING)
    publish(state)
    await gate(state, lambda: False, timeout=duration)
    state.enter(Phase.ROLL_OUT, DeploymentStatus.IN_PROGRESS)
    publish(state)
