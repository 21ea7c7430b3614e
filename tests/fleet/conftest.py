"""Fleets for tests: `fleet` is shared by a session, `new_fleet(...)` makes one of one's own."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator

import pytest

from tests.fleet.box import Fleet, missing

REQUIRED = "TOWLINE_REQUIRE_ALL"
"""Set to 1 where the tools are installed: a test that would skip fails."""


@pytest.fixture(scope="session")
def can_box() -> None:
    """Skips, or fails where everything is required, on a machine that cannot hold a fleet."""
    reason = missing()
    if reason and os.environ.get(REQUIRED) == "1":
        pytest.fail(reason)
    if reason:
        pytest.skip(reason)


@pytest.fixture(scope="session")
def fleet(can_box: None) -> Iterator[Fleet]:
    """Three hosts, `web-01` to `web-03`, for tests that leave them as they were."""
    with Fleet(3) as fleet:
        yield fleet


@pytest.fixture
def new_fleet(can_box: None) -> Iterator[Callable[..., Fleet]]:
    """Makes fleets of the test's own, with `Fleet`'s arguments; they are gone after the test."""
    with contextlib.ExitStack() as stack:
        yield lambda *args, **options: stack.enter_context(Fleet(*args, **options))
