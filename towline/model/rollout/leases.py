"""The deployment's side of a rollout: slots leased to shards in order, and the verdict.

The invariant, of slots and of spare healthy instances alike: what shards hold, plus what failures of ended shards ate,
never exceeds the capacity. A shard holds `granted − returned`; both only grow, so a message that is late or repeated
errs on the safe side. An earlier shard is served before a later one, hence the first shard in which somebody waits can
always go on, or every slot is eaten by a failure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum, auto

from towline.model.deployment.status import Outcome
from towline.model.messages.fleet import FleetMember
from towline.model.messages.shard import Lease, ShardOutcome, ShardProgress
from towline.model.rollout.window import FAILURES


def slots_in_use(slots: int, in_flight: int, failed: int, *, tolerates_failures: bool) -> int:
    """How many of the slots are held: by instances in flight, and by failed ones, except in a rollback.

    >>> slots_in_use(4, in_flight=1, failed=2, tolerates_failures=False)
    3
    >>> slots_in_use(1, in_flight=1, failed=3, tolerates_failures=True)
    1
    """
    return min(slots, in_flight + (0 if tolerates_failures else failed))


class Verdict(Enum):
    """What a rollout is to do next."""

    CONTINUE = auto()
    FAIL = auto()  # no slot is left and instances wait: HEALTH_CONSTRAINTS
    DONE = auto()  # nothing waits, nothing is in flight


@dataclass
class ShardBook:
    """What the deployment knows of one shard."""

    index: int
    members: tuple[FleetMember, ...]
    granted: Lease = field(default_factory=Lease)
    progress: ShardProgress | None = None
    outcome: ShardOutcome | None = None

    @property
    def has_begun(self) -> bool:
        """Whether it was ever granted a slot, and so started."""
        return self.granted.slots > 0

    @property
    def is_open(self) -> bool:
        """Whether it was started and has not ended."""
        return self.has_begun and self.outcome is None

    @property
    def healthy(self) -> int:
        """Members that were healthy before."""
        return sum(member.is_healthy for member in self.members)

    def failed(self, *, healthy_only: bool = False) -> int:
        """Failures known of: the outcome's once there is one, else those signalled."""
        if self.outcome is None:
            return self.progress.failed if self.progress else 0
        names = {name for outcome in FAILURES for name in self.outcome.results.get(outcome, ())}
        return sum(m.name in names for m in self.members if m.is_healthy or not healthy_only)

    @property
    def succeeded(self) -> int:
        """Successes known of."""
        if self.outcome is not None:
            return len(self.outcome.results.get(Outcome.SUCCEEDED, ()))
        return self.progress.succeeded if self.progress else 0

    @property
    def gained(self) -> int:
        """Successes of members that were not healthy before."""
        if self.outcome is not None:
            names = set(self.outcome.results.get(Outcome.SUCCEEDED, ()))
            return sum(m.name in names for m in self.members if not m.is_healthy)
        return self.progress.gained if self.progress else 0

    @property
    def waiting(self) -> int:
        """How many have not begun, as far as known."""
        if self.outcome is not None:
            return 0
        return self.progress.waiting if self.progress else len(self.members)

    @property
    def in_flight(self) -> int:
        """How many are at work, as far as known; all that a begun shard could have at work if it has not said."""
        if not self.is_open:
            return 0
        if self.progress is None:
            return min(self.granted.slots, len(self.members))
        return self.progress.started - self.progress.succeeded - self.progress.failed

    def held(self, *, healthy: bool, tolerates_failures: bool) -> int:
        """Slots (or spare healthy) that the pool may not give to anybody else."""
        if self.outcome is not None:
            return 0 if tolerates_failures else self.failed(healthy_only=healthy)
        returned = self.progress.returned if self.progress else Lease()
        return self.granted.healthy - returned.healthy if healthy else self.granted.slots - returned.slots

    def could_use(self, *, healthy: bool, tolerates_failures: bool) -> int:
        """How many more it could use: its members that have not ended well, less what it holds."""
        if self.outcome is not None or self.waiting == 0:
            return 0
        most = self.healthy if healthy else len(self.members) - (self.succeeded if self.progress else 0)
        return max(0, most - self.held(healthy=healthy, tolerates_failures=tolerates_failures))


