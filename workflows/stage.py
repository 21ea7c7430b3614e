"""One stage of a rollout: shards as child workflows, steered by the books of `towline/model/rollout/leases.py`."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.exceptions import ActivityError, ChildWorkflowError, WorkflowAlreadyStartedError

from workflows.options import READ
from workflows.state import Ledger
from workflows.temporal_helpers import call, end, signal, signal_on_change

with workflow.unsafe.imports_passed_through():
    from towline.model import names
    from towline.model.deployment.status import Outcome
    from towline.model.messages import ShardOrders, ShardOutcome, ShardProgress, ShardRequest, ShardWreck, StopRequest
    from towline.model.rollout.leases import Rollout, ShardBook, Verdict
    from towline.model.rollout.zones import Stage
    from workflows import calls

SHARD_SIZE = 250
"""Most instances of a shard: some 1,500 events of history."""

LOOK_AGAIN = timedelta(seconds=1)
"""How often a shard is tried to be started while one of its id is still open."""


class StageRun:
    """Runs a stage to its end, whatever happens meanwhile.

    `is_lost` tells that every slot was eaten, `is_out_of_time` that the deployment's limit has passed.
    """

    def __init__(self, stage: Stage, ledger: Ledger, *, tolerates_failures: bool) -> None:
        """Opens the books: the stage's own floor and what the stages before it left of the fleet's."""
        self._ledger = ledger
        self._tolerates_failures = tolerates_failures
        spare = len(stage.members) if tolerates_failures else min(stage.spare_healthy, ledger.spare_healthy)
        self.rollout = Rollout(
            stage.members,
            slots=min(stage.slots, ledger.slots_left),
            spare_healthy=spare,
            shard_size=SHARD_SIZE,
            tolerates_failures=tolerates_failures,
            first_index=ledger.next_shard,
        )
        ledger.open_stage(stage, self.rollout)
        self.is_lost = False
        self.is_out_of_time = False
        self._paused = False
        self._stop: StopRequest | None = None
        self._begun: dict[int, asyncio.Task[None]] = {}
        self._news = asyncio.Event()

    @property
    def has_stopped(self) -> bool:
        """Whether every shard that is open has confirmed that it starts nothing more."""
        open_books = (book for book in self.rollout.shards.values() if book.has_begun and book.outcome is None)
        return self._stop is not None and all(book.progress and book.progress.confirmed_stop for book in open_books)

    async def run(self) -> None:
        """Leases, starts and steers shards until all that were begun have ended and no other is to begin."""
        while True:
            self._news.clear()
            self._lease()
            self._ledger.publish()
            if self._is_over():
                break
            await self._wait()
        self.rollout.skip_unbegun()

    def _lease(self) -> None:
        if self._starts_nothing_more:
            return
        for book in self.rollout.grant():
            if book.index not in self._begun:
                self._begun[book.index] = asyncio.create_task(self._run_shard(book))
        if self.rollout.verdict is Verdict.FAIL:
            self.is_lost = True

    def _is_over(self) -> bool:
        if not self.rollout.is_idle:
            return False
        return self._starts_nothing_more or self.rollout.verdict is Verdict.DONE

    async def _wait(self) -> None:
        """Until there is news; the deployment's own limit does not run while it is paused."""
        clock_runs = not self._paused and self._stop is None
        try:
            timeout = timedelta(seconds=self._ledger.seconds_left) if clock_runs else None
            await workflow.wait_condition(self._news.is_set, timeout=timeout)
        except TimeoutError:
            self.is_out_of_time = True
            self.steer(paused=False, stop=StopRequest(reason="the deployment's time is over"))
        self._ledger.tick(counts=clock_runs)

    # ── shards ───────────────────────────────────────────────────────────────────────────────────────────────────

    async def _run_shard(self, book: ShardBook) -> None:
        shard_id = names.shard_workflow_id(self._ledger.deployment_id, book.index)
        told = self._orders(book)
        shard = await self._start_shard(shard_id, book)
        post = asyncio.create_task(
            signal_on_change(shard_id, names.SHARD_ORDERS, lambda: self._orders(book), last_sent=told)
        )
        try:
            outcome = await shard
        except ChildWorkflowError:
            outcome = await self._outcome_of_dead(book)
            self._ledger.warn(f"{shard_id} was ended from outside: what it had not heard of counts as interrupted")
        end(post)
        self.rollout.close(outcome)
        self._news.set()

    async def _outcome_of_dead(self, book: ShardBook) -> ShardOutcome:
        """What the store knows of a shard that was ended from outside; where it cannot be asked, nothing is known."""
        names_ = tuple(member.name for member in book.members)
        wreck = ShardWreck(
            deployment_id=self._ledger.deployment_id, run_id=self._ledger.run_id, index=book.index, names=names_
        )
        try:
            return await call(calls.read_wreck, wreck, READ)
        except ActivityError:
            return ShardOutcome(index=book.index, results={Outcome.INTERRUPTED: names_}, touched=names_)

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
                book.progress = None  # what the old one told is not of the one that comes
            else:
                return shard

    def _shard_request(self, book: ShardBook) -> ShardRequest:
        return ShardRequest(
            deployment_id=self._ledger.deployment_id,
            run_id=self._ledger.run_id,
            index=book.index,
            members=book.members,
            lease=book.granted,
            deadline_seconds=max(1, int(self._ledger.seconds_left)),
            tolerates_failures=self._tolerates_failures,
            paused=self._paused,
            stop=self._stop,
        )

    def _orders(self, book: ShardBook) -> ShardOrders:
        return ShardOrders(lease=book.granted, paused=self._paused, stop=self._stop, halt=self.is_lost)

    # ── what is heard ────────────────────────────────────────────────────────────────────────────────────────────

    def hear(self, progress: ShardProgress) -> None:
        """A shard reports."""
        self.rollout.hear(progress)
        self._news.set()

    def steer(self, *, paused: bool, stop: StopRequest | None) -> None:
        """The deployment's newest word; shards are told."""
        self._paused = paused
        self._stop = stop or self._stop
        self._news.set()

    @property
    def _starts_nothing_more(self) -> bool:
        return self.is_lost or self._stop is not None
