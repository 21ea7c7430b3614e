"""Many that ask at once share a read, and nobody gets one that began before it asked."""

from __future__ import annotations

import asyncio

import pytest

from towline.sharing import SharedReads


class Source:
    """Counts its reads, each of which tells what had been written when it began, and waits to be let go."""

    def __init__(self) -> None:
        self.written = 0
        self.reads = 0
        self.may_end = asyncio.Event()

    async def read(self) -> int:
        self.reads += 1
        value = self.written
        await self.may_end.wait()
        if value < 0:
            raise ValueError("no such thing")
        return value


async def test_who_asks_while_a_read_is_under_way_shares_the_next_one() -> None:
    source, shared = Source(), SharedReads[int]()
    first = [asyncio.create_task(shared.read("a", source.read)) for _ in range(10)]
    other = asyncio.create_task(shared.read("b", source.read))
    await asyncio.sleep(0.01)
    source.written = 1
    later = [asyncio.create_task(shared.read("a", source.read)) for _ in range(10)]
    await asyncio.sleep(0.01)
    later[0].cancel()
    source.may_end.set()
    assert await asyncio.gather(*first, other) == [0] * 11
    assert await asyncio.gather(*later[1:]) == [1] * 9
    assert source.reads == 3
    assert await shared.read("a", source.read) == 1 and source.reads == 4, "nothing is kept"


async def test_all_hear_of_a_read_that_fails_and_the_next_one_is_tried() -> None:
    source, shared = Source(), SharedReads[int]()
    source.may_end.set()
    source.written = -1
    both = await asyncio.gather(*(shared.read("a", source.read) for _ in range(2)), return_exceptions=True)
    assert [type(each) for each in both] == [ValueError, ValueError] and source.reads == 1
    source.written = 7
    assert await shared.read("a", source.read) == 7
    with pytest.raises(ValueError, match="no such thing"):
        source.written = -1
        await shared.read("a", source.read)
