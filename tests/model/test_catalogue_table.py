"""The table of one part of the catalogue: versions, batches, pages, and what is handed to the next run."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from towline.model.catalogue import table as catalogue
from towline.model.catalogue.table import (
    PAGE_BYTES,
    Batch,
    CatalogueState,
    Change,
    Keys,
    PageRequest,
    Record,
    Table,
    TableFull,
)

KEYS = st.sampled_from([f"{kind}/{name}" for kind in ("instance", "config", "ssh") for name in "abc"])
CHANGES = st.builds(
    Change,
    key=KEYS,
    version=st.none() | st.integers(1, 12),
    value=st.none() | st.fixed_dictionaries({"n": st.integers(0, 2)}),
)
BATCHES = st.lists(st.lists(CHANGES, max_size=3, unique_by=lambda change: change.key), max_size=12)


def everything(table: Table) -> dict[str, Record]:
    page = table.page(PageRequest(kinds=("ssh", "config", "instance")))
    return {record.key: record for record in page.records}


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


@pytest.mark.parametrize("limit", [1, 7, 500])
def test_pages_have_every_record_of_their_kinds_once_in_order(limit: int) -> None:
    table = Table()
    keys = ["ec2/eu", *(f"instance/w{number:03d}" for number in range(20)), "instancex/no", "group/a/b"]
    table.apply(Batch(changes=tuple(Change(key=key, value={}) for key in keys)))
    found: list[str] = []
    after, has_more = "", True
    while has_more:
        page = table.page(PageRequest(kinds=("instance", "ec2"), after=after, limit=limit))
        found += [record.key for record in page.records]
        after, has_more = found[-1], page.has_more
    assert found == keys[:21]


def test_a_page_is_cut_by_size() -> None:
    table = Table()
    big: dict[str, Any] = {"text": "x" * (PAGE_BYTES // 3)}
    keys = tuple(f"instance/w{number}" for number in range(5))
    for key in keys:
        table.apply(Batch(changes=(Change(key=key, value=big),)))
    page = table.page(PageRequest(kinds=("instance",)))
    assert (len(page.records), page.has_more) == (2, True)
    some = table.read(Keys(keys=keys))
    assert (len(some.records), some.has_more) == (2, True)


def test_what_could_not_be_handed_over_is_refused_and_nothing_of_it_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "CARRIED_BYTES", 20_000)
    table, noise = Table(), random.Random(1)
    table.apply(Batch(changes=(Change(key="config/kept", value={"n": 1}),)))
    zeros = {"text": "0" * 100_000}  # large, but packs well
    table.apply(Batch(changes=(Change(key="config/zeros", value=zeros),)))
    value = {"text": "".join(noise.choices("abcdefghijklmnopqrstuvwxyz0123456789", k=40_000))}
    before = everything(table)
    with pytest.raises(TableFull):
        table.apply(
            Batch(changes=(Change(key="config/kept", version=1, value={"n": 2}), Change(key="ssh/x", value=value)))
        )
    assert everything(table) == before
    assert len(json.dumps(table.state().packed)) < 20_000
