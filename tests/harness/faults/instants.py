"""When a rollout is disturbed: the table that `--at` chooses from.

An instant may need something to be held from the start (hooks of an event, the gate before the bundles), so that it
lasts until the fault has been injected; and what it begins itself, as a stop, has an effect of its own.
"""

from __future__ import annotations

import asyncio
import collections
import random
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

from tests.harness.faults.instances import EVENTS, Instance
from tests.harness.faults.scene import Effect, Kind, Scene, insist, until
from tests.harness.faults.source import Source
from towline.model.messages.deploy import StopRequest

QUICK = 0.004
"""Seconds between looks where the instant is short; a look at 40 hosts takes a tenth of that."""

ACKNOWLEDGED_SECONDS = 0.1  # a pause or a stop is acknowledged within about this time


@dataclass(frozen=True)
class Instant:
    """`wait` returns when it is there. `held` is the event whose hooks wait until the fault is done ("any": one of
    those that the rollout comes to), `gate`: hosts wait for their archives until then."""

    wait: Callable[[Scene, random.Random, str], Coroutine[Any, Any, None]]
    effect: Effect = Effect.NONE
    held: str = ""
    gate: bool = False
    kind: Kind | None = None  # it comes only in the rollout of such a revision


async def at_once(scene: Scene, dice: random.Random, held: str) -> None:
    """Right after the start was answered: before the first instance."""


async def any_time(scene: Scene, dice: random.Random, held: str) -> None:
    """At any moment of a rollout of usual length."""
    await asyncio.sleep(dice.uniform(0, scene.typical_seconds))


async def in_a_download(scene: Scene, dice: random.Random, held: str) -> None:
    """Instances fetch the archive (they are held at it)."""
    await until(lambda: scene.source.gate.waiting)


async def in_a_hook(scene: Scene, dice: random.Random, held: str) -> None:
    """A hook of some instance runs (it is held)."""
    await until(lambda: any(run.event == held for _, run in scene.begun()))


async def after_a_hook(scene: Scene, dice: random.Random, held: str) -> None:
    """A hook has just ended; its report may be on its way."""
    ends = sum(len(host.ends) for host in scene.hosts)
    await until(lambda: sum(len(host.ends) for host in scene.hosts) > ends, QUICK)


async def between_instances(scene: Scene, dice: random.Random, held: str) -> None:
    """An instance has just finished."""
    await until(lambda: any(host.has_finished(scene.deployment_id) for host in scene.hosts), QUICK)


async def while_rolling_back(scene: Scene, dice: random.Random, held: str) -> None:
    """A hook of the rollback runs (it is held)."""
    await until(lambda: any(run.deployment != scene.deployment_id for _, run in scene.begun()))


async def while_pausing(scene: Scene, dice: random.Random, held: str) -> None:
    """A pause is on its way, and a resume follows."""
    await asyncio.sleep(dice.uniform(0, scene.typical_seconds / 2))

    async def pause_then_resume() -> None:
        for act in (scene.site.deployments.pause, scene.site.deployments.resume):
            await insist(lambda act=act: act(scene.deployment_id))  # type: ignore[misc]

    scene.go_on(pause_then_resume())
    await asyncio.sleep(dice.uniform(0, ACKNOWLEDGED_SECONDS))


async def while_stopping(scene: Scene, dice: random.Random, held: str) -> None:
    """A stop is on its way."""
    await asyncio.sleep(dice.uniform(0, scene.typical_seconds / 2))

    async def stop() -> None:
        await insist(lambda: scene.site.deployments.stop(scene.deployment_id, StopRequest(rollback=True)))

    scene.go_on(stop())
    await asyncio.sleep(dice.uniform(0, ACKNOWLEDGED_SECONDS))


INSTANTS: dict[str, Instant] = {
    "start": Instant(at_once),
    "random": Instant(any_time),
    "download": Instant(in_a_download, gate=True),
    "hook": Instant(in_a_hook, held="any"),
    "hook-ended": Instant(after_a_hook),
    "between": Instant(between_instances),
    # AfterInstall of a bad revision fails: only its rollback comes to ApplicationStart.
    "rolling-back": Instant(while_rolling_back, held="ApplicationStart", kind=Kind.BAD),
    "pausing": Instant(while_pausing),
    "stopping": Instant(while_stopping, Effect.STOPS),
}


def held_at(instant: Instant, kind: Kind, dice: random.Random) -> str:
    """The event whose hooks wait until the fault has been injected; empty: none."""
    if instant.held != "any":
        return instant.held
    return dice.choice(EVENTS[:3] if kind is Kind.BAD else EVENTS)


class Holds:
    """What is held on all instances until nobody needs it any more: hooks of events, and the gate before bundles."""

    def __init__(self, hosts: Sequence[Instance], source: Source) -> None:
        self._hosts, self._source = hosts, source
        self._users: collections.Counter[str] = collections.Counter()

    def add(self, event: str, *, gate: bool) -> None:
        """Holds an event's hooks, the gate, or nothing."""
        if gate:
            self._users["the gate"] += 1
            self._source.gate.hold()
        if event:
            self._users[event] += 1
            for host in self._hosts:
                host.hold(event)

    def remove(self, event: str, *, gate: bool) -> None:
        """Lets go of what `add` with the same words has held, unless somebody else holds it, too."""
        self._users.subtract((["the gate"] if gate else []) + ([event] if event else []))
        self._let_go()

    def end(self) -> None:
        """Lets go of everything."""
        self._users = collections.Counter(dict.fromkeys(self._users, 0))
        self._let_go()

    def _let_go(self) -> None:
        for held in [held for held, users in self._users.items() if users <= 0]:
            del self._users[held]
            if held == "the gate":
                self._source.gate.let_go()
                continue
            for host in self._hosts:
                host.let_go(held)
