"""Minimum healthy hosts: the floor of a deployment, its slots, and how it is judged at the end.

Source: DESIGN "Slots", CodeDeploy's instances-health page. All counts are instances.
"""

from __future__ import annotations

from towline.model.group.config import MinimumHealthyHosts
from towline.model.messages.deploy import Undo


def floor_of(rule: MinimumHealthyHosts, hosts: int) -> int:
    """The floor M that this rule means for this many hosts. One host alone has no floor.

    >>> floor_of(MinimumHealthyHosts(type="FLEET_PERCENT", value=50), 9)
    5
    >>> floor_of(MinimumHealthyHosts(type="HOST_COUNT", value=6), 9)
    6
    >>> floor_of(MinimumHealthyHosts(type="MOST_CONCURRENCY", value=1), 9)  # OneAtATime
    8
    >>> floor_of(MinimumHealthyHosts(type="FLEET_PERCENT", value=95), 10)  # all ten: is_impossible
    10
    """
    if hosts <= 1:
        return 0
    if rule.type == "HOST_COUNT":
        return rule.value
    if rule.type == "FLEET_PERCENT":
        return -(-hosts * rule.value // 100)
    return hosts - rule.value


def slots_of(rule: MinimumHealthyHosts, hosts: int, undo: Undo | None = None) -> int:
    """How many of this many hosts may be out of service at once.

    A rollback takes as many at once as the deployment that it rolls back: a second outage is not a rollback. Where
    that is not known, at least one.

    >>> rule = MinimumHealthyHosts(type="HOST_COUNT", value=6)
    >>> [slots_of(rule, 9, undo) for undo in (None, Undo(deployment_id="d-1", slots=5), Undo(deployment_id="d-1"))]
    [3, 5, 3]
    """
    slots = hosts - floor_of(rule, hosts)
    return min(hosts, undo.slots or max(1, slots)) if undo else slots


def is_impossible(rule: MinimumHealthyHosts, hosts: int) -> bool:
    """Whether no instance could ever be taken out of service (HEALTH_CONSTRAINTS_INVALID).

    >>> is_impossible(MinimumHealthyHosts(type="HOST_COUNT", value=3), 3)
    True
    """
    return hosts > 1 and floor_of(rule, hosts) >= hosts


def has_succeeded(floor: int, succeeded: int) -> bool:
    """The end rule: at least the floor, and at least one, succeeded.

    >>> has_succeeded(8, 8), has_succeeded(0, 0)
    (True, False)
    """
    return succeeded >= max(floor, 1)
