"""Follows one run on one host to its end, over as many connections as that takes.

A lost connection never repeats a hook: every connection sends the same order, and the host's journal decides whether
that starts a runner or attaches to the one at work. Before anything was begun a fault of ours or a refused login
ends the attempt (BLOCKED), and a refusal of the host fails it; later on everything is retried, since the runner works.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

from activities.faults import blocked, fault_of
from activities.host_requests import EarlierRevision, HostReply, HostRequests
from activities.script_logs import Log
from activities.snapshot import ArchiveSource
from towline.aside import aside
from towline.errors import (
    AuthenticationRefused,
    HostError,
    HostRefused,
    NotUnderstood,
    OurFault,
    TowlineError,
    Unreachable,
)
from towline.model.deployment.status import Outcome
from towline.model.fleet.instance import Target
from towline.model.host.events import HostEvent, LogText, Need, UnknownEvent
from towline.model.host.order import PlanPart, Position, halt_order, work_order
from towline.model.host.outcome import iso, outcome_of
from towline.model.host.state import HostState
from towline.model.messages.deploy import DeploymentOrder
from towline.model.messages.instance import Fault, Heartbeat, InstanceOutcome
from towline.transports import Transport, TransportPool, ask, open_transport

UNREACHABLE_AFTER_SECONDS = 120.0
FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 10.0
LATE_SECONDS = 900.0
"""A runner has so long to end its last step behind the deployment's deadline."""
MOST_NEEDS = 16
"""Of one connection: an archive, a fresh URL, two plans, and some to spare."""


