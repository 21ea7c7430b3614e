"""Fixtures that several folders of tests share."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.support.temporal import TemporalServer, temporal_server


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def temporal() -> AsyncIterator[TemporalServer]:
    """One real Temporal dev server for the session: `temporal.client`, `temporal.address`, `new_namespace()`."""
    async with temporal_server() as server:
        yield server
