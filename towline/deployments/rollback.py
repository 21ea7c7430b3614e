"""Which deployments can be rolled back by a person, and the request that does it: undo on each instance it touched."""

from __future__ import annotations

from collections.abc import Sequence

from towline import errors
from towline.creator import Who
from towline.model.deployment import rollback as model
from towline.model.deployment.describe import names
from towline.model.deployment.status import Creator
from towline.model.messages.deploy import DeployRequest, Undo
from towline.model.messages.view import DeploymentView


def check_can_roll_back(view: DeploymentView, *, is_open: bool) -> None:
    """Raise `Conflict` for a deployment that is open or touched nothing, `InvalidInput` for one that is a rollback."""
    deployment_id = view.info.deployment_id
    if is_open:
        raise errors.Conflict(
            f"{deployment_id} has not ended yet.", f"End it with: towline stop {deployment_id} --rollback"
        )
    if view.info.creator is Creator.ROLLBACK:
        raise errors.InvalidInput(
            f"{deployment_id} is a rollback itself.",
            "Deploy the revision that is wanted: towline deploy APP GROUP --revision …",
        )
    if not view.progress.touched and view.progress.is_whole:
        raise errors.Conflict(
            f"{deployment_id} touched no instance: there is nothing to take back.", "See: towline list"
        )


def check_still_runs(view: DeploymentView, followers: Sequence[DeploymentView | None]) -> None:
    """Raise `Conflict` where others have followed on every instance.

    `followers` are the last deployments of the group's instances; empty or None: not known, and left to the hosts,
    whose journals know. They would refuse what must not be undone, but then be left incomplete.
    """
    if not followers or not all(_is_later(one, view) for one in followers):
        return
    info = view.info
    group = info.full_name
    ids = [one.info.deployment_id for one in followers if one]
    raise errors.Conflict(
        f"{info.deployment_id} is not what runs in {group} any more: {names(ids)} followed it on every instance.",
        f"Take that back first, or deploy the revision that is wanted: towline deploy {group.replace('/', ' ')} "
        "--revision …",
    )


def rollback_request(view: DeploymentView, run_id: str, by: Who) -> DeployRequest:
    """Return the request that rolls a deployment back, failed instances first, as many at once as it had itself."""
    info = view.info
    deployment_id = info.deployment_id
    undo = Undo(
        deployment_id=deployment_id,
        run_id=run_id,
        failed=tuple(failure.instance for failure in view.progress.failures),
        slots=view.progress.slots,
    )
    return model.rollback_request(
        undo,
        info.application_name,
        info.deployment_group_name,
        info.deployment_config_name or None,
        requested_by=by.name,
        requested_from=by.run,
    )


def _is_later(other: DeploymentView | None, view: DeploymentView) -> bool:
    """Whether it began after the view's, and was no try to take that back, which may be tried again.

    A group learns of a deployment that was terminated a moment later, and until then remembers those before it.
    """
    began = view.info.create_time
    if other is None or not began or other.info.create_time <= began:
        return False
    return other.info.undoes != view.info.deployment_id
