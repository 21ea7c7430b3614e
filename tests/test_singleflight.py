"""Many that ask at once share a read, and nobody gets one that began before it asked."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from towline.singleflight import KeptReads, SharedReads


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


async def test_reads_begin_at_least_so_long_after_one_another() -> None:
    source, shared = Source(), SharedReads[int](seconds=0.05)
    source.may_end.set()
    began: list[float] = []

    async def read() -> int:
        began.append(asyncio.get_running_loop().time())
        return await source.read()

    for _ in range(3):
        await asyncio.gather(*(shared.read("a", read) for _ in range(5)))
    assert len(began) == 3
    assert all(later - before >= 0.05 for before, later in itertools.pairwise(began))


async def test_a_kept_answer_is_read_once_however_many_ask() -> None:
    source, kept = Source(), KeptReads[int](2)
    both = [asyncio.create_task(kept.read("a", source.read)) for _ in range(2)]
    await asyncio.sleep(0.01)
    both[0].cancel()
    source.written = 1
    source.may_end.set()
    assert await both[1] == 0 and await kept.read("a", source.read) == 0
    assert await kept.read("a", source.read, anew=True) == 1 and await kept.read("a", source.read) == 1
    assert source.reads == 2


async def test_the_answers_asked_for_last_are_kept() -> None:
    source, kept = Source(), KeptReads[int](2)
    source.may_end.set()
    for key in ("a", "b", "a", "c", "a"):
        await kept.read(key, source.read)
    assert source.reads == 3
    await kept.read("b", source.read)
    assert source.reads == 4


async def test_an_answer_that_is_too_old_is_read_again_and_a_read_under_way_is_shared() -> None:
    source, kept = Source(), KeptReads[int](2, seconds=0)
    both = [asyncio.create_task(kept.read("a", source.read)) for _ in range(2)]
    await asyncio.sleep(0.01)
    source.may_end.set()
    assert await asyncio.gather(*both) == [0, 0] and source.reads == 1
    await kept.read("a", source.read)
    assert source.reads == 2


async def test_an_answer_is_given_while_a_newer_one_is_read_until_it_is_too_old() -> None:
    source, kept = Source(), KeptReads[int](2, seconds=3600, renew=0)
    source.may_end.set()
    assert await kept.read("a", source.read) == 0
    source.may_end.clear()
    source.written = 1
    assert [await kept.read("a", source.read) for _ in range(3)] == [0, 0, 0]
    await asyncio.sleep(0)
    assert source.reads == 2, "one renewal for all"
    kept._seconds = 0
    late = asyncio.create_task(kept.read("a", source.read))
    source.may_end.set()
    assert await late == 1 and source.reads == 2, "who finds it too old waits for the renewal"


async def test_a_renewal_that_fails_leaves_the_answer_until_it_is_too_old() -> None:
    source, kept = Source(), KeptReads[int](2, seconds=3600, renew=0)
    source.may_end.set()
    await kept.read("a", source.read)
    source.written = -1
    assert await kept.read("a", source.read) == 0
    await asyncio.sleep(0)
    assert await kept.read("a", source.read) == 0
    kept._seconds = 0
    await asyncio.sleep(0.01)
    with pytest.raises(ValueError, match="no such thing"):
        await kept.read("a", source.read)


async def test_a_read_that_failed_is_not_kept() -> None:
    source, kept = Source(), KeptReads[int](2)
    source.may_end.set()
    source.written = -1
    both = await asyncio.gather(*(kept.read("a", source.read) for _ in range(2)), return_exceptions=True)
    assert [type(each) for each in both] == [ValueError, ValueError] and source.reads == 1
    source.written = 7
    assert await kept.read("a", source.read) == 7
