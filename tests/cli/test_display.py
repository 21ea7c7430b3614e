"""What people see while a deployment goes on: lines, the live table, the status."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from typing import Any

import pytest
from rich.console import Console

from towline.cli import list as list_command
from towline.cli import render
from towline.cli.instances import table_lines
from towline.cli.progress_lines import ProgressLines
from towline.cli.screen import Screen
from towline.deployments.instance_list import ListedInstance
from towline.deployments.instance_status import Live, in_rollout_order, refined
from towline.model.deployment.describe_end import failure_reason
from towline.model.deployment.info import DeploymentInfo, DeploymentOverview, ErrorInformation, RollbackInfo
from towline.model.deployment.listed import ListedDeployment
from towline.model.deployment.status import DeploymentStatus, Outcome, TargetStatus
from towline.model.messages.group import InstanceState
from towline.model.messages.instance import Heartbeat, InstanceOutcome
from towline.model.messages.view import DeploymentView, Progress

NOW = datetime(2025, 1, 1, 10, 0, 5, tzinfo=UTC)
START = "2025-01-01T10:00:00+00:00"


def view(status: str = "InProgress", deployment_id: str = "d-1", **progress: Any) -> DeploymentView:
    info = DeploymentInfo(
        application_name="shop",
        deployment_group_name="web",
        deployment_id=deployment_id,
        status=DeploymentStatus(status),
        deployment_config_name="CodeDeployDefault.OneAtATime",
        start_time=START,
        deployment_overview=DeploymentOverview(pending=1, in_progress=1, succeeded=1, failed=1),
    )
    return DeploymentView(info=info, progress=Progress(**{"phase": "roll out", "total": 4, "slots": 2, **progress}))


def with_info(told: DeploymentView, **fields: object) -> DeploymentView:
    return told.model_copy(update={"info": told.info.model_copy(update=fields)})


def flying(name: str, phase: str, script: str = "", note: str = "") -> Live:
    beat = Heartbeat(instance=name, phase=phase, script=script, note=note)
    return Live(name, TargetStatus.IN_PROGRESS, start_time=START, heartbeat=beat)


def ended(name: str, outcome: Outcome, message: str = "") -> Live:
    return Live(name, outcome.target_status, outcome, START, "2025-01-01T10:00:04+00:00", message)


def fleet(*every: Live) -> dict[str, Live]:
    return {one.name: one for one in every}


FLEET = fleet(
    ended("web-01", Outcome.SUCCEEDED),
    ended("web-02", Outcome.FAILED, "exit code 3"),
    flying("web-03", "AfterInstall", "scripts/after.sh"),
    Live("web-04", TargetStatus.PENDING),
)


class Lines:
    def __init__(self) -> None:
        self.said: list[str] = []
        self.lines = ProgressLines(lambda text: self.said.append(text[10:]))


def test_one_line_for_each_change_and_none_for_what_is_as_before() -> None:
    told = Lines()
    told.lines.show(view(), FLEET)
    told.lines.show(view(), FLEET)
    assert told.said == [
        "InProgress: 1 of 4 succeeded, 1 failed, 1 in flight, 1 waiting",
        "web-01  succeeded in 4.0 s",
        "web-02  failed in 4.0 s: exit code 3",
        "web-03  AfterInstall  scripts/after.sh",
    ]


def test_the_end_tells_those_that_ended_between_two_looks_and_then_what_it_comes_to() -> None:
    told = Lines()
    told.lines.show(view(), FLEET)
    told.said.clear()
    # Of a shard that has ended, Temporal keeps no times of single instances.
    last = fleet(*(Live(n, TargetStatus.SUCCEEDED, Outcome.SUCCEEDED) for n in ("web-01", "web-03", "web-04")))
    told.lines.show(view("Succeeded", phase="record"), {})
    ending = with_info(
        view("Succeeded", phase="ended"),
        complete_time="2025-01-01T10:00:09+00:00",
        deployment_overview=DeploymentOverview(succeeded=4),
    )
    told.lines.close(ending, last)
    assert told.said == ["web-03  succeeded", "web-04  succeeded", "Succeeded: 4 of 4 succeeded; took 9.0 s"]


def test_counts_are_told_on_the_way_and_not_at_each_instance() -> None:
    told = Lines()
    for done in range(101):
        going = with_info(view(total=100), deployment_overview=DeploymentOverview(succeeded=done, pending=100 - done))
        told.lines.show(going, {})
    assert [line for line in told.said if "30 of 100" in line] == ["InProgress: 30 of 100 succeeded, 70 waiting"]
    assert len(told.said) == 11


def test_a_rollback_comes_after_what_failed_and_its_lines_are_marked() -> None:
    told = Lines()
    error = ErrorInformation(code="HEALTH_CONSTRAINTS", message="too many")
    ending = with_info(view("Failed", phase="roll back"), error_information=error)
    told.lines.show(ending, fleet(ended("web-01", Outcome.SUCCEEDED), ended("web-02", Outcome.FAILED)))
    child = view(deployment_id="d-2")
    told.lines.show(ending, fleet(ended("web-01", Outcome.SUCCEEDED)), child)
    assert told.said == [
        "web-01  succeeded in 4.0 s",
        "web-02  failed in 4.0 s",
        f"Failed: HEALTH_CONSTRAINTS: {failure_reason(ending)}",
        "rollback d-2 begins",
        "rollback  web-01  succeeded in 4.0 s",
        "rollback  InProgress: 1 of 4 succeeded, 1 failed, 1 in flight, 1 waiting",
    ]


def test_large_fleets_tell_ends_only() -> None:
    told = Lines()
    told.lines.show(view(), fleet(*(flying(f"w-{n}", "Install") for n in range(200)), ended("w-x", Outcome.SUCCEEDED)))
    assert told.said[1:] == ["w-x  succeeded in 4.0 s"]


def test_pause_and_lost_sight_are_told_once() -> None:
    told = Lines()
    told.lines.show(view(paused="paused", waiting=1), {})
    for _ in range(3):
        told.lines.trouble("no worker answers.")
    assert told.said == ["InProgress: paused; 1 waiting", "no worker answers.  Waiting; the rollout itself goes on."]


def test_a_log_line_cannot_steer_the_terminal() -> None:
    told = Lines()
    told.lines.show(view(), fleet(ended("web-01", Outcome.FAILED, "\x1b[2J\rgone")))
    assert told.said[-1] == "web-01  failed in 4.0 s: [2Jgone"


def drawn(live: dict[str, Live], height: int = 30, width: int = 100, **progress: Any) -> str:
    shown = io.StringIO()
    console = Console(file=shown, width=width, height=height, force_terminal=True, color_system=None)
    screen = Screen(console)
    screen.show(view(**progress), live)
    screen.stop()
    return shown.getvalue()


def test_the_table_shows_each_instance() -> None:
    shown = drawn(FLEET, in_flight=("web-03",), slots_in_use=2)
    assert "shop/web" in shown
    assert "in flight: web-03; 2 of 2 slots in use" in shown
    for words in ("web-01", "succeeded", "exit code 3", "scripts/after.sh", "waiting"):
        assert words in shown


def test_a_fleet_higher_than_the_screen_is_summarised() -> None:
    many = fleet(
        *(ended(f"ok-{n:03d}", Outcome.SUCCEEDED) for n in range(300)),
        *(ended(f"bad-{n}", Outcome.FAILED, "no space") for n in range(3)),
        *(flying(f"fly-{n:02d}", "Install") for n in range(40)),
        *(Live(f"wait-{n}", TargetStatus.PENDING) for n in range(100)),
    )
    shown = drawn(many, height=24)
    assert all(f"bad-{n}" in shown for n in range(3))
    assert "fly-00" in shown
    assert "ok-000" not in shown
    assert "300 succeeded" in shown
    assert "100 waiting" in shown
    assert len({line for line in shown.splitlines() if line.strip()}) <= 24


LONG = "The connection was refused; it was tried for 120 s and nothing was begun there, " * 4


@pytest.mark.parametrize(("width", "name"), [(80, "node-{:02d}"), (80, "{:a>25}"), (140, "{:a>25}")])
def test_a_long_failure_costs_no_name_no_state_and_no_event(width: int, name: str) -> None:
    names = [name.format(n) for n in range(12)]
    every = fleet(
        ended(names[0], Outcome.UNREACHABLE, LONG),
        *(flying(one, "ApplicationStart", "scripts/application_start.sh", LONG) for one in names[1:11]),
        Live(names[11], TargetStatus.PENDING),
    )
    for text in (
        drawn(every, height=24, width=width),
        "\n".join(render.status_lines(view(), every, NOW, width=width, height=24)),
    ):
        for one in names[:8]:
            line = next(line for line in text.splitlines() if one in line)
            assert "unreachable" in line or ("in progress" in line and "ApplicationStart" in line)
            assert len(line.rstrip()) <= width


def test_status_of_many_leaves_its_summary_on_the_screen() -> None:
    many = fleet(
        *(ended(f"ok-{n:02d}", Outcome.SUCCEEDED) for n in range(40)),
        *(flying(f"fly-{n:02d}", "Install") for n in range(18)),
        ended("bad-1", Outcome.FAILED, "no space"),
    )
    lines = render.status_lines(view(), many, NOW, width=80, height=24)
    assert len(lines) < 24
    assert "shop/web" in lines[0]
    assert any("bad-1" in line for line in lines)
    assert any(line.startswith("not shown: 40 succeeded") for line in lines)
    assert len([line for line in render.status_lines(view(), many, NOW) if line.startswith(("ok", "fly", "bad"))]) == 59


def test_status_says_why_and_shows_each_instance() -> None:
    text = "\n".join(render.status_lines(view(text="in flight: web-03; 2 of 2 slots in use"), FLEET, NOW))
    assert "in flight: web-03; 2 of 2 slots in use" in text
    assert "1 of 4 succeeded, 1 failed, 1 in flight, 1 waiting" in text
    assert "web-03  in progress  AfterInstall  5.0 s  scripts/after.sh" in text


def test_the_end_says_what_failed_with_its_last_lines() -> None:
    failure = InstanceOutcome(
        instance="web-02", outcome=Outcome.FAILED, failed_event="AfterInstall", script="a.sh", log_tail="x\ndisk full\n"
    )
    ending = view("Failed", phase="ended", failures=(failure,), not_restored=("web-02",), report="/s/report.html")
    rollback = RollbackInfo(rollback_deployment_id="d-2", rollback_message="CodeDeploy's sentence")
    ending = with_info(ending, rollback_info=rollback)
    text = "\n".join(render.ending_lines(ending))
    for words in (
        "web-02: AfterInstall failed in a.sh",
        "    disk full",
        "Rollback d-2 has begun",
        "Rollback incomplete on",
        "/s/report.html",
    ):
        assert words in text


def test_the_shards_know_better_than_the_deployment() -> None:
    newer = refined(view(in_flight=("web-01",), slots_in_use=1), FLEET)
    assert newer.progress.in_flight == ("web-03",)
    assert newer.progress.text == "in flight: web-03; 2 of 2 slots in use, 1 kept by failed instances"
    assert newer.info.overview.pending == 1


def test_instances_stand_in_rollout_order_and_those_to_come_are_told() -> None:
    """A shard that has ended tells its instances by outcome, and one that has not begun does not tell any."""
    first = fleet(ended("web-02", Outcome.SUCCEEDED), ended("web-01", Outcome.FAILED))
    second = fleet(flying("web-03", "Install"))
    frozen = ["web-01", "web-02", "web-03", "web-04"]
    told = in_rollout_order({2: second, 1: first}, frozen, TargetStatus.PENDING)
    assert [(name, one.status.value) for name, one in told.items()] == [
        ("web-01", "Failed"),
        ("web-02", "Succeeded"),
        ("web-03", "InProgress"),
        ("web-04", "Pending"),
    ]
    assert list(in_rollout_order({1: first, 2: second}, frozen, None)) == ["web-01", "web-02", "web-03"]
    assert list(in_rollout_order({1: first, 2: second}, [], TargetStatus.PENDING)) == ["web-02", "web-01", "web-03"]


def test_an_outcome_is_told_once_although_its_time_is_forgotten_when_the_shard_has_ended() -> None:
    lines = Lines()
    child = view("InProgress", "d-undo")
    lines.lines.show(view(), fleet(ended("web-01", Outcome.SUCCEEDED)), child)
    before = list(lines.said)
    assert "rollback  web-01  succeeded in 4.0 s" in before
    timeless = Live("web-01", TargetStatus.SUCCEEDED, Outcome.SUCCEEDED)
    lines.lines.show(view(), fleet(timeless), child)
    assert lines.said == before


def test_a_list_fits_a_screen_of_80_columns_and_leaves_out_who_asked_first(monkeypatch: pytest.MonkeyPatch) -> None:
    listed = ListedDeployment(
        "d-75I7MBT7C", "shop", "production", "InProgress", "s3://releases/shop.tgz", START, START, "ada (runner@ci-7)"
    )
    for width in (80, 140):
        monkeypatch.setattr(list_command, "width_of", lambda _, width=width: width)
        header, row = list_command.lines([listed])
        assert max(len(header), len(row)) <= width
        assert "d-75I7MBT7C" in row and "InProgress" in row and "s3://re" in row
        assert ("ada" in row) == (width == 140)


def test_a_note_begins_with_the_script_that_failed() -> None:
    message = "Script at specified location: scripts/start.sh failed with exit code 1"
    assert render.row(ended("web-01", Outcome.FAILED, message), NOW)[4] == "scripts/start.sh failed with exit code 1"


def test_instances_with_long_names_fit_80_columns_with_their_names_groups_and_ids() -> None:
    state = InstanceState(outcome=Outcome.SUCCEEDED, deployment_id="d-75I7MBT7C", revision="s3://releases/shop.tgz")
    rows = [
        ListedInstance("production-frontend-00001", "shop/production", "eu-west-1a", "10.0.0.1", state, is_member=True)
    ]
    header, row = table_lines(rows, 80)
    assert max(len(header), len(row)) <= 80
    assert all(text in row for text in ("production-frontend-00001", "shop/", "succeeded", "s3://re", "d-75I7MBT7C"))
