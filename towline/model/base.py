"""The bases of towline's messages: snake_case for ours, camelCase for CodeDeploy's shapes and for users."""

from __future__ import annotations

import functools
import operator
from typing import Any, ClassVar

from pydantic import AliasGenerator, BaseModel, ConfigDict, Field, TypeAdapter
from pydantic.alias_generators import to_camel

Absent: Any = Field(exclude_if=lambda value: value in (None, "", ()))
"""Marks a member that is left out of JSON where it has no value: to CodeDeploy's clients, absent is not empty."""

AbsentIfFalse: Any = Field(exclude_if=operator.not_)
"""The same of a member whose every false value is none. It is decided in C: a large report asks 200,000 times."""


class Message(BaseModel):
    """Crosses between client, workflow and activity. Unknown fields are ignored: a newer worker may add some."""

    # Built at first use: no command needs them all, and building takes a tenth of its start.
    model_config = ConfigDict(frozen=True, defer_build=True)


class ReportedMessage(Message):
    """A message that `--json` and reports show too, beside CodeDeploy's shapes and therefore in camelCase.

    It is read from either; Temporal carries it in snake_case, as every message.
    """

    model_config = ConfigDict(alias_generator=AliasGenerator(validation_alias=to_camel), populate_by_name=True)

    def as_json(self) -> dict[str, Any]:
        """As users see it: JSON with camelCase names."""
        shown: dict[str, Any] = _in_camel_case(self.model_dump(mode="json"))
        return shown


class ApiShape(BaseModel):
    """A shape of CodeDeploy's API, read by its camelCase names.

    What people write is read with `extra="forbid"` and `by_name=False`, so that a misspelt key, or `identity_file` for
    `identityFile`, is an error (`request.py`, `manifest/parser.py`).
    What a worker of the next version wrote, into Temporal or the store, is read by this one too: it ignores new keys.
    """

    model_config = ConfigDict(frozen=True, alias_generator=to_camel, populate_by_name=True, defer_build=True)

    def as_json(self) -> dict[str, Any]:
        """As JSON with CodeDeploy's names."""
        return self.model_dump(mode="json", by_alias=True)


class CompactShape:
    """The base of frozen dataclasses that are shapes of the API of which a large fleet has tens of thousands.

    They are read, and written as JSON, as an `ApiShape` is; a model would take three times the memory and time.
    """

    __slots__ = ()
    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(alias_generator=to_camel, populate_by_name=True)

    def as_json(self) -> dict[str, Any]:
        """As JSON with CodeDeploy's names."""
        kind: Any = type(self)
        shown: dict[str, Any] = adapter(kind).dump_python(self, mode="json", by_alias=True)
        return shown


@functools.cache
def adapter(kind: Any) -> TypeAdapter[Any]:
    """Reads and writes values of a type; built at first use."""
    return TypeAdapter(kind)


def _in_camel_case(value: Any) -> Any:
    if isinstance(value, dict):
        return {_camel(key): _in_camel_case(inner) for key, inner in value.items()}
    return [_in_camel_case(inner) for inner in value] if isinstance(value, list) else value


_camel = functools.cache(to_camel)
