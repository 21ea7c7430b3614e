"""CodeDeploy's members that towline does not support yet, or that do not apply to it.

An AWS CLI skeleton or the output of `get-deployment-group` contains such members. They are removed silently if they
request nothing (empty, disabled, the default style, a role), and reported as a problem otherwise, so that towline does
not appear to support them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from towline.model.deployment.lifecycle import IN_PLACE
from towline.model.problem import Problem, Severity
from towline.model.yaml.document import Location, spell

Line = Callable[[Location], int]


def _is_given(value: Any) -> bool:
    """Whether a value requests anything: `{}`, `[]`, `{"enabled": false}` and `{"elbInfoList": []}` do not."""
    if isinstance(value, Mapping):
        return any(_is_given(item) for item in value.values())
    if isinstance(value, list | tuple):
        return any(_is_given(item) for item in value)
    return bool(value)


def _is_another_style(value: Any) -> bool:
    built = IN_PLACE.model_dump(mode="json", by_alias=True)
    return not isinstance(value, Mapping) or any(built.get(key) != item for key, item in value.items() if item)


def _is_enabled(value: Any) -> bool:
    return not isinstance(value, Mapping) or bool(value.get("enabled"))


def _is_another_platform(value: Any) -> bool:
    return value not in ("Server", "", None)


def _never(value: Any) -> bool:
    return False


# Member: whether it requests something, and the problem to report then.
GROUP: dict[str, tuple[Callable[[Any], bool], str]] = {
    "deploymentStyle": (_is_another_style, "only IN_PLACE with WITHOUT_TRAFFIC_CONTROL is built"),
    "loadBalancerInfo": (_is_given, "load balancers are not built yet"),
    "blueGreenDeploymentConfiguration": (_is_given, "blue/green deployments are not built yet"),
    "triggerConfigurations": (_is_given, "triggers are not built yet"),
    "alarmConfiguration": (_is_enabled, "alarms are not built yet"),
    "terminationHookEnabled": (_is_given, "Auto Scaling hooks are not built yet"),
    "ec2DeploymentOptions": (_is_given, "suspending Auto Scaling processes is not built yet"),
    "ecsServices": (_is_given, "ECS is not what towline deploys to"),
    "tags": (_is_given, "tags on a deployment group are not built yet"),
    "computePlatform": (_is_another_platform, "towline deploys to servers only"),
    "outdatedInstancesStrategy": (_never, ""),
    "targetRevision": (_never, ""),
    "lastSuccessfulDeployment": (_never, ""),
    "lastAttemptedDeployment": (_never, ""),
}
APPLICATION: dict[str, tuple[Callable[[Any], bool], str]] = {
    "computePlatform": (_is_another_platform, "towline deploys to servers only"),
    "tags": (_is_given, "tags on an application are not built yet"),
    "applicationId": (_never, ""),
    "createTime": (_never, ""),
    "linkedToGitHub": (_never, ""),
    "gitHubAccountName": (_never, ""),
}
CONFIG: dict[str, tuple[Callable[[Any], bool], str]] = {
    "computePlatform": (_is_another_platform, "towline deploys to servers only"),
    "trafficRoutingConfig": (_is_given, "traffic routing is for Lambda and ECS"),
    "deploymentConfigId": (_never, ""),
    "createTime": (_never, ""),
}
INSTANCE: dict[str, tuple[Callable[[Any], bool], str]] = {
    "iamUserArn": (_is_given, "instances that poll by themselves are not built yet"),
    "iamSessionArn": (_is_given, "instances that poll by themselves are not built yet"),
    "instanceArn": (_never, ""),
    "registerTime": (_never, ""),
}


def take_out(
    raw: dict[str, Any], known: Mapping[str, tuple[Callable[[Any], bool], str]], at: Location, line: Line
) -> list[Problem]:
    """Removes the known members from `raw` and returns a problem for each that requests something."""
    problems = []
    for member in known.keys() & raw.keys():
        asks, text = known[member]
        place = (*at, member)
        value = raw.pop(member)
        if asks(value):
            problems.append(Problem(line=line(place), key=spell(place), rule=text, hint="Leave it out for now."))
        elif member == "outdatedInstancesStrategy" and value == "UPDATE":
            rule = "not built yet: instances launched while a deployment runs wait for the next one"
            problems.append(Problem(line=line(place), key=spell(place), rule=rule, severity=Severity.WARNING))
    return problems
