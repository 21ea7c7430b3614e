"""The state of one deployment: what was read, decided and reported so far. Plain data, kept by the Deployment workflow.

Every phase and message handler of the workflow works on the one `DeploymentState`; how it is shown to people is
`state_view.py`. Methods note facts, each in one place; they take the time as an argument and decide nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from towline.model.bundle.revision import ResolvedRevision
from towline.model.deployment.ending import Ending, RolloutResult
from towline.model.deployment.requirements import group_warnings
from towline.model.deployment.status import DeploymentStatus, Outcome, Phase
from towline.model.deployment.view import rollback_messages
from towline.model.group.config import DeploymentConfig
from towline.model.group.group import DeploymentGroup
from towline.model.messages.deploy import DeployRequest, GroupFacts, StopRequest
from towline.model.messages.fleet import Fleet
from towline.model.messages.group import QueueAnswer
from towline.model.messages.shard import ShardOutcome, ShardProgress
from towline.model.messages.view import RollbackEnd
from towline.model.names import SEARCH_STATUS
from towline.model.rollout.state import RolloutState


@dataclass
class QueuePlace:
    """Where the deployment stands in its group's queue."""

    is_active: bool = False  # it is its turn
    has_news: bool = False  # the group has something new to say: ask again
    ahead: tuple[str, ...] = ()
    ahead_by: str = ""
    held: str = ""  # why the queue goes on for no deployment

    def answered(self, answer: QueueAnswer) -> None:
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
    phase: Phase = Phase.CHECK

    request_if_valid: DeployRequest | None = None
    facts: GroupFacts | None = None
    revision: ResolvedRevision | None = None
    queue: QueuePlace = field(default_factory=QueuePlace)
    rollout: RolloutState = field(default_factory=RolloutState)

    is_paused: bool = False
    stop: StopRequest | None = None
    changes: int = 0  # grows with whatever the stage at work must look at

    ending: Ending | None = None
    started: datetime | None = None
    completed: datetime | None = None
    rollback: RollbackState | None = None
    report: str = ""
    warnings: list[str] = field(default_factory=list)
    published: dict[str, str] = field(default_factory=_as_started)  # its search attributes, as Temporal has them
    memo: dict[str, Any] = field(default_factory=dict)  # as Temporal has it

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

    def enter(self, phase: Phase, status: DeploymentStatus) -> None:
        """A phase of the story begins."""
        self.phase, self.status = phase, status

    def take_group(self, facts: GroupFacts) -> None:
        """The group was read."""
        self.facts = facts
        self.warnings += group_warnings(facts.group)
        self.rollout.seconds_left = float(facts.group.timeout_seconds)

    def take_revision(self, revision: ResolvedRevision) -> None:
        """The revision was read."""
        self.revision = revision
        self.warnings += revision.warnings

    def take_fleet(self, fleet: Fleet, *, floor: int, slots: int, now: datetime, time: float) -> None:
        """The instances are frozen; the deployment's time begins."""
        self.rollout.fleet, self.rollout.floor, self.rollout.slots = fleet, floor, slots
        self.warnings += fleet.warnings
        self.started, self.rollout.ticked_at = now, time

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
        """Notes a stop for good. A second request may add `now` and a choice about the rollback, never remove them."""
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

    def take_progress(self, progress: ShardProgress) -> None:
        """A shard has reported."""
        self.rollout.take_progress(progress)
        self.changes += 1

    def take_outcome(self, outcome: ShardOutcome) -> None:
        """A shard has ended."""
        self.rollout.take_outcome(outcome)
        self.changes += 1

    @property
    def shards_stop(self) -> StopRequest | None:
        """The stop that shards are sent: the requested one, or that of the timeout."""
        time_is_over = StopRequest(reason="the deployment's time is over") if self.rollout.is_out_of_time else None
        return self.stop or time_is_over

    @property
    def shards_pause(self) -> bool:
        """Whether shards are to pause: what is out of time only ends."""
        return self.is_paused and not self.rollout.is_out_of_time

    @property
    def starts_nothing_more(self) -> bool:
        """Whether no other instance is to be started."""
        return self.rollout.is_lost or self.shards_stop is not None

    @property
    def has_stopped(self) -> bool:
        """Whether every shard at work has confirmed a stop."""
        stage = self.rollout.stage
        return stage is None or (self.stop is not None and stage.has_confirmed_stop)

    @property
    def rollout_result(self) -> RolloutResult:
        """What the rollout has come to."""
        return RolloutResult(
            instances=len(self.rollout.members),
            succeeded=len(self.rollout.names_of(Outcome.SUCCEEDED)),
            floor=self.rollout.floor,
            is_lost=self.rollout.is_lost,
            is_out_of_time=self.rollout.is_out_of_time,
            timeout_seconds=self.group.timeout_seconds,
        )

    # ── the end ──────────────────────────────────────────────────────────────────────────────────────────────────

    def conclude(self, ending: Ending, now: datetime) -> None:
        """How it ends; nothing that comes later changes it."""
        self.ending, self.completed = ending, now
        self.enter(Phase.RECORD, ending.status)

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
    def not_restored(self) -> tuple[str, ...]:
        """Instances that a rollback did not bring back: this one, once it has ended, or the one of this deployment."""
        if self.rollback:
            return self.rollback.not_restored
        if not (self.is_rollback and self.ending):
            return ()
        succeeded = set(self.rollout.names_of(Outcome.SUCCEEDED))
        return tuple(member.name for member in self.rollout.members if member.name not in succeeded)

    @property
    def is_whole(self) -> bool:
        """Whether no touched instance is left in another state than before or after."""
        if self.is_rollback:
            return not self.not_restored
        is_restored = self.rollback is not None and self.rollback.has_succeeded
        return is_restored or self.status is DeploymentStatus.SUCCEEDED or not self.rollout.touched
