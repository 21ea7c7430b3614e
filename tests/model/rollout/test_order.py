"""The order of a rollout: ranks, zones in turn, names; the same input always gives the same order."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from towline.model.deployment.status import Outcome
from towline.model.messages.group import InstanceState
from towline.model.rollout.order import Rank, Standing, ordered, rank


def state(sha: str = "new", *, healthy: bool = True, not_restored: bool = False, label: str = "") -> InstanceState:
    outcome = Outcome.SUCCEEDED if healthy else Outcome.FAILED
    return InstanceState(
        outcome=outcome, deployment_id="d-1", sha256=sha, revision=label, is_healthy=healthy, not_restored=not_restored
    )


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        (None, Rank.UNKNOWN),
        (state(), Rank.CURRENT),
        (state("old"), Rank.OLD),
        (state(healthy=False), Rank.UNHEALTHY),
        (state(healthy=False, not_restored=True), Rank.NOT_RESTORED),
        (state(not_restored=True), Rank.NOT_RESTORED),
        (state(""), Rank.UNKNOWN),
        (state("", label="s3://b/new"), Rank.CURRENT),
        (state("", label="s3://b/old"), Rank.OLD),
    ],
)
def test_rank(known: InstanceState | None, expected: Rank) -> None:
    assert rank(known, "s3://b/new", "new") is expected


def test_zones_take_turns_and_names_go_by_number() -> None:
    fleet = [Standing(f"web-{n}", "abb"[n % 3], Rank.OLD) for n in range(1, 7)]
    assert ordered(fleet) == ["web-3", "web-1", "web-6", "web-2", "web-4", "web-5"]


STANDINGS = st.lists(
    st.builds(
        Standing,
        st.from_regex(r"[a-c]-?[0-9]{1,2}", fullmatch=True),
        st.sampled_from(["", "a", "b", "c"]),
        st.sampled_from(Rank),
    ),
    unique_by=lambda standing: standing.name,
)


@given(STANDINGS, st.data())
def test_everyone_once_ranks_in_order_zones_spread_and_input_order_does_not_matter(
    fleet: list[Standing], data: st.DataObject
) -> None:
    shuffled = data.draw(st.permutations(fleet))
    names = ordered(fleet)
    assert ordered(shuffled) == names
    assert sorted(names) == sorted(standing.name for standing in fleet)
    by_name = {standing.name: standing for standing in fleet}
    ranks = [by_name[name].rank for name in names]
    assert ranks == sorted(ranks)
    for one in Rank:
        zones = [by_name[name].zone for name in names if by_name[name].rank == one]
        _assert_spread(zones)


def _assert_spread(zones: list[str]) -> None:
    """At every point no zone that still has instances is more than one behind another."""
    total = {zone: zones.count(zone) for zone in zones}
    for end in range(len(zones) + 1):
        done = {zone: zones[:end].count(zone) for zone in total}
        waiting = [done[zone] for zone in total if done[zone] < total[zone]]
        assert not waiting or max(done.values()) - min(waiting) <= 1


@given(STANDINGS, st.data())
def test_named_ones_go_first_in_their_order(fleet: list[Standing], data: st.DataObject) -> None:
    early = data.draw(st.permutations(fleet))[: len(fleet) // 2]
    names = ordered(fleet, first=[*(standing.name for standing in early), "gone"])
    assert names[: len(early)] == [standing.name for standing in early]
    assert sorted(names) == sorted(standing.name for standing in fleet)