@dataclass
class RunnerSession:
    """The session with one instance's runner: `run` to the end, `halt` at any time, `heartbeat` for its progress."""

    order: DeploymentOrder
    target: Target
    plan: PlanPart | None
    pool: TransportPool
    archives: ArchiveSource
    earlier: EarlierRevision
    log: Log
    mask: Callable[[str], str]
    clock: Callable[[], float]
    was_started: bool
    deadline_seconds: float
    is_retry: bool = False  # an attempt before this one may have sent the order, and died without telling
    only_ends: bool = False  # a stop came when no session was open: what runs there ends at its next boundary
    changed: asyncio.Event = field(default_factory=asyncio.Event)  # there is something new for a heartbeat
    state: HostState = field(default_factory=HostState)
    may_have_begun: bool = False

    def __post_init__(self) -> None:
        self.may_have_begun = self.was_started or self.is_retry or self.only_ends
        self._requests = HostRequests(self.order, self.archives, self.earlier)
        self._began = time.monotonic()
        self._lost_since: float | None = None
        self._own_fault: TowlineError | None = None
        self._halting = self.only_ends
        self._wake = asyncio.Event()
        self._told = asyncio.Event()
        self._phase = "connecting"
        self._since = self.clock()
        self._note = ""
        self._needs = 0  # of this connection

    async def run(self) -> InstanceOutcome:
        """Connects and follows, again and again, until the runner has ended or there is nothing to wait for."""
        pause = FIRST_PAUSE_SECONDS
        while True:
            if self._halting and not self.may_have_begun:
                return InstanceOutcome(instance=self.target.name, outcome=Outcome.SKIPPED, seconds=self._seconds)
            try:
                async with self._in_time():
                    await self._converse()
            except TowlineError as error:
                if outcome := self._verdict(error):
                    return outcome
            if self.state.is_over:
                return await self._outcome()
            if self._lost_since is None:
                pause = FIRST_PAUSE_SECONDS
            await self._pause(pause)
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)

    def halt(self) -> None:
        """Asks the runner to end at the next boundary: now, or as soon as the host answers again."""
        self._halting = True
        self._wake.set()

    @property
    def is_halting(self) -> bool:
        """Whether the runner is to end at its next boundary."""
        return self._halting

    async def halt_sent(self, seconds: float = 5.0) -> None:
        """Waits until the halt is on its way, or for `seconds`."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._told.wait()

    def heartbeat(self) -> Heartbeat:
        """Where it is now."""
        return Heartbeat(
            instance=self.target.name,
            phase=self._phase,
            script=self.state.script,
            seq=self.state.seq,
            log_bytes=self.state.log_bytes,
            was_started=self.was_started or self.state.was_started,
            since=iso(self._since),
            note=self._note or self.state.note,
        )

    @property
    def _live(self) -> tuple[object, ...]:
        """What is worth a heartbeat when it changes."""
        return self._phase, self.state.script, self.state.was_started

    @property
    def _seconds(self) -> float:
        return time.monotonic() - self._began

    async def _converse(self) -> None:
        """One connection: order, events, answers, to the runner's end. Raises towline's errors."""
        self._needs = 0
        order = work_order(
            self.order,
            self.target,
            plan=self.plan,
            url=await self._url(),
            position=Position(
                after=self.state.seq,
                log_after=self.state.log_bytes,
                was_started=self.was_started or self.state.was_started,
            ),
            deadline_seconds=self.deadline_seconds - self._seconds,
        )
        if self._halting:  # sent first: an order that finds nothing there must not begin anything
            await ask(open_transport(self.target, self.pool), halt_order(self.order, self.target, "boundary"))
        async with open_transport(self.target, self.pool) as transport:
            await self._start(transport, order)
            had_begun, self.may_have_begun = self.may_have_begun, True
            try:
                async with self._halting_through(transport):
                    async for event in transport.follow():
                        await self._hear(event, transport)
            except HostRefused:  # no runner ever spoke: this order has begun nothing
                self.may_have_begun = had_begun
                raise

    async def _start(self, transport: Transport, order: dict[str, Any]) -> None:
        """Starts or attaches. A stop does not wait for a host that takes its time and has no order yet."""
        if self._halting:
            return await transport.start_or_attach(order)
        starting = asyncio.create_task(transport.start_or_attach(order))
        stopping = asyncio.create_task(self._wake.wait())
        try:
            await asyncio.wait((starting, stopping), return_when=asyncio.FIRST_COMPLETED)
            if starting.done() or transport.has_order:
                return await starting
            raise Unreachable("it was not waited for: the deployment is to stop")
        finally:
            for task in (starting, stopping):
                task.cancel()
            await asyncio.gather(starting, stopping, return_exceptions=True)

    @contextlib.asynccontextmanager
    async def _in_time(self) -> AsyncIterator[None]:
        """Raises NotUnderstood where the block outlasts the deadline by far: a runner ends by itself before that."""
        limit = asyncio.timeout(max(0.0, self.deadline_seconds - self._seconds) + LATE_SECONDS)
        try:
            async with limit:
                yield
        except TimeoutError:
            if not limit.expired():
                raise
            late = f"the host has not said that it is done {LATE_SECONDS:.0f} s after the deployment's deadline"
            raise NotUnderstood(late, "See what runs there: towline logs ID INSTANCE", code="NoEnd") from None

    async def _hear(self, event: HostEvent, transport: Transport) -> None:
        if isinstance(event, UnknownEvent):
            return
        self._lost_since, self._note = None, ""
        before = self._live
        if isinstance(event, LogText):
            self.log.add(event)
        self.state = self.state.after(event, self.clock())
        if self.state.phase and self.state.phase != self._phase:
            self._phase, self._since = self.state.phase, self.clock()
        if self._live != before:
            self.changed.set()
        if isinstance(event, Need):
            await self._answer(event, transport)

    async def _answer(self, need: Need, transport: Transport) -> None:
        """Sends the runner what it requests, or that it is not available, and notes whose fault that is."""
        # A line that breaks meanwhile is left to `follow`: a runner that refuses what it gets (its disk is full) hangs
        # up in the middle, and its reason is still to be read.
        self._needs += 1
        if self._needs > MOST_NEEDS or not self._requests.has_use_for(need):
            raise NotUnderstood(f"the host asks for {need.what[:64]!r}, and has no use for it")
        try:
            answer = await self._requests.answer(need)
        except TowlineError as error:
            self._own_fault = error
            answer = HostReply.none(error.code, str(error))
        with contextlib.suppress(Unreachable):
            await transport.send(answer.reply, answer.body)

    async def _url(self) -> str | None:
        """A presigned URL. Where a runner may be at work already, a fault of ours must not keep us from attaching."""
        try:
            return await self._requests.url()
        except TowlineError:
            if self.may_have_begun:
                return None
            raise

    @contextlib.asynccontextmanager
    async def _halting_through(self, transport: Transport) -> AsyncIterator[None]:
        """Sends a halt to the runner as soon as it is requested, during the block."""
        task = asyncio.create_task(self._send_halt(transport))
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _send_halt(self, transport: Transport) -> None:
        while not self._halting:
            self._wake.clear()
            await self._wake.wait()
        await transport.send({"halt": "boundary"})
        self._told.set()

    def _verdict(self, error: TowlineError) -> InstanceOutcome | None:
        """Returns the outcome that an error means, or None to try again."""
        if isinstance(error, NotUnderstood):
            return self._failed(Outcome.FAILED, error, f"; {self._last_known}")
        if not self.may_have_begun and not isinstance(error, Unreachable):
            if isinstance(error, HostError) and not isinstance(error, AuthenticationRefused):
                return self._failed(Outcome.FAILED, error)
            return blocked(self.target.name, error)
        now = time.monotonic()
        self._lost_since = self._lost_since or now
        lost = now - self._lost_since
        self._phase, self._note = "connecting", f"unreachable for {lost:.0f} s: {self.mask(error.message)}"
        self.changed.set()
        # A fault of ours is not the host's: its runner works on, so it is waited for as long as the deployment may.
        limit = self.deadline_seconds if isinstance(error, OurFault) else self._unreachable_after
        if lost >= limit or self._seconds >= self.deadline_seconds:
            return self._failed(Outcome.UNREACHABLE, error, f" (tried for {lost:.0f} s); {self._last_known}")
        return None

    @property
    def _last_known(self) -> str:
        """Returns what is known of a host that has stopped answering."""
        if not self.may_have_begun:
            return "nothing was begun there"
        if not self.state.was_started:
            known = "it was begun there" if self.was_started else "whether anything was begun there is not known"
        else:
            script = f", {self.state.script}" if self.state.script else ""
            known = f"last seen in {self.state.phase}{script}"
        return f"{known}; its runner goes on by itself, if it can"

    @property
    def _unreachable_after(self) -> float:
        given = self.target.access.unreachable_after_seconds
        return UNREACHABLE_AFTER_SECONDS if given is None else given

    async def _pause(self, seconds: float) -> None:
        """Waits before the next connection; a halt ends the wait."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):  # not wait_for: Python 3.11's may swallow a cancellation
                await self._wake.wait()
        if not self._halting:
            self._wake.clear()
        elif seconds:
            await asyncio.sleep(FIRST_PAUSE_SECONDS)  # the event stays set: no busy loop on a host that is gone

    async def _outcome(self) -> InstanceOutcome:
        if self._own_fault and self.state.refused and not self.state.was_started:
            return blocked(self.target.name, self._own_fault)
        return await aside(outcome_of, self.state, self.target.name, self.mask, self._seconds, self.target.expected)

    def _masked(self, fault: Fault) -> Fault:
        return fault.model_copy(update={"message": self.mask(fault.message), "hint": self.mask(fault.hint)})

    def _failed(self, outcome: Outcome, error: TowlineError, besides: str = "") -> InstanceOutcome:
        return InstanceOutcome(
            instance=self.target.name,
            outcome=outcome,
            was_touched=self.may_have_begun,
            message=self.mask(error.message + besides),
            fault=self._masked(fault_of(error)),
            seconds=self._seconds,
        )
