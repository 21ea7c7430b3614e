"""What `--plan` tells, and errors of a worker's activities in the classes that they had there."""

from __future__ import annotations

from typing import Any

import pytest
from temporalio.exceptions import ActivityError, ApplicationError, RetryState

from activities.errors import as_application_error
from towline import errors
from towline.cli.preview import lines
from towline.model.deployment.preview import Preview, estimate, hosts_of, verdict
from towline.model.deployment.status import Outcome
from towline.model.deployment.target import TargetDetails
from towline.model.host.events import HostPlan, HostRefusal
from towline.model.host.order import HostAnswer
from towline.model.messages.fleet import FleetMember
from towline.model.messages.instance import Fault
from towline.model.problem import Problem
from towline.worker_call import as_towline_error

NOW = {"deployment": "d-1", "label": "shop.tgz (sha256 aaa)", "sha256": "a"}


def plan(name: str, root: str = "", **fields: object) -> HostAnswer:
    answer = {
        "kind": "plan",
        "removed": [f"{root}/srv/old"],
        "added": [f"{root}/srv/new{n}" for n in range(20)],
        "changed": [],
        "unchanged": 3,
        "run": [{"event": "AfterInstall", "location": "a.sh"}],
        "runs_now": NOW,
        "complete": True,
        **fields,
    }
    return HostAnswer(instance=name, answer=HostPlan.model_validate(answer, strict=False))


MEMBERS = [FleetMember(name=f"web-{n}", zone="a", rank=rank) for n, rank in ((1, 1), (2, 4), (3, 4), (4, 2))]
ANSWERS = {
    "web-1": plan("web-1", "/r/1"),
    "web-2": plan("web-2", "/r/2"),
    "web-3": plan("web-3", problem="/srv/x exists already", runs_now=None),
    "web-4": HostAnswer(instance="web-4", fault=Fault(code="Unreachable", message="no route", hint="Check it.")),
}


def preview(**fields: Any) -> Preview:
    hosts, changes = hosts_of(MEMBERS, ANSWERS, {"web-1": "/r/1", "web-2": "/r/2/"})
    given: dict[str, Any] = {
        "application": "shop",
        "group": "web",
        "config": "c",
        "revision": "s3://b/k.tgz",
        "sha256": "f" * 64,
    }
    return Preview(**{**given, "slots": 2, "minimum_healthy": 2, "hosts": hosts, "changes": changes, **fields})


def test_hosts_with_the_same_changes_are_told_together() -> None:
    text = "\n".join(lines(preview(estimate_seconds=12.0)))
    assert "4 instances, at most 2 at once, at least 2 healthy; about 12.0 s" in text
    assert "On web-1, web-2:\n  - /srv/old\n  + /srv/new0" in text
    assert "+ …and 5 more added" in text
    assert "3 files unchanged" in text
    assert "run AfterInstall: a.sh" in text
    assert "Install would fail: /srv/x exists already" in text
    assert "cannot be asked: no route  Check it." in text
    assert "nothing of this group" in text
    assert [line.split()[3] for line in text.splitlines() if line[:1].isdigit() and "web-" in line][:2] == [
        "unhealthy",
        "current",
    ]


def test_a_plan_that_would_fail_at_once_says_only_that() -> None:
    text = lines(preview(problem="no instances match"))
    assert text[-1] == "no instances match"
    assert not any("web-1" in line for line in text)


def test_a_rollbacks_plan_names_what_it_takes_back() -> None:
    answers = {
        "web-1": plan("web-1", back_to=NOW),
        "web-2": plan("web-2", back_to=None),
        "web-3": plan("web-3", nothing="d-9 changed nothing on this host"),
        "web-4": HostAnswer(instance="web-4", answer=HostRefusal(message="d-9 has been followed by d-10")),
    }
    hosts, changes = hosts_of(MEMBERS, answers)
    text = lines(preview(revision="", hosts=hosts, changes=changes), "d-9")
    assert "Each goes back to what it ran before d-9, with what the host itself has kept." in text
    assert "On web-1, back to shop.tgz (sha256 aaa):" in text
    assert "On web-2, back to nothing of this group:" in text
    assert text[text.index("On web-3, nothing to do:") + 1] == "  d-9 changed nothing on this host"
    assert any(line.endswith("would refuse: d-9 has been followed by d-10") for line in text)


def test_a_host_that_answers_under_two_names_is_told_and_fails_under_the_second() -> None:
    answers = {f"web-{n}": plan(f"web-{n}", machine=machine) for n, machine in ((1, "m"), (2, ""), (3, "m"), (4, ""))}
    hosts, changes = hosts_of(MEMBERS, answers)
    assert [host.trouble for host in hosts] == ["", "", "is the same host as web-1: declare it once", ""]
    assert "1 of 4 instances cannot be deployed to, and 4 must succeed (web-3: is the same" in verdict(
        hosts, changes, 4
    )


VERDICTS = [
    ("enough can succeed", 2, False, ""),
    ("too few can", 3, False, "2 of 4 instances cannot be deployed to, and 3 must succeed (web-3: Install would fail"),
    ("of an undo, all have to", 0, True, "2 of 4 instances cannot be deployed to (web-3"),
]


@pytest.mark.parametrize(("floor", "is_undo", "says"), [row[1:] for row in VERDICTS], ids=[row[0] for row in VERDICTS])
def test_a_plan_fails_where_too_many_instances_would(floor: int, is_undo: bool, says: str) -> None:
    hosts, changes = hosts_of(MEMBERS, ANSWERS)
    told = verdict(hosts, changes, floor, is_undo=is_undo)
    assert says in told and bool(says) == bool(told)
    assert told in "\n".join(lines(preview(would_fail=told)))


def test_no_estimate_without_a_report() -> None:
    assert estimate((), 3, 1) is None
    assert estimate([TargetDetails(outcome=Outcome.FAILED)], 3, 1) is None


ERRORS = [
    errors.NotFound("gone", "See: x"),
    errors.InvalidAppSpec("bad", [Problem(line=3, key="os", rule="is linux")], "Check it"),
    errors.OurFault("the bucket", "Check it"),
    errors.Conflict("changed"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_an_activitys_error_comes_back_as_what_it_was(error: errors.TowlineError) -> None:
    wrapped = ActivityError(
        "failed",
        scheduled_event_id=1,
        started_event_id=2,
        identity="",
        activity_type="preview",
        activity_id="1",
        retry_state=RetryState.NON_RETRYABLE_FAILURE,
    )
    wrapped.__cause__ = as_application_error(error)
    back = as_towline_error(wrapped)
    assert type(back) is type(error)
    assert (back.message, back.hint) == (error.message, error.hint)
    assert getattr(back, "problems", ()) == getattr(error, "problems", ())


def test_a_code_of_codedeploys_own_is_the_inputs_fault() -> None:
    error = as_towline_error(ApplicationError("no group", type="DEPLOYMENT_GROUP_MISSING", non_retryable=True))
    assert isinstance(error, errors.InvalidInput)
    assert error.code == "DEPLOYMENT_GROUP_MISSING"
    assert not isinstance(as_towline_error(ApplicationError("x", type="ValueError")), errors.InvalidInput)
