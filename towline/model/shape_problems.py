"""Pydantic's findings in a document, in words for the person who wrote it, with line and key."""

from __future__ import annotations

import datetime
import typing
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from towline.model.problem import MOST_PROBLEMS, Problem, did_you_mean
from towline.model.yaml.document import Document, Location, spell

NAME_RULE = "1 to 100 characters of A-Z a-z 0-9 + = , . @ _ -"
_PATTERNS = {r"^[A-Za-z0-9+=,.@_-]{1,100}$": f"a name has {NAME_RULE}"}
_TYPES = {
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "tuple_type": "must be a list",
    "list_type": "must be a list",
    "dict_type": "must be a mapping (key: value)",
    "model_type": "must be a mapping (key: value)",
    "model_attributes_type": "must be a mapping (key: value)",
}


def shape_problems(error: ValidationError, model: type[BaseModel], document: Document) -> list[Problem]:
    """One problem per place, in the order of lines."""
    found: dict[str, Problem] = {}
    details = error.errors(include_url=False)
    for detail in details[:MOST_PROBLEMS]:
        place = _existing(document, detail["loc"], detail["type"])
        key = spell(place)
        rule, hint = _words(detail, model, place)
        found.setdefault(key, Problem(line=document.line(place), key=key, rule=rule, hint=hint))
    if len(details) > MOST_PROBLEMS:
        rule = f"{len(details) - MOST_PROBLEMS} more problems are not shown"
        found[""] = Problem(line=0, key="", rule=rule, hint="Fix these first")
    return sorted(found.values(), key=lambda problem: problem.line)


def _existing(document: Document, location: Location, kind: str) -> Location:
    """The part of pydantic's location that is in the document: it adds names of union members at its end."""
    value: Any = document.value
    place: list[str | int] = []
    for step in location:
        if isinstance(value, dict):
            found = step in value
        else:
            found = isinstance(value, list) and isinstance(step, int) and step < len(value)
        if found:
            value = value[step]
        elif kind == "missing" and isinstance(value, dict) and len(place) == len(location) - 1:
            return tuple(location)
        else:
            break
        place.append(step)
    return tuple(place)


def _words(detail: ErrorDetails, model: type[BaseModel], place: Location) -> tuple[str, str]:
    kind, context, given = detail["type"], detail.get("ctx", {}), detail["input"]
    if kind == "extra_forbidden":
        known = known_keys(model, place[:-1])
        near = did_you_mean(str(place[-1]), known)
        return "no such key", near or ("There are " + ", ".join(known) + "." if known else "")
    if kind == "missing":
        return "is missing", ""
    if kind == "string_type":
        if isinstance(given, bool | int | float | datetime.date):
            return f"must be text, and YAML reads {given!r} as something else", "Put it in quotes."
        return "must be text", ""
    if kind == "string_pattern_mismatch":
        pattern = str(context.get("pattern"))
        return _PATTERNS.get(pattern, f"must look like {pattern}"), ""
    if kind == "literal_error":
        expected = str(context.get("expected")).replace("'", "").replace(" or ", ", ")
        return f"must be one of {expected}", did_you_mean(str(given), expected.split(", "))
    if kind == "value_error":
        return str(context.get("error")), ""
    text = _TYPES.get(kind) or detail["msg"][0].lower() + detail["msg"][1:].replace("Input should be", "must be")
    return text.replace("input should be", "must be"), ""


def known_keys(model: type[BaseModel], location: Location) -> list[str]:
    """The keys that a mapping at this place may have, as they are written.

    >>> from towline.model.group.group import DeploymentGroup
    >>> known_keys(DeploymentGroup, ("ec2TagFilters", 0))
    ['Key', 'Value', 'Type']
    """
    inner: type[BaseModel] | None = model
    for step in location:
        if isinstance(step, int) or inner is None:
            continue
        field = next((f for f in inner.model_fields.values() if f.alias == step), None)
        if field is not None:
            inner = _model_in(field.annotation)
        # Else the step is a name that the user gave, as below `ssh`: the model stays the same.
    return [f.alias or name for name, f in inner.model_fields.items() if name != "owner"] if inner else []


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    inner = (_model_in(argument) for argument in typing.get_args(annotation))
    return next((model for model in inner if model), None)
