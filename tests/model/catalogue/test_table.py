"""A table of the catalogue: versions, conditions, limits, what changed since a version, what the next run is given."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from towline.model.catalogue import limits
from towline.model.catalogue import table as tables
from towline.model.catalogue.packing import pack
from towline.model.catalogue.records import (
    Batch,
    CatalogueState,
    Change,
    Delta,
    Known,
    Record,
    Unchanged,
    WriteRequest,
)
from towline.model.catalogue.table import Table

KEYS = st.sampled_from([f"{kind}/{name}" for kind in ("instance", "config", "ssh") for name in "abc"])
CHANGES = st.builds(
    Change,
    key=KEYS,
    version=st.none() | st.integers(1, 12),
    value=st.none() | st.fixed_dictionaries({"n": st.integers(0, 2)}),
)
BATCHES = st.lists(st.lists(CHANGES, max_size=3, unique_by=lambda change: change.key), max_size=12)


def everything(table: Table) -> dict[str, Record]:
    return {record.key: record for record in table.since(Known()).all}


def create(*keys: str, **more: object) -> Batch:
    return Batch(changes=tuple(Change(key=key, value={"key": key}) for key in keys), **more)


def taken(copy: dict[str, Record], delta: Delta) -> dict[str, Record]:
    """A reader's copy after a delta."""
    kept = {} if delta.is_whole else {key: record for key, record in copy.items() if key not in delta.removed}
    return kept | {record.key: record for record in delta.all}


@given(BATCHES)
def test_a_batch_is_made_whole_or_not_at_all_and_versions_only_grow(batches: list[list[Change]]) -> None:
    table, highest = Table(), 0
    for changes in batches:
        before = everything(table)
        answer = table.apply(Batch(changes=tuple(changes)))
        after = everything(table)
        if answer.refused:
            assert after == before
            for refusal in answer.refused:
                assert refusal.current == before.get(refusal.key)
            continue
        for change in changes:
            record = after.get(change.key)
            assert (record.value if record else None) == change.value
            assert answer.versions.get(change.key) == (record.version if record else None)
        new = [record.version for key, record in after.items() if record != before.get(key)]
        assert all(version > highest for version in new)
        assert len(set(new)) == len(new)
        highest = max([highest, *new])
        untouched = before.keys() - {change.key for change in changes}
        assert all(after[key] == before[key] for key in untouched)


@given(BATCHES, st.integers(1, 4), st.integers(0, 12))
def test_a_reader_that_follows_has_what_the_table_has(
    batches: list[list[Change]], pace: int, new_run_after: int
) -> None:
    """However often it looks, and whether or not the table went on as a new run meanwhile."""
    table, known, copy = Table(chain="a"), Known(), dict[str, Record]()
    for number, changes in enumerate(batches):
        table.apply(Batch(changes=tuple(changes)))
        if number == new_run_after:
            table = Table(CatalogueState.model_validate_json(table.state().model_dump_json()), chain="a")
        if number % pace == 0:
            delta = table.since(known)
            copy, known = taken(copy, delta), delta.known
            assert copy == everything(table)
            assert not delta.is_whole or number == 0


@given(BATCHES)
def test_the_next_run_has_the_same_table_and_goes_on_counting(batches: list[list[Change]]) -> None:
    table = Table()
    for changes in batches:
        table.apply(Batch(changes=tuple(changes)))
    copy = Table(CatalogueState.model_validate_json(table.state().model_dump_json()))
    assert everything(copy) == everything(table)
    new = Batch(changes=(Change(key="setting/new", value={}),))
    assert copy.apply(new) == table.apply(new)


def test_a_record_made_again_has_another_version() -> None:
    table = Table()
    first = table.apply(Batch(changes=(Change(key="config/c", value={"n": 1}),))).versions["config/c"]
    table.apply(Batch(changes=(Change(key="config/c", version=first),)))
    table.apply(Batch(changes=(Change(key="config/c", value={"n": 2}),)))
    stale = Batch(changes=(Change(key="config/c", version=first, value={"n": 3}),))
    assert table.apply(stale).refused[0].key == "config/c"


def test_of_two_that_create_the_same_record_one_is_refused_and_one_that_is_sent_again_is_not() -> None:
    table = Table()
    ann, bob = create("application/shop", by="ann", id="1"), create("application/shop", by="bob", id="2")
    versions = table.apply(ann).versions
    (refusal,) = table.apply(bob).refused
    assert refusal.current and refusal.current.by == "ann"
    assert table.apply(ann).versions == versions
    assert table.apply(create("application/shop")).refused, "without an id no attempt is known again"


def test_a_batch_requires_what_it_does_not_change() -> None:
    table = Table()
    group = create("group/shop/web", exists=("application/shop",))
    assert [refusal.key for refusal in table.apply(group).refused] == ["application/shop"]
    table.apply(create("application/shop"))
    assert table.apply(group).versions
    read = table.since(Known()).known.version
    removal = Batch(
        changes=(Change(key="application/shop", version=1, value=None),),
        unchanged=(Unchanged(prefix="group/shop/", version=read),),
    )
    table.apply(create("group/shop/db", "group/other/db"))
    assert [refusal.key for refusal in table.apply(removal).refused] == ["group/shop/db"]
    assert "application/shop" in everything(table)
    later = table.since(Known()).known.version
    table.apply(create("group/other/cache"))
    now = removal.model_copy(update={"unchanged": (Unchanged(prefix="group/shop/", version=later),)})
    assert not table.apply(now).refused


