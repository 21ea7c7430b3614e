"""The state of one deployment: what was read, decided and reported so far. Plain data, kept by the Deployment workflow.

Every phase and message handler of the workflow works on the one `DeploymentState`; how it is shown to people is
`state_view.py`. Methods note facts, each in one place; they take the time as an argument and decide nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from towline.model.bundle.revision import ResolvedRevision
from towline.model.deployment.ending import Ending, RolloutResult
from towline.model.deployment.status import DeploymentStatus, Outcome
from towline.model.deployment.view import rollback_messages
from towline.model.group.config import DeploymentConfig
from towline.model.group.group import DeploymentGroup
from towline.model.messages import (
    DeployRequest,
    Fleet,
    FleetMember,
    GroupFacts,
    RollbackEnd,
    ShardOutcome,
    ShardProgress,
    StopRequest,
    TurnAnswer,
)
from towline.model.names import SEARCH_STATUS
from towline.model.rollout.leases import Rollout, ShardBook
from towline.model.rollout.window import FAILURES
from towline.model.rollout.zones import Stage


@dataclass
class QueuePlace:
    """Where the deployment stands in its group's queue."""

    is_active: bool = False  # it is its turn
    has_news: bool = False  # the group has something new to say: ask again
    ahead: tuple[str, ...] = ()
    ahead_by: str = ""
    held: str = ""  # why the queue goes on for no deployment

    def answered(self, answer: TurnAnswer) -> None:
        """The group has answered."""
        self.is_active = self.is_active or answer.granted
        self.has_news = False
        self.ahead, self.ahead_by, self.held = answer.ahead, answer.ahead_by, answer.held

    def signalled(self, *, granted: bool) -> None:
        """The group has signalled."""
        self.is_active = self.is_active or granted
        self.has_news = True

    def left(self) -> None:
        """It waits no longer."""
        self.ahead, self.ahead_by, self.held = (), "", ""


@dataclass
class RollbackState:
    """The automatic rollback of this deployment, from its start on."""

    deployment_id: str
    end: RollbackEnd | None = None
    not_restored: tuple[str, ...] = ()  # instances that it did not bring back

    @property
    def has_succeeded(self) -> bool:
        """Whether it has brought every instance back."""
        return self.end is not None and self.end.status is DeploymentStatus.SUCCEEDED


def _as_started() -> dict[str, str]:
    return {SEARCH_STATUS: DeploymentStatus.CREATED.value}


