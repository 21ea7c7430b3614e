"""The members of a deployment group in a call: what CodeDeploy takes, and the code of each mistake."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from towline.api.errors import ApiError
from towline.model.group.group import DeploymentGroup, TagFilter
from towline.model.group.unsupported import GROUP, take_out
from towline.model.manifest.finding import Finding
from towline.model.manifest.rules import group_findings
from towline.model.problem import Severity

NAMES = ("applicationName", "deploymentGroupName", "currentDeploymentGroupName", "newDeploymentGroupName", "tags")
FILTERS = ("ec2TagFilters", "onPremisesInstanceTagFilters")
SETS = {"ec2TagSet": "ec2TagSetList", "onPremisesTagSet": "onPremisesTagSetList"}
CODES = {  # of a member that cannot be read; a rule of CodeDeploy's has its own, see `traffic_rules.py`
    "ec2TagFilters": "InvalidEC2TagException",
    "ec2TagSet": "InvalidEC2TagException",
    "onPremisesInstanceTagFilters": "InvalidTagException",
    "onPremisesTagSet": "InvalidTagException",
    "autoScalingGroups": "InvalidAutoScalingGroupException",
    "autoRollbackConfiguration": "InvalidAutoRollbackConfigException",
    "deploymentStyle": "InvalidDeploymentStyleException",
    "loadBalancerInfo": "InvalidLoadBalancerInfoException",
    "blueGreenDeploymentConfiguration": "InvalidBlueGreenDeploymentConfigurationException",
    "alarmConfiguration": "InvalidAlarmConfigException",
    "triggerConfigurations": "InvalidTriggerConfigException",
    "ec2DeploymentOptions": "InvalidAutoScalingGroupProcessToSuspendException",
}
ECS = "Server Deployment Groups should not define a value for ecsServices, eksClusters, or targetGroupPairInfoList"
COMBINATIONS = {
    "ec2TagSet": ("InvalidEC2TagCombinationException", "Ec2TagFilters and Ec2TagSet"),
    "onPremisesTagSet": ("InvalidOnPremisesTagCombinationException", "OnPremisesTagFilters and OnPremisesTagSet"),
}
BOTH = (
    "The request specified both {}, but only one of these data types can be used in a single call. "
    "Remove one tag specification type, and then try again."
)
OTHER_HALF = {
    "KEY_ONLY": "Values must not be provided for key-only filters.",
    "VALUE_ONLY": "Keys must not be provided for value-only filters.",
}


def given_members(given: Mapping[str, Any]) -> dict[str, Any]:
    """The members that a call gives, names and tags aside, as a group's record has them.

    An empty string counts as absent. An empty set is None: it clears what was there. Raises ApiError for ECS services.
    """
    members = {name: value for name, value in given.items() if name not in NAMES and value != ""}
    if take_out(members, GROUP, (), lambda _: 0):
        raise ApiError("InvalidECSServiceException", ECS)
    for name in FILTERS:
        if name in members:
            members[name] = [_filter(one) for one in members[name]]
    for name, inner in SETS.items():
        if name in members:
            lists = [[_filter(one) for one in every] for every in members[name].get(inner, [])]
            members[name] = {inner: lists} if any(lists) else None
    return members


def checked_group(members: Mapping[str, Any]) -> DeploymentGroup:
    """The group that has these members. Raises ApiError with the code of the first rule that it breaks."""
    try:
        group = DeploymentGroup.model_validate(members)
    except ValidationError as error:
        first = error.errors()[0]
        place = tuple(first["loc"])
        raise ApiError(
            CODES.get(str(place[0]), "InvalidInputException"), f"{_spelled(place)}: {first['msg']}"
        ) from error
    for finding in group_findings(group, group.application_name, ()):
        if finding.severity is Severity.ERROR:
            raise error_of(finding)
    _check_halves(group)
    return group


def error_of(finding: Finding) -> ApiError:
    """The error of a broken rule: CodeDeploy's own sentence where it has the rule."""
    if finding.code:
        return ApiError(finding.code, finding.rule)
    if len(finding.at) == 1 and (combination := COMBINATIONS.get(str(finding.at[0]))):
        code, kinds = combination
        return ApiError(code, BOTH.format(kinds))
    return ApiError(_code(finding), f"{_spelled(finding.at)}: {finding.rule}")


def _filter(given: Mapping[str, Any]) -> dict[str, Any]:
    """A tag filter; Terraform sends both halves, the one that is not meant empty."""
    return {name: value for name, value in given.items() if value != "" or name == "Value"} if given else {}


def _check_halves(group: DeploymentGroup) -> None:
    sets = group.ec2_tag_set.ec2_tag_set_list if group.ec2_tag_set else ()
    on_premises = group.on_premises_tag_set.on_premises_tag_set_list if group.on_premises_tag_set else ()
    for code, lists in (
        ("InvalidEC2TagException", (group.ec2_tag_filters, *sets)),
        ("InvalidTagException", (group.on_premises_instance_tag_filters, *on_premises)),
    ):
        for one in (one for every in lists for one in every):
            if _has_other_half(one):
                raise ApiError(code, OTHER_HALF[one.type])


def _has_other_half(one: TagFilter) -> bool:
    return bool(one.value if one.type == "KEY_ONLY" else one.key if one.type == "VALUE_ONLY" else None)


def _code(finding: Finding) -> str:
    member = str(finding.at[0])
    if member in SETS and len(finding.at) == 2:
        return "TagSetListLimitExceededException"
    return CODES.get(member, "InvalidInputException")


def _spelled(place: tuple[str | int, ...]) -> str:
    return ".".join(map(str, place))
