"""The state of a deployment: what a stop, a pause and the queue leave in it, how it ends, and what is shown of it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from towline.model.deployment.ending import RolloutResult, calls_for_rollback, ending_of, failure
from towline.model.deployment.rollback import automatic_rollback, end_of_rollback, needs_rollback
from towline.model.deployment.state import DeploymentState
from towline.model.deployment.state_view import results_after_rollback, search_attributes, stop_answer, view_of
from towline.model.deployment.status import DeploymentStatus, ErrorCode, Outcome
from towline.model.group.config import PREDEFINED
from towline.model.group.group import AutoRollback, DeploymentGroup
from towline.model.messages.deploy import DeployRequest, GroupFacts, StopRequest, Undo
from towline.model.messages.fleet import Fleet, FleetMember
from towline.model.messages.group import QueueAnswer
from towline.model.messages.shard import ShardOutcome
from towline.model.messages.view import DeploymentView
from towline.model.rollout.leases import Rollout
from towline.model.rollout.zones import Stage

NOW = datetime(2026, 11, 30, tzinfo=UTC)
ON_FAILURE = AutoRollback(enabled=True, events=("DEPLOYMENT_FAILURE",))


def state(*, undo: Undo | None = None) -> DeploymentState:
    """A deployment to three instances whose rollout has begun."""
    it = DeploymentState("d-1", "run-1", created=NOW)
    it.request_if_valid = DeployRequest(application_name="shop", deployment_group_name="web", undo=undo)
    group = DeploymentGroup(
        application_name="shop", deployment_group_name="web", auto_rollback_configuration=ON_FAILURE
    )
    it.take_group(GroupFacts(group=group, config=PREDEFINED["CodeDeployDefault.AllAtOnce"]))
    members = tuple(FleetMember(name=name, is_healthy=True) for name in ("a", "b", "c"))
    it.take_fleet(Fleet(members=members), floor=0, slots=3, now=NOW, time=0.0)
    books = Rollout(members, slots=3, spare_healthy=3)
    it.rollout.open_stage(Stage(members=members, slots=3, spare_healthy=3), books)
    books.grant()
    return it


def failed(*, undo: Undo | None = None) -> DeploymentState:
    """`a` succeeded, `b` failed, `c` was never begun."""
    it = state(undo=undo)
    results = {Outcome.SUCCEEDED: ("a",), Outcome.FAILED: ("b",), Outcome.SKIPPED: ("c",)}
    it.take_outcome(ShardOutcome(index=1, results=results, touched=("a", "b")))
    it.conclude(failure(ErrorCode.HEALTH_CONSTRAINTS, "too many"), NOW)
    return it


def test_a_second_stop_adds_to_the_first_and_takes_nothing_back() -> None:
    it = state()
    it.ask_to_stop(StopRequest(reason="wrong revision", rollback=True))
    it.ask_to_stop(StopRequest(now=True, reason="again"))
    assert it.stop == StopRequest(now=True, rollback=True, reason="wrong revision")


def test_a_stop_after_the_end_changes_nothing() -> None:
    it = failed()
    it.ask_to_stop(StopRequest(rollback=False))
    assert it.stop is None and needs_rollback(it)


def test_out_of_time_shards_are_stopped_and_a_pause_does_not_hold_them() -> None:
    it = state()
    it.pause()
    assert it.shards_pause and it.shards_stop is None and not it.starts_nothing_more
    it.rollout.is_out_of_time = True
    assert not it.shards_pause and it.shards_stop and it.starts_nothing_more
    assert it.stop is None, "nobody has stopped it: it fails, and is rolled back as one that failed"


def test_what_the_queue_said_last_is_not_shown_once_it_is_its_turn() -> None:
    it = state()
    it.queue.answered(QueueAnswer(granted=False, ahead=("d-0",), ahead_by="ada", held="incomplete on web-03"))
    assert view_of(it).progress.text.startswith("waits: the queue is held")
    it.queue.signalled(granted=True)
    it.queue.left()
    shown = view_of(it).progress
    assert it.queue.is_active and "held" not in shown.text and shown.behind == () and shown.behind_by == ""


def test_a_turn_that_was_granted_by_signal_is_kept_when_an_older_answer_comes() -> None:
    it = state()
    it.queue.signalled(granted=True)
    it.queue.answered(QueueAnswer(granted=False, ahead=("d-0",)))
    assert it.queue.is_active


def test_a_stop_is_answered_as_pending_until_the_shards_at_work_confirm() -> None:
    it = state()
    it.ask_to_stop(StopRequest())
    assert stop_answer(it).status == "Pending"
    it.take_outcome(ShardOutcome(index=1, results={Outcome.STOPPED: ("a", "b", "c")}))
    assert stop_answer(it).status == "Succeeded"


@pytest.mark.parametrize(
    ("succeeded", "changes", "stop", "is_rollback", "code"),
    [
        (4, {}, None, False, ""),
        (2, {}, None, False, ""),
        (1, {}, None, False, "HEALTH_CONSTRAINTS"),
        (3, {"is_lost": True}, None, False, "HEALTH_CONSTRAINTS"),
        (4, {"is_out_of_time": True}, None, False, "TIMEOUT"),
        (4, {"is_out_of_time": True}, StopRequest(), False, "MANUAL_STOP"),
        (3, {}, None, True, "HEALTH_CONSTRAINTS"),
        (4, {"is_lost": True}, None, True, ""),
    ],
)
def test_how_a_rollout_ends(
    succeeded: int, changes: dict[str, bool], stop: StopRequest | None, is_rollback: bool, code: str
) -> None:
    result = RolloutResult(instances=4, succeeded=succeeded, floor=2, timeout_seconds=60, **changes)
    ending = ending_of(result, stop, is_rollback=is_rollback)
    assert ending.code == code
    assert (ending.status is DeploymentStatus.SUCCEEDED) == (code == "")


ON_STOP = AutoRollback(enabled=True, events=("DEPLOYMENT_STOP_ON_REQUEST",))
OFF = AutoRollback(enabled=False, events=("DEPLOYMENT_FAILURE", "DEPLOYMENT_STOP_ON_REQUEST"))


@pytest.mark.parametrize(
    ("status", "rollback", "stop", "is_needed"),
    [
        ("Succeeded", ON_FAILURE, None, False),
        ("Failed", ON_FAILURE, None, True),
        ("Failed", ON_STOP, None, False),
        ("Failed", OFF, None, False),
        ("Stopped", ON_FAILURE, StopRequest(), False),
        ("Stopped", ON_STOP, StopRequest(), True),
        ("Stopped", ON_STOP, StopRequest(rollback=False), False),
        ("Stopped", OFF, StopRequest(rollback=True), True),
    ],
)
def test_whether_it_is_rolled_back(
    status: str, rollback: AutoRollback, stop: StopRequest | None, is_needed: bool
) -> None:
    final = DeploymentStatus(status)
    assert calls_for_rollback(final, rollback, stop, was_touched=True, is_rollback=False) == is_needed
    assert not calls_for_rollback(final, rollback, stop, was_touched=False, is_rollback=False)
    assert not calls_for_rollback(final, rollback, stop, was_touched=True, is_rollback=True)


def test_the_automatic_rollback_is_for_touched_instances_failed_ones_first() -> None:
    undo = automatic_rollback(failed()).undo
    assert undo and undo.instances == ("a", "b") and undo.failed == ("b",) and undo.slots == 3


def rollback_view(status: str, **progress: object) -> DeploymentView:
    info = {"deploymentId": "d-2", "status": status}
    return DeploymentView.model_validate({"info": info, "progress": progress})


@pytest.mark.parametrize(
    ("view", "not_restored", "is_whole"),
    [
        (rollback_view("Succeeded", total=2), (), True),
        (rollback_view("Failed", not_restored=("b",)), ("b",), False),
        (rollback_view("Failed"), (), False),  # it could not even begin
        (None, ("a", "b"), False),  # it was terminated
    ],
    ids=["succeeded", "one is left", "not begun", "terminated"],
)
def test_what_a_rollback_came_to(view: DeploymentView | None, not_restored: tuple[str, ...], is_whole: bool) -> None:
    it = failed()
    it.begin_rollback("d-2")
    it.end_rollback(*end_of_rollback(it, view))
    assert it.not_restored == not_restored and it.is_whole == is_whole
    after = results_after_rollback(it)
    assert set(after.get(Outcome.NOT_RESTORED, ())) == set(not_restored)
    assert after[Outcome.SKIPPED] == ("c",)


def test_a_rollback_tells_what_it_did_not_restore_when_it_has_ended() -> None:
    it = failed(undo=Undo(deployment_id="d-0"))
    assert it.not_restored == ("b", "c") and not it.is_whole and not needs_rollback(it)
    assert search_attributes(it)["TowlineRevision"] == "rollback of d-0"