@dataclass
class DeploymentState:
    """One deployment, as far as it has come."""

    deployment_id: str
    run_id: str
    created: datetime
    status: DeploymentStatus = DeploymentStatus.CREATED
    phase: str = "check"

    request_if_valid: DeployRequest | None = None
    facts: GroupFacts | None = None
    revision: ResolvedRevision | None = None
    fleet: Fleet = field(default_factory=Fleet)
    floor: int = 0
    slots: int = 0
    queue: QueuePlace = field(default_factory=QueuePlace)

    is_paused: bool = False
    stop: StopRequest | None = None
    changes: int = 0  # grows with whatever the stage at work must look at

    zone: str = ""
    rollout: Rollout | None = None  # of the stage at work, or of the last one
    is_lost: bool = False  # every slot was kept by a failure while instances waited
    is_out_of_time: bool = False
    seconds_left: float = 0.0
    ticked_at: float = 0.0

    ending: Ending | None = None
    started: datetime | None = None
    completed: datetime | None = None
    rollback: RollbackState | None = None
    report: str = ""
    warnings: list[str] = field(default_factory=list)
    published: dict[str, str] = field(default_factory=_as_started)  # its search attributes, as Temporal has them
    _shards: list[ShardBook] = field(default_factory=list)

    # ── what it is about ─────────────────────────────────────────────────────────────────────────────────────────

    @property
    def request(self) -> DeployRequest:
        """What was asked for, once it was read."""
        assert self.request_if_valid, "the request was not read yet"
        return self.request_if_valid

    @property
    def group(self) -> DeploymentGroup:
        """The group, once it was read."""
        assert self.facts, "the group was not read yet"
        return self.facts.group

    @property
    def config(self) -> DeploymentConfig:
        """The configuration in force, once it was read."""
        assert self.facts, "the group was not read yet"
        return self.facts.config

    @property
    def is_rollback(self) -> bool:
        """Whether it takes another deployment back."""
        return self.request_if_valid is not None and self.request_if_valid.undo is not None

    @property
    def revision_label(self) -> str:
        """The label of the revision; empty for a rollback."""
        return self.revision.label if self.revision else ""

    @property
    def sha256(self) -> str:
        """The digest of the revision; empty for a rollback."""
        return self.revision.sha256 if self.revision else ""

    # ── before the rollout ───────────────────────────────────────────────────────────────────────────────────────

    def enter(self, phase: str, status: DeploymentStatus) -> None:
        """A phase of the story begins."""
        self.phase, self.status = phase, status

    def take_group(self, facts: GroupFacts) -> None:
        """The group was read."""
        self.facts = facts
        self.seconds_left = float(facts.group.timeout_seconds)

    def take_revision(self, revision: ResolvedRevision) -> None:
        """The revision was read."""
        self.revision = revision
        self.warnings += revision.warnings

    def take_fleet(self, fleet: Fleet, *, floor: int, slots: int, now: datetime, time: float) -> None:
        """The instances are frozen; the deployment's time begins."""
        self.fleet, self.floor, self.slots = fleet, floor, slots
        self.warnings += fleet.warnings
        self.started, self.ticked_at = now, time

    # ── what people ask for ──────────────────────────────────────────────────────────────────────────────────────

    def pause(self) -> None:
        """Nothing new is to start. Of one that has ended: nothing changes."""
        if not self.status.is_final:
            self.is_paused = True
            self.changes += 1

    def resume(self) -> None:
        """The pause is over."""
        self.is_paused = False
        self.changes += 1

    def ask_to_stop(self, request: StopRequest) -> None:
        """Notes a stop for good. Asked again, `now` and a wish about the rollback may be added, never taken back."""
        if self.status.is_final:
            return
        if self.stop:
            request = StopRequest(
                now=request.now or self.stop.now,
                rollback=self.stop.rollback if request.rollback is None else request.rollback,
                reason=self.stop.reason or request.reason,
            )
        self.stop = request
        self.changes += 1

    # ── the rollout ──────────────────────────────────────────────────────────────────────────────────────────────

    def open_stage(self, stage: Stage, rollout: Rollout) -> None:
        """A stage begins; its shards count from now on."""
        self.zone, self.rollout = stage.zone, rollout
        self._shards += rollout.shards.values()

    def take_progress(self, progress: ShardProgress) -> None:
        """A shard has reported."""
        if self.rollout:
            self.rollout.hear(progress)
            self.changes += 1

    def take_outcome(self, outcome: ShardOutcome) -> None:
        """A shard has ended."""
        assert self.rollout, "a shard ends in a stage"
        self.rollout.close(outcome)
        self.changes += 1

    def run_out_of_time(self) -> None:
        """The deployment's own limit has passed."""
        self.is_out_of_time = True
        self.changes += 1

    def tick(self, time: float, *, counts: bool) -> None:
        """Time has passed; `counts` False: paused or queued, which does not run against the deployment's limit."""
        if counts:
            self.seconds_left -= time - self.ticked_at
        self.ticked_at = time

    @property
    def shards_stop(self) -> StopRequest | None:
        """What shards are told of a stop: the one that was asked for, or that time is over."""
        return self.stop or (StopRequest(reason="the deployment's time is over") if self.is_out_of_time else None)

    @property
    def shards_pause(self) -> bool:
        """Whether shards are to pause: what is out of time only ends."""
        return self.is_paused and not self.is_out_of_time

    @property
    def starts_nothing_more(self) -> bool:
        """Whether no other instance is to be started."""
        return self.is_lost or self.shards_stop is not None

    @property
    def has_stopped(self) -> bool:
        """Whether every open shard has confirmed a stop."""
        if self.rollout is None:
            return True
        return self.stop is not None and self.rollout.has_confirmed_stop

    @property
    def slots_left(self) -> int:
        """The fleet's slots that failures of earlier stages did not use up."""
        return self.slots - len(self.failed_names)

    @property
    def spare_healthy(self) -> int:
        """Healthy instances of the whole fleet now, less the floor."""
        was_healthy = {member.name for member in self.fleet.members if member.is_healthy}
        lost = sum(name in was_healthy for name in self.failed_names)
        gained = sum(name not in was_healthy for name in self.names_of(Outcome.SUCCEEDED))
        return len(was_healthy) - lost + gained - self.floor

    # ── results ──────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def members(self) -> Sequence[FleetMember]:
        """The frozen fleet, in rollout order."""
        return self.fleet.members

    @property
    def shards(self) -> Sequence[ShardBook]:
        """The shards of all stages so far."""
        return self._shards

    @property
    def outcomes(self) -> list[ShardOutcome]:
        """How shards ended, those that were never begun included."""
        return [book.outcome for book in self._shards if book.outcome]

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
    def rollout_result(self) -> RolloutResult:
        """What the rollout has come to."""
        return RolloutResult(
            instances=len(self.members),
            succeeded=len(self.names_of(Outcome.SUCCEEDED)),
            floor=self.floor,
            is_lost=self.is_lost,
            is_out_of_time=self.is_out_of_time,
            timeout_seconds=self.group.timeout_seconds,
        )

    @property
    def not_restored(self) -> tuple[str, ...]:
        """Instances that a rollback did not bring back: this one, once it has ended, or the one of this deployment."""
        if self.rollback:
            return self.rollback.not_restored
        if not (self.is_rollback and self.ending):
            return ()
        succeeded = set(self.names_of(Outcome.SUCCEEDED))
        return tuple(member.name for member in self.members if member.name not in succeeded)

    # ── the end ──────────────────────────────────────────────────────────────────────────────────────────────────

    def conclude(self, ending: Ending, now: datetime) -> None:
        """How it ends; nothing that comes later changes it."""
        self.ending, self.completed = ending, now
        self.enter("record", ending.status)

    def begin_rollback(self, deployment_id: str) -> None:
        """Its automatic rollback begins."""
        self.rollback = RollbackState(deployment_id)

    def end_rollback(self, end: RollbackEnd, not_restored: tuple[str, ...]) -> None:
        """Its automatic rollback has ended."""
        assert self.rollback, "it was begun"
        self.rollback.end, self.rollback.not_restored = end, not_restored

    @property
    def rollback_message(self) -> str:
        """CodeDeploy's sentence about the rollback that this is, or that it has; empty where there is none."""
        if self.rollback:
            return rollback_messages(self.deployment_id, self.rollback.deployment_id)[0]
        undo = self.request_if_valid.undo if self.request_if_valid else None
        return rollback_messages(undo.deployment_id, self.deployment_id)[1] if undo else ""

    @property
    def is_whole(self) -> bool:
        """Whether no touched instance is left in another state than before or after."""
        if self.is_rollback:
            return not self.not_restored
        is_restored = self.rollback is not None and self.rollback.has_succeeded
        return is_restored or self.status is DeploymentStatus.SUCCEEDED or not self.touched
