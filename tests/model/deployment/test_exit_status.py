"""Every exit status that a finished deployment can have."""

from dataclasses import dataclass, field

import pytest

from towline.model.deployment.exit_status import ExitStatus, exit_status
from towline.model.deployment.info import DeploymentInfo, ErrorInformation
from towline.model.deployment.status import DeploymentStatus
from towline.model.messages.view import DeploymentView, Progress


@dataclass(frozen=True)
class Case:
    says: str
    status: str
    exits: int
    code: str = ""
    progress: Progress = field(default_factory=Progress)


CASES = [
    Case("succeeded", "Succeeded", 0),
    Case("succeeded although the last instance failed", "Succeeded", 0, progress=Progress(is_whole=False, touched=3)),
    Case("failed before anything was touched", "Failed", 1, code="HEALTH_CONSTRAINTS_INVALID"),
    Case("an AppSpec that was refused", "Failed", 2, "INVALID_REVISION"),
    Case("failed and taken back", "Failed", 1, code="HEALTH_CONSTRAINTS", progress=Progress(touched=4)),
    Case("failed, no rollback asked for", "Failed", 4, "HEALTH_CONSTRAINTS", Progress(touched=4, is_whole=False)),
    Case(
        "failed, rollback left a host unrestored", "Failed", 4, "HEALTH_CONSTRAINTS", Progress(not_restored=("web-03",))
    ),
    Case("stopped", "Stopped", 3, "MANUAL_STOP"),
    Case("stopped, some have the new and some the old", "Stopped", 3, "MANUAL_STOP", Progress(is_whole=False)),
    Case("stopped, rollback left a host unrestored", "Stopped", 4, "MANUAL_STOP", Progress(not_restored=("web-03",))),
    Case("a request that breaks a rule", "Failed", 2, "InvalidRequest"),
    Case("an application that nobody declared", "Failed", 2, "APPLICATION_MISSING"),
    Case("a group that nobody declared", "Failed", 2, "DEPLOYMENT_GROUP_MISSING"),
    Case("a configuration that nobody declared", "Failed", 2, "DeploymentConfigDoesNotExistException"),
    Case("the group is busy and ifBusy is fail", "Failed", 1, "DeploymentLimitExceededException"),
    Case("still running: sight was lost", "InProgress", 5),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.says)
def test_exit_status(case: Case) -> None:
    error = ErrorInformation(code=case.code) if case.code else None
    info = DeploymentInfo(deployment_id="d-1", status=DeploymentStatus(case.status), error_information=error)
    assert exit_status(DeploymentView(info=info, progress=case.progress)) == case.exits


def test_let_go_is_what_a_shell_expects_of_an_interrupt() -> None:
    assert int(ExitStatus.LET_GO) == 130
