"""Slots and leases: random fleets, failures, orders and late messages never break the floor, and every rollout ends."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from towline.model.deployment.status import Outcome
from towline.model.group.config import MinimumHealthyHosts
from towline.model.messages.fleet import FleetMember
from towline.model.messages.shard import Lease, ShardOutcome, ShardProgress
from towline.model.rollout.health import floor_of, has_succeeded, is_impossible
from towline.model.rollout.leases import Rollout, ShardBook, Verdict
from towline.model.rollout.window import FAILURES, Window

RULES = st.one_of(
    st.builds(MinimumHealthyHosts, type=st.just("FLEET_PERCENT"), value=st.integers(0, 99)),
    st.builds(MinimumHealthyHosts, type=st.just("HOST_COUNT"), value=st.integers(0, 30)),
    st.just(MinimumHealthyHosts(type="MOST_CONCURRENCY", value=1)),
)


def fleet(healthy: list[bool]) -> list[FleetMember]:
    """Members in rank order: those that were not healthy go first."""
    return [FleetMember(name=f"i-{n:03d}", is_healthy=is_healthy) for n, is_healthy in enumerate(sorted(healthy))]


@dataclass
class Simulation:
    """A deployment and its shards, with messages that take their time; every start is checked against the floor."""

    members: list[FleetMember]
    floor: int
    slots: int
    fails: set[str]
    shard_size: int
    most: int
    dice: random.Random
    tolerates_failures: bool = False
    windows: dict[int, Window] = field(default_factory=dict)
    down: list[tuple[int, Lease]] = field(default_factory=list)  # leases on their way
    up: list[ShardProgress] = field(default_factory=list)  # signals on their way
    sequence: int = 0
    touched: set[str] = field(default_factory=set)
    most_out: int = 0

    def run(self) -> Rollout:
        spare = sum(m.is_healthy for m in self.members) - self.floor
        rollout = Rollout(
            self.members,
            slots=self.slots,
            spare_healthy=len(self.members) if self.tolerates_failures else spare,
            shard_size=self.shard_size,
            tolerates_failures=self.tolerates_failures,
        )
        for _ in range(100_000):
            self.send(rollout.grant())
            if rollout.verdict is Verdict.FAIL:
                return self.drain(rollout)
            if rollout.verdict is Verdict.DONE:
                return rollout
            self.step(rollout)
        raise AssertionError("the rollout does not end")

    def send(self, books: list[ShardBook]) -> None:
        for book in books:
            if book.index in self.windows:
                self.down.append((book.index, book.granted))
            else:
                window = Window(book.members, book.granted, most=self.most, tolerates_failures=self.tolerates_failures)
                self.windows[book.index] = window
                self.start_what_may(book.index)

    def step(self, rollout: Rollout) -> None:
        flying = [(index, name) for index, window in self.windows.items() for name in window.in_flight]
        over = [i for i, w in self.windows.items() if w.is_done and rollout.shards[i].outcome is None]
        moves = ["end"] * bool(flying) + ["down"] * bool(self.down) + ["up"] * bool(self.up) + ["close"] * bool(over)
        assert moves, "nothing is in flight, nothing may start, and it has not ended"
        move = self.dice.choice(moves)
        if move == "end":
            index, name = self.dice.choice(flying)
            self.windows[index].end(name, Outcome.FAILED if name in self.fails else Outcome.SUCCEEDED)
            self.start_what_may(index)
        elif move == "down":
            index, lease = self.down.pop(self.dice.randrange(len(self.down)))  # in any order
            if not self.windows[index].is_done:
                self.windows[index].grant(lease)
                self.start_what_may(index)
        elif move == "close":
            index = self.dice.choice(over)
            rollout.close(ShardOutcome(index=index, results=self.windows[index].results))
        else:
            progress = self.up.pop(self.dice.randrange(len(self.up)))
            rollout.hear(progress)

    def start_what_may(self, index: int) -> None:
        window = self.windows[index]
        for member in window.next_starts():
            self.check_floor_before(member)
            window.start(member.name)
            self.touched.add(member.name)
        window.give_back()
        self.sequence += 1
        self.up.append(
            ShardProgress(
                index=index,
                sequence=self.sequence,
                granted=window.granted,
                returned=window.returned,
                started=window.started,
                succeeded=window.count(Outcome.SUCCEEDED),
                failed=window.failed,
                gained=window.gained,
                waiting=window.waiting,
            )
        )
        out = sum(len(w.in_flight) + (0 if self.tolerates_failures else w.failed) for w in self.windows.values())
        self.most_out = max(self.most_out, out)
        assert out <= self.slots

    def check_floor_before(self, member: FleetMember) -> None:
        if member.is_healthy and not self.tolerates_failures:
            assert self.healthy_now() - 1 >= self.floor

    def healthy_now(self) -> int:
        lost = gained = 0
        by_name = {m.name: m for m in self.members}
        for window in self.windows.values():
            lost += sum(by_name[name].is_healthy for name in window.in_flight)
            gained += window.gained
            for outcome in FAILURES:
                lost += sum(by_name[name].is_healthy for name in window.results.get(outcome, ()))
        return sum(m.is_healthy for m in self.members) - lost + gained

    def drain(self, rollout: Rollout) -> Rollout:
        """The halt: those in flight finish, the others are skipped."""
        for index, window in self.windows.items():
            window.skip_waiting()
            for name in window.in_flight:
                window.end(name, Outcome.FAILED if name in self.fails else Outcome.SUCCEEDED)
            rollout.close(ShardOutcome(index=index, results=window.results))
        return rollout


SIMULATED = {
    "rule": RULES,
    "healthy": st.lists(st.booleans(), min_size=1, max_size=40),
    "failing": st.sets(st.integers(0, 39)),
    "shard_size": st.integers(1, 12),
    "most": st.integers(1, 12),
    "seed": st.integers(0, 2**32),
}


@given(**SIMULATED)
@settings(max_examples=300, deadline=None)
def test_the_floor_holds_and_every_rollout_ends_with_the_right_status(
    rule: MinimumHealthyHosts, healthy: list[bool], failing: set[int], shard_size: int, most: int, seed: int
) -> None:
    members = fleet(healthy)
    if is_impossible(rule, len(members)):
        return
    floor = floor_of(rule, len(members))
    fails = {members[n].name for n in failing if n < len(members)}
    simulation = Simulation(members, floor, len(members) - floor, fails, shard_size, most, random.Random(seed))
    rollout = simulation.run()

    succeeded, failed = rollout.succeeded, rollout.failed
    untouched = len(members) - succeeded - failed
    outcomes = [book.outcome for book in rollout.shards.values() if book.outcome]
    skipped = {name for outcome in outcomes for name in outcome.results.get(Outcome.SKIPPED, ())}
    assert simulation.touched.isdisjoint(skipped), "untouched means untouched"
    assert len(simulation.touched) == succeeded + failed
    if untouched:  # it ended early: only because every slot was eaten, and then it has failed
        assert failed >= len(members) - floor
    assert has_succeeded(floor, succeeded) == (succeeded >= max(floor, 1))
    if not fails:
        assert succeeded == len(members)


@given(**SIMULATED)
@settings(max_examples=100, deadline=None)
def test_a_rollback_reaches_everybody_whatever_fails(
    rule: MinimumHealthyHosts, healthy: list[bool], failing: set[int], shard_size: int, most: int, seed: int
) -> None:
    members = fleet(healthy)
    slots = max(1, len(members) - floor_of(rule, len(members)))
    fails = {members[n].name for n in failing if n < len(members)}
    dice = random.Random(seed)
    dice.shuffle(members)
    simulation = Simulation(members, 0, slots, fails, shard_size, most, dice, tolerates_failures=True)
    rollout = simulation.run()
    assert rollout.succeeded + rollout.failed == len(members)


@given(**SIMULATED)
@settings(max_examples=100, deadline=None)
def test_an_order_that_no_rank_would_give_ends_too(
    rule: MinimumHealthyHosts, healthy: list[bool], failing: set[int], shard_size: int, most: int, seed: int
) -> None:
    members = fleet(healthy)
    if is_impossible(rule, len(members)):
        return
    floor = floor_of(rule, len(members))
    fails = {members[n].name for n in failing if n < len(members)}
    dice = random.Random(seed)
    dice.shuffle(members)
    Simulation(members, floor, len(members) - floor, fails, shard_size, most, dice).run()


def test_one_at_a_time_has_one_in_flight_and_the_last_may_fail() -> None:
    members = fleet([True] * 9)
    simulation = Simulation(members, 8, 1, {"i-008"}, 4, 100, random.Random(1))
    rollout = simulation.run()
    assert (rollout.succeeded, rollout.failed, simulation.most_out) == (8, 1, 1)
    assert has_succeeded(8, rollout.succeeded)


def test_half_at_a_time_keeps_four_of_nine_in_flight() -> None:
    simulation = Simulation(fleet([True] * 9), 5, 4, set(), 250, 100, random.Random(1))
    simulation.run()
    assert simulation.most_out == 4


def test_when_every_slot_is_eaten_the_rest_is_untouched() -> None:
    members = fleet([True] * 10)
    simulation = Simulation(members, 8, 2, {"i-000", "i-001", "i-002"}, 250, 100, random.Random(3))
    rollout = simulation.run()
    assert (rollout.failed, rollout.succeeded, len(simulation.touched)) == (2, 0, 2)


def test_slots_of_a_shard_that_drains_go_to_the_next_one() -> None:
    rollout = Rollout(fleet([True] * 6), slots=2, spare_healthy=2, shard_size=3)
    (first,) = rollout.grant()
    assert (first.index, first.granted.slots) == (1, 2)
    granted = first.granted
    rollout.hear(ShardProgress(index=1, sequence=1, granted=granted, returned=Lease(slots=1, healthy=1), started=3))
    changed = {book.index: book.granted.slots for book in rollout.grant()}
    assert changed[2] == 1
    outcome = ShardOutcome(index=1, results={Outcome.SUCCEEDED: ("i-000", "i-001"), Outcome.FAILED: ("i-002",)})
    rollout.close(outcome)
    assert rollout.grant() == []  # the failure ate the slot for good
    assert rollout.verdict is Verdict.CONTINUE


def test_a_late_signal_does_not_take_a_return_back() -> None:
    rollout = Rollout(fleet([True] * 4), slots=2, spare_healthy=2, shard_size=2)
    (first,) = rollout.grant()
    newer = ShardProgress(
        index=1, sequence=2, granted=first.granted, returned=Lease(slots=2, healthy=2), started=2, succeeded=2
    )
    rollout.hear(newer)
    rollout.hear(ShardProgress(index=1, sequence=1, granted=first.granted, returned=Lease(), waiting=2))
    assert rollout.shards[1].progress == newer
