"""What a deployment looks like from outside, in CodeDeploy's shapes. Pure; words for people are in `describe.py`.

The Deployment workflow builds its view here; the client builds the instances' part from what
it reads (records in the store, heartbeats). Times are ISO 8601 text; who calls knows the clock.
"""

from __future__ import annotations

from typing import Any

from towline.model.bundle.revision import RevisionLocation
from towline.model.deployment.info import DeploymentInfo, DeploymentOverview, ErrorInformation, RollbackInfo
from towline.model.deployment.status import (
    Creator,
    DeploymentStatus,
)
from towline.model.group.group import DeploymentGroup
from towline.model.messages.deploy import DeployRequest

GROUP_MEMBERS = (
    "auto_rollback_configuration",
    "deployment_style",
    "blue_green_deployment_configuration",
    "load_balancer_info",
    "ec2_deployment_options",
)

# ── CodeDeploy's shapes ──────────────────────────────────────────────────────────────────────────────────────────


def deployment_info(
    request: DeployRequest | None,
    *,
    deployment_id: str,
    status: DeploymentStatus,
    create_time: str = "",
    start_time: str = "",
    complete_time: str = "",
    config_name: str = "",
    overview: DeploymentOverview | None = None,
    error: ErrorInformation | None = None,
    rollback_deployment_id: str = "",
    rollback_message: str = "",
    revision: RevisionLocation | None = None,
    previous_revision: str = "",
    group: DeploymentGroup | None = None,
) -> DeploymentInfo:
    """CodeDeploy's DeploymentInfo of what was asked for and what is known by now.

    Args:
        request: what was asked for; None where it could not even be read.
        deployment_id: its id.
        status: its status now.
        create_time: when it was accepted; `start_time`: when it began to deploy; `complete_time`: when it ended.
        config_name: the configuration in force (empty: the request's).
        overview: how many instances stand how; None before they are known.
        error: why it did not succeed.
        rollback_deployment_id: on a failed or stopped one, the deployment that takes it back.
        rollback_message: CodeDeploy's sentence, see `rollback_messages`.
        revision: as resolved; else the request's.
        previous_revision: label of what the group ran before; shown where a location can be read from it.
        group: the group as it was read; None before that.
    """
    asked = (_of_group(group) if group else {}) | (_asked_for(request) if request else {})
    undo = request.undo if request else None
    rollback = RollbackInfo(
        rollback_deployment_id=rollback_deployment_id,
        rollback_triggering_deployment_id=undo.deployment_id if undo else "",
        rollback_message=rollback_message,
    )
    known = {
        "deployment_config_name": config_name,
        "revision": revision,
        "previous_revision": _location_of_label(previous_revision),
    }
    return DeploymentInfo(
        deployment_id=deployment_id,
        status=status,
        error_information=error,
        create_time=create_time,
        start_time=start_time,
        complete_time=complete_time,
        creator=Creator.ROLLBACK if undo else Creator.USER,
        deployment_overview=overview,
        rollback_info=rollback,
        **asked | {name: value for name, value in known.items() if value},
    )


def rollback_messages(failed: str, rollback: str) -> tuple[str, str]:
    """CodeDeploy's two sentences: the one on the failed deployment, and the one on its rollback.

    >>> rollback_messages("d-X", "d-Y")[1]
    'Deployment d-Y is triggered to roll back deployment d-X.'
    """
    return (
        f"Deployment {failed} terminated. Automatic rollback is triggered with a DeploymentId {rollback}.",
        f"Deployment {rollback} is triggered to roll back deployment {failed}.",
    )


# ── inside ───────────────────────────────────────────────────────────────────────────────────────────────────────


def _of_group(group: DeploymentGroup) -> dict[str, Any]:
    """The fields of a DeploymentInfo that are as in the group, where the request has none of its own."""
    return {name: getattr(group, name) for name in GROUP_MEMBERS}


def _asked_for(request: DeployRequest) -> dict[str, Any]:
    """The fields of a DeploymentInfo that are as in the request."""
    shared = DeploymentInfo.model_fields.keys() & DeployRequest.model_fields.keys()
    given = {name: getattr(request, name) for name in shared}
    return {name: value for name, value in given.items() if value is not None}


def _location_of_label(label: str) -> RevisionLocation | None:
    try:
        return RevisionLocation.parse(label) if label else None
    except ValueError:
        return None  # a label of ours (a bundle in the store) is no location
