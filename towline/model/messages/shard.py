"""Between a deployment and its shards: leases and orders down, progress and outcomes up."""

from __future__ import annotations

from pydantic import Field

from towline.model.base import Message
from towline.model.deployment.status import Outcome, TargetStatus
from towline.model.messages.deploy import (
    StopRequest,
)
from towline.model.messages.fleet import FleetMember
from towline.model.messages.instance import (
    Fault,
    InstanceOutcome,
)


class Lease(Message):
    """What a shard may use, cumulatively granted: slots, and starts of instances that were healthy before.

    `returns_wanted`: another shard waits for slots, so give back what is not needed.
    """

    slots: int = 0
    healthy: int = 0
    returns_wanted: bool = True


class ShardRequest(Message):
    """The input of a Shard: at most 250 members in order, and the first lease."""

    deployment_id: str
    run_id: str
    index: int
    members: tuple[FleetMember, ...]
    lease: Lease
    window: int = 100  # most activities in flight
    deadline_seconds: int = 12 * 3600
    tolerates_failures: bool = False  # a rollback: failures keep no slot
    paused: bool = False
    stop: StopRequest | None = None


class ShardProgress(Message):
    """What a shard signals to its deployment. Cumulative, so that a lost or repeated one does no harm."""

    index: int
    sequence: int = 0  # grows with every signal, so that an outdated one is ignored
    granted: Lease  # the lease that it goes by
    returned: Lease  # cumulative slots and healthy starts given back
    is_held: bool = False  # it starts nothing for another reason than its lease: pause, stop, a fault of ours
    started: int = 0
    succeeded: int = 0
    failed: int = 0
    gained: int = 0  # successes of instances that were not healthy before
    waiting: int = 0
    confirmed_stop: bool = False
    in_flight: tuple[str, ...] = ()  # names, at most ten
    blocked: Fault | None = None  # a fault on our side that holds it
    failures: tuple[InstanceOutcome, ...] = ()  # at most ten, the last ones


class RunsNow(Message):
    """Instances that all say that they run this revision; an empty label: that they run none."""

    label: str
    sha256: str
    instances: tuple[str, ...]


class ShardOutcome(Message):
    """A shard's end: who ended how, and the worst ten with their log tails."""

    index: int
    results: dict[Outcome, tuple[str, ...]] = Field(default_factory=dict)
    touched: tuple[str, ...] = ()
    failures: tuple[InstanceOutcome, ...] = ()
    seconds: float = 0.0
    now: tuple[RunsNow, ...] = ()  # what hosts said that they run; those that succeeded going forward are left out


class ShardWreck(Message):
    """Asks what the store knows of the members of a shard that was ended from outside."""

    deployment_id: str
    run_id: str
    index: int
    names: tuple[str, ...]


class ShardOrders(Message):
    """What a deployment signals to a shard; each field is the whole truth of now."""

    lease: Lease
    paused: bool = False
    stop: StopRequest | None = None
    halt: bool = False  # the rollout is lost (HEALTH_CONSTRAINTS): start nothing more


class InstanceLive(Message):
    """What a shard's `instances` query says of one member; times are ISO 8601."""

    status: TargetStatus = TargetStatus.PENDING
    outcome: Outcome | None = None
    start_time: str = ""
    end_time: str = ""
    message: str = ""
