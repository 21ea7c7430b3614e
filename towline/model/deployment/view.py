"""Parts of CodeDeploy's DeploymentInfo that come from the request, and its sentences about rollbacks. Pure."""

from __future__ import annotations

from typing import Any

from towline.model.bundle.revision import RevisionLocation
from towline.model.deployment.info import DeploymentInfo
from towline.model.deployment.status import Creator
from towline.model.group.group import DeploymentGroup
from towline.model.messages.deploy import DeployRequest

GROUP_MEMBERS = (
    "auto_rollback_configuration",
    "deployment_style",
    "blue_green_deployment_configuration",
    "load_balancer_info",
    "ec2_deployment_options",
)
"""Fields of a DeploymentInfo that are as in the group, where the request has none of its own."""


def with_request(
    info: DeploymentInfo, request: DeployRequest | None, group: DeploymentGroup | None = None
) -> DeploymentInfo:
    """Fill what `info` does not say itself: from the request, else from the group.

    The request is None where it could not even be read, the group before it is read.
    """
    given = {name: getattr(group, name) for name in GROUP_MEMBERS} if group else {}
    if request:
        given |= _asked_for(request)
    if request and request.undo:
        given["creator"] = Creator.ROLLBACK
        triggering = {"rollback_triggering_deployment_id": request.undo.deployment_id}
        given["rollback_info"] = info.rollback_info.model_copy(update=triggering)
    said = {name for name in info.model_fields_set - {"rollback_info"} if getattr(info, name)}
    return info.model_copy(update={name: value for name, value in given.items() if name not in said})


def _asked_for(request: DeployRequest) -> dict[str, Any]:
    shared = DeploymentInfo.model_fields.keys() & DeployRequest.model_fields.keys()
    given = {name: getattr(request, name) for name in shared}
    return {name: value for name, value in given.items() if value is not None}


def location_of_label(label: str) -> RevisionLocation | None:
    """Return the location in a revision's label; None where it has none, such as that of a bundle in the store."""
    try:
        return RevisionLocation.parse(label) if label else None
    except ValueError:
        return None


def rollback_messages(failed: str, rollback: str) -> tuple[str, str]:
    """Return CodeDeploy's two sentences: the one on the failed deployment, and the one on its rollback.

    >>> rollback_messages("d-X", "d-Y")[1]
    'Deployment d-Y is triggered to roll back deployment d-X.'
    """
    return (
        f"Deployment {failed} terminated. Automatic rollback is triggered with a DeploymentId {rollback}.",
        f"Deployment {rollback} is triggered to roll back deployment {failed}.",
    )