class Rollout:
    """The books of one stage of a rollout (a zone, or the whole fleet)."""

    def __init__(
        self,
        members: Sequence[FleetMember],
        *,
        slots: int,
        spare_healthy: int,
        shard_size: int = 250,
        tolerates_failures: bool = False,
        first_index: int = 1,
    ) -> None:
        """Cuts the members, in order, into shards.

        Args:
            members: in rollout order.
            slots: most instances out of service at once, failures of this stage included.
            spare_healthy: healthy instances now, less the floor (may be negative).
            shard_size: most members in a shard.
            tolerates_failures: a rollback, in which a failure gives its slot back.
            first_index: number of the first shard.
        """
        self.slots = slots
        self.spare_healthy = spare_healthy
        self.tolerates_failures = tolerates_failures
        cuts = range(0, len(members), shard_size)
        self.shards = {
            first_index + number: ShardBook(first_index + number, tuple(members[cut : cut + shard_size]))
            for number, cut in enumerate(cuts)
        }

    # ── what is heard ────────────────────────────────────────────────────────────────────────────────────────────

    def hear(self, progress: ShardProgress) -> None:
        """Takes a shard's signal; an outcome that is already here, and a newer signal, win."""
        book = self.shards.get(progress.index)
        if book is None or book.outcome is not None:
            return
        if book.progress is None or progress.sequence >= book.progress.sequence:
            book.progress = progress

    def close(self, outcome: ShardOutcome) -> None:
        """Takes a shard's outcome, which overrides whatever it signalled."""
        self.shards[outcome.index].outcome = outcome

    def skip_unbegun(self) -> None:
        """Notes that the members of shards that were never begun are skipped."""
        for book in self.shards.values():
            if not book.has_begun:
                skipped = tuple(member.name for member in book.members)
                book.outcome = ShardOutcome(index=book.index, results={Outcome.SKIPPED: skipped})

    # ── what is decided ──────────────────────────────────────────────────────────────────────────────────────────

    def grant(self) -> list[ShardBook]:
        """Leases what is free to shards in order; answers those that must hear of it, or be started with it."""
        changed = {}
        for healthy in (True, False):
            free = self._free(healthy=healthy)
            for book in self.shards.values():
                extra = min(free, book.could_use(healthy=healthy, tolerates_failures=self.tolerates_failures))
                if extra <= 0:
                    continue
                free -= extra
                step = {"healthy": book.granted.healthy + extra} if healthy else {"slots": book.granted.slots + extra}
                book.granted = book.granted.model_copy(update=step)
                changed[book.index] = book
        for book in self.shards.values():
            wanted = self._somebody_waits_for(book)
            if book.granted.returns_wanted != wanted:
                book.granted = book.granted.model_copy(update={"returns_wanted": wanted})
                changed[book.index] = book
        return [book for index, book in sorted(changed.items()) if book.is_open]

    @property
    def verdict(self) -> Verdict:
        """Whether to go on. Ask after `grant`."""
        if self.waiting == 0:
            return Verdict.DONE if self.is_idle else Verdict.CONTINUE
        if not self.tolerates_failures and self.failed >= self.slots:
            return Verdict.FAIL
        return Verdict.FAIL if self._is_stuck else Verdict.CONTINUE

    @property
    def is_idle(self) -> bool:
        """Whether no shard is at work: each has ended, or was never begun."""
        return not self.open_shards

    @property
    def open_shards(self) -> list[ShardBook]:
        """The shards at work."""
        return [book for book in self.shards.values() if book.is_open]

    @property
    def has_confirmed_stop(self) -> bool:
        """Whether every shard at work has confirmed that it starts nothing more."""
        return all(book.progress and book.progress.confirmed_stop for book in self.open_shards)

    @property
    def failed(self) -> int:
        """Failures known of."""
        return sum(book.failed() for book in self.shards.values())

    @property
    def succeeded(self) -> int:
        """Successes known of."""
        return sum(book.succeeded for book in self.shards.values())

    @property
    def waiting(self) -> int:
        """Instances that have not begun, as far as known."""
        return sum(book.waiting for book in self.shards.values())

    @property
    def in_flight(self) -> int:
        """Instances at work, as far as known."""
        return sum(book.in_flight for book in self.shards.values())

    @property
    def _is_stuck(self) -> bool:
        """Whether every shard that was begun has taken its last lease, has nothing at work, and still waits.

        Cannot happen to a fleet in rank order; a rollout must end all the same.
        """
        return bool(self.open_shards) and all(
            book.progress is not None
            and book.progress.granted == book.granted
            and book.in_flight == 0
            and not book.progress.is_held
            for book in self.open_shards
        )

    def _somebody_waits_for(self, book: ShardBook) -> bool:
        """Whether it helps another shard if this one gives back what it does not need."""
        return any(
            other.could_use(healthy=healthy, tolerates_failures=self.tolerates_failures)
            for other in self.shards.values()
            for healthy in (True, False)
            if other is not book
        )

    def _free(self, *, healthy: bool) -> int:
        held = sum(
            book.held(healthy=healthy, tolerates_failures=self.tolerates_failures) for book in self.shards.values()
        )
        capacity = self.slots
        if healthy:
            capacity = self.spare_healthy + sum(book.gained for book in self.shards.values())
        return max(0, capacity - held)
