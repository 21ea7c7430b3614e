"""Rules of members: which are required, what they may hold, and the code and text of each mistake.

One table for all operations, since CodeDeploy's model holds almost none of it. Which code an operation may answer with
is the model's: a test holds table and model together. Source: the model's error documentation, and texts seen on AWS.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from towline.api.errors import ApiError
from towline.model.names import DEPLOYMENT_ID

NAME_CHARACTERS = re.compile(r"[A-Za-z0-9+=,.@_-]*")
MAX_NAME = 100
MAX_DESCRIPTION = 256
MAX_BATCH = 100
MAX_BATCH_TARGETS = 25


@dataclass(frozen=True)
class Rule:
    """What a member must be: `required` and `invalid` are error codes, `problem` says what is wrong, or nothing."""

    required: str
    invalid: str
    title: str
    problem: Callable[[Any], str]


def _name_problem(title: str) -> Callable[[Any], str]:
    def problem(value: Any) -> str:
        if len(value) > MAX_NAME:
            return f"{title} must be at most {MAX_NAME} characters long: {value[:MAX_NAME]}…"
        if not NAME_CHARACTERS.fullmatch(value):
            return f"{title} {value!r} may only contain letters, digits and + = , . @ _ -"
        return ""

    return problem


def _named(title: str, required: str, invalid: str) -> Rule:
    return Rule(required, invalid, title, _name_problem(title))


def _each(rule: Rule, most: int, title: str) -> Rule:
    """The rule for a list of such members; one that is too long has a code of its own."""

    def problem(values: Any) -> str:
        if len(values) > most:
            raise ApiError("BatchLimitExceededException", f"At most {most} {title} can be given in one call.")
        return next((text for value in values if (text := rule.problem(value))), "")

    return Rule(rule.required, rule.invalid, title, problem)


def _deployment_id_problem(value: Any) -> str:
    return "" if re.match(DEPLOYMENT_ID, value) else f"Specified DeploymentId is not in the valid format: {value}"


def _instance_name_problem(value: Any) -> str:
    if value.startswith("i-"):
        return f"Instance name {value!r} must not start with 'i-': that is an EC2 instance's id."
    return _name_problem("Instance name")(value)


def _description_problem(value: Any) -> str:
    return f"The description is longer than {MAX_DESCRIPTION} characters." if len(value) > MAX_DESCRIPTION else ""


APPLICATION = _named("Application name", "ApplicationNameRequiredException", "InvalidApplicationNameException")
GROUP = _named("Deployment group name", "DeploymentGroupNameRequiredException", "InvalidDeploymentGroupNameException")
CONFIG = _named(
    "Deployment configuration name",
    "DeploymentConfigNameRequiredException",
    "InvalidDeploymentConfigNameException",
)
DEPLOYMENT = Rule(
    "DeploymentIdRequiredException", "InvalidDeploymentIdException", "Deployment ID", _deployment_id_problem
)
INSTANCE = Rule(
    "InstanceNameRequiredException", "InvalidInstanceNameException", "Instance name", _instance_name_problem
)

RULES: Mapping[str, Rule] = {
    "applicationName": APPLICATION,
    "newApplicationName": APPLICATION,
    "applicationNames": _each(APPLICATION, MAX_BATCH, "application names"),
    "deploymentGroupName": GROUP,
    "currentDeploymentGroupName": GROUP,
    "newDeploymentGroupName": GROUP,
    "deploymentGroupNames": _each(GROUP, MAX_BATCH, "deployment group names"),
    "deploymentConfigName": CONFIG,
    "deploymentId": DEPLOYMENT,
    "deploymentIds": _each(DEPLOYMENT, MAX_BATCH, "deployment IDs"),
    "instanceName": INSTANCE,
    "instanceNames": _each(INSTANCE, MAX_BATCH, "instance names"),
    "description": Rule("", "DescriptionTooLongException", "Description", _description_problem),
}

REQUIRED_ONLY = {
    "revision": ("RevisionRequiredException", "RevisionLocation must be specified"),
    "revisions": ("RevisionRequiredException", "RevisionLocation must be specified"),
    "ResourceArn": ("ResourceArnRequiredException", "The resource ARN is required."),
    "serviceRoleArn": ("RoleRequiredException", "The service role ARN is required."),
    "tags": ("TagRequiredException", "At least one tag is required."),
    "targetId": ("DeploymentTargetIdRequiredException", "The deployment target ID is required."),
    "targetIds": ("DeploymentTargetIdRequiredException", "The deployment target IDs are required."),
    "instanceId": ("InstanceIdRequiredException", "The instance ID is required."),
    "instanceIds": ("InstanceIdRequiredException", "The instance IDs are required."),
    "tokenName": ("GitHubAccountTokenNameRequiredException", "The token name is required."),
}


def check_members(given: Mapping[str, Any], required: frozenset[str], errors: frozenset[str]) -> None:
    """Raises ApiError for the first member that breaks its rule. `errors` are the codes that the operation may answer.

    An empty string or list counts as absent, as on AWS.
    """
    for member in sorted(required - {name for name, value in given.items() if value not in ("", [])}):
        raise _missing(member, errors)
    for member, value in given.items():
        rule = RULES.get(member)
        if rule and value not in ("", []) and (text := rule.problem(value)):
            raise ApiError(_code(rule.invalid, errors), text)


def asks_for_something(value: Any) -> bool:
    """Whether there is more in a member than the empty strings of a skeleton, and the `Type` of a filter without a tag.

    >>> asks_for_something({"tagFilters": [{"Key": "", "Value": "", "Type": "KEY_ONLY"}], "autoScalingGroups": [""]})
    False
    """
    if isinstance(value, Mapping):
        return any(asks_for_something(inner) for name, inner in value.items() if name != "Type")
    if isinstance(value, list):
        return any(map(asks_for_something, value))
    return bool(value)


def _missing(member: str, errors: frozenset[str]) -> ApiError:
    if member in REQUIRED_ONLY:
        code, text = REQUIRED_ONLY[member]
        return ApiError(_code(code, errors), text)
    rule = RULES.get(member)
    return ApiError(_code(rule.required, errors) if rule else "InvalidInputException", f"{member} is required.")


def _code(code: str, errors: frozenset[str]) -> str:
    """The code, unless the operation does not have it."""
    return code if code in errors or not errors else "InvalidInputException"
