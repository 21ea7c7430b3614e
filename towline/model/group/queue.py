"""The state of a deployment group: its queue of deployments and the last outcome of each instance. Plain data.

`GroupState` is all that the DeploymentGroup workflow carries over continue-as-new; its methods are the rules.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from pydantic import Field

from towline.model.base import Message
from towline.model.deployment import describe
from towline.model.deployment.status import DeploymentStatus, Outcome
from towline.model.messages.group import (
    ActiveEnd,
    GroupView,
    InstanceState,
    JoinQueue,
    LeaveQueue,
    OutcomePage,
    QueueAnswer,
    Reservation,
)
from towline.model.rollout.window import FAILURES


class QueueEntry(Message):
    """The active deployment of a group, or a waiting one.

    `reserved_until` (ISO 8601): it is active but has not joined yet, and need not exist until then.
    """

    deployment_id: str
    run_id: str
    by: str = ""  # the requester
    reserved_until: str = ""

    def reserved_for(self, now: datetime) -> timedelta:
        """The remaining time of the reservation; 0 or less: expired."""
        return datetime.fromisoformat(self.reserved_until) - now if self.reserved_until else timedelta(0)


class Memory(Message):
    """The last outcome of an instance, compact for 10,000 of them: numbers are indexes into the group's tables."""

    outcome: Outcome
    deployment: int
    revision: int  # the current one; -1: unknown
    before: int = -1  # the one before that
    revision_by: int = -1  # the deployment that brought the current one
    before_by: int = -1
    is_healthy: bool = False
    was_healthy: bool = False


