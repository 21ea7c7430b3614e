"""CodeDeploy's service model, compiled: a reader for each operation's input and a writer for each output.

botocore's copy of the model is the schema of names, types and output shapes. botocore builds its shape objects anew at
each access, so they are compiled to plain functions once, at the server's start. The model holds almost no rules
(lengths, patterns, which error for which mistake): those are the operations' own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

import botocore.loaders
from botocore.model import ListShape, MapShape, ServiceModel, Shape, StructureShape

from towline.api.errors import serialization

Reader = Callable[[Any, str], Any]
"""(decoded value, where it stands) → the value as operations take it. Raises ApiError (SerializationException)."""
Writer = Callable[[Any], Any]
"""A value as operations return it → what JSON and CBOR encode; timestamps become `Timestamp`."""

SERVICE = "codedeploy"
VERSION = "2014-10-06"
LATEST = 253402300799  # 9999-12-31T23:59:59Z, in seconds since 1970: later ones are no dates in any client
LONG = 1 << 63


@dataclass(frozen=True)
class Timestamp:
    """A time in an answer, in seconds since 1970; each protocol writes it in its own way."""

    seconds: float


@dataclass(frozen=True)
class Operation:
    """One operation of the model. `read` takes a decoded body, `write` what the operation returned."""

    name: str
    read: Callable[[Any], dict[str, Any]]
    write: Callable[[Mapping[str, Any]], dict[str, Any]]
    errors: frozenset[str]
    required: frozenset[str]
    members: tuple[str, ...]


@cache
def operations() -> dict[str, Operation]:
    """All operations of CodeDeploy, by name."""
    raw = botocore.loaders.Loader().load_service_model(SERVICE, "service-2", api_version=VERSION)
    model = ServiceModel(raw, SERVICE)
    return {name: _operation(model, name) for name in model.operation_names}


def _operation(model: ServiceModel, name: str) -> Operation:
    operation = model.operation_model(name)
    return Operation(
        name,
        _body_reader(operation.input_shape),
        _writer(operation.output_shape) if operation.output_shape else lambda _: {},
        frozenset(shape.name for shape in operation.error_shapes),
        frozenset(operation.input_shape.required_members) if operation.input_shape else frozenset(),
        tuple(operation.input_shape.members) if operation.input_shape else (),
    )


def _body_reader(shape: StructureShape | None) -> Callable[[Any], dict[str, Any]]:
    read = _reader(shape) if shape else _no_members

    def read_body(value: Any) -> dict[str, Any]:
        result: dict[str, Any] = read({} if value is None else value, "")
        return result

    return read_body


def _no_members(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise serialization("The body must be a map.")
    return {}


# ── readers ──────────────────────────────────────────────────────────────────────────────────────────────────────


def _reader(shape: Shape) -> Reader:
    if isinstance(shape, StructureShape):
        return _structure_reader(shape)
    if isinstance(shape, ListShape):
        return _list_reader(_reader(shape.member))
    if isinstance(shape, MapShape):
        return _map_reader(_reader(shape.key), _reader(shape.value))
    return _SCALARS[shape.type_name]


def _structure_reader(shape: StructureShape) -> Reader:
    members = {name: _reader(member) for name, member in shape.members.items()}

    def read(value: Any, where: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise _unexpected(where, "a map", value)
        prefix = f"{where}." if where else ""
        return {
            name: member(value[name], prefix + name)
            for name, member in members.items()
            if name in value and value[name] is not None
        }

    return read


def _list_reader(member: Reader) -> Reader:
    def read(value: Any, where: str) -> list[Any]:
        if not isinstance(value, list):
            raise _unexpected(where, "a list", value)
        return [member(item, f"{where}[{place}]") for place, item in enumerate(value) if item is not None]

    return read


def _map_reader(key: Reader, member: Reader) -> Reader:
    def read(value: Any, where: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise _unexpected(where, "a map", value)
        return {key(name, where): member(item, f"{where}.{name}") for name, item in value.items() if item is not None}

    return read


def _string(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise _unexpected(where, "a string", value)
    if not value.isascii() and any("\ud800" <= letter <= "\udfff" for letter in value):
        raise serialization(f"{where or 'The body'} has half a surrogate pair, which is no character.")
    return value


def _integer(value: Any, where: str) -> int:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise _unexpected(where, "an integer", value)
    if not -LONG <= value < LONG:
        raise serialization(f"{where} is out of range.")
    return value


def _double(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise _unexpected(where, "a number", value)
    return float(value)


def _boolean(value: Any, where: str) -> bool:
    if not isinstance(value, bool):
        raise _unexpected(where, "a boolean", value)
    return value


def _timestamp(value: Any, where: str) -> float:
    if isinstance(value, datetime):  # CBOR's tag 1, decoded
        value = value.timestamp()
    seconds = _double(value, where)
    if not 0 <= seconds <= LATEST:
        raise serialization(f"{where} is out of range.")
    return seconds


_SCALARS: dict[str, Reader] = {
    "string": _string,
    "integer": _integer,
    "long": _integer,
    "double": _double,
    "boolean": _boolean,
    "timestamp": _timestamp,
}


def _unexpected(where: str, expected: str, value: Any) -> Exception:
    kind = {dict: "a map", list: "a list", str: "a string", bool: "a boolean", int: "a number", float: "a number"}
    return serialization(f"{where or 'The body'} must be {expected}, not {kind.get(type(value), 'something else')}.")


# ── writers ──────────────────────────────────────────────────────────────────────────────────────────────────────


def _writer(shape: Shape) -> Writer:
    if isinstance(shape, StructureShape):
        return _structure_writer(shape)
    if isinstance(shape, ListShape):
        member = _writer(shape.member)
        return lambda value: [member(item) for item in value]
    if isinstance(shape, MapShape):
        inner = _writer(shape.value)
        return lambda value: {str(name): inner(item) for name, item in value.items()}
    if shape.type_name == "timestamp":
        return _write_timestamp
    return _TO_PLAIN[shape.type_name]


def _structure_writer(shape: StructureShape) -> Writer:
    members = {name: _writer(member) for name, member in shape.members.items()}
    name_of_shape = shape.name

    def write(value: Mapping[str, Any]) -> dict[str, Any]:
        unknown = value.keys() - members.keys()
        assert not unknown, f"{name_of_shape} has no {', '.join(sorted(unknown))}"
        return {name: members[name](item) for name, item in value.items() if item is not None}

    return write


def _write_timestamp(value: Any) -> Timestamp:
    """From seconds, or from ISO 8601 text as towline's views have it."""
    if isinstance(value, str):
        value = datetime.fromisoformat(value).timestamp()
    return Timestamp(float(value))


_TO_PLAIN: dict[str, Writer] = {"string": str, "integer": int, "long": int, "double": float, "boolean": bool}
