"""DeploymentGroup: its active deployment, those that wait, and the last outcome of each instance. It never ends.

The rules are `towline/model/group/queue.py`; this workflow answers at once, grants by signal, watches that the active
deployment is alive, and goes on as a new run after each.
"""

from __future__ import annotations

import asyncio
import contextlib
from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import ApplicationError

from workflows.options import WATCH
from workflows.temporal_helpers import call, history_is_long, shield_from_cancel, signal

with workflow.unsafe.imports_passed_through():
    from towline.model import names
    from towline.model.group.queue import GroupState, QueueEntry
    from towline.model.messages.deploy import StopRequest
    from towline.model.messages.group import (
        ActiveEnd,
        GroupView,
        InstanceState,
        JoinQueue,
        LeaveQueue,
        OutcomePage,
        QueueAnswer,
        Reservation,
        StatesPage,
        WatchActive,
    )
    from workflows import calls


@workflow.defn(name=names.GROUP)
class GroupWorkflow:
    """The turn and the memory of one deployment group."""

    @workflow.init
    def __init__(self, state: GroupState) -> None:
        """Takes the state that the run before handed over."""
        self._state = state
        self._turns = 0  # turns that ended in this run
        self._leaving: list[asyncio.Task[ActiveEnd]] = []  # watches that were told to end

    @workflow.run
    async def run(self, state: GroupState) -> None:
        """Runs for ever; Temporal's cancel is ignored, since a group that is gone would lose its turn's order."""
        await shield_from_cancel(self._go_round(), _note_cancel)

    async def _go_round(self) -> None:
        while not self._should_hand_over():
            active = self._state.active
            if active is None:
                await workflow.wait_condition(lambda: self._state.active is not None or self._should_hand_over())
            elif (left := active.reserved_for(workflow.now())) > timedelta(0):
                await self._until_joined(active, left)
            else:
                await self._watch(active)
        # The watches are let end, and a handler that is still at work would lose its answer with this run.
        await workflow.wait_condition(lambda: all(watch.done() for watch in self._leaving))
        await workflow.wait_condition(workflow.all_handlers_finished)
        workflow.continue_as_new(self._state)

    def _should_hand_over(self) -> bool:
        return self._turns > 0 or history_is_long()

    async def _until_joined(self, active: QueueEntry, left: timedelta) -> None:
        """As long as the turn is reserved its deployment need not exist yet: there is nothing to watch."""
        with contextlib.suppress(TimeoutError):
            await workflow.wait_condition(
                lambda: self._state.active != active or self._should_hand_over(), timeout=left
            )

    async def _watch(self, active: QueueEntry) -> None:
        """Until it leaves the queue. One that was terminated would block the group for ever: it is dropped."""
        request = WatchActive(
            deployment_id=active.deployment_id,
            run_id=active.run_id,
            group=f"{self._state.application}/{self._state.group}",
        )
        watch = asyncio.create_task(call(calls.watch_active, request, WATCH, summary=f"watches {active.deployment_id}"))
        await workflow.wait_condition(lambda: watch.done() or self._state.active != active or self._should_hand_over())
        if not watch.done():
            watch.cancel()
            self._leaving.append(watch)
        elif self._state.active == active:
            self._take(self._state.drop(watch.result()))
            await self._grant()
            if self._state.held:
                await self._have_them_ask()

    # ── what deployments ask ─────────────────────────────────────────────────────────────────────────────────────

    @workflow.update
    async def join(self, request: JoinQueue) -> QueueAnswer:
        """Takes a deployment into the queue, or grants it the turn; idempotent, answers at once."""
        state, answer, superseded = self._state.join(request)
        self._take(state)
        for entry in superseded:
            stop = StopRequest(rollback=False, reason=f"superseded by {request.deployment_id}")
            await signal(entry.deployment_id, names.CANCEL, stop)
        return answer

    @workflow.update
    async def reserve(self, reservation: Reservation) -> None:
        """Makes a deployment the active one before it is started; refused, without a trace, where the group is busy."""
        self._take(self._state.reserve(reservation, workflow.now()))

    @reserve.validator
    def _may_reserve(self, reservation: Reservation) -> None:
        if why := self._state.why_refused(reservation):
            raise ApplicationError(why, type=names.GROUP_BUSY)

    @workflow.update
    async def leave(self, end: LeaveQueue) -> None:
        """Takes the turn, or the place in the queue, back."""
        self._take(self._state.leave(end))
        await self._grant()
        if self._state.held:
            await self._have_them_ask()

    @workflow.update
    async def release(self) -> GroupView:
        """Releases a queue that an incomplete rollback holds: a person has looked at the hosts. Idempotent."""
        was_held = self._state.held
        self._take(self._state.release())
        await self._grant()
        if was_held:
            await self._have_them_ask()
        return self._state.view

    @workflow.update
    async def remember(self, page: OutcomePage) -> None:
        """Notes how instances ended."""
        self._state = self._state.remember(page)

    @workflow.query
    def status(self) -> GroupView:
        """Turn, queue and last revision."""
        return self._state.view

    @workflow.query
    def states(self, page: StatesPage) -> dict[str, InstanceState]:
        """A page of what is known of instances, in the order of names."""
        return self._state.states(page.after, page.limit)

    # ── inside ───────────────────────────────────────────────────────────────────────────────────────────────────

    def _take(self, state: GroupState) -> None:
        before, now = self._state.active, state.active
        if before and (now is None or now.deployment_id != before.deployment_id):
            self._turns += 1
        self._state = state

    async def _have_them_ask(self) -> None:
        """Has those that wait ask again, so that they show why."""
        for entry in self._state.waiting:
            await signal(entry.deployment_id, names.TURN, False)

    async def _grant(self) -> None:
        """Gives a free turn to the first that waits.

        One that was closed meanwhile does not hear of it: its watch finds that, writes its report, and lets it drop.
        """
        granted = self._state.grant()
        if granted.active and granted != self._state:
            self._state = granted
            await signal(granted.active.deployment_id, names.TURN, True)


def _note_cancel() -> None:
    workflow.logger.warning("cancel request ignored: this workflow keeps a deployment group's turn")
