"""A deployment group's turn and memory: who holds it, who waits, what each instance last did. Plain data.

`GroupState` is all that the DeploymentGroup workflow carries over continue-as-new; its methods are the rules.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from pydantic import Field

from towline.model.base import Message
from towline.model.deployment import describe
from towline.model.deployment.status import DeploymentStatus, Outcome
from towline.model.messages import (
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


class Ticket(Message):
    """A deployment that holds the turn, or waits for it.

    `reserved_until` (ISO 8601): it holds the turn and has not joined yet. Till then it need not even exist.
    """

    deployment_id: str
    run_id: str
    by: str = ""  # who asked for it
    reserved_until: str = ""

    def reserved_for(self, now: datetime) -> timedelta:
        """How long its deployment still need not exist; 0 or less: not any more."""
        return datetime.fromisoformat(self.reserved_until) - now if self.reserved_until else timedelta(0)


class Memory(Message):
    """What an instance last did, as compactly as 10,000 of them need: numbers are places in the group's tables."""

    outcome: Outcome
    deployment: int
    revision: int  # what it runs, -1: nothing known
    before: int = -1  # what it ran before that
    is_healthy: bool = False
    was_healthy: bool = False


class GroupState(Message):
    """The whole of a group's workflow: turn, queue and memory."""

    application: str
    group: str
    group_id: str
    holder: Ticket | None = None
    waiting: tuple[Ticket, ...] = ()
    held: str = ""  # why the turn is granted to no deployment until a person releases the queue
    last_succeeded: str = ""
    last_attempted: str = ""
    revision: int = -1  # the last successful one
    revisions: tuple[tuple[str, str], ...] = ()  # (label, sha256)
    deployments: tuple[str, ...] = ()
    instances: dict[str, Memory] = Field(default_factory=dict)

    # ── the turn ─────────────────────────────────────────────────────────────────────────────────────────────────

    def join(self, request: JoinQueue) -> tuple[GroupState, QueueAnswer, tuple[Ticket, ...]]:
        """Takes a deployment in, or lets it through; answers the new state, the answer, and who was superseded.

        Idempotent by deployment id. A compensation takes its parent's turn over in one step, ahead of everybody.
        While the queue is held, a deployment that comes waits in it like those before it.
        """
        ticket = Ticket(deployment_id=request.deployment_id, run_id=request.run_id, by=request.by)
        if self._is_active(request.deployment_id):
            return self._with(holder=ticket), QueueAnswer(granted=True), ()
        if self.holder and request.handed_over_by == self.holder.deployment_id:
            return self._with(holder=ticket), QueueAnswer(granted=True), ()
        if self.holder is None and not self.waiting and not self.held:
            return self._with(holder=ticket), QueueAnswer(granted=True), ()
        if any(waiting.deployment_id == request.deployment_id for waiting in self.waiting):
            return self, self._answer(request.deployment_id), ()
        if request.if_busy == "fail":
            return self, QueueAnswer(granted=False, refused=self._why_busy()), ()
        superseded = self.waiting if request.if_busy == "supersede" else ()
        kept = () if superseded else self.waiting
        state = self._with(waiting=(*kept, ticket))
        return state, state._answer(request.deployment_id), superseded

    def reserve(self, reservation: Reservation, now: datetime) -> GroupState:
        """Makes a deployment that is about to be started the active one; it must not be `why_refused`. Idempotent."""
        if self._is_active(reservation.deployment_id):
            return self
        until = (now + timedelta(seconds=reservation.seconds)).isoformat()
        ticket = Ticket(deployment_id=reservation.deployment_id, run_id="", by=reservation.by, reserved_until=until)
        return self._with(holder=ticket)

    def why_refused(self, reservation: Reservation) -> str:
        """Why this reservation is refused, in CodeDeploy's words; empty where it is not."""
        is_free = self.holder is None and not self.waiting and not self.held
        return "" if is_free or self._is_active(reservation.deployment_id) else self._why_busy()

    def grant(self) -> GroupState:
        """Gives a free turn to the first that waits, unless the queue is held."""
        if self.holder or self.held or not self.waiting:
            return self
        return self._with(holder=self.waiting[0], waiting=self.waiting[1:])

    def leave(self, end: LeaveQueue) -> GroupState:
        """Takes the turn, or the place in the queue, back, and remembers how the deployment ended. Idempotent."""
        state = self._without(end.deployment_id)
        if end.status is DeploymentStatus.SUCCEEDED and not end.is_undo:
            state, revision = state._revision(end.revision, end.sha256)
            state = state._with(last_succeeded=end.deployment_id, revision=revision)
        held = _held_by(end.deployment_id, end.owed) or state.held
        return state._with(last_attempted=end.deployment_id, held=held)

    def drop(self, end: ActiveEnd) -> GroupState:
        """Takes the turn from a holder that was closed from outside; its instances without a record are unknown.

        Those that a compensation had not taken back are owed, and hold the queue as after one that ends by itself. A
        reservation whose deployment was never started leaves nothing.
        """
        state = self._without(end.deployment_id)
        if end.status == "NOT_FOUND" and self.holder and self.holder.reserved_until:
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
        """The state in which the queue is not held any more."""
        return self._with(held="")

    # ── the memory ───────────────────────────────────────────────────────────────────────────────────────────────

    def remember(self, page: OutcomePage) -> GroupState:
        """Notes how instances ended; those that were skipped keep what they had."""
        is_large = max(len(self.revisions), len(self.deployments)) >= TABLE
        state, revision = (self._compact() if is_large else self)._revision(page.revision, page.sha256)
        state, deployment = state._deployment(page.deployment_id)
        instances = dict(state.instances)
        for outcome, names in page.results.items():
            for name in names:
                memory = _after(instances.get(name), outcome, deployment, revision)
                if memory:
                    instances[name] = memory
        for told in page.now:  # what a host says is the record: its disk may have been emptied meanwhile
            state, runs = state._revision(told.label, told.sha256)
            for name in told.instances:
                if name in instances:
                    instances[name] = instances[name].model_copy(update={"revision": runs})
        return state._with(instances=instances)

    def state_of(self, name: str) -> InstanceState:
        """What is known of one instance, spelled out."""
        memory = self.instances[name]
        label, sha256 = self.revisions[memory.revision] if memory.revision >= 0 else ("", "")
        return InstanceState(
            outcome=memory.outcome,
            deployment_id=self.deployments[memory.deployment],
            revision=label,
            sha256=sha256,
            before=self.revisions[memory.before][0] if memory.before >= 0 else "",
            is_healthy=memory.is_healthy,
            is_owed=memory.outcome is Outcome.NOT_RESTORED,
        )

    def states(self, after: str, limit: int) -> dict[str, InstanceState]:
        """A page of what is known, in the order of names."""
        names = sorted(name for name in self.instances if name > after)[:limit]
        return {name: self.state_of(name) for name in names}

    @property
    def view(self) -> GroupView:
        """What the `status` query answers."""
        label, sha256 = self.revisions[self.revision] if self.revision >= 0 else ("", "")
        return GroupView(
            application=self.application,
            group=self.group,
            group_id=self.group_id,
            holder=self.holder.deployment_id if self.holder else "",
            waiting=tuple(ticket.deployment_id for ticket in self.waiting),
            held=self.held,
            last_succeeded=self.last_succeeded,
            last_attempted=self.last_attempted,
            revision=label,
            sha256=sha256,
            owed=tuple(sorted(name for name, m in self.instances.items() if m.outcome is Outcome.NOT_RESTORED)),
        )

    # ── inside ───────────────────────────────────────────────────────────────────────────────────────────────────

    def _is_active(self, deployment_id: str) -> bool:
        return self.holder is not None and self.holder.deployment_id == deployment_id

    def _with(self, **changes: object) -> GroupState:
        return self.model_copy(update=changes)

    def _why_busy(self) -> str:
        """Why a deployment that does not want to wait cannot begin."""
        active = self.holder or (self.waiting[0] if self.waiting and not self.held else None)
        if active:
            return f"The Deployment Group '{self.group}' already has an active Deployment '{active.deployment_id}'"
        reason = describe.hold_reason(self.held, self.application, self.group)
        return f"The Deployment Group '{self.group}' is held: {reason}"

    def _answer(self, deployment_id: str) -> QueueAnswer:
        place = [ticket.deployment_id for ticket in self.waiting].index(deployment_id)
        ahead = [*([self.holder] if self.holder else []), *self.waiting[:place]]
        return QueueAnswer(
            granted=False,
            ahead=tuple(ticket.deployment_id for ticket in ahead),
            ahead_by=ahead[0].by if ahead else "",
            held=self.held,
        )

    def _without(self, deployment_id: str) -> GroupState:
        holder = None if self.holder and self.holder.deployment_id == deployment_id else self.holder
        return self._with(holder=holder, waiting=tuple(t for t in self.waiting if t.deployment_id != deployment_id))

    def _revision(self, label: str, sha256: str) -> tuple[GroupState, int]:
        """The place of a revision in the table, at its end if it is new; -1 for none."""
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
        """Rewrites the tables to what is still referred to, so that a year of deployments does not grow them."""
        used = {self.revision} | {m.revision for m in self.instances.values()}
        used |= {m.before for m in self.instances.values()}
        revisions = sorted(used - {-1})
        deployments = sorted({m.deployment for m in self.instances.values()})
        new_revision = {old: new for new, old in enumerate(revisions)} | {-1: -1}
        new_deployment = {old: new for new, old in enumerate(deployments)}
        instances = {
            name: m.model_copy(
                update={
                    "revision": new_revision[m.revision],
                    "before": new_revision[m.before],
                    "deployment": new_deployment[m.deployment],
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
"""How many revisions or deployments a group's table holds before what nobody refers to is dropped."""


def as_rolled_back(results: Mapping[Outcome, tuple[str, ...]]) -> dict[Outcome, tuple[str, ...]]:
    """A compensation's results in the group's words: rolled back, or owed."""
    owed = tuple(name for kind, every in results.items() if kind is not Outcome.SUCCEEDED for name in every)
    return {Outcome.ROLLED_BACK: results.get(Outcome.SUCCEEDED, ()), Outcome.NOT_RESTORED: owed}


def _held_by(deployment_id: str, owed: tuple[str, ...]) -> str:
    """Why the queue is held; empty where no host is owed."""
    hosts = "1 instance" if len(owed) == 1 else f"{len(owed)} instances"
    return f"the rollback {deployment_id} left {hosts} owed: {describe.names(owed, named=5)}" if owed else ""


def _after(memory: Memory | None, outcome: Outcome, deployment: int, revision: int) -> Memory | None:
    """What is remembered of an instance after an outcome; None: nothing changes."""
    runs = memory.revision if memory else -1
    before = memory.before if memory else -1
    was_healthy = memory.is_healthy if memory else False
    if outcome is Outcome.SUCCEEDED:
        return Memory(
            outcome=outcome,
            deployment=deployment,
            revision=revision,
            before=runs,
            is_healthy=True,
            was_healthy=was_healthy,
        )
    if outcome is Outcome.ROLLED_BACK:
        # Back to what it ran: after a success that is `before`; after a failure what it runs was never replaced here.
        old = before if memory and memory.outcome is Outcome.SUCCEEDED else runs
        healthy = memory.was_healthy if memory else False
        return Memory(outcome=outcome, deployment=deployment, revision=old, is_healthy=healthy)
    if outcome in FAILURES or outcome is Outcome.NOT_RESTORED:
        return Memory(
            outcome=outcome,
            deployment=deployment,
            revision=runs,
            # The host may say that it runs nothing any more.
            before=before if outcome is Outcome.NOT_RESTORED else runs,
            is_healthy=False,
            was_healthy=was_healthy or bool(memory and memory.was_healthy),
        )
    return None
