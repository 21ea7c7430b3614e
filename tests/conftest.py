"""Fixtures that several folders of tests share."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Generator

import hypothesis
import pytest
import pytest_asyncio

from tests.support.temporal import TemporalServer, temporal_server

# Hypothesis' plugin imports it at the very end of a session, and pytest rewrites what it imports. Python 3.11's
# ast.parse fails now and then ("recursion depth mismatch") when another thread, the workflow sandbox, parses too.

# How long an example takes says how busy the machine is.
hypothesis.settings.register_profile("towline", deadline=None)
hypothesis.settings.load_profile("towline")

REQUIRE_ALL = os.environ.get("TOWLINE_REQUIRE_ALL") == "1"
"""In CI, where everything that tests need is installed: one that would skip fails."""


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """As many as there are cores; one more for `make test` (by file), whose slow tests wait half of their time."""
    return (os.cpu_count() or 1) + int(config.getoption("dist") == "loadfile")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests first: the others fill the gaps at the end of a run in parallel."""
    long = {item.path for item in items if item.get_closest_marker("slow") or item.get_closest_marker("fleet")}
    items.sort(key=lambda item: item.path not in long)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turns a skip into a failure where all is required; an expected failure is none."""
    report = yield
    if not hasattr(report, "wasxfail"):
        _fail_if_skipped(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """The same for a file that skips as a whole."""
    report = yield
    _fail_if_skipped(report)
    return report


def _fail_if_skipped(report: pytest.TestReport | pytest.CollectReport) -> None:
    if REQUIRE_ALL and report.skipped:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"would be skipped ({reason}), but TOWLINE_REQUIRE_ALL=1 says that nothing may be missing"


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def temporal() -> AsyncIterator[TemporalServer]:
    """One real Temporal dev server for the session: `temporal.client`, `temporal.address`, `new_namespace()`."""
    async with temporal_server() as server:
        yield server
