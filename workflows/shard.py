"""Shard: a bounded slice of a deployment's instances, a window of them in flight, one summary at the end.

It starts instances as far as its lease allows, one activity each, and tells its deployment what it no longer needs.
The arithmetic is in `towline/model/rollout/window.py`; whose fault a refusal is, in `towline/model/rollout/faults.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError, CancelledError
from temporalio.exceptions import TimeoutError as TimedOut

from workflows.options import DEPLOY_INSTANCE, HALT
from workflows.temporal_helpers import call, end, parse_signal, shield_from_cancel, signal

with workflow.unsafe.imports_passed_through():
    from towline.model import names
    from towline.model.deployment.status import Outcome, TargetStatus
    from towline.model.messages.deploy import StopRequest
    from towline.model.messages.fleet import FleetMember
    from towline.model.messages.instance import DETACHED, HaltOrder, InstanceOrder, InstanceOutcome
    from towline.model.messages.shard import InstanceLive, ShardOrders, ShardOutcome, ShardProgress, ShardRequest
    from towline.model.rollout.faults import FaultFinder
    from towline.model.rollout.outcomes import runs_now
    from towline.model.rollout.window import FAILURES, REPORTS_EACH, Window
    from workflows import calls

BETWEEN_STEPS = timedelta(seconds=1)
BETWEEN_ENDS = timedelta(seconds=0.4)
"""The same of a small shard: its reports are all that is known of it (`towline/model/deployment/memo.py`)."""
NAMED = 10
"""How many names, or failures with their log tails, a shard tells of: histories stay small."""


@workflow.defn(name=names.SHARD)
class ShardWorkflow:
    """Deploys to at most 250 instances under a lease of slots."""

    @workflow.init
    def __init__(self, request: ShardRequest) -> None:
        """Takes the request before the first signal can arrive."""
        self._request = request
        self._window = Window(
            request.members, request.lease, most=request.window, tolerates_failures=request.tolerates_failures
        )
        self._faults = FaultFinder()
        self._orders = ShardOrders(lease=request.lease, paused=request.paused, stop=request.stop)
        self._probe_is_due = False
        self._live = {member.name: InstanceLive() for member in request.members}
        self._at_work: dict[str, asyncio.Task[None]] = {}
        self._told_to_halt: set[str] = set()
        self._errands: set[asyncio.Task[Any]] = set()  # kept, since the event loop holds tasks only weakly
        self._failures: list[InstanceOutcome] = []
        self._touched: list[str] = []
        self._told_now: list[InstanceOutcome] = []  # of hosts that said what they run
        self._has_halted = False  # running hooks were told to end
        self._news = asyncio.Event()
        self._sequence = 0
        self._told_decisive: tuple[object, ...] = ()
        self._told_step = 0

    # ── the story ────────────────────────────────────────────────────────────────────────────────────────────────

    @workflow.run
    async def run(self, request: ShardRequest) -> ShardOutcome:
        """Deploys to the members in order; always returns how each ended, bad news included."""
        return await shield_from_cancel(self._roll_out(), self._ask_to_stop)

    async def _roll_out(self) -> ShardOutcome:
        started_at = workflow.time()
        reports = asyncio.create_task(self._report())
        while not self._window.is_done:
            self._news.clear()
            self._judge_suspects()
            self._end_early()
            self._start_what_may()
            if not self._window.is_done:
                await self._news.wait()
        end(reports)
        return ShardOutcome(
            index=self._request.index,
            results=self._window.results,
            touched=tuple(self._touched),
            failures=tuple(self._failures),
            seconds=workflow.time() - started_at,
            now=runs_now(self._told_now),
        )

    def _start_what_may(self) -> None:
        """Starts as many as lease, window, pause, stop and faults of ours allow; gives back what is not needed."""
        for member in self._may_start():
            self._window.start(member.name)
            self._live[member.name] = InstanceLive(status=TargetStatus.IN_PROGRESS, start_time=_now())
            self._at_work[member.name] = asyncio.create_task(self._deploy(member))
        self._window.give_back()

    def _may_start(self) -> list[FleetMember]:
        if self._orders.paused or self._begins_nothing_more:
            return []
        if not self._faults.blocked:
            return self._window.next_starts()
        probes = self._window.next_starts()[:1] if self._probe_is_due else []
        self._probe_is_due = False
        return probes

    def _end_early(self) -> None:
        """After a stop, or when the rollout is lost: nothing more is begun; a stop also halts those in flight."""
        if not self._begins_nothing_more:
            return
        for outcome in self._faults.nobody_left():
            self._end(outcome)
        skipped = self._window.skip_waiting()
        self._live.update({name: InstanceLive(status=TargetStatus.SKIPPED, end_time=_now()) for name in skipped})
        if self._orders.stop is None:
            return
        for name, task in self._at_work.items():
            if name not in self._told_to_halt:
                self._told_to_halt.add(name)
                task.cancel()  # the activity has the runner halt at its next boundary, and follows it there
        if self._orders.stop.now and not self._has_halted:
            self._has_halted = True
            self._run_errand(self._halt())

    # ── one instance ─────────────────────────────────────────────────────────────────────────────────────────────

    async def _deploy(self, member: FleetMember) -> None:
        """Runs the one activity of an instance; whatever it ends with, its slot is accounted for."""
        outcome = await self._run_activity(member)
        if outcome is None:
            # A stop had cancelled the activity, and Temporal tries such a one no further when its worker dies: the
            # runner may still be at work, or never have begun.
            outcome = await self._run_activity(member, only_ends=True)
        assert outcome, "an activity that nobody cancels is tried until it has ended"
        del self._at_work[member.name]
        self._settle(outcome)
        self._news.set()

    async def _run_activity(self, member: FleetMember, *, only_ends: bool = False) -> InstanceOutcome | None:
        """The outcome; None where a cancelled activity ended with its worker, so that nobody knows."""
        try:
            return await call(
                calls.deploy_instance,
                self._order(member, only_ends=only_ends),
                DEPLOY_INSTANCE,
                summary=f"{member.name} · {member.address}" if member.address else member.name,
                queue=member.queue,
            )
        except ActivityError as error:
            return None if not only_ends and _ended_with_its_worker(error) else _of_error(member.name, error)

    def _settle(self, outcome: InstanceOutcome) -> None:
        """Counts an outcome, or puts the instance back where the fault is ours."""
        if outcome.outcome is Outcome.BLOCKED:
            self._window.put_aside(outcome.instance)
            self._live[outcome.instance] = InstanceLive(message=outcome.fault.message if outcome.fault else "")
        counted, back = self._faults.hear(outcome)
        for ended in counted:
            self._end(ended)
        for name in back:
            self._window.put_back(name)
        if back:
            self._run_errand(self._probe_later())

    def _judge_suspects(self) -> None:
        """A host that refused us, with no other host left to ask, is at fault itself."""
        if self._faults.has_suspects and not self._window.in_flight and not self._window.next_starts():
            for outcome in self._faults.nobody_left():
                self._end(outcome)

    def _end(self, outcome: InstanceOutcome) -> None:
        self._window.end(outcome.instance, outcome.outcome)
        self._live[outcome.instance] = InstanceLive(
            status=outcome.outcome.target_status,
            outcome=outcome.outcome,
            start_time=self._live[outcome.instance].start_time,
            end_time=_now(),
            message=outcome.message,
        )
        if outcome.was_touched:
            self._touched.append(outcome.instance)
        if outcome.now:
            self._told_now.append(outcome)
        if outcome.outcome in FAILURES:
            self._failures = [*self._failures, outcome][:NAMED]

    async def _probe_later(self) -> None:
        await workflow.sleep(self._faults.probe_seconds)
        self._probe_is_due = True
        self._news.set()

    async def _halt(self) -> None:
        """Ends running hooks on the hosts in flight, from connections of their own, by the queue that reaches them."""
        flying = [member for member in self._request.members if member.name in self._window.in_flight]
        for queue in sorted({member.queue for member in flying}):
            orders = tuple(self._order(member) for member in flying if member.queue == queue)
            try:
                await call(calls.halt_instances, HaltOrder(orders=orders), HALT, summary="stop --now", queue=queue)
            except ActivityError as error:
                workflow.logger.warning("hosts could not be told to halt now: %s", error.cause)

    def _order(self, member: FleetMember, *, only_ends: bool = False) -> InstanceOrder:
        return InstanceOrder(
            deployment_id=self._request.deployment_id,
            run_id=self._request.run_id,
            instance=member.name,
            page=member.page,
            deadline_seconds=self._request.deadline_seconds,
            only_ends=only_ends,
        )

    # ── what is told and heard ───────────────────────────────────────────────────────────────────────────────────

    @workflow.signal
    def orders(self, raw: Any = None, *_: Any) -> None:
        """Takes the deployment's newest word: lease, pause, stop, halt. A stop that was heard is not taken back."""
        orders = parse_signal(ShardOrders, raw)
        if orders is None:
            return
        self._window.grant(orders.lease)
        self._orders = orders.model_copy(
            update={"stop": orders.stop or self._orders.stop, "halt": orders.halt or self._orders.halt}
        )
        self._news.set()

    @workflow.query
    def instances(self) -> dict[str, InstanceLive]:
        """Each member as it stands now."""
        return self._live

    @workflow.query(name=names.SHARD_PROGRESS_NOW)
    def progress(self) -> ShardProgress:
        """The counts as they stand now."""
        return self._progress()

    def _ask_to_stop(self) -> None:
        """Temporal's own cancel of a shard: the deployment decides, as for its own."""
        stop = StopRequest(reason="a shard was cancelled")
        self._run_errand(signal(self._request.deployment_id, names.CANCEL, stop))

    def _run_errand(self, errand: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.create_task(errand)
        self._errands.add(task)
        task.add_done_callback(self._errands.discard)

    @property
    def _begins_nothing_more(self) -> bool:
        return self._orders.stop is not None or self._orders.halt

    @property
    def _is_held(self) -> bool:
        return self._orders.paused or self._begins_nothing_more or self._faults.blocked is not None

    def _progress(self) -> ShardProgress:
        window = self._window
        return ShardProgress(
            index=self._request.index,
            sequence=self._sequence,
            granted=window.granted,
            returned=window.returned,
            is_held=self._is_held,
            started=window.started,
            succeeded=window.count(Outcome.SUCCEEDED),
            failed=window.failed,
            gained=window.gained,
            waiting=window.waiting,
            confirmed_stop=self._begins_nothing_more,
            in_flight=window.in_flight[:NAMED],
            blocked=self._faults.blocked,
            failures=tuple(self._failures),
        )

    def _decisive(self) -> tuple[object, ...]:
        """What the deployment decides by: it must hear of a change at once."""
        window = self._window
        slots_step = max(1, window.granted.slots // 10)
        returned = window.returned.slots + window.returned.healthy + window.gained
        is_starved = not window.in_flight and bool(window.waiting)
        return (
            window.failed,
            self._is_held,
            self._faults.blocked,
            self._begins_nothing_more,
            window.in_flight[:NAMED] if self._orders.paused or self._begins_nothing_more else (),
            returned // slots_step if self._orders.lease.returns_wanted else 0,
            (is_starved, window.granted) if is_starved else (),
        )

    def _must_tell(self) -> bool:
        return self._decisive() != self._told_decisive

    def _step(self) -> int:
        """How far it is, for the summary in the Web UI: some ten steps, so that histories stay small."""
        return self._window.count(*Outcome) // -(-len(self._request.members) // REPORTS_EACH)

    @property
    def _between_steps(self) -> timedelta:
        return BETWEEN_ENDS if len(self._request.members) <= REPORTS_EACH else BETWEEN_STEPS

    async def _report(self) -> None:
        """Signals progress when there is something to tell, one signal at a time, so that a burst becomes one.

        A mere step waits until the last signal is a while ago: each costs the deployment a workflow task.
        """
        if self._request.stop is None and not self._request.paused:
            self._told_decisive = self._decisive()
        while True:
            await workflow.wait_condition(lambda: self._must_tell() or self._step() != self._told_step)
            with contextlib.suppress(TimeoutError):
                await workflow.wait_condition(self._must_tell, timeout=self._between_steps)
            self._told_decisive, self._told_step = self._decisive(), self._step()
            self._sequence += 1
            await signal(self._request.deployment_id, names.SHARD_PROGRESS, self._progress())


def _ended_with_its_worker(error: ActivityError) -> bool:
    """Whether a cancelled activity was given up with its worker, or before one had it: its runner tells the rest."""
    cause = error.cause
    if isinstance(cause, ApplicationError):
        return cause.type == DETACHED
    return isinstance(cause, CancelledError | TimedOut)


def _of_error(name: str, error: ActivityError) -> InstanceOutcome:
    """An activity that ended by an error: the host may have been touched, so that a rollback asks it."""
    cause = error.cause
    message = cause.message if isinstance(cause, ApplicationError) else str(cause or error)
    return InstanceOutcome(instance=name, outcome=Outcome.INTERRUPTED, was_touched=True, message=message)


def _now() -> str:
    return workflow.now().isoformat()