class GroupState(Message):
    """The whole state of a group's workflow: active deployment, queue and outcomes."""

    application: str
    group: str
    group_id: str
    active: QueueEntry | None = None
    waiting: tuple[QueueEntry, ...] = ()
    held: str = ""  # why no deployment becomes active until a user releases the queue
    last_succeeded: str = ""
    last_attempted: str = ""
    revision: int = -1  # the last successful one
    revisions: tuple[tuple[str, str], ...] = ()  # (label, sha256)
    deployments: tuple[str, ...] = ()
    instances: dict[str, Memory] = Field(default_factory=dict)

    # ── the queue ────────────────────────────────────────────────────────────────────────────────────────────────

    def join(self, request: JoinQueue) -> tuple[GroupState, QueueAnswer, tuple[QueueEntry, ...]]:
        """Makes a deployment the active one or queues it; returns the new state, the answer, and superseded tickets.

        Idempotent by deployment id. A rollback takes over from its parent in one step, ahead of all others. While the
        queue is held, new deployments wait in it.
        """
        entry = QueueEntry(deployment_id=request.deployment_id, run_id=request.run_id, by=request.by)
        if self._is_active(request.deployment_id):
            return self._with(active=entry), QueueAnswer(granted=True), ()
        if self.active and request.handed_over_by == self.active.deployment_id:
            return self._with(active=entry), QueueAnswer(granted=True), ()
        if self.active is None and not self.waiting and not self.held:
            return self._with(active=entry), QueueAnswer(granted=True), ()
        if any(waiting.deployment_id == request.deployment_id for waiting in self.waiting):
            return self, self._answer(request.deployment_id), ()
        if request.if_busy == "fail":
            return self, QueueAnswer(granted=False, refused=self._why_busy()), ()
        superseded = self.waiting if request.if_busy == "supersede" else ()
        kept = () if superseded else self.waiting
        state = self._with(waiting=(*kept, entry))
        return state, state._answer(request.deployment_id), superseded

    def reserve(self, reservation: Reservation, now: datetime) -> GroupState:
        """Makes a deployment that is about to be started the active one; it must not be `why_refused`. Idempotent."""
        if self._is_active(reservation.deployment_id):
            return self
        until = (now + timedelta(seconds=reservation.seconds)).isoformat()
        entry = QueueEntry(deployment_id=reservation.deployment_id, run_id="", by=reservation.by, reserved_until=until)
        return self._with(active=entry)

    def why_refused(self, reservation: Reservation) -> str:
        """Why this reservation is refused, as CodeDeploy's message; empty if it is not."""
        is_free = self.active is None and not self.waiting and not self.held
        return "" if is_free or self._is_active(reservation.deployment_id) else self._why_busy()

    def grant(self) -> GroupState:
        """Makes the first waiting deployment active if there is no active one, unless the queue is held."""
        if self.active or self.held or not self.waiting:
            return self
        return self._with(active=self.waiting[0], waiting=self.waiting[1:])

    def leave(self, end: LeaveQueue) -> GroupState:
        """Removes an active or waiting deployment and records its end. Idempotent."""
        state = self._without(end.deployment_id)
        if end.status is DeploymentStatus.SUCCEEDED and not end.is_undo:
            state, revision = state._revision(end.revision, end.sha256)
            state = state._with(last_succeeded=end.deployment_id, revision=revision)
        held = _held_by(end.deployment_id, end.not_restored) or state.held
        return state._with(last_attempted=end.deployment_id, held=held)

    def drop(self, end: ActiveEnd) -> GroupState:
        """Removes an active deployment that was closed from outside; its instances without a record are unknown.

        Instances that a rollback did not restore hold the queue, as after its regular end. A reservation whose
        deployment was never started leaves nothing.
        """
        state = self._without(end.deployment_id)
        if end.status == "NOT_FOUND" and self.active and self.active.reserved_until:
            return state
        results = {**end.results, Outcome.INTERRUPTED: (*end.results.get(Outcome.INTERRUPTED, ()), *end.unknown)}
        if end.is_undo:
            results = as_rolled_back(results)
            state = state._with(held=_held_by(end.deployment_id, results[Outcome.NOT_RESTORED]) or state.held)
        page = OutcomePage(
            application=self.application,
            group=self.group,
            group_id=self.group_id,
            deployment_id=end.deployment_id,
            is_undo=end.is_undo,
            results=results,
        )
        return state.remember(page)._with(last_attempted=end.deployment_id)

    def release(self) -> GroupState:
        """The state with the queue released."""
        return self._with(held="")

    # ── outcomes ─────────────────────────────────────────────────────────────────────────────────────────────────

    def remember(self, page: OutcomePage) -> GroupState:
        """Records the outcomes of instances; skipped ones keep their previous outcome."""
        is_large = max(len(self.revisions), len(self.deployments)) >= TABLE
        state, revision = (self._compact() if is_large else self)._revision(page.revision, page.sha256)
        state, deployment = state._deployment(page.deployment_id)
        instances = dict(state.instances)
        for outcome, names in page.results.items():
            for name in names:
                memory = _after(instances.get(name), outcome, deployment, revision)
                if memory:
                    instances[name] = memory
        for report in page.now:  # hosts are authoritative: a disk may have been wiped in the meantime
            state, runs = state._revision(report.label, report.sha256)
            for name in report.instances:
                if name in instances:
                    by = instances[name].revision_by if instances[name].revision == runs else -1
                    instances[name] = instances[name].model_copy(update={"revision": runs, "revision_by": by})
        return state._with(instances=instances)

    def state_of(self, name: str) -> InstanceState:
        """The recorded state of one instance, with indexes resolved."""
        memory = self.instances[name]
        label, sha256 = self.revisions[memory.revision] if memory.revision >= 0 else ("", "")
        return InstanceState(
            outcome=memory.outcome,
            deployment_id=self.deployments[memory.deployment],
            revision=label,
            sha256=sha256,
            revision_by=self.deployments[memory.revision_by] if memory.revision_by >= 0 else "",
            before=self.revisions[memory.before][0] if memory.before >= 0 else "",
            before_by=self.deployments[memory.before_by] if memory.before_by >= 0 else "",
            is_healthy=memory.is_healthy,
            not_restored=memory.outcome is Outcome.NOT_RESTORED,
        )

    def states(self, after: str, limit: int) -> dict[str, InstanceState]:
        """A page of recorded states, ordered by name."""
        names = sorted(name for name in self.instances if name > after)[:limit]
        return {name: self.state_of(name) for name in names}

    @property
    def view(self) -> GroupView:
        """The answer to the `status` query."""
        label, sha256 = self.revisions[self.revision] if self.revision >= 0 else ("", "")
        return GroupView(
            application=self.application,
            group=self.group,
            group_id=self.group_id,
            active=self.active.deployment_id if self.active else "",
            waiting=tuple(entry.deployment_id for entry in self.waiting),
            held=self.held,
            last_succeeded=self.last_succeeded,
            last_attempted=self.last_attempted,
            revision=label,
            sha256=sha256,
            not_restored=tuple(sorted(name for name, m in self.instances.items() if m.outcome is Outcome.NOT_RESTORED)),
        )

    # ── internals ────────────────────────────────────────────────────────────────────────────────────────────────

    def _is_active(self, deployment_id: str) -> bool:
        return self.active is not None and self.active.deployment_id == deployment_id

    def _with(self, **changes: object) -> GroupState:
        return self.model_copy(update=changes)

    def _why_busy(self) -> str:
        """The reason to refuse a deployment that does not wait."""
        active = self.active or (self.waiting[0] if self.waiting and not self.held else None)
        if active:
            return f"The Deployment Group '{self.group}' already has an active Deployment '{active.deployment_id}'"
        reason = describe.hold_reason(self.held, self.application, self.group)
        return f"The Deployment Group '{self.group}' is held: {reason}"

    def _answer(self, deployment_id: str) -> QueueAnswer:
        place = [entry.deployment_id for entry in self.waiting].index(deployment_id)
        ahead = [*([self.active] if self.active else []), *self.waiting[:place]]
        return QueueAnswer(
            granted=False,
            ahead=tuple(entry.deployment_id for entry in ahead),
            ahead_by=ahead[0].by if ahead else "",
            held=self.held,
        )

    def _without(self, deployment_id: str) -> GroupState:
        active = None if self._is_active(deployment_id) else self.active
        return self._with(active=active, waiting=tuple(t for t in self.waiting if t.deployment_id != deployment_id))

    def _revision(self, label: str, sha256: str) -> tuple[GroupState, int]:
        """The index of a revision in the table, appended if new; -1 for none."""
        if not label:
            return self, -1
        if (label, sha256) in self.revisions:
            return self, self.revisions.index((label, sha256))
        return self._with(revisions=(*self.revisions, (label, sha256))), len(self.revisions)

    def _deployment(self, deployment_id: str) -> tuple[GroupState, int]:
        if deployment_id in self.deployments:
            return self, self.deployments.index(deployment_id)
        return self._with(deployments=(*self.deployments, deployment_id)), len(self.deployments)

    def _compact(self) -> GroupState:
        """Drops unused entries from the tables, so that they do not grow over a year of deployments."""
        used = {self.revision} | {m.revision for m in self.instances.values()}
        used |= {m.before for m in self.instances.values()}
        revisions = sorted(used - {-1})
        named = {number for m in self.instances.values() for number in (m.deployment, m.revision_by, m.before_by)}
        deployments = sorted(named - {-1})
        new_revision = {old: new for new, old in enumerate(revisions)} | {-1: -1}
        new_deployment = {old: new for new, old in enumerate(deployments)} | {-1: -1}
        instances = {
            name: m.model_copy(
                update={
                    "revision": new_revision[m.revision],
                    "before": new_revision[m.before],
                    "deployment": new_deployment[m.deployment],
                    "revision_by": new_deployment[m.revision_by],
                    "before_by": new_deployment[m.before_by],
                }
            )
            for name, m in self.instances.items()
        }
        return self._with(
            revision=new_revision[self.revision],
            revisions=tuple(self.revisions[old] for old in revisions),
            deployments=tuple(self.deployments[old] for old in deployments),
            instances=instances,
        )


