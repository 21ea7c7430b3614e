"""`deploy_instance` and `halt_instances`: run one instance's part of a deployment, and end it from outside.

`deploy_instance` loads what the deployment froze, follows the runner on the host to its end
(`activities/runner_session.py`), writes the instance's record and log, and returns the outcome, also of a failure. It
raises only if another attempt has to continue: a worker that shuts down leaves the runner running and hands over.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial

from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.codedeploy_agent import CodeDeployAgents
from activities.completion_batching import InFlight
from activities.errors import EXPECTED, details_of, log
from activities.faults import blocked
from activities.runner_session import RunnerSession
from activities.script_logs import Log, LogBudget
from activities.snapshot import ArchiveSource, Frozen
from towline.aside import aside
from towline.errors import TowlineError
from towline.masking import mask
from towline.model.deployment.status import Outcome
from towline.model.fleet.instance import CodeDeployAgentAccess
from towline.model.host.order import halt_order
from towline.model.host.outcome import report_of
from towline.model.messages.instance import DETACHED, HaltOrder, Heartbeat, InstanceOrder, InstanceOutcome
from towline.store import Store
from towline.store.deployment_records import DeploymentRecords
from towline.transports import TransportPool, ask, open_transport

BEATS_PER_TIMEOUT = 3
REST_SECONDS = 0.8
FIRST_BEATS_A_SECOND = 10  # of one worker: each is a write in Temporal's database, and most instances end before theirs
SHUTDOWN_SECONDS = 1.5  # how long a worker that shuts down waits for a halted runner to end
HALTS_AT_ONCE = 32
HALT_TRIES = 3


class InstanceActivities:
    """The activities that touch hosts. One object per worker: it holds what its activities share."""

    def __init__(
        self,
        store: Store,
        archives: ArchiveSource,
        pool: TransportPool,
        *,
        is_open: Callable[[str], Awaitable[bool]],
        clock: Callable[[], float] = time.time,
        log_budget: LogBudget | None = None,
        codedeploy_agents: CodeDeployAgents | None = None,
    ) -> None:
        """`store` has frozen orders, records and logs, `archives` what hosts are to get.

        `codedeploy_agents`: where this process is an API server, the hosts with AWS's agent.

        `is_open` answers whether the workflow of an id still runs; it raises TowlineError where Temporal is away.
        """
        self._records = DeploymentRecords(store)
        self._archives = archives
        self._frozen = Frozen(store)
        self._pool = pool
        self._is_open = is_open
        self._clock = clock
        self._log_budget = log_budget or LogBudget()
        self._in_flight = InFlight()
        self._codedeploy_agents = codedeploy_agents

    @activity.defn
    async def deploy_instance(self, order: InstanceOrder) -> InstanceOutcome:
        """Starts or re-attaches on one host, and follows to the end.

        Returns the outcome; BLOCKED with a fault where the fault is ours (or the host does not let us in) and nothing
        was begun. Raises ApplicationError of type `Detached`, or of a fault's code, where another attempt must go on.
        """
        try:
            frozen, target = await self._frozen.of_instance(order)
            if self._codedeploy_agents and isinstance(target.access, CodeDeployAgentAccess):
                return await self._codedeploy_agents.deploy(order, frozen, target)
            plan = await self._frozen.plan(frozen) if frozen.revision else None
        except TowlineError as error:
            if activity.info().attempt > 1:
                raise _try_again(error) from error
            return blocked(order.instance, error)
        with self._in_flight.one_more(), self._log_budget.log(frozen.limits.log_bytes) as log:
            follower = RunnerSession(
                order=frozen,
                target=target,
                plan=plan,
                pool=self._pool,
                archives=self._archives,
                earlier=self._frozen.earlier,
                log=log,
                mask=mask,
                clock=self._clock,
                was_started=_last_beat().was_started,
                deadline_seconds=_seconds_left(order, self._clock()),
                is_retry=activity.info().attempt > 1,
                only_ends=order.only_ends,
            )
            outcome = await self._follow_to_the_end(follower)
            if outcome.outcome not in (Outcome.BLOCKED, Outcome.SKIPPED):
                outcome = await self._record(order, follower, outcome, log)
        await self._in_flight.end_together()
        return outcome

    @activity.defn
    async def halt_instances(self, order: HaltOrder) -> None:
        """Ends what runs on these hosts, hooks included, over new connections.

        A host that does not answer is skipped: its own session keeps trying, and its runner halts by itself after a
        long time without a caller.
        """
        limit = asyncio.Semaphore(HALTS_AT_ONCE)

        async def halt(one: InstanceOrder) -> None:
            async with limit:
                await self._halt(one)
                activity.heartbeat()

        await asyncio.gather(*(halt(one) for one in order.orders))

    async def _halt(self, order: InstanceOrder) -> None:
        for attempt in range(1, HALT_TRIES + 1):
            try:
                _, target = await self._frozen.of_instance(order)
                if self._codedeploy_agents and isinstance(target.access, CodeDeployAgentAccess):
                    await self._codedeploy_agents.give_up(order)
                else:
                    await ask(open_transport(target, self._pool), halt_order(order, target, "now"))
                return
            except TowlineError as error:
                activity.logger.warning("cannot halt %s (try %d): %s", order.instance, attempt, error)
                await asyncio.sleep(attempt if attempt < HALT_TRIES else 0)

    async def _record(
        self, order: InstanceOrder, follower: RunnerSession, outcome: InstanceOutcome, log: Log
    ) -> InstanceOutcome:
        """Writes record and log; answers the outcome, or BLOCKED where nothing was begun and the store is at fault."""
        report = await aside(
            report_of,
            follower.state,
            outcome,
            address=follower.target.address,
            zone=follower.target.zone,
            attempts=activity.info().attempt,
            ended_at=self._clock(),
            mask=mask,
        )
        writes = [partial(self._records.put_instance, order.deployment_id, report)]
        if text := log.text():
            masked = await aside(mask, text)
            writes.append(partial(self._records.put_log, order.deployment_id, order.instance, masked))
        try:
            await asyncio.gather(*(asyncio.to_thread(write) for write in writes))
        except TowlineError as error:
            if follower.may_have_begun:
                activity.heartbeat(follower.heartbeat())  # the next attempt is to know of it
                raise _try_again(error) from error
            return blocked(order.instance, error)
        return outcome

    async def _follow_to_the_end(self, follower: RunnerSession) -> InstanceOutcome:
        """Runs the follower in a task of its own and decides what each cancellation of the activity means to it."""
        task = asyncio.create_task(follower.run())
        beats = asyncio.create_task(_beat(follower, self._in_flight))
        shutdown = asyncio.create_task(activity.wait_for_worker_shutdown())
        try:
            while not task.done():
                # Temporal tells an activity once: of a shutdown after a cancel only this event knows.
                awaited = {task, shutdown} if follower.is_halting else {task}
                try:
                    # A cancellation ends this wait, not the task: it asks for a halt or a hand-over, and must not
                    # tear the line in between.
                    await asyncio.wait(awaited, return_when=asyncio.FIRST_COMPLETED)
                except asyncio.CancelledError:
                    await self._on_cancel(follower)
                    continue
                if shutdown.done() and not task.done():
                    await asyncio.wait({task}, timeout=SHUTDOWN_SECONDS)
                    if not task.done():
                        raise _detached(follower)
            return task.result()
        finally:
            for each in (task, beats, shutdown):
                each.cancel()
            await asyncio.gather(task, beats, shutdown, return_exceptions=True)

    async def _on_cancel(self, follower: RunnerSession) -> None:
        """Halts at the next boundary and follows on, or raises to hand over, by the reason that Temporal gives."""
        details = activity.cancellation_details()
        if details and details.cancel_requested:
            follower.halt()
            return
        if details and details.not_found and await self._was_terminated():  # nothing waits for the rest
            follower.halt()
            await follower.halt_sent()
        raise _detached(follower)

    async def _was_terminated(self) -> bool:
        """Whether the workflow that waits for this attempt is gone.

        Temporal says "not found" as well to an attempt that it has given up, after a stall of worker or server: the
        next one follows by then, and a halt would end its work. Where Temporal is away, nothing is ended on a guess.
        """
        try:
            return not await self._is_open(activity.info().workflow_id or "")
        except TowlineError:
            return False


def _detached(follower: RunnerSession) -> ApplicationError:
    """By what an attempt hands over, with all that it knows. Not CancelledError: the SDK reports that as cancelled when
    a worker shuts down, and no attempt would follow."""
    activity.heartbeat(follower.heartbeat())
    message = f"{follower.target.name}: this attempt detaches, the next one goes on"
    log.info("%s", message)
    return ApplicationError(message, type=DETACHED, next_retry_delay=timedelta(milliseconds=100), category=EXPECTED)


async def _beat(follower: RunnerSession, in_flight: InFlight) -> None:
    """Heartbeats on change, and while nothing changes: a killed worker is noticed, and a cancellation arrives.

    Before each there is a rest: Temporal's SDK holds back quicker ones anyway, and an instance that is done by then
    costs none. It is longer before the first one, the more instances the worker has in flight.
    """
    timeout = activity.info().heartbeat_timeout
    longest = timeout.total_seconds() if timeout else 15.0
    every = longest / BEATS_PER_TIMEOUT
    rest = min(REST_SECONDS, every / 2)
    await asyncio.sleep(rest)
    await asyncio.sleep(min(in_flight.count / FIRST_BEATS_A_SECOND, longest / 2) - rest)
    while True:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(every - rest):  # not wait_for: Python 3.11's may swallow a cancellation
                await follower.changed.wait()
        follower.changed.clear()
        activity.heartbeat(follower.heartbeat())
        await asyncio.sleep(rest)


def _last_beat() -> Heartbeat:
    """Returns what the attempt before this one had seen."""
    details = activity.info().heartbeat_details
    if not details:
        return Heartbeat(instance="")
    return details[0] if isinstance(details[0], Heartbeat) else Heartbeat.model_validate(details[0])


def _seconds_left(order: InstanceOrder, now: float) -> float:
    """The deadline's rest: what earlier attempts of this activity have used is gone."""
    info = activity.info()
    used = now - info.scheduled_time.timestamp() if info.attempt > 1 else 0.0
    return max(0.0, order.deadline_seconds - used)


def _try_again(error: TowlineError) -> ApplicationError:
    """A fault of ours after the runner was started: it works on, and a later attempt attaches to it."""
    log.warning("%s: %s", error.code, error)
    return ApplicationError(str(error), details_of(error), type=error.code, category=EXPECTED)
