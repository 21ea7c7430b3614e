"""The frozen fleet: which instances, in which order, and how the store keeps it."""

from __future__ import annotations

from towline.model.base import Message
from towline.model.fleet.instance import Target
from towline.model.group.group import DeploymentGroup
from towline.model.messages.deploy import (
    DeploymentOrder,
)


class ReadFleet(Message):
    """Asks to resolve and freeze a deployment's instances: members, their state, the order, the store's pages."""

    order: DeploymentOrder
    group: DeploymentGroup
    only: tuple[str, ...] | None = None  # a rollback's instances
    first: tuple[str, ...] = ()  # those that go first, whatever their rank
    page_size: int = 250
    outdated_only: bool = False


class FleetMember(Message):
    """One instance of the frozen fleet, as the rollout needs it; `page` is its place in the store's pages."""

    name: str
    address: str = ""
    zone: str = ""
    rank: int = 0  # not restored 0, unhealthy 1, unknown 2, old 3, current 4
    is_healthy: bool = False
    queue: str = ""  # task queue of its activities; empty: the deployment's own
    page: str = ""


class Fleet(Message):
    """The frozen fleet in rollout order. Without members the deployment ends as NO_INSTANCES."""

    members: tuple[FleetMember, ...] = ()
    previous_revision: str = ""  # label of what the group ran before
    warnings: tuple[str, ...] = ()


class FleetPage(Message):
    """A slice of the frozen fleet as the store keeps it."""

    targets: tuple[Target, ...]
