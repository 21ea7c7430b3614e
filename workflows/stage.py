"""One stage of a rollout: shards as child workflows, steered by the books of `towline/model/rollout/leases.py`."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.exceptions import ActivityError, ChildWorkflowError, WorkflowAlreadyStartedError

from workflows.options import READ
from workflows.publish import publish
from workflows.temporal_helpers import call, end, signal, signal_on_change

with workflow.unsafe.imports_passed_through():
    from towline.model import names
    from towline.model.deployment.state import DeploymentState
    from towline.model.deployment.status import Outcome
    from towline.model.messages.shard import ShardOrders, ShardOutcome, ShardRequest, ShardWreck
    from towline.model.rollout.leases import Rollout, ShardBook, Verdict
    from towline.model.rollout.zones import Stage
    from workflows import calls

SHARD_SIZE = 250
"""Most instances of a shard: some 1,500 events of history."""

LOOK_AGAIN = timedelta(seconds=1)
"""How often a shard is tried to be started while one of its id is still open."""


async def run_stage(state: DeploymentState, stage: Stage) -> None:
    """Leases, starts and steers shards until all that were begun have ended and no other is to begin."""
    await _StageRun(state, stage).run()


class _StageRun:
    def __init__(self, state: DeploymentState, stage: Stage) -> None:
        """Opens the books: the stage's own floor, and what the stages before it left of the fleet's."""
        self._state = state
        is_rollback = state.is_rollback
        self._books = Rollout(
            stage.members,
            slots=min(stage.slots, state.rollout.slots_left),
            spare_healthy=len(stage.members) if is_rollback else min(stage.spare_healthy, state.rollout.spare_healthy),
            shard_size=SHARD_SIZE,
            tolerates_failures=is_rollback,
            first_index=len(state.rollout.shards) + 1,
        )
        state.rollout.open_stage(stage, self._books)
        self._begun: dict[int, asyncio.Task[None]] = {}

    async def run(self) -> None:
        while True:
            seen = self._state.changes
            self._lease()
            publish(self._state)
            if self._is_over():
                break
            await self._wait_for_change(seen)
        self._books.skip_unbegun()

    def _lease(self) -> None:
        if self._state.starts_nothing_more:
            return
        for book in self._books.grant():
            if book.index not in self._begun:
                self._begun[book.index] = asyncio.create_task(self._run_shard(book))
        if self._books.verdict is Verdict.FAIL:
            self._state.rollout.is_lost = True

    def _is_over(self) -> bool:
        if not self._books.is_idle:
            return False
        return self._state.starts_nothing_more or self._books.verdict is Verdict.DONE

    async def _wait_for_change(self, seen: int) -> None:
        """The deployment's own limit does not run while it is paused."""
        state = self._state
        clock_runs = not state.is_paused and state.shards_stop is None
        timeout = timedelta(seconds=state.rollout.seconds_left) if clock_runs else None
        try:
            await workflow.wait_condition(lambda: state.changes != seen, timeout=timeout)
        except TimeoutError:
            state.rollout.is_out_of_time = True
        state.rollout.tick(workflow.time(), counts=clock_runs)

    # ── shards ───────────────────────────────────────────────────────────────────────────────────────────────────

    async def _run_shard(self, book: ShardBook) -> None:
        shard_id = names.shard_workflow_id(self._state.deployment_id, book.index)
        first = self._orders(book)
        shard = await self._start_shard(shard_id, book)
        sender = asyncio.create_task(
            signal_on_change(shard_id, names.SHARD_ORDERS, lambda: self._orders(book), last_sent=first)
        )
        try:
            outcome = await shard
        except ChildWorkflowError:
            outcome = await self._outcome_of_dead(book)
            warning = f"{shard_id} was ended from outside: instances without a record count as interrupted"
            self._state.warnings.append(warning)
        end(sender)
        self._state.take_outcome(outcome)

    async def _outcome_of_dead(self, book: ShardBook) -> ShardOutcome:
        """What the store knows of a shard that was ended from outside; where it cannot be asked, nothing is known."""
        members = tuple(member.name for member in book.members)
        wreck = ShardWreck(
            deployment_id=self._state.deployment_id, run_id=self._state.run_id, index=book.index, names=members
        )
        try:
            return await call(calls.read_wreck, wreck, READ)
        except ActivityError:
            return ShardOutcome(index=book.index, results={Outcome.INTERRUPTED: members}, touched=members)

    async def _start_shard(self, shard_id: str, book: ShardBook) -> workflow.ChildWorkflowHandle[Any, ShardOutcome]:
        """Starts a shard. After a native reset the one of the run before may still be open: it is steered meanwhile.

        Once it has ended, the new one goes over the same instances: their journals only tell what was done.
        """
        while True:
            try:
                shard: workflow.ChildWorkflowHandle[Any, ShardOutcome] = await workflow.start_child_workflow(
                    names.SHARD,
                    self._shard_request(book),
                    id=shard_id,
                    task_timeout=names.TASK_TIMEOUT,
                    result_type=ShardOutcome,
                    static_summary=f"{book.members[0].name} … {book.members[-1].name}",
                )
            except WorkflowAlreadyStartedError:
                await signal(shard_id, names.SHARD_ORDERS, self._orders(book))
                await workflow.sleep(LOOK_AGAIN)
                book.progress = None  # what the old one reported is not of the one that comes
            else:
                return shard

    def _shard_request(self, book: ShardBook) -> ShardRequest:
        return ShardRequest(
            deployment_id=self._state.deployment_id,
            run_id=self._state.run_id,
            index=book.index,
            members=book.members,
            lease=book.granted,
            deadline_seconds=max(1, int(self._state.rollout.seconds_left)),
            tolerates_failures=self._state.is_rollback,
            paused=self._state.shards_pause,
            stop=self._state.shards_stop,
        )

    def _orders(self, book: ShardBook) -> ShardOrders:
        return ShardOrders(
            lease=book.granted,
            paused=self._state.shards_pause,
            stop=self._state.shards_stop,
            halt=self._state.rollout.is_lost,
        )
