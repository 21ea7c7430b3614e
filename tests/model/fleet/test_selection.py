"""Which instances a group has: CodeDeploy's union and tag sets, and `where`."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from towline.model.fleet.selection import Candidate, members, selects
from towline.model.group.group import DeploymentGroup

WEB, ENV = {"Key": "role", "Value": "web"}, {"Key": "env", "Type": "KEY_ONLY"}
CASES: list[tuple[str, dict[str, Any], Candidate, bool]] = [
    ("a declared one by its tag", {"onPremisesInstanceTagFilters": [WEB]}, Candidate("w", tags={"role": "web"}), True),
    ("case counts", {"onPremisesInstanceTagFilters": [WEB]}, Candidate("w", tags={"role": "Web"}), False),
    ("not by EC2's filters", {"ec2TagFilters": [WEB]}, Candidate("w", tags={"role": "web"}), False),
    ("EC2's by its own", {"ec2TagFilters": [WEB]}, Candidate("i-1", "ec2", {"role": "web"}), True),
    (
        "not EC2's by the others",
        {"onPremisesInstanceTagFilters": [WEB]},
        Candidate("i-1", "ec2", {"role": "web"}),
        False,
    ),
    ("one list is OR", {"ec2TagFilters": [WEB, ENV]}, Candidate("i-1", "ec2", {"env": "x"}), True),
    (
        "lists of a set are AND",
        {"ec2TagSet": {"ec2TagSetList": [[WEB], [ENV]]}},
        Candidate("i-1", "ec2", {"role": "web"}),
        False,
    ),
    (
        "lists of a set, both",
        {"onPremisesTagSet": {"onPremisesTagSetList": [[WEB], [ENV]]}},
        Candidate("w", tags={"role": "web", "env": "x"}),
        True,
    ),
    (
        "any key of a value",
        {"ec2TagFilters": [{"Value": "web", "Type": "VALUE_ONLY"}]},
        Candidate("i", "ec2", {"x": "web"}),
        True,
    ),
    ("by Auto Scaling group", {"autoScalingGroups": ["asg"]}, Candidate("i-1", "ec2", {}, "asg"), True),
    (
        "scaling and tags are a union",
        {"autoScalingGroups": ["asg"], "ec2TagFilters": [WEB]},
        Candidate("i-1", "ec2", {"role": "web"}),
        True,
    ),
    (
        "where narrows every source",
        {"autoScalingGroups": ["asg"], "where": {"env": "prod"}},
        Candidate("i-1", "ec2", {"env": "test"}, "asg"),
        False,
    ),
    ("where alone selects nothing", {"where": {"env": "prod"}}, Candidate("w", tags={"env": "prod"}), False),
    ("no filter selects nothing", {}, Candidate("w", tags={"role": "web"}), False),
    ("an empty set selects nothing", {"ec2TagSet": {"ec2TagSetList": [[]]}}, Candidate("i-1", "ec2", {}), False),
    (
        "a paused one is left out",
        {"onPremisesInstanceTagFilters": [WEB]},
        Candidate("w", tags={"role": "web"}, paused=True),
        False,
    ),
]


def group(**fields: Any) -> DeploymentGroup:
    return DeploymentGroup.model_validate({"applicationName": "a", "deploymentGroupName": "g", **fields})


@pytest.mark.parametrize(("fields", "instance", "expected"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_a_group_selects(fields: dict[str, Any], instance: Candidate, expected: bool) -> None:
    assert selects(group(**fields), instance) is expected


TAGS = st.dictionaries(st.sampled_from("ab"), st.sampled_from("xy"))
INSTANCES = st.lists(
    st.builds(Candidate, st.sampled_from([f"w{n}" for n in range(8)]), st.sampled_from(["declared", "ec2"]), TAGS)
)
FILTER = st.fixed_dictionaries({"Key": st.sampled_from("ab"), "Value": st.sampled_from("xy")})
FILTERS = st.lists(FILTER, max_size=3)


@given(INSTANCES, FILTERS, FILTERS)
def test_a_group_is_the_union_of_its_sources(
    instances: list[Candidate], ec2: list[Any], on_premises: list[Any]
) -> None:
    both = members(group(ec2TagFilters=ec2, onPremisesInstanceTagFilters=on_premises), instances)
    one = members(group(ec2TagFilters=ec2), instances)
    other = members(group(onPremisesInstanceTagFilters=on_premises), instances)
    assert set(both) == {*one, *other}
    assert len(both) == len(set(both))


@given(INSTANCES, FILTERS, TAGS)
def test_where_only_takes_away(instances: list[Candidate], filters: list[Any], where: dict[str, str]) -> None:
    narrow = members(group(ec2TagFilters=filters, where=where), instances)
    wide = members(group(ec2TagFilters=filters), instances)
    assert set(narrow) <= set(wide)
