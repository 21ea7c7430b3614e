"""The final view of deployments that ended badly, or from outside."""

from __future__ import annotations

from temporalio.exceptions import ApplicationError, TerminatedError

from tests.deployments.requests import request
from towline.deployments.final_view import view_from_outside, view_of_failure
from towline.model.deployment.exit_status import exit_status
from towline.model.deployment.info import DeploymentInfo
from towline.model.deployment.status import DeploymentStatus
from towline.model.messages.view import DeploymentView, Progress


def test_a_deployment_that_was_terminated_can_still_be_named_and_taken_back() -> None:
    view = view_from_outside("d-1", TerminatedError("by hand"), request())
    assert view.info.status == "Stopped"
    assert view.info.application_name == "shop"
    assert "by hand" in view.info.error_message
    assert exit_status(view) == 3


def test_a_failed_deployment_carries_its_view() -> None:
    info = DeploymentInfo(deployment_id="d-1", status=DeploymentStatus.FAILED)
    told = DeploymentView(info=info, progress=Progress(is_whole=False))
    failed = ApplicationError("m", told.model_dump(mode="json"), type="DeploymentFailed")
    assert view_of_failure("d-1", failed) == told
