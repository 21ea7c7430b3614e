"""Scenarios of clients: calls in their order, each with the error code or the members of the answer that they need."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError

from tests.api.test_groups import ROLE

ABSENT = object()
"""What a member must be that has to be left out of the answer."""


@dataclass(frozen=True)
class Step:
    """One call by boto3's name. `expect`: an error code, or values of members by their dotted paths."""

    operation: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    expect: str | Mapping[str, Any] = field(default_factory=dict)


def run(client: Any, steps: Sequence[Step]) -> None:
    """Makes the calls; the first one that is answered otherwise fails the test."""
    for number, step in enumerate(steps, 1):
        found = _answer(client, step)
        wanted = step.expect
        shown = found if isinstance(wanted, str) else _members(found, wanted)
        assert shown == wanted, f"step {number}, {step.operation}"


def _answer(client: Any, step: Step) -> Any:
    try:
        return getattr(client, step.operation)(**step.arguments)
    except ClientError as error:
        return str(error.response["Error"]["Code"])


def _members(answer: Any, wanted: Mapping[str, Any]) -> Any:
    return {path: _at(answer, path) for path in wanted} if isinstance(answer, Mapping) else answer


def _at(answer: Any, path: str) -> Any:
    for name in path.split("."):
        if not isinstance(answer, Mapping) or name not in answer:
            return ABSENT
        answer = answer[name]
    return answer


def application(name: str) -> dict[str, Any]:
    """The argument that names an application."""
    return {"applicationName": name}


def group(application: str, name: str, **members: Any) -> dict[str, Any]:
    """The arguments that name a group, and further ones."""
    return {"applicationName": application, "deploymentGroupName": name, **members}


def new_group(application: str, name: str, **members: Any) -> dict[str, Any]:
    """As `group`, with the role that creating one needs."""
    return group(application, name, serviceRoleArn=ROLE, **members)


def tag(key: str, value: str, kind: str = "KEY_AND_VALUE") -> dict[str, str]:
    """A tag filter."""
    return {"Key": key, "Value": value, "Type": kind}
