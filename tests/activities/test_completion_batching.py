"""Ends of instances in groups: who waits, for how long at most, and what ends the wait."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from activities import completion_batching
from activities.completion_batching import FEW, InFlight


@pytest.fixture(autouse=True)
def endless(monkeypatch: pytest.MonkeyPatch) -> None:
    """No moment is over by itself."""
    monkeypatch.setattr(completion_batching, "MOMENT_SECONDS", 3600)


async def turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_an_end_waits_for_nobody_where_few_are_at_work() -> None:
    at_work = InFlight()
    with contextlib.ExitStack() as others:
        for _ in range(FEW - 1):
            others.enter_context(at_work.one_more())
        await at_work.end_together()


async def test_ends_go_together_when_the_moment_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(completion_batching, "MOMENT_SECONDS", 0.02)
    at_work = InFlight()
    with contextlib.ExitStack() as others:
        for _ in range(FEW):
            others.enter_context(at_work.one_more())
        ends = [asyncio.create_task(at_work.end_together()) for _ in range(3)]
        await turns()
        assert not any(end.done() for end in ends)
        await asyncio.gather(*ends)
        again = asyncio.create_task(at_work.end_together())  # a moment of its own
        await turns()
        assert not again.done()
        await again


async def test_ends_go_when_few_are_left_at_work() -> None:
    at_work = InFlight()
    with contextlib.ExitStack() as others:
        for _ in range(FEW - 1):
            others.enter_context(at_work.one_more())
        with at_work.one_more():
            end = asyncio.create_task(at_work.end_together())
            await turns()
            assert not end.done()
        await end


async def test_a_cancelled_end_is_told_as_an_end() -> None:
    at_work = InFlight()
    with contextlib.ExitStack() as others:
        for _ in range(FEW):
            others.enter_context(at_work.one_more())
        end = asyncio.create_task(at_work.end_together())
        await turns()
        end.cancel()
        await end
        assert not end.cancelled()
