"""The journal: every entry is read once, in order, by every process, whatever is folded meanwhile."""

from __future__ import annotations

import asyncio
import random
import threading
from pathlib import Path

import pytest

from tests.harness.temporal import eventually
from towline.errors import OurFault
from towline.store import Store, open_store
from towline.store.journal import FOLD_FROM, HOUR, JOURNALS, SEGMENT, SKEW, Journal
from worker import fold_journals

START = 1_764_504_000.0


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path))


def numbers(journal: Journal) -> list[int]:
    return [entry["n"] for entry in journal.read_new()]


def test_entries_are_read_once_and_in_order(store: Store, clock: Clock) -> None:
    writer, reader = Journal(store, "revisions", clock), Journal(store, "revisions", clock)
    writer.append({"n": 1})
    clock.now += 1
    writer.append({"n": 2}, {"n": 3})
    assert numbers(reader) == [1, 2, 3]
    assert numbers(reader) == []
    clock.now += 1
    writer.append({"n": 4})
    assert numbers(reader) == [4]
    assert numbers(Journal(store, "revisions", clock)) == [1, 2, 3, 4]
    assert numbers(Journal(store, "others", clock)) == []


def test_a_past_day_becomes_one_segment_and_reads_the_same(store: Store, clock: Clock) -> None:
    journal = Journal(store, "revisions", clock)
    for n in range(3):
        clock.now += 1
        journal.append({"n": n})
    assert journal.fold() == 0, "more will be written on this day"
    clock.now += 24 * HOUR
    journal.append({"n": 3})
    assert journal.fold() == 1
    assert journal.fold() == 0
    assert [key.endswith(SEGMENT) for key in store.keys("journal/")] == [True, False]
    assert numbers(Journal(store, "revisions", clock)) == [0, 1, 2, 3]


def test_a_busy_day_is_folded_while_it_lasts_and_a_segment_with_what_came_later(store: Store, clock: Clock) -> None:
    journal, reader = Journal(store, "revisions", clock), Journal(store, "revisions", clock)
    seen: list[int] = []
    for n in range(2 * FOLD_FROM):
        clock.now += 1
        journal.append({"n": n})
        journal.fold()
        if n % 10 == 0:
            seen += numbers(reader)
    assert len(list(store.keys("journal/"))) < FOLD_FROM
    assert seen + numbers(reader) == numbers(Journal(store, "revisions", clock)) == list(range(2 * FOLD_FROM))


def test_what_a_slow_clock_writes_into_a_folded_day_is_read_and_folded_too(store: Store, clock: Clock) -> None:
    journal, reader = Journal(store, "revisions", clock), Journal(store, "revisions", clock)
    journal.append({"n": 1}, {"n": 2})
    journal.append({"n": 3})
    clock.now += 24 * HOUR
    assert journal.fold() == 1 and sorted(numbers(reader)) == [1, 2, 3]
    Journal(store, "revisions", lambda: clock.now - SKEW).append({"n": 4})
    assert numbers(reader) == [4]
    assert journal.fold() in (0, 1)
    assert sorted(numbers(Journal(store, "revisions", clock))) == [1, 2, 3, 4]


def test_a_reader_that_slept_reads_what_was_folded_meanwhile(store: Store, clock: Clock) -> None:
    writer, reader = Journal(store, "revisions", clock), Journal(store, "revisions", clock)
    writer.append({"n": -1})
    assert numbers(reader) == [-1]
    for n in range(FOLD_FROM):
        clock.now += 1
        writer.append({"n": n})
    clock.now += 3 * 24 * HOUR
    assert writer.fold() == 1
    assert numbers(reader) == list(range(FOLD_FROM))


def test_what_is_folded_between_listing_and_reading_is_found_in_the_segment(
    store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal, other = Journal(store, "revisions", clock), Journal(store, "revisions", clock)
    for n in range(3):
        journal.append({"n": n})
    clock.now += 24 * HOUR
    folds = iter([other.fold])
    listed = journal._listed

    def list_then_fold(now: float) -> list[str]:
        keys = list(listed(now))
        for fold in folds:
            assert fold() == 1
        return keys

    monkeypatch.setattr(journal, "_listed", list_then_fold)
    assert sorted(numbers(journal)) == [0, 1, 2]


async def test_a_worker_folds_every_journal(store: Store, clock: Clock) -> None:
    for name in JOURNALS:
        for n in range(3):
            Journal(store, name, clock).append({"n": n})

    async def are_folded() -> bool:
        return [key.endswith(SEGMENT) for key in store.keys("journal/")] == [True] * len(JOURNALS)

    work = asyncio.create_task(fold_journals(store))
    await eventually(are_folded)
    work.cancel()


def test_a_read_that_fails_loses_nothing(store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(store, "revisions", clock)
    journal.append({"n": 1})
    with monkeypatch.context() as patched:
        patched.setattr(store, "get", broken)
        with pytest.raises(OurFault):
            journal.read_new()
    assert numbers(journal) == [1]


def broken(key: str) -> bytes:
    raise OurFault("the store is away")


@pytest.mark.parametrize("seed", range(5))
def test_nothing_is_lost_or_read_twice_by_writers_folders_and_readers_at_once(
    store: Store, clock: Clock, seed: int
) -> None:
    chance = random.Random(seed)
    reader = Journal(store, "revisions", clock)
    seen: list[int] = []

    def write(numbers_of_writer: range) -> None:
        journal = Journal(store, "revisions", clock)
        for n in numbers_of_writer:
            journal.append({"n": n})

    for round_ in range(6):
        threads = [threading.Thread(target=write, args=(range(k, k + 12),)) for k in (100 * round_, 100 * round_ + 50)]
        threads += [threading.Thread(target=Journal(store, "revisions", clock).fold) for _ in range(2)]
        for thread in threads:
            thread.start()
        if chance.random() < 0.6:
            seen += numbers(reader)
        for thread in threads:
            thread.join()
        clock.now += chance.choice([1, 0.5 * HOUR, 5 * HOUR, 24 * HOUR, 50 * HOUR])
    seen += numbers(reader)
    expected = sorted(n for r in range(6) for k in (100 * r, 100 * r + 50) for n in range(k, k + 12))
    assert sorted(seen) == expected
    assert sorted(numbers(Journal(store, "revisions", clock))) == expected
