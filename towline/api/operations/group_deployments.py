"""What GetDeploymentGroup says of a group's deployments: the last one, the last that succeeded, and their revision."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from towline.api.revisions import revision_shown
from towline.api.service import Context
from towline.model.deployment.listed import DeploymentFilter, ListedDeployment
from towline.model.deployment.status import DeploymentStatus
from towline.model.group.group import DeploymentGroup

LOOKED_AT = 20
"""Among how many of the newest deployments one with a revision of its own is sought: rollbacks have none."""


async def last_deployments(context: Context, group: DeploymentGroup) -> dict[str, Any]:
    """The members `lastAttemptedDeployment`, `lastSuccessfulDeployment` and `targetRevision`, where there are any."""
    application, name = group.application_name, group.deployment_group_name
    succeeded = DeploymentFilter(application, name, statuses=(DeploymentStatus.SUCCEEDED.value,))
    newest = await context.deployments.list_deployments(DeploymentFilter(application, name), limit=LOOKED_AT)
    best = await context.deployments.list_deployments(succeeded, limit=1)
    members = {
        "lastAttemptedDeployment": _last(newest),
        "lastSuccessfulDeployment": _last(best),
        "targetRevision": await _revision(context, newest),
    }
    return {member: value for member, value in members.items() if value}


def _last(found: list[ListedDeployment]) -> Mapping[str, Any] | None:
    """CodeDeploy's LastDeploymentInfo of the first one."""
    if not found:
        return None
    times = {"createTime": found[0].start_time, "endTime": found[0].close_time}
    shown = {member: datetime.fromisoformat(time).timestamp() for member, time in times.items() if time}
    return {"deploymentId": found[0].deployment_id, "status": found[0].status, **shown}


async def _revision(context: Context, found: list[ListedDeployment]) -> Mapping[str, Any] | None:
    """The revision that was asked for last."""
    newest = next((one.deployment_id for one in found if not one.rollback_of), "")
    view = await context.deployments.view_if_any(newest) if newest else None
    if view is None or view.info.revision is None:
        return None
    return revision_shown(view.info.as_json()["revision"])
