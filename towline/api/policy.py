"""Who may do what: IAM policy documents, evaluated as IAM does it. Nothing is allowed without a statement.

Source: IAM User Guide, "Policy evaluation logic" and "IAM JSON policy elements". Conditions are refused when a policy
is read: a condition that is not evaluated would allow too much.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from towline.errors import InvalidInput

KEYS = {"Sid", "Effect", "Action", "NotAction", "Resource", "NotResource"}


@dataclass(frozen=True)
class Statement:
    """One statement: its patterns, and whether they name what it is about or what it is not about."""

    allows: bool
    actions: tuple[str, ...]
    actions_inverted: bool
    resources: tuple[str, ...]
    resources_inverted: bool

    def matches(self, action: str, resource: str) -> bool:
        """Whether it is about this action on this resource. Actions match in any case, resources exactly."""
        named = any(_pattern(one.lower()).fullmatch(action.lower()) for one in self.actions)
        placed = any(_pattern(one).fullmatch(resource) for one in self.resources)
        return named != self.actions_inverted and placed != self.resources_inverted


@dataclass(frozen=True)
class Policies:
    """Statements by caller's name; `*` is everyone's."""

    statements: Mapping[str, tuple[Statement, ...]]

    def allows(self, name: str, action: str, resource: str) -> bool:
        """An explicit deny wins, then an allow; otherwise it is denied."""
        about = [
            one
            for one in (*self.statements.get(name, ()), *self.statements.get("*", ()))
            if one.matches(action, resource)
        ]
        return bool(about) and all(one.allows for one in about)


def read_policies(documents: Any, file: str) -> Policies:
    """Name → policy document (or a list of them). Raises InvalidInput with file, name and rule.

    >>> reads = {"Statement": {"Effect": "Allow", "Action": "codedeploy:Get*", "Resource": "*"}}
    >>> policies = read_policies({"ci": reads}, "policy.yaml")
    >>> [policies.allows("ci", f"codedeploy:{verb}Deployment", "arn:x") for verb in ("Get", "Stop")]
    [True, False]
    """
    if not isinstance(documents, dict) or not all(isinstance(name, str) for name in documents):
        raise InvalidInput(f"{file}: a policy file maps names of callers to policy documents.")
    found = {}
    for name, value in documents.items():
        several = value if isinstance(value, list) else [value]
        found[name] = tuple(one for document in several for one in _read_document(document, f"{file}: {name}"))
    return Policies(found)


def _read_document(document: Any, place: str) -> list[Statement]:
    if not isinstance(document, dict) or "Statement" not in document:
        raise InvalidInput(f"{place}: a policy document is a map with Statement.")
    if unknown := sorted(map(str, document.keys() - {"Version", "Id", "Statement"})):
        raise InvalidInput(f"{place}: a policy document has no {unknown[0]}.")
    statements = document["Statement"]
    several = statements if isinstance(statements, list) else [statements]
    return [_read_statement(one, f"{place}: Statement[{number}]") for number, one in enumerate(several)]


def _read_statement(value: Any, place: str) -> Statement:
    if not isinstance(value, dict):
        raise InvalidInput(f"{place} must be a map.")
    if "Condition" in value:
        raise InvalidInput(
            f"{place}: conditions are not supported.", "Leave the statement out, or write it without one."
        )
    if unknown := sorted(map(str, value.keys() - KEYS)):
        raise InvalidInput(f"{place} has no {unknown[0]}.")
    if value.get("Effect") not in ("Allow", "Deny"):
        raise InvalidInput(f"{place}: Effect must be Allow or Deny.")
    actions, actions_inverted = _one_of(value, "Action", "NotAction", place)
    resources, resources_inverted = _one_of(value, "Resource", "NotResource", place)
    return Statement(value["Effect"] == "Allow", actions, actions_inverted, resources, resources_inverted)


def _one_of(value: Mapping[str, Any], plain: str, inverted: str, place: str) -> tuple[tuple[str, ...], bool]:
    if (plain in value) == (inverted in value):
        raise InvalidInput(f"{place}: exactly one of {plain} and {inverted} is needed.")
    key = plain if plain in value else inverted
    texts: Sequence[Any] = [value[key]] if isinstance(value[key], str) else value[key]
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) and text for text in texts):
        raise InvalidInput(f"{place}: {key} must be a string or a list of strings.")
    return tuple(texts), key == inverted


@cache
def _pattern(text: str) -> re.Pattern[str]:
    """IAM's wildcards: `*` for any characters, `?` for one. fnmatch writes them so that matching takes linear time."""
    return re.compile(fnmatch.translate(text.replace("[", "[[]")))
