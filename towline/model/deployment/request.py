"""Reads a deployment's request from plain JSON, as the Temporal CLI or any SDK sends it, and names every problem."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from towline.errors import InvalidRequest
from towline.model.messages.deploy import DeployRequest
from towline.model.names import DEPLOYMENT_ID
from towline.model.problem import Problem, did_you_mean

Shape = TypeVar("Shape", bound=BaseModel)


@dataclass(frozen=True)
class Unreadable:
    """Stands for an input that cannot be decoded; `reason` says why."""

    reason: str


def read_request(raw: Any, deployment_id: str) -> DeployRequest:
    """The request, or InvalidRequest with each problem by its key.

    >>> try: read_request({"aplicationName": "shop", "deploymentGroupName": "web"}, "d-1")
    ... except InvalidRequest as error: print(error.problems[-1])
    aplicationName: no such key. Did you mean applicationName?
    """
    problems = []
    if not re.fullmatch(DEPLOYMENT_ID, deployment_id):
        rule = f"the workflow id {deployment_id!r} becomes a path on hosts: it must match {DEPLOYMENT_ID}"
        problems.append(Problem(line=0, key="deployment id", rule=rule))
    try:
        request = read_shape(DeployRequest, raw)
    except InvalidRequest as error:
        raise _invalid([*problems, *error.problems]) from None
    if (request.revision is None) == (request.undo is None):
        rule = "exactly one of revision and undo is needed"
        problems.append(Problem(line=0, key="revision", rule=rule))
    if problems:
        raise _invalid(problems)
    return request


def fingerprint(request: DeployRequest) -> str:
    """What tells requests apart: the SHA-256 of all members that are not as by default.

    Who requests it, and from where, does not count: a CI job that is run again is another run. The next version, with
    one more optional key, gives the same.
    """
    plain = request.model_dump(
        mode="json", by_alias=True, exclude_defaults=True, exclude={"requested_by", "requested_from"}
    )
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


def read_shape(shape: type[Shape], raw: Any) -> Shape:
    """Plain JSON as one of our API shapes; raises InvalidRequest with each problem by its key."""
    if isinstance(raw, Unreadable):
        raise _invalid([Problem(line=0, key="input", rule=f"it cannot be read: {raw.reason}")])
    if not isinstance(raw, dict):
        rule = f"a JSON object is needed, not {type(raw).__name__}"
        raise _invalid([Problem(line=0, key="input", rule=rule)])
    try:
        return shape.model_validate(raw, extra="forbid", by_alias=True, by_name=False)
    except ValidationError as error:
        raise _invalid([_problem(shape, item) for item in error.errors()]) from None


def _invalid(problems: Sequence[Problem]) -> InvalidRequest:
    return InvalidRequest("the request is not valid: " + "; ".join(map(str, problems)), problems)


def _problem(shape: type[BaseModel], item: Any) -> Problem:
    path = ".".join(str(part) for part in item["loc"])
    if item["type"] == "extra_forbidden":
        known = _keys_at(shape, item["loc"][:-1])
        return Problem(line=0, key=path, rule="no such key", hint=did_you_mean(str(item["loc"][-1]), known))
    if item["type"] == "missing":
        return Problem(line=0, key=path, rule="is needed")
    return Problem(line=0, key=path, rule=item["msg"].removeprefix("Value error, "))


def _keys_at(shape: type[BaseModel], path: Sequence[int | str]) -> list[str]:
    """The keys that the shape at this place has; empty where the place is no shape of ours."""
    for part in path:
        by_alias = {field.alias or name: field.annotation for name, field in shape.model_fields.items()}
        inner = [t for t in _types_in(by_alias.get(str(part))) if isinstance(t, type) and issubclass(t, BaseModel)]
        if not inner:
            return []
        shape = inner[0]
    return [field.alias or name for name, field in shape.model_fields.items()]


def _types_in(annotation: Any) -> list[Any]:
    return [annotation, *(getattr(annotation, "__args__", None) or ())]
