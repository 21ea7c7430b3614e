"""Rounds of the fault harness: a rollout, faults at their instants, and what must hold afterwards (`checks.py`).

A round's dice are its seed alone: faults, instants, revision and victims follow from it, as far as the machine's
timing allows. `python -m tests.harness.faults` aims it; `test_seeded.py` runs a few rounds.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Awaitable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from tests.harness.faults import checks
from tests.harness.faults.checks import Findings, Undisturbed
from tests.harness.faults.injections import FAULTS, faults_for
from tests.harness.faults.instances import Instance
from tests.harness.faults.instants import INSTANTS, Holds, held_at
from tests.harness.faults.scene import Effect, Kind, Scene, before
from tests.harness.faults.site import FaultSite
from tests.harness.faults.source import Source
from tests.harness.faults.temporal import Temporal
from tests.harness.temporal import eventually
from towline.errors import TemporalUnavailable
from towline.model import names
from towline.model.group.group import group_id
from towline.model.messages.view import DeploymentView

CONFIG = "HalfAtATime"
WORKERS = 2
END_SECONDS = 180.0
ENDING = Effect.STOPS | Effect.ENDS
SHARE_THAT_ENDS = 0.4
T = TypeVar("T")


@dataclass(frozen=True)
class Aim:
    """What a round is to do: faults and when. An empty name is left to the dice, and so is all where there are none."""

    seed: int
    faults: tuple[tuple[str, str], ...] = ()

    def resolved(self, most: int = 1, *, box: bool = False) -> Aim:
        """The aim with every name filled in, the same for the same seed; dice choose 1 to `most` faults."""
        dice = random.Random(self.seed)
        pairs = self.faults or (("", ""),) * dice.randint(1, most)
        chosen = _choose(dice, len(pairs), box=box)
        return Aim(
            self.seed, tuple((f or other, at or when) for (f, at), (other, when) in zip(pairs, chosen, strict=True))
        )


def _choose(dice: random.Random, count: int, *, box: bool) -> list[tuple[str, str]]:
    """Distinct faults at distinct instants; at most one of them ends the rollout, or the others would seldom come."""
    faults = [name for name in faults_for(box) if not FAULTS[name].effect & ENDING]
    instants = [name for name in sorted(INSTANTS) if not INSTANTS[name].effect & ENDING]
    chosen = list(zip(dice.sample(faults, count), dice.sample(instants, count), strict=True))
    if dice.random() < SHARE_THAT_ENDS:
        number = dice.randrange(count)
        fault, at = chosen[number]
        ends = [(name, at) for name in faults_for(box) if name not in faults]
        chosen[number] = dice.choice([*ends, (fault, "stopping")])
    return chosen


@dataclass
class Result(Findings):
    """What a round showed; `injected` are the faults that had something to be done to."""

    aim: Aim = field(default_factory=lambda: Aim(0))
    injected: list[tuple[str, str]] = field(default_factory=list)
    status: str = ""
    seconds: float = 0.0
    deployments: int = 1


class Harness:
    """One site with its server, workers and hosts, on which rounds are run one after the other."""

    def __init__(self, site: FaultSite, temporal: Temporal, source: Source, hosts: Sequence[Instance]) -> None:
        self.site, self.temporal, self.source, self.hosts = site, temporal, source, hosts
        self._round = 0
        self._good = "v0"  # what every host runs between rounds
        self._typical = 2.0
        self._slots = len(hosts) // 2
        self._models: dict[Kind, Undisturbed] = {}
        self.most_memory = 0.0

    @classmethod
    @contextlib.asynccontextmanager
    async def on(
        cls, site: FaultSite, temporal: Temporal, source: Source, hosts: Sequence[Instance]
    ) -> AsyncIterator[Harness]:
        """A harness with workers that are replaced when they end, and with undisturbed rollouts behind it."""
        site.environ.update(source.environ)
        for _ in range(WORKERS):
            await site.start_worker()
        await site.declare_group(hosts, config=CONFIG, rollback=True)
        harness = cls(site, temporal, source, hosts)
        keeper = asyncio.create_task(harness._keep_workers())
        try:
            await harness._learn()
            yield harness
        finally:
            keeper.cancel()
            await asyncio.gather(keeper, return_exceptions=True)

    async def _learn(self) -> None:
        """Undisturbed rollouts, of a good revision and of a bad one: how they end, what runs, how long they take."""
        view = await self.site.deploy("d-first", version=self._good)
        assert view.info.status == "Succeeded", view
        for kind in (Kind.PARTLY_BAD, Kind.GOOD, Kind.BAD):
            scene, found = self._scene(Aim(0), kind), Findings()
            self._arm(scene)
            began = time.monotonic()
            view = await self.site.deploy(scene.deployment_id, version=scene.version)
            self._typical = time.monotonic() - began
            self._models[kind] = checks.undisturbed(scene, view)
            self._good = self._good if kind is Kind.BAD else scene.version
            self._check(scene, view, found)
            assert view.info.status == ("Failed" if kind is Kind.BAD else "Succeeded"), view
            assert not found.wrong, found.wrong
            self._disarm(scene)

    # ── a round ──────────────────────────────────────────────────────────────────────────────────────────────────

    async def run(self, aim: Aim) -> Result:
        """One round of a resolved aim, and the way back to a whole fleet."""
        self._round += 1
        dice = random.Random(f"{aim.seed} revision")
        kind = dice.choice([Kind.GOOD, Kind.GOOD, Kind.PARTLY_BAD, Kind.BAD])
        scene = self._scene(aim, next((INSTANTS[at].kind for _, at in aim.faults if INSTANTS[at].kind), None) or kind)
        began = time.monotonic()
        result = Result(aim=aim)
        try:
            view = await self._roll_out(scene, aim)
            result.status, result.injected = view.info.status, scene.injected
            await self._settle(scene, result, view)
        except (TimeoutError, AssertionError) as error:
            result.add(f"{type(error).__name__}: {error}")
        finally:
            self._put_back(scene)
        result.seconds = time.monotonic() - began
        self.most_memory = max(self.most_memory, *(worker.memory("VmHWM") for worker in self.site.workers))
        return result

    def _scene(self, aim: Aim, kind: Kind) -> Scene:
        for host in self.hosts:
            host.forget()
        return Scene(
            site=self.site,
            temporal=self.temporal,
            source=self.source,
            hosts=self.hosts,
            deployment_id=f"d-{self._round}-{aim.seed}-{kind.value}",
            version=f"{kind.value}-{self._round}-{aim.seed}",
            kind=kind,
            typical_seconds=self._typical,
        )

    def _arm(self, scene: Scene) -> None:
        for host in scene.kind.fails_on(self.hosts):
            host.fail(scene.version)

    def _disarm(self, scene: Scene) -> None:
        for host in scene.kind.fails_on(self.hosts):
            host.mend(scene.version)

    async def _roll_out(self, scene: Scene, aim: Aim) -> DeploymentView:
        """The rollout with all that is done to it, to its end."""
        self._arm(scene)
        from_s3 = any(INSTANTS[at].gate for _, at in aim.faults)
        revision = self.source.revision(self.site, scene.version) if from_s3 else None
        holds = Holds(self.hosts, self.source)
        plans = []
        for number, (fault, at) in enumerate(aim.faults):
            dice = random.Random(f"{aim.seed} {number}")
            held = held_at(INSTANTS[at], scene.kind, dice)
            holds.add(held, gate=INSTANTS[at].gate)
            plans.append((fault, at, held, dice))
        over = asyncio.Event()
        faults: list[asyncio.Task[None]] = []
        try:
            await self.site.start(scene.deployment_id, version=scene.version, revision=revision)
            faults = [asyncio.create_task(self._disturb(scene, *plan, holds, over)) for plan in plans]
            view = await self._ended(scene.deployment_id)
            over.set()
            await asyncio.gather(*faults, *scene.going_on)
        finally:
            for task in (*faults, *scene.going_on):
                task.cancel()
            holds.end()
        return view

    async def _disturb(
        self, scene: Scene, fault: str, at: str, held: str, dice: random.Random, holds: Holds, over: asyncio.Event
    ) -> None:
        """Waits for the instant, injects the fault, lets go of what was held for it. Nothing where it never comes."""
        try:
            if await before(over, INSTANTS[at].wait(scene, dice, held)):
                scene.effect |= INSTANTS[at].effect
                if await FAULTS[fault].inject(scene, dice):
                    scene.effect |= FAULTS[fault].effect
                    scene.injected.append((fault, at))
        finally:
            holds.remove(held, gate=INSTANTS[at].gate)

    # ── after the faults ─────────────────────────────────────────────────────────────────────────────────────────

    async def _settle(self, scene: Scene, result: Result, view: DeploymentView) -> None:
        """Checks, and sees to it that the next round finds a whole fleet."""
        await eventually(lambda: not self._runners(scene), seconds=60)
        message = view.info.error_message
        if Effect.ENDS in scene.effect and "ended from outside" in message:
            checks.check_floor(scene, self._slots, result)
            await self._roll_back(scene, result)
        else:
            if view.info.status == "Succeeded":
                self._good = scene.version
            self._check(scene, view, result)
        checks.check_twice(scene, result)
        self._disarm(scene)
        self._put_back(scene)
        await self._heal(scene, result)
        checks.check_reports(scene, result)

    def _check(self, scene: Scene, view: DeploymentView, found: Findings) -> None:
        """What must hold after a rollout that was not ended from outside."""
        checks.check_records(scene, found)
        checks.check_end(scene, view, self._models[scene.kind], self._slots, found)
        checks.check_hooks_ended(scene, found)
        checks.check_floor(scene, self._slots, found)
        if view.info.status == "Succeeded" or view.progress.is_whole:
            checks.check_installed(scene, self._good, found)

    async def _roll_back(self, scene: Scene, result: Result) -> None:
        """What a person does after a terminate: everything goes back. A rollback that had begun comes first."""
        self._put_back(scene)
        done = await self._with_a_go(self.site.towline("rollback", scene.deployment_id, "--yes"))
        result.deployments += 1
        was_touched = any(host.journal(scene.deployment_id) for host in self.hosts)
        if done.status and not scene.hurt | scene.lost and (was_touched or "the store knows nothing" not in done.text):
            result.add(f"rollback ended with {done.status}: {done.text}")
        checks.check_installed(scene, self._good, result)
        checks.check_hooks_ended(scene, result)

    async def _heal(self, scene: Scene, result: Result) -> None:
        """What faults were allowed to leave is put right as a person would: by deploying what is good."""
        await eventually(lambda: not self._runners(scene), seconds=60)
        # An instance that was hurt may have the right files and has yet not succeeded: an undo would pass them over.
        is_even = not scene.hurt and (self._good != scene.version or not scene.kind.fails_on(self.hosts))
        if all(host.installed == self._good for host in self.hosts) and not result.wrong and is_even:
            return
        deployment_id = f"d-{self._round}-heal"
        result.deployments += 1
        await self.site.start(deployment_id, version=self._good)
        view = await self._with_a_go(self._ended(deployment_id))
        if view.info.status != "Succeeded":
            result.add(f"the next deployment: {view.info}")
        if other := {host.name: host.installed for host in self.hosts if host.installed != self._good}:
            result.add(f"after the next deployment {self._good} was to be everywhere, but {other}")
        checks.check_hooks_ended(scene, result)
        checks.check_twice(scene, result)

    def _runners(self, scene: Scene) -> list[int]:
        return [pid for host in self.hosts if host.name not in scene.lost for pid in host.runners()]

    def _put_back(self, scene: Scene) -> None:
        while scene.to_put_back:
            scene.to_put_back.pop()()
        scene.lost, scene.hurt = set(), scene.hurt | scene.lost

    async def _with_a_go(self, work: Awaitable[T]) -> T:
        """Waits for something that may stand in a queue that an incomplete rollback holds: a person says go."""
        task = asyncio.ensure_future(work)
        group = self.site.client.get_workflow_handle(names.group_workflow_id(group_id("shop", "web")))
        while not task.done():
            await asyncio.wait({task}, timeout=2)
            if not task.done() and (await group.query("status"))["held"]:
                await group.execute_update("release")
        return await task

    # ── what is kept alive ───────────────────────────────────────────────────────────────────────────────────────

    async def _keep_workers(self) -> None:
        """Puts a new worker in the place of one that ended, as systemd would."""
        while True:
            if sum(not worker.has_ended for worker in self.site.workers) < WORKERS:
                self.site.launch()
            await asyncio.sleep(0.25)

    async def _ended(self, deployment_id: str) -> DeploymentView:
        async with asyncio.timeout(END_SECONDS):
            while True:
                try:
                    return await self.site.deployments.wait(deployment_id)
                except TemporalUnavailable:
                    await asyncio.sleep(0.2)
