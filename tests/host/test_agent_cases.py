"""The recorded behaviour of AWS's agent: every case does the same here, or is listed with the reason why not."""

from __future__ import annotations

import os
import shutil

import pytest

from tests.harness.host.agent_cases import AgentCase, load, make_user, names, place
from tests.harness.host.agent_compare import Seen
from tests.harness.host.differences import DIFFERENCES

TOOLS = {"228-hooks-sudo": "sudo", "138": "setfacl", "139": "setfacl", "141": "setfacl", "147": "setfacl"}

pytestmark = [
    pytest.mark.fleet,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root: the recordings are of an agent that runs as root"),
]


@pytest.fixture(scope="module", autouse=True)
def _normal_user() -> None:
    make_user()


@pytest.mark.parametrize("name", names())
def test_a_recorded_case_does_the_same_here(name: str) -> None:
    tool = TOOLS.get(name) or TOOLS.get(name[:3])
    if tool and not shutil.which(tool):
        pytest.skip(f"needs {tool}")
    try:
        check(name)
    except AssertionError:
        if "timeout" not in name:
            raise
        check(name)  # recorded with limits of a second or two: a machine that stalls for as long gets one more go


def check(name: str) -> None:
    rules = DIFFERENCES.get(name, {})
    refused_there = {number for number, given in rules.items() if any(rule.refused_there for rule in given)}
    with place(name) as somewhere:
        case = AgentCase(load(name), somewhere, refused_there)
        before: Seen | None = None
        for number, seen in enumerate(case.run(), 1):
            check_one(case, number, seen, before)
            before = seen


def check_one(case: AgentCase, number: int, seen: Seen, before: Seen | None) -> None:
    rules = DIFFERENCES.get(case.name, {}).get(number, ())
    explained: set[str] = set().union(*(rule.may_differ for rule in rules))
    unexplained = {key: text for key, text in seen.differences.items() if key not in explained}
    assert not unexplained, f"deployment {number}: {unexplained}"
    for rule in rules:
        assert rule.may_differ & set(seen.differences), f"deployment {number}: no longer differs: {rule.reason}"
        wrong = rule.check(case, seen, before) if rule.check else ""
        assert not wrong, f"deployment {number}: {rule.reason}: {wrong}"


def test_every_listed_difference_is_of_a_case() -> None:
    assert not set(DIFFERENCES) - set(names())
    for name, deployments in DIFFERENCES.items():
        assert set(deployments) <= set(range(1, len(load(name)["deployments"]) + 1)), name
