"""Calls that travel together: one group at a time, each caller its own answer."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from towline.grouping import Grouping


class Line:
    """Sends groups of numbers and doubles them; the first group waits until `may_go` is set."""

    def __init__(self) -> None:
        self.groups: list[list[int]] = []
        self.may_go = asyncio.Event()
        self.in_flight = 0

    async def send(self, numbers: Sequence[int]) -> list[int]:
        self.groups.append(list(numbers))
        self.in_flight += 1
        assert self.in_flight == 1
        await self.may_go.wait()
        self.in_flight -= 1
        if 13 in numbers:
            raise ValueError("thirteen")
        return [2 * number for number in numbers]


async def begun(grouping: Grouping[int, int], *numbers: int) -> list[asyncio.Task[int]]:
    calls = [asyncio.create_task(grouping.call(number)) for number in numbers]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return calls


async def test_what_comes_while_a_group_is_under_way_is_the_next_group() -> None:
    line = Line()
    grouping = Grouping(line.send, most=100, size=lambda number: 1)
    first = await begun(grouping, 1)
    others = await begun(grouping, 2, 3, 4)
    line.may_go.set()
    assert await asyncio.gather(*first, *others) == [2, 4, 6, 8]
    assert line.groups == [[1], [2, 3, 4]]
    assert await grouping.call(5) == 10, "after a pause it goes on"


async def test_a_group_is_bounded_and_what_is_larger_travels_alone() -> None:
    line = Line()
    line.may_go.set()
    grouping = Grouping(line.send, most=10, size=lambda number: number)
    calls = await begun(grouping, 4, 5, 6, 50, 1)
    assert await asyncio.gather(*calls) == [8, 10, 12, 100, 2]
    assert line.groups == [[4, 5], [6], [50], [1]]


async def test_an_error_is_for_its_own_group() -> None:
    line = Line()
    line.may_go.set()
    grouping = Grouping(line.send, most=2, size=lambda number: 1)
    ends = await asyncio.gather(*(grouping.call(number) for number in (13, 1, 2, 3)), return_exceptions=True)
    assert [type(end) for end in ends] == [ValueError, ValueError, int, int]


async def test_a_caller_that_is_cancelled_takes_back_only_what_was_not_sent() -> None:
    line = Line()
    grouping = Grouping(line.send, most=100, size=lambda number: 1)
    (sent,) = await begun(grouping, 1)
    waiting, other = await begun(grouping, 2, 3)
    sent.cancel()
    waiting.cancel()
    line.may_go.set()
    assert await other == 6
    assert line.groups == [[1], [3]]
    for cancelled in (sent, waiting):
        with pytest.raises(asyncio.CancelledError):
            await cancelled
