"""Whose fault: one refusing host is at fault itself, several are our credentials, the rest is ours at once."""

from __future__ import annotations

from towline.model.deployment.status import Outcome
from towline.model.messages.instance import Fault, InstanceOutcome
from towline.model.rollout.faults import FaultFinder


def refused(name: str) -> InstanceOutcome:
    fault = Fault(code="AuthenticationRefused", message=f"{name} refused the key")
    return InstanceOutcome(instance=name, outcome=Outcome.BLOCKED, fault=fault)


def ended(name: str, outcome: Outcome = Outcome.SUCCEEDED) -> InstanceOutcome:
    return InstanceOutcome(instance=name, outcome=outcome, was_touched=True)


def test_one_refusal_between_hosts_that_answer_is_the_hosts_own() -> None:
    finder = FaultFinder()
    assert finder.hear(refused("a")) == ([], [])
    counted, back = finder.hear(ended("b"))
    assert [(o.instance, o.outcome) for o in counted] == [("a", Outcome.FAILED), ("b", Outcome.SUCCEEDED)]
    assert back == [] and finder.blocked is None


def test_two_refusals_are_ours_and_both_go_back() -> None:
    finder = FaultFinder()
    finder.hear(refused("a"))
    assert finder.hear(refused("b")) == ([], ["a", "b"])
    assert finder.blocked is not None and finder.probe_seconds == 5
    assert finder.hear(refused("a")) == ([], ["a"])
    assert finder.probe_seconds == 10
    finder.hear(ended("a"))
    assert finder.blocked is None


def test_a_lone_host_that_refuses_is_at_fault_itself() -> None:
    finder = FaultFinder()
    finder.hear(refused("a"))
    assert [o.outcome for o in finder.nobody_left()] == [Outcome.FAILED]


def test_a_store_that_is_gone_is_ours_at_once() -> None:
    finder = FaultFinder()
    gone = InstanceOutcome(instance="a", outcome=Outcome.BLOCKED, fault=Fault(code="OurFault", message="S3 says 403"))
    assert finder.hear(gone) == ([], ["a"])
    assert finder.blocked is not None and finder.blocked.message == "S3 says 403"
