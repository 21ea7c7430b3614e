"""The journal: every entry is read once, in order, by every process, whatever is folded meanwhile."""

from __future__ import annotations

import random
import threading
from pathlib import Path

import pytest

from towline.store import Store, open_store
from towline.store.journal import FOLD_FROM, HOUR, SEGMENT, SETTLED_HOURS, Journal

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


def test_settled_hours_become_segments_and_read_the_same(store: Store, clock: Clock) -> None:
    journal = Journal(store, "revisions", clock)
    for n in range(FOLD_FROM):
        clock.now += 1
        journal.append({"n": n})
    clock.now += HOUR
    assert journal.fold() == 0, "a slow clock may still write into that hour"
    clock.now += SETTLED_HOURS * HOUR
    journal.append({"n": FOLD_FROM})
    assert journal.fold() == 1
    assert sum(key.endswith(SEGMENT) for key in store.keys("journal/")) == 1
    assert len(list(store.keys("journal/"))) == 2
    assert numbers(Journal(store, "revisions", clock)) == list(range(FOLD_FROM + 1))


def test_a_reader_that_slept_reads_what_was_folded_meanwhile(store: Store, clock: Clock) -> None:
    writer, reader = Journal(store, "revisions", clock), Journal(store, "revisions", clock)
    writer.append({"n": -1})
    assert numbers(reader) == [-1]
    for n in range(FOLD_FROM):
        clock.now += 1
        writer.append({"n": n})
    clock.now += 24 * HOUR
    assert writer.fold() == 1
    assert numbers(reader) == list(range(FOLD_FROM))


def test_an_hour_that_another_process_folds_is_left_alone(
    store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(store, "revisions", clock)
    for n in range(FOLD_FROM):
        clock.now += 1
        journal.append({"n": n})
    clock.now += 24 * HOUR
    keys = list(store.keys("journal/"))
    other = Journal(store, "revisions", clock)
    assert other.fold() == 1
    # It has listed the objects, and looked for a segment, before the other one wrote it and deleted them.
    monkeypatch.setattr(journal, "_segment", lambda hour: {})
    journal._fold(keys[0].split("/")[2], keys)
    assert numbers(Journal(store, "revisions", clock)) == list(range(FOLD_FROM))


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
        clock.now += chance.choice([1, 0.5 * HOUR, HOUR, 5 * HOUR])
    seen += numbers(reader)
    expected = sorted(n for r in range(6) for k in (100 * r, 100 * r + 50) for n in range(k, k + 12))
    assert sorted(seen) == expected
    assert sorted(numbers(Journal(store, "revisions", clock))) == expected
