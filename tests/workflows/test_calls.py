"""The stubs of `workflows/calls.py` against the activities that `worker.py` registers, as the SDK sees both."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_type_hints
from unittest.mock import sentinel

import pytest
from temporalio import activity

import worker
from towline.model.worker_call import ALLOWED_ACTIVITIES
from towline.store import open_store
from towline.transports import TransportPool
from workflows import calls


def definition(function: Callable[..., Any]) -> activity._Definition:
    found = activity._Definition.from_callable(function)
    assert found, function
    return found


STUBS = {
    definition(function).name: function
    for _, function in inspect.getmembers(calls, inspect.iscoroutinefunction)
    if activity._Definition.from_callable(function)
}


@pytest.fixture
def registered(tmp_path: Path) -> dict[str, Callable[..., Any]]:
    """What a worker registers, by the names under which Temporal knows it."""
    store = open_store(str(tmp_path / "store"))
    on_hosts, everywhere = worker.build_activities(sentinel.client, store, TransportPool(), tmp_path / "cache", "here")
    return {str(definition(function).name): function for function in [*on_hosts, *everywhere]}


@pytest.mark.parametrize("name", STUBS)
def test_stub_is_registered_with_the_same_types(name: str, registered: dict[str, Callable[..., Any]]) -> None:
    stub, real = STUBS[name], registered[name]
    argument, answer = types_of(stub)
    assert types_of(real) == (argument, answer)
    # The SDK drops type hints that it cannot use, and payloads would then arrive as plain dictionaries.
    for function in (stub, real):
        assert definition(function).arg_types == [argument]
        assert definition(function).ret_type == answer
        assert definition(function).is_async


def test_every_registered_activity_is_called_or_asked_for(registered: dict[str, Callable[..., Any]]) -> None:
    assert set(registered) == set(STUBS) | set(ALLOWED_ACTIVITIES)


def types_of(function: Callable[..., Any]) -> tuple[Any, Any]:
    """The type of the only argument, and of the answer."""
    hints = get_type_hints(function)
    answer = hints.pop("return")
    assert len(hints) == 1, f"{function}: one argument object, or the SDK drops the type hints"
    return next(iter(hints.values())), answer
