"""One shard's share of a rollout: who may start now under its lease, and what it gives back.

A running instance holds a slot; one that ends well gives it back; one that fails keeps it. The same is leased a second
time for instances that were healthy before (`healthy`), so that the fleet's floor holds however many were unhealthy.
The parent's side of the same arithmetic is `leases.py`.
"""

from __future__ import annotations

from collections.abc import Iterable

from towline.model.deployment.status import Outcome
from towline.model.messages.fleet import FleetMember
from towline.model.messages.shard import Lease

FAILURES = frozenset({Outcome.FAILED, Outcome.UNREACHABLE, Outcome.INTERRUPTED, Outcome.STOPPED})
"""Outcomes that leave an instance out of service."""


REPORTS_EACH = 10
"""A shard of so many members reports each that ends; a larger one so many steps."""


class Window:
    """The members of a shard on their way: waiting → in flight → ended. Plain data; no clock, no I/O."""

    def __init__(
        self, members: Iterable[FleetMember], lease: Lease, *, most: int = 100, tolerates_failures: bool = False
    ) -> None:
        self._waiting = {member.name: member for member in members}
        self._in_flight: dict[str, FleetMember] = {}
        self._aside: dict[str, FleetMember] = {}
        self._ended: dict[str, tuple[FleetMember, Outcome]] = {}
        self._most = most
        self._tolerates_failures = tolerates_failures
        self.granted = lease
        self.returned = Lease(slots=0, healthy=0)
        self.gained = 0  # successes of members that were not healthy before: each raises the fleet's healthy count
        self.started = 0

    @property
    def waiting(self) -> int:
        """How many have not begun."""
        return len(self._waiting)

    @property
    def in_flight(self) -> tuple[str, ...]:
        """Who is at work, in the order of starting."""
        return tuple(self._in_flight)

    @property
    def is_done(self) -> bool:
        """Whether nothing waits, nothing is in flight and nothing is put aside."""
        return not self._waiting and not self._in_flight and not self._aside

    @property
    def results(self) -> dict[Outcome, tuple[str, ...]]:
        """The names that ended, by outcome."""
        by_outcome: dict[Outcome, tuple[str, ...]] = {}
        for name, (_, outcome) in self._ended.items():
            by_outcome[outcome] = (*by_outcome.get(outcome, ()), name)
        return by_outcome

    def count(self, *outcomes: Outcome) -> int:
        """How many ended in one of these ways."""
        return sum(outcome in outcomes for _, outcome in self._ended.values())

    @property
    def failed(self) -> int:
        """How many ended out of service."""
        return self.count(*FAILURES)

    def next_starts(self) -> list[FleetMember]:
        """Who may start now, in order; call `start` for each that is started.

        A member that was healthy before needs a spare healthy slot besides; one that was not may pass it in the order.
        """
        slots = min(self._held_slots() - self._used_slots(), self._most - len(self._in_flight))
        healthy = self._held_healthy() - self._used_healthy()
        starts: list[FleetMember] = []
        for member in self._waiting.values():
            if len(starts) >= slots:
                break
            if member.is_healthy:
                if healthy <= 0:
                    continue
                healthy -= 1
            starts.append(member)
        return starts

    def start(self, name: str) -> FleetMember:
        """Moves a waiting member into flight."""
        member = self._waiting.pop(name)
        self._in_flight[name] = member
        self.started += 1
        return member

    def put_aside(self, name: str) -> None:
        """Takes a member out of flight whose host was never touched, until the reason is known; it holds no slot."""
        self._aside[name] = self._in_flight.pop(name)

    def put_back(self, name: str) -> None:
        """Undoes a start that never touched the host: the member waits again, ahead of the others."""
        member = self._take(name)
        self._waiting = {name: member, **self._waiting}
        self.started -= 1

    def end(self, name: str, outcome: Outcome) -> None:
        """Notes how a member in flight, or put aside, ended."""
        member = self._take(name)
        self._ended[name] = (member, outcome)
        if outcome is Outcome.SUCCEEDED and not member.is_healthy:
            self.gained += 1

    def _take(self, name: str) -> FleetMember:
        return self._aside.pop(name) if name in self._aside else self._in_flight.pop(name)

    def skip_waiting(self) -> tuple[str, ...]:
        """Ends all that wait as skipped, since nothing more is started; answers their names."""
        skipped = tuple(self._waiting)
        self._ended.update({name: (member, Outcome.SKIPPED) for name, member in self._waiting.items()})
        self._waiting.clear()
        return skipped

    def grant(self, lease: Lease) -> None:
        """Takes a newer lease; grants are cumulative, so an older one that comes late changes nothing."""
        self.granted = Lease(
            slots=max(lease.slots, self.granted.slots),
            healthy=max(lease.healthy, self.granted.healthy),
            returns_wanted=lease.returns_wanted,
        )

    def give_back(self) -> None:
        """Returns what can not be used any more: beyond what is used and what waits."""
        slots = self._held_slots() - (self._used_slots() + len(self._waiting))
        waiting_healthy = sum(member.is_healthy for member in self._waiting.values())
        healthy = self._held_healthy() - (self._used_healthy() + waiting_healthy)
        self.returned = Lease(
            slots=self.returned.slots + max(slots, 0), healthy=self.returned.healthy + max(healthy, 0)
        )

    def _held_slots(self) -> int:
        return self.granted.slots - self.returned.slots

    def _held_healthy(self) -> int:
        return self.granted.healthy - self.returned.healthy

    def _used_slots(self) -> int:
        return len(self._in_flight) + (0 if self._tolerates_failures else self.failed)

    def _used_healthy(self) -> int:
        eaten = sum(m.is_healthy and o in FAILURES for m, o in self._ended.values())
        flying = sum(member.is_healthy for member in self._in_flight.values())
        return flying + (0 if self._tolerates_failures else eaten)
