"""Selection of a deployment group's instances: EC2 and on-premises tag filters, Auto Scaling groups, and `where`.

CodeDeploy's rule: a group is the union of what its EC2 filters, its on-premises filters and its Auto Scaling groups
select. EC2 filters see EC2 instances only, on-premises ones the declared instances only. Filters in one list are OR;
in a tag set the lists are AND. `where` (towline's extension) then narrows the union.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from towline.model.fleet.instance import InstanceRecord
from towline.model.group.group import DeploymentGroup, TagFilter
from towline.model.rollout.order import natural


@dataclass(frozen=True)
class Candidate:
    """An instance that a group may select. `paused` ones are never selected."""

    name: str
    source: Literal["declared", "ec2"] = "declared"
    tags: dict[str, str] = field(default_factory=dict)
    auto_scaling_group: str = ""
    paused: bool = False


def candidate(record: InstanceRecord) -> Candidate:
    """A declared instance as a candidate."""
    return Candidate(name=record.instance_name, tags=record.tags, paused=record.paused)


def selects(group: DeploymentGroup, instance: Candidate) -> bool:
    """Whether the group selects this instance."""
    if instance.paused or any(instance.tags.get(key) != value for key, value in group.where.items()):
        return False
    if instance.source == "declared":
        sets = group.on_premises_tag_set.on_premises_tag_set_list if group.on_premises_tag_set else ()
        return _matches(group.on_premises_instance_tag_filters, sets, instance.tags)
    if instance.auto_scaling_group and instance.auto_scaling_group in group.auto_scaling_groups:
        return True
    sets = group.ec2_tag_set.ec2_tag_set_list if group.ec2_tag_set else ()
    return _matches(group.ec2_tag_filters, sets, instance.tags)


def _matches(filters: tuple[TagFilter, ...], sets: tuple[tuple[TagFilter, ...], ...], tags: dict[str, str]) -> bool:
    """Whether any filter of each list matches. No filters at all select nothing."""
    lists = [one for one in (filters, *sets) if one]
    return bool(lists) and all(any(tag_filter.matches(tags) for tag_filter in one) for one in lists)


def members(group: DeploymentGroup, instances: Iterable[Candidate]) -> list[str]:
    """The names of the group's instances, each once, in natural order."""
    return sorted({instance.name for instance in instances if selects(group, instance)}, key=natural)


@dataclass(frozen=True)
class Membership:
    """A group's declared members after a change, and those that the change adds and removes."""

    group: str  # application/group
    members: tuple[str, ...]
    gained: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()
    is_new: bool = False

    @property
    def loses_most(self) -> bool:
        """Whether more than half of the previous members are removed, as by a misspelt tag."""
        stay = len(self.members) - len(self.gained)
        return len(self.lost) > stay


def membership(group: str, after: Iterable[str], before: Iterable[str] | None) -> Membership:
    """Compares a group's members; `before` None: the group is new."""
    now, then = set(after), set(before or ())
    return Membership(
        group=group,
        members=tuple(sorted(now, key=natural)),
        gained=tuple(sorted(now - then, key=natural)),
        lost=tuple(sorted(then - now, key=natural)),
        is_new=before is None,
    )


def described(group: DeploymentGroup) -> str:
    """A description of the instances that a group selects.

    >>> described(DeploymentGroup.model_validate({"applicationName": "a", "deploymentGroupName": "g",
    ...     "onPremisesInstanceTagFilters": [{"Key": "role", "Value": "web"}], "where": {"zone": "a"}}))
    'declared instances with role=web; all with zone=a'
    """
    declared = _lists(group.on_premises_instance_tag_filters, group.on_premises_tag_set, "on_premises_tag_set_list")
    on_ec2 = _lists(group.ec2_tag_filters, group.ec2_tag_set, "ec2_tag_set_list")
    parts = [
        f"declared instances with {declared}" if declared else "",
        f"EC2 instances with {on_ec2}" if on_ec2 else "",
        f"Auto Scaling groups {', '.join(group.auto_scaling_groups)}" if group.auto_scaling_groups else "",
    ]
    chosen = ", and ".join(part for part in parts if part) or "nothing, since it has no filter"
    where = ", ".join(f"{key}={value}" for key, value in sorted(group.where.items()))
    return f"{chosen}; all with {where}" if where else chosen


def _lists(filters: tuple[TagFilter, ...], tag_set: object, name: str) -> str:
    lists = [one for one in (filters, *getattr(tag_set, name, ())) if one]
    every = [" or ".join(_shown(tag_filter) for tag_filter in one) for one in lists]
    return " and ".join(f"({one})" if len(every) > 1 and " or " in one else one for one in every)


def _shown(tag_filter: TagFilter) -> str:
    if tag_filter.type == "KEY_ONLY":
        return f"the tag {tag_filter.key}"
    if tag_filter.type == "VALUE_ONLY":
        return f"any tag of value {tag_filter.value}"
    return f"{tag_filter.key}={tag_filter.value or ''}"
