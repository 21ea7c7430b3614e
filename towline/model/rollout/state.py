"""How far a rollout is: the frozen fleet, the shards of every stage, what they have come to, and the time left.

Plain data; part of the `DeploymentState` (`towline/model/deployment/state.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from towline.model.deployment.status import Outcome
from towline.model.messages.fleet import Fleet, FleetMember
from towline.model.messages.shard import ShardOutcome, ShardProgress
from towline.model.rollout.leases import Rollout, ShardBook
from towline.model.rollout.window import FAILURES
from towline.model.rollout.zones import Stage


@dataclass
class RolloutState:
    """The rollout of one deployment over all of its stages."""

    fleet: Fleet = field(default_factory=Fleet)
    floor: int = 0  # instances that must stay healthy
    slots: int = 0  # instances that may be out of service at once
    zone: str = ""  # of the stage at work
    stage: Rollout | None = None  # the stage at work, or the last one
    shards: list[ShardBook] = field(default_factory=list)  # of all stages so far
    is_lost: bool = False  # every slot is kept by a failure while instances wait
    is_out_of_time: bool = False
    seconds_left: float = 0.0
    ticked_at: float = 0.0

    def open_stage(self, stage: Stage, rollout: Rollout) -> None:
        """A stage begins; its shards count from now on."""
        self.zone, self.stage = stage.zone, rollout
        self.shards += rollout.shards.values()

    def take_progress(self, progress: ShardProgress) -> None:
        """A shard has reported."""
        if self.stage:
            self.stage.hear(progress)

    def take_outcome(self, outcome: ShardOutcome) -> None:
        """A shard has ended."""
        assert self.stage, "a shard belongs to a stage"
        self.stage.close(outcome)

    def tick(self, time: float, *, counts: bool) -> None:
        """Time has passed; `counts` False: paused or queued, which does not run against the deployment's limit."""
        if counts:
            self.seconds_left -= time - self.ticked_at
        self.ticked_at = time

    # ── what is left for the next stage ──────────────────────────────────────────────────────────────────────────

    @property
    def slots_left(self) -> int:
        """The fleet's slots that failures of earlier stages do not keep."""
        return self.slots - len(self.failed_names)

    @property
    def spare_healthy(self) -> int:
        """Healthy instances of the whole fleet now, less the floor."""
        was_healthy = {member.name for member in self.members if member.is_healthy}
        lost = sum(name in was_healthy for name in self.failed_names)
        gained = sum(name not in was_healthy for name in self.names_of(Outcome.SUCCEEDED))
        return len(was_healthy) - lost + gained - self.floor

    # ── results ──────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def members(self) -> tuple[FleetMember, ...]:
        """The frozen fleet, in rollout order."""
        return self.fleet.members

    @property
    def open_shards(self) -> list[ShardBook]:
        """The shards at work."""
        return [book for book in self.shards if book.is_open]

    @property
    def outcomes(self) -> list[ShardOutcome]:
        """How shards ended, those that were never begun included."""
        return [book.outcome for book in self.shards if book.outcome]

    @property
    def results(self) -> Mapping[Outcome, tuple[str, ...]]:
        """The instances by outcome."""
        merged: dict[Outcome, tuple[str, ...]] = {}
        for outcome in self.outcomes:
            for kind, names in outcome.results.items():
                merged[kind] = (*merged.get(kind, ()), *names)
        return merged

    def names_of(self, outcome: Outcome) -> tuple[str, ...]:
        """The instances that ended so."""
        return self.results.get(outcome, ())

    @property
    def touched(self) -> tuple[str, ...]:
        """The instances on which a runner began."""
        return tuple(name for outcome in self.outcomes for name in outcome.touched)

    @property
    def failed_names(self) -> tuple[str, ...]:
        """The instances that ended out of service."""
        return tuple(name for kind, names in self.results.items() if kind in FAILURES for name in names)

    @property
    def in_flight(self) -> int:
        """Instances at work, as far as known."""
        return sum(book.in_flight for book in self.shards)

    @property
    def succeeded(self) -> int:
        """Successes known of, those that open shards have reported included."""
        return sum(book.succeeded for book in self.shards)

    @property
    def failed(self) -> int:
        """Failures known of, those that open shards have reported included."""
        return sum(book.failed() for book in self.shards)
