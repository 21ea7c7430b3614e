"""What a fault is done to: one rollout, and what has been done to it so far."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from enum import Enum, Flag, auto
from typing import Any

from temporalio.service import RPCError, RPCStatusCode

from tests.harness.faults.instances import Instance, Run
from tests.harness.faults.site import FaultSite
from tests.harness.faults.source import Source
from tests.harness.faults.temporal import Temporal
from towline.errors import Conflict, NotFound, TemporalUnavailable

AWAY = (RPCStatusCode.UNAVAILABLE, RPCStatusCode.DEADLINE_EXCEEDED, RPCStatusCode.CANCELLED, RPCStatusCode.UNKNOWN)


class Effect(Flag):
    """What faults may do to a rollout's end; those of several faults add up. Without any it ends as if undisturbed."""

    NONE = 0
    STOPS = auto()  # somebody asked for it: stopped, unless it had ended before
    HURTS = auto()  # an instance may be interrupted, which counts as a failure
    LOSES = auto()  # an instance stays out of reach, which counts as one, too
    ENDS = auto()  # the workflow is gone; `towline rollback` must still take everything back


class Kind(Enum):
    """What a revision does: AfterInstall of a bad one fails, on every instance or on some that can be spared."""

    GOOD = "good"
    PARTLY_BAD = "part"
    BAD = "bad"

    def fails_on(self, hosts: Sequence[Instance]) -> Sequence[Instance]:
        """The instances on which it fails; half as many as may, if they can be spared."""
        return {Kind.GOOD: [], Kind.PARTLY_BAD: hosts[1 : len(hosts) // 2 : 2], Kind.BAD: hosts}[self]


@dataclass
class Scene:
    """One rollout that is to be disturbed."""

    site: FaultSite
    temporal: Temporal
    source: Source
    hosts: Sequence[Instance]
    deployment_id: str
    version: str
    kind: Kind
    typical_seconds: float
    effect: Effect = Effect.NONE
    injected: list[tuple[str, str]] = field(default_factory=list)  # fault, instant: those that did something
    cut_short: list[tuple[Instance, Run]] = field(default_factory=list)  # hooks whose runner was killed
    hurt: set[str] = field(default_factory=set)  # instances that lost a runner or their power
    lost: set[str] = field(default_factory=set)  # instances that stay out of reach
    to_put_back: list[Callable[[], None]] = field(default_factory=list)  # for when the rollout has ended
    going_on: list[asyncio.Task[None]] = field(default_factory=list)  # what instants have begun

    def __post_init__(self) -> None:
        self._before = {host.name: len(host.runs) for host in self.hosts}

    def begun(self) -> list[tuple[Instance, Run]]:
        """The hooks that began since the scene opened, on all instances."""
        return [(host, run) for host in self.hosts for run in host.runs[self._before[host.name] :]]

    def runs_of(self, host: Instance) -> list[Run]:
        """The same of one instance."""
        return host.runs[self._before[host.name] :]

    def go_on(self, work: Coroutine[Any, Any, None]) -> None:
        """Does something beside the fault; the round waits for its end."""
        self.going_on.append(asyncio.create_task(work))


async def until(condition: Callable[[], object], seconds: float = 0.02) -> None:
    """Waits for a condition that is looked at every so many seconds; who waits sets the limit."""
    while not condition():
        await asyncio.sleep(seconds)


async def insist(act: Callable[[], Awaitable[object]]) -> bool:
    """Does what a person does while Temporal may be away: again and again. Whether it reached an open workflow."""
    may_have_arrived = False
    for _ in range(300):
        try:
            await act()
        except (NotFound, Conflict):
            return may_have_arrived
        except (RPCError, TemporalUnavailable) as error:
            if isinstance(error, RPCError) and error.status not in AWAY:
                return may_have_arrived
            may_have_arrived = True
            await asyncio.sleep(0.2)
        else:
            return True
    raise AssertionError("Temporal was away for a minute")


async def before(over: asyncio.Event, moment: Coroutine[Any, Any, None]) -> bool:
    """Whether a moment came before it was all over; it is not waited for any longer."""
    waits = [asyncio.create_task(moment), asyncio.create_task(over.wait())]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        return waits[0].done() and waits[0].result() is None
    finally:
        for wait in waits:
            wait.cancel()
        await asyncio.gather(*waits, return_exceptions=True)


def pick(dice: random.Random, found: Sequence[Any], share: float = 0.0) -> list[Any]:
    """One of them, or a share of all; none of none."""
    return dice.sample(list(found), max(1, int(len(found) * share))) if found else []
