"""The runs of this process: deployments that are open on hosts with AWS's agent, and what the agents' calls do to them.

A change is saved durably before its answer leaves (`LiveRun.change`). What a run decides is in
`towline/model/codedeploy_agent`; who calls, and in which form, is the API's (`towline/api/command_service`).
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from towline.errors import TowlineError
from towline.model.codedeploy_agent.commands import CommandId, HostRun, execution_id, key_of_execution
from towline.model.codedeploy_agent.diagnostics import Diagnostics, Meaning
from towline.model.codedeploy_agent.exchange import (
    CommandStatus,
    acknowledge,
    complete,
    next_offer_at,
    offer,
)
from towline.model.codedeploy_agent.specification import BundleObject

HOLD_SECONDS = 45.0
"""How long a poll waits for a command: as long as AWS holds it. Agents read for 80 s."""
OWNER_SECONDS = 60.0
"""How long a call waits for the run that it is about: another process may have died, and its successor not begun."""
ENDED_KEPT = 10_000
"""Of so many runs it is known that they have ended: the agent sends the completion of a failure twice."""

Saved = Callable[[HostRun], Awaitable[None]]
"""Saves a run durably. Raises NotOwned where another process has it."""
T = TypeVar("T")


class NotOwned(TowlineError):
    """The run is not this process's any more."""

    code = "NotOwned"


class Elsewhere(TowlineError):
    """Another API server has the run that a call is about."""

    code = "Elsewhere"


class OfferedCommand(NamedTuple):
    """The answer of a poll that found something."""

    identifier: str
    execution_id: str
    event: str


@dataclass(eq=False)
class LiveRun:
    """One deployment on one host, for as long as this process owns it.

    `bundle` is what the agent may download, `archive` gives its file or content; both of a GitHub revision are None.
    """

    host: str
    run: HostRun
    specification: Mapping[str, Any]
    save: Saved
    bundle: BundleObject | None = None
    archive: Callable[[], Awaitable[Path | bytes]] | None = None
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self._lock = asyncio.Lock()

    async def change(self, decide: Callable[[HostRun], tuple[HostRun, T]]) -> T:
        """Decides on the run as it is now, saves what changed, and returns the answer. Raises what `save` raises."""
        async with self._lock:
            run, answer = decide(self.run)
            if run != self.run:
                await self.save(run)
                self.run = run
                self.changed.set()
            return answer

    async def keep(self) -> None:
        """Saves the run as it is: a sign of life of its owner."""
        async with self._lock:
            await self.save(self.run)


