"""Rolling a deployment back: the request for it, automatic or a user's, and its result. Pure."""

from __future__ import annotations

from towline.model.deployment.ending import calls_for_rollback
from towline.model.deployment.state import DeploymentState
from towline.model.deployment.status import DeploymentStatus
from towline.model.messages.deploy import DeployRequest, Undo
from towline.model.messages.view import DeploymentView, RollbackEnd
from towline.model.names import rollback_label


def rollback_request(
    undo: Undo, application: str, group: str, config: str | None, *, requested_by: str = "", requested_from: str = ""
) -> DeployRequest:
    """The request that takes a deployment of this group back."""
    return DeployRequest(
        application_name=application,
        deployment_group_name=group,
        deployment_config_name=config,
        description=rollback_label(undo.deployment_id).capitalize(),
        undo=undo,
        requested_by=requested_by,
        requested_from=requested_from,
    )


def needs_rollback(state: DeploymentState) -> bool:
    """Whether a deployment that has ended is rolled back automatically."""
    if not state.rollout.touched:
        return False
    rollback = state.request.auto_rollback_configuration or state.group.auto_rollback_configuration
    return calls_for_rollback(state.status, rollback, state.stop, was_touched=True, is_rollback=state.is_rollback)


def automatic_rollback(state: DeploymentState) -> DeployRequest:
    """The request of a deployment's automatic rollback: the touched instances, failed ones first."""
    failed = set(state.rollout.failed_names)
    undo = Undo(
        deployment_id=state.deployment_id,
        run_id=state.run_id,
        instances=state.rollout.touched,
        failed=tuple(name for name in state.rollout.touched if name in failed),
        slots=state.rollout.slots,
    )
    group = state.group
    config = state.config.deployment_config_name
    return rollback_request(undo, group.application_name, group.deployment_group_name, config)


def end_of_rollback(state: DeploymentState, view: DeploymentView | None) -> tuple[RollbackEnd, tuple[str, ...]]:
    """How an automatic rollback has ended, and which instances it did not bring back.

    Without a view (it was ended from outside) no instance is known to be back.
    """
    assert state.rollback, "it was begun"
    if view is None:
        end = RollbackEnd(deployment_id=state.rollback.deployment_id, status=DeploymentStatus.STOPPED)
        return end, state.rollout.touched
    overview = view.info.deployment_overview
    end = RollbackEnd(
        deployment_id=state.rollback.deployment_id,
        status=view.info.status,
        complete_time=view.info.complete_time,
        succeeded=overview.succeeded if overview else 0,
        total=view.progress.total,
    )
    return end, view.progress.not_restored
