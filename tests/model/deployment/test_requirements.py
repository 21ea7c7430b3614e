"""What a deployment needs that is not built: found before anything is touched, and what is none is let pass."""

from __future__ import annotations

from typing import Any

import pytest

from towline.errors import InvalidInput
from towline.model.deployment.requirements import check_is_built, group_warnings
from towline.model.group.group import DeploymentGroup
from towline.model.messages.deploy import DeployRequest, Undo

GITHUB = {"revisionType": "GitHub", "gitHubLocation": {"repository": "o/shop", "commitId": "1a2b3c4"}}
NAMES = {"applicationName": "shop", "deploymentGroupName": "web"}
BALANCER = {"elbInfoList": [{"name": "web"}]}
WATCHED = {"enabled": True, "alarms": [{"name": "errors"}]}
SUSPENDED = {"autoScalingGroupProcessesToSuspend": ["Terminate"]}
CONTROL = {"deploymentOption": "WITH_TRAFFIC_CONTROL"}
BLUE_GREEN = {**CONTROL, "deploymentType": "BLUE_GREEN"}

CASES: list[tuple[str, dict[str, Any], dict[str, Any], str]] = [
    ("nothing is asked for", {}, {}, ""),
    ("blue/green", {"deploymentStyle": BLUE_GREEN}, {}, "deploymentStyle.deploymentType"),
    ("traffic control", {"deploymentStyle": CONTROL}, {}, "deploymentStyle.deploymentOption"),
    ("a balancer that is not used", {"loadBalancerInfo": BALANCER}, {}, ""),
    ("a blue/green block of an in-place group", {"blueGreenDeploymentConfiguration": {}}, {}, ""),
    ("alarms", {"alarmConfiguration": WATCHED}, {}, "alarmConfiguration"),
    ("alarms, disabled", {"alarmConfiguration": {**WATCHED, "enabled": False}}, {}, ""),
    ("alarms that may not be read", {"alarmConfiguration": {"ignorePollAlarmFailure": True}}, {}, ""),
    ("alarms, overridden", {"alarmConfiguration": WATCHED}, {"overrideAlarmConfiguration": {"enabled": False}}, ""),
    ("alarms of its own", {}, {"overrideAlarmConfiguration": WATCHED}, "overrideAlarmConfiguration"),
    ("processes", {"autoScalingGroups": ["a"], "ec2DeploymentOptions": SUSPENDED}, {}, "ec2DeploymentOptions"),
    ("processes of its own", {"autoScalingGroups": ["a"]}, {"ec2DeploymentOptions": SUSPENDED}, "ec2DeploymentOptions"),
    ("processes of no group", {"ec2DeploymentOptions": SUSPENDED}, {"ec2DeploymentOptions": SUSPENDED}, ""),
    (
        "processes, overridden",
        {"autoScalingGroups": ["a"], "ec2DeploymentOptions": SUSPENDED},
        {"ec2DeploymentOptions": {}},
        "",
    ),
    ("triggers", {"triggerConfigurations": [{"triggerName": "a"}]}, {}, ""),
]


@pytest.mark.parametrize(("group", "request_", "member"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_what_is_needed_and_not_built_is_named(group: dict[str, Any], request_: dict[str, Any], member: str) -> None:
    declared = DeploymentGroup.model_validate(NAMES | group)
    asked = DeployRequest.model_validate(NAMES | {"revision": GITHUB} | request_)
    if not member:
        check_is_built(asked, declared)
        return
    with pytest.raises(InvalidInput) as caught:
        check_is_built(asked, declared)
    assert caught.value.message.startswith(f"group shop/web: {member}: ")
    assert caught.value.hint, "the message says what to do"


def test_a_rollback_goes_on_whatever_the_group_became() -> None:
    declared = DeploymentGroup.model_validate(NAMES | {"deploymentStyle": BLUE_GREEN, "alarmConfiguration": WATCHED})
    check_is_built(DeployRequest.model_validate(NAMES | {"undo": Undo(deployment_id="d-1")}), declared)


def test_what_is_only_not_acted_on_is_a_warning() -> None:
    members = {
        "triggerConfigurations": [{"triggerName": "a"}],
        "autoScalingGroups": ["a"],
        "terminationHookEnabled": True,
    }
    warnings = group_warnings(DeploymentGroup.model_validate(NAMES | members))
    assert [warning.partition(":")[0] for warning in warnings] == list(members)
    assert group_warnings(DeploymentGroup.model_validate(NAMES)) == ()
