"""How a deployment ended, in words: numbers where CodeDeploy's sentences have none, and what helps."""

import pytest

from towline.model.deployment.describe_end import failure_reason, remedies, rollback_sentence
from towline.model.deployment.info import DeploymentInfo, ErrorInformation
from towline.model.deployment.status import DeploymentStatus, Outcome, Phase
from towline.model.messages.instance import Fault, InstanceOutcome
from towline.model.messages.view import DeploymentView, Progress, RollbackEnd


def failed(
    total: int, failures: list[InstanceOutcome], *, slots: int, succeeded: int = 0, **info: object
) -> DeploymentView:
    overview = {"Succeeded": succeeded, "Failed": len(failures), "Skipped": total - succeeded - len(failures)}
    every = {
        "deploymentId": "d-0",
        "applicationName": "shop",
        "deploymentGroupName": "production",
        "deploymentConfigName": "CodeDeployDefault.OneAtATime",
        "status": "Failed",
        "errorInformation": {"code": "HEALTH_CONSTRAINTS", "message": "CodeDeploy's sentence."},
        "deploymentOverview": overview,
        **info,
    }
    progress = Progress(
        phase=Phase.ENDED, total=total, slots=slots, minimum_healthy=total - slots, failures=tuple(failures)
    )
    return DeploymentView(info=DeploymentInfo.model_validate(every), progress=progress)


def dead(name: str) -> InstanceOutcome:
    return InstanceOutcome(
        instance=name, outcome=Outcome.UNREACHABLE, fault=Fault(code="Unreachable", message="no route to host")
    )


def broken(name: str) -> InstanceOutcome:
    return InstanceOutcome(instance=name, outcome=Outcome.FAILED, was_touched=True, message="exit code 1")


@pytest.mark.parametrize(
    ("view", "says"),
    [
        (
            failed(60, [broken(f"w-{n}") for n in range(6)], slots=6, succeeded=20),
            "6 of 60 instances failed, and CodeDeployDefault.OneAtATime wants 54 to stay healthy; 34 were not begun.",
        ),
        (failed(1, [broken("w-1")], slots=1), "The only instance failed."),
        (
            failed(
                4,
                [broken("w-1")],
                slots=1,
                succeeded=3,
                rollbackInfo={"rollbackTriggeringDeploymentId": "d-1"},
            ),
            "1 of 4 instances could not be brought back.",
        ),
        (
            failed(4, [], slots=1, errorInformation={"code": "TIMEOUT", "message": "took \x1b[31mlonger"}),
            "took [31mlonger",
        ),
    ],
)
def test_why_it_ended_has_numbers(view: DeploymentView, says: str) -> None:
    assert failure_reason(view) == says


def test_an_empty_group_says_which_filter_matched_nothing() -> None:
    error = ErrorInformation(code="NO_INSTANCES", message="CodeDeploy's sentence.")
    info = DeploymentInfo(deployment_id="d-0", status=DeploymentStatus.FAILED, error_information=error)
    view = DeploymentView(info=info, progress=Progress(selects="declared instances with role=web"))
    assert failure_reason(view) == "No instance is in the group: it selects declared instances with role=web."


def test_a_dead_host_that_used_up_the_configuration_names_it_and_two_commands() -> None:
    cause, *commands = remedies(failed(9, [dead("web-02")], slots=1))
    assert "lets 1 of 9 instances be out of service at once, and web-02 did not answer" in cause
    assert "the next deployment ends in the same way until it answers again" in cause
    assert "towline apply -f towline.yaml" in commands[0]
    assert "towline deploy shop production --revision … --config CodeDeployDefault.HalfAtATime" in commands[1]


@pytest.mark.parametrize(("total", "floor"), [(2, 0), (3, 1)])
def test_in_a_small_group_half_at_a_time_is_not_enough(total: int, floor: int) -> None:
    assert f"{{type: HOST_COUNT, value: {floor}}}" in remedies(failed(total, [dead("web-02")], slots=1))[-1]


@pytest.mark.parametrize(
    "view",
    [
        failed(9, [broken("web-02")], slots=1),
        failed(9, [dead("web-02"), broken("web-03")], slots=2),
        failed(9, [dead("web-02")], slots=1, errorInformation={"code": "MANUAL_STOP"}),
    ],
    ids=["a script failed", "one of them a script", "stopped"],
)
def test_what_failed_by_itself_has_no_such_way_out(view: DeploymentView) -> None:
    assert remedies(view) == []


def test_a_rollback_is_told_with_its_result() -> None:
    begun = failed(4, [broken("a")], slots=1, rollbackInfo={"rollbackDeploymentId": "d-2"})
    assert rollback_sentence(begun) == "Rollback d-2 has begun. Watch: towline status d-2 --watch"
    end = RollbackEnd(deployment_id="d-2", status=DeploymentStatus.FAILED, succeeded=2, total=3)
    over = begun.model_copy(update={"progress": begun.progress.model_copy(update={"rollback": end})})
    assert rollback_sentence(over) == "Rollback d-2 Failed: 2 of 3 instances are back."
    assert rollback_sentence(failed(4, [], slots=1)) == ""
