"""One deployment on one host with AWS's agent, from its start to its outcome, over the token of its activity.

The heartbeat details are the run, written and answered before the agent is answered. A token is good for one attempt:
where another process has begun the next one, Temporal refuses it, and the agent's next call finds the run there.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial

from temporalio.client import AsyncActivityCancelledError, AsyncActivityHandle
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from activities.agent_revision import AgentRevision
from activities.errors import EXPECTED, details_of, log
from towline.aside import aside
from towline.codedeploy_agents.runs import LiveRun, NotOwned, Runs
from towline.errors import TemporalUnavailable, TowlineError
from towline.masking import mask
from towline.model.codedeploy_agent.commands import HostRun
from towline.model.codedeploy_agent.exchange import halt
from towline.model.codedeploy_agent.heartbeat import heartbeat_of
from towline.model.codedeploy_agent.limits import Allowance, check_limits
from towline.model.codedeploy_agent.story import outcome_of_run, state_of
from towline.model.deployment.status import Outcome
from towline.model.fleet.instance import Target
from towline.model.host.outcome import report_of
from towline.model.messages.instance import DETACHED, InstanceOutcome
from towline.store.deployment_records import DeploymentRecords

SAVE_SECONDS = 50.0
"""How long a change waits for Temporal: agents read for 80 s, and turn a refused completion into a failure."""
SAVE_PAUSE_SECONDS = 0.5
SEEK_SECONDS = 10.0


@dataclass
class AgentSession:
    """Follows a run to its end. `run` once; cancelled, it hands the run over to the next attempt."""

    deployment_id: str
    target: Target
    live: LiveRun
    runs: Runs
    handle: AsyncActivityHandle
    records: DeploymentRecords
    revision: AgentRevision
    allowance: Allowance
    beat_seconds: float
    attempt: int
    clock: Callable[[], float]
    only_ends: bool = False
    _wants_halt: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        self._wants_halt = self.only_ends
        self._listening_since = self.clock()
        self._sought_at = 0.0

    async def run(self) -> None:
        """To the outcome, or until the run is another process's. Never raises but CancelledError."""
        try:
            await self._follow()
            await self._end(await self._outcome())
        except NotOwned as error:
            log.info("%s: %s", self.target.name, error)
        except asyncio.CancelledError:
            await self._fail(self._detached())
            raise
        except TowlineError as error:
            await self._fail(ApplicationError(str(error), details_of(error), type=error.code, category=EXPECTED))
        except Exception as error:
            log.exception("%s: the attempt failed", self.target.name)
            await self._fail(ApplicationError(f"{type(error).__name__}: {error}", type="InternalFailure"))
        finally:
            self.runs.close(self.live)

    async def save(self, run: HostRun) -> None:
        """Writes the run as heartbeat details. Raises NotOwned, TemporalUnavailable."""
        name = self.target.name
        beat = heartbeat_of(run, name, self.runs.heard_at(name), self.clock())
        try:
            await self._patiently(partial(self.handle.heartbeat, beat))
        except AsyncActivityCancelledError as error:  # written all the same
            if error.details and error.details.cancel_requested and not self._wants_halt:
                self._wants_halt = True
                self.live.changed.set()

    async def _follow(self) -> None:
        """Ticks on change and thrice in a heartbeat timeout, until the run is over."""
        await self.live.keep()
        is_open = False
        while not self.live.run.is_over:
            is_open = is_open or self._open()
            if is_open:
                self._seek()
            self.live.changed.clear()
            before = self.live.run
            await self.live.change(lambda run: (self._ticked(run), None))
            if self.live.run.is_over:
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.beat_seconds):
                    await self.live.changed.wait()
            if self.live.run is before:
                await self.live.keep()

    def _seek(self) -> None:
        """Now and then: other API servers forget what they were told."""
        now = self.clock()
        if now - self._sought_at >= SEEK_SECONDS:
            self._sought_at = now
            self.runs.seek(self.target.name)

    def _open(self) -> bool:
        if not self.runs.open(self.live):
            return False
        self._listening_since = self.clock()
        return True

    def _ticked(self, run: HostRun) -> HostRun:
        """The run after the passing of time, and after a stop."""
        now = self.clock()
        if self._wants_halt:
            run = halt(run, now)
        heard_at = max(self.runs.heard_at(self.target.name), self._listening_since)
        return check_limits(run, self.allowance, heard_at, now)

    async def _outcome(self) -> InstanceOutcome:
        """The outcome, its record and log written. Raises OurFault while the store cannot be used."""
        run = self.live.run
        outcome = await aside(outcome_of_run, run, self.target.name, mask)
        if self.revision.now and outcome.outcome is Outcome.SUCCEEDED:
            outcome = outcome.model_copy(update={"now": self.revision.now})
        if outcome.outcome is Outcome.SKIPPED:
            return outcome
        report = report_of(
            state_of(run),
            outcome,
            address=self.target.address,
            zone=self.target.zone,
            attempts=self.attempt,
            ended_at=self.clock(),
            mask=mask,
        )
        report = report.model_copy(update={"warnings": (*report.warnings, *self.revision.warnings)})
        await asyncio.to_thread(self.records.put_instance, self.deployment_id, report)
        if text := "".join(command.diagnostics.log for command in run.commands):
            await asyncio.to_thread(self.records.put_log, self.deployment_id, self.target.name, mask(text))
        return outcome

    async def _end(self, outcome: InstanceOutcome) -> None:
        await self._patiently(partial(self.handle.complete, outcome))

    async def _fail(self, error: ApplicationError) -> None:
        """Hands over to the next attempt, which finds the run in the details of the last heartbeat."""
        with contextlib.suppress(TowlineError, RPCError):
            async with asyncio.timeout(2.0):
                await self.handle.fail(error)

    def _detached(self) -> ApplicationError:
        message = f"{self.target.name}: this attempt detaches, the next one goes on"
        soon = timedelta(milliseconds=100)
        return ApplicationError(message, type=DETACHED, next_retry_delay=soon, category=EXPECTED)

    async def _patiently(self, call: Callable[[], Awaitable[None]]) -> None:
        """Calls Temporal until it answers. Raises NotOwned where the token is not good any more."""
        ends = self.clock() + SAVE_SECONDS
        while True:
            try:
                return await call()
            except RPCError as error:
                if error.status in (RPCStatusCode.NOT_FOUND, RPCStatusCode.INVALID_ARGUMENT):
                    raise NotOwned(f"this attempt is not the one that counts any more: {error.message}") from error
                if self.clock() >= ends:
                    raise TemporalUnavailable(f"Temporal does not answer: {error.message}") from error
                await asyncio.sleep(SAVE_PAUSE_SECONDS)
