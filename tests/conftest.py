"""Fixtures that several folders of tests share."""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from pathlib import Path

import hypothesis
import pytest
import pytest_asyncio

from tests.harness.fleet.box import Fleet, missing
from tests.harness.host.local_host import LocalHost
from tests.harness.s3 import s3_server
from tests.harness.temporal import TemporalServer, temporal_server

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


@pytest.fixture(scope="session")
def s3_address() -> Iterator[str]:
    """The address of one S3 server for the session; each test makes its own bucket (`new_bucket`)."""
    with s3_server() as address:
        yield address


@pytest.fixture(scope="session")
def can_box() -> None:
    """Skips, or fails where everything is required, on a machine that cannot hold a fleet."""
    reason = missing()
    if reason and REQUIRE_ALL:
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


@pytest.fixture
def host(tmp_path: Path) -> LocalHost:
    """A host below a directory, with nothing on it."""
    return LocalHost(tmp_path / "host")
