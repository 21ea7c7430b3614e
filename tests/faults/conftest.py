"""A site for each test, in a namespace of its own; its worker logs are shown when a test fails."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from tests.harness.faults.site import FaultSite
from tests.harness.temporal import TemporalServer


@pytest_asyncio.fixture
async def site(temporal: TemporalServer, tmp_path: Path) -> AsyncIterator[FaultSite]:
    client = await temporal.new_namespace()
    site = FaultSite.at(tmp_path, temporal.address, client)
    try:
        yield site
    finally:
        site.close()
        for worker in site.workers:
            print(f"── {worker.log.name}\n{worker.log.read_text()[-4000:]}")
