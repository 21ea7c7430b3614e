"""The final view of a deployment, from how its workflow ended: well, badly, or from outside."""

from __future__ import annotations

from typing import Any

from temporalio.exceptions import ApplicationError

from towline.model.deployment.info import DeploymentInfo, ErrorInformation
from towline.model.deployment.status import DeploymentStatus, ErrorCode, Phase, deployment_error
from towline.model.deployment.view import with_request
from towline.model.messages.deploy import DeployRequest
from towline.model.messages.view import DeploymentView, Progress


def checked_view(value: Any) -> DeploymentView:
    """A view as it came through Temporal; raises ValueError where it is none."""
    return value if isinstance(value, DeploymentView) else DeploymentView.model_validate(value)


def view_of_failure(deployment_id: str, cause: ApplicationError) -> DeploymentView:
    """The view that a failed or stopped deployment carries."""
    if cause.details:
        try:
            return checked_view(cause.details[0])
        except ValueError:
            pass
    error = ErrorInformation(code=deployment_error(cause.type or ""), message=cause.message)
    info = DeploymentInfo(deployment_id=deployment_id, status=DeploymentStatus.FAILED, error_information=error)
    return DeploymentView(info=info, progress=Progress(phase=Phase.ENDED, is_whole=True))


def view_from_outside(deployment_id: str, cause: BaseException | None, request: DeployRequest | None) -> DeploymentView:
    """What can be said of a deployment that was terminated: it could not write a last word itself.

    Nothing more was done for the instances that were in flight, so the fleet is not whole; what was asked for is
    known, so that `towline rollback` can still take it back.
    """
    message = f"ended from outside: {getattr(cause, 'message', '') or cause}"
    error = ErrorInformation(code=ErrorCode.INTERNAL_ERROR, message=message)
    info = DeploymentInfo(deployment_id=deployment_id, status=DeploymentStatus.STOPPED, error_information=error)
    return DeploymentView(info=with_request(info, request), progress=Progress(phase=Phase.ENDED, is_whole=False))
