"""What a request asks for: the group, the revision, the fleet. A preview asks for it as the deployment itself does."""

from __future__ import annotations

from towline.model.bundle.revision import ReadRevision, ResolvedRevision, RevisionLocation
from towline.model.deployment.lifecycle import IN_PLACE, events_for
from towline.model.deployment.status import Creator
from towline.model.group.group import DeploymentGroup
from towline.model.messages.deploy import DeploymentOrder, DeployRequest, ReadGroup
from towline.model.messages.fleet import ReadFleet


def group_question(request: DeployRequest) -> ReadGroup:
    """For the group as it is declared, and its configuration."""
    return ReadGroup(
        application=request.application_name,
        group=request.deployment_group_name,
        config_name=request.deployment_config_name,
    )


def revision_question(
    location: RevisionLocation, deployment_id: str, group: DeploymentGroup | None = None, *, strict: bool = False
) -> ReadRevision:
    """For a revision; GitHub's are read by the token and the address of the group."""
    return ReadRevision(
        location=location,
        deployment_id=deployment_id,
        git_hub_token=group.git_hub_token if group else None,
        git_hub_url=group.git_hub_url if group else None,
        strict=strict,
    )


def order_of(
    request: DeployRequest,
    group: DeploymentGroup,
    revision: ResolvedRevision | None,
    *,
    deployment_id: str,
    run_id: str,
) -> DeploymentOrder:
    """What is frozen for all instances."""
    return DeploymentOrder(
        deployment_id=deployment_id,
        run_id=run_id,
        application=group.application_name,
        group=group.deployment_group_name,
        group_id=group.deployment_group_id,
        creator=Creator.ROLLBACK if request.undo else Creator.USER,
        revision=revision,
        undo=request.undo,
        events=events_for(IN_PLACE),
        ignore_application_stop_failures=request.ignore_application_stop_failures,
        file_exists_behavior=request.file_exists_behavior or group.file_exists_behavior,
    )


def fleet_question(request: DeployRequest, group: DeploymentGroup, order: DeploymentOrder) -> ReadFleet:
    """For the instances: an undo's are those that it was given, failed ones first."""
    return ReadFleet(
        order=order,
        group=group,
        only=request.undo.instances if request.undo else None,
        first=request.undo.failed if request.undo else (),
        outdated_only=request.update_outdated_instances_only,
    )