def test_a_removal_counts_as_a_change_also_when_it_was_long_ago(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "REMOVALS", 2)
    table = Table()
    table.apply(create("group/shop/web", *(f"group/other/{n}" for n in range(4))))
    read = table.since(Known()).known.version
    condition = create("group/new/web", unchanged=(Unchanged(prefix="group/shop/", version=read),))
    table.apply(Batch(changes=(Change(key="group/shop/web", version=1, value=None),)))
    assert [refusal.key for refusal in table.apply(condition).refused] == ["group/shop/web"]
    for number in range(4):
        table.apply(Batch(changes=(Change(key=f"group/other/{number}", version=number + 2, value=None),)))
        assert table.apply(condition).refused
    assert table.since(Known(version=read)).is_whole


def test_a_reader_of_another_chain_of_runs_gets_the_whole_table() -> None:
    old, new = Table(chain="old"), Table(chain="new")
    old.apply(create("config/a", "config/b"))
    new.apply(create("config/c", "config/d"))
    delta = new.since(old.since(Known()).known)
    assert delta.is_whole and {record.key for record in delta.all} == {"config/c", "config/d"}


LIMITS: Mapping[str, tuple[list[str], str]] = {
    "application": ([f"application/{n}" for n in range(1_000)], "application/more"),
    "group": ([f"group/a{n % 8}/{n}" for n in range(5_000)], "group/other/more"),
    "group/shop": ([f"group/shop/{n}" for n in range(1_000)], "group/shop/more"),
    "instance": ([f"instance/{n}" for n in range(10_000)], "instance/more"),
}


@pytest.mark.parametrize("limit", LIMITS)
def test_as_many_fit_as_the_limit_says_and_one_more_is_refused_by_its_name(limit: str) -> None:
    fitting, one_more = LIMITS[limit]
    table = Table()
    assert len(table.apply(create(*fitting)).versions) == limits.most(limit) == len(fitting)
    before = everything(table)
    assert table.apply(create("config/other", one_more)).full == limit
    assert everything(table) == before
    exchange = (Change(key=fitting[0], version=before[fitting[0]].version), Change(key=one_more, value={}))
    assert table.apply(Batch(changes=exchange)).versions.keys() == {one_more}
    assert table.apply(create(fitting[0])).full == limit, "what was removed and added was counted"


def noise(length: int, seed: int) -> str:
    return "".join(random.Random(seed).choices("abcdefghijklmnopqrstuvwxyz0123456789", k=length))


def test_what_could_not_be_handed_over_is_refused_and_nothing_of_it_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "PACKED_BYTES", 20_000)
    table = Table()
    table.apply(Batch(changes=(Change(key="config/kept", value={"n": 1}),)))
    zeros = {"text": "0" * 100_000}  # large, but packs well
    assert table.apply(Batch(changes=(Change(key="config/zeros", value=zeros),))).versions
    before = everything(table)
    changes = (
        Change(key="config/kept", version=1, value={"n": 2}),
        Change(key="ssh/x", value={"text": noise(40_000, 1)}),
    )
    assert table.apply(Batch(changes=changes)).full == limits.SIZE
    assert everything(table) == before


def test_however_it_is_filled_the_table_can_be_handed_over_and_is_rarely_packed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tables, "PACKED_BYTES", 200_000)
    packed: list[str] = []

    def counted(rows: Any) -> str:
        packed.append(pack(rows))
        return packed[-1]

    monkeypatch.setattr(tables, "pack", counted)
    table, refused, number = Table(), 0, 0
    while not refused and number < 2_000:
        number += 1
        answer = table.apply(create(f"config/{number}").model_copy(update={
            "changes": (Change(key=f"config/{number}", value={"text": noise(400, number)}),)}))  # fmt: skip
        refused = bool(answer.full)
    assert number > 400, "what packs well is not refused for its plain size"
    assert len(packed) < number / 5
    assert len(table.state().packed) < 200_000


def test_large_requests_and_answers_travel_packed_and_are_the_same() -> None:
    batches = [create(*(f"instance/web-{n:05d}" for n in range(5_000)), by="ann", id="x"), create("instance/a")]
    request = WriteRequest.model_validate_json(WriteRequest.of(batches).model_dump_json())
    assert request.packed and not request.batches and request.all == tuple(batches)
    assert len(request.model_dump_json()) < 200_000
    table = Table()
    for batch in request.all:
        table.apply(batch)
    delta = Delta.model_validate_json(table.since(Known()).model_dump_json())
    assert delta.packed and not delta.records and len(delta.all) == 5_001
    assert not WriteRequest.of(batches[1:]).packed
