"""Fixtures that several folders of tests share."""

from __future__ import annotations

from collections.abc import AsyncIterator

import hypothesis  # noqa: F401 - see below
import pytest_asyncio

from tests.support.temporal import TemporalServer, temporal_server

# Hypothesis' plugin imports it at the very end of a session, and pytest rewrites what it imports. Python 3.11's
# ast.parse fails now and then ("recursion depth mismatch") when another thread, the workflow sandbox, parses too.


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def temporal() -> AsyncIterator[TemporalServer]:
    """One real Temporal dev server for the session: `temporal.client`, `temporal.address`, `new_namespace()`."""
    async with temporal_server() as server:
        yield server
