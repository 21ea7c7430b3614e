"""CodeDeploy's members that do not apply to towline, or that it does not store.

An AWS CLI skeleton or the output of `get-deployment-group` contains such members. They are removed silently if they
request nothing (empty, only shown), and reported as a problem otherwise, so that towline does not appear to support
them. What it stores and cannot act on is in `needs.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from towline.model.problem import Problem
from towline.model.yaml.document import Location, spell

Line = Callable[[Location], int]


def _is_given(value: Any) -> bool:
    """Whether a value requests anything: `{}`, `[]` and `[{"serviceName": ""}]` do not."""
    if isinstance(value, Mapping):
        return any(_is_given(item) for item in value.values())
    if isinstance(value, list | tuple):
        return any(_is_given(item) for item in value)
    return bool(value)


def _is_another_platform(value: Any) -> bool:
    return value not in ("Server", "", None)


def _never(value: Any) -> bool:
    return False


# Member: whether it requests something, and the problem to report then.
GROUP: dict[str, tuple[Callable[[Any], bool], str]] = {
    "ecsServices": (_is_given, "ECS is not what towline deploys to"),
    "tags": (_is_given, "tags on a deployment group are not built yet"),
    "computePlatform": (_is_another_platform, "towline deploys to servers only"),
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
    return problems