TABLE = 100
"""Size of a group's table of revisions or deployments at which unused entries are dropped."""


def as_rolled_back(results: Mapping[Outcome, tuple[str, ...]]) -> dict[Outcome, tuple[str, ...]]:
    """A rollback's results as outcomes of the group: rolled back, or not restored."""
    others = tuple(name for kind, every in results.items() if kind is not Outcome.SUCCEEDED for name in every)
    return {Outcome.ROLLED_BACK: results.get(Outcome.SUCCEEDED, ()), Outcome.NOT_RESTORED: others}


def _held_by(deployment_id: str, not_restored: tuple[str, ...]) -> str:
    """The reason to hold the queue; empty if all hosts were restored."""
    return (
        f"the rollback {deployment_id} is incomplete on {describe.names(not_restored, named=5)}" if not_restored else ""
    )


def _after(memory: Memory | None, outcome: Outcome, deployment: int, revision: int) -> Memory | None:
    """The record of an instance after an outcome; None: unchanged."""
    last = memory or Memory(outcome=outcome, deployment=deployment, revision=-1)
    now, before = (last.revision, last.revision_by), (last.before, last.before_by)
    if outcome is Outcome.SUCCEEDED:
        return _memory(outcome, deployment, (revision, deployment), now, is_healthy=True, was_healthy=last.is_healthy)
    if outcome is Outcome.ROLLED_BACK:
        # Back to the previous revision: `before` after a success; after a failure the record still has it.
        old = before if memory and memory.outcome is Outcome.SUCCEEDED else now
        return _memory(outcome, deployment, old, (-1, -1), is_healthy=last.was_healthy)
    if outcome in FAILURES or outcome is Outcome.NOT_RESTORED:
        # The host may report that it runs nothing.
        kept = before if outcome is Outcome.NOT_RESTORED else now
        return _memory(outcome, deployment, now, kept, was_healthy=last.is_healthy or last.was_healthy)
    return None


def _memory(
    outcome: Outcome,
    deployment: int,
    now: tuple[int, int],
    before: tuple[int, int],
    *,
    is_healthy: bool = False,
    was_healthy: bool = False,
) -> Memory:
    """A record; `now` and `before` are revisions with the deployments that brought them."""
    return Memory(
        outcome=outcome,
        deployment=deployment,
        revision=now[0],
        revision_by=now[1],
        before=before[0],
        before_by=before[1],
        is_healthy=is_healthy,
        was_healthy=was_healthy,
    )