class Runs:
    """The open runs of this process, by host, and the polls that wait for them."""

    def __init__(
        self,
        clock: Callable[[], float] = time.time,
        *,
        hold_seconds: float = HOLD_SECONDS,
        owner_seconds: float = OWNER_SECONDS,
    ) -> None:
        self._clock, self._hold, self._owner = clock, hold_seconds, owner_seconds
        self._open: dict[str, LiveRun] = {}
        self._ended: OrderedDict[tuple[str, str], None] = OrderedDict()  # by host and key: a deployment has one key
        self._newest: dict[str, object] = {}
        self._heard: dict[str, float] = {}
        self._news: dict[str, asyncio.Event] = {}
        self._is_ending = False
        self._seeking: set[asyncio.Task[None]] = set()
        self.wants: Callable[[str], Awaitable[None]] | None = None
        self.is_elsewhere: Callable[[str], bool] = lambda host: False
        """Of several API servers: tells the others that a host is wanted here; whether one of them has its run."""

    # ── what the owner of a run does ──

    def open(self, live: LiveRun) -> bool:
        """Lets agents' calls find this run; False: another deployment is at work on the host."""
        if self._open.setdefault(live.host, live) is not live:
            return False
        self.tell(live.host)
        return True

    def close(self, live: LiveRun) -> None:
        """Ends that. Of a run that is over the calls that still come are answered at once."""
        if live.run.is_over:
            self._remember_end(live.host, live.run.key)
        if self._open.get(live.host) is live:
            del self._open[live.host]
            self.tell(live.host)

    @contextlib.contextmanager
    def opened(self, live: LiveRun) -> Iterator[None]:
        """For the block, agents' calls find this run."""
        assert self.open(live), f"{live.host} is busy"
        try:
            yield
        finally:
            self.close(live)

    def seek(self, host: str) -> None:
        """Has other API servers pass a host's calls on, unless it polls this one."""
        if self.wants and host not in self._newest:
            task = asyncio.create_task(self._seek(host, self.wants))
            self._seeking.add(task)
            task.add_done_callback(self._seeking.discard)

    async def _seek(self, host: str, wants: Callable[[str], Awaitable[None]]) -> None:
        with contextlib.suppress(TowlineError):  # it is sought again
            await wants(host)

    def live(self, host: str, key: str) -> LiveRun | None:
        """The run of a host, if it is this one."""
        found = self._open.get(host)
        return found if found and found.run.key == key else None

    def has(self, host: str) -> bool:
        """Whether a run of this host is here."""
        return host in self._open

    def tell(self, host: str) -> None:
        """Wakes the calls of a host that wait for a change."""
        if news := self._news.pop(host, None):
            news.set()

    def end_polls(self) -> None:
        """Answers all calls that wait: the server is about to end."""
        self._is_ending = True
        for host in list(self._news):
            self.tell(host)

    def heard_at(self, host: str) -> float:
        """When the host's agent last called this process; 0: it has not."""
        return self._heard.get(host, 0.0)

    # ── what agents call ──

    async def poll(self, host: str, is_gone: Callable[[], bool], *, is_relayed: bool = False) -> OfferedCommand | None:
        """The next command of a host, as soon as there is one; None: nothing for as long as a poll is held.

        The newest poll of a host wins: an older one may be of a connection that the agent has given up. Raises
        Elsewhere, unless `is_relayed`.
        """
        token = object()
        self._newest[host] = token
        self.tell(host)
        deadline = self._clock() + self._hold
        try:
            while self._newest.get(host) is token and not self._is_ending and not is_gone():
                self._heard[host] = now = self._clock()
                news = self._news_of(host)
                if found := await self._offered(host):
                    return found
                self._check_here(host, is_relayed)
                if now >= deadline:
                    break
                await self._wait(news, self._pause(host, now, deadline))
        finally:
            if self._newest.get(host) is token:
                del self._newest[host]
        return None

    async def specification(self, host: str, named: str, *, is_relayed: bool = False) -> Mapping[str, Any] | None:
        """The specification of a run of this host by its DeploymentExecutionId; None: it has no such run."""
        key = key_of_execution(named)
        live = await self._of(host, key, is_relayed) if key else None
        return live.specification if live else None

    async def acknowledge(self, host: str, identifier: str, noop: bool, *, is_relayed: bool = False) -> CommandStatus:
        """Whether the agent may execute; Failed: it must not."""
        found = await self._named(host, identifier, is_relayed)
        if found is None:
            return CommandStatus.FAILED
        live, named = found
        answer = await live.change(lambda run: acknowledge(run, named, noop, self._clock()))
        self.tell(host)
        return answer

    async def complete(
        self, host: str, identifier: str, meaning: Meaning, diagnostics: Diagnostics, *, is_relayed: bool = False
    ) -> bool:
        """Takes a completion; False: of no run that this host has."""
        found = await self._named(host, identifier, is_relayed)
        if found is None:
            return False
        live, named = found
        now = self._clock()
        await live.change(lambda run: (complete(run, named, meaning, diagnostics, now), None))
        self.tell(host)
        return True

    def needing(self, host: str, bucket: str, key: str, version: str) -> LiveRun | None:
        """The run of this host that needs this object now; None: it has no business with it."""
        live = self._open.get(host)
        return live if live and live.bundle and live.bundle.matches(bucket, key, version) else None

    async def _offered(self, host: str) -> OfferedCommand | None:
        live = self._open.get(host)
        if live is None:
            return None

        def decide(run: HostRun) -> tuple[HostRun, OfferedCommand | None]:
            offered, place = offer(run, self._clock())
            if place is None:
                return run, None
            command = offered.commands[place]
            return offered, OfferedCommand(offered.identifier(place), execution_id(offered.key), command.event)

        try:
            return await live.change(decide)
        except NotOwned:
            return None

    def _check_here(self, host: str, is_relayed: bool) -> None:
        if not is_relayed and host not in self._open and self.is_elsewhere(host):
            raise Elsewhere(f"another API server has the run of {host}")

    def _pause(self, host: str, now: float, deadline: float) -> float:
        """How long a poll may wait for news: to its end, or until a lost offer may be made again."""
        live = self._open.get(host)
        due = next_offer_at(live.run) if live else None
        return max(0.0, min(deadline, deadline if due is None else due) - now)

    async def _named(self, host: str, identifier: str, is_relayed: bool) -> tuple[LiveRun, CommandId] | None:
        found = CommandId.parse(identifier)
        live = await self._of(host, found.key, is_relayed) if found else None
        named = live.run.offer_named(identifier) if live else None
        return (live, named) if live and named else None

    async def _of(self, host: str, key: str, is_relayed: bool) -> LiveRun | None:
        """The run of a key. It is waited for, since the process that had it may have died a moment ago.

        Raises Elsewhere, unless `is_relayed`.
        """
        self._heard[host] = self._clock()
        deadline = self._clock() + self._owner
        while not self._is_ending and (host, key) not in self._ended:
            live, news = self._open.get(host), self._news_of(host)
            if live and live.run.key == key:
                return live
            self._check_here(host, is_relayed)
            left = deadline - self._clock()
            if left <= 0:
                break
            await self._wait(news, left)
        return None

    def _news_of(self, host: str) -> asyncio.Event:
        return self._news.setdefault(host, asyncio.Event())

    async def _wait(self, news: asyncio.Event, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await news.wait()

    def _remember_end(self, host: str, key: str) -> None:
        self._ended[host, key] = None
        while len(self._ended) > ENDED_KEPT:
            self._ended.popitem(last=False)
