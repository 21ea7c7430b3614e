"""Whether a deployment can be what its group asks for: decided before anything is touched."""

from __future__ import annotations

from towline.errors import InvalidInput
from towline.model.deployment.status import ErrorCode
from towline.model.group.group import DeploymentGroup
from towline.model.group.needs import not_acted_on, not_built
from towline.model.messages.deploy import DeployRequest


def check_is_built(request: DeployRequest, group: DeploymentGroup) -> None:
    """Raises InvalidInput, naming the member and what to do, where the deployment needs what towline does not have.

    A rollback passes: it takes hosts back in the way in which they were deployed to, whatever the group became.
    """
    if request.undo:
        return
    members = not_built(group, request.override_alarm_configuration, request.ec2_deployment_options)
    if member := next(members, None):
        text = f"group {group.full_name}: {member.name}: {member.rule}."
        raise InvalidInput(text, member.hint, code=ErrorCode.NOT_BUILT)


def group_warnings(group: DeploymentGroup) -> tuple[str, ...]:
    """What CodeDeploy would do for this group besides, and towline does not."""
    return tuple(f"{member.name}: {member.rule}" for member in not_acted_on(group))
