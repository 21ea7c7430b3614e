"""A group's members in calls: CodeDeploy's code and sentence for each mistake, and the same members back."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from towline.api.errors import ApiError
from towline.api.operations.group_members import checked_group, given_members
from towline.api.operations.groups import record_of, shown
from towline.api.service_model import operations
from towline.model.catalogue.changes import diff
from towline.model.catalogue.records import Record
from towline.model.group.group import DeploymentGroup
from towline.model.manifest.export import as_yaml, manifest_of
from towline.model.manifest.parser import parse_manifest

NAMES = {"applicationName": "shop", "deploymentGroupName": "web"}
BALANCER = {"elbInfoList": [{"name": "web"}]}
CONTROL = {"deploymentType": "IN_PLACE", "deploymentOption": "WITH_TRAFFIC_CONTROL"}
BLUE_GREEN = {"deploymentType": "BLUE_GREEN", "deploymentOption": "WITH_TRAFFIC_CONTROL"}
KEEP = {"action": "KEEP_ALIVE"}
CONTINUE = {"actionOnTimeout": "CONTINUE_DEPLOYMENT"}
STYLE = "InvalidDeploymentStyleException"
BALANCERS = "InvalidLoadBalancerInfoException"
COLOURS = "InvalidBlueGreenDeploymentConfigurationException"
ALARMS = "InvalidAlarmConfigException"
TRIGGERS = "InvalidTriggerConfigException"
PROCESSES = "InvalidAutoScalingGroupProcessToSuspendException"


def topic(name: str) -> str:
    return f"arn:aws:sns:eu-west-1:123456789012:{name}"


def trigger(name: str = "all", **members: Any) -> dict[str, Any]:
    return {"triggerName": name, "triggerTargetArn": topic(name), "triggerEvents": ["DeploymentStart"], **members}


def colours(ready: dict[str, Any] | None, terminate: dict[str, Any] | None) -> dict[str, Any]:
    both = {"deploymentReadyOption": ready, "terminateBlueInstancesOnDeploymentSuccess": terminate}
    return {"blueGreenDeploymentConfiguration": {name: value for name, value in both.items() if value is not None}}


def alarms(*names: str, enabled: bool = True) -> dict[str, Any]:
    return {"alarmConfiguration": {"enabled": enabled, "alarms": [{"name": name} for name in names]}}


WEB = [{"Key": "role", "Value": "web", "Type": "KEY_AND_VALUE"}]
BOTH = "only one of these data types can be used in a single call"

MISTAKES: list[tuple[str, str, dict[str, Any]]] = [
    ("InvalidAutoRollbackConfigException", "at least one event", {"autoRollbackConfiguration": {"enabled": True}}),
    ("InvalidEC2TagException", "key-only filters", {"ec2TagFilters": [{**WEB[0], "Type": "KEY_ONLY"}]}),
    (
        "InvalidTagException",
        "value-only",
        {"onPremisesTagSet": {"onPremisesTagSetList": [[{**WEB[0], "Type": "VALUE_ONLY"}]]}},
    ),
    ("InvalidEC2TagCombinationException", BOTH, {"ec2TagFilters": WEB, "ec2TagSet": {"ec2TagSetList": [WEB]}}),
    (
        "InvalidOnPremisesTagCombinationException",
        BOTH,
        {"onPremisesInstanceTagFilters": WEB, "onPremisesTagSet": {"onPremisesTagSetList": [WEB]}},
    ),
    ("TagSetListLimitExceededException", "3", {"onPremisesTagSet": {"onPremisesTagSetList": [WEB] * 4}}),
    (STYLE, "deploymentType", {"deploymentStyle": {"deploymentType": "GREEN_BLUE"}}),
    (STYLE, "not supported with WITHOUT_TRAFFIC_CONTROL", {"deploymentStyle": {"deploymentType": "BLUE_GREEN"}}),
    (BALANCERS, "no load balancer or target group has been specified", {"deploymentStyle": CONTROL}),
    (BALANCERS, "no load balancer", {"deploymentStyle": CONTROL, "loadBalancerInfo": {"elbInfoList": []}}),
    (BALANCERS, "must have a name", {"loadBalancerInfo": {"elbInfoList": [{"name": ""}]}}),
    (BALANCERS, "at most 10", {"loadBalancerInfo": {"elbInfoList": [{"name": f"lb{n}"} for n in range(11)]}}),
    (
        BALANCERS,
        "exceeds the maximum allowed length",
        {"loadBalancerInfo": {"targetGroupInfoList": [{"name": "a" * 33}]}},
    ),
    ("InvalidTargetGroupPairException", "one", {"loadBalancerInfo": {"targetGroupPairInfoList": [{}, {}]}}),
    (COLOURS, "Deployment ready option cannot be null", colours(None, KEEP)),
    (COLOURS, "behaviour cannot be set to null", colours(CONTINUE, None)),
    (COLOURS, "cannot be null", {"blueGreenDeploymentConfiguration": {}}),
    (COLOURS, "timeout is set to 0", colours({"actionOnTimeout": "STOP_DEPLOYMENT"}, KEEP)),
    (COLOURS, "when timeout is specified", colours({**CONTINUE, "waitTimeInMinutes": 1}, KEEP)),
    (COLOURS, "more than 2 days", colours(CONTINUE, {"action": "TERMINATE", "terminationWaitTimeInMinutes": 2881})),
    (COLOURS, "2880", colours({"actionOnTimeout": "STOP_DEPLOYMENT", "waitTimeInMinutes": 2881}, KEEP)),
    (COLOURS, "action", colours(CONTINUE, {"action": "PAINT"})),
    (ALARMS, "Alarm list cannot be null.", {"alarmConfiguration": {"enabled": True}}),
    (ALARMS, "at least one alarms attached", alarms()),
    (ALARMS, "1 to 255", alarms("")),
    (ALARMS, "1 to 255", alarms("a" * 256)),
    (ALARMS, "same name", alarms("cpu", "cpu", enabled=False)),
    ("AlarmsLimitExceededException", "maximum number of alarms", alarms(*(f"a{n}" for n in range(51)))),
    (TRIGGERS, "is not valid", {"triggerConfigurations": [trigger(triggerTargetArn="arn:aws:sqs:eu-west-1:1:x")]}),
    (TRIGGERS, "needs", {"triggerConfigurations": [trigger(triggerEvents=[])]}),
    (TRIGGERS, "triggerEvents", {"triggerConfigurations": [trigger(triggerEvents=["Deployed"])]}),
    (TRIGGERS, "Duplicate Trigger target name", {"triggerConfigurations": [trigger("a"), trigger("a")]}),
    (
        TRIGGERS,
        "Duplicate Trigger target arn",
        {"triggerConfigurations": [trigger("a"), trigger(triggerName="b", triggerTargetArn=topic("a"))]},
    ),
    (
        "TriggerTargetsLimitExceededException",
        "more than 10",
        {"triggerConfigurations": [trigger(f"t{n}") for n in range(11)]},
    ),
    (PROCESSES, "", {"ec2DeploymentOptions": {"autoScalingGroupProcessesToSuspend": ["terminate"]}}),
    (PROCESSES, "at most 4", {"ec2DeploymentOptions": {"autoScalingGroupProcessesToSuspend": ["Terminate"] * 5}}),
    ("InvalidECSServiceException", "Server Deployment Groups", {"ecsServices": [{"serviceName": "web"}]}),
    ("InvalidInputException", "outdatedInstancesStrategy", {"outdatedInstancesStrategy": "ALWAYS"}),
    (
        COLOURS,
        "Exactly one AutoScaling group",
        {"deploymentStyle": BLUE_GREEN, "loadBalancerInfo": BALANCER}
        | colours(CONTINUE, KEEP)
        | {
            "blueGreenDeploymentConfiguration": {
                "deploymentReadyOption": CONTINUE,
                "terminateBlueInstancesOnDeploymentSuccess": KEEP,
                "greenFleetProvisioningOption": {"action": "COPY_AUTO_SCALING_GROUP"},
            }
        },
    ),
]

ACCEPTED: list[dict[str, Any]] = [
    {"deploymentStyle": CONTROL, "loadBalancerInfo": BALANCER},
    {"deploymentStyle": BLUE_GREEN, "loadBalancerInfo": BALANCER},
    {"loadBalancerInfo": {"targetGroupPairInfoList": [{"targetGroups": [{"name": "a"}, {"name": "b"}]}]}},
    {"loadBalancerInfo": {"targetGroupInfoList": [{"name": "a" * 32}]}},
    colours({**CONTINUE, "waitTimeInMinutes": 0}, {"action": "TERMINATE", "terminationWaitTimeInMinutes": 2880}),
    colours({"actionOnTimeout": "STOP_DEPLOYMENT", "waitTimeInMinutes": 1}, KEEP),
    alarms(*(f"a{n}" for n in range(50))),
    {"alarmConfiguration": {"enabled": False}},
    {"alarmConfiguration": {"ignorePollAlarmFailure": True}},
    {"triggerConfigurations": [trigger(f"t{n}") for n in range(10)]},
    {"ecsServices": [{"serviceName": "", "clusterName": ""}]},
    {"deploymentConfigName": "", "serviceRoleArn": "", "outdatedInstancesStrategy": ""},
    {"terminationHookEnabled": True, "outdatedInstancesStrategy": "IGNORE"},
]


def made(members: dict[str, Any]) -> DeploymentGroup:
    return checked_group(given_members(members) | NAMES)


@pytest.mark.parametrize(
    ("code", "text", "members"), MISTAKES, ids=lambda value: value if isinstance(value, str) else ""
)
def test_a_mistake_has_codedeploys_code_and_sentence(code: str, text: str, members: dict[str, Any]) -> None:
    with pytest.raises(ApiError) as caught:
        made(members)
    assert caught.value.code == code
    assert text in caught.value.message
    for operation in ("CreateDeploymentGroup", "UpdateDeploymentGroup"):
        assert code in operations()[operation].errors


@pytest.mark.parametrize("members", ACCEPTED, ids=lambda members: ",".join(members))
def test_what_codedeploy_takes_is_taken(members: dict[str, Any]) -> None:
    made(members)


# ── the same members back ────────────────────────────────────────────────────────────────────────────────────────

name = st.text("abcdefghij-", min_size=1, max_size=32)
named = st.builds(lambda name: {"name": name}, name)
minutes = st.integers(1, 2880)
balancer = st.fixed_dictionaries(
    {"targetGroupInfoList": st.lists(named, min_size=1, max_size=10)},
    optional={
        "elbInfoList": st.lists(named, max_size=10),
        "targetGroupPairInfoList": st.lists(
            st.fixed_dictionaries(
                {"targetGroups": st.lists(named, max_size=2)},
                optional={"prodTrafficRoute": st.fixed_dictionaries({"listenerArns": st.lists(name, max_size=2)})},
            ),
            max_size=1,
        ),
    },
)
ready = st.just(CONTINUE) | st.builds(lambda n: {"actionOnTimeout": "STOP_DEPLOYMENT", "waitTimeInMinutes": n}, minutes)
terminate = st.just(KEEP) | st.builds(lambda n: {"action": "TERMINATE", "terminationWaitTimeInMinutes": n}, minutes)
members_given = st.fixed_dictionaries(
    {},
    optional={
        "loadBalancerInfo": balancer,
        "blueGreenDeploymentConfiguration": st.fixed_dictionaries(
            {"deploymentReadyOption": ready, "terminateBlueInstancesOnDeploymentSuccess": terminate},
            optional={"greenFleetProvisioningOption": st.just({"action": "DISCOVER_EXISTING"})},
        ),
        "alarmConfiguration": st.fixed_dictionaries(
            {
                "enabled": st.booleans(),
                "alarms": st.lists(named, min_size=1, max_size=5, unique_by=lambda one: one["name"]),
            },
            optional={"ignorePollAlarmFailure": st.booleans()},
        ),
        "triggerConfigurations": st.lists(
            st.builds(
                lambda name, events: trigger(name, triggerEvents=events),
                name,
                st.lists(st.sampled_from(["DeploymentStart", "InstanceReady"]), min_size=1, max_size=2),
            ),
            max_size=10,
            unique_by=lambda one: one["triggerName"],
        ),
        "ec2DeploymentOptions": st.fixed_dictionaries(
            {"autoScalingGroupProcessesToSuspend": st.lists(st.sampled_from(["Terminate", "AZRebalance"]), max_size=2)}
        ),
        "outdatedInstancesStrategy": st.sampled_from(["UPDATE", "IGNORE"]),
        "terminationHookEnabled": st.booleans(),
        "autoScalingGroups": st.lists(name, max_size=3, unique=True),
    },
)
styled = st.builds(
    lambda members, style: members | ({"deploymentStyle": style} if "loadBalancerInfo" in members else {}),
    members_given,
    st.sampled_from(
        [CONTROL, BLUE_GREEN, {"deploymentType": "IN_PLACE", "deploymentOption": "WITHOUT_TRAFFIC_CONTROL"}]
    ),
)


def as_shown(member: str, value: Any) -> Any:
    """As CodeDeploy shows what was given: Auto Scaling groups with more than their names, alarms with defaults."""
    if member == "autoScalingGroups":
        return [{"name": one} for one in value]
    return {"ignorePollAlarmFailure": False, **value} if member == "alarmConfiguration" else value


def without_empty(value: Any) -> Any:
    """A value without lists and maps in which there is nothing: whether those are shown is of no matter to clients."""
    if isinstance(value, dict):
        inner = {name: without_empty(one) for name, one in value.items()}
        return {name: one for name, one in inner.items() if one not in (None, [], {})} or None
    if isinstance(value, list):
        return [without_empty(one) for one in value] or None
    return value


@given(styled)
def test_members_come_back_from_record_export_and_apply_as_they_were_given(members: dict[str, Any]) -> None:
    group = made(members)
    key = "group/shop/web"
    records = {
        "application/shop": Record("application/shop", 1, {"applicationName": "shop"}),
        key: Record(key, 2, record_of(group)),
    }
    manifest = parse_manifest(as_yaml(manifest_of({name: record.value for name, record in records.items()})))
    assert not manifest.errors
    assert not diff(manifest.records, records).changes
    info = shown(DeploymentGroup.model_validate(records[key].value))
    for member, value in members.items():
        assert without_empty(info.get(member)) == without_empty(as_shown(member, value))
    again = {member: value for member, value in info.items() if member not in ("deploymentGroupId", *NAMES)}
    again["autoScalingGroups"] = [one["name"] for one in info["autoScalingGroups"]]
    assert made(again) == group, "what is read back and sent again changes nothing"


def test_what_is_not_set_is_shown_as_by_codedeploy() -> None:
    info = shown(made({"loadBalancerInfo": {}, "ec2DeploymentOptions": {"autoScalingGroupProcessesToSuspend": []}}))
    assert info["alarmConfiguration"] == {"enabled": False, "ignorePollAlarmFailure": False, "alarms": []}
    assert info["deploymentStyle"] == {"deploymentType": "IN_PLACE", "deploymentOption": "WITHOUT_TRAFFIC_CONTROL"}
    assert (info["outdatedInstancesStrategy"], info["terminationHookEnabled"]) == ("UPDATE", False)
    assert info["triggerConfigurations"] == []
    assert not {"loadBalancerInfo", "blueGreenDeploymentConfiguration", "ec2DeploymentOptions"} & info.keys()
