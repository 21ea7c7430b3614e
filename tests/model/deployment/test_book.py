"""Lists of deployments: what the journal's lines come to, with Temporal's laid over them, filtered and in pages."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from towline.model.bundle.revision import RevisionLocation
from towline.model.catalogue.current_names import CurrentNames
from towline.model.deployment.book import DeploymentBook, newest
from towline.model.deployment.listed import DeploymentFilter, ListedDeployment, Place

START = datetime(2026, 11, 1, tzinfo=UTC)


def line(
    number: int, status: str = "Succeeded", group: str = "web", *, seconds: float | None = None
) -> ListedDeployment:
    began = START + timedelta(seconds=number if seconds is None else seconds)
    close = (began + timedelta(seconds=30)).isoformat() if status in ("Succeeded", "Failed", "Stopped") else ""
    return ListedDeployment(
        f"d-{number:06d}", "shop", group, status, f"s3://b/{number % 7}.zip", began.isoformat(), close
    )


def book_of(*lines: ListedDeployment) -> DeploymentBook:
    book = DeploymentBook()
    for one in lines:
        book.add(ListedDeployment.of_entry(one.as_entry()))
    return book


def ids(found: list[ListedDeployment]) -> list[str]:
    return [one.deployment_id for one in found]


def test_a_line_is_read_as_it_was_written() -> None:
    one = replace(line(1), requested_by="ada", error_code="HEALTH_CONSTRAINTS", rollback_of="d-0", revision="")
    assert ListedDeployment.of_entry(one.as_entry()) == one
    for damaged in ({}, {"deploymentId": "d-1"}, {**one.as_entry(), "startTime": "yesterday"}):
        with pytest.raises(ValueError):
            ListedDeployment.of_entry(damaged)


def test_the_line_of_an_end_stays_whatever_comes_after_it() -> None:
    book = book_of(line(1, "Failed"), line(1, "Created"))
    assert len(book) == 1 and ids(newest(book, {}, DeploymentFilter(statuses=("Failed",)), None)) == ["d-000001"]
    book.add(replace(line(1), revision="amended"))
    (one,) = newest(book, {}, DeploymentFilter(), None)
    assert (one.status, one.revision) == ("Succeeded", "amended")


def test_what_runs_is_laid_over_what_is_recorded() -> None:
    book = book_of(line(1), line(2, "Failed"), line(3, "Created"), line(5))
    running = [line(2, "InProgress"), line(3, "InProgress"), line(4, "Created"), line(5, "InProgress")]
    ended_from_outside = replace(line(5, "Stopped"), revision="what Temporal says of it")
    others = {one.deployment_id: one for one in [*running[:3], ended_from_outside]}
    found = newest(book, others, DeploymentFilter(), None)
    assert [(one.deployment_id, one.status, one.is_open) for one in found] == [
        ("d-000005", "Succeeded", False),  # its own record says how it ended
        ("d-000004", "Created", True),
        ("d-000003", "InProgress", True),
        ("d-000002", "Failed", True),  # its rollback is under way
        ("d-000001", "Succeeded", False),
    ]


FILTERS = [
    DeploymentFilter(),
    DeploymentFilter("shop", "web"),
    DeploymentFilter(statuses=("Failed", "Stopped")),
    DeploymentFilter(prefix="d-0099"),
    DeploymentFilter(
        since=(START + timedelta(seconds=500)).isoformat(), until=(START + timedelta(seconds=700)).isoformat()
    ),
    DeploymentFilter("shop", "qa", ("Succeeded",), since=(START + timedelta(seconds=9000)).isoformat()),
    DeploymentFilter("shop", "none"),
]


@pytest.mark.parametrize("wanted", FILTERS, ids=repr)
def test_the_pages_of_ten_thousand_are_the_whole_list_also_while_others_are_written(wanted: DeploymentFilter) -> None:
    chance = random.Random(1)
    statuses, groups = ("Succeeded", "Succeeded", "Failed", "Stopped"), ("web", "qa", "batch")
    lines = [line(n, chance.choice(statuses), chance.choice(groups)) for n in range(10_000)]
    chance.shuffle(lines)
    book, others = book_of(*lines), {line(n).deployment_id: line(n, "InProgress") for n in range(9_990, 10_040)}
    expected = newest(book, others, wanted, None)
    seen: list[ListedDeployment] = []
    before: Place | None = None
    number = 20_000
    while page := newest(book, others, wanted, 100, before):
        seen += page
        before = page[-1].place
        number += 1
        book.add(line(number))
    assert seen == expected
    assert ids(expected) == sorted(ids(expected), reverse=True)


@given(st.lists(st.tuples(st.integers(0, 30), st.sampled_from(["Created", "InProgress", "Succeeded", "Failed"]))))
def test_each_deployment_has_one_line_in_every_order_of_reading(written: list[tuple[int, str]]) -> None:
    lines = [line(number, status, seconds=number // 3) for number, status in written]  # several of one moment
    found = newest(book_of(*lines), {}, DeploymentFilter(), None)
    assert [one.place for one in found] == sorted({one.place for one in lines}, reverse=True)
    ended = {one.deployment_id for one in lines if one.is_final}
    assert {one.deployment_id for one in found if one.is_final} == ended


def test_uses_of_a_revision_are_summed_as_lines_come() -> None:
    of_shop = replace(line(7), application_id="a-1", group_id="g-1")
    book = book_of(of_shop, replace(line(3), application_id="a-2"))
    assert book.uses("a-1").newest == {"g-1": (START.timestamp() + 7, "s3://b/0.zip ")}
    book.add(replace(line(14), application_id="a-1", group_id="g-2"))
    (one,) = book.uses("a-1").by_revision.values()
    assert one.location == RevisionLocation.parse("s3://b/0.zip")
    assert (one.first_used, one.last_used) == (START.timestamp() + 7, START.timestamp() + 14)
    assert set(book.uses("a-1").newest) == {"g-1", "g-2"}
    assert set(book.uses("a-1").by_name({"g-2": ("shop", "qa")}).newest) == {"qa"}, "the other group is gone"


def test_deployments_of_a_renamed_group_are_listed_by_its_new_name() -> None:
    one, other = replace(line(1), application_id="a-1", group_id="g-1"), replace(line(2), group_id="g-9")
    book = book_of(one, other, replace(line(3), application_id="a-1", group_id="g-gone"))
    names_now = CurrentNames({"a-1": "store"}, {"g-1": ("store", "production"), "g-2": ("shop", "web")})

    def listed(application: str = "", group: str = "") -> list[tuple[str, str]]:
        found = newest(book, {}, DeploymentFilter(application, group), None, None, names_now)
        return [(each.deployment_id, f"{each.application}/{each.group}") for each in found]

    assert listed("store", "production") == [("d-000001", "store/production")]
    assert listed("shop", "web") == [("d-000002", "shop/web")]
    # A group that is gone keeps its name, and its application the one of now.
    assert listed("store") == [("d-000003", "store/web"), ("d-000001", "store/production")]
