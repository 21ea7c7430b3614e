"""What `towline stop` says, as a function of what is in flight and who waits."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from towline.cli.stop_lines import advice_lines, still_running, stop_lines
from towline.deployments.instance_status import Live
from towline.model.deployment.info import DeploymentInfo
from towline.model.deployment.status import DeploymentStatus, Phase, TargetStatus
from towline.model.messages.group import GroupView
from towline.model.messages.instance import Heartbeat
from towline.model.messages.view import DeploymentView, Progress

NOW = datetime(2025, 1, 1, 10, 0, 30, tzinfo=UTC)


def view(phase: str = "roll out", status: str = "InProgress") -> DeploymentView:
    info = DeploymentInfo(deployment_id="d-1", status=DeploymentStatus(status))
    return DeploymentView(info=info, progress=Progress(phase=Phase(phase)))


def at_work(name: str, seconds: int = 30) -> Live:
    since = (NOW - timedelta(seconds=seconds)).isoformat()
    beat = Heartbeat(instance=name, phase="AfterInstall", script="scripts/start.sh", since=since)
    return Live(name, TargetStatus.IN_PROGRESS, heartbeat=beat)


def queue(*waiting: str, held: str = "") -> GroupView:
    return GroupView(application="shop", group="web", group_id="g", active="d-1", waiting=waiting, held=held)


def test_each_instance_in_flight_is_named_with_its_event_script_and_time() -> None:
    live = [at_work("web-1"), Live("web-2", TargetStatus.PENDING), at_work("web-10", 200)]
    first, one, two = stop_lines(view(), still_running(live), NOW)
    assert first == "d-1 is stopping. No further instance starts; 2 instances are still in flight:"
    assert one.startswith("  web-1   AfterInstall  scripts/start.sh  since ") and one.endswith(" (30.0 s)")
    assert two.startswith("  web-10  AfterInstall") and two.endswith(" (3 min 20 s)")


def test_more_than_a_screen_holds_are_counted() -> None:
    lines = stop_lines(view(), [at_work(f"web-{n}") for n in range(45)], NOW)
    assert len(lines) == 22 and lines[-1] == "  and 25 more"


def test_nothing_in_flight_and_an_end_are_said_as_such() -> None:
    assert stop_lines(view(), [], NOW) == ["d-1 is stopping. No instance is in flight, and none will start."]
    assert stop_lines(view("ended", "Stopped"), [], NOW) == ["d-1 has ended: Stopped."]


@pytest.mark.parametrize(
    ("running", "waiting", "ends_hooks", "expected"),
    [
        (False, None, False, []),
        (False, queue("d-1"), False, []),
        (True, queue(), True, ["Their hooks are being ended.", "Watch: towline status d-1 --watch"]),
        (
            True,
            None,
            False,
            [
                "They halt at the next lifecycle event. To end their hooks now: towline stop d-1 --now",
                "Watch: towline status d-1 --watch",
            ],
        ),
        (
            False,
            queue("d-2", "d-3"),
            False,
            ["Next in shop/web: d-2 (1 more behind it) begins when d-1 has ended. To stop it too: towline stop d-2"],
        ),
        (
            False,
            queue("d-2", held="d-0 left web-3"),
            False,
            ["The queue is held: d-0 left web-3. Repair it, then release the queue: towline release shop/web"],
        ),
    ],
)
def test_the_commands_that_help_are_named(
    running: bool, waiting: GroupView | None, ends_hooks: bool, expected: list[str]
) -> None:
    assert advice_lines(view(), [at_work("web-1")] if running else [], waiting, ends_hooks=ends_hooks) == expected
