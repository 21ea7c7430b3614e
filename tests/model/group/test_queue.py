"""A group's turn and memory: order of the queue, handover to a rollback, what instances are known to run."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from towline.model.deployment.status import DeploymentStatus, Outcome
from towline.model.group.queue import TABLE, GroupState
from towline.model.messages.group import ActiveEnd, JoinQueue, LeaveQueue, OutcomePage, Reservation
from towline.model.messages.shard import RunsNow

EMPTY = GroupState(application="shop", group="production", group_id="g-1")


def request(name: str, if_busy: str = "wait", handed_over_by: str = "") -> JoinQueue:
    return JoinQueue(
        application="shop", group="production", group_id="g-1", deployment_id=name, run_id=f"run-{name}",
        if_busy=if_busy, handed_over_by=handed_over_by,
    )  # fmt: skip


def end(
    name: str, status: DeploymentStatus = DeploymentStatus.SUCCEEDED, *not_restored: str, is_undo: bool = False
) -> LeaveQueue:
    return LeaveQueue(
        application="shop", group="production", group_id="g-1", deployment_id=name, status=status,
        revision="" if is_undo else f"rev of {name}", sha256="a", is_undo=is_undo, not_restored=not_restored,
    )  # fmt: skip


def page(name: str, results: dict[Outcome, tuple[str, ...]], *, is_undo: bool = False) -> OutcomePage:
    return OutcomePage(
        application="shop", group="production", group_id="g-1", deployment_id=name,
        revision="" if is_undo else f"rev of {name}", sha256="a", is_undo=is_undo, results=results,
    )  # fmt: skip


def queue(state: GroupState) -> list[str]:
    """The active one, then those that wait."""
    active = [state.active.deployment_id] if state.active else []
    return active + [ticket.deployment_id for ticket in state.waiting]


@given(st.lists(st.integers(1, 6), max_size=12))
def test_the_queue_keeps_its_order_and_nobody_is_in_it_twice(numbers: list[int]) -> None:
    state = EMPTY
    for number in numbers:
        state, answer, _ = state.join(request(f"d-{number}"))
        assert answer.granted == (queue(state)[0] == f"d-{number}")
    first_seen = list(dict.fromkeys(f"d-{number}" for number in numbers))
    assert queue(state) == first_seen
    for position, name in enumerate(first_seen):
        assert state.active is not None and state.active.deployment_id == name
        state = state.leave(end(name)).grant()
        assert queue(state) == first_seen[position + 1 :]
    assert state.active is None


def test_a_busy_group_refuses_or_drops_those_that_wait() -> None:
    state, _, _ = EMPTY.join(request("d-1"))
    state, _, _ = state.join(request("d-2"))
    same, answer, _ = state.join(request("d-3", "fail"))
    assert same == state and "'d-1'" in answer.refused
    state, answer, superseded = state.join(request("d-4", "supersede"))
    assert [ticket.deployment_id for ticket in superseded] == ["d-2"]
    assert queue(state) == ["d-1", "d-4"] and answer.ahead == ("d-1",)


def test_a_rollback_takes_the_turn_over_ahead_of_everybody() -> None:
    state, _, _ = EMPTY.join(request("d-1"))
    state, _, _ = state.join(request("d-2"))
    state, answer, _ = state.join(request("d-back", handed_over_by="d-1"))
    assert answer.granted and queue(state) == ["d-back", "d-2"]
    state = state.leave(end("d-1", DeploymentStatus.FAILED))
    assert queue(state) == ["d-back", "d-2"]  # its end takes nothing from its rollback


def test_owed_hosts_hold_the_queue_until_a_person_says_go() -> None:
    state, _, _ = EMPTY.join(request("d-back"))
    state, _, _ = state.join(request("d-2"))
    state = state.leave(end("d-back", DeploymentStatus.FAILED, "web-03", is_undo=True)).grant()
    assert state.active is None and state.held == "the rollback d-back is incomplete on web-03"
    state = state.release().grant()
    assert queue(state) == ["d-2"] and state.held == ""


@pytest.mark.parametrize("if_busy", ["wait", "supersede"])
def test_a_deployment_that_comes_while_the_queue_is_held_waits_until_it_is_released(if_busy: str) -> None:
    state, _, _ = EMPTY.join(request("d-back"))
    state = state.leave(end("d-back", DeploymentStatus.FAILED, "web-03", is_undo=True)).grant()
    for _ in range(2):  # it asks again now and then
        state, answer, _ = state.join(request("d-new", if_busy))
        state = state.grant()
        assert not answer.granted and "web-03" in answer.held
        assert state.active is None and queue(state) == ["d-new"]
    assert queue(state.release().grant()) == ["d-new"] and state.release().grant().active is not None


def test_one_that_will_not_wait_is_refused_by_a_held_queue_with_the_command_that_releases_it() -> None:
    state, _, _ = EMPTY.join(request("d-back"))
    state = state.leave(end("d-back", DeploymentStatus.FAILED, "web-03", is_undo=True)).grant()
    same, answer, _ = state.join(request("d-new", "fail"))
    assert same == state and answer.refused.endswith("towline release shop/production")


def test_a_rollback_has_its_parents_turn_whatever_held_the_queue_before() -> None:
    state, _, _ = EMPTY.join(request("d-1"))
    state = state.model_copy(update={"held": "the rollback d-0 left 1 instance not restored: web-03"})
    state, answer, _ = state.join(request("d-back", handed_over_by="d-1"))
    assert answer.granted and state.held


def test_memory_goes_forward_and_back() -> None:
    state = EMPTY.remember(page("d-1", {Outcome.SUCCEEDED: ("a", "b")}))
    state = state.remember(page("d-2", {Outcome.SUCCEEDED: ("a",), Outcome.FAILED: ("b",), Outcome.SKIPPED: ("c",)}))
    assert state.state_of("a").revision == "rev of d-2" and not state.state_of("b").is_healthy
    assert "c" not in state.instances
    state = state.remember(page("d-back", {Outcome.ROLLED_BACK: ("a",), Outcome.NOT_RESTORED: ("b",)}, is_undo=True))
    back = state.state_of("a")
    assert (back.revision, back.is_healthy, back.outcome) == ("rev of d-1", True, Outcome.ROLLED_BACK)
    assert state.view.not_restored == ("b",)
    state = state.remember(page("d-3", {Outcome.SUCCEEDED: ("b",)}))
    assert state.view.not_restored == () and state.state_of("b").is_healthy


def test_an_instance_that_failed_and_was_taken_back_is_healthy_as_before() -> None:
    state = EMPTY.remember(page("d-1", {Outcome.SUCCEEDED: ("a",)}))
    state = state.remember(page("d-2", {Outcome.FAILED: ("a",)}))
    state = state.remember(page("d-back", {Outcome.ROLLED_BACK: ("a",)}, is_undo=True))
    assert state.state_of("a").is_healthy and state.state_of("a").revision == "rev of d-1"


def test_memory_knows_which_deployment_brought_a_revision() -> None:
    state = EMPTY.remember(page("d-1", {Outcome.SUCCEEDED: ("a",)}))
    state = state.remember(page("d-2", {Outcome.SUCCEEDED: ("a",)}))
    both = state.state_of("a")
    assert (both.revision_by, both.before_by) == ("d-2", "d-1")
    state = state.remember(page("d-back", {Outcome.ROLLED_BACK: ("a",)}, is_undo=True))
    assert state.state_of("a").revision_by == "d-1"
    state = state.remember(page("d-3", {Outcome.FAILED: ("a",)}))
    failed = state.state_of("a")
    assert (failed.deployment_id, failed.revision_by, failed.before_by) == ("d-3", "d-1", "d-1")


def test_what_a_host_says_that_it_runs_is_the_record() -> None:
    state = EMPTY.remember(page("d-1", {Outcome.SUCCEEDED: ("a", "b", "c")}))
    state = state.remember(page("d-2", {Outcome.FAILED: ("a", "b", "c")}))
    assert state.state_of("a").revision == "rev of d-1"
    told = (
        RunsNow(label="", sha256="", instances=("a",)),  # its disk was emptied
        RunsNow(label="by others", sha256="x", instances=("b",)),
    )
    back = page("d-back", {Outcome.NOT_RESTORED: ("a",), Outcome.ROLLED_BACK: ("b", "c")}, is_undo=True)
    state = state.remember(back.model_copy(update={"now": told}))
    assert [state.state_of(name).revision for name in "abc"] == ["", "by others", "rev of d-1"]
    assert state.view.not_restored == ("a",)


def test_a_host_that_says_at_a_failure_that_it_runs_nothing_is_remembered_with_what_it_ran() -> None:
    state = EMPTY.remember(page("d-1", {Outcome.SUCCEEDED: ("a",)}))
    failed = page("d-2", {Outcome.FAILED: ("a",)}).model_copy(
        update={"now": (RunsNow(label="", sha256="", instances=("a",)),)}
    )
    told = state.remember(failed).state_of("a")
    assert (told.revision, told.before) == ("", "rev of d-1")


def test_a_dead_holder_is_dropped_and_its_instances_are_not_taken_for_healthy() -> None:
    state = EMPTY.remember(page("d-0", {Outcome.SUCCEEDED: ("a", "b")}))
    state, _, _ = state.join(request("d-1"))
    dead = ActiveEnd(deployment_id="d-1", status="TERMINATED", results={Outcome.SUCCEEDED: ("a",)}, unknown=("b",))
    state = state.drop(dead)
    assert state.active is None
    assert state.state_of("b").outcome is Outcome.INTERRUPTED and not state.state_of("b").is_healthy


def test_only_a_forward_success_moves_the_groups_revision() -> None:
    state = EMPTY.leave(end("d-1")).leave(end("d-2", DeploymentStatus.FAILED)).leave(end("d-back", is_undo=True))
    assert (state.view.revision, state.view.last_succeeded, state.view.last_attempted) == (
        "rev of d-1",
        "d-1",
        "d-back",
    )


def test_the_tables_of_a_years_deployments_do_not_grow() -> None:
    state = EMPTY.remember(page("d-first", {Outcome.SUCCEEDED: ("old",)}))
    for number in range(1000):
        state = state.remember(page(f"d-{number}", {Outcome.SUCCEEDED: ("a", "b")}))
        state = state.leave(end(f"d-{number}"))
    assert len(state.revisions) <= TABLE + 1 and len(state.deployments) <= TABLE + 1
    assert state.state_of("old").revision == "rev of d-first"
    assert state.state_of("a").deployment_id == "d-999"
    assert state.view.revision == "rev of d-999"


def test_states_come_in_pages_by_name() -> None:
    state = EMPTY.remember(page("d-1", {Outcome.SUCCEEDED: tuple(f"i{n}" for n in range(5))}))
    assert list(state.states("", 3)) == ["i0", "i1", "i2"]
    assert list(state.states("i2", 3)) == ["i3", "i4"]


NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)


def reservation(name: str) -> Reservation:
    return Reservation(application="shop", group="production", group_id="g-1", deployment_id=name, by="ci")


def test_a_reservation_is_for_one_deployment_and_holds_until_that_joins() -> None:
    state = EMPTY.reserve(reservation("d-1"), NOW)
    assert not state.why_refused(reservation("d-1")) and state.reserve(reservation("d-1"), NOW) == state
    assert state.why_refused(reservation("d-2")) == (
        "The Deployment Group 'production' already has an active Deployment 'd-1'"
    )
    state, answer, _ = state.join(request("d-3"))
    assert not answer.granted and answer.ahead == ("d-1",) and answer.ahead_by == "ci"
    state, answer, _ = state.join(request("d-1", "fail"))
    assert answer.granted and queue(state) == ["d-1", "d-3"]
    assert state.active and state.active.run_id == "run-d-1"


def test_a_reservation_need_have_no_deployment_for_30_seconds() -> None:
    active = EMPTY.reserve(reservation("d-1"), NOW).active
    assert active and active.reserved_for(NOW + timedelta(seconds=29)) > timedelta(0)
    assert active.reserved_for(NOW + timedelta(seconds=30)) <= timedelta(0)
    joined = EMPTY.join(request("d-1"))[0].active
    assert joined and joined.reserved_for(NOW) == timedelta(0)


def test_a_reservation_whose_deployment_never_came_leaves_nothing() -> None:
    state = EMPTY.reserve(reservation("d-1"), NOW)
    assert state.drop(ActiveEnd(deployment_id="d-1", status="NOT_FOUND")) == EMPTY
    state, _, _ = EMPTY.join(request("d-1"))
    forgotten = ActiveEnd(deployment_id="d-1", status="NOT_FOUND", unknown=("web-1",))
    assert state.drop(forgotten).instances, "one that had joined may have worked on instances"


def test_one_that_ends_before_it_joins_gives_its_reservation_back() -> None:
    state = EMPTY.reserve(reservation("d-1"), NOW).leave(end("d-1", DeploymentStatus.FAILED))
    assert state.active is None and not state.why_refused(reservation("d-2"))


def test_a_queue_that_is_held_or_in_which_others_wait_refuses_a_reservation() -> None:
    state, _, _ = EMPTY.join(request("d-1"))
    state = state.leave(end("d-1", DeploymentStatus.FAILED, "web-1", is_undo=True))
    assert "is held: " in state.why_refused(reservation("d-2"))
    state, _, _ = state.join(request("d-3"))
    assert "is held: " in state.why_refused(reservation("d-2"))
    assert "'d-3'" in state.release().why_refused(reservation("d-2"))
